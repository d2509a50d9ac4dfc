//! Sockets: listening, dialling, handshakes, one thin I/O task for each peer, rate limits.
//!
//! Nothing here knows what a piece is for. A connection whose handshake arrived goes to the engine; once the engine has given it to a
//! torrent, frames go up in batches and messages come down through a [`Link`].

mod dial;
mod limit;
mod link;
mod listen;
mod local;
mod near;
mod peer;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

pub use self::dial::dial;
pub use self::limit::{Bucket, Throttle, is_lan};
pub use self::link::Link;
pub use self::listen::{Listeners, listen};
pub use self::local::LocalAddrs;
pub use self::near::is_near;
pub use self::peer::{Connection, FromPeer, Reports, Throttles, spawn};

/// Counts the connections of the daemon.
#[derive(Clone, Debug)]
pub struct Slots {
    used: Arc<AtomicUsize>,
    most: usize,
}

/// A place among the connections; free again when dropped.
#[derive(Debug)]
pub struct Slot(Arc<AtomicUsize>);

impl Slots {
    /// So many places.
    pub fn new(most: usize) -> Self {
        Self {
            used: Arc::new(AtomicUsize::new(0)),
            most,
        }
    }

    /// A place, if one is free.
    pub fn take(&self) -> Option<Slot> {
        let more = |used| (used < self.most).then_some(used + 1);
        let taken = self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.ok().map(|_| Slot(self.used.clone()))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
