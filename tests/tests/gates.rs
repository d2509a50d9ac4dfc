//! Gates with the real programs: what they keep back, and what users see of it.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use p2p_tests::hooks::{LIMIT, QUICK, hook, runs, two, wait_runs};
use p2p_tests::lab::{Lab, Peer, Programs, wait_for};
use serde_json::{Value, json};

#[test]
fn a_gate_that_refuses_keeps_the_content_private_and_says_who() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (lab, ann, mut bob) = two(dir.path(), "")?;
    hook(
        &bob,
        "pre-release.d/05-looks",
        "test -f \"$P2P_PATH\" || exit 3",
    )?;
    hook(
        &bob,
        "pre-release.d/10-scan",
        "echo 'Eicar-Test found'; exit 1",
    )?;
    hook(&bob, "item.finished.d/10-done", "echo done")?;
    let (code, said) = bob.refused(&["fetch", "ann/Public/a.bin"])?;
    ensure!(code == 9, "{code}: {said}");
    ensure!(
        said.contains("Refused by pre-release 10-scan: Eicar-Test found"),
        "{said}"
    );

    let held = |bob: &Peer| -> Result<()> {
        let item = bob.item("a.bin")?.context("the item")?;
        ensure!(
            item["state"] == "held" && item["done"] == 300_000,
            "{item:#}"
        );
        ensure!(
            item["reason"]
                .as_str()
                .unwrap_or_default()
                .contains("10-scan"),
            "{item:#}"
        );
        ensure!(
            !bob.downloads().join("a.bin").exists(),
            "it was put at its place"
        );
        let private = item["path"].as_str().context("its path")?.to_owned();
        ensure!(
            private.contains(".p2p-incomplete") && Path::new(&private).is_file(),
            "{private}"
        );
        Ok(())
    };
    held(&bob)?;
    // Neither a crash nor a question of a peer changes that.
    bob.kill()?;
    bob.start()?;
    held(&bob)?;
    let hash = bob.item("a.bin")?.context("the item")?["info_hash"].clone();
    let hash = hash.as_str().context("a hash")?;
    drop(ann);
    let port = bob.json(&["status"])?["port"].clone();
    let carol = lab.member("carol", "")?;
    let from = format!("{}:{port}", bob.address());
    let link = format!("magnet:?xt=urn:btih:{hash}");
    let fetch = ["fetch", &link, "--peer", &from, "--timeout", "3s"];
    let (code, said) = carol.refused(&fetch)?;
    ensure!(code == 7, "it was served: {code} {said}");
    ensure!(runs(&bob, "10-done")?.is_empty(), "told as finished");

    hook(&bob, "pre-release.d/10-scan", "echo clean")?;
    bob.ctl(&["resume", hash])?;
    bob.wait_seeding("a.bin", LIMIT)?;
    ensure!(bob.downloads().join("a.bin").is_file(), "not at its place");
    wait_runs(&bob, "10-done", 1)?;
    carol.ctl(&["fetch", hash])?;
    Ok(())
}

#[test]
fn a_gate_that_fails_refuses_and_one_that_is_not_ready_is_asked_again() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (lab, _ann, bob) = two(dir.path(), "")?;
    hook(
        &bob,
        "pre-release.d/10-scan",
        "echo no database yet; exit 75",
    )?;
    bob.ctl(&["fetch", "--detach", "ann/Public/a.bin"])?;
    wait_for("the gate to be waited for", LIMIT, || {
        let item = bob.item("a.bin")?.context("the item")?;
        let reason = item["reason"].as_str().unwrap_or_default();
        ensure!(reason == "pre-release 10-scan: no database yet", "{item:#}");
        Ok(Some(()))
    })?;
    hook(&bob, "pre-release.d/10-scan", "exit 42")?;
    bob.ctl(&["resume", "a.bin"])?;
    wait_for("the gate to fail", LIMIT, || {
        let item = bob.item("a.bin")?.context("the item")?;
        let reason = item["reason"].as_str().unwrap_or_default();
        ensure!(
            reason.contains("the hook failed: it ended with exit code 42"),
            "{item:#}"
        );
        Ok(Some(()))
    })?;
    hook(&bob, "pre-remove-data.d/10-no", "echo keep it; exit 1")?;
    let (code, said) = bob.refused(&["rm", "--delete-data", "-y", "a.bin"])?;
    ensure!(code == 9 && said.contains("keep it"), "{code}: {said}");
    hook(&bob, "pre-remove-data.d/10-no", "exit 0")?;
    bob.ctl(&["rm", "--delete-data", "-y", "a.bin"])?;
    ensure!(bob.items()?.is_empty());

    let carol = lab.member("carol", "[hooks]\nfailed_gate = \"allow\"\n")?;
    hook(&carol, "pre-release.d/10-scan", "exit 42")?;
    carol.ctl(&["fetch", "ann/Public/a.bin"])?;
    Ok(())
}

