//! A disk without space.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use p2p_wire::InfoHash;
use p2p_wire::control::State as ItemState;
use p2pd::engine::{NewItem, Place};
use p2pd::resume::Store;

use super::node::{Node, eventually, file, noise};

/// A small file system in memory; gone when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let mut mount = std::process::Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", "size=6m", "tmpfs"])
            .arg(at);
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        mounted.then(|| Self(at.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let mut umount = std::process::Command::new("umount");
        let _ = umount.arg("-l").arg(&self.0).status();
    }
}

#[tokio::test]
async fn a_full_disk_stops_one_item_until_there_is_space() {
    let (a, b) = (Node::start().await, Node::start().await);
    let small = b.dir.path().join("small");
    let Some(_disk) = SmallDisk::mount(&small) else {
        assert!(std::env::var_os("P2P_NO_SKIP").is_none(), "cannot mount");
        eprintln!("skipped: this machine does not let us mount");
        return;
    };
    let ballast = file(&small, "ballast", 1, 4_000_000);
    let full = file(a.dir.path(), "full.bin", 21, 4_000_000);
    let other = file(a.dir.path(), "other.bin", 22, 1_000_000);
    let (full, other) = (a.seed(&full, 65_536).await, a.seed(&other, 65_536).await);
    let new = NewItem {
        place: Place::Download(small.clone()),
        peers: vec![a.addr()],
        ..b.new_item(&full)
    };
    b.engine().add(new).await.unwrap();
    let item = full.info.info_hash();
    let stopped = b
        .becomes(item, "stopped", |i| i.state == ItemState::Error)
        .await;
    assert!(stopped.reason.unwrap().contains("disk full"));
    let second = b.fetch(&other, &[&a]).await;
    b.complete(second).await;
    // Longer than between two looks: it looks, and says nothing again.
    tokio::time::sleep(Duration::from_secs(11)).await;
    let errors = b
        .events()
        .iter()
        .filter(|topic| *topic == "item.error")
        .count();
    assert_eq!(errors, 1);
    fs::remove_file(ballast).unwrap();
    b.complete(item).await;
    assert_eq!(
        fs::read(small.join("full.bin")).unwrap(),
        noise(21, 4_000_000)
    );
}

/// Has the state of a node refuse every change, as on a full disk, or take them again.
async fn refuse(node: &Node, refuses: bool) {
    let set = move |db: &rusqlite::Connection| db.pragma_update(None, "query_only", refuses);
    node.run().state.call(set).await.unwrap();
}

#[tokio::test]
async fn an_item_is_finished_when_its_record_is_on_the_disk_and_not_before() {
    let (a, b) = (Node::start().await, Node::start().await);
    let source = file(a.dir.path(), "done.bin", 24, 1_000_000);
    let metainfo = a.seed(&source, 65_536).await;
    let item = b.fetch(&metainfo, &[]).await;
    refuse(&b, true).await;
    b.engine().add_peers(item, vec![a.addr()]).await;
    let placed = b.downloads().join("done.bin");
    eventually("it is at its place", || async {
        placed.exists().then_some(())
    })
    .await;
    let finished = || b.events().contains(&"item.finished".to_owned());
    // The attempt to record it that was under way, and one that began after it was at its place.
    let store = Store::new(b.run().state.clone());
    let record = store.load().await.unwrap().remove(0).record;
    for _ in 0..2 {
        store.put(InfoHash([0; 20]), &record);
        assert!(store.try_flush().await.is_err());
        assert!(!finished(), "told before it is recorded");
    }
    refuse(&b, false).await;
    eventually("it is told", || async { finished().then_some(()) }).await;
    b.complete(item).await;
}

#[tokio::test]
async fn a_move_that_cannot_be_written_down_says_so_and_moves_nothing() {
    let a = Node::start().await;
    let source = file(a.dir.path(), "stays.bin", 23, 500_000);
    let item = a.seed(&source, 65_536).await.info.info_hash();
    let dir = a.dir.path().join("elsewhere");
    fs::create_dir(&dir).unwrap();
    refuse(&a, true).await;
    let moved = a.engine().move_to(item, dir.clone());
    let moved = tokio::time::timeout(Duration::from_secs(20), moved).await;
    let fault = moved.expect("it waits for space").unwrap_err();
    assert!(fault.why.contains("written down"), "{fault:?}");
    assert!(source.exists() && fs::read_dir(&dir).unwrap().next().is_none());
    refuse(&a, false).await;
    a.engine().move_to(item, dir.clone()).await.unwrap();
    assert_eq!(fs::read(dir.join("stays.bin")).unwrap(), noise(23, 500_000));
}
