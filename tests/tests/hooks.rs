//! Hooks with the real programs: what they are told, when, and what they cannot do.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use p2p_tests::content::generate;
use p2p_tests::hooks::{LIMIT, QUICK, hook, runs, two, wait_runs};
use p2p_tests::lab::{Lab, Peer, Programs, wait_for};
use serde_json::Value;

#[test]
fn a_hook_is_told_what_happened_and_has_little_to_go_wild_with() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (_lab, _ann, bob) = two(dir.path(), "")?;
    let told = "echo \"$# $1\"; pwd; env | grep P2P_ | sort; ls /proc/self/fd | wc -l; \
        grep NoNewPrivs /proc/self/status; touch here && echo wrote here; \
        touch \"$HOME/../outside\" 2>/dev/null && echo wrote outside; \
        touch \"$(dirname \"$P2P_PATH\")/beside\" && echo wrote beside; cat";
    hook(&bob, "item.finished.d/10-first", told)?;
    hook(&bob, "item.finished.d/20-second", "echo second")?;
    hook(&bob, "item.finished.d/30-unwanted", "echo never")?;
    let masked = bob.dir().join("hooks.d/item.finished.d/30-unwanted");
    fs::remove_file(&masked)?;
    std::os::unix::fs::symlink("/dev/null", &masked)?;
    let open = hook(&bob, "item.finished.d/40-open", "echo never")?;
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777))?;

    let listed = bob.json(&["hooks", "ls"])?;
    let states: Vec<_> = (listed.as_array().context("a list")?.iter())
        .map(|hook| hook["state"].as_str().unwrap_or_default())
        .collect();
    ensure!(
        states == ["ready", "ready", "masked", "refused"],
        "{listed:#}"
    );
    let why = listed[3]["reason"].as_str().unwrap_or_default();
    ensure!(why.starts_with("everybody may write to"), "{why}");

    bob.ctl(&["fetch", "ann/Public/a.bin"])?;
    let second = wait_runs(&bob, "20-second", 1)?;
    let first = wait_runs(&bob, "10-first", 1)?.remove(0);
    ensure!(
        first["event_id"] == second[0]["event_id"],
        "{first:#} {second:#?}"
    );
    ensure!(first["outcome"] == "ok" && first["exit"] == 0, "{first:#}");
    let tail = first["tail"].as_str().context("what it printed")?;
    let lines: Vec<&str> = tail.lines().collect();
    ensure!(lines[0] == "1 item.finished", "{tail}");
    ensure!(lines[1].contains("/state/hook-runs/"), "{tail}");
    ensure!(
        !Path::new(lines[1]).join("here").exists(),
        "the folder is left behind"
    );
    for expected in [
        "P2P_EVENT=item.finished",
        "P2P_NAME=a.bin",
        "NoNewPrivs:\t1",
    ] {
        let expected = expected.replace('\t', " ");
        ensure!(tail.contains(&expected), "no {expected} in {tail}");
    }
    // Standard input, output, error, and the listing's own.
    ensure!(lines.contains(&"4"), "descriptors are left open: {tail}");
    ensure!(
        tail.contains("wrote here") && tail.contains("wrote beside"),
        "{tail}"
    );
    if tail.contains("wrote outside") {
        ensure!(std::env::var_os("P2P_NO_SKIP").is_none(), "{tail}");
        eprintln!("not tested: this kernel has no Landlock");
    }
    let body: Value = serde_json::from_str(lines.last().context("JSON")?)?;
    ensure!(
        body["version"] == 1 && body["event"] == "item.finished",
        "{body:#}"
    );
    ensure!(
        body["item"]["name"] == "a.bin" && body["item"]["state"] == "seeding",
        "{body:#}"
    );
    ensure!(body["event_id"] == first["event_id"], "{body:#}");
    for never in ["30-unwanted", "40-open"] {
        ensure!(runs(&bob, never)?.is_empty(), "{never} ran");
    }
    Ok(())
}

/// Names that do harm where a name is taken for something else: by a shell, a terminal, a format, an option, a path.
const NASTY: [&str; 30] = [
    "$(touch canary)",
    "`touch canary`",
    "; touch canary",
    "&& touch canary",
    "| touch canary",
    "& touch canary &",
    "\n touch canary",
    "'; touch canary; '",
    "\"; touch canary; \"",
    "${IFS}touch${IFS}canary",
    "> canary",
    "-rf",
    "--help",
    "-c touch canary",
    "%s%n%x%d",
    "{\"pause\": true, \"dir\": \"canary\"}",
    "$((1+1))",
    "~root",
    "*",
    "?[a-z]*",
    "\u{1b}[2J\u{1b}[31m",
    "\u{1b}]0;title\u{7}",
    "\r\noverwritten",
    "a\tb",
    "\u{202e}gpj.exe",
    "\\x41\\n",
    "P2P_PATH=canary",
    "x\\..\\..\\canary",
    "<script>touch(canary)<!--",
    "\u{85}\u{9b}31m",
];

