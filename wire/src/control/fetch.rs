//! Beginning a fetch.

use serde::{Deserialize, Serialize};

use super::{Item, PathText};

/// `fetch.add`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FetchAdd {
    /// Info-hash or prefix, `owner/share/entry[@N]`, magnet link, or http(s) URL of a .torrent.
    #[serde(default)]
    pub target: Option<String>,
    /// The .torrent that was sent by `torrent.part`, instead of `target`.
    #[serde(default)]
    pub torrent: bool,
    /// Folder to fetch into; the configured one by default.
    #[serde(default)]
    pub dir: Option<PathText>,
    /// Existing data to verify in place and complete.
    #[serde(default)]
    pub data: Option<PathText>,
    /// Globs of the files wanted; all when empty.
    #[serde(default)]
    pub only: Vec<String>,
    /// In order of pieces.
    #[serde(default)]
    pub sequential: bool,
    /// Further peers, `host:port`.
    #[serde(default)]
    pub peers: Vec<String>,
    /// From this peer alone: `host:port`, a node's name, or `account/node`.
    #[serde(default)]
    pub from: Option<String>,
    /// Which tracker's catalogue.
    #[serde(default)]
    pub tracker: Option<String>,
}

/// Answer to [`FetchAdd`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FetchAdded {
    /// The item.
    pub item: Item,
    /// False if it was there before.
    pub added: bool,
    /// Patterns of the files that are fetched of it; all when empty. What was there before keeps its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<String>,
}
