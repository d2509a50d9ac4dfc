//! What a tracker answers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::PeerId;
use crate::bencode::{self, Kind, Limits, Value, write_bytes, write_int};
use crate::text;

/// Most peers that are kept of one answer.
pub const MAX_PEERS: usize = 2_000;

/// Seconds to the next announce when an answer does not say.
pub const DEFAULT_INTERVAL: u32 = 1_800;

/// Longest text in bytes that is kept; it may be shown on a terminal.
const MAX_TEXT_LEN: usize = 1_024;

/// What an answer may hold: room for some 20,000 peers as dictionaries.
const LIMITS: Limits = Limits {
    depth: 8,
    values: 100_000,
};

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
    /// Seconds to the next regular announce; [`DEFAULT_INTERVAL`] when the answer had none.
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
    #[must_use]
    pub fn to_bytes(&self, compact: bool, no_peer_id: bool) -> Vec<u8> {
        match self {
            Self::Failure { reason, retry_in } => {
                let mut out = vec![b'd'];
                put_text(&mut out, "failure reason", Some(reason));
                put_number(&mut out, "retry in", *retry_in);
                out.push(b'e');
                out
            }
            Self::Peers(peers) => peers.to_bytes(compact, no_peer_id),
        }
    }

    /// Reads an answer in any of the forms; at most [`MAX_PEERS`] peers are kept. Peers that cannot be reached (port 0, a host name for an
    /// address) are left out; fields of the wrong type count as absent.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, bencode::Error> {
        let reply = bencode::decode_with(bytes, LIMITS)?;
        if reply.as_dict().is_none() {
            return Err(bencode::Error {
                what: "an answer that is no dictionary",
                at: 0,
            });
        }
        let text = |key: &[u8]| {
            let bytes = reply.get(key)?.as_bytes()?;
            Some(text::printable(bytes, MAX_TEXT_LEN))
        };
        if let Some(reason) = text(b"failure reason") {
            let retry_in = reply.get(b"retry in").and_then(retry_in);
            return Ok(Self::Failure { reason, retry_in });
        }
        let mut peers = Vec::new();
        for (key, width) in [(&b"peers"[..], 6), (b"peers6", 18)] {
            let room = MAX_PEERS - peers.len();
            match reply.get(key).map(Value::kind) {
                Some(Kind::Bytes(bytes)) => {
                    let read = bytes.chunks_exact(width).filter_map(compact_peer);
                    peers.extend(read.take(room));
                }
                Some(Kind::List(list)) => {
                    peers.extend(list.iter().filter_map(dict_peer).take(room));
                }
                _ => {}
            }
        }
        Ok(Self::Peers(Peers {
            interval: reply
                .get_uint(b"interval")
                .filter(|interval| *interval != 0)
                .unwrap_or(DEFAULT_INTERVAL),
            min_interval: reply.get_uint(b"min interval"),
            complete: reply.get_uint(b"complete"),
            incomplete: reply.get_uint(b"incomplete"),
            downloaded: reply.get_uint(b"downloaded"),
            tracker_id: text(b"tracker id"),
            warning: text(b"warning message"),
            external_ip: reply
                .get(b"external ip")
                .and_then(Value::as_bytes)
                .and_then(ip),
            peers,
        }))
    }
}

impl Peers {
    /// Written key by key in canonical order: a tracker does this for every announce.
    fn to_bytes(&self, compact: bool, no_peer_id: bool) -> Vec<u8> {
        let mut out = Vec::with_capacity(256 + self.peers.len() * if compact { 18 } else { 96 });
        out.push(b'd');
        put_number(&mut out, "complete", self.complete);
        put_number(&mut out, "downloaded", self.downloaded);
        if let Some(external) = self.external_ip {
            write_bytes(&mut out, b"external ip");
            match external {
                IpAddr::V4(ip) => write_bytes(&mut out, &ip.octets()),
                IpAddr::V6(ip) => write_bytes(&mut out, &ip.octets()),
            }
        }
        put_number(&mut out, "incomplete", self.incomplete);
        put_number(&mut out, "interval", Some(self.interval));
        put_number(&mut out, "min interval", self.min_interval);
        write_bytes(&mut out, b"peers");
        if compact {
            self.put_compact(&mut out);
        } else {
            self.put_dicts(&mut out, no_peer_id);
        }
        put_text(&mut out, "tracker id", self.tracker_id.as_deref());
        put_text(&mut out, "warning message", self.warning.as_deref());
        out.push(b'e');
        out
    }

