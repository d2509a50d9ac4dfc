//! Engines in one process, on loopback, with folders of their own: what a user's items go through from adding to seeding.
#![allow(clippy::unwrap_used)] // a failed unwrap is a failed test
#![allow(clippy::disallowed_methods)] // tests drive the world

use std::fs;
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use p2p_hash::{FileSpec, Options, Progress, hash_files};
use p2p_wire::InfoHash;
use p2p_wire::control::{ErrorKind, HistoryList, Item, Limits, State as ItemState};
use p2p_wire::magnet::Magnet;
use p2p_wire::metainfo::{Builder, Content as Files, Metainfo};
use p2pd::engine::{
    AnnounceCommand, Change, Config, Content, Engine, Events, FileStamp, Holding, ItemSetting,
    Links, NewItem, Place, history,
};
use p2pd::state::{State, StateLock};
use tempfile::TempDir;
use tokio::sync::mpsc;

/// One daemon's engine with its folders.
struct Node {
    dir: TempDir,
    run: Option<Run>,
    config: fn(&mut Config),
}

/// What lives from a start to a stop.
struct Run {
    engine: Engine,
    state: State,
    events: Events,
    announces: mpsc::Receiver<AnnounceCommand>,
    peers: mpsc::Sender<(InfoHash, Vec<SocketAddr>)>,
    _lock: StateLock,
}

impl Node {
    async fn start() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(config: fn(&mut Config)) -> Self {
        let mut node = Self {
            dir: tempfile::tempdir().unwrap(),
            run: None,
            config,
        };
        node.restart().await;
        node
    }

    async fn restart(&mut self) {
        self.run = None;
        let (state, lock) = eventually("the state folder is free", || async {
            State::open(&self.dir.path().join("state")).ok()
        })
        .await;
        let (announce, announces) = mpsc::channel(256);
        let (peers_tx, peers) = mpsc::channel(16);
        let events = Events::default();
        let mut config = Config {
            download_dir: self.downloads(),
            listen: vec!["127.0.0.1:0".parse().unwrap()],
            max_peers: 100,
            max_peers_item: 50,
            upload_slots: 8,
            in_flight: 16 << 20,
            min_free: 0,
            limits: Limits::default(),
            lan_exempt: false,
            disk_threads: 2,
        };
        (self.config)(&mut config);
        let links = Links {
            announce,
            peers,
            events: events.clone(),
            hooks: None,
        };
        let engine = Engine::start(config, state.clone(), links).await.unwrap();
        self.run = Some(Run {
            engine,
            state,
            events,
            announces,
            peers: peers_tx,
            _lock: lock,
        });
    }

    fn run(&self) -> &Run {
        self.run.as_ref().unwrap()
    }

    fn engine(&self) -> &Engine {
        &self.run().engine
    }

    fn addr(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.engine().port()))
    }

    fn downloads(&self) -> PathBuf {
        self.dir.path().join("downloads")
    }

    /// Seeds what lies at `path`.
    async fn seed(&self, path: &Path, piece_len: u32) -> Metainfo {
        let (metainfo, stamps) = torrent(path, piece_len);
        let new = NewItem {
            content: Content::Metainfo(Box::new(metainfo.clone())),
            place: Place::Hashed(path.to_owned(), stamps),
            ..self.new_item(&metainfo)
        };
        assert!(self.engine().add(new).await.unwrap());
        metainfo
    }

    fn new_item(&self, metainfo: &Metainfo) -> NewItem {
        NewItem {
            content: Content::Metainfo(Box::new(metainfo.clone())),
            place: Place::Download(self.downloads()),
            owner: nix::unistd::geteuid().as_raw(),
            trackers: vec![],
            share: None,
            only: vec![],
            sequential: false,
            peers: vec![],
            only_peers: vec![],
        }
    }

    async fn fetch(&self, metainfo: &Metainfo, from: &[&Node]) -> InfoHash {
        let new = NewItem {
            peers: from.iter().map(|node| node.addr()).collect(),
            ..self.new_item(metainfo)
        };
        self.engine().add(new).await.unwrap();
        metainfo.info.info_hash()
    }

    async fn item(&self, item: InfoHash) -> Item {
        self.engine().item(item).await.unwrap()
    }

    /// Waits until the item is as `is` says.
    async fn becomes(&self, item: InfoHash, what: &str, is: impl Fn(&Item) -> bool) -> Item {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let shown = self.item(item).await;
            if is(&shown) {
                return shown;
            }
            assert!(Instant::now() < deadline, "not {what}: {shown:#?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn complete(&self, item: InfoHash) -> Item {
        self.becomes(item, "complete", |i| i.state == ItemState::Seeding)
            .await
    }

    fn events(&self) -> Vec<String> {
        let (events, _) = self.run().events.subscribe(0);
        events.into_iter().map(|event| event.topic).collect()
    }
}

/// Waits for `look` to see something.
async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, look: impl Fn() -> F) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Bytes that look random and are the same every time.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut bytes: Vec<u8> = (0..len.div_ceil(8))
        .flat_map(|_| next().to_le_bytes())
        .collect();
    bytes.truncate(len);
    bytes
}

