//! What happened and what happens: transfers, log and events.

use serde::{Deserialize, Serialize};

use crate::InfoHash;

/// `history.list`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct HistoryList {
    /// Only this item.
    #[serde(default)]
    pub item: Option<String>,
    /// At most this many, the newest first.
    #[serde(default)]
    pub limit: Option<u32>,
}

/// One session of exchange with one peer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Transfer {
    /// Which item.
    pub info_hash: InfoHash,
    /// Its name.
    pub name: String,
    /// `address:port`.
    pub peer: String,
    /// Its program.
    pub client: String,
    /// Block bytes received from it.
    pub downloaded: u64,
    /// Block bytes sent to it.
    pub uploaded: u64,
    /// First block, RFC 3339.
    pub started: String,
    /// Last block.
    pub ended: String,
}

/// `log.tail`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct LogTail {
    /// How many of the last lines.
    #[serde(default)]
    pub lines: Option<u32>,
    /// Only this item.
    #[serde(default)]
    pub item: Option<String>,
    /// Go on with new ones.
    #[serde(default)]
    pub follow: bool,
}

/// A line of the daemon's log.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LogLine {
    /// RFC 3339.
    pub time: String,
    /// `error`, `warn`, `info`, `debug`.
    pub level: String,
    /// The sentence.
    pub text: String,
    /// Item, if it is about one.
    #[serde(default)]
    pub info_hash: Option<InfoHash>,
}

/// `events.subscribe`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Subscribe {
    /// Prefixes such as `item` or `item.finished`; all when empty.
    #[serde(default)]
    pub topics: Vec<String>,
    /// Replay what is kept after this `seq`.
    #[serde(default)]
    pub since: Option<u64>,
}

/// Something happened.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Event {
    /// Grows by one.
    pub seq: u64,
    /// RFC 3339.
    pub time: String,
    /// Such as `item.finished`.
    pub topic: String,
    /// Item, if it is about one.
    #[serde(default)]
    pub info_hash: Option<InfoHash>,
    /// Name of that item, or of the share or tracker.
    #[serde(default)]
    pub name: Option<String>,
    /// The sentence.
    pub text: String,
    /// User id of whom it concerns; absent where it concerns the daemon as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner_uid: Option<u32>,
}

/// Events that a slow reader lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// First lost.
    pub from: u64,
    /// Last lost.
    pub to: u64,
}
