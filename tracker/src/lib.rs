//! The p2p tracker: accounts, a catalogue of what is published, swarms, and piece points.
//!
//! # Three planes
//!
//! They cannot starve one another:
//!
//! - **Announces** ([`announcing`], [`swarms`]) touch memory alone, under short sharded locks. A passkey is checked by its MAC.
//! - **The API** ([`http`], [`accounts`], [`catalogue`], [`points`], [`reporting`]) knows callers from memory, reads through a few reader
//!   threads, hashes passwords on a bounded pool.
//! - **The database** ([`store`]) has one writer with group commit. Its queue is bounded: full means 503, not a tracker that stands still.
//!
//! # Who owns what
//!
//! | state | owner | after a restart |
//! |---|---|---|
//! | accounts, machines, sessions, catalogue, log | the database; [`accounts::Directory`] and [`catalogue::Listings`] mirror what is asked often, fed by the writer in the order of its commits | as acknowledged |
//! | who is in a swarm | [`swarms::Swarms`] | empty; machines that report return within 60 s, others at their next announce |
//! | who holds which piece | [`points::Points`] | empty, with a new epoch; machines tell it again. The last holder of each piece is in the database, coarsely |
//! | who tried to log in how often | [`accounts`] | forgotten |
//!
//! Programs of the administrator are told and asked by [`hooks`].
//! [`swarms::Swarm`] and [`points::Points`] are pure: bytes, numbers and `now` in, decisions out.
//! [`tracker::Tracker`] holds the parts together, [`service`] gives them sockets and signals, [`admin`] serves the administration commands.
#![cfg_attr(test, allow(clippy::unwrap_used))] // tests unwrap

pub mod accounts;
pub mod admin;
pub mod announcing;
pub mod availability;
pub mod catalogue;
pub mod cli;
pub mod config;
pub mod hooks;
pub mod http;
pub mod ids;
pub mod journal;
mod listen;
mod lock;
pub mod log;
pub mod metrics;
pub mod points;
pub mod refusal;
pub mod reporting;
pub mod service;
pub mod state;
pub mod store;
pub mod swarms;
mod throttle;
pub mod time;
pub mod tls;
pub mod tracker;
pub mod udp;
