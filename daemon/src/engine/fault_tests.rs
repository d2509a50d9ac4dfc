//! A scripted download on a disk that fails call N, for every N: nothing wrong is ever claimed, and everything recovers.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use p2p_hash::{FileSpec, Options, Progress, hash_files};
use p2p_wire::InfoHash;
use p2p_wire::control::{Item, Limits, State as ItemState};
use p2p_wire::metainfo::{Builder, Content as Files, Metainfo};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use super::*;
use crate::state::StateLock;
use crate::storage::{Fault as DiskFault, Faults};

/// How an item is made up.
pub(super) struct Shape {
    piece_len: u32,
    files: &'static [(&'static str, usize)],
}

pub(super) const SHORT: Shape = Shape {
    piece_len: 32_768,
    files: &[("a", 100_000), ("sub/b", 70_000), ("z", 10)],
};

/// Pieces that come in parts, which are written past the page cache where that is done.
const LONG: Shape = Shape {
    piece_len: 2 * 1024 * 1024,
    files: &[("a", 2_500_000), ("sub/b", 900_001)],
};

/// An engine and what must live as long as it.
pub(super) struct Node {
    pub(super) engine: Engine,
    _announces: mpsc::Receiver<AnnounceCommand>,
    _peers: mpsc::Sender<(InfoHash, Vec<SocketAddr>)>,
    _lock: StateLock,
}

impl Node {
    pub(super) async fn start(dir: &Path) -> Self {
        let (state, lock) = State::open(&dir.join("state")).unwrap();
        let (announce, announces) = mpsc::channel(256);
        let (peers_tx, peers) = mpsc::channel(16);
        let config = Config {
            download_dir: dir.join("downloads"),
            listen: vec!["127.0.0.1:0".parse().unwrap()],
            max_peers: 100,
            max_peers_item: 50,
            upload_slots: 8,
            in_flight: 16 << 20,
            min_free: 0,
            limits: Limits::default(),
            lan_exempt: false,
            disk_threads: 1,
        };
        let links = Links {
            announce,
            peers,
            events: Events::default(),
            hooks: None,
        };
        Self {
            engine: Engine::start(config, state, links).await.unwrap(),
            _announces: announces,
            _peers: peers_tx,
            _lock: lock,
        }
    }

    pub(super) async fn add(&self, metainfo: &Metainfo, place: Place, peers: Vec<SocketAddr>) {
        let new = NewItem {
            content: Content::Metainfo(Box::new(metainfo.clone())),
            place,
            trackers: vec![],
            share: None,
            owner: nix::unistd::geteuid().as_raw(),
            only: vec![],
            sequential: false,
            peers,
            only_peers: vec![],
        };
        assert!(self.engine.add(new).await.unwrap());
    }