/// The torrent of a file or folder, and what its files are.
fn torrent(path: &Path, piece_len: u32) -> (Metainfo, Vec<FileStamp>) {
    let mut paths = Vec::new();
    let content = if path.is_file() {
        paths.push(path.to_owned());
        Files::Single(fs::metadata(path).unwrap().len())
    } else {
        let mut files = Vec::new();
        walk(path, &mut Vec::new(), &mut files);
        let mut content = Files::Multi(files);
        content.sort();
        if let Files::Multi(files) = &content {
            paths.extend(files.iter().map(|(below, _)| path.join(below.join("/"))));
        }
        content
    };
    let specs: Vec<FileSpec> = paths
        .iter()
        .map(|path| FileSpec::new(path, fs::metadata(path).unwrap().len()))
        .collect();
    let hashes = hash_files(&specs, piece_len, &Options::default(), &Progress::new()).unwrap();
    let builder = Builder {
        name: path.file_name().unwrap().to_str().unwrap().to_owned(),
        content,
        piece_len,
        private: false,
        announce: vec![],
        comment: None,
        created: None,
    };
    let stamps = paths
        .iter()
        .map(|p| FileStamp::of(&fs::File::open(p).unwrap()).unwrap());
    (builder.build(&hashes).unwrap(), stamps.collect())
}

fn walk(dir: &Path, below: &mut Vec<String>, files: &mut Vec<(Vec<String>, u64)>) {
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        below.push(entry.file_name().into_string().unwrap());
        match entry.file_type().unwrap().is_dir() {
            true => walk(&entry.path(), below, files),
            false => files.push((below.clone(), entry.metadata().unwrap().len())),
        }
        below.pop();
    }
}

fn file(dir: &Path, name: &str, seed: u64, len: usize) -> PathBuf {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, noise(seed, len)).unwrap();
    path
}

#[tokio::test]
async fn a_file_is_fetched_and_seeded_on() {
    let (a, b, c) = (
        Node::start().await,
        Node::start().await,
        Node::start().await,
    );
    let source = file(a.dir.path(), "big.bin", 1, 5_000_001);
    let metainfo = a.seed(&source, 65_536).await;
    let item = b.fetch(&metainfo, &[&a]).await;
    let shown = b.complete(item).await;
    assert_eq!((shown.pieces_done, shown.done), (77, 5_000_001));
    assert_eq!(
        fs::read(b.downloads().join("big.bin")).unwrap(),
        noise(1, 5_000_001)
    );
    assert!(!b.downloads().join(".p2p-incomplete").exists());
    let told = [
        "item.added",
        "item.started",
        "file.finished",
        "item.finished",
    ];
    assert_eq!(b.events(), told);
    // From what was fetched, the source gone.
    a.engine().remove(item, true).await.unwrap();
    assert!(source.exists(), "what p2pd did not fetch is not deleted");
    c.fetch(&metainfo, &[&b]).await;
    c.complete(item).await;
    assert_eq!(
        fs::read(c.downloads().join("big.bin")).unwrap(),
        noise(1, 5_000_001)
    );
    let totals = b.engine().totals().await;
    assert!(
        totals.downloaded >= 5_000_001 && totals.uploaded >= 5_000_001,
        "{totals:?}"
    );
}

#[tokio::test]
async fn several_files_keep_their_folders_and_empty_ones_too() {
    let (a, b) = (Node::start().await, Node::start().await);
    let source = a.dir.path().join("album");
    for (name, seed, len) in [
        ("a.txt", 1, 10),
        ("b/c.bin", 2, 300_000),
        ("b/d.bin", 3, 99_999),
        ("e", 4, 0),
    ] {
        file(&source, name, seed, len);
    }
    let metainfo = a.seed(&source, 32_768).await;
    let item = b.fetch(&metainfo, &[&a]).await;
    b.complete(item).await;
    let placed = b.downloads().join("album");
    assert_eq!(fs::read(placed.join("b/d.bin")).unwrap(), noise(3, 99_999));
    assert_eq!(fs::read(placed.join("a.txt")).unwrap(), noise(1, 10));
    assert_eq!(fs::read(placed.join("e")).unwrap(), b"");
    let files = b.engine().files(item).await.unwrap();
    assert!(files.iter().all(|file| file.done == file.size), "{files:?}");
}

#[tokio::test]
async fn only_the_wanted_files_are_put_in_place() {
    let (a, b) = (Node::start().await, Node::start().await);
    let source = a.dir.path().join("set");
    for (name, seed) in [("1.bin", 1), ("2.iso", 2), ("3.bin", 3)] {
        file(&source, name, seed, 100_000);
    }
    let metainfo = a.seed(&source, 32_768).await;
    let new = NewItem {
        only: vec!["*.iso".into()],
        peers: vec![a.addr()],
        ..b.new_item(&metainfo)
    };
    b.engine().add(new).await.unwrap();
    let item = metainfo.info.info_hash();
    let shown = b.complete(item).await;
    assert!(shown.pieces_done < shown.pieces && shown.done == shown.size);
    let placed = b.downloads().join("set");
    assert_eq!(fs::read(placed.join("2.iso")).unwrap(), noise(2, 100_000));
    assert!(!placed.join("1.bin").exists());
    assert!(matches!(
        b.engine().holding(item).await,
        Some(Holding::Partial(_))
    ));
    b.engine().remove(item, true).await.unwrap();
    assert!(!placed.exists() && !b.downloads().join(".p2p-incomplete").exists());
}

