//! What a tracker answers.

use std::net::SocketAddr;

use super::{BadPacket, Reader, action};
use crate::InfoHash;
use crate::announce::reply::compact_peer;
use crate::announce::{DEFAULT_INTERVAL, MAX_PEERS, Peers, ScrapeEntry};
use crate::text;

/// Most peers in one reply over IPv4: 1,200 bytes pass every network whole.
pub const MAX_PEERS_V4: u32 = 196;
/// The same over IPv6.
pub const MAX_PEERS_V6: u32 = 65;

/// Longest error in bytes that is kept; it may be shown on a terminal.
const MAX_TEXT_LEN: usize = 1_024;

/// A reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// To a connect.
    Connect {
        /// To be put into requests.
        connection: u64,
    },
    /// To an announce: `interval`, `complete`, `incomplete` and `peers` of one family; the rest has no place in the packet.
    Announce(Peers),
    /// To a scrape, in the order of the request.
    Scrape(Vec<ScrapeEntry>),
    /// Why not.
    Error(String),
}

impl Reply {
    /// The packet, with the `transaction` of the request. Peers of the family that the first one is not of are left out.
    #[must_use]
    pub fn to_bytes(&self, transaction: u32) -> Vec<u8> {
        let action = match self {
            Self::Connect { .. } => action::CONNECT,
            Self::Announce(_) => action::ANNOUNCE,
            Self::Scrape(_) => action::SCRAPE,
            Self::Error(_) => action::ERROR,
        };
        let mut out = Vec::with_capacity(64);
        out.extend(action.to_be_bytes());
        out.extend(transaction.to_be_bytes());
        match self {
            Self::Connect { connection } => out.extend(connection.to_be_bytes()),
            Self::Announce(peers) => write_peers(&mut out, peers),
            Self::Scrape(entries) => {
                for entry in entries {
                    out.extend(entry.complete.to_be_bytes());
                    out.extend(entry.downloaded.to_be_bytes());
                    out.extend(entry.incomplete.to_be_bytes());
                }
            }
            Self::Error(reason) => out.extend(reason.as_bytes()),
        }
        out
    }

    /// Reads the reply to the request with `transaction`, which came over IPv6 if `v6`; `hashes` are those of a scrape. `Ok(None)` is the
    /// reply to another request.
    pub fn from_bytes(
        bytes: &[u8],
        transaction: u32,
        v6: bool,
        hashes: &[InfoHash],
    ) -> Result<Option<Self>, BadPacket> {
        let mut reader = Reader(bytes);
        let action = reader.u32()?;
        if reader.u32()? != transaction {
            return Ok(None);
        }
        Ok(Some(match action {
            action::CONNECT => Self::Connect {
                connection: reader.u64()?,
            },
            action::ANNOUNCE => Self::Announce(read_peers(&mut reader, v6)?),
            action::SCRAPE => {
                let mut entries = Vec::with_capacity(hashes.len());
                for info_hash in hashes {
                    entries.push(ScrapeEntry {
                        info_hash: *info_hash,
                        complete: reader.u32()?,
                        downloaded: reader.u32()?,
                        incomplete: reader.u32()?,
                    });
                }
                Self::Scrape(entries)
            }
            action::ERROR => Self::Error(text::printable(reader.0, MAX_TEXT_LEN)),
            _ => return Err(BadPacket),
        }))
    }
}

fn write_peers(out: &mut Vec<u8>, peers: &Peers) {
    out.extend(peers.interval.to_be_bytes());
    out.extend(peers.incomplete.unwrap_or_default().to_be_bytes());
    out.extend(peers.complete.unwrap_or_default().to_be_bytes());
    let v6 = peers.peers.first().is_some_and(|peer| peer.addr.is_ipv6());
    for peer in &peers.peers {
        match peer.addr {
            SocketAddr::V4(addr) if !v6 => out.extend(addr.ip().octets()),
            SocketAddr::V6(addr) if v6 => out.extend(addr.ip().octets()),
            _ => continue,
        }
        out.extend(peer.addr.port().to_be_bytes());
    }
}

