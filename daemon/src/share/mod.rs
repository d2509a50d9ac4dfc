//! Shares: watched folders whose entries become published, seeded items.

use std::path::PathBuf;
use std::time::Duration;

use p2p_wire::control::{Share, ShareAdd, ShareProgress};
use tokio::sync::watch;

use crate::Fault;
use crate::engine::{Engine, Events};
use crate::state::State;
use crate::tracker::Trackers;

/// Settings of all shares.
#[derive(Clone, Debug)]
pub struct Config {
    /// Quiet time after the last write.
    pub settle: Duration,
    /// What the quiet time grows to at most for a path that keeps changing.
    pub max_delay: Duration,
    /// Between scans.
    pub rescan: Duration,
    /// Name of the file of ignore patterns.
    pub ignore_file: String,
    /// Globs that are always left out.
    pub exclude: Vec<String>,
    /// Threads that hash.
    pub threads: usize,
    /// Paths that are not shared without `force`: the state folder and others.
    pub refused: Vec<PathBuf>,
}

/// The shares; a handle, cheap to clone.
#[derive(Clone)]
pub struct Shares {}

impl Shares {
    /// Reads the shares from the state database, joins those of the configuration file, and starts watching.
    pub async fn start(
        _config: Config,
        _configured: Vec<ShareAdd>,
        _state: State,
        _engine: Engine,
        _trackers: Trackers,
        _events: Events,
    ) -> Result<Self, Fault> {
        todo!()
    }
    /// Shares a folder or file.
    pub async fn add(&self, _add: ShareAdd) -> Result<Share, Fault> {
        todo!()
    }
    /// Stops sharing: its items leave the catalogue and the swarm; the files stay. `share` is a path or a name.
    pub async fn remove(&self, _share: PathBuf) -> Result<Share, Fault> {
        todo!()
    }
    /// Scans now; all when `None`.
    pub async fn rescan(&self, _share: Option<PathBuf>) -> Result<Vec<Share>, Fault> {
        todo!()
    }
    /// All shares.
    pub async fn list(&self) -> Vec<Share> {
        todo!()
    }
    /// The progress of a share's hashing; `pending == 0` and no `current` means that all there was is done.
    pub async fn watch(&self, _share: PathBuf) -> Result<watch::Receiver<ShareProgress>, Fault> {
        todo!()
    }
}
