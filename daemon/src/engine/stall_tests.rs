//! A file system that does not answer stalls the items that lie on it and nothing else; they go on when it answers again.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use p2p_wire::InfoHash;
use p2p_wire::control::{Item, State as ItemState};
use tokio::sync::oneshot;

use super::fault_tests::{Node, SHORT, Source, runtime};
use super::*;
use crate::storage::Mount;

/// A user who waits for longer thinks that it hangs.
pub(super) const AT_ONCE: Duration = Duration::from_secs(2);

/// Two items with a seed each: one for the file system that stalls, one for the other.
pub(super) struct Sources {
    pub(super) stalled: Source,
    pub(super) other: Source,
    _alive: [oneshot::Sender<()>; 2],
}

impl Sources {
    pub(super) fn start(dir: &Path) -> Self {
        let (stalled, one) = Source::start_as("stalled", dir.join("seed-1"), &SHORT);
        let (other, two) = Source::start_as("other", dir.join("seed-2"), &SHORT);
        Self {
            stalled,
            other,
            _alive: [one, two],
        }
    }
}

/// Waits for `done`; the panic tells what was seen last.
pub(super) async fn until<T>(what: &str, mut done: impl AsyncFnMut() -> Result<T, String>) -> T {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        match done().await {
            Ok(done) => return done,
            Err(last) => assert!(Instant::now() < end, "{what}: {last}"),
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

pub(super) async fn stands(mount: &Mount, what: &str) {
    let standing = async || match mount.standing() {
        0 => Err(format!("{} calls, all returned", mount.calls())),
        _ => Ok(()),
    };
    until(what, standing).await;
}

pub(super) async fn is_in(node: &Node, item: InfoHash, state: ItemState, what: &str) -> Item {
    let shown = async || match node.engine.item(item).await {
        Some(item) if item.state == state => Ok(item),
        other => Err(format!("{other:?}")),
    };
    until(what, shown).await
}

/// What the status line asks comes at once, whatever the disks do.
pub(super) async fn answers(node: &Node, items: usize, what: &str) {
    let asked = node.engine.survey(|all| all.iter().count());
    let seen = tokio::time::timeout(Duration::from_secs(5), asked).await;
    assert_eq!(seen, Ok(Some(items)), "{what}");
}

pub(super) async fn fetch(node: &Node, source: &Source, dir: &Path) {
    let place = Place::Download(dir.to_owned());
    node.add(&source.metainfo, place, vec![source.addr]).await;
}

pub(super) fn content(top: PathBuf) -> Vec<u8> {
    let parts = ["a", "sub/b", "z"].map(|name| std::fs::read(top.join(name)).unwrap());
    parts.concat()
}

/// Fetches both items, the one while the other stands still at this call; how many calls there were.
fn stall(sources: &Sources, at: Option<u32>) -> u32 {
    let dir = tempfile::tempdir().unwrap();
    let (dead, alive) = (dir.path().join("dead"), dir.path().join("alive"));
    let mount = Mount::new(&dead);
    if let Some(at) = at {
        mount.hold_at(at);
    }
    let what = format!("with call {at:?} standing");
    let (stalled, other) = (sources.stalled.item(), sources.other.item());
    runtime().block_on(async {
        let node = Node::start(dir.path()).await;
        fetch(&node, &sources.stalled, &dead).await;
        if at.is_some() {
            stands(&mount, &what).await;
        }
        fetch(&node, &sources.other, &alive).await;
        is_in(&node, other, ItemState::Seeding, &what).await;
        node.engine.verify(other).await.unwrap();
        is_in(&node, other, ItemState::Seeding, &what).await;
        answers(&node, 2, &what).await;
        let shown = node.engine.item(stalled).await.unwrap();
        assert!(at.is_none() || shown.state != ItemState::Seeding, "{what}");
        let paused = tokio::time::timeout(AT_ONCE, node.engine.pause(stalled));
        let paused = paused.await.expect(&what).unwrap();
        assert!(at.is_none() || paused.state == ItemState::Paused, "{what}");
        // It sleeps when its disk lets it; meanwhile it is there to be seen.
        answers(&node, 2, &what).await;
        mount.release();
        node.engine.resume(stalled).await.unwrap();
        is_in(&node, stalled, ItemState::Seeding, &what).await;
        let calls = mount.calls();
        for top in [dead.join("stalled"), alive.join("other")] {
            assert!(content(top) == sources.other.content, "{what}");
        }
        calls
    })
}

#[test]
fn a_disk_that_stalls_at_any_one_call_holds_up_its_own_item_alone() {
    let dir = tempfile::tempdir().unwrap();
    let sources = Sources::start(dir.path());
    let calls = stall(&sources, None);
    assert!(calls > 20, "{calls} calls: the seam is not asked");
    // The last calls look at the item once it is seeded.
    let mut stalls = 0;
    for call in 1..=calls - 4 {
        stall(&sources, Some(call));
        stalls += 1;
    }
    eprintln!("{stalls} stalls");
}

/// Starts again in the same folder, once the state is free.
pub(super) async fn start_again(dir: &Path) -> Node {
    let begin = Instant::now();
    while State::open(&dir.join("state")).is_err() {
        assert!(begin.elapsed() < Duration::from_secs(10), "still locked");
    }
    Node::start(dir).await
}

#[test]
fn who_asks_for_what_cannot_be_read_waits_and_others_are_served() {
    let dir = tempfile::tempdir().unwrap();
    let sources = Sources::start(dir.path());
    let (dead, alive) = (dir.path().join("dead"), dir.path().join("alive"));
    let mount = Mount::new(&dead);
    runtime().block_on(async {
        let (stalled, other) = (sources.stalled.item(), sources.other.item());
        let (node, leech) = (dir.path().join("node"), dir.path().join("leech"));
        let (node, leech) = (Node::start(&node).await, Node::start(&leech).await);
        fetch(&node, &sources.stalled, &dead).await;
        fetch(&node, &sources.other, &alive).await;
        for item in [stalled, other] {
            is_in(&node, item, ItemState::Seeding, "whole").await;
        }
        mount.hold();
        let addr = SocketAddr::from(([127, 0, 0, 1], node.engine.port()));
        for (source, to) in [(&sources.stalled, "1"), (&sources.other, "2")] {
            let place = Place::Download(dir.path().join(to));
            leech.add(&source.metainfo, place, vec![addr]).await;
        }
        stands(&mount, "nobody asked for the dead disk").await;
        is_in(&leech, other, ItemState::Seeding, "served").await;
        // Nothing of it waits to be written, so nothing keeps it awake.
        let paused = tokio::time::timeout(Duration::from_secs(5), node.engine.pause(stalled));
        assert!(paused.await.is_ok());
        answers(&node, 2, "paused").await;
        mount.release();
        node.engine.resume(stalled).await.unwrap();
        leech.engine.add_peers(stalled, vec![addr]).await;
        is_in(&leech, stalled, ItemState::Seeding, "after the stall").await;
    });
}

#[test]
fn a_move_to_a_disk_that_stalls_keeps_neither_the_others_nor_the_next_start_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let sources = Sources::start(dir.path());
    let (dead, alive) = (dir.path().join("dead"), dir.path().join("alive"));
    std::fs::create_dir(&dead).unwrap();
    let mount = Mount::new(&dead);
    let (stalled, other) = (sources.stalled.item(), sources.other.item());
    let first = runtime();
    first.block_on(async {
        let node = Node::start(dir.path()).await;
        fetch(&node, &sources.stalled, &alive).await;
        is_in(&node, stalled, ItemState::Seeding, "fetched").await;
        mount.hold_at(2);
        let engine = node.engine.clone();
        let to = dead.clone();
        tokio::spawn(async move { engine.move_to(stalled, to).await });
        stands(&mount, "the move").await;
        fetch(&node, &sources.other, &alive).await;
        is_in(&node, other, ItemState::Seeding, "beside the move").await;
        node.engine.verify(other).await.unwrap();
        is_in(&node, other, ItemState::Seeding, "read beside the move").await;
        answers(&node, 2, "beside the move").await;
    });
    // All tasks end where they stand.
    drop(first);
    runtime().block_on(async {
        let node = start_again(dir.path()).await;
        is_in(&node, other, ItemState::Seeding, "after the start").await;
        answers(&node, 2, "after the start").await;
        mount.release();
        is_in(&node, stalled, ItemState::Seeding, "at last").await;
    });
}
