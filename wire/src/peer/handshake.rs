//! The handshake (BEP 3).

use crate::{InfoHash, PeerId};

/// Length of a handshake in bytes.
pub const HANDSHAKE_LEN: usize = 68;

const PROTOCOL: &[u8; 20] = b"\x13BitTorrent protocol";

/// The first 68 bytes on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// What the sender can do.
    pub reserved: Reserved,
    /// Which torrent.
    pub info_hash: InfoHash,
    /// Who.
    pub peer_id: PeerId,
}

/// The eight reserved bytes; unknown bits are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Reserved(pub [u8; 8]);

impl Reserved {
    /// What p2p sets: fast (BEP 6) and the extension protocol (BEP 10).
    #[must_use]
    pub fn ours() -> Self {
        Self([0, 0, 0, 0, 0, 0x10, 0, 0x04])
    }

    /// BEP 6.
    pub fn fast(&self) -> bool {
        self.0[7] & 0x04 != 0
    }

    /// BEP 10.
    pub fn extended(&self) -> bool {
        self.0[5] & 0x10 != 0
    }
}

impl Handshake {
    /// The bytes to send.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; HANDSHAKE_LEN] {
        let mut out = [0; HANDSHAKE_LEN];
        out[..20].copy_from_slice(PROTOCOL);
        out[20..28].copy_from_slice(&self.reserved.0);
        out[28..48].copy_from_slice(&self.info_hash.0);
        out[48..].copy_from_slice(&self.peer_id.0);
        out
    }

    /// Reads a handshake; `None` if it does not begin with the protocol's name.
    pub fn from_bytes(bytes: &[u8; HANDSHAKE_LEN]) -> Option<Self> {
        let rest = bytes.strip_prefix(PROTOCOL)?;
        let (reserved, rest) = rest.split_first_chunk()?;
        let (info_hash, rest) = rest.split_first_chunk()?;
        let (peer_id, _) = rest.split_first_chunk()?;
        Some(Self {
            reserved: Reserved(*reserved),
            info_hash: InfoHash(*info_hash),
            peer_id: PeerId(*peer_id),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_bytes_of_bep_3() {
        let handshake = Handshake {
            reserved: Reserved::ours(),
            info_hash: InfoHash(*b"aaaaabbbbbcccccddddd"),
            peer_id: PeerId(*b"-P20001-0123456789ab"),
        };
        let bytes = handshake.to_bytes();
        assert_eq!(
            &bytes[..],
            b"\x13BitTorrent protocol\0\0\0\0\0\x10\0\x04aaaaabbbbbcccccddddd-P20001-0123456789ab"
        );
        assert_eq!(Handshake::from_bytes(&bytes), Some(handshake));
    }

    #[test]
    fn another_protocol_is_refused() {
        let mut bytes = [0; HANDSHAKE_LEN];
        assert_eq!(Handshake::from_bytes(&bytes), None);
        bytes[..20].copy_from_slice(b"\x13BitTorrent protocoL");
        assert_eq!(Handshake::from_bytes(&bytes), None);
    }

    #[test]
    fn reserved_bits_tell_what_a_peer_can_do_and_unknown_ones_are_kept() {
        let libtorrent = Reserved([0, 0, 0, 0, 0, 0x10, 0, 0x05]);
        assert!(libtorrent.fast() && libtorrent.extended());
        let none = Reserved([0xff, 0xff, 0xff, 0xff, 0xff, 0xef, 0xff, 0xfb]);
        assert!(!none.fast() && !none.extended());
        let handshake = Handshake {
            reserved: none,
            info_hash: InfoHash([1; 20]),
            peer_id: PeerId([2; 20]),
        };
        assert_eq!(
            Handshake::from_bytes(&handshake.to_bytes()),
            Some(handshake)
        );
    }
}
