//! Sockets: listening, dialling, handshakes, one thin I/O task for each peer, rate limits.
//!
//! Nothing here knows what a piece is for. A connection whose handshake arrived goes to the engine; once the engine has given it to a
//! torrent, frames go up in batches and messages come down through a [`Link`].

mod dial;
mod intake;
mod limit;
mod link;
mod listen;
mod local;
mod near;
mod outbox;
mod pacing;
mod peer;
mod pool;
mod row;
mod slots;

pub use self::dial::dial;
pub use self::limit::{Bucket, Throttle, is_lan};
pub use self::link::Link;
pub use self::listen::{Listeners, listen};
pub use self::local::LocalAddrs;
pub use self::near::is_near;
pub use self::peer::{Connection, FromPeer, Reports, Shared, spawn};
pub use self::pool::BlockPool;
pub use self::slots::{Slot, Slots};