#[tokio::test]
async fn several_seeds_share_the_work() {
    let (a, b, c) = (
        Node::start().await,
        Node::start().await,
        Node::start().await,
    );
    let source = file(a.dir.path(), "x", 7, 8_000_000);
    let metainfo = a.seed(&source, 65_536).await;
    let item = b.fetch(&metainfo, &[&a]).await;
    b.complete(item).await;
    for node in [&a, &b] {
        let limits = Limits {
            down: None,
            up: Some(4_000_000),
        };
        node.engine().set_limits(limits).await;
    }
    let before = (
        a.engine().totals().await.uploaded,
        b.engine().totals().await.uploaded,
    );
    c.fetch(&metainfo, &[&a, &b]).await;
    c.complete(item).await;
    let from = |engine: u64, before: u64| engine - before;
    let from_a = from(a.engine().totals().await.uploaded, before.0);
    let from_b = from(b.engine().totals().await.uploaded, before.1);
    assert!(
        from_a > 1_000_000 && from_b > 1_000_000,
        "{from_a} {from_b}"
    );
    let list = HistoryList {
        item: Some(item.to_string()),
        limit: None,
    };
    let rows = eventually("both sessions are in the history", || async {
        let rows = history(&c.run().state, list.clone(), None).await.unwrap();
        (rows.len() == 2).then_some(rows)
    });
    let received: u64 = rows.await.iter().map(|row| row.downloaded).sum();
    assert!(received >= 8_000_000);
}

#[tokio::test]
async fn a_magnet_link_gets_its_metadata_from_a_peer() {
    let (a, b) = (Node::start().await, Node::start().await);
    let source = file(a.dir.path(), "m.bin", 3, 2_000_000);
    let metainfo = a.seed(&source, 16_384).await;
    let magnet = Magnet {
        info_hash: metainfo.info.info_hash(),
        name: Some("m".into()),
        trackers: vec![],
        peers: vec![],
    };
    let new = NewItem {
        content: Content::Magnet(magnet),
        peers: vec![a.addr()],
        ..b.new_item(&metainfo)
    };
    b.engine().add(new).await.unwrap();
    let item = metainfo.info.info_hash();
    b.complete(item).await;
    assert_eq!(
        fs::read(b.downloads().join("m.bin")).unwrap(),
        noise(3, 2_000_000)
    );
    let known = b.engine().metainfo(item).await.unwrap();
    assert_eq!(known.info.raw(), metainfo.info.raw());
}

#[tokio::test]
async fn a_restart_fetches_nothing_twice() {
    let (a, mut b) = (Node::start().await, Node::start().await);
    let source = file(a.dir.path(), "r.bin", 5, 12_000_000);
    let metainfo = a.seed(&source, 65_536).await;
    let slow = Limits {
        down: None,
        up: Some(6_000_000),
    };
    a.engine().set_limits(slow).await;
    let item = b.fetch(&metainfo, &[&a]).await;
    let part = |i: &Item| i.pieces_done > 40;
    let before = b.becomes(item, "partly there", part).await;
    assert!(before.pieces_done < before.pieces, "too fast for this test");
    b.engine().stop().await;
    b.restart().await;
    let again = b.becomes(item, "back", |i| i.pieces_done > 0).await;
    assert!(again.pieces_done >= before.pieces_done, "{again:?}");
    b.complete(item).await;
    assert_eq!(
        fs::read(b.downloads().join("r.bin")).unwrap(),
        noise(5, 12_000_000)
    );
    let shown = b.item(item).await;
    // What came of pieces that were not whole yet.
    let under_way = 4 * 65_536;
    let downloaded = shown.downloaded;
    assert!(
        (12_000_000..12_000_000 + under_way).contains(&downloaded),
        "{downloaded}"
    );
    b.engine().stop().await;
    b.restart().await;
    let third = b.item(item).await;
    assert_eq!(
        (third.state, third.pieces_done),
        (ItemState::Seeding, third.pieces)
    );
}