#[test]
fn pre_add_refuses_pauses_and_chooses_another_folder() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (_lab, _ann, bob) = two(dir.path(), "")?;
    hook(&bob, "pre-add.d/10-no", "echo not today; exit 1")?;
    let (code, said) = bob.refused(&["fetch", "ann/Public/a.bin"])?;
    ensure!(
        code == 9 && said.contains("pre-add 10-no: not today"),
        "{code}: {said}"
    );
    ensure!(bob.item("a.bin")?.context("the item")?["done"] == 0);
    bob.ctl(&["rm", "a.bin"])?;

    hook(&bob, "pre-add.d/10-no", "echo '{\"pause\": true}' >answer")?;
    bob.ctl(&["fetch", "--detach", "ann/Public/a.bin"])?;
    wait_for("the item to be paused", LIMIT, || {
        let item = bob.item("a.bin")?.context("the item")?;
        ensure!(item["state"] == "paused", "{item:#}");
        Ok(Some(()))
    })?;
    bob.ctl(&["rm", "a.bin"])?;

    let other = bob.dir().join("other");
    fs::create_dir(&other)?;
    let answer = format!("echo '{{\"dir\": \"{}\"}}' >answer", other.display());
    hook(&bob, "pre-add.d/10-no", &answer)?;
    bob.ctl(&["fetch", "ann/Public/a.bin"])?;
    ensure!(other.join("a.bin").is_file());
    Ok(())
}

#[test]
fn pre_publish_keeps_an_entry_out_of_the_catalogue_and_the_swarm() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let lab = Lab::start(dir.path(), Programs::beside_this()?, "")?;
    let ann = lab.member("ann", QUICK)?;
    let only_txt = "case \"$P2P_NAME\" in *.txt) ;; *) echo only .txt; exit 1;; esac";
    hook(&ann, "pre-publish.d/10-filter", only_txt)?;
    let share = ann.dir().join("Public");
    fs::create_dir(&share)?;
    fs::write(share.join("b.txt"), "text")?;
    fs::write(share.join("a.exe"), "program")?;
    ann.ctl(&["share", &share.display().to_string()])?;
    ann.wait_published("b.txt", LIMIT)?;
    let item = wait_for("a.exe to be refused", LIMIT, || {
        let item = ann.item("a.exe")?.context("the item")?;
        ensure!(
            item["state"] == "held" && item["error_kind"] == "refused",
            "{item:#}"
        );
        Ok(Some(item))
    })?;
    let reason = "refused by pre-publish 10-filter: only .txt";
    ensure!(item["reason"] == reason, "{item:#}");
    let found = ann.rows(&["search", "a.exe"])?;
    ensure!(found.is_empty(), "a.exe is in the catalogue");
    hook(&ann, "pre-publish.d/10-filter", "exit 0")?;
    ann.ctl(&["resume", "a.exe"])?;
    ann.wait_published("a.exe", LIMIT)?;
    ann.wait_seeding("a.exe", LIMIT)?;
    Ok(())
}

/// A process at the control socket, line by line.
struct Line {
    read: BufReader<UnixStream>,
    write: UnixStream,
}

impl Line {
    fn open(peer: &Peer) -> Result<Self> {
        let write = UnixStream::connect(peer.dir().join("run/control.sock"))?;
        write.set_read_timeout(Some(LIMIT))?;
        let read = BufReader::new(write.try_clone()?);
        let mut line = Self { read, write };
        line.say(&json!({"id": 1, "method": "hello", "params": {"proto": [1, 1], "client": "x"}}))?;
        ensure!(line.hear()?["result"]["proto"] == 1);
        Ok(line)
    }

    fn say(&mut self, message: &Value) -> Result<()> {
        let mut message = message.clone();
        message["jsonrpc"] = "2.0".into();
        Ok(writeln!(self.write, "{message}")?)
    }

    fn hear(&mut self) -> Result<Value> {
        let mut line = String::new();
        self.read.read_line(&mut line)?;
        Ok(serde_json::from_str(&line)?)
    }
}

