//! Each event that docs/hooks.md lists is brought about with the real programs, and a hook is told of it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use p2p_tests::content::generate;
use p2p_tests::hooks::{LIMIT, QUICK, hook};
use p2p_tests::lab::{Lab, Peer, Programs, wait_for};

/// The names in the table of events.
fn documented() -> Result<BTreeSet<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/hooks.md");
    let text = fs::read_to_string(path)?;
    let (_, chapter) = text.split_once("\n## Events\n").context("events")?;
    let (chapter, _) = chapter.split_once("\n## ").context("the end of events")?;
    let rows = chapter.lines().filter(|line| line.starts_with("| `"));
    let firsts = rows.filter_map(|row| row.split('|').nth(1));
    let names = firsts.flat_map(|first| first.split('`').skip(1).step_by(2));
    Ok(names.map(str::to_owned).collect())
}

/// The events whose hook was seen to run, over all peers.
#[derive(Default)]
struct Told(BTreeSet<String>);

impl Told {
    /// Waits until hooks of `peer` have run for all of these.
    fn wait(&mut self, peer: &Peer, events: &[&str]) -> Result<()> {
        wait_for(&format!("hooks of {events:?}"), LIMIT, || {
            let runs = peer.json(&["hooks", "log"])?;
            let runs = runs.as_array().context("a list of runs")?.iter();
            let ran: BTreeSet<&str> = (runs.clone())
                .filter(|run| run["outcome"] == "ok")
                .filter_map(|run| run["event"].as_str())
                .collect();
            ensure!(events.iter().all(|event| ran.contains(event)), "{ran:?}");
            Ok(Some(()))
        })?;
        self.0.extend(events.iter().map(|&event| event.to_owned()));
        Ok(())
    }
}

fn member(lab: &Lab, name: &str, events: &BTreeSet<String>) -> Result<Peer> {
    let peer = lab.member(name, QUICK)?;
    for event in events {
        hook(&peer, &format!("{event}.d/10-told"), "cat >/dev/null")?;
    }
    Ok(peer)
}

#[test]
fn every_event_reaches_a_hook() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut lab = Lab::start(dir.path(), Programs::beside_this()?, "")?;
    let events = documented()?;
    ensure!(events.len() > 20, "{events:?}");
    let mut told = Told::default();
    let mut ann = member(&lab, "ann", &events)?;
    let mut bob = member(&lab, "bob", &events)?;
    shares(&mut ann, &mut told)?;
    items(&bob, &mut told)?;
    changed(&lab, &ann, &bob, &mut told)?;
    // Nobody has what was published as a .torrent alone.
    let lost = dir.path().join("lost.bin");
    generate(&lost, 100_000, 9)?;
    let torrent = dir.path().join("lost.torrent").display().to_string();
    ann.ctl(&["create", &lost.display().to_string(), "-o", &torrent])?;
    ann.ctl(&["publish", &torrent])?;
    bob.ctl(&["fetch", "--detach", &torrent])?;
    told.wait(&bob, &["item.missing-pieces"])?;
    bob.ctl(&["rm", "lost.bin"])?;
    disk(&mut bob, &mut told)?;
    lab.stop_tracker()?;
    bob.refused(&["tracker", "test", "home"])?;
    told.wait(&bob, &["tracker.error"])?;
    lab.start_tracker()?;
    bob.ctl(&["tracker", "test", "home"])?;
    told.wait(&bob, &["tracker.recovered"])?;
    let never: Vec<_> = events.difference(&told.0).collect();
    ensure!(never.is_empty(), "never told: {never:?}");
    Ok(())
}