#[test]
fn after_a_kill_written_pieces_are_kept() {
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().build().unwrap()
    };
    let (tx, rx) = std::sync::mpsc::channel();
    let (done, end) = tokio::sync::oneshot::channel::<()>();
    let seed = std::thread::spawn(move || {
        runtime().block_on(async {
            let a = Node::start().await;
            let source = file(a.dir.path(), "k.bin", 6, 12_000_000);
            let metainfo = a.seed(&source, 65_536).await;
            let up = Some(6_000_000);
            a.engine().set_limits(Limits { down: None, up }).await;
            tx.send((a.addr(), metainfo)).unwrap();
            let _ = end.await;
        });
    });
    let (addr, metainfo) = rx.recv().unwrap();
    let item = metainfo.info.info_hash();
    let first = runtime();
    let mut b = first.block_on(Node::start());
    let before = first.block_on(async {
        let new = NewItem {
            peers: vec![addr],
            ..b.new_item(&metainfo)
        };
        b.engine().add(new).await.unwrap();
        b.becomes(item, "partly there", |i| i.pieces_done > 40)
            .await
    });
    // All tasks end where they stand: nothing more is synced or recorded.
    drop(first);
    b.run = None;
    runtime().block_on(async {
        b.restart().await;
        let again = b.becomes(item, "back", |i| i.pieces_done > 0).await;
        assert!(again.pieces_done >= before.pieces_done, "{again:?}");
        let already = again.done;
        b.complete(item).await;
        let bytes = fs::read(b.downloads().join("k.bin")).unwrap();
        assert_eq!(bytes, noise(6, 12_000_000));
        let received = b.engine().totals().await.downloaded;
        assert!(
            received <= 12_000_000 - already + 500_000,
            "{received} {already}"
        );
    });
    drop(done);
    seed.join().unwrap();
}

#[tokio::test]
async fn a_paused_item_stands_still_and_goes_on() {
    let (a, mut b) = (Node::start().await, Node::start().await);
    let source = file(a.dir.path(), "p.bin", 8, 6_000_000);
    let metainfo = a.seed(&source, 65_536).await;
    let slow = ItemSetting::Up(Some(3_000_000));
    let item = metainfo.info.info_hash();
    a.engine().set(item, slow).await.unwrap();
    b.fetch(&metainfo, &[&a]).await;
    b.becomes(item, "under way", |i| i.pieces_done > 5).await;
    let paused = b.engine().pause(item).await.unwrap();
    assert_eq!(paused.state, ItemState::Paused);
    b.engine().stop().await;
    b.restart().await;
    let still = b.item(item).await;
    assert_eq!(
        (still.state, still.pieces_done),
        (ItemState::Paused, paused.pieces_done)
    );
    assert!(b.engine().held_items().await.is_empty());
    b.engine().resume(item).await.unwrap();
    b.complete(item).await;
}

#[tokio::test]
async fn limits_hold() {
    let (a, b) = (Node::start().await, Node::start().await);
    let source = file(a.dir.path(), "l.bin", 9, 9_000_000);
    let metainfo = a.seed(&source, 65_536).await;
    let limit = Limits {
        down: Some(3_000_000),
        up: None,
    };
    b.engine().set_limits(limit).await;
    let started = Instant::now();
    let item = b.fetch(&metainfo, &[&a]).await;
    b.complete(item).await;
    let rate = 9_000_000.0 / started.elapsed().as_secs_f64();
    assert!((2_400_000.0..3_300_000.0).contains(&rate), "{rate}");
}

#[tokio::test]
async fn a_file_rewritten_while_seeded_is_not_served() {
    let (a, b) = (Node::start().await, Node::start().await);
    let source = file(a.dir.path(), "w.bin", 10, 3_000_000);
    let (metainfo, stamps) = torrent(&source, 65_536);
    let new = NewItem {
        place: Place::Hashed(source.clone(), stamps),
        share: Some("docs".into()),
        ..a.new_item(&metainfo)
    };
    a.engine().add(new).await.unwrap();
    let mtime = fs::metadata(&source).unwrap().modified().unwrap();
    let edited = fs::File::options().write(true).open(&source).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&edited, b"edited", 1_000_000).unwrap();
    edited.set_modified(mtime).unwrap();
    let item = b.fetch(&metainfo, &[&a]).await;
    let shown = a
        .becomes(item, "stopped", |i| i.state == ItemState::Error)
        .await;
    assert!(shown.reason.unwrap().contains("changed on disk"));
    assert!(a.events().contains(&"item.changed".to_owned()));
    assert_eq!(b.item(item).await.downloaded, 0);
    let gone = a.engine().take_changes().await;
    assert!(
        gone.iter()
            .any(|change| matches!(change, Change::Gone(i) if *i == item)),
        "{gone:?}"
    );
}

#[tokio::test]
async fn a_fetched_file_that_was_only_touched_is_verified_and_seeded_on() {
    let (a, b, c) = (
        Node::start().await,
        Node::start().await,
        Node::start().await,
    );
    let source = file(a.dir.path(), "t.bin", 11, 1_000_000);
    let metainfo = a.seed(&source, 65_536).await;
    let item = b.fetch(&metainfo, &[&a]).await;
    b.complete(item).await;
    let placed = fs::File::options()
        .write(true)
        .open(b.downloads().join("t.bin"))
        .unwrap();
    placed
        .set_modified(std::time::SystemTime::UNIX_EPOCH)
        .unwrap();
    c.fetch(&metainfo, &[&b]).await;
    c.complete(item).await;
    assert!(b.events().contains(&"item.verified".to_owned()));
}

