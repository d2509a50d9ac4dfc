//! What a packet is answered with.
//!
//! A packet whose sender has not shown that it gets our answers is answered with a connection id, which is no longer than what asked for
//! it, or not at all: nobody can point us at somebody else. One that has may be told why its announce failed, in no more bytes than it sent.

use std::net::{IpAddr, SocketAddr};

use p2p_wire::announce::ScrapeEntry;
use p2p_wire::announce::udp::{Body, MAX_PEERS_V4, MAX_PEERS_V6, Reply, Request};

use super::connection::ConnectionKey;
use crate::announcing::Failure;
use crate::http::announce_passkey;
use crate::metrics::Transport;
use crate::tracker::Tracker;

/// Bytes of an error before its text.
const ERROR_HEAD: usize = 8;

/// The answer to `packet` from `from`; none where there is nothing to say.
pub(super) fn answer(
    tracker: &Tracker,
    key: &ConnectionKey,
    packet: &[u8],
    from: SocketAddr,
) -> Option<Vec<u8>> {
    let ip = from.ip().to_canonical();
    let now = tracker.clock.now();
    let Request { transaction, body } = Request::from_bytes(packet).ok()?;
    let reply = match body {
        Body::Connect => Ok(Reply::Connect {
            connection: key.issue(ip, now),
        }),
        Body::Announce {
            connection,
            announce,
            url_data,
        } => {
            if !key.verify(connection, ip, now) {
                return None;
            }
            let passkey = announce_passkey(path(&url_data));
            let mut announce = *announce;
            // aria2 sends another with each announce; the peer id stays the same and is given to nobody.
            announce.key = None;
            // What a client that says nothing gets is for the tracker to say.
            announce.numwant = announce.numwant.map(|want| want.min(most(ip)));
            let answer = tracker.announce(passkey, &announce, ip, Transport::Udp);
            tracker.counters.announce(Transport::Udp, answer.is_ok());
            answer.map(Reply::Announce)
        }
        Body::Scrape { connection, hashes } => {
            if !key.verify(connection, ip, now) {
                return None;
            }
            // BEP 41 has no options in scrapes, so there is no passkey: where one is needed the answer is an error.
            let answer = tracker.scrape(None, &hashes);
            tracker.counters.scrape(Transport::Udp, answer.is_ok());
            answer.map(|known| Reply::Scrape(in_order(&hashes, &known)))
        }
    };
    Some(match reply {
        Ok(reply) => reply.to_bytes(transaction),
        Err(failure) => refused(failure, packet.len()).to_bytes(transaction),
    })
}

/// An error packet of at most `room` bytes.
fn refused(Failure { mut reason, .. }: Failure, room: usize) -> Reply {
    let mut end = reason.len().min(room.saturating_sub(ERROR_HEAD));
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    reason.truncate(end);
    Reply::Error(reason)
}

fn most(ip: IpAddr) -> u32 {
    match ip {
        IpAddr::V4(_) => MAX_PEERS_V4,
        IpAddr::V6(_) => MAX_PEERS_V6,
    }
}

/// The reply to a scrape has no hashes: each has its place.
fn in_order(hashes: &[p2p_wire::InfoHash], known: &[ScrapeEntry]) -> Vec<ScrapeEntry> {
    let entry = |hash: &p2p_wire::InfoHash| {
        let found = known.iter().find(|entry| entry.info_hash == *hash);
        found.copied().unwrap_or(ScrapeEntry {
            info_hash: *hash,
            complete: 0,
            incomplete: 0,
            downloaded: 0,
        })
    };
    hashes.iter().map(entry).collect()
}

/// URL data is the path and the query of the announce URL.
fn path(url_data: &str) -> &str {
    url_data.split('?').next().unwrap_or_default()
}
