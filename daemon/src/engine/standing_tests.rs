//! What is asked of items whose disk stands still: it is done at once, or refused soon, and nothing false comes of it.

use std::path::Path;
use std::time::{Duration, Instant};

use p2p_wire::control::State as ItemState;

use super::fault_tests::{Node, runtime};
use super::stall_tests::{
    AT_ONCE, Sources, answers, content, fetch, is_in, stands, start_again, until,
};
use super::*;
use crate::storage::Mount;

/// Before this somebody is told that a disk does not answer.
const SOON: Duration = Duration::from_secs(15);

/// What docs/durability.md promises of a stop.
const STOPS: Duration = Duration::from_secs(5);

/// What was asked for is refused soon, in words that name the disk.
async fn is_refused<T: std::fmt::Debug>(
    disk: &Path,
    asked: impl Future<Output = Result<T, Fault>>,
) -> Fault {
    let answer = tokio::time::timeout(SOON, asked).await;
    let fault = answer.expect("no answer").unwrap_err();
    let names_it = fault.why.contains(&disk.display().to_string());
    assert!(
        names_it && fault.why.contains("does not answer"),
        "{fault:?}"
    );
    fault
}

#[test]
fn pausing_takes_effect_at_once_and_for_good_at_whatever_call_the_disk_stands_still() {
    let dir = tempfile::tempdir().unwrap();
    let sources = Sources::start(dir.path());
    let stalled = sources.stalled.item();
    for call in [2, 12, 24, 30, 31, 32, 34, 36, 38, 40] {
        let dir = tempfile::tempdir().unwrap();
        let dead = dir.path().join("dead");
        let mount = Mount::new(&dead);
        mount.hold_at(call);
        let what = format!("with call {call} standing");
        let first = runtime();
        first.block_on(async {
            let node = Node::start(dir.path()).await;
            fetch(&node, &sources.stalled, &dead).await;
            stands(&mount, &what).await;
            let paused = tokio::time::timeout(AT_ONCE, node.engine.pause(stalled));
            let paused = paused.await.expect(&what).unwrap();
            assert_eq!(paused.state, ItemState::Paused, "{what}");
            let peers = async || match node.engine.peers(stalled).await {
                Some(peers) if peers.is_empty() => Ok(()),
                other => Err(format!("{other:?}")),
            };
            until("its peers are left", peers).await;
            node.engine.ctx.store.flush().await;
        });
        drop(first);
        mount.bury();
        runtime().block_on(async {
            let node = start_again(dir.path()).await;
            is_in(&node, stalled, ItemState::Paused, &what).await;
            mount.release();
            node.engine.resume(stalled).await.unwrap();
            is_in(&node, stalled, ItemState::Seeding, &what).await;
        });
    }
}

#[test]
fn what_is_asked_of_a_fetch_whose_disk_stands_still_is_refused_and_it_goes_on_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let sources = Sources::start(dir.path());
    let (dead, alive) = (dir.path().join("dead"), dir.path().join("alive"));
    std::fs::create_dir(&alive).unwrap();
    let mount = Mount::new(&dead);
    let stalled = sources.stalled.item();
    runtime().block_on(async {
        let node = Node::start(dir.path()).await;
        mount.hold_at_first_write();
        fetch(&node, &sources.stalled, &dead).await;
        stands(&mount, "the fetch").await;
        let engine = &node.engine;
        let (removed, moved, verified) = tokio::join!(
            is_refused(&dead, engine.remove(stalled, false)),
            is_refused(&dead, engine.move_to(stalled, alive.clone())),
            is_refused(&dead, engine.verify(stalled)),
        );
        assert_eq!(removed.what, "cannot remove stalled");
        assert!(moved.what.contains(&alive.display().to_string()));
        assert_eq!(verified.kind, ErrorKind::Disk);
        mount.release();
        is_in(&node, stalled, ItemState::Seeding, "by itself").await;
        assert!(content(dead.join("stalled")) == sources.stalled.content);
    });
}

#[test]
fn a_disk_that_only_takes_no_writes_is_found_out_and_a_pause_waits_behind_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let sources = Sources::start(dir.path());
    let dead = dir.path().join("dead");
    let mount = Mount::new(&dead);
    let stalled = sources.stalled.item();
    runtime().block_on(async {
        let node = Node::start(dir.path()).await;
        mount.freeze_at_first_write();
        fetch(&node, &sources.stalled, &dead).await;
        stands(&mount, "the fetch").await;
        let pausing = async {
            // Sent second, and taken as soon as the item is told to sleep.
            tokio::task::yield_now().await;
            let paused = tokio::time::timeout(AT_ONCE, node.engine.pause(stalled));
            paused.await.expect("no answer").unwrap()
        };
        let removing = is_refused(&dead, node.engine.remove(stalled, false));
        let (refused, paused) = tokio::join!(removing, pausing);
        assert_eq!(refused.what, "cannot remove stalled");
        assert_eq!(paused.state, ItemState::Paused);
        mount.release();
        node.engine.resume(stalled).await.unwrap();
        is_in(&node, stalled, ItemState::Seeding, "after the thaw").await;
    });
}

