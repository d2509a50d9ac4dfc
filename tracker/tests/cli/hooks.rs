//! Hooks of the tracker, as its administrator puts them there.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::harness::{PASSWORD, Tracker, torrent, wait_for};

/// A tracker that runs with these hooks.
fn with_hooks(hooks: &[(&str, &str)], settings: &str) -> Tracker {
    let mut tracker = Tracker::stopped("[accounts]\nregistration = \"open\"\n");
    let dir = tracker.path("hooks");
    for (at, script) in hooks {
        let path = dir.join(at);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let config = tracker.path("tracker.toml");
    let mut config = std::fs::File::options().append(true).open(config).unwrap();
    write!(config, "[hooks]\ndir = \"{}\"\n{settings}", dir.display()).unwrap();
    tracker.run();
    tracker
}

/// What hooks printed of an event, one line each; once there are so many.
fn said(tracker: &Tracker, hook: &str, count: usize) -> Vec<String> {
    wait_for(&format!("{count} lines of {hook}"), || {
        let (log, mark) = (tracker.log(), format!("{hook}: "));
        let lines = log.lines().filter_map(|line| line.split_once(&mark));
        // Fields follow the text.
        let texts = lines.filter_map(|(_, said)| said.split(" hook=").next());
        let lines: Vec<String> = texts.map(str::to_owned).collect();
        (lines.len() >= count).then_some(lines).ok_or(log)
    })
}

#[test]
fn hooks_are_told_of_accounts_and_files_once() {
    let mut tracker = with_hooks(
        &[
            ("account.created.d/10-told", "cat"),
            ("file.published.d/10-told", "cat; env | grep ^P2P_ | sort"),
            ("file.removed.d/10-told", "cat"),
        ],
        "",
    );
    tracker.user("ann");
    let token = tracker.token("ann", "nas");
    let content = torrent("a; rm -rf $HOME", 1, 1);
    let hash = content.info.info_hash().to_string();
    tracker
        .publish(&token, "s", "a; rm -rf $HOME", &content)
        .expect(201);
    // It is there already: nothing happened.
    tracker
        .publish(&token, "s", "a; rm -rf $HOME", &content)
        .expect(200);
    let path = format!("/v1/files/{hash}");
    tracker
        .api("DELETE", &path, &token, &Value::Null)
        .expect(204);

    let account = &said(&tracker, "account.created 10-told", 1)[0];
    let account: Value = serde_json::from_str(account).unwrap();
    assert_eq!(
        (&account["account"], &account["file"]),
        (&json!("ann"), &Value::Null)
    );
    let told = said(&tracker, "file.published 10-told", 6);
    let body: Value = serde_json::from_str(&told[0]).unwrap();
    assert_eq!(body["version"], 1);
    assert_eq!(body["file"]["name"], "ann/s/a; rm -rf $HOME");
    assert_eq!(body["file"]["info_hash"], hash.as_str());
    assert_eq!(body["file"]["version"], 1);
    assert_eq!(told[1], "P2P_ACCOUNT=ann");
    assert_eq!(told[5], "P2P_NAME=ann/s/a; rm -rf $HOME");
    let removed = &said(&tracker, "file.removed 10-told", 1)[0];
    assert!(removed.contains("is no longer published"), "{removed}");

    // What was told is not told again, however the tracker ends.
    tracker.end(Signal::SIGKILL);
    tracker.run();
    tracker.user("ben");
    assert_eq!(said(&tracker, "account.created 10-told", 2).len(), 2);
    assert_eq!(said(&tracker, "file.published 10-told", 6).len(), 6);
}

#[test]
fn what_a_kill_interrupts_is_told_again_under_the_same_id() {
    let again = "echo $P2P_EVENT_ID >begun; [ ! -e ../../../again ] && exec sleep 60; cat begun";
    let mut tracker = with_hooks(&[("account.created.d/10-slow", again)], "");
    tracker.user("ann");
    let first = wait_for("the hook to run", || {
        let runs = std::fs::read_dir(tracker.state().join("hook-runs"));
        let runs = runs.map_err(|error| error.to_string())?;
        let begun = runs.flatten().map(|run| run.path().join("begun"));
        let mut ids = begun.filter_map(|path| std::fs::read_to_string(path).ok());
        ids.find(|id| id.ends_with('\n')).ok_or("not yet".into())
    });
    tracker.end(Signal::SIGKILL);
    std::fs::write(tracker.path("again"), "").unwrap();
    tracker.run();
    assert_eq!(said(&tracker, "account.created 10-slow", 1), [first.trim()]);
}

#[test]
fn gates_decide_who_registers_and_what_is_published() {
    let name = "[ \"$P2P_ACCOUNT\" = ann ] && exit 0; echo \"only ann, not $P2P_ACCOUNT\"; exit 1";
    let publish = "case $(cat) in *secret*) echo secrets stay here; exit 1;; *later*) exit 75;; *broken*) exit 3;; esac";
    let tracker = with_hooks(
        &[
            ("pre-register.d/10-name", name),
            ("pre-publish.d/10-secrets", publish),
        ],
        "",
    );
    let ben = json!({"username": "ben", "password": PASSWORD});
    let refused = tracker.api("POST", "/v1/register", "", &ben);
    refused.expect_problem(403, "forbidden");
    let title = refused.json()["title"].as_str().unwrap().to_owned();
    assert_eq!(
        title,
        "refused by pre-register 10-name of this tracker: only ann, not ben"
    );
    tracker.user("ann");
    let token = tracker.token("ann", "nas");
    for (entry, status) in [
        ("open", 201),
        ("secret", 403),
        ("later", 503),
        ("broken", 503),
    ] {
        let answer = tracker.publish(&token, "s", entry, &torrent(entry, 1, 1));
        assert_eq!(answer.status, status, "{entry}: {answer:?}");
    }
    let files = tracker.get("/v1/files", &token).expect(200);
    assert_eq!(files["items"].as_array().unwrap().len(), 1, "{files}");
}

#[test]
fn a_gate_that_fails_lets_pass_where_that_is_configured() {
    let gate = [("pre-register.d/10-broken", "exit 3")];
    let ann = json!({"username": "ann", "password": PASSWORD});
    let register = |settings: &str| {
        let tracker = with_hooks(&gate, settings);
        tracker.api("POST", "/v1/register", "", &ann)
    };
    register("failed_gate = \"allow\"\n").expect(201);
    register("").expect_problem(503, "unavailable");
}

#[test]
fn hooks_are_listed_with_why_one_is_not_run() {
    let tracker = with_hooks(
        &[("pre-register.d/10-a", ""), ("pre-registr.d/10-b", "")],
        "",
    );
    let listed = tracker.ok(&["hooks"], "");
    assert_eq!(
        listed,
        "ready\tpre-register\t10-a\t\n\
         refused\tpre-registr\t10-b\tthere is no event `pre-registr`; the nearest is `pre-register`\n"
    );
}

/// The first block of a kind behind `mark` in docs/hooks.md.
fn documented(kind: &str, mark: &str) -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/hooks.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (_, rest) = text.split_once(mark).unwrap();
    let (_, block) = rest.split_once(&format!("```{kind}\n")).unwrap();
    block.split("```").next().unwrap().to_owned()
}