#[tokio::test]
async fn what_is_there_already_is_verified_and_completed_in_place() {
    let (a, b) = (Node::start().await, Node::start().await);
    let source = file(a.dir.path(), "e.bin", 12, 2_000_000);
    let metainfo = a.seed(&source, 65_536).await;
    let there = b.dir.path().join("mine.bin");
    let mut bytes = noise(12, 2_000_000);
    bytes[700_000] ^= 1;
    bytes.truncate(1_900_000);
    fs::write(&there, bytes).unwrap();
    let new = NewItem {
        place: Place::Existing(there.clone()),
        peers: vec![a.addr()],
        ..b.new_item(&metainfo)
    };
    b.engine().add(new).await.unwrap();
    let item = metainfo.info.info_hash();
    let shown = b.complete(item).await;
    assert_eq!(fs::read(&there).unwrap(), noise(12, 2_000_000));
    assert!(shown.downloaded < 400_000, "{}", shown.downloaded);
    b.engine().remove(item, true).await.unwrap();
    assert!(there.exists());
}

#[tokio::test]
async fn verify_finds_damage_and_fetches_it_again() {
    let (a, b) = (Node::start().await, Node::start().await);
    let source = file(a.dir.path(), "v.bin", 13, 1_000_000);
    let metainfo = a.seed(&source, 65_536).await;
    let item = b.fetch(&metainfo, &[&a]).await;
    b.complete(item).await;
    let placed = b.downloads().join("v.bin");
    let damaged = fs::File::options().write(true).open(&placed).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&damaged, b"oops", 500_000).unwrap();
    b.engine().verify(item).await.unwrap();
    let shown = b
        .becomes(item, "whole again", |i| {
            i.state == ItemState::Seeding && fs::read(&placed).unwrap() == noise(13, 1_000_000)
        })
        .await;
    assert_eq!(shown.bad_pieces, Some(1));
    b.engine().verify(item).await.unwrap();
    b.becomes(item, "verified", |i| i.bad_pieces == Some(0))
        .await;
}

#[tokio::test]
async fn a_paused_item_is_verified_and_stays_paused() {
    let (a, b) = (Node::start().await, Node::start().await);
    let source = file(a.dir.path(), "p.bin", 14, 1_000_000);
    let metainfo = a.seed(&source, 65_536).await;
    let item = b.fetch(&metainfo, &[&a]).await;
    b.complete(item).await;
    b.engine().pause(item).await.unwrap();
    let placed = b.downloads().join("p.bin");
    let damaged = fs::File::options().write(true).open(&placed).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&damaged, b"oops", 0).unwrap();
    let shown = b.engine().verify(item).await.unwrap();
    assert_eq!(shown.state, ItemState::Verifying);
    let paused = |i: &Item| i.state == ItemState::Paused && i.bad_pieces == Some(1);
    let shown = b.becomes(item, "verified and paused", paused).await;
    assert_eq!(shown.pieces_done, shown.pieces - 1);
    b.engine().resume(item).await.unwrap();
    b.complete(item).await;
}

#[tokio::test]
async fn what_is_bad_in_a_share_is_told_and_never_written_over() {
    let a = Node::start().await;
    let source = file(a.dir.path(), "s.bin", 15, 1_000_000);
    let (metainfo, mut stamps) = torrent(&source, 65_536);
    let damaged = fs::File::options().write(true).open(&source).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&damaged, b"oops", 0).unwrap();
    // As a disk does that changes bytes by itself: nothing else of the file is different.
    stamps[0] = FileStamp::of(&damaged).unwrap();
    let new = NewItem {
        place: Place::Hashed(source.clone(), stamps),
        share: Some("Public".into()),
        ..a.new_item(&metainfo)
    };
    a.engine().add(new).await.unwrap();
    let item = metainfo.info.info_hash();
    a.engine().verify(item).await.unwrap();
    let shown = a
        .becomes(item, "found bad", |i| i.state == ItemState::Error)
        .await;
    assert_eq!(
        (shown.bad_pieces, shown.error_kind),
        (Some(1), Some(ErrorKind::BadData))
    );
    assert_eq!(&fs::read(&source).unwrap()[..4], b"oops");
}

#[tokio::test]
async fn an_item_moves_and_is_served_from_its_new_place() {
    let (a, b, c) = (
        Node::start().await,
        Node::start().await,
        Node::start().await,
    );
    let source = file(a.dir.path(), "mv.bin", 14, 1_000_000);
    let metainfo = a.seed(&source, 65_536).await;
    let item = b.fetch(&metainfo, &[&a]).await;
    b.complete(item).await;
    let dir = b.dir.path().join("elsewhere");
    assert!(b.engine().move_to(item, dir.clone()).await.is_err());
    fs::create_dir(&dir).unwrap();
    b.engine().move_to(item, dir.clone()).await.unwrap();
    assert_eq!(fs::read(dir.join("mv.bin")).unwrap(), noise(14, 1_000_000));
    c.fetch(&metainfo, &[&b]).await;
    c.complete(item).await;
    assert!(b.events().contains(&"item.moved".to_owned()));
}

