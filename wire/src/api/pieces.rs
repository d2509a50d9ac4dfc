//! How many hold which piece, as the tracker knows it.

use serde::{Deserialize, Serialize};

/// What piece points say in one line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AvailabilitySummary {
    /// Peers known to hold all.
    pub seeds: u32,
    /// Peers that report their pieces and lack some.
    pub partial: u32,
    /// Leeches in the swarm that do not report pieces (stock clients).
    pub unknown: u32,
    /// Known holders of the scarcest piece.
    pub least: u32,
    /// Known holders of the commonest piece.
    pub most: u32,
    /// Pieces without a known holder.
    pub nobody: u32,
    /// Whole copies known.
    pub copies: f64,
}

/// `GET /v1/files/{infohash}/availability`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Availability {
    /// In one line.
    pub summary: AvailabilitySummary,
    /// Known holders, run-length coded: (number of pieces, holders), in piece order. Empty with `missing=1`.
    pub counts: Vec<(u32, u32)>,
    /// Ranges of pieces nobody is known to hold, first to last inclusive.
    pub missing: Vec<MissingRange>,
}

/// Pieces without a known holder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingRange {
    /// First piece.
    pub first: u32,
    /// Last piece, inclusive.
    pub last: u32,
    /// `account/node` that last reported to hold it, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_held_by: Option<String>,
    /// When that was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_held: Option<String>,
}
