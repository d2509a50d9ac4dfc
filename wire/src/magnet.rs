//! Magnet links (BEP 9).
use crate::InfoHash;

/// A magnet link with a version 1 info-hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Magnet {
    /// `xt=urn:btih:`, 40 hex digits or 32 of base32.
    pub info_hash: InfoHash,
    /// `dn`, for show only.
    pub name: Option<String>,
    /// `tr`, in order.
    pub trackers: Vec<String>,
    /// `x.pe`: `host:port`.
    pub peers: Vec<String>,
}

/// Why a text is no magnet link that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct MagnetError(pub &'static str);

impl std::str::FromStr for Magnet {
    type Err = MagnetError;
    fn from_str(_text: &str) -> Result<Self, MagnetError> {
        todo!()
    }
}
impl std::fmt::Display for Magnet {
    fn fmt(&self, _f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        todo!()
    }
}