#[tokio::test]
async fn removing_with_data_deletes_what_was_fetched_even_half() {
    let (a, b) = (Node::start().await, Node::start().await);
    let source = file(a.dir.path(), "h.bin", 15, 4_000_000);
    let metainfo = a.seed(&source, 65_536).await;
    let item = metainfo.info.info_hash();
    a.engine()
        .set(item, ItemSetting::Up(Some(1_000_000)))
        .await
        .unwrap();
    b.fetch(&metainfo, &[&a]).await;
    let watch = b.engine().watch(item).await.unwrap();
    b.becomes(item, "under way", |i| i.pieces_done > 2).await;
    b.engine().remove(item, true).await.unwrap();
    assert!(b.engine().item(item).await.is_none());
    assert!(!b.downloads().join(".p2p-incomplete").exists());
    eventually("the watch ends", || async { watch.has_changed().err() }).await;
    assert!(source.exists());
}

#[tokio::test]
async fn a_taken_name_is_left_alone() {
    let (a, b) = (Node::start().await, Node::start().await);
    let source = file(a.dir.path(), "n.bin", 16, 100_000);
    let metainfo = a.seed(&source, 65_536).await;
    file(&b.downloads(), "n.bin", 99, 5);
    let item = b.fetch(&metainfo, &[&a]).await;
    b.complete(item).await;
    assert_eq!(fs::read(b.downloads().join("n.bin")).unwrap(), noise(99, 5));
    assert_eq!(
        fs::read(b.downloads().join("n.bin (2)")).unwrap(),
        noise(16, 100_000)
    );
}

#[tokio::test]
async fn takes_part_with_the_announcer_from_start_to_stop() {
    let (a, mut b) = (Node::start().await, Node::start().await);
    let source = file(a.dir.path(), "s.bin", 17, 500_000);
    let metainfo = a.seed(&source, 65_536).await;
    let item = b.fetch(&metainfo, &[&a]).await;
    b.complete(item).await;
    b.engine().pause(item).await.unwrap();
    let mut seen = Vec::new();
    while seen.len() < 3 {
        let next = b.run.as_mut().unwrap().announces.recv();
        let command = tokio::time::timeout(Duration::from_secs(10), next).await;
        seen.push(command.unwrap().unwrap());
    }
    assert!(matches!(
        &seen[..],
        [
            AnnounceCommand::Start { .. },
            AnnounceCommand::Completed(_),
            AnnounceCommand::Stop(_)
        ]
    ));
    let changes = b.engine().take_changes().await;
    assert!(
        matches!(
            &changes[..],
            [Change::Reset(_), Change::Complete(_), Change::Gone(_)]
        ),
        "{changes:?}"
    );
}

#[tokio::test]
async fn a_seed_dials_the_leech_that_a_tracker_tells_it_of() {
    let (a, b) = (Node::start().await, Node::start().await);
    let source = file(a.dir.path(), "told.bin", 19, 200_000);
    let metainfo = a.seed(&source, 65_536).await;
    let item = b.fetch(&metainfo, &[]).await;
    let told = (item, vec![b.addr()]);
    a.run().peers.send(told).await.unwrap();
    b.complete(item).await;
}

#[tokio::test]
async fn a_leech_that_is_alone_asks_the_tracker_again() {
    let (a, mut b) = (Node::start().await, Node::start().await);
    let source = file(a.dir.path(), "alone.bin", 21, 200_000);
    let (metainfo, _) = torrent(&source, 65_536);
    b.fetch(&metainfo, &[]).await;
    let announces = &mut b.run.as_mut().unwrap().announces;
    let asked = async { while !matches!(announces.recv().await, Some(AnnounceCommand::Now(_))) {} };
    let within = tokio::time::timeout(Duration::from_secs(30), asked).await;
    within.expect("it never asked");
}

