//! Every format that crosses a boundary of p2p.
//!
//! Pure: bytes and values in, bytes and values out. No runtime, no file system, no clock, no random source, no `unsafe`.
//! What arrives here is hostile: every decoder is bounded in depth, count and size and never panics.
//!
//! | module | format | source |
//! |---|---|---|
//! | [`bencode`] | borrowing decoder with raw spans, canonical encoder | BEP 3 |
//! | [`metainfo`] | .torrent files: reading and building | BEP 3, 12, 27 |
//! | [`magnet`] | magnet links | BEP 9 |
//! | [`peer`] | handshake, messages, frames, extension messages | BEP 3, 6, 9, 10, 21 |
//! | [`announce`] | announce and scrape over HTTP and UDP, both sides | BEP 3, 7, 15, 23, 24, 31, 41, 48 |
//! | [`api`] | the tracker's JSON API | the module's doc |
//! | [`points`] | piece points | the module's doc |
//! | [`control`] | JSON-RPC between p2pctl and p2pd | the module's doc |
//! | [`metrics`] | what Prometheus reads | the module's doc |
//! | [`units`] | sizes, rates and times as people write them | the module's doc |
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))] // a test may panic

pub mod announce;
pub mod api;
pub mod bencode;
mod bitfield;
pub mod control;
mod fingerprint;
mod id;
mod layout;
pub mod magnet;
pub mod metainfo;
pub mod metrics;
pub mod peer;
pub mod points;
mod text;
pub mod units;

pub use bitfield::Bitfield;
pub use fingerprint::{BadFingerprint, Fingerprint};
pub use id::{InfoHash, ParseHexError, PeerId};
pub use layout::{BLOCK_LEN, Block, Layout, MAX_BLOCK_LEN, PieceIndex};
pub use text::is_harmless;
