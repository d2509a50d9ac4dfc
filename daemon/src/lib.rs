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
//! | [`hooks`] | programs that are told what happened, and gates that may refuse |
//! | [`control`] | the control socket: clients ask, the parts answer |
//! | [`rights`] | looking at paths with the rights of who named them |
//! | [`config`] | `p2pd.toml`, its keys, what commands changed of it; where things are |
//! | [`service`] | start and stop in order, signals, the service manager, the background |
//! | `manager` | what the service manager shows of it |
//! | [`log`] | the log, and its last lines in memory |
//! | [`metrics`] | what Prometheus reads |
//! | [`detach`] | `--daemonize` |
#![cfg_attr(test, allow(clippy::unwrap_used))] // a failed unwrap is a failed test

#[allow(clippy::disallowed_methods, reason = "reads its file")]
pub mod config;
#[allow(clippy::disallowed_methods, reason = "owns a socket")]
pub mod control;
mod descriptors;
#[allow(clippy::disallowed_methods, reason = "forks")]
pub mod detach;
#[allow(clippy::disallowed_methods, reason = "drives the swarms")]
pub mod engine;
mod fault;
#[allow(clippy::disallowed_methods, reason = "starts programs")]
pub mod hooks;
#[allow(clippy::disallowed_methods, reason = "stamps its lines")]
pub mod log;
#[allow(clippy::disallowed_methods, reason = "waits between looks")]
mod manager;
mod memory;
#[allow(clippy::disallowed_methods, reason = "owns a socket")]
pub mod metrics;
#[allow(clippy::disallowed_methods, reason = "owns sockets")]
pub mod net;
#[allow(clippy::disallowed_methods, reason = "owns its records")]
pub mod resume;
#[allow(clippy::disallowed_methods, reason = "opens files, starts processes")]
pub mod rights;
#[allow(clippy::disallowed_methods, reason = "starts and stops it all")]
pub mod service;
#[allow(clippy::disallowed_methods, reason = "watches folders")]
pub mod share;
#[allow(clippy::disallowed_methods, reason = "owns its database")]
pub mod state;
#[allow(clippy::disallowed_methods, reason = "owns the disk")]
pub mod storage;
pub mod swarm;
#[allow(clippy::disallowed_methods, reason = "talks to trackers")]
pub mod tracker;

pub use fault::Fault;