    /// Waits until the item is whole, stands still with an error, or `stop` says so.
    pub(super) async fn rests(&self, item: InfoHash, stop: impl Fn() -> bool) -> Option<Item> {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            let shown = self.engine.item(item).await.expect("the item is there");
            if stop() {
                return None;
            }
            if matches!(shown.state, ItemState::Error | ItemState::Seeding) {
                return Some(shown);
            }
            assert!(Instant::now() < end, "{shown:?}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

/// What is downloaded: its metainfo, its bytes, who has it.
pub(super) struct Source {
    pub(super) metainfo: Metainfo,
    pub(super) content: Vec<u8>,
    pub(super) addr: SocketAddr,
    shape: &'static Shape,
}

impl Source {
    /// Seeds it from a thread of its own until the sender given back is dropped.
    pub(super) fn start(dir: PathBuf) -> (Self, tokio::sync::oneshot::Sender<()>) {
        Self::start_as("set", dir, &SHORT)
    }

    /// The same with other content, or under another name, which is another item.
    pub(super) fn start_as(
        item: &'static str,
        dir: PathBuf,
        shape: &'static Shape,
    ) -> (Self, tokio::sync::oneshot::Sender<()>) {
        let (tx, rx) = std::sync::mpsc::channel();
        let (alive, end) = tokio::sync::oneshot::channel::<()>();
        std::thread::spawn(move || {
            runtime().block_on(async {
                let top = dir.join(item);
                let mut specs = Vec::new();
                let mut content = Vec::new();
                for (name, len) in shape.files {
                    let path = top.join(name);
                    fs::create_dir_all(path.parent().unwrap()).unwrap();
                    let bytes: Vec<u8> = (0..*len).map(|n| (n * 7 + n / 251 + len) as u8).collect();
                    fs::write(&path, &bytes).unwrap();
                    content.extend(bytes);
                    specs.push(FileSpec::new(&path, *len as u64));
                }
                let options = Options::default();
                let hashes =
                    hash_files(&specs, shape.piece_len, &options, &Progress::new()).unwrap();
                let files = shape.files.iter().map(|(name, len)| {
                    let names = name.split('/').map(str::to_owned).collect();
                    (names, *len as u64)
                });
                let builder = Builder {
                    name: item.into(),
                    content: Files::Multi(files.collect()),
                    piece_len: shape.piece_len,
                    private: false,
                    announce: vec![],
                    comment: None,
                    created: None,
                };
                let metainfo = builder.build(&hashes).unwrap();
                let node = Node::start(&dir).await;
                let stamp = |spec: &FileSpec| {
                    let file = fs::File::open(spec.path.as_ref().unwrap());
                    FileStamp::of(&file.unwrap()).unwrap()
                };
                let stamps = specs.iter().map(stamp).collect();
                node.add(&metainfo, Place::Hashed(top, stamps), vec![])
                    .await;
                let addr = SocketAddr::from(([127, 0, 0, 1], node.engine.port()));
                tx.send(Self {
                    metainfo,
                    content,
                    addr,
                    shape,
                })
                .unwrap();
                let _ = end.await;
            });
        });
        (rx.recv().unwrap(), alive)
    }

    pub(super) fn item(&self) -> InfoHash {
        self.metainfo.info.info_hash()
    }

    /// What lies on the disk of a leech, zeros for what does not.
    fn on_disk(&self, downloads: &Path) -> Vec<u8> {
        let top = self.metainfo.info.name();
        let staged = downloads
            .join(".p2p-incomplete")
            .join(self.item().to_string());
        let mut bytes = Vec::new();
        for (name, len) in self.shape.files {
            let places = [downloads.join(top), staged.join(top)];
            let read = places.iter().find_map(|at| fs::read(at.join(name)).ok());
            let mut file = read.unwrap_or_default();
            file.resize(*len, 0);
            bytes.extend(file);
        }
        bytes
    }

    /// Every claim is true.
    pub(super) async fn judge(&self, node: &Node, downloads: &Path, when: &str) {
        let claimed = node.engine.pieces(self.item()).await.expect("pieces").here;
        let disk = self.on_disk(downloads);
        for piece in claimed.into_iter().flat_map(|(first, last)| first..=last) {
            let piece_len = self.shape.piece_len as usize;
            let from = piece as usize * piece_len;
            let to = (from + piece_len).min(disk.len());
            assert!(
                disk[from..to] == self.content[from..to],
                "piece {piece} is claimed {when}"
            );
        }
    }
}

pub(super) fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap()
}

/// Whether all was on the disk before this call.
fn is_late(faults: &Faults, call: u32) -> bool {
    faults.renamed().is_some_and(|renamed| renamed <= call)
}

/// One download with this fault; how many calls it made.
fn download(source: &Source, plan: Option<(u32, DiskFault)>) -> u32 {
    let dir = tempfile::tempdir().unwrap();
    let downloads = dir.path().join("downloads");
    let item = source.item();
    let faults = Faults::new(&downloads, plan);
    let first = runtime();
    let what = format!("{plan:?}");
    let whole = source.content.len() as u64;
    let calls = first.block_on(async {
        let node = Node::start(dir.path()).await;
        let place = Place::Download(downloads.clone());
        node.add(&source.metainfo, place, vec![source.addr]).await;
        let mut tries = 0;
        while let Some(shown) = node.rests(item, || faults.is_dead()).await {
            source.judge(&node, &downloads, &what).await;
            if shown.state == ItemState::Seeding {
                break;
            }
            tries += 1;
            assert!(
                tries < 4,
                "one fault stops it again and again: {what} {shown:?}"
            );
            node.engine.resume(item).await.unwrap();
        }
        if !faults.is_dead() && plan.is_none_or(|(call, _)| is_late(&faults, call)) {
            let downloaded = node.engine.moved().0;
            assert_eq!(downloaded, whole, "once is enough: {what}");
        }
        faults.calls()
    });
    // All tasks end where they stand, as after a cut.
    let cut = faults.is_dead();
    let late = plan.is_some_and(|(call, _)| is_late(&faults, call));
    drop(first);
    drop(faults);
    if cut {
        runtime().block_on(async {
            let begin = Instant::now();
            while State::open(&dir.path().join("state")).is_err() {
                assert!(
                    begin.elapsed() < Duration::from_secs(10),
                    "the folder stays locked"
                );
            }
            let node = Node::start(dir.path()).await;
            source
                .judge(&node, &downloads, &format!("after {what}"))
                .await;
            let shown = node.rests(item, || false).await.expect("at rest");
            assert_eq!(shown.state, ItemState::Seeding, "after {what}: {shown:?}");
            if late {
                let again = node.engine.moved().0;
                assert_eq!(again, 0, "all was on the disk before {what}");
            }
            source
                .judge(&node, &downloads, &format!("after {what}"))
                .await;
        });
    }
    assert!(
        source.on_disk(&downloads) == source.content,
        "content after {what}"
    );
    let names = fs::read_dir(&downloads).unwrap();
    let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["set"], "after {what}");
    calls
}

/// Downloads it once for each call and each fault.
fn fail_each_call(shape: &'static Shape) {
    let dir = tempfile::tempdir().unwrap();
    let (source, _alive) = Source::start_as("set", dir.path().to_owned(), shape);
    let calls = download(&source, None);
    assert!(calls > 10, "{calls} calls: the seam is not asked");
    let faults = [
        DiskFault::Full,
        DiskFault::Broken,
        DiskFault::Short,
        DiskFault::PowerCut,
    ];
    for fault in faults {
        for call in 1..=calls {
            download(&source, Some((call, fault)));
        }
    }
    eprintln!("{calls} calls, {} kinds of fault each", faults.len());
}

#[test]
fn a_disk_that_fails_any_one_call_costs_time_and_nothing_else() {
    fail_each_call(&SHORT);
}

#[test]
fn so_does_one_that_fails_while_pieces_are_written_in_parts() {
    fail_each_call(&LONG);
}

#[test]
fn what_is_verified_in_place_is_synced_once() {
    let dir = tempfile::tempdir().unwrap();
    let (source, _alive) = Source::start(dir.path().join("source"));
    let top = dir.path().join("copy/set");
    let mut rest = &source.content[..];
    for (name, len) in source.shape.files {
        let path = top.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let (bytes, after) = rest.split_at(*len);
        fs::write(&path, bytes).unwrap();
        rest = after;
    }
    let faults = Faults::new(&top, None);
    runtime().block_on(async {
        let node = Node::start(dir.path()).await;
        let place = Place::Existing(top.clone());
        node.add(&source.metainfo, place, vec![]).await;
        let shown = node.rests(source.item(), || false).await.unwrap();
        assert_eq!(shown.state, ItemState::Seeding, "{shown:?}");
        node.engine.stop().await;
    });
    let folders = ["set", "set/sub"];
    let once = source.shape.files.len() + folders.len();
    assert_eq!(faults.syncs() as usize, once);
}