#[test]
fn nasty_names_execute_nothing_on_their_way_through_everything() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let lab = Lab::start(dir.path(), Programs::beside_this()?, "")?;
    let ann = lab.member("ann", QUICK)?;
    let bob = lab.member("bob", "")?;
    // What a careful script does, and then what was made in its folder by anything.
    let script = "printf '%s\\n' \"$P2P_NAME\" \"$P2P_PATH\"; cat >/dev/null; echo made: *";
    let all = [
        "share.added",
        "item.added",
        "published",
        "item.finished",
        "pre-publish",
    ];
    for event in all {
        hook(&ann, &format!("{event}.d/10-name"), script)?;
    }
    // Three for each item: the last hundred runs are kept.
    for event in ["pre-add", "pre-release", "item.finished"] {
        hook(&bob, &format!("{event}.d/10-name"), script)?;
    }
    let share = ann.dir().join("Public");
    fs::create_dir(&share)?;
    for (n, name) in NASTY.iter().enumerate() {
        fs::write(share.join(name), format!("content number {n}\n"))?;
    }
    ann.ctl(&["share", &share.display().to_string()])?;
    let status = wait_for("all to be published", LIMIT, || {
        let status = ann.json(&["status"])?;
        ensure!(
            status["shares"][0]["published"] == NASTY.len(),
            "{status:#}"
        );
        Ok(Some(status))
    })?;
    ensure!(status["seeding"] == NASTY.len(), "{status:#}");
    let hashes: Vec<String> = (ann.items()?.iter())
        .filter_map(|item| item["info_hash"].as_str().map(str::to_owned))
        .collect();
    let mut fetch = vec!["fetch"];
    fetch.extend(hashes.iter().map(String::as_str));
    bob.ctl(&fetch)?;
    let last = wait_for("hooks of every finished item", LIMIT, || {
        let all = bob.json(&["hooks", "log"])?;
        let all = all.as_array().context("a list")?.clone();
        let finished = all.iter().filter(|run| run["event"] == "item.finished");
        ensure!(finished.count() == NASTY.len(), "{} runs", all.len());
        Ok(Some(all))
    })?;
    for run in &last {
        let tail = run["tail"].as_str().unwrap_or_default();
        ensure!(run["outcome"] == "ok", "{run:#}");
        ensure!(tail.ends_with("made: *\n"), "something was made: {run:#}");
    }
    for peer in [&ann, &bob] {
        for args in [
            &["ls"][..],
            &["hooks", "log"],
            &["log", "-n", "1000"],
            &["status"],
        ] {
            let shown = peer.ctl(args)?;
            let steers = |c: char| c.is_control() && c != '\n' && c != '\t' || c == '\u{202e}';
            let bad = shown.chars().find(|c| steers(*c));
            ensure!(bad.is_none(), "{args:?} shows {bad:?}");
        }
    }
    let canary = find(dir.path(), "canary")?;
    ensure!(canary.is_none(), "{canary:?}");
    let written = bob.output();
    ensure!(
        !written.contains("\u{1b}]0;"),
        "the log holds a terminal's commands"
    );
    Ok(())
}

/// A file of this very name below `dir`.
fn find(dir: &Path, name: &str) -> Result<Option<PathBuf>> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.file_name().is_some_and(|found| found == name) {
            return Ok(Some(path));
        }
        if path.is_dir()
            && !path.is_symlink()
            && let Some(found) = find(&path, name)?
        {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

#[test]
fn a_hook_that_runs_wild_is_bounded() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let lab = Lab::start(dir.path(), Programs::beside_this()?, "")?;
    let settings = format!("{QUICK}[hooks]\ntimeout = \"2s\"\n");
    let carol = lab.member("carol", &settings)?;
    let share = carol.dir().join("Mine");
    fs::create_dir(&share)?;
    fs::write(share.join("x"), "x")?;
    carol.ctl(&["share", &share.display().to_string()])?;
    carol.wait_seeding("x", LIMIT)?;
    hook(
        &carol,
        "item.verified.d/10-hangs",
        "sleep 1000 & echo $! $$; exec sleep 1000",
    )?;
    hook(
        &carol,
        "item.verified.d/20-forks",
        "for n in 1 2 3 4 5; do sleep 1000 & echo $!; done",
    )?;
    hook(
        &carol,
        "item.verified.d/30-talks",
        "head -c 1000000000 /dev/zero",
    )?;
    hook(&carol, "item.verified.d/40-dies", "kill -9 $$")?;
    hook(
        &carol,
        "item.verified.d/50-deaf",
        "trap '' TERM; echo $$; while :; do sleep 1; done",
    )?;
    hook(&carol, "item.verified.d/60-well", "echo well")?;
    let begin = Instant::now();
    let (code, said) = carol.refused(&["hooks", "run", "item.verified", "x"])?;
    ensure!(code == 1, "{code}: {said}");
    let took = begin.elapsed();
    ensure!(took < Duration::from_secs(20), "it took {took:?}");
    let outcome = |name: &str| -> Result<(String, String)> {
        let run = runs(&carol, name)?.pop().context("a run")?;
        let text = |key: &str| run[key].as_str().unwrap_or_default().to_owned();
        for pid in text("tail").split_whitespace() {
            let gone = !Path::new(&format!("/proc/{pid}/exe")).exists();
            ensure!(
                gone || text("tail").contains("well"),
                "{name}: process {pid} lives on"
            );
        }
        Ok((text("outcome"), text("reason")))
    };
    ensure!(
        outcome("10-hangs")?.0 == "timed out",
        "{:?}",
        outcome("10-hangs")?
    );
    ensure!(outcome("20-forks")?.0 == "ok", "{:?}", outcome("20-forks")?);
    let talks = runs(&carol, "30-talks")?.pop().context("a run")?;
    ensure!(
        talks["outcome"] == "failed" && talks["took_ms"].as_u64() < Some(2_000),
        "{talks:#}"
    );
    let reason = talks["reason"].as_str().unwrap_or_default();
    ensure!(reason.contains("1 MiB"), "{reason}");
    ensure!(outcome("40-dies")? == ("failed".into(), "signal 9 ended it".into()));
    ensure!(outcome("50-deaf")?.0 == "timed out");
    ensure!(outcome("60-well")?.0 == "ok");
    carol.ctl(&["status"])?;
    Ok(())
}