    fn put_compact(&self, out: &mut Vec<u8>) {
        let (mut peers, mut peers6) = (Vec::new(), Vec::new());
        for peer in &self.peers {
            let list = match peer.addr.ip().to_canonical() {
                IpAddr::V4(ip) => {
                    peers.extend_from_slice(&ip.octets());
                    &mut peers
                }
                IpAddr::V6(ip) => {
                    peers6.extend_from_slice(&ip.octets());
                    &mut peers6
                }
            };
            list.extend_from_slice(&peer.addr.port().to_be_bytes());
        }
        write_bytes(out, &peers);
        if !peers6.is_empty() {
            write_bytes(out, b"peers6");
            write_bytes(out, &peers6);
        }
    }

    fn put_dicts(&self, out: &mut Vec<u8>, no_peer_id: bool) {
        out.push(b'l');
        for peer in &self.peers {
            out.push(b'd');
            put_text(out, "ip", Some(&peer.addr.ip().to_canonical().to_string()));
            if let (Some(id), false) = (peer.peer_id, no_peer_id) {
                write_bytes(out, b"peer id");
                write_bytes(out, &id.0);
            }
            put_number(out, "port", Some(peer.addr.port().into()));
            out.push(b'e');
        }
        out.push(b'e');
    }
}

fn put_number(out: &mut Vec<u8>, key: &str, number: Option<u32>) {
    if let Some(number) = number {
        write_bytes(out, key.as_bytes());
        write_int(out, number.into());
    }
}

fn put_text(out: &mut Vec<u8>, key: &str, text: Option<&str>) {
    if let Some(text) = text {
        write_bytes(out, key.as_bytes());
        write_bytes(out, text.as_bytes());
    }
}

/// Minutes: an integer, or as in the examples of BEP 31 a string of digits; anything else, `never` too, is `None`.
fn retry_in(value: &Value<'_>) -> Option<u32> {
    match value.kind() {
        Kind::Int(minutes) => u32::try_from(*minutes).ok(),
        _ => value.as_str()?.parse().ok(),
    }
}

/// An address as 4 or 16 bytes.
fn ip(bytes: &[u8]) -> Option<IpAddr> {
    let ip: IpAddr = match bytes.len() {
        4 => Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).into(),
        16 => Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into(),
        _ => return None,
    };
    Some(ip.to_canonical())
}

/// A peer as an address and a port of two bytes.
pub(super) fn compact_peer(bytes: &[u8]) -> Option<Peer> {
    let (ip_bytes, port) = bytes.split_last_chunk()?;
    peer(ip(ip_bytes)?, u16::from_be_bytes(*port), None)
}

fn dict_peer(value: &Value<'_>) -> Option<Peer> {
    let ip: IpAddr = value.get(b"ip")?.as_str()?.parse().ok()?;
    let id = value.get(b"peer id").and_then(Value::as_bytes);
    let id = id.and_then(|id| Some(PeerId(id.try_into().ok()?)));
    peer(ip.to_canonical(), value.get_uint(b"port")?, id)
}