#[test]
fn data_on_a_disk_that_stands_still_is_neither_moved_nor_deleted_and_nobody_waits_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let sources = Sources::start(dir.path());
    let (dead, alive) = (dir.path().join("dead"), dir.path().join("alive"));
    let mount = Mount::new(&dead);
    let (stalled, other) = (sources.stalled.item(), sources.other.item());
    runtime().block_on(async {
        let node = Node::start(dir.path()).await;
        fetch(&node, &sources.stalled, &dead).await;
        fetch(&node, &sources.other, &alive).await;
        for item in [stalled, other] {
            is_in(&node, item, ItemState::Seeding, "fetched").await;
        }
        mount.hold();
        let engine = &node.engine;
        is_refused(&dead, engine.remove(stalled, true)).await;
        is_refused(&dead, engine.move_to(stalled, alive.clone())).await;
        is_refused(&dead, engine.move_to(other, dead.clone())).await;
        answers(&node, 2, "refused").await;
        mount.release();
        for (item, top) in [
            (stalled, dead.join("stalled")),
            (other, alive.join("other")),
        ] {
            is_in(&node, item, ItemState::Seeding, "as it was").await;
            assert!(content(top) == sources.other.content);
        }
        engine.move_to(stalled, alive.clone()).await.unwrap();
        engine.remove(stalled, true).await.unwrap();
        assert!(!alive.join("stalled").exists() && !dead.join("stalled").exists());
        // Without its data an item goes whatever its disk does.
        engine.move_to(other, dead.clone()).await.unwrap();
        mount.hold();
        let removed = tokio::time::timeout(AT_ONCE, engine.remove(other, false));
        removed.await.expect("no answer").unwrap();
        mount.release();
    });
}

#[test]
fn who_moves_to_a_disk_that_stands_still_midway_is_told_what_becomes_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let sources = Sources::start(dir.path());
    let move_with = |call: u32| {
        let dir = tempfile::tempdir().unwrap();
        let (dead, alive) = (dir.path().join("dead"), dir.path().join("alive"));
        std::fs::create_dir(&dead).unwrap();
        let mount = Mount::new(&dead);
        let item = sources.stalled.item();
        runtime().block_on(async {
            let node = Node::start(dir.path()).await;
            fetch(&node, &sources.stalled, &alive).await;
            is_in(&node, item, ItemState::Seeding, "fetched").await;
            mount.hold_at(call);
            let fault = is_refused(&dead, node.engine.move_to(item, dead.clone())).await;
            let begun = fault.why.contains("begun");
            if begun {
                is_refused(&dead, node.engine.remove(item, false)).await;
            }
            mount.release();
            node.engine.verify(item).await.unwrap();
            is_in(&node, item, ItemState::Seeding, "at its place").await;
            let top = if begun { &dead } else { &alive }.join("stalled");
            assert!(content(top) == sources.stalled.content, "call {call}");
            begun
        })
    };
    let begun: Vec<bool> = std::thread::scope(|scope| {
        let moves = (1..=4).map(|call| scope.spawn(move || move_with(call)));
        let moves: Vec<_> = moves.collect();
        moves.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert!(begun.contains(&true) && begun.contains(&false), "{begun:?}");
}

#[test]
fn the_daemon_stops_in_time_while_a_disk_stands_still_and_claims_nothing_false() {
    let dir = tempfile::tempdir().unwrap();
    let sources = Sources::start(dir.path());
    let (stalled, other) = (&sources.stalled, &sources.other);
    // `None`: at the first that writes.
    let stop_at = |call: Option<u32>| {
        let dir = tempfile::tempdir().unwrap();
        let (dead, alive) = (dir.path().join("dead"), dir.path().join("alive"));
        let mount = Mount::new(&dead);
        match call {
            Some(call) => mount.hold_at(call),
            None => mount.hold_at_first_write(),
        }
        let what = format!("with call {call:?} standing");
        let first = runtime();
        first.block_on(async {
            let node = Node::start(dir.path()).await;
            fetch(&node, stalled, &dead).await;
            stands(&mount, &what).await;
            fetch(&node, other, &alive).await;
            is_in(&node, other.item(), ItemState::Seeding, &what).await;
            let begin = Instant::now();
            node.engine.stop().await;
            assert!(begin.elapsed() < STOPS, "{what}");
        });
        drop(first);
        mount.bury();
        runtime().block_on(async {
            let node = start_again(dir.path()).await;
            stalled.judge(&node, &dead, &what).await;
            is_in(&node, other.item(), ItemState::Seeding, &what).await;
            assert_eq!(node.engine.moved().0, 0, "{what}");
            mount.release();
            is_in(&node, stalled.item(), ItemState::Seeding, &what).await;
            stalled.judge(&node, &dead, &what).await;
            assert!(content(dead.join("stalled")) == stalled.content, "{what}");
        });
    };
    let calls = [Some(12), None, Some(31), Some(34), Some(37), Some(40)];
    for pair in calls.chunks(2) {
        std::thread::scope(|scope| {
            for call in pair {
                scope.spawn(|| stop_at(*call));
            }
        });
    }
}
