//! Shares at work, with a stand-in for the engine.

mod apart;
mod arrivals;
mod disks;
mod rig;

use std::fs;
use std::path::Path;

use p2p_wire::control::{ErrorKind, PathText, ShareAdd};

use self::rig::{Rig, new};
use super::*;
use crate::tracker::testing::eventually;

#[tokio::test]
async fn what_is_there_and_what_is_dropped_in_is_held_and_published() {
    let rig = Rig::new().await;
    rig.write("a.iso", "content of a");
    rig.write("folder/x", "1");
    rig.write("folder/y", "2");
    rig.write(".hidden", "no");
    rig.write("b.part", "no");
    rig.share().await;
    rig.until_held(&["a.iso", "folder"]).await;
    rig.write("c.iso", "content of c");
    rig.until_held(&["a.iso", "c.iso", "folder"]).await;
    let share = rig.until_done().await;
    assert_eq!(
        (share.items, share.size, share.state.as_str()),
        (3, 26, "watching")
    );
    let left: Vec<_> = share.left_out.into_iter().collect();
    assert_eq!(left, [("excluded".into(), 1), ("hidden".into(), 1)]);
    let mut queue = rig.queue().await;
    queue.sort();
    assert_eq!(queue, ["+Public/a.iso", "+Public/c.iso", "+Public/folder"]);
}

#[tokio::test]
async fn a_rewritten_file_is_withdrawn_and_published_anew_under_its_name() {
    let rig = Rig::new().await;
    rig.write("a", "one");
    rig.share().await;
    rig.until_held(&["a"]).await;
    rig.until_done().await;
    let before = rig.fake.hash_of("a").unwrap();
    rig.write("a", "two, and longer");
    eventually("another hash", async || {
        rig.fake.hash_of("a").filter(|hash| *hash != before)
    })
    .await;
    rig.until_done().await;
    assert_eq!(rig.queue().await, ["-", "+Public/a"]);
    assert!(rig.topics().contains(&"share.changed".into()));
    assert!(!rig.fake.0.lock().unwrap().contains_key(&before));
}