#[test]
fn what_the_documentation_shows_of_the_tracker_runs() {
    let chapter = "## Hooks of the tracker";
    let script = documented("sh", chapter);
    let at = script
        .lines()
        .find_map(|line| line.strip_prefix("# tracker-hooks.d/"));
    let tracker = with_hooks(
        &[(at.unwrap(), &script), ("file.published.d/10-cat", "cat")],
        "",
    );
    let register = |name: &str| {
        let body = json!({"username": name, "password": PASSWORD});
        tracker.api("POST", "/v1/register", "", &body)
    };
    let refused = register("b0b");
    refused.expect_problem(403, "forbidden");
    assert!(
        refused.json()["title"]
            .as_str()
            .unwrap()
            .ends_with("names here are letters")
    );
    register("bob").expect(201);

    let token = tracker.token("bob", "nas");
    tracker
        .publish(&token, "s", "a", &torrent("a", 1, 1))
        .expect(201);
    let told: Value = serde_json::from_str(&said(&tracker, "file.published 10-cat", 1)[0]).unwrap();
    let shown: Value = serde_json::from_str(&documented("json", chapter)).unwrap();
    let keys =
        |value: &Value| -> Vec<String> { value.as_object().unwrap().keys().cloned().collect() };
    assert_eq!(keys(&told), keys(&shown));
    assert_eq!(keys(&told["file"]), keys(&shown["file"]));
}
