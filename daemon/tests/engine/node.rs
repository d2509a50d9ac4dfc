//! One daemon's engine with its folders, and data for it.

use std::fs;
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use p2p_hash::{FileSpec, Options, Progress, hash_files};
use p2p_wire::InfoHash;
use p2p_wire::control::{Item, Limits, State as ItemState};
use p2p_wire::metainfo::{Builder, Content as Files, Metainfo};
use p2pd::engine::{
    AnnounceCommand, Config, Content, Engine, Events, FileStamp, Links, NewItem, Place,
};
use p2pd::state::{State, StateLock};
use tempfile::TempDir;
use tokio::sync::mpsc;

/// One daemon's engine with its folders.
pub(crate) struct Node {
    pub(crate) dir: TempDir,
    pub(crate) run: Option<Run>,
    config: fn(&mut Config),
}

/// What lives from a start to a stop.
pub(crate) struct Run {
    pub(crate) engine: Engine,
    pub(crate) state: State,
    pub(crate) events: Events,
    pub(crate) announces: mpsc::Receiver<AnnounceCommand>,
    pub(crate) peers: mpsc::Sender<(InfoHash, Vec<SocketAddr>)>,
    _lock: StateLock,
}

impl Node {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(config: fn(&mut Config)) -> Self {
        let mut node = Self {
            dir: tempfile::tempdir().unwrap(),
            run: None,
            config,
        };
        node.restart().await;
        node
    }

    pub(crate) async fn restart(&mut self) {
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
        // They are kept from now on.
        engine.take_changes().await;
        self.run = Some(Run {
            engine,
            state,
            events,
            announces,
            peers: peers_tx,
            _lock: lock,
        });
    }

    pub(crate) fn run(&self) -> &Run {
        self.run.as_ref().unwrap()
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.run().engine
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.engine().port()))
    }

    pub(crate) fn downloads(&self) -> PathBuf {
        self.dir.path().join("downloads")
    }

    /// Seeds what lies at `path`.
    pub(crate) async fn seed(&self, path: &Path, piece_len: u32) -> Metainfo {
        let (metainfo, stamps) = torrent(path, piece_len);
        let new = NewItem {
            content: Content::Metainfo(Box::new(metainfo.clone())),
            place: Place::Hashed(path.to_owned(), stamps),
            ..self.new_item(&metainfo)
        };
        assert!(self.engine().add(new).await.unwrap());
        metainfo
    }

    pub(crate) fn new_item(&self, metainfo: &Metainfo) -> NewItem {
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

    pub(crate) async fn fetch(&self, metainfo: &Metainfo, from: &[&Node]) -> InfoHash {
        let new = NewItem {
            peers: from.iter().map(|node| node.addr()).collect(),
            ..self.new_item(metainfo)
        };
        self.engine().add(new).await.unwrap();
        metainfo.info.info_hash()
    }

    pub(crate) async fn item(&self, item: InfoHash) -> Item {
        self.engine().item(item).await.unwrap()
    }

    /// Waits until the item is as `is` says.
    pub(crate) async fn becomes(
        &self,
        item: InfoHash,
        what: &str,
        is: impl Fn(&Item) -> bool,
    ) -> Item {
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

    pub(crate) async fn complete(&self, item: InfoHash) -> Item {
        self.becomes(item, "complete", |i| i.state == ItemState::Seeding)
            .await
    }

    pub(crate) fn events(&self) -> Vec<String> {
        let (events, _) = self.run().events.subscribe(0);
        events.into_iter().map(|event| event.topic).collect()
    }
}

/// Waits for `look` to see something.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    look: impl Fn() -> F,
) -> T {
    within(Duration::from_secs(30), what, look).await
}

/// Waits for `look` to see something, no longer than `limit`.
pub(crate) async fn within<T, F: Future<Output = Option<T>>>(
    limit: Duration,
    what: &str,
    look: impl Fn() -> F,
) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Bytes that look random and are the same every time.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
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
pub(crate) fn torrent(path: &Path, piece_len: u32) -> (Metainfo, Vec<FileStamp>) {
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

pub(crate) fn file(dir: &Path, name: &str, seed: u64, len: usize) -> PathBuf {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, noise(seed, len)).unwrap();
    path
}
