//! A fetch goes on after a kill, a stop, and without its tracker.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use p2p_tests::content::{generate, sha1_of};
use p2p_tests::lab::{Lab, Peer, Programs, wait_for};

const LEN: u64 = 48_000_000;
/// What may be fetched twice after a kill.
const IN_FLIGHT: u64 = 8 * 1024 * 1024;
const LIMIT: Duration = Duration::from_secs(60);

/// A tracker, ann who seeds `big.iso` at 8 MiB/s, and bob without anything.
fn seeded() -> Result<(tempfile::TempDir, Lab, Peer, Peer)> {
    let dir = tempfile::tempdir()?;
    let lab = Lab::start(dir.path(), Programs::beside_this()?, "")?;
    let ann = lab.member("ann", "[limits]\nupload = \"8MiB/s\"\nlan_exempt = false\n")?;
    let bob = lab.member("bob", "[storage]\nin_flight = \"8MiB\"\n")?;
    let share = ann.dir().join("Public");
    std::fs::create_dir(&share)?;
    generate(&share.join("big.iso"), LEN, 7)?;
    ann.ctl(&["share", &share.display().to_string()])?;
    ann.wait_published("big.iso", LIMIT)?;
    Ok((dir, lab, ann, bob))
}

fn wait_done(peer: &Peer, part: f64) -> Result<u64> {
    wait_for("a part of big.iso", LIMIT, || {
        let item = peer.item("big.iso")?.context("no item")?;
        let done = item["done"].as_u64().context("no done")?;
        Ok((done as f64 >= part * LEN as f64).then_some(done))
    })
}

fn equal(ann: &Peer, bob: &Peer) -> Result<()> {
    let there = sha1_of(&ann.dir().join("Public/big.iso"))?;
    ensure!(
        there == sha1_of(&bob.downloads().join("big.iso"))?,
        "the files differ"
    );
    Ok(())
}

#[test]
fn kill_in_the_middle_costs_at_most_what_was_in_flight() -> Result<()> {
    let (_dir, _lab, ann, mut bob) = seeded()?;
    bob.ctl(&["fetch", "--detach", "ann/Public/big.iso"])?;
    for part in [0.2, 0.6] {
        let before = wait_done(&bob, part)?;
        bob.kill()?;
        bob.start()?;
        let item = bob
            .item("big.iso")?
            .context("the item is gone after the kill")?;
        let after = item["done"].as_u64().context("no done")?;
        ensure!(
            after + IN_FLIGHT >= before,
            "had {before} bytes before the kill, {after} after"
        );
    }
    bob.wait_seeding("big.iso", LIMIT)?;
    equal(&ann, &bob)?;
    let sent = wait_for("ann's count", LIMIT, || {
        let item = ann.item("big.iso")?.context("no item")?;
        Ok(item["uploaded"].as_u64().filter(|sent| *sent >= LEN))
    })?;
    ensure!(
        sent <= LEN + 2 * IN_FLIGHT,
        "ann sent {sent} bytes for a file of {LEN}"
    );
    Ok(())
}

#[test]
fn a_finished_item_is_seeded_after_a_restart_without_reading_it() -> Result<()> {
    let (_dir, _lab, _ann, mut bob) = seeded()?;
    bob.ctl(&["fetch", "ann/Public/big.iso"])?;
    bob.stop()?;
    bob.start()?;
    bob.wait_seeding("big.iso", LIMIT)?;
    let read = bob.bytes_read()?;
    ensure!(read < LEN / 4, "read {read} bytes after the start");
    Ok(())
}

#[test]
fn a_daemon_that_p2pctl_restarts_is_the_one_it_was() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let lab = Lab::start(dir.path(), Programs::beside_this()?, "")?;
    let ann = lab.member("ann", "[limits]\nupload = \"7MiB/s\"\n")?;
    let before = ann.json(&["status"])?;
    ann.ctl(&["daemon", "restart"])?;
    let after = ann.json(&["status"]);
    // It runs in the background now and is nobody's child.
    ann.ctl(&["daemon", "stop"])?;
    let after = after?;
    ensure!(before["pid"] != after["pid"], "{after}");
    for same in ["config", "state_dir", "download_dir", "limits", "port"] {
        ensure!(before[same] == after[same], "{same}: {before} {after}");
    }
    ensure!(after["trackers"][0]["username"] == "ann", "{after}");
    Ok(())
}

#[test]
fn a_fetch_goes_on_while_the_tracker_is_away_and_is_reported_when_it_is_back() -> Result<()> {
    let (_dir, mut lab, mut ann, bob) = seeded()?;
    bob.ctl(&["fetch", "--detach", "ann/Public/big.iso"])?;
    wait_done(&bob, 0.1)?;
    lab.kill_tracker()?;
    bob.wait_seeding("big.iso", LIMIT)?;
    equal(&ann, &bob)?;
    // The one seed that the tracker then knows of is bob.
    ann.stop()?;
    lab.start_tracker()?;
    wait_for("the new seed at the tracker", LIMIT, || {
        let found = bob.wait_published("big.iso", LIMIT)?;
        Ok((found["seeds"] == 1).then_some(()))
    })
}