#[test]
fn a_service_that_connects_is_asked_and_told_for_as_long_as_it_stays() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (_lab, _ann, bob) = two(dir.path(), "")?;
    let mut service = Line::open(&bob)?;
    let manifest = json!({
        "name": "scanner", "api": 1, "events": ["item.finished"], "gates": ["pre-release"],
    });
    service.say(&json!({"id": 2, "method": "plugin.register", "params": manifest}))?;
    let answer = service.hear()?;
    ensure!(answer["id"] == 2 && answer["error"].is_null(), "{answer:#}");
    let listed = bob.json(&["hooks", "ls"])?;
    ensure!(
        listed[0]["name"] == "scanner" && listed[0]["state"] == "connected",
        "{listed:#}"
    );

    bob.ctl(&["fetch", "--detach", "ann/Public/a.bin"])?;
    let asked = service.hear()?;
    ensure!(asked["method"] == "gate.pre-release", "{asked:#}");
    ensure!(asked["params"]["item"]["name"] == "a.bin", "{asked:#}");
    let no = json!({"id": asked["id"], "result": {"allow": false, "reason": "not so fast"}});
    service.say(&no)?;
    wait_for("the refusal", LIMIT, || {
        let item = bob.item("a.bin")?.context("the item")?;
        let expected = "refused by pre-release plugin scanner: not so fast";
        ensure!(item["reason"] == expected, "{item:#}");
        Ok(Some(()))
    })?;
    bob.ctl(&["resume", "a.bin"])?;
    let again = service.hear()?;
    ensure!(again["method"] == "gate.pre-release", "{again:#}");
    service.say(&json!({"id": again["id"], "result": {"allow": true}}))?;
    let told = service.hear()?;
    ensure!(
        told["method"] == "event" && told["id"].is_null(),
        "{told:#}"
    );
    ensure!(told["params"]["event"] == "item.finished", "{told:#}");
    drop(service);
    wait_for("the plugin to be gone", LIMIT, || {
        let listed = bob.json(&["hooks", "ls"])?;
        ensure!(listed.as_array().is_some_and(Vec::is_empty), "{listed:#}");
        Ok(Some(()))
    })
}

#[test]
fn a_plugin_that_ends_when_it_is_asked_is_asked_once_more_and_then_counts_as_failed() -> Result<()>
{
    let dir = tempfile::tempdir()?;
    let (_lab, _ann, mut bob) = two(dir.path(), "")?;
    bob.stop()?;
    let answers = r#"while read -r line; do
        id=${line#*\"id\":}
        id=${id%%[,\}]*}
        case $line in
            *plugin.manifest*) result='{"name": "dies", "api": 1, "events": [], "gates": ["pre-add"]}' ;;
            *plugin.init*) result=null ;;
            *gate.pre-add*) echo 'was asked' >&2; exit 3 ;;
        esac
        echo "{\"jsonrpc\": \"2.0\", \"id\": $id, \"result\": $result}"
    done"#;
    hook(&bob, "plugins.d/30-dies", answers)?;
    bob.start()?;
    let (code, said) = bob.refused(&["fetch", "ann/Public/a.bin"])?;
    ensure!(code == 9 && said.contains("ended twice"), "{code}: {said}");
    let item = bob.item("a.bin")?.context("the item")?;
    ensure!(item["state"] == "held" && item["done"] == 0, "{item:#}");
    let asked = bob.output().matches("30-dies: was asked").count();
    ensure!(asked == 2, "it was asked {asked} times:\n{}", bob.output());
    Ok(())
}

#[test]
fn pre_publish_leaves_files_out_of_a_folder() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let lab = Lab::start(dir.path(), Programs::beside_this()?, "")?;
    let mut ann = lab.member("ann", QUICK)?;
    hook(
        &ann,
        "pre-publish.d/10-out",
        "echo '{\"leave_out\": [\"*.bak\", \"private/**\"]}' >answer",
    )?;
    let share = ann.dir().join("Public");
    fs::create_dir_all(share.join("set/private"))?;
    for name in ["a.txt", "a.bak", "private/key", "b [1].txt"] {
        fs::write(share.join("set").join(name), name)?;
    }
    ann.ctl(&["share", &share.display().to_string()])?;
    ann.wait_published("set", LIMIT)?;
    let files = |ann: &Peer| -> Result<Vec<String>> {
        let shown = ann.json(&["show", "set", "--files"])?;
        let files = shown["files"].as_array().context("files")?.clone();
        Ok(files
            .iter()
            .filter_map(|file| file["path"].as_str().map(str::to_owned))
            .collect())
    };
    ann.wait_seeding("set", LIMIT)?;
    ensure!(files(&ann)? == ["a.txt", "b [1].txt"], "{:?}", files(&ann)?);
    ensure!(share.join("set/a.bak").is_file(), "it was deleted");
    ann.stop()?;
    ann.start()?;
    ann.wait_seeding("set", LIMIT)?;
    ensure!(files(&ann)? == ["a.txt", "b [1].txt"], "{:?}", files(&ann)?);
    Ok(())
}
