//! The commands for administrators.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::answers::text;
use crate::harness::{PASSWORD, PATIENCE, Tracker, torrent};

#[test]
fn accounts_are_administered_with_and_without_a_running_tracker() {
    let mut tracker = Tracker::stopped("");
    tracker.ok(
        &["user", "add", "root", "--admin", "--password-file", "-"],
        PASSWORD,
    );
    tracker.run();
    tracker.user("bob");
    let list = tracker.ok(&["user", "ls"], "");
    let rows: Vec<Vec<&str>> = list
        .lines()
        .map(|line| line.split('\t').take(3).collect())
        .collect();
    assert_eq!(
        rows,
        [["bob", "member", "active"], ["root", "admin", "active"]]
    );
    let token = tracker.token("bob", "pc");
    tracker
        .publish(&token, "s", "a", &torrent("a", 1, 1))
        .expect(201);

    tracker.ok(
        &["user", "passwd", "bob", "--password-file", "-"],
        "another one\n",
    );
    tracker
        .get("/v1/me", &token)
        .expect_problem(401, "login-required");
    let login = |password: &str| {
        tracker.api(
            "POST",
            "/v1/login",
            "",
            &json!({"username": "bob", "password": password, "node_name": "pc"}),
        )
    };
    login(PASSWORD).expect_problem(401, "bad-credentials");
    let token = login("another one").expect(200)["token"]
        .as_str()
        .unwrap()
        .to_owned();
    tracker.ok(&["user", "disable", "bob"], "");
    tracker
        .get("/v1/me", &token)
        .expect_problem(401, "login-required");
    login("another one").expect_problem(403, "forbidden");
    tracker.ok(&["user", "disable", "bob", "--undo"], "");
    login("another one").expect(200);
    let root = tracker.token("root", "desk");
    let asked = tracker.cli(&["user", "rm", "bob"], "y\n");
    assert_eq!(asked.status.code(), Some(1), "no terminal, and no --yes");
    login("another one").expect(200);
    tracker.ok(&["user", "rm", "bob", "--yes"], "");
    login("another one").expect_problem(401, "bad-credentials");
    assert_eq!(
        tracker.get("/v1/files", &root).expect(200)["items"],
        json!([]),
        "what it published is gone too"
    );
    for (args, code) in [
        (&["user", "rm", "bob", "--yes"][..], 4),
        (&["user", "add", "root", "--password-file", "-"], 6),
        (&["user", "add", "Root", "--password-file", "-"], 1),
        (&["user", "add", "x", "--password-file", "/nowhere"], 1),
        (&["user", "add", "x"], 1),
        (&["invite", "-n", "0"], 1),
        (&["frobnicate"], 2),
    ] {
        let output = tracker.cli(args, PASSWORD);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{args:?}: {}",
            text(&output.stderr)
        );
    }
    let short = tracker.cli(&["user", "add", "x", "--password-file", "-"], "short");
    assert!(text(&short.stderr).contains("too short"));
}

#[test]
fn the_log_is_followed_as_it_happens() {
    let tracker = Tracker::start("");
    tracker.user("ann");
    let token = tracker.token("ann", "nas1");
    let mut follower = tracker
        .command(&["log", "-f", "--publishes"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (lines, received) = std::sync::mpsc::channel();
    let stdout = BufReader::new(follower.stdout.take().unwrap());
    std::thread::spawn(move || {
        stdout
            .lines()
            .map_while(Result::ok)
            .for_each(|line| drop(lines.send(line)))
    });
    let content = torrent("big.iso", 4, 1);
    tracker
        .publish(&token, "Public", "big.iso", &content)
        .expect(201);
    let line = received.recv_timeout(PATIENCE).unwrap();
    assert!(
        line.ends_with("ann/nas1 published Public/big.iso"),
        "{line}"
    );
    tracker
        .api(
            "DELETE",
            &format!("/v1/files/{}", content.info.info_hash()),
            &token,
            &Value::Null,
        )
        .expect(204);
    let line = received.recv_timeout(PATIENCE).unwrap();
    assert!(line.ends_with("ann/nas1 withdrew Public/big.iso"), "{line}");
    follower.kill().unwrap();
    follower.wait().unwrap();
    let all = tracker.ok(&["log", "--account", "ann"], "");
    assert!(
        all.contains("ann was added") && all.contains("ann/nas1 logged in"),
        "{all}"
    );
    assert_eq!(tracker.ok(&["log", "-n", "1"], "").lines().count(), 1);

    let stopped = Tracker::stopped("");
    assert_eq!(stopped.cli(&["log", "-f"], "").status.code(), Some(3));
    assert_eq!(stopped.ok(&["log"], ""), "");
}