/// What a share tells of, and a daemon that is started anew. Leaves `a.bin` published.
fn shares(ann: &mut Peer, told: &mut Told) -> Result<()> {
    ann.stop()?;
    ann.start()?;
    told.wait(ann, &["daemon.stopping", "daemon.started"])?;
    let share = ann.dir().join("Public");
    fs::create_dir(&share)?;
    generate(&share.join("a.bin"), 300_000, 1)?;
    generate(&share.join("b.bin"), 1_000, 2)?;
    ann.ctl(&["share", &share.display().to_string()])?;
    ann.wait_published("b.bin", LIMIT)?;
    told.wait(ann, &["share.added", "published"])?;
    fs::write(share.join("b.bin"), "other content")?;
    told.wait(ann, &["share.changed", "unpublished"])?;
    ann.wait_published("b.bin", LIMIT)?;
    fs::remove_file(share.join("b.bin"))?;
    told.wait(ann, &["share.removed"])?;
    // One share within another cannot be.
    let config = ann.dir().join("p2pd.toml");
    let before = fs::read_to_string(&config)?;
    let within = share.join("within");
    fs::create_dir(&within)?;
    fs::write(&config, format!("{before}\n[[share]]\npath = {within:?}\n"))?;
    ann.refused(&["daemon", "reload"])?;
    told.wait(ann, &["share.error"])?;
    fs::write(&config, before)?;
    fs::remove_dir(&within)?;
    let away = ann.dir().join("away");
    fs::rename(&share, &away)?;
    ann.ctl(&["rescan"])?;
    told.wait(ann, &["share.unavailable"])?;
    fs::rename(&away, &share)?;
    ann.ctl(&["rescan"])?;
    ann.wait_published("a.bin", LIMIT)?;
    ann.wait_seeding("a.bin", LIMIT).map(drop)
}

/// An item's life from a gate that holds it to its end.
fn items(bob: &Peer, told: &mut Told) -> Result<()> {
    let gate = hook(bob, "pre-add.d/10-no", "echo no; exit 1")?;
    let (code, said) = bob.refused(&["fetch", "ann/Public/a.bin"])?;
    ensure!(code == 9, "{code}: {said}");
    told.wait(bob, &["item.held"])?;
    fs::remove_file(gate)?;
    bob.ctl(&["resume", "a.bin"])?;
    bob.wait_seeding("a.bin", LIMIT)?;
    let whole = [
        "item.added",
        "item.started",
        "file.finished",
        "item.finished",
    ];
    told.wait(bob, &whole)?;
    bob.ctl(&["verify", "a.bin"])?;
    bob.ctl(&["pause", "a.bin"])?;
    bob.ctl(&["resume", "a.bin"])?;
    told.wait(bob, &["item.verified", "item.paused", "item.resumed"])?;
    let other = bob.dir().join("other");
    fs::create_dir(&other)?;
    bob.ctl(&["mv", "a.bin", &other.display().to_string()])?;
    told.wait(bob, &["item.moved"])?;
    // Its folder is gone: what is there of it is suspect, and cannot be fetched again.
    fs::remove_dir_all(&other)?;
    fs::write(&other, "a file in the way")?;
    let (code, said) = bob.refused(&["verify", "a.bin"])?;
    ensure!(code != 0, "{said}");
    told.wait(bob, &["item.error"])?;
    bob.ctl(&["rm", "a.bin"])?;
    told.wait(bob, &["item.removed"])?;
    bob.ctl(&["fetch", "ann/Public/a.bin"])?;
    bob.wait_seeding("a.bin", LIMIT).map(drop)
}

/// Changed behind p2pd's back, which it notices when it is to serve it, as the only one who has it.
fn changed(lab: &Lab, ann: &Peer, bob: &Peer, told: &mut Told) -> Result<()> {
    ann.ctl(&["pause", "a.bin"])?;
    fs::write(bob.downloads().join("a.bin"), "other content")?;
    let cleo = lab.member("cleo", "")?;
    cleo.ctl(&["fetch", "--detach", "ann/Public/a.bin"])?;
    told.wait(bob, &["item.changed"])?;
    ann.ctl(&["resume", "a.bin"])?;
    bob.ctl(&["rm", "a.bin"]).map(drop)
}

/// A disk that is too small, and one that is not after all.
fn disk(bob: &mut Peer, told: &mut Told) -> Result<()> {
    bob.ctl(&["config", "set", "storage.min_free", "1000TiB"])?;
    bob.stop()?;
    bob.start()?;
    bob.ctl(&["fetch", "--detach", "ann/Public/a.bin"])?;
    told.wait(bob, &["disk.low"])?;
    bob.ctl(&["rm", "a.bin"])?;
    told.wait(bob, &["disk.ok"])
}
