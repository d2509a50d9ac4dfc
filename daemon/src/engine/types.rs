//! What goes into the engine and what comes out.

use std::fs::{File, Metadata};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use nix::sys::statvfs::fstatvfs;
use p2p_wire::control::Limits;
use p2p_wire::magnet::Magnet;
use p2p_wire::metainfo::Metainfo;
use p2p_wire::{Bitfield, InfoHash};
use tokio::sync::mpsc;

use super::Events;
use crate::hooks::Hooks;

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

/// An item to hold.
#[derive(Debug)]
pub struct NewItem {
    /// What it is.
    pub content: Content,
    /// Where its data is or goes.
    pub place: Place,
    /// Announce URLs in tiers, passkeys included; those of the metainfo or magnet link are not looked at.
    pub trackers: Vec<Vec<String>>,
    /// User id of whom it belongs to.
    pub owner: u32,
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

/// What tells whether a file is still the one that was read: taken by fstat and fstatfs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStamp {
    /// Which file system, by its own identity: the number of the device may be another one after a reboot, and another disk's by then.
    pub file_system: u64,
    /// Inode.
    pub inode: u64,
    /// Bytes.
    pub size: u64,
    /// Nanoseconds since 1970.
    pub mtime_ns: i128,
    /// Nanoseconds since 1970.
    pub ctime_ns: i128,
}

impl FileStamp {
    /// The stamp of an open file.
    pub fn of(file: &File) -> io::Result<Self> {
        Ok(Self::new(
            fstatvfs(file)?.filesystem_id(),
            &file.metadata()?,
        ))
    }

    /// The stamp of a file that lies on this file system.
    pub fn new(file_system: u64, meta: &Metadata) -> Self {
        let ns = |seconds: i64, ns: i64| i128::from(seconds) * 1_000_000_000 + i128::from(ns);
        Self {
            file_system,
            inode: meta.ino(),
            size: meta.size(),
            mtime_ns: ns(meta.mtime(), meta.mtime_nsec()),
            ctime_ns: ns(meta.ctime(), meta.ctime_nsec()),
        }
    }

    /// The same file with the same length: what writing into it and renaming it leave as they are.
    pub fn is_same_file(&self, other: &Self) -> bool {
        let what = |stamp: &Self| (stamp.file_system, stamp.inode, stamp.size);
        what(self) == what(other)
    }
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

/// A change of what is held, since the last [`take_changes`](super::Engine::take_changes).
#[derive(Clone, Debug)]
pub enum Change {
    /// The item came, or its set changed in another way than by additions: ask [`holding`](super::Engine::holding).
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
    /// Who is asked at gates; nobody without.
    pub hooks: Option<Hooks>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_the_same_number_and_length_on_another_disk_is_another_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let stamp = FileStamp::of(file.as_file()).unwrap();
        let again = FileStamp::of(&File::open(file.path()).unwrap()).unwrap();
        assert_eq!(stamp, again);
        let elsewhere = FileStamp::of(&File::open("/proc/version").unwrap()).unwrap();
        let alike = FileStamp {
            file_system: elsewhere.file_system,
            ..stamp
        };
        assert!(stamp.is_same_file(&again) && !stamp.is_same_file(&alike));
    }
}
