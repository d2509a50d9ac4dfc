//! Watched folders: many files, rewritten files, deleted files.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use p2p_tests::content::{generate, sha1_of};
use p2p_tests::lab::{Lab, Peer, Programs, wait_for};

const LIMIT: Duration = Duration::from_secs(120);
/// Quick to settle, so that tests do not wait for quiet times made for people.
const SETTINGS: &str = "[shares]\nsettle = \"1s\"\n";

fn sharing(lab: &Lab) -> Result<(Peer, PathBuf)> {
    sharing_with(lab, SETTINGS)
}

fn sharing_with(lab: &Lab, settings: &str) -> Result<(Peer, PathBuf)> {
    let ann = lab.member("ann", settings)?;
    let share = ann.dir().join("Public");
    fs::create_dir(&share)?;
    ann.ctl(&["share", &share.display().to_string()])?;
    Ok((ann, share))
}

/// Memory of a daemon that is not a file's.
fn anonymous_kib(peer: &Peer) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", peer.pid()))?;
    let resident = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = resident.context("no RssAnon")?.trim();
    Ok(kib.trim_end_matches(" kB").parse()?)
}

/// Nanoseconds that all threads of a daemon have been on a processor.
fn cpu_ns(peer: &Peer) -> Result<u64> {
    let mut total = 0;
    for task in fs::read_dir(format!("/proc/{}/task", peer.pid()))? {
        let stat = fs::read_to_string(task?.path().join("schedstat"))?;
        let on_cpu = stat.split_whitespace().next().context("no schedstat")?;
        total += on_cpu.parse::<u64>()?;
    }
    Ok(total)
}

#[test]
fn a_thousand_files_are_published_and_cost_nothing_when_idle() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let lab = Lab::start(dir.path(), Programs::beside_this()?, "")?;
    let (mut ann, share) = sharing(&lab)?;
    for n in 0..1_000 {
        fs::write(
            share.join(format!("note-{n:04}.txt")),
            format!("file number {n}\n"),
        )?;
    }
    let published = |ann: &Peer| {
        wait_for("1,000 published items", LIMIT, || {
            let status = ann.json(&["status"])?;
            let share = &status["shares"][0];
            ensure!(
                share["published"] == 1_000 && status["seeding"] == 1_000,
                "{status}"
            );
            Ok(Some(()))
        })
    };
    published(&ann)?;
    ann.stop()?;
    ann.start()?;
    published(&ann)?;
    let proc = PathBuf::from(format!("/proc/{}", ann.pid()));
    let kib = anonymous_kib(&ann)?;
    ensure!(
        kib < 40 * 1024,
        "{kib} KiB of anonymous memory for 1,000 idle items"
    );
    let descriptors = fs::read_dir(proc.join("fd"))?.count();
    ensure!(
        descriptors < 128,
        "{descriptors} descriptors for 1,000 idle items"
    );

    // Announces and reports of a start are no idleness: it comes to rest, and then stays so. No wait of its own is longer than this.
    let quiet = Duration::from_secs(3);
    wait_for("a rest without work", LIMIT, || {
        let (began, before) = (Instant::now(), cpu_ns(&ann)?);
        while began.elapsed() < quiet {
            std::thread::sleep(quiet / 10); // the time it is given to do something in
        }
        let spent = Duration::from_nanos(cpu_ns(&ann)? - before);
        ensure!(
            spent < began.elapsed() / 200,
            "{spent:?} on a processor within {:?}, for 1,000 idle items",
            began.elapsed()
        );
        Ok(Some(()))
    })?;

    let bob = lab.member("bob", "")?;
    bob.ctl(&["fetch", "ann/Public/note-0777.txt"])?;
    ensure!(fs::read_to_string(bob.downloads().join("note-0777.txt"))? == "file number 777\n");
    Ok(())
}

