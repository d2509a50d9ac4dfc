//! Shares: watched folders whose entries become published, seeded items.
//!
//! | module | what it owns |
//! |---|---|
//! | `place` | what may be shared, and whether it is still the same disk |
//! | `ignore`, `scan`, `entry`, `files` | what there is, by `stat` alone |
//! | `settle` | PURE: when an entry is at rest |
//! | `held` | folders of other users' shares, safe from links that come later |
//! | `watch`, `mounts`, `lease` | hints from the file system; whether somebody writes |
//! | `hashing` | the thread that hashes |
//! | `store`, `catalogue` | which entries are which items; making and unmaking them |
//! | `folder`, `hints`, `look`, `reconcile`, `work`, `status` | one share at work: its task, what it notices and sees, what follows, what it hashes, what it says |
//! | `mail` | what the other parts tell a share, without waiting for it |
//! | `hub` | what all shares use, and the way to each |
//! | `admission`, `configured` | whether one may be made; those of the configuration file |
mod admission;
mod catalogue;
mod configured;
mod entry;
mod files;
mod folder;
mod gate;
mod hashing;
mod held;
mod hints;
mod holder;
mod hub;
mod ignore;
#[allow(unsafe_code, reason = "leases have no safe interface")]
mod lease;
mod look;
mod mail;
mod mounts;
mod place;
mod reconcile;
mod scan;
mod settle;
mod status;
mod store;
#[cfg(test)]
mod tests;
mod watch;
mod work;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use p2p_wire::InfoHash;
use p2p_wire::control::{Share, ShareProgress};
use tokio::sync::watch as watching;

use self::hub::Hub;
pub use self::store::NewShare;
use crate::Fault;
use crate::engine::{Engine, Events};
use crate::state::State;
use crate::tracker::Trackers;

/// Settings of all shares.
#[derive(Clone, Debug)]
pub struct Config {
    /// Quiet time after the last write.
    pub settle: Duration,
    /// What the quiet time grows to at most for a path that keeps changing, and the wait for one that cannot be read.
    pub max_delay: Duration,
    /// Between scans.
    pub rescan: Duration,
    /// Name of the file of ignore patterns.
    pub ignore_file: String,
    /// Globs that are always left out.
    pub exclude: Vec<String>,
    /// Threads that hash.
    pub threads: usize,
    /// How files are read to be hashed.
    pub io: p2p_hash::Io,
    /// Paths that are not shared without `force`: the state folder and others.
    pub refused: Vec<PathBuf>,
}

/// The shares; a handle, cheap to clone.
#[derive(Clone)]
pub struct Shares {
    hub: Arc<Hub<Engine>>,
}

impl Shares {
    /// Reads the shares from the state database, joins those of the configuration file, and starts watching.
    pub async fn start(
        config: Config,
        configured: Vec<NewShare>,
        state: State,
        engine: Engine,
        trackers: Trackers,
        events: Events,
    ) -> Result<Self, Fault> {
        let hub = Hub::start(config, configured, state, engine, trackers, events).await?;
        Ok(Self { hub })
    }

    /// Shares a folder or file. Returns once it is known what there is; hashing goes on.
    pub async fn add(&self, new: NewShare) -> Result<Share, Fault> {
        self.hub.add(new).await
    }

    /// Stops sharing: its items leave the catalogue and the swarm; the files stay. `share` is a path or a name, here and below; with
    /// `whose`, only that user's shares are there.
    pub async fn remove(&self, share: PathBuf, whose: Option<u32>) -> Result<Share, Fault> {
        self.hub.remove(&share, whose).await
    }

    /// Whether an entry of a share is this item.
    pub async fn holds(&self, item: InfoHash) -> Result<bool, Fault> {
        let holds = self.hub.store.holds(item).await;
        holds.map_err(|error| self.hub.state_fault(&error))
    }

    /// Scans now; all when `None`.
    pub async fn rescan(
        &self,
        share: Option<PathBuf>,
        whose: Option<u32>,
    ) -> Result<Vec<Share>, Fault> {
        self.hub.rescan(share.as_deref(), whose).await
    }

    /// All shares.
    pub async fn list(&self, whose: Option<u32>) -> Vec<Share> {
        self.hub.list(whose)
    }

    /// Makes the shares of the configuration file those in `configured`. What could not be done is said, one sentence each.
    pub async fn follow_file(&self, configured: Vec<NewShare>) -> Vec<String> {
        self.hub.follow_file(configured).await
    }

    /// The progress of a share's hashing, and whether what is in it is to be published; `pending == 0` and no `current` means that all there
    /// was is hashed.
    pub async fn watch(
        &self,
        share: PathBuf,
        whose: Option<u32>,
    ) -> Result<(watching::Receiver<ShareProgress>, bool), Fault> {
        let handle = self.hub.find(&share, whose).await?;
        Ok((handle.progress, handle.options.publish))
    }
}
