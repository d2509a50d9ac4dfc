//! The engine: every item that p2pd holds, dormant or awake.
mod events;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use p2p_wire::control::{Item, ItemFile, ItemPeer, ItemPieces, Limits};
use p2p_wire::magnet::Magnet;
use p2p_wire::metainfo::Metainfo;
use p2p_wire::{Bitfield, InfoHash, PeerId};
use tokio::sync::{mpsc, watch};

pub use self::events::Events;
use crate::Fault;
use crate::state::State;

/// Settings of the engine; what the configuration file says, resolved.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where fetched items go.
    pub download_dir: PathBuf,
    /// Addresses to listen on; port 0 takes any free one, kept over restarts where possible.
    pub listen: Vec<SocketAddr>,
    /// Connected peers at most, over all items.
    pub max_peers: usize,
    /// Connected peers at most, for one item.
    pub max_peers_item: usize,
    /// Unchoked peers at most, for one item.
    pub upload_slots: usize,
    /// Bytes in flight at most, over all items.
    pub in_flight: u64,
    /// Bytes that must stay free on the file system of a download.
    pub min_free: u64,
    /// Rate limits in force at the start.
    pub limits: Limits,
    /// Peers on loopback and private addresses are not limited.
    pub lan_exempt: bool,
    /// Disk threads.
    pub disk_threads: usize,
}

/// A handle on the engine; cheap to clone.
#[derive(Clone)]
pub struct Engine {
    _tx: mpsc::Sender<()>,
}

/// An item to hold.
#[derive(Debug)]
pub struct NewItem {
    /// What it is.
    pub content: Content,
    /// Where its data is or goes.
    pub place: Place,
    /// Announce URLs in tiers, passkeys included; those of the metainfo or magnet link are not looked at.
    pub trackers: Vec<Vec<String>>,
    /// Share it belongs to.
    pub share: Option<String>,
    /// Globs of the files wanted; all when empty.
    pub only: Vec<String>,
    /// Pieces in order.
    pub sequential: bool,
    /// Peers to dial at once.
    pub peers: Vec<SocketAddr>,
    /// Talk to these addresses alone (`--from`); empty for everybody.
    pub only_peers: Vec<SocketAddr>,
}

/// What is known of a new item.
#[derive(Debug)]
pub enum Content {
    /// All.
    Metainfo(Box<Metainfo>),
    /// The hash; the metadata comes from peers (BEP 9).
    Magnet(Magnet),
}

/// Where an item's data is.
#[derive(Debug)]
pub enum Place {
    /// To be fetched into this folder, staged below its `.p2p-incomplete`.
    Download(PathBuf),
    /// In place and just hashed: complete. The path of the file or folder.
    Hashed(PathBuf, Vec<FileStamp>),
    /// In place and perhaps incomplete or different: verified first, then completed in place (`--data`).
    Existing(PathBuf),
}

/// What tells whether a file changed since it was read: taken by fstat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStamp {
    /// Inode.
    pub inode: u64,
    /// Bytes.
    pub size: u64,
    /// Nanoseconds since 1970.
    pub mtime_ns: i128,
    /// Nanoseconds since 1970.
    pub ctime_ns: i128,
}

/// The engine at a glance.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    /// Connected peers.
    pub peers: u32,
    /// Bytes/s of blocks received.
    pub down_rate: u64,
    /// Bytes/s of blocks sent.
    pub up_rate: u64,
    /// Block bytes received since the start.
    pub downloaded: u64,
    /// Block bytes sent since the start.
    pub uploaded: u64,
}

/// What an announce says of an item; written by the item's owner, read by the announcer.
#[derive(Debug, Default)]
pub struct Counters {
    /// Block bytes sent in this session.
    pub uploaded: AtomicU64,
    /// Block bytes received in this session.
    pub downloaded: AtomicU64,
    /// Bytes missing of what is wanted.
    pub left: AtomicU64,
}

/// From the engine to the announcer.
#[derive(Debug)]
pub enum AnnounceCommand {
    /// The item takes part in its swarm: announce `started`, then at the intervals.
    Start {
        /// Which.
        info_hash: InfoHash,
        /// Announce URLs in tiers.
        tiers: Vec<Vec<String>>,
        /// What to say.
        counters: Arc<Counters>,
    },
    /// It became complete: announce `completed` now.
    Completed(InfoHash),
    /// It takes part no more: announce `stopped`, once, and forget it.
    Stop(InfoHash),
    /// Announce as soon as the tracker's minimum interval allows (the user's wish, or no peers left).
    Now(InfoHash),
}

/// What the engine holds of an item, for piece points.
#[derive(Clone, Debug)]
pub enum Holding {
    /// Every piece, of so many.
    Seed(u32),
    /// These.
    Partial(Bitfield),
}

/// A change of what is held, since the last [`Engine::take_changes`].
#[derive(Clone, Debug)]
pub enum Change {
    /// The item came, or its set changed in another way than by additions: ask [`Engine::holding`].
    Reset(InfoHash),
    /// These pieces were added.
    Added(InfoHash, Vec<u32>),
    /// Became complete.
    Complete(InfoHash),
    /// The item is gone, paused or in error.
    Gone(InfoHash),
}

/// A setting of one item.
#[derive(Clone, Copy, Debug)]
pub enum ItemSetting {
    /// Bytes/s received; `None` for no limit.
    Down(Option<u64>),
    /// Bytes/s sent; `None` for no limit.
    Up(Option<u64>),
    /// Pieces in order.
    Sequential(bool),
    /// Connected peers at most.
    MaxPeers(usize),
}

