//! The examples that are shipped, and those of the documentation, run as users would.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use p2p_tests::hooks::{LIMIT, hook, runs, two, wait_runs};
use p2p_tests::lab::{Peer, Programs, wait_for};
use serde_json::Value;

/// A folder of the repository.
fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// Installs an example as a hook that finds `fakes` before other programs.
fn example(peer: &Peer, at: &str, name: &str, fakes: &Path) -> Result<()> {
    let example = repository("packaging/examples/hooks").join(name);
    let script = format!(
        "PATH={}:$PATH exec \"{}\" \"$@\"",
        fakes.display(),
        example.canonicalize()?.display()
    );
    hook(peer, at, &script).map(drop)
}

fn fake(fakes: &Path, name: &str, script: &str) -> Result<()> {
    fs::create_dir_all(fakes)?;
    let path = fakes.join(name);
    fs::write(&path, format!("#!/bin/sh\n{script}\n"))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

#[test]
fn the_scan_example_keeps_back_what_the_scanner_finds_and_waits_for_a_scanner_that_is_away()
-> Result<()> {
    let dir = tempfile::tempdir()?;
    let (_lab, _ann, bob) = two(dir.path(), "")?;
    let fakes = dir.path().join("fakes");
    fake(&fakes, "clamdscan", "exit 2")?;
    example(&bob, "pre-release.d/10-clamd", "pre-release-clamd", &fakes)?;
    bob.ctl(&["fetch", "--detach", "ann/Public/a.bin"])?;
    let waits = |text: &str| {
        wait_for(text, LIMIT, || {
            let item = bob.item("a.bin")?.context("the item")?;
            ensure!(item["reason"] == text, "{item:#}");
            Ok(Some(()))
        })
    };
    waits("pre-release 10-clamd: clamd does not answer")?;
    fake(
        &fakes,
        "clamdscan",
        "for path; do :; done; echo \"$path: Win.Test.EICAR FOUND\"; exit 1",
    )?;
    bob.ctl(&["resume", "a.bin"])?;
    waits("refused by pre-release 10-clamd: Win.Test.EICAR")?;
    fake(&fakes, "clamdscan", "exit 0")?;
    bob.ctl(&["resume", "a.bin"])?;
    bob.wait_seeding("a.bin", LIMIT)?;
    Ok(())
}

#[test]
fn the_examples_filter_extensions_and_move_and_mail() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (_lab, ann, bob) = two(dir.path(), "")?;
    let fakes = dir.path().join("fakes");
    let share = ann.dir().join("Public");
    example(
        &ann,
        "pre-publish.d/20-extensions",
        "pre-publish-extensions",
        &fakes,
    )?;
    fs::create_dir(share.join("tools"))?;
    fs::write(share.join("tools/Setup.EXE"), "program")?;
    fs::write(share.join("tools/readme"), "text")?;
    wait_for("the folder to be refused", LIMIT, || {
        let item = ann.item("tools")?.context("the item")?;
        let reason =
            "refused by pre-publish 20-extensions: programs are not published here: Setup.EXE";
        ensure!(item["reason"] == reason, "{item:#}");
        Ok(Some(()))
    })?;

    // Moved to the folder of its label, which is the share it was published in.
    let ctl = Programs::beside_this()?.ctl;
    let library = bob.dir().join("library");
    fs::create_dir_all(library.join("Public"))?;
    fake(
        &fakes,
        "p2pctl",
        &format!("exec \"{}\" \"$@\"", ctl.display()),
    )?;
    fake(&fakes, "msmtp", "cat; echo sent")?;
    let script = format!(
        "export HOME={0}; mkdir -p home/.config/p2p; export HOME=$PWD/home; echo {0} > home/.config/p2p/library; \
         PATH={1}:$PATH exec \"{2}\" \"$@\"",
        library.display(),
        fakes.display(),
        repository("packaging/examples/hooks/item.finished-move").display()
    );
    hook(&bob, "item.finished.d/80-move", &script)?;
    bob.ctl(&["fetch", "ann/Public/a.bin"])?;
    wait_for("a.bin to be moved", LIMIT, || {
        ensure!(
            library.join("Public/a.bin").is_file(),
            "{:#?}",
            runs(&bob, "80-move")?
        );
        Ok(Some(()))
    })?;
    bob.wait_seeding("a.bin", LIMIT)?;

    example(&bob, "item.error.d/50-mail", "item.error-mail", &fakes)?;
    bob.ctl(&["hooks", "run", "item.error", "a.bin"])?;
    let mailed = wait_runs(&bob, "50-mail", 1)?;
    let tail = mailed[0]["tail"].as_str().unwrap_or_default();
    ensure!(
        tail.contains("Subject: p2p: a.bin stopped") && tail.contains("sent"),
        "{tail}"
    );
    Ok(())
}

