//! All that is known of one item.

use serde::{Deserialize, Serialize};

use super::{Event, Item};

/// `item.show`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ItemShow {
    /// Hash, prefix or name; also of a catalogue entry not fetched yet.
    pub item: String,
    /// Any of `files`, `peers`, `trackers`, `pieces`, `events`, `versions`.
    #[serde(default)]
    pub parts: Vec<String>,
    /// With `files`: `files_next` of the answer before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files_after: Option<u64>,
    /// Which tracker's catalogue; the only or first one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracker: Option<String>,
}

/// An item with the parts asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ItemDetail {
    /// In one line; absent for a catalogue entry that is not here.
    #[serde(default)]
    pub item: Option<Item>,
    /// The catalogue's view, where known.
    #[serde(default)]
    pub catalogue: Option<crate::api::FileEntry>,
    /// Files, as many as there is room for.
    #[serde(default)]
    pub files: Option<Vec<ItemFile>>,
    /// There are more files, from this one on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files_next: Option<u64>,
    /// Connected peers.
    #[serde(default)]
    pub peers: Option<Vec<ItemPeer>>,
    /// Announces.
    #[serde(default)]
    pub trackers: Option<Vec<ItemTracker>>,
    /// Pieces.
    #[serde(default)]
    pub pieces: Option<ItemPieces>,
    /// Recent events of this item.
    #[serde(default)]
    pub events: Option<Vec<Event>>,
    /// Versions of its name in the catalogue.
    #[serde(default)]
    pub versions: Option<Vec<crate::api::FileEntry>>,
}

/// A file of an item.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ItemFile {
    /// Path below the item's folder, with `/`.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Bytes of it verified.
    pub done: u64,
    /// Whether it is wanted (`--only`).
    pub wanted: bool,
}

/// A connected peer of an item.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ItemPeer {
    /// `address:port`.
    pub addr: String,
    /// Program and version.
    pub client: String,
    /// `in` or `out`.
    pub direction: String,
    /// Pieces it has.
    pub pieces: u32,
    /// Bytes/s received from it.
    pub down_rate: u64,
    /// Bytes/s sent to it.
    pub up_rate: u64,
    /// Block bytes received from it.
    pub downloaded: u64,
    /// Block bytes sent to it.
    pub uploaded: u64,
    /// It chokes us.
    pub choking_us: bool,
    /// We choke it.
    pub choked: bool,
    /// We want something from it.
    pub interesting: bool,
    /// It wants something from us.
    pub interested: bool,
    /// What we asked it for and have not got, in blocks of 16 KiB.
    pub requests: u32,
    /// Request window, in blocks of 16 KiB.
    pub window: u32,
}

/// An announce URL of an item; its passkey is masked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ItemTracker {
    /// URL with the passkey replaced by `***`.
    pub url: String,
    /// `ok`, `waiting`, `announcing`, `error`.
    pub state: String,
    /// Last error or warning.
    #[serde(default)]
    pub message: Option<String>,
    /// Seeds as of the last answer.
    #[serde(default)]
    pub seeds: Option<u32>,
    /// Leeches as of the last answer.
    #[serde(default)]
    pub leeches: Option<u32>,
    /// Seconds to the next announce.
    #[serde(default)]
    pub next_s: Option<u64>,
}

/// Pieces of an item.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ItemPieces {
    /// Pieces in all.
    pub pieces: u32,
    /// Bytes of a piece.
    pub piece_len: u32,
    /// Ranges held here, first to last inclusive.
    pub here: Vec<(u32, u32)>,
    /// Known holders, run-length coded: (number of pieces, holders).
    pub holders: Vec<(u32, u32)>,
    /// Peers that do not report their pieces to the tracker.
    pub unknown: u32,
    /// Ranges nobody is known to hold.
    pub missing: Vec<crate::api::MissingRange>,
    /// Of whom `holders` and `missing` tell: `tracker`, the whole swarm, from piece points; `peers`, only the connected peers and us.
    pub source: String,
}