/// What other parts hand to the engine at its start.
pub struct Links {
    /// Where announces go. When full, the engine waits: the announcer is quick.
    pub announce: mpsc::Sender<AnnounceCommand>,
    /// Peers that trackers gave.
    pub peers: mpsc::Receiver<(InfoHash, Vec<SocketAddr>)>,
    /// What happened.
    pub events: Events,
}

impl Engine {
    /// Opens the listening sockets, reads the resume records and starts the engine's tasks on the current runtime. Items are served
    /// when this returns. `Err` when no address can be listened on.
    pub async fn start(_config: Config, _state: State, _links: Links) -> Result<Self, Fault> {
        todo!()
    }
    /// The port that peers connect to.
    pub fn port(&self) -> u16 {
        todo!()
    }
    /// Our peer id, new at every start.
    pub fn peer_id(&self) -> PeerId {
        todo!()
    }
    /// Holds a new item. False if it was there already (then its trackers and peers are joined).
    pub async fn add(&self, _new: NewItem) -> Result<bool, Fault> {
        todo!()
    }
    /// Forgets an item; deletes what was fetched if asked to, never what a share holds.
    pub async fn remove(&self, _item: InfoHash, _delete_data: bool) -> Result<Item, Fault> {
        todo!()
    }
    /// Stops an item until it is resumed, over restarts.
    pub async fn pause(&self, _item: InfoHash) -> Result<Item, Fault> {
        todo!()
    }
    /// Goes on with an item that was paused or in error.
    pub async fn resume(&self, _item: InfoHash) -> Result<Item, Fault> {
        todo!()
    }
    /// Reads all its data again; pieces that are not good are fetched again.
    pub async fn verify(&self, _item: InfoHash) -> Result<Item, Fault> {
        todo!()
    }
    /// Announces as soon as allowed.
    pub async fn announce(&self, _item: InfoHash) -> Result<Item, Fault> {
        todo!()
    }
    /// Changes a setting of an item, over restarts.
    pub async fn set(&self, _item: InfoHash, _setting: ItemSetting) -> Result<Item, Fault> {
        todo!()
    }
    /// Moves an item's data into an existing folder.
    pub async fn move_to(&self, _item: InfoHash, _dir: PathBuf) -> Result<Item, Fault> {
        todo!()
    }
    /// The files of a shared item were renamed: same content, new path.
    pub async fn relocate(
        &self,
        _item: InfoHash,
        _path: PathBuf,
        _stamps: Vec<FileStamp>,
    ) -> Result<(), Fault> {
        todo!()
    }
    /// One item.
    pub async fn item(&self, _item: InfoHash) -> Option<Item> {
        todo!()
    }
    /// All items, in no order.
    pub async fn items(&self) -> Vec<Item> {
        todo!()
    }
    /// An item as it changes, at most ten times a second; the channel closes when the item is removed.
    pub async fn watch(&self, _item: InfoHash) -> Option<watch::Receiver<Item>> {
        todo!()
    }
    /// An item's metainfo, once it is known, with the item's announce URLs.
    pub async fn metainfo(&self, _item: InfoHash) -> Option<Metainfo> {
        todo!()
    }
    /// Its files.
    pub async fn files(&self, _item: InfoHash) -> Option<Vec<ItemFile>> {
        todo!()
    }
    /// Its connected peers.
    pub async fn peers(&self, _item: InfoHash) -> Option<Vec<ItemPeer>> {
        todo!()
    }
    /// Its pieces, holders counted among the connected peers and us.
    pub async fn pieces(&self, _item: InfoHash) -> Option<ItemPieces> {
        todo!()
    }
    /// Totals.
    pub async fn totals(&self) -> Totals {
        todo!()
    }
    /// Rate limits of the whole daemon.
    pub async fn set_limits(&self, _limits: Limits) {
        todo!()
    }
    /// Further peers to dial.
    pub async fn add_peers(&self, _item: InfoHash, _peers: Vec<SocketAddr>) {
        todo!()
    }
    /// What is held of an item now.
    pub async fn holding(&self, _item: InfoHash) -> Option<Holding> {
        todo!()
    }
    /// All items that are served or fetched: to report them all after a tracker restart.
    pub async fn held_items(&self) -> Vec<InfoHash> {
        todo!()
    }
    /// What changed since the last call, in order. One caller: the piece points reporter.
    pub async fn take_changes(&self) -> Vec<Change> {
        todo!()
    }
    /// What the tracker knows of a swarm, from piece points: a prior for rarest first, `copies` and `missing`.
    pub async fn set_points(&self, _item: InfoHash, _points: p2p_wire::points::Swarm) {
        todo!()
    }
    /// Why an announce failed, or that all is well again: shown as the item's reason while it has no peers.
    pub async fn set_tracker_state(&self, _item: InfoHash, _error: Option<String>) {
        todo!()
    }
    /// Announces `stopped`, writes every record, ends the tasks. At most 3 s.
    pub async fn stop(&self) {
        todo!()
    }
}

/// The kept history of transfers, the newest first. `filter.item` is a full info-hash.
pub async fn history(
    _state: &State,
    _filter: p2p_wire::control::HistoryList,
) -> Result<Vec<p2p_wire::control::Transfer>, crate::state::StateError> {
    todo!()
}
