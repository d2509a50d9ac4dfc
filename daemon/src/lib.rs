//! The p2p peer daemon: shares, seeds and fetches.
//!
//! | module | what it owns |
//! |---|---|
//! | [`swarm`] | PURE: one torrent's protocol state. Bytes, events and `now` in, actions out |
//! | [`engine`] | the registry of items, one task per awake item, events, statistics |
//! | [`net`], [`storage`], [`resume`] | sockets, disk threads, what is known to be on disk |
//! | [`state`] | the state database and the lock on its folder |
//! | [`tracker`] | announces, accounts, catalogue, piece points |
//! | [`share`] | watch, settle, scan, hash, publish |
//! | [`control`] | the control socket: clients ask, the parts answer |
//! | [`config`] | `p2pd.toml`, its keys, what commands changed of it; where things are |
//! | [`service`] | start and stop in order, signals, the service manager, the background |
//! | [`log`] | the log, and its last lines in memory |
//! | [`detach`] | `--daemonize` |
#![cfg_attr(test, allow(clippy::unwrap_used))] // a failed unwrap is a failed test

pub mod config;
pub mod control;
pub mod detach;
pub mod engine;
mod fault;
pub mod log;
pub mod net;
pub mod resume;
pub mod service;
pub mod share;
pub mod state;
pub mod storage;
pub mod swarm;
pub mod tracker;

pub use fault::Fault;
