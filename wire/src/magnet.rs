//! Magnet links (BEP 9).
//!
//! Parameters may come in any order, more than once, and with a number behind their name (`tr.1`). Values are percent-decoded; `+` is a space
//! in a name (`dn`), where many programs write it so, and a plus elsewhere.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE32;
use percent_encoding::{AsciiSet, percent_decode_str, utf8_percent_encode};

use crate::InfoHash;
use crate::text::{self, ESCAPED, MAX_TRACKERS};

/// Most peers that are kept of one link.
const MAX_PEERS: usize = 100;

/// Longest name in bytes that is kept.
const MAX_NAME_LEN: usize = 255;

/// In an address the colon and the brackets stay bare: some clients do not decode `x.pe`.
const ESCAPED_IN_ADDRESS: &AsciiSet = &ESCAPED.remove(b':').remove(b'[').remove(b']');

/// A magnet link with a version 1 info-hash.
#[derive(Clone, PartialEq, Eq)]
pub struct Magnet {
    /// `xt=urn:btih:`, 40 hex digits or 32 of base32.
    pub info_hash: InfoHash,
    /// `dn`, for show only.
    pub name: Option<String>,
    /// `tr`, in order: http, https and udp; the first 100.
    pub trackers: Vec<String>,
    /// `x.pe`: `host:port`; the first 100.
    pub peers: Vec<String>,
}

/// Without announce URLs, which may be personal.
impl fmt::Debug for Magnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Magnet")
            .field("info_hash", &self.info_hash)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Why a text is no magnet link that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct MagnetError(pub &'static str);

impl FromStr for Magnet {
    type Err = MagnetError;

    /// Reads a link; the first usable hash and the first name count, unknown parameters and trackers or peers that cannot be used are left out.
    fn from_str(text: &str) -> Result<Self, MagnetError> {
        let (scheme, query) = text
            .trim()
            .split_once(":?")
            .ok_or(MagnetError("not a magnet link"))?;
        if !scheme.eq_ignore_ascii_case("magnet") {
            return Err(MagnetError("not a magnet link"));
        }
        let mut hash = Err(MagnetError("a magnet link without `xt=urn:btih:`"));
        let (mut name, mut trackers, mut peers) = (None, Vec::new(), Vec::new());
        for pair in query.split('&') {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let key = key.to_ascii_lowercase();
            let decoded = || percent_decode_str(value).collect::<Vec<u8>>();
            match unnumbered(&key) {
                "xt" if hash.is_err() => hash = topic(&decoded()).unwrap_or(hash),
                "dn" if name.is_none() => name = display_name(value),
                "tr" if trackers.len() < MAX_TRACKERS => {
                    trackers.extend(text::tracker_url(&decoded()).map(str::to_owned));
                }
                "x.pe" if peers.len() < MAX_PEERS => peers.extend(address(decoded())),
                _ => {}
            }
        }
        Ok(Self {
            info_hash: hash?,
            name,
            trackers,
            peers,
        })
    }
}

impl fmt::Display for Magnet {
    /// The link, the hash in hex; reading it gives the same value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "magnet:?xt=urn:btih:{}", self.info_hash)?;
        if let Some(name) = &self.name {
            write!(f, "&dn={}", utf8_percent_encode(name, ESCAPED))?;
        }
        for tracker in &self.trackers {
            write!(f, "&tr={}", utf8_percent_encode(tracker, ESCAPED))?;
        }
        for peer in &self.peers {
            write!(f, "&x.pe={}", utf8_percent_encode(peer, ESCAPED_IN_ADDRESS))?;
        }
        Ok(())
    }
}

/// `tr` of `tr.1`.
fn unnumbered(key: &str) -> &str {
    match key.rsplit_once('.') {
        Some((name, number)) if number.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => key,
    }
}

