//! Announce and scrape over HTTP (BEP 3, 7, 23, 24, 31, 48): what a client sends and a tracker answers, both sides.
use crate::{InfoHash, PeerId};
use std::net::{IpAddr, SocketAddr};

/// Why a client announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Event {
    /// At the interval.
    #[default]
    None,
    /// The first of a session.
    Started,
    /// Went from leech to seed.
    Completed,
    /// Leaves.
    Stopped,
    /// BEP 21.
    Paused,
}

/// An announce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Which torrent.
    pub info_hash: InfoHash,
    /// Who.
    pub peer_id: PeerId,
    /// Where the client listens; 0 is a peer that cannot be reached.
    pub port: u16,
    /// Bytes, as the client says.
    pub uploaded: u64,
    /// Bytes, as the client says.
    pub downloaded: u64,
    /// Bytes missing; 0 is a seed. Absent on the wire is taken as 1.
    pub left: u64,
    /// Why.
    pub event: Event,
    /// How many peers are wanted; absent or negative is `None`.
    pub numwant: Option<u32>,
    /// `key`: tells this client across address changes.
    pub key: Option<String>,
    /// `compact=1` (BEP 23). Absent is compact too.
    pub compact: bool,
    /// `no_peer_id=1`.
    pub no_peer_id: bool,
    /// `ip=`, if it is an address.
    pub ip: Option<IpAddr>,
    /// `trackerid` as echoed by the client.
    pub tracker_id: Option<String>,
}

/// Why a query string is no announce.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Missing or unreadable.
    #[error("`{0}` is missing or malformed")]
    Field(&'static str),
}

impl Request {
    /// The query string, without `?`. Every byte outside of the unreserved set is percent-encoded.
    pub fn to_query(&self) -> String {
        todo!()
    }
    /// Reads a query string in any style of percent-encoding; the last of repeated keys wins; unknown keys are ignored.
    pub fn from_query(_query: &str) -> Result<Self, RequestError> {
        todo!()
    }
}

/// A peer in an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Where it listens.
    pub addr: SocketAddr,
    /// Only in the dictionary form.
    pub peer_id: Option<PeerId>,
}

/// A tracker's answer to an announce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// `failure reason`, and `retry in` in minutes, `None` for never or unsaid (BEP 31).
    Failure {
        /// For the user.
        reason: String,
        /// Minutes.
        retry_in: Option<u32>,
    },
    /// Peers.
    Peers(Peers),
}

/// The good answer.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Peers {
    /// Seconds to the next regular announce.
    pub interval: u32,
    /// Seconds that must pass before any announce.
    pub min_interval: Option<u32>,
    /// Seeds.
    pub complete: Option<u32>,
    /// Leeches.
    pub incomplete: Option<u32>,
    /// How often it was completed.
    pub downloaded: Option<u32>,
    /// `tracker id`, to be echoed.
    pub tracker_id: Option<String>,
    /// `warning message`.
    pub warning: Option<String>,
    /// `external ip` (BEP 24).
    pub external_ip: Option<IpAddr>,
    /// IPv4 and IPv6 mixed.
    pub peers: Vec<Peer>,
}

impl Reply {
    /// Bencoded; `compact` puts peers into `peers` and `peers6` (BEP 23, BEP 7), otherwise dictionaries, without ids if `no_peer_id`.
    pub fn to_bytes(&self, _compact: bool, _no_peer_id: bool) -> Vec<u8> {
        todo!()
    }
    /// Reads an answer in any of the forms; at most 2,000 peers are kept.
    pub fn from_bytes(_bytes: &[u8]) -> Result<Self, crate::bencode::Error> {
        todo!()
    }
}

/// Reads the `info_hash` values of a scrape's query string (BEP 48).
pub fn scrape_from_query(_query: &str) -> Result<Vec<InfoHash>, RequestError> {
    todo!()
}
/// The query string of a scrape.
pub fn scrape_to_query(_hashes: &[InfoHash]) -> String {
    todo!()
}

/// Counts of one torrent in a scrape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScrapeEntry {
    /// Which torrent.
    pub info_hash: InfoHash,
    /// Seeds.
    pub complete: u32,
    /// Leeches.
    pub incomplete: u32,
    /// How often it was completed.
    pub downloaded: u32,
}
/// A scrape's answer, bencoded.
pub fn scrape_to_bytes(_entries: &[ScrapeEntry]) -> Vec<u8> {
    todo!()
}
/// Reads a scrape's answer.
pub fn scrape_from_bytes(_bytes: &[u8]) -> Result<Vec<ScrapeEntry>, crate::bencode::Error> {
    todo!()
}
