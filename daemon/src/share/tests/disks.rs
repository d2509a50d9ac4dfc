//! Disks that come, go and are full.

use std::fs;
use std::path::PathBuf;

use p2p_wire::control::{PathText, ShareAdd};

use super::rig::{Rig, new};
use crate::share::NewShare;
use crate::tracker::testing::eventually;

#[tokio::test]
async fn a_share_that_vanishes_is_unavailable_and_comes_back() {
    let rig = Rig::new().await;
    rig.write("a", "one");
    rig.share().await;
    rig.until_held(&["a"]).await;
    rig.until_done().await;
    let (root, aside) = (rig.dir.path().join("Public"), rig.dir.path().join("aside"));
    fs::rename(&root, &aside).unwrap();
    let share = eventually("unavailable", async || {
        let share = rig.hub.rescan(None, None).await.unwrap().remove(0);
        (share.state == "unavailable").then_some(share)
    })
    .await;
    assert_eq!((share.items, rig.fake.names()), (1, vec!["a".into()]));
    // An empty folder in its place, as under an unmounted disk.
    fs::create_dir(&root).unwrap();
    rig.hub.rescan(None, None).await.unwrap();
    assert_eq!(rig.hub.list(None)[0].state, "unavailable");
    fs::remove_dir(&root).unwrap();
    fs::rename(&aside, &root).unwrap();
    let share = rig.hub.rescan(None, None).await.unwrap().remove(0);
    assert_eq!((share.state.as_str(), share.items), ("watching", 1));
    assert_eq!(
        rig.topics()
            .iter()
            .filter(|t| *t == "share.unavailable")
            .count(),
        1
    );
}

#[tokio::test]
async fn a_disk_that_is_not_mounted_at_the_start_is_unavailable_and_nothing_is_withdrawn() {
    let rig = Rig::new().await;
    rig.write("a", "one");
    rig.share().await;
    rig.until_held(&["a"]).await;
    rig.until_done().await;
    let (root, aside) = (rig.dir.path().join("Public"), rig.dir.path().join("aside"));
    fs::rename(&root, &aside).unwrap();
    // An empty folder in its place, as under a disk that is not there yet.
    fs::create_dir(&root).unwrap();
    let rig = rig.restart().await;
    let share = eventually("unavailable", async || {
        let share = rig.hub.rescan(None, None).await.unwrap().remove(0);
        (share.state == "unavailable").then_some(share)
    })
    .await;
    assert_eq!((share.items, rig.fake.names()), (1, vec!["a".into()]));
    fs::remove_dir(&root).unwrap();
    fs::rename(&aside, &root).unwrap();
    let share = rig.hub.rescan(None, None).await.unwrap().remove(0);
    assert_eq!((share.state.as_str(), share.items), ("watching", 1));
    assert_eq!(rig.queue().await, ["+Public/a"]);
}

/// A rig with two shares of the configuration file, and the folders and links that they lie in: a folder by a link, and a file.
async fn configured() -> (Rig, [PathBuf; 2]) {
    let mut rig = Rig::new().await;
    rig.write("a", "one");
    rig.write("b", "two");
    let (link, disk) = (rig.dir.path().join("link"), rig.dir.path().join("disk"));
    std::os::unix::fs::symlink(rig.dir.path().join("Public"), &link).unwrap();
    fs::create_dir(&disk).unwrap();
    fs::write(disk.join("lone"), "three").unwrap();
    let shares = [link, disk.join("lone")].map(|path| NewShare {
        configured: true,
        ..new(ShareAdd {
            path: PathText::from(&*path),
            ..rig.options()
        })
    });
    rig.configured = shares.to_vec();
    let problems = rig.hub.follow_file(shares.to_vec()).await;
    assert_eq!(problems, Vec::<String>::new());
    rig.until_held(&["a", "b", "lone"]).await;
    eventually("all is done", async || {
        let shares = rig.hub.list(None);
        shares.iter().all(|s| s.pending == 0).then_some(())
    })
    .await;
    let folders = [rig.dir.path().join("Public"), disk];
    (rig, folders)
}