#[tokio::test]
async fn a_thousand_seeds_sleep() {
    let mut node = Node::start().await;
    let source = file(node.dir.path(), "one", 18, 20_000);
    let (_, stamps) = torrent(&source, 16_384);
    for n in 0..1_000 {
        let name = format!("item-{n}");
        let builder = Builder {
            name,
            content: Files::Single(20_000),
            piece_len: 16_384,
            private: false,
            announce: vec![],
            comment: None,
            created: None,
        };
        let metainfo = builder.build(&[[0; 20], [1; 20]]).unwrap();
        let new = NewItem {
            place: Place::Hashed(source.clone(), stamps.clone()),
            ..node.new_item(&metainfo)
        };
        node.engine().add(new).await.unwrap();
    }
    node.engine().stop().await;
    // What they seed is gone: a start that looked at files would notice.
    fs::remove_file(&source).unwrap();
    let started = Instant::now();
    node.restart().await;
    let items = node.engine().items().await;
    assert_eq!(items.len(), 1_000);
    assert!(items.iter().all(|item| item.state == ItemState::Seeding));
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn says_which_pieces_nobody_holds() {
    let (a, b) = (Node::start().await, Node::start().await);
    let source = file(a.dir.path(), "gap.bin", 20, 1_000_000);
    let (metainfo, _) = torrent(&source, 65_536);
    let item = metainfo.info.info_hash();
    let mut bytes = noise(20, 1_000_000);
    for piece in [4, 5, 9] {
        bytes[piece * 65_536] ^= 1;
    }
    fs::write(&source, bytes).unwrap();
    let new = NewItem {
        place: Place::Existing(source),
        ..a.new_item(&metainfo)
    };
    a.engine().add(new).await.unwrap();
    a.becomes(item, "verified", |i| i.pieces_done == 13).await;
    b.fetch(&metainfo, &[&a]).await;
    let told = |i: &Item| i.reason.as_ref().is_some_and(|why| why.contains("4-5, 9"));
    let shown = b.becomes(item, "told", told).await;
    assert_eq!(shown.missing, Some(3));
    assert!(b.events().contains(&"item.missing-pieces".to_owned()));
}

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
        println!("skipped: mounting a tmpfs needs root");
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

#[tokio::test]
async fn data_that_was_left_behind_is_used_again() {
    let (a, b) = (Node::start().await, Node::start().await);
    let source = file(a.dir.path(), "left.bin", 23, 4_000_000);
    let metainfo = a.seed(&source, 65_536).await;
    let item = metainfo.info.info_hash();
    let slow = ItemSetting::Up(Some(2_000_000));
    a.engine().set(item, slow).await.unwrap();
    b.fetch(&metainfo, &[&a]).await;
    let part = b.becomes(item, "under way", |i| i.pieces_done > 10).await;
    b.engine().remove(item, false).await.unwrap();
    b.fetch(&metainfo, &[&a]).await;
    let shown = b.complete(item).await;
    assert!(
        shown.downloaded <= 4_000_000 - part.done,
        "{}",
        shown.downloaded
    );
}

#[tokio::test]
async fn a_kill_between_the_rename_and_its_record_costs_nothing() {
    let (a, mut b) = (Node::start().await, Node::start().await);
    let source = file(a.dir.path(), "gap.iso", 26, 4_000_000);
    let metainfo = a.seed(&source, 65_536).await;
    let item = metainfo.info.info_hash();
    let slow = ItemSetting::Up(Some(2_000_000));
    a.engine().set(item, slow).await.unwrap();
    b.fetch(&metainfo, &[&a]).await;
    b.becomes(item, "under way", |i| i.pieces_done > 5).await;
    b.engine().pause(item).await.unwrap();
    b.engine().stop().await;
    // What a kill leaves behind right after the rename.
    let stage = b.downloads().join(".p2p-incomplete");
    let staged = stage.join(item.to_string()).join("gap.iso");
    let whole = fs::File::options().write(true).open(&staged).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&whole, &noise(26, 4_000_000), 0).unwrap();
    fs::rename(&staged, b.downloads().join("gap.iso")).unwrap();
    fs::remove_dir_all(&stage).unwrap();
    b.restart().await;
    b.engine().resume(item).await.unwrap();
    let shown = b.complete(item).await;
    assert_eq!(b.engine().totals().await.downloaded, 0);
    assert!(
        !stage.exists() && !b.downloads().join("gap.iso (2)").exists(),
        "{shown:?}"
    );
    assert!(b.events().contains(&"item.finished".to_owned()));
}

#[tokio::test]
async fn peers_that_break_the_protocol_are_dropped_and_others_served() {
    use p2p_wire::PeerId;
    use p2p_wire::peer::{Handshake, Reserved};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let (a, b) = (Node::start().await, Node::start().await);
    let source = file(a.dir.path(), "safe.bin", 25, 1_000_000);
    let metainfo = a.seed(&source, 65_536).await;
    let item = metainfo.info.info_hash();
    let bad: [(InfoHash, &[u8]); 5] = [
        (InfoHash([0; 20]), b""),
        (item, b"\xff\xff\xff\xff\x07"),
        (item, b"\0\0\0\x05\x04\0\0\xff\xff"),
        (item, b"\0\0\0\x02\x05\xff"),
        (item, b"\0\0\0\x0d\x06\0\0\0\0\0\0\0\0\x7f\xff\xff\xff"),
    ];
    for (n, (info_hash, message)) in bad.into_iter().enumerate() {
        let mut peer = tokio::net::TcpStream::connect(a.addr()).await.unwrap();
        let hello = Handshake {
            reserved: Reserved::ours(),
            info_hash,
            peer_id: PeerId([n as u8 + 1; 20]),
        };
        peer.write_all(&hello.to_bytes()).await.unwrap();
        peer.write_all(message).await.unwrap();
        let mut said = Vec::new();
        let end = tokio::time::timeout(Duration::from_secs(20), peer.read_to_end(&mut said));
        assert!(end.await.is_ok(), "peer {n} is still connected");
    }
    b.fetch(&metainfo, &[&a]).await;
    b.complete(item).await;
}

