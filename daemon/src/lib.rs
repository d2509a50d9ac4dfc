//! The p2p peer daemon: shares, seeds and fetches.
//!
//! | module | what it owns |
//! |---|---|
//! | [`swarm`] | PURE: one torrent's protocol state. Bytes, events and `now` in, actions out |
//! | [`engine`] | the registry of items, one task per awake item, events, statistics |
//! | `net`, `storage`, `resume` | sockets, disk threads, what is known to be on disk |
//! | [`state`] | the state database and the lock on its folder |
//! | [`tracker`] | announces, accounts, catalogue, piece points |
//! | [`share`] | watch, settle, scan, hash, publish |
//! | `control`, `config`, `service` | the control socket, the configuration, signals and the service manager |
#![cfg_attr(test, allow(clippy::unwrap_used))] // a failed unwrap is a failed test

pub mod config;
pub mod engine;
mod fault;
pub mod share;
pub mod state;
pub mod swarm;
pub mod tracker;

pub use fault::Fault;