/// As [`crate::announce::Reply::from_bytes`] takes them: peers that cannot be reached are left out, no more than [`MAX_PEERS`] are kept.
fn read_peers(reader: &mut Reader<'_>, v6: bool) -> Result<Peers, BadPacket> {
    let interval = reader.u32()?;
    let (incomplete, complete) = (reader.u32()?, reader.u32()?);
    // A peer that is cut off is none.
    let peers = reader.0.chunks_exact(if v6 { 18 } else { 6 });
    Ok(Peers {
        interval: if interval == 0 {
            DEFAULT_INTERVAL
        } else {
            interval
        },
        incomplete: Some(incomplete),
        complete: Some(complete),
        peers: peers.filter_map(compact_peer).take(MAX_PEERS).collect(),
        ..Peers::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::announce::Peer;

    fn peers(addrs: &[&str]) -> Peers {
        Peers {
            interval: 1_800,
            incomplete: Some(2),
            complete: Some(1),
            peers: addrs
                .iter()
                .map(|addr| Peer {
                    addr: addr.parse().unwrap(),
                    peer_id: None,
                })
                .collect(),
            ..Peers::default()
        }
    }

    #[test]
    fn an_announce_reply_is_read_and_written_as_bep_15_lays_it_out() {
        let bytes = [
            0, 0, 0, 1, // action
            0, 0, 0, 5, // transaction_id
            0, 0, 7, 8, // interval
            0, 0, 0, 2, // leechers
            0, 0, 0, 1, // seeders
            192, 0, 2, 1, 0x1a, 0xe1, // a peer
            192, 0, 2, 2, 0, 80,
        ];
        let reply = Reply::Announce(peers(&["192.0.2.1:6881", "192.0.2.2:80"]));
        assert_eq!(reply.to_bytes(5), bytes);
        assert_eq!(Reply::from_bytes(&bytes, 5, false, &[]), Ok(Some(reply)));
        assert_eq!(Reply::from_bytes(&bytes, 6, false, &[]), Ok(None));
    }

    #[test]
    fn what_cannot_be_used_is_left_out_as_over_http() {
        let mapped = "[::ffff:192.0.2.1]:80";
        let mut reply = peers(&["[2001:db8::1]:0", mapped, "[2001:db8::1]:1"]);
        reply.interval = 0;
        let bytes = Reply::Announce(reply).to_bytes(5);
        let Ok(Some(Reply::Announce(read))) = Reply::from_bytes(&bytes, 5, true, &[]) else {
            panic!("{bytes:?}");
        };
        assert_eq!(read.interval, DEFAULT_INTERVAL);
        let addrs: Vec<String> = read.peers.iter().map(|p| p.addr.to_string()).collect();
        assert_eq!(addrs, ["192.0.2.1:80", "[2001:db8::1]:1"]);
        let many = peers(&vec!["192.0.2.1:1"; MAX_PEERS + 1]);
        let bytes = Reply::Announce(many).to_bytes(5);
        let Ok(Some(Reply::Announce(read))) = Reply::from_bytes(&bytes, 5, false, &[]) else {
            panic!("{bytes:?}");
        };
        assert_eq!(read.peers.len(), MAX_PEERS);
    }

    #[test]
    fn peers_over_ipv6_have_18_bytes() {
        let reply = Reply::Announce(peers(&["[2001:db8::1]:6881"]));
        let bytes = reply.to_bytes(5);
        assert_eq!(bytes.len(), 20 + 18);
        assert_eq!(Reply::from_bytes(&bytes, 5, true, &[]), Ok(Some(reply)));
    }

    #[test]
    fn the_most_peers_there_may_be_make_a_packet_of_1200_bytes_at_most() {
        for (addr, count) in [("192.0.2.1:1", MAX_PEERS_V4), ("[::1]:1", MAX_PEERS_V6)] {
            let reply = Reply::Announce(peers(&vec![addr; count as usize]));
            assert!(reply.to_bytes(1).len() <= 1_200, "{addr}");
        }
    }

    #[test]
    fn an_error_and_a_scrape_are_read_back() {
        let error = Reply::Error("not here".to_owned());
        let read = Reply::from_bytes(&error.to_bytes(1), 1, false, &[]);
        assert_eq!(read, Ok(Some(error)));
        let hashes = [InfoHash([1; 20])];
        let entry = ScrapeEntry {
            info_hash: hashes[0],
            complete: 1,
            incomplete: 2,
            downloaded: 3,
        };
        let scrape = Reply::Scrape(vec![entry]);
        let bytes = scrape.to_bytes(1);
        // seeders, completed, leechers
        assert_eq!(bytes[8..], [0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0, 2]);
        assert_eq!(
            Reply::from_bytes(&bytes, 1, false, &hashes),
            Ok(Some(scrape))
        );
    }
}