fn peer(ip: IpAddr, port: u16, peer_id: Option<PeerId>) -> Option<Peer> {
    (port != 0).then_some(Peer {
        addr: SocketAddr::new(ip, port),
        peer_id,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(addr: &str) -> Peer {
        Peer {
            addr: addr.parse().unwrap(),
            peer_id: None,
        }
    }

    fn peers(bytes: &[u8]) -> Peers {
        match Reply::from_bytes(bytes) {
            Ok(Reply::Peers(peers)) => peers,
            other => panic!("no peers: {other:?}"),
        }
    }

    fn full() -> Peers {
        Peers {
            interval: 1_800,
            min_interval: Some(300),
            complete: Some(2),
            incomplete: Some(1),
            downloaded: Some(9),
            tracker_id: Some("t".into()),
            warning: Some("w".into()),
            external_ip: "192.0.2.9".parse().ok(),
            peers: vec![at("192.0.2.1:6881"), at("[2001:db8::1]:6882")],
        }
    }

    #[test]
    fn the_compact_form_is_that_of_bep_23_and_bep_7() {
        let reply = Reply::Peers(full());
        let bytes = reply.to_bytes(true, false);
        assert_eq!(
            bytes,
            [
                &b"d8:completei2e10:downloadedi9e11:external ip4:\xc0\0\x02\x0910:incompletei1e8:intervali1800e"[..],
                b"12:min intervali300e5:peers6:\xc0\0\x02\x01\x1a\xe1",
                b"6:peers618:\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x1a\xe2",
                b"10:tracker id1:t15:warning message1:we",
            ]
            .concat()
        );
        assert_eq!(Reply::from_bytes(&bytes), Ok(reply));
    }

    #[test]
    fn the_dictionary_form_has_ids_unless_they_are_not_wanted() {
        let mut all = full();
        all.peers[0].peer_id = Some(PeerId(*b"-P20001-0123456789ab"));
        let reply = Reply::Peers(all);
        let bytes = reply.to_bytes(false, false);
        assert_eq!(Reply::from_bytes(&bytes), Ok(reply.clone()));
        let list = b"5:peersld2:ip9:192.0.2.17:peer id20:-P20001-0123456789ab4:porti6881eed2:ip11:2001:db8::14:porti6882eee";
        assert!(bytes.windows(list.len()).any(|part| part == list));
        let without = reply.to_bytes(false, true);
        assert_eq!(Reply::from_bytes(&without), Ok(Reply::Peers(full())));
    }

    #[test]
    fn reads_the_answers_of_other_trackers() {
        let read = peers(b"d8:intervali900e5:peers12:\x7f\0\0\x01\x1a\xe1\x7f\0\0\x02\0\0e");
        assert_eq!(
            (read.interval, read.peers),
            (900, vec![at("127.0.0.1:6881")])
        );
        let odd = peers(b"d8:intervali0e5:peersld2:ip11:example.org4:porti1eed2:ip9:127.0.0.14:porti70000eei3ed2:ip9:127.0.0.14:porti1eee6:peers67:1234567e");
        assert_eq!(
            (odd.interval, odd.peers),
            (DEFAULT_INTERVAL, vec![at("127.0.0.1:1")])
        );
        let mapped = peers(
            b"d6:peers618:\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\x02\x01\x1a\xe111:external ip3:abce",
        );
        assert_eq!(mapped.peers, [at("192.0.2.1:6881")]);
        assert_eq!(mapped.external_ip, None);
        assert!(Reply::from_bytes(b"le").is_err());
        assert!(Reply::from_bytes(b"<html>").is_err());
    }

    #[test]
    fn keeps_no_more_peers_than_it_says() {
        let mut bytes = b"d5:peers18000:".to_vec();
        bytes.extend([1; 18_000]);
        bytes.push(b'e');
        assert_eq!(peers(&bytes).peers.len(), MAX_PEERS);
    }

    #[test]
    fn a_failure_says_when_to_come_back() {
        let failure = |retry_in| Reply::Failure {
            reason: "no".into(),
            retry_in,
        };
        let bytes = failure(Some(5)).to_bytes(true, true);
        assert_eq!(bytes, b"d14:failure reason2:no8:retry ini5ee");
        for (bytes, retry_in) in [
            (&b"d14:failure reason2:no8:retry ini5ee"[..], Some(5)),
            (b"d14:failure reason2:no8:retry in1:5e", Some(5)),
            (b"d14:failure reason2:no8:retry in5:nevere", None),
            (b"d14:failure reason2:noe", None),
        ] {
            assert_eq!(Reply::from_bytes(bytes), Ok(failure(retry_in)));
        }
    }
}