#[test]
fn a_plugin_is_told_and_asked_and_started_again() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (_lab, _ann, mut bob) = two(dir.path(), "")?;
    bob.stop()?;
    let plugin = repository("packaging/examples/hooks/plugin-quota.py");
    let to = bob.dir().join("hooks.d/plugins.d/30-quota");
    fs::create_dir_all(to.parent().context("a folder")?)?;
    let text = fs::read_to_string(plugin)?;
    ensure!(
        text.contains("QUOTA = 500 * 2**30"),
        "the quota is written otherwise"
    );
    let quota = |quota: &str| -> Result<()> {
        fs::write(
            &to,
            text.replace("QUOTA = 500 * 2**30", &format!("QUOTA = {quota}")),
        )?;
        fs::set_permissions(&to, fs::Permissions::from_mode(0o755))?;
        Ok(())
    };
    quota("400_000")?;
    bob.start()?;
    // Not ready yet, perhaps: what has a gate waits for it.
    bob.ctl(&["fetch", "ann/Public/a.bin"])?;
    let listed = bob.json(&["hooks", "ls"])?;
    ensure!(
        listed[0]["name"] == "30-quota" && listed[0]["state"] == "ready",
        "{listed:#}"
    );
    ensure!(wait_runs(&bob, "plugin 30-quota", 1)?[0]["outcome"] == "ok");
    wait_for("what the plugin prints", LIMIT, || {
        ensure!(bob.ctl(&["log"])?.contains("quota plugin of p2pd"));
        Ok(Some(()))
    })?;

    // Killed, it is started again, and asked again with what it was told gone.
    let log = bob.output();
    let pid = children(bob.pid())?.pop().context("the plugin's process")?;
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(pid),
        nix::sys::signal::Signal::SIGKILL,
    )?;
    quota("100")?;
    wait_for("the plugin to be started again", LIMIT, || {
        let news = bob.output()[log.len()..].to_owned();
        ensure!(
            news.contains("is started again") && news.contains("30-quota is ready"),
            "{news}"
        );
        Ok(Some(()))
    })?;
    bob.ctl(&["rm", "a.bin"])?;
    let (code, said) = bob.refused(&["fetch", "ann/Public/a.bin"])?;
    ensure!(
        code == 9 && said.contains("were fetched today"),
        "{code}: {said}"
    );
    Ok(())
}

fn children(pid: u32) -> Result<Vec<i32>> {
    let all = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
    Ok(all
        .split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect())
}

