//! Piece points: what each peer holds, reported to the tracker in batches (`POST /v1/points`, `application/vnd.p2p.points`).
//!
//! Numbers are unsigned LEB128 varints unless a width is given; widths are big-endian. A report:
//!
//! ```text
//! u8 version = 1 · u64 epoch (0: none yet) · u16 listen port · varint items · items
//! item: varint handle; 0 is followed by info-hash (20 bytes) and varint pieces
//!       u8 op · op's payload · varint held · u32 checksum
//! op:   0 KEEP · 1 FULL varint len, bitmap · 2 ADD gaps · 3 REMOVE gaps · 4 SEED · 5 LEAVE
//! gaps: varint count · varint first · varint (difference - 1) each
//! ```
//!
//! `held` and `checksum` describe the set after the op. The checksum is the wrapping sum of [`mix`] over the pieces held, so each side keeps
//! it as pieces come and go; a difference means that an update was lost, and the tracker answers RESYNC. ADD is a union: a retry is harmless.
//!
//! A reply:
//!
//! ```text
//! u8 version = 1 · u64 epoch · varint next (seconds) · varint items · items, in the order of the report
//! item: varint handle · u8 status (0 OK, 1 RESYNC, 2 UNKNOWN) · if OK:
//!       varint seeds · varint partial · varint unknown · varint least · varint nobody · gaps rarest (at most 32, pieces the reporter lacks)
//! ```
//!
//! Handles belong to an epoch: after a tracker restart the epoch differs, every handle is void, and the reporter registers all again by info-hash.

mod decode;
mod encode;

use crate::InfoHash;

/// Content type of both bodies.
pub const CONTENT_TYPE: &str = "application/vnd.p2p.points";

/// A daemon's report on its items.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Epoch of the last reply; 0 before the first.
    pub epoch: u64,
    /// Where the daemon listens for peers.
    pub port: u16,
    /// At most [`MAX_ITEMS`].
    pub items: Vec<ReportItem>,
}

/// Most items in one report; a daemon with more sends several.
pub const MAX_ITEMS: usize = 10_000;

/// Most pieces in [`Swarm::rarest`].
pub const MAX_RAREST: usize = 32;

/// One item's part of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportItem {
    /// Which item.
    pub item: ItemRef,
    /// What changed.
    pub op: Op,
    /// Pieces held after `op`.
    pub held: u32,
    /// [`checksum`] of the pieces held after `op`.
    pub checksum: u32,
}

/// Names an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ItemRef {
    /// A handle that the tracker gave in this epoch; never 0.
    Handle(u32),
    /// By hash, with its number of pieces.
    Hash(InfoHash, u32),
}

/// What changed since the last report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Nothing: a heartbeat.
    Keep,
    /// The whole set, packed as in [`crate::Bitfield`].
    Full(Vec<u8>),
    /// Pieces that were added, ascending.
    Add(Vec<u32>),
    /// Pieces that were lost, ascending.
    Remove(Vec<u32>),
    /// Holds all.
    Seed,
    /// Holds the item no more.
    Leave,
}

/// The tracker's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Differs after a restart of the tracker.
    pub epoch: u64,
    /// Seconds to the next report.
    pub next: u32,
    /// In the order of the report.
    pub items: Vec<ReplyItem>,
}

/// One item's part of a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyItem {
    /// To name the item by from now on; 0 for [`Status::Unknown`].
    pub handle: u32,
    /// What the tracker made of it.
    pub status: Status,
}

/// See [`ReplyItem`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// Taken.
    Ok(Swarm),
    /// The sets differ: send FULL or SEED.
    Resync,
    /// The handle is not known, or the item may not be reported: name it by hash.
    Unknown,
}

/// What the tracker knows of the swarm.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Swarm {
    /// Peers that hold all.
    pub seeds: u32,
    /// Peers that report and lack something.
    pub partial: u32,
    /// Leeches that do not report.
    pub unknown: u32,
    /// Known holders of the scarcest piece.
    pub least: u32,
    /// Pieces without a known holder.
    pub nobody: u32,
    /// Up to 32 of the rarest pieces that the reporter lacks, ascending.
    pub rarest: Vec<u32>,
}

/// Why bytes are no report or reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PointsError(pub &'static str);

/// A piece's share of the checksum: the finaliser of MurmurHash3 over the piece number plus one.
pub fn mix(piece: u32) -> u32 {
    let mut h = piece.wrapping_add(1);
    h = (h ^ (h >> 16)).wrapping_mul(0x85eb_ca6b);
    h = (h ^ (h >> 13)).wrapping_mul(0xc2b2_ae35);
    h ^ (h >> 16)
}

/// The checksum of a set of pieces.
pub fn checksum(pieces: impl IntoIterator<Item = u32>) -> u32 {
    pieces
        .into_iter()
        .fold(0, |sum, piece| sum.wrapping_add(mix(piece)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_depends_on_the_set_and_not_on_the_order() {
        assert_eq!(checksum([]), 0);
        assert_eq!(checksum([1, 2, 3]), checksum([3, 1, 2]));
        assert_ne!(checksum([1, 2, 3]), checksum([1, 2, 4]));
        assert_ne!(checksum([0]), 0);
        // The finaliser of MurmurHash3 maps 1 to this.
        assert_eq!(mix(0), 0x514e_28b7);
        assert_eq!(mix(u32::MAX), 0);
    }
}