#[tokio::test]
async fn a_write_through_one_name_withdraws_every_link_to_the_file() {
    let rig = Rig::new().await;
    rig.write("a", "one");
    fs::hard_link(rig.path("a"), rig.path("b")).unwrap();
    rig.share().await;
    rig.until_held(&["a", "b"]).await;
    rig.until_done().await;
    let before = (rig.fake.hash_of("a"), rig.fake.hash_of("b"));
    rig.write("a", "two, through a");
    eventually("both are new", async || {
        let now = (rig.fake.hash_of("a")?, rig.fake.hash_of("b")?);
        (Some(now.0) != before.0 && Some(now.1) != before.1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_deleted_file_is_withdrawn_and_a_renamed_one_keeps_its_hash() {
    let rig = Rig::new().await;
    rig.write("gone", "one");
    rig.write("old", "two");
    rig.write("dir/x", "three");
    rig.share().await;
    rig.until_held(&["dir", "gone", "old"]).await;
    rig.until_done().await;
    let (file, folder) = (rig.fake.hash_of("old"), rig.fake.hash_of("dir"));
    fs::remove_file(rig.path("gone")).unwrap();
    fs::rename(rig.path("old"), rig.path("new")).unwrap();
    fs::rename(rig.path("dir"), rig.path("moved")).unwrap();
    rig.until_held(&["moved", "new"]).await;
    assert_eq!(
        (rig.fake.hash_of("new"), rig.fake.hash_of("moved")),
        (file, folder)
    );
    eventually("three withdrawals and two publishes", async || {
        let mut queue = rig.queue().await;
        queue.sort();
        (queue == ["+Public/moved", "+Public/new", "-", "-", "-"]).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_restart_trusts_what_did_not_change_and_finds_what_did() {
    let rig = Rig::new().await;
    for name in ["same", "edited", "deleted"] {
        rig.write(name, name);
    }
    rig.share().await;
    rig.until_held(&["deleted", "edited", "same"]).await;
    rig.until_done().await;
    let (same, edited) = (rig.fake.hash_of("same"), rig.fake.hash_of("edited"));
    let rig = rig.restart().await;
    rig.write("edited", "something else");
    rig.write("added", "new");
    fs::remove_file(rig.path("deleted")).unwrap();
    rig.until_held(&["added", "edited", "same"]).await;
    eventually("the edited one is new", async || {
        (rig.fake.hash_of("edited") != edited).then_some(())
    })
    .await;
    assert_eq!(rig.fake.hash_of("same"), same);
}

#[tokio::test]
async fn an_item_whose_entry_a_kill_lost_is_withdrawn_when_its_file_changed_meanwhile() {
    let rig = Rig::new().await;
    rig.write("a", "one");
    rig.write("b", "two");
    rig.share().await;
    rig.until_held(&["a", "b"]).await;
    rig.until_done().await;
    let (a, b) = (rig.fake.hash_of("a").unwrap(), rig.fake.hash_of("b"));
    let sql = "DELETE FROM share_entries WHERE entry = CAST('a' AS BLOB)";
    let deleted = rig.state.call(move |db| db.execute(sql, [])).await;
    assert_eq!(deleted.unwrap(), 1);
    rig.write("a", "one, and more");
    let rig = rig.restart().await;
    rig.until_held(&["a", "b"]).await;
    rig.until_done().await;
    assert_eq!(rig.fake.hash_of("b"), b);
    assert!(!rig.fake.0.lock().unwrap().contains_key(&a));
}

#[tokio::test]
async fn two_entries_of_one_content_are_one_item_until_the_last_is_gone() {
    let rig = Rig::new().await;
    rig.write("d1/same", "content");
    rig.write("d2/same", "content");
    let add = ShareAdd {
        each: p2p_wire::control::Each::File,
        ..rig.options()
    };
    rig.hub.add(new(add)).await.unwrap();
    eventually("both entries", async || {
        (rig.hub.list(None)[0].items == 2).then_some(())
    })
    .await;
    rig.until_held(&["same"]).await;
    fs::remove_file(rig.path("d1/same")).unwrap();
    eventually("the other is served", async || {
        let items = rig.fake.0.lock().unwrap();
        let one = items.values().next()?;
        (items.len() == 1 && one.0.ends_with("d2/same")).then_some(())
    })
    .await;
    fs::remove_file(rig.path("d2/same")).unwrap();
    rig.until_held(&[]).await;
}

#[tokio::test]
async fn unsharing_takes_everything_back() {
    let rig = Rig::new().await;
    (0..50).for_each(|n| rig.write(&format!("f{n}"), &n.to_string()));
    rig.share().await;
    eventually("50 items", async || {
        (rig.fake.names().len() == 50).then_some(())
    })
    .await;
    rig.until_done().await;
    rig.hub.remove(Path::new("Public"), None).await.unwrap();
    assert!(rig.fake.names().is_empty() && rig.hub.list(None).is_empty());
    assert_eq!(rig.queue().await, vec!["-"; 50]);
    let fault = rig.hub.remove(Path::new("Public"), None).await.unwrap_err();
    assert_eq!(fault.kind, ErrorKind::NotFound);
}

#[tokio::test]
async fn what_stands_against_a_share_is_said() {
    let rig = Rig::new().await;
    fs::create_dir_all(rig.path("sub")).unwrap();
    fs::create_dir_all(rig.dir.path().join("other/Public")).unwrap();
    rig.share().await;
    let with = |path: PathBuf| ShareAdd {
        path: PathText::from(&*path),
        ..rig.options()
    };
    let cases = [
        (with(rig.path("")), ErrorKind::Conflict),
        (with(rig.path("sub")), ErrorKind::Conflict),
        (with(rig.dir.path().to_owned()), ErrorKind::Conflict),
        (
            with(rig.dir.path().join("other/Public")),
            ErrorKind::Conflict,
        ),
        (with(rig.dir.path().join("state")), ErrorKind::Conflict),
        (with(rig.dir.path().join("none")), ErrorKind::NotFound),
        (with("/dev/null".into()), ErrorKind::Usage),
    ];
    for (add, kind) in cases {
        let fault = rig.hub.add(new(add)).await.unwrap_err();
        assert_eq!(fault.kind, kind, "{fault:?}");
    }
    let other = with(rig.dir.path().join("other"));
    for bad in [
        ShareAdd {
            piece_len: Some(1_000),
            ..other.clone()
        },
        ShareAdd {
            exclude: vec!["a[".into()],
            ..other.clone()
        },
        ShareAdd {
            name: Some("a/b".into()),
            ..other.clone()
        },
    ] {
        assert_eq!(
            rig.hub.add(new(bad)).await.unwrap_err().kind,
            ErrorKind::Usage
        );
    }
    let unknown = ShareAdd {
        tracker: Some("lab".into()),
        ..other
    };
    assert_eq!(
        rig.hub.add(new(unknown)).await.unwrap_err().kind,
        ErrorKind::NotFound
    );
}

#[tokio::test]
async fn a_file_is_one_item_and_once_is_not_watched() {
    let rig = Rig::new().await;
    rig.write("a.iso", "content");
    rig.write("b.iso", "content too");
    let add = ShareAdd {
        path: PathText::from(&*rig.path("a.iso")),
        once: true,
        ..rig.options()
    };
    rig.hub.add(new(add)).await.unwrap();
    rig.until_held(&["a.iso"]).await;
    let share = rig.until_done().await;
    assert_eq!((share.state.as_str(), share.items), ("once", 1));
    assert_eq!(rig.queue().await, ["+files/a.iso"]);
}

#[tokio::test]
async fn a_thousand_small_files_are_held_within_seconds() {
    let rig = Rig::new().await;
    rig.share().await;
    let begin = std::time::Instant::now();
    (0..1_000).for_each(|n| rig.write(&format!("f{n}"), &format!("content {n}")));
    eventually("1000 items", async || {
        (rig.hub.list(None)[0].items == 1_000).then_some(())
    })
    .await;
    eprintln!("1,000 files in {:?}", begin.elapsed());
    assert_eq!(rig.queue().await.len(), 1_000);
}

#[tokio::test]
async fn a_file_that_cannot_be_read_does_not_stop_the_rest() {
    let rig = Rig::new().await;
    rig.write("bad", "x");
    rig.write("good", "y");
    // A name that no torrent may have would do too; a folder that collides is refused by the builder.
    fs::create_dir_all(rig.path("twins")).unwrap();
    fs::write(rig.path("twins").join("a"), "1").unwrap();
    fs::write(rig.path("twins").join("A"), "2").unwrap();
    rig.share().await;
    rig.until_done().await;
    assert!(rig.fake.names().contains(&"good".into()));
}