#[test]
fn what_the_documentation_shows_runs() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (_lab, _ann, bob) = two(dir.path(), "")?;
    let doc = fs::read_to_string(repository("docs/hooks.md"))?;
    let blocks = doc
        .split("```sh\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        // Those of the tracker are run by its own tests.
        .filter(|block| !block.contains("\n# tracker-hooks.d/"));
    let mut names = Vec::new();
    for block in blocks {
        let place = block
            .lines()
            .nth(1)
            .and_then(|line| line.strip_prefix("# hooks.d/"));
        let place = place.with_context(|| format!("no place in {block}"))?;
        hook(&bob, place, block)?;
        names.extend(place.split('/').nth(1).map(str::to_owned));
    }
    ensure!(names.len() == 3, "{names:?}");
    bob.ctl(&["fetch", "ann/Public/a.bin"])?;
    for name in &names {
        let run = wait_runs(&bob, name, 1)?.remove(0);
        ensure!(run["outcome"] == "ok", "{run:#}");
    }
    for command in commands(&doc, "p2pctl hooks ") {
        let ran = shell(&bob, &command.replace("big.iso", "a.bin")).output()?;
        ensure!(ran.status.success(), "{command}: {ran:?}");
    }
    watched(&bob, &commands(&doc, "p2pctl --json watch ")[0])?;
    let json = doc
        .split("```json\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next());
    let shown: Value = serde_json::from_str(json.context("the JSON")?)?;
    hook(&bob, "item.paused.d/10-cat", "cat")?;
    bob.ctl(&["pause", "a.bin"])?;
    let real = wait_runs(&bob, "10-cat", 1)?.remove(0);
    let real: Value = serde_json::from_str(real["tail"].as_str().unwrap_or_default())?;
    let keys = |value: &Value| -> Vec<String> {
        value
            .as_object()
            .map(|map| map.keys().cloned().collect())
            .unwrap_or_default()
    };
    ensure!(
        keys(&shown) == keys(&real),
        "{:?} {:?}",
        keys(&shown),
        keys(&real)
    );
    // Every event and gate that is named is one.
    let begin = doc.find("## Events").context("events")?;
    let end = doc
        .find("## What a hook may do")
        .context("the end of gates")?;
    for line in doc[begin..end]
        .lines()
        .filter(|line| line.starts_with("| `"))
    {
        let first = line.split('|').nth(1).unwrap_or_default();
        for name in first.split('`').skip(1).step_by(2) {
            let (_, said) = bob.refused(&["hooks", "run", name, "a.bin"])?;
            ensure!(!said.contains("there is no event"), "{name}: {said}");
        }
    }
    Ok(())
}

/// The indented lines that begin so, without what they are said to do.
fn commands(doc: &str, start: &str) -> Vec<String> {
    let lines = doc.lines().filter_map(|line| line.strip_prefix("    "));
    let lines = lines.filter(|line| line.starts_with(start));
    lines
        .filter_map(|line| line.split("  #").next())
        .map(|line| line.trim_end().to_owned())
        .collect()
}

/// A line of shell in which `p2pctl` is that of `peer`; it fails where a part of it does.
fn shell(peer: &Peer, line: &str) -> Command {
    let own = peer.command(&[]);
    let args: Vec<_> = own.get_args().map(|arg| arg.to_string_lossy()).collect();
    let program = own.get_program().to_string_lossy();
    let script = format!(
        "p2pctl() {{ {program} {} \"$@\"; }}; {line}",
        args.join(" ")
    );
    let mut command = Command::new("bash");
    command.args(["-euo", "pipefail", "-c", &script]);
    command
}

/// Runs a line that hears of finished items until it has heard of one.
fn watched(peer: &Peer, line: &str) -> Result<()> {
    let heard = peer.dir().join("heard");
    let mut command = shell(peer, line);
    let mut running = command.stdout(fs::File::create(&heard)?).spawn()?;
    let told = wait_for("the watch to hear of an item", LIMIT, || {
        // It may not have been there yet at the time before.
        peer.ctl(&["rm", "--delete-data", "--yes", "a.bin"])?;
        peer.ctl(&["fetch", "ann/Public/a.bin"])?;
        let text = fs::read_to_string(&heard)?;
        ensure!(text.contains("item.finished"), "{text}");
        Ok(Some(()))
    });
    running.kill()?;
    running.wait()?;
    told
}