#[tokio::test]
async fn a_part_that_was_edited_while_p2pd_was_away_is_fetched_again_and_the_rest_is_not() {
    let (a, mut b) = (Node::start().await, Node::start().await);
    let source = file(a.dir.path(), "edit.bin", 31, 8_000_000);
    let metainfo = a.seed(&source, 65_536).await;
    let item = metainfo.info.info_hash();
    let slow = ItemSetting::Up(Some(8_000_000));
    a.engine().set(item, slow).await.unwrap();
    b.fetch(&metainfo, &[&a]).await;
    b.becomes(item, "half there", |i| i.pieces_done > 60).await;
    b.engine().pause(item).await.unwrap();
    let part = b.becomes(item, "paused", |i| i.state == ItemState::Paused);
    let part = part.await;
    let held = b.engine().pieces(item).await.unwrap().here[0].0;
    b.engine().stop().await;
    let staged = b.downloads().join(".p2p-incomplete");
    let staged = staged.join(item.to_string()).join("edit.bin");
    let edited = fs::File::options().write(true).open(&staged).unwrap();
    let at = u64::from(held) * 65_536 + 7;
    std::os::unix::fs::FileExt::write_all_at(&edited, b"an edit", at).unwrap();
    edited.sync_all().unwrap();
    b.restart().await;
    b.engine().resume(item).await.unwrap();
    b.complete(item).await;
    assert_eq!(
        fs::read(b.downloads().join("edit.bin")).unwrap(),
        noise(31, 8_000_000)
    );
    let fetched = b.engine().totals().await.downloaded;
    assert!(
        fetched <= 8_000_000 - part.done + 2 * 65_536,
        "{fetched} fetched, {} were there",
        part.done
    );
    assert!(b.events().contains(&"item.verified".to_owned()));
}

#[tokio::test]
async fn an_edit_with_its_time_restored_is_never_served() {
    let (a, b, c) = (
        Node::start().await,
        Node::start().await,
        Node::start().await,
    );
    let source = file(a.dir.path(), "sly.bin", 32, 1_000_000);
    let metainfo = a.seed(&source, 65_536).await;
    let item = b.fetch(&metainfo, &[&a]).await;
    b.complete(item).await;
    let placed = b.downloads().join("sly.bin");
    let edited = fs::File::options().write(true).open(&placed).unwrap();
    let then = edited.metadata().unwrap().modified().unwrap();
    std::os::unix::fs::FileExt::write_all_at(&edited, b"an edit", 500_000).unwrap();
    edited.set_modified(then).unwrap();
    c.fetch(&metainfo, &[&b]).await;
    let shown = b
        .becomes(item, "stopped", |i| i.state == ItemState::Error)
        .await;
    assert!(shown.reason.unwrap().contains("changed on disk"));
    let got = c.item(item).await;
    assert_eq!(got.wasted, 0, "{got:?}");
    assert!(got.pieces_done < got.pieces);
    // What differs is fetched again when the user says so.
    b.engine().verify(item).await.unwrap();
    b.engine().add_peers(item, vec![a.addr()]).await;
    b.complete(item).await;
    assert_eq!(fs::read(&placed).unwrap(), noise(32, 1_000_000));
}

#[test]
fn a_file_that_is_truncated_again_and_again_while_it_is_served_harms_nobody() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let seconds = std::env::var("P2P_STORM_SECONDS").map_or(3, |s| s.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (a, b) = (Node::start().await, Node::start().await);
        let source = file(a.dir.path(), "storm.bin", 33, 4_000_000);
        let metainfo = a.seed(&source, 65_536).await;
        let item = metainfo.info.info_hash();
        let content = noise(33, 4_000_000);
        let over = std::sync::Arc::new(AtomicBool::new(false));
        let (ended, path, bytes) = (over.clone(), source.clone(), content.clone());
        let storm = std::thread::spawn(move || {
            let file = fs::File::options().write(true).open(&path).unwrap();
            let mut rounds = 0u64;
            while !ended.load(Ordering::Relaxed) {
                let keep = (rounds * 7_919 * 4_096) % bytes.len() as u64;
                file.set_len(keep).unwrap();
                let rest = &bytes[keep as usize..];
                std::os::unix::fs::FileExt::write_all_at(&file, rest, keep).unwrap();
                rounds += 1;
                std::thread::sleep(Duration::from_millis(10)); // 100 Hz
            }
            rounds
        });
        b.fetch(&metainfo, &[&a]).await;
        let end = Instant::now() + Duration::from_secs(seconds);
        while Instant::now() < end {
            let shown = a.item(item).await;
            if shown.state == ItemState::Error {
                a.engine().resume(item).await.unwrap();
            }
            b.engine().add_peers(item, vec![a.addr()]).await;
            tokio::time::sleep(Duration::from_millis(5)).await; // the storm goes on
        }
        over.store(true, Ordering::Relaxed);
        let rounds = storm.join().unwrap();
        let got = b.item(item).await;
        eprintln!(
            "{rounds} truncations; {} of {} pieces, {} bytes wasted",
            got.pieces_done, got.pieces, got.wasted
        );
        assert_eq!(got.wasted, 0, "{got:?}");
        assert_eq!(fs::read(&source).unwrap(), content);
        eventually("b is whole", || async {
            if a.item(item).await.state == ItemState::Error {
                a.engine().resume(item).await.unwrap();
            }
            b.engine().add_peers(item, vec![a.addr()]).await;
            (b.item(item).await.state == ItemState::Seeding).then_some(())
        })
        .await;
        assert_eq!(fs::read(b.downloads().join("storm.bin")).unwrap(), content);
    });
}