#[test]
fn a_rewritten_file_is_withdrawn_and_becomes_version_2() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let lab = Lab::start(dir.path(), Programs::beside_this()?, "")?;
    let (ann, share) = sharing(&lab)?;
    let bob = lab.member("bob", "")?;
    let path = share.join("model.bin");
    generate(&path, 5_000_000, 1)?;
    let first = ann.wait_published("model.bin", LIMIT)?;
    bob.ctl(&["fetch", "ann/Public/model.bin"])?;
    let sum = sha1_of(&path)?;
    ensure!(
        sha1_of(&bob.downloads().join("model.bin"))? == sum,
        "version 1 differs"
    );

    // In place, of the same length: only the times tell.
    let mut bytes = fs::read(&path)?;
    bytes[2_500_000] ^= 1;
    fs::write(&path, bytes)?;
    let second = wait_for("version 2", LIMIT, || {
        let entry = ann.wait_published("model.bin", LIMIT)?;
        ensure!(entry["version"] == 2, "{entry}");
        Ok(Some(entry))
    })?;
    ensure!(
        first["info_hash"] != second["info_hash"],
        "the hash did not change"
    );
    let cleo = lab.member("cleo", "")?;
    cleo.ctl(&["fetch", "ann/Public/model.bin"])?;
    ensure!(
        sha1_of(&cleo.downloads().join("model.bin"))? == sha1_of(&path)?,
        "version 2 differs"
    );
    // What was withdrawn is offered no more; who had it keeps it as it was.
    let (code, said) = cleo.refused(&["fetch", "ann/Public/model.bin@1"])?;
    ensure!(code == 4, "{code}: {said}");
    ensure!(
        sha1_of(&bob.downloads().join("model.bin"))? == sum,
        "bob's version 1 changed"
    );
    let kept: Vec<_> = ann
        .items()?
        .iter()
        .map(|item| item["info_hash"].clone())
        .collect();
    ensure!(
        kept == [second["info_hash"].clone()],
        "ann still serves the old version: {kept:?}"
    );
    Ok(())
}

#[test]
fn a_deleted_file_leaves_the_catalogue_and_a_renamed_one_keeps_its_hash() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let lab = Lab::start(dir.path(), Programs::beside_this()?, "")?;
    let (ann, share) = sharing(&lab)?;
    generate(&share.join("a.bin"), 300_000, 1)?;
    generate(&share.join("b.bin"), 300_000, 2)?;
    let a = ann.wait_published("a.bin", LIMIT)?;
    ann.wait_published("b.bin", LIMIT)?;
    fs::rename(share.join("a.bin"), share.join("renamed.bin"))?;
    fs::remove_file(share.join("b.bin"))?;
    let renamed = ann.wait_published("renamed.bin", LIMIT)?;
    ensure!(
        renamed["entry"] == "renamed.bin" && renamed["size"] == a["size"],
        "{renamed}"
    );
    wait_for("b.bin to leave the catalogue", LIMIT, || {
        let rows = ann.rows(&["search", "b.bin"])?;
        ensure!(rows.iter().all(|row| row["entry"] != "b.bin"), "{rows:?}");
        Ok(Some(()))
    })?;
    wait_for("one item", LIMIT, || {
        let items = ann.items()?;
        ensure!(items.len() == 1, "{items:?}");
        Ok(Some(()))
    })
}

#[test]
fn a_folder_dropped_in_is_one_item_and_arrives_whole() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let lab = Lab::start(dir.path(), Programs::beside_this()?, "")?;
    let (ann, share) = sharing(&lab)?;
    let staged = ann.dir().join("set");
    fs::create_dir_all(staged.join("deep/er"))?;
    for (n, name) in ["a.bin", "deep/b.bin", "deep/er/c.bin", "z.txt"]
        .iter()
        .enumerate()
    {
        generate(&staged.join(name), 70_000 * n as u64 + 1, n as u64)?;
    }
    fs::rename(&staged, share.join("set"))?;
    ann.wait_published("set", LIMIT)?;
    let bob = lab.member("bob", "")?;
    bob.ctl(&["fetch", "ann/Public/set"])?;
    for name in ["a.bin", "deep/b.bin", "deep/er/c.bin", "z.txt"] {
        let (there, here) = (
            share.join("set").join(name),
            bob.downloads().join("set").join(name),
        );
        ensure!(sha1_of(&there)? == sha1_of(&here)?, "{name} differs");
    }
    Ok(())
}