#[tokio::test]
async fn a_configured_share_whose_disk_is_away_at_the_start_is_kept() {
    let (rig, folders) = configured().await;
    let aside = folders.clone().map(|folder| folder.with_extension("away"));
    let queue = rig.queue().await;
    for (folder, aside) in folders.iter().zip(&aside) {
        fs::rename(folder, aside).unwrap();
    }
    let rig = rig.restart().await;
    eventually("both are unavailable", async || {
        let shares = rig.hub.rescan(None, None).await.unwrap();
        let away = shares.iter().filter(|share| share.state == "unavailable");
        (away.count() == 2).then_some(())
    })
    .await;
    assert_eq!(rig.fake.names(), ["a", "b", "lone"]);
    for (folder, aside) in folders.iter().zip(&aside) {
        fs::rename(aside, folder).unwrap();
    }
    let shares = rig.hub.rescan(None, None).await.unwrap();
    assert!(shares.iter().all(|s| s.state == "watching"), "{shares:?}");
    assert_eq!(rig.queue().await, queue);
}

#[tokio::test]
async fn what_gates_leave_out_does_not_begin_a_configured_share_anew() {
    let (rig, _) = configured().await;
    let sql = r#"UPDATE shares SET left_out = '["/b"]' WHERE NOT is_file"#;
    rig.state.call(move |db| db.execute(sql, [])).await.unwrap();
    let rig = rig.restart().await;
    rig.until_held(&["a", "lone"]).await;
    rig.until_done().await;
    let withdrawn = rig.queue().await.iter().filter(|e| *e == "-").count();
    assert_eq!(withdrawn, 1, "b alone is withdrawn");
}

#[tokio::test]
async fn a_state_folder_that_is_full_at_any_point_delays_publishes_and_loses_none() {
    const FILES: usize = 60;
    // As far as the database may grow; further on it is full. A page holds a few entries, so each step stops at another point.
    let most = |pages: u32| {
        move |db: &rusqlite::Connection| db.pragma_update(None, "max_page_count", pages)
    };
    for room in 0..8 {
        let rig = Rig::new().await;
        rig.share().await;
        let now = |db: &rusqlite::Connection| {
            db.pragma_query_value(None, "page_count", |row| row.get::<_, u32>(0))
        };
        let pages = rig.state.call(now).await.unwrap();
        rig.state.call(most(pages + room)).await.unwrap();
        let name = |n: usize| format!("{n:03}-{}", "long".repeat(40));
        (0..FILES).for_each(|n| rig.write(&name(n), &format!("content {n}")));
        eventually("a file waits", async || {
            let (events, _) = rig.events.subscribe(0);
            events
                .iter()
                .any(|event| event.text.contains("waits: "))
                .then_some(())
        })
        .await;
        rig.state.call(most(1_000_000)).await.unwrap();
        eventually("every file is an item", async || {
            (rig.hub.list(None)[0].items as usize == FILES).then_some(())
        })
        .await;
        let mut queue = rig.queue().await;
        queue.sort();
        queue.dedup();
        let all: Vec<String> = (0..FILES).map(|n| format!("+Public/{}", name(n))).collect();
        assert_eq!(queue, all);
    }
}

/// A file system mounted in memory; gone when dropped.
struct Mounted(PathBuf);

impl Mounted {
    /// `None` where this machine does not allow it.
    fn at(path: PathBuf) -> Option<Self> {
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "tmpfs"]).arg(&path);
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        mounted.then_some(Self(path))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let mut unmount = std::process::Command::new("umount");
        let _ = unmount.arg("-l").arg(&self.0).output();
    }
}

#[tokio::test]
async fn a_disk_that_is_mounted_at_a_share_is_seen_at_once_and_so_is_that_it_goes() {
    let rig = Rig::new().await;
    rig.share().await;
    let Some(disk) = Mounted::at(rig.dir.path().join("Public")) else {
        assert!(std::env::var_os("P2P_NO_SKIP").is_none(), "cannot mount");
        eprintln!("skipped: this machine does not let us mount");
        return;
    };
    rig.write("a", "one");
    rig.until_held(&["a"]).await;
    rig.write("b", "two");
    rig.until_held(&["a", "b"]).await;
    drop(disk);
    eventually("unavailable", async || {
        (rig.hub.list(None)[0].state == "unavailable").then_some(())
    })
    .await;
    assert_eq!(rig.fake.names(), ["a", "b"]);
}