#[test]
fn an_event_is_told_again_after_a_kill_with_its_id_and_never_after_delivery() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (_lab, _ann, mut bob) = two(dir.path(), "")?;
    let script = "at=$(dirname \"$P2P_PATH\"); echo \"$P2P_EVENT_ID\" >> \"$at/ids\"; \
        test -e \"$at/go\" || exec sleep 25";
    hook(&bob, "item.finished.d/10-slow", script)?;
    bob.ctl(&["fetch", "ann/Public/a.bin"])?;
    let ids = bob.downloads().join("ids");
    let told = |bob: &Peer, count: usize| {
        let ids = bob.downloads().join("ids");
        wait_for(&format!("{count} tellings"), LIMIT, || {
            let text = fs::read_to_string(&ids)?;
            let ids: Vec<String> = text.lines().map(str::to_owned).collect();
            ensure!(ids.len() == count, "{ids:?}");
            Ok(Some(ids))
        })
    };
    let first = told(&bob, 1)?;
    ensure!(first[0].len() == 32, "{first:?}");
    bob.kill()?;
    bob.start()?;
    let again = told(&bob, 2)?;
    ensure!(again[0] == again[1], "another id: {again:?}");
    bob.kill()?;
    fs::write(bob.downloads().join("go"), "")?;
    bob.start()?;
    told(&bob, 3)?;
    let ran = wait_runs(&bob, "10-slow", 1)?;
    ensure!(
        ran[0]["event_id"] == again[0].as_str() && ran[0]["outcome"] == "ok",
        "{ran:#?}"
    );
    // Delivered: neither a kill nor a stop brings it back. An event that comes after tells that the others had their turn.
    hook(&bob, "daemon.started.d/10-up", "echo up")?;
    bob.kill()?;
    bob.start()?;
    bob.stop()?;
    bob.start()?;
    wait_runs(&bob, "10-up", 2)?;
    if fs::read_to_string(&ids)?.lines().count() != 3 {
        bail!("told after delivery: {}", fs::read_to_string(&ids)?);
    }
    Ok(())
}

#[test]
fn events_of_one_item_come_in_order_and_a_hanging_hook_holds_up_no_other_item() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (_lab, ann, bob) = two(dir.path(), "")?;
    let share = ann.dir().join("Public");
    for name in ["b.bin", "slow.bin"] {
        generate(&share.join(name), 100_000, name.len() as u64)?;
        ann.wait_published(name, LIMIT)?;
    }
    let script = "test \"$P2P_NAME\" = slow.bin && exec sleep 20; echo \"$1\"";
    for event in ["item.added", "item.started", "item.finished", "item.paused"] {
        hook(&bob, &format!("{event}.d/10-all"), script)?;
    }
    let names = [
        "ann/Public/slow.bin",
        "ann/Public/a.bin",
        "ann/Public/b.bin",
    ];
    bob.ctl(&["fetch", names[0], names[1], names[2]])?;
    bob.ctl(&["pause", "a.bin"])?;
    let runs = wait_for("events of a.bin", Duration::from_secs(15), || {
        let runs = runs(&bob, "10-all")?;
        let mine = runs.into_iter().filter(|run| run["name"] == "a.bin");
        let mine: Vec<Value> = mine.collect();
        ensure!(mine.len() == 4, "{mine:#?}");
        Ok(Some(mine))
    })?;
    let events: Vec<&str> = runs
        .iter()
        .filter_map(|run| run["event"].as_str())
        .collect();
    let expected = ["item.added", "item.started", "item.finished", "item.paused"];
    ensure!(events == expected, "{events:?}");
    Ok(())
}
