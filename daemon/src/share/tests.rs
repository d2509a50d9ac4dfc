use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Mutex as StdMutex;

use p2p_wire::InfoHash;
use p2p_wire::control::{ErrorKind, PathText, ShareAdd};
use p2p_wire::metainfo::Metainfo;

use super::holder::Holder;
use super::*;
use crate::engine::{Content, FileStamp, NewItem, Place};
use crate::state::StateLock;
use crate::tracker::testing::eventually;

/// Holds items as the engine would, and nothing else.
#[derive(Clone, Default)]
struct Fake(Arc<StdMutex<HashMap<InfoHash, (PathBuf, Metainfo)>>>);

impl Fake {
    fn names(&self) -> Vec<String> {
        let items = self.0.lock().unwrap();
        let mut names: Vec<String> = items
            .values()
            .map(|(path, _)| path.file_name().unwrap().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    fn hash_of(&self, name: &str) -> Option<InfoHash> {
        let items = self.0.lock().unwrap();
        items
            .iter()
            .find(|(_, (path, _))| path.ends_with(name))
            .map(|(hash, _)| *hash)
    }
}

impl Holder for Fake {
    async fn hold(&self, new: NewItem) -> Result<bool, Fault> {
        let (Content::Metainfo(mut meta), Place::Hashed(path, stamps)) = (new.content, new.place)
        else {
            panic!("shares hold what they hashed");
        };
        assert_eq!(stamps.len(), meta.info.files().len());
        meta.announce = new.trackers;
        let mut items = self.0.lock().unwrap();
        let hash = meta.info.info_hash();
        Ok(match items.get_mut(&hash) {
            Some((_, known)) => {
                known.announce.extend(meta.announce);
                false
            }
            None => items.insert(hash, (path, *meta)).is_none(),
        })
    }
    async fn release(&self, item: InfoHash, _share: &str, _owner: u32) {
        self.0.lock().unwrap().remove(&item);
    }
    async fn relocate(
        &self,
        item: InfoHash,
        path: PathBuf,
        _stamps: Vec<FileStamp>,
    ) -> Result<(), Fault> {
        self.0.lock().unwrap().get_mut(&item).unwrap().0 = path;
        Ok(())
    }
    async fn metainfo(&self, item: InfoHash) -> Option<Metainfo> {
        Some(self.0.lock().unwrap().get(&item)?.1.clone())
    }
    async fn held(&self) -> Vec<InfoHash> {
        self.0.lock().unwrap().keys().copied().collect()
    }
    async fn revive(&self, _item: InfoHash) {}
}

struct Rig {
    hub: Arc<Hub<Fake>>,
    fake: Fake,
    state: State,
    events: Events,
    _lock: Arc<StateLock>,
    /// The shares of the configuration file.
    configured: Vec<NewShare>,
    dir: Arc<tempfile::TempDir>,
}

fn new(add: ShareAdd) -> NewShare {
    NewShare {
        add,
        owner: nix::unistd::geteuid().as_raw(),
        configured: false,
    }
}

impl Rig {
    async fn new() -> Self {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        fs::create_dir(dir.path().join("Public")).unwrap();
        let (state, lock) = State::open(&dir.path().join("state")).unwrap();
        Self::start(dir, state, Arc::new(lock), Fake::default(), vec![]).await
    }

    async fn start(
        dir: Arc<tempfile::TempDir>,
        state: State,
        lock: Arc<StateLock>,
        fake: Fake,
        configured: Vec<NewShare>,
    ) -> Self {
        let events = Events::default();
        let local = crate::net::LocalAddrs::default();
        let trackers = Trackers::open(state.clone(), events.clone(), vec![], local)
            .await
            .unwrap();
        let config = Config {
            settle: Duration::from_millis(100),
            max_delay: Duration::from_secs(2),
            rescan: Duration::from_secs(3_600),
            ignore_file: ".p2pignore".into(),
            exclude: vec!["*.part".into()],
            threads: 1,
            refused: vec![dir.path().join("state")],
        };
        let (s, f, e) = (state.clone(), fake.clone(), events.clone());
        let hub = Hub::start(config, configured.clone(), s, f, trackers, e);
        let hub = hub.await.unwrap();
        Self {
            hub,
            fake,
            state,
            events,
            _lock: lock,
            configured,
            dir,
        }
    }

    /// The same daemon after a restart.
    async fn restart(self) -> Self {
        // Without a handle, the tasks of the shares end.
        self.hub.folders().clear();
        drop(self.hub);
        Self::start(self.dir, self.state, self._lock, self.fake, self.configured).await
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("Public").join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), text).unwrap();
    }

    fn options(&self) -> ShareAdd {
        let path = PathText::from(&*self.dir.path().join("Public"));
        serde_json::from_value(serde_json::json!({ "path": path })).unwrap()
    }

    async fn share(&self) -> Share {
        self.hub.add(new(self.options())).await.unwrap()
    }

    async fn until_held(&self, names: &[&str]) {
        let what = format!("{names:?} are held");
        eventually(&what, async || (self.fake.names() == names).then_some(())).await;
    }

    async fn until_done(&self) -> Share {
        eventually("all is done", async || {
            let share = self.hub.list(None).remove(0);
            (share.pending == 0).then_some(share)
        })
        .await
    }

    fn topics(&self) -> Vec<String> {
        let (events, _) = self.events.subscribe(0);
        events.into_iter().map(|event| event.topic).collect()
    }

    /// What waits for a tracker: `+name` and `-`, in order.
    async fn queue(&self) -> Vec<String> {
        self.state
            .call(|db| {
                let mut query = db.prepare("SELECT entry FROM publishes ORDER BY id")?;
                query
                    .query_map([], |row| row.get::<_, Option<String>>(0))?
                    .map(|row| Ok(row?.map_or("-".into(), |name| format!("+{name}"))))
                    .collect()
            })
            .await
            .unwrap()
    }
}

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