/// The hash of an exact topic, or why it is none; `None` when the topic is of another kind.
fn topic(value: &[u8]) -> Option<Result<InfoHash, MagnetError>> {
    let value = std::str::from_utf8(value).ok()?.to_ascii_lowercase();
    if value.starts_with("urn:btmh:") {
        return Some(Err(MagnetError(
            "a magnet link with a version 2 hash alone; only version 1 hashes can be used",
        )));
    }
    let digits = value.strip_prefix("urn:btih:")?;
    let hash = digits.parse().ok().or_else(|| base32(digits));
    Some(hash.ok_or(MagnetError(
        "the hash of a magnet link is 40 hexadecimal or 32 base32 digits",
    )))
}

fn base32(digits: &str) -> Option<InfoHash> {
    let bytes = BASE32.decode(digits.to_ascii_uppercase().as_bytes()).ok()?;
    Some(InfoHash(bytes.try_into().ok()?))
}

fn display_name(value: &str) -> Option<String> {
    let spaced = value.replace('+', " ");
    let decoded: Vec<u8> = percent_decode_str(&spaced).collect();
    let name = text::printable(&decoded, MAX_NAME_LEN);
    (!name.is_empty()).then_some(name)
}

/// A `host:port` with something that can be a host and a port that is not 0.
fn address(value: Vec<u8>) -> Option<String> {
    let value = String::from_utf8(value).ok()?;
    let (host, port) = value.rsplit_once(':')?;
    let bracketed = host.starts_with('[') && host.ends_with(']');
    let named = !host.is_empty()
        && host.len() <= 255
        && host
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    let is_ipv6 = bracketed && value.parse::<std::net::SocketAddrV6>().is_ok();
    let reachable = port.parse().is_ok_and(|port: u16| port != 0);
    ((named || is_ipv6) && reachable).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "3f2a0b6c9d1e4f7081a2b3c4d5e6f708192a3b4c";

    #[test]
    fn reads_name_trackers_and_peers() {
        let text = format!(
            "magnet:?dn=My+big%20file%2Biso&xt=urn:btih:{HEX}&tr=http%3A%2F%2Ft%2Fannounce&tr.1=udp://u:1&tr=wss://w&x.pe=192.0.2.1:6881&x.pe=%5B2001:db8::1%5D:6882&x.pe=nas:0&xl=3&ws"
        );
        let magnet: Magnet = text.parse().unwrap();
        assert_eq!(magnet.info_hash.to_string(), HEX);
        assert_eq!(magnet.name.as_deref(), Some("My big file+iso"));
        assert_eq!(magnet.trackers, ["http://t/announce", "udp://u:1"]);
        assert_eq!(magnet.peers, ["192.0.2.1:6881", "[2001:db8::1]:6882"]);
        assert_eq!(magnet.to_string().parse(), Ok(magnet));
    }

    #[test]
    fn hex_and_base32_of_either_case_are_the_same_hash() {
        let expected: InfoHash = HEX.parse().unwrap();
        let base32 = BASE32.encode(&expected.0);
        for hash in [
            HEX.to_owned(),
            HEX.to_uppercase(),
            base32.to_lowercase(),
            base32,
        ] {
            for start in [
                "magnet:?xt=urn:btih:",
                "MAGNET:?XT=URN:BTIH:",
                "Magnet:?xt.1=urn%3Abtih%3a",
            ] {
                let magnet: Magnet = format!("{start}{hash}").parse().unwrap();
                assert_eq!(magnet.info_hash, expected, "{start}{hash}");
            }
        }
    }

    #[test]
    fn says_what_is_wrong() {
        let error = |text: &str| text.parse::<Magnet>().unwrap_err().0;
        assert_eq!(error("http://x/?xt=1"), "not a magnet link");
        assert_eq!(error(""), "not a magnet link");
        assert!(error("magnet:?dn=x").contains("without"));
        assert!(error("magnet:?xt=urn:btih:123").contains("40"));
        assert!(error("magnet:?xt=urn:btmh:1220caf1").contains("version 2"));
        let hybrid = format!("magnet:?xt=urn:btmh:1220caf1&xt=urn:btih:{HEX}");
        assert!(hybrid.parse::<Magnet>().is_ok());
    }
}
