//! Announce and scrape over HTTP (BEP 3, 7, 21, 23, 24, 31, 48) and UDP ([`udp`]): what a client sends and a tracker answers, both sides.
//!
//! Query strings are read as RFC 3986 has them: `%XX` is a byte and everything else stands for itself. In particular `+` is a plus, not a
//! space: clients leave it bare in the hashes they send as raw bytes, and no client escapes a query as an HTML form does.

mod query;
mod reply;
mod request;
mod scrape;
pub mod udp;

pub use reply::{DEFAULT_INTERVAL, MAX_PEERS, Peer, Peers, Reply};
pub use request::{Event, Request, RequestError};
pub use scrape::{
    MAX_SCRAPE, ScrapeEntry, scrape_from_bytes, scrape_from_query, scrape_to_bytes, scrape_to_query,
};