#[test]
fn a_file_truncated_again_and_again_while_its_map_is_hashed_harms_nobody() -> Result<()> {
    let seconds = std::env::var("P2P_STORM_SECONDS").map_or(Ok(5), |seconds| seconds.parse())?;
    let dir = tempfile::tempdir()?;
    let lab = Lab::start(dir.path(), Programs::beside_this()?, "")?;
    let settings = format!("{SETTINGS}max_delay = \"2s\"\n[hashing]\nio = \"map\"\nthreads = 1\n");
    let (ann, share) = sharing_with(&lab, &settings)?;
    let pid = ann.pid();
    let path = share.join("storm.bin");
    // A hole: long enough to hash that the storm meets it, and no byte on the disk.
    let len = 1 << 30;
    let (mut rounds, mut cuts) = (0, 0u64);
    let end = Instant::now() + Duration::from_secs(seconds);
    while rounds == 0 || Instant::now() < end {
        // Nobody has it open, else it would not be hashed yet.
        fs::File::create(&path)?.set_len(len)?;
        wait_for("the file to be mapped", LIMIT, || {
            let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
            ensure!(maps.contains("storm.bin"), "not mapped");
            Ok(Some(()))
        })?;
        rounds += 1;
        let file = fs::File::options().write(true).open(&path)?;
        let over = Instant::now() + Duration::from_secs(1);
        while Instant::now() < over {
            file.set_len(cuts * 7_919 * 4_096 % len)?;
            file.set_len(len)?;
            cuts += 1;
            std::thread::sleep(Duration::from_millis(10)); // 100 Hz
        }
    }
    eprintln!("{cuts} truncations in {rounds} times of hashing");
    fs::remove_file(&path)?;
    generate(&path, 1_000_000, 7)?;
    let item = ann.wait_published("storm.bin", LIMIT)?;
    ensure!(item["size"] == 1_000_000, "{item}");
    ann.ctl(&["verify", "storm.bin"])?;
    ensure!(ann.pid() == pid && !ann.output().contains("panicked"));
    Ok(())
}

#[test]
fn files_dropped_while_nobody_reads_the_events_are_all_published() -> Result<()> {
    // Each gives several events: more than the kernel's queue holds.
    let count = match std::env::var("P2P_FILES") {
        Ok(count) => count.parse()?,
        Err(_) => 10_000,
    };
    let dir = tempfile::tempdir()?;
    let lab = Lab::start(dir.path(), Programs::beside_this()?, "")?;
    let (ann, share) = sharing(&lab)?;
    let pid = nix::unistd::Pid::from_raw(i32::try_from(ann.pid())?);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGSTOP)?;
    let begin = Instant::now();
    for n in 0..count {
        fs::write(share.join(format!("f{n}")), format!("file {n}\n"))?;
    }
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGCONT)?;
    // Some ten times what it takes on a machine that does nothing else.
    let limit = Duration::from_secs(120) + Duration::from_millis(60) * count;
    let mut control = ann.control()?;
    let page = serde_json::json!({ "limit": 100 });
    let (mut took, mut peak) = (BTreeMap::<_, Vec<Duration>>::new(), 0);
    let mut ask = |method, params| {
        let asked = Instant::now();
        let answer = control.call(method, params);
        took.entry(method).or_default().push(asked.elapsed());
        answer
    };
    wait_for("every file to be an item", limit, || {
        // Each look at all items costs; the others must not, and are asked without a pause.
        ask("item.list", page.clone())?;
        for _ in 0..10 {
            ask("share.list", serde_json::json!({}))?;
            ask("status", serde_json::json!({}))?;
        }
        let status = ask("status", serde_json::json!({}))?;
        peak = peak.max(anonymous_kib(&ann)?);
        let share = &status["shares"][0];
        let whole = ["items", "published"].iter().all(|key| share[key] == count);
        ensure!(whole && share["pending"] == 0, "{share}");
        Ok(Some(()))
    })?;
    eprintln!(
        "{count} files in {:.1?}; {peak} KiB at most",
        begin.elapsed()
    );
    // Unoptimised, and beside other tests on the same processors, it is several times what it is else.
    let patience = match cfg!(debug_assertions) {
        true => Duration::from_secs(1),
        false => Duration::from_millis(100),
    };
    let mut slow = Vec::new();
    for (method, mut took) in took {
        took.sort();
        let (many, slowest) = (took.len(), took.last().copied().unwrap_or_default());
        eprintln!(
            "{method}: {many} answers, half within {:.1?}, the slowest after {slowest:.1?}",
            took[many / 2]
        );
        slow.extend((slowest >= patience).then(|| format!("{method} took {slowest:?}")));
    }
    ensure!(slow.is_empty(), "{slow:?}");
    ensure!(
        peak < 32 * 1024 + 4 * u64::from(count),
        "{peak} KiB of anonymous memory for {count} items"
    );
    Ok(())
}
