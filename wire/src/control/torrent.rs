//! .torrent files, which may be larger than a line: they cross the socket in parts.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Bytes of a .torrent in one part; as base64 well below [`MAX_LINE`](super::MAX_LINE).
pub const TORRENT_PART: usize = 1024 * 1024;

/// `torrent.part`: the next part of a .torrent, from client to daemon.
///
/// The connection keeps the parts in the order in which they come. The next request that says `torrent: true` takes them.
#[derive(Clone, Serialize, Deserialize)]
pub struct TorrentPart {
    /// Base64.
    pub data: String,
}

/// Without what is in it: announce URLs may be personal.
impl fmt::Debug for TorrentPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TorrentPart")
            .field("len", &self.data.len())
            .finish_non_exhaustive()
    }
}

/// `item.torrent`: asks for a part of an item's .torrent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TorrentRef {
    /// Hash, prefix or name.
    pub item: String,
    /// Where the part begins, in bytes.
    #[serde(default)]
    pub offset: u64,
    /// Whose announce URL it gets: the tracker's name; the only or first one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracker: Option<String>,
}

/// A part of an item's .torrent, from daemon to client. It holds the account's own announce URL: for the user's own stock clients, a secret.
#[derive(Clone, Serialize, Deserialize)]
pub struct TorrentData {
    /// Base64 of at most [`TORRENT_PART`] bytes.
    pub data: String,
    /// Bytes of the whole file.
    pub size: u64,
}

/// Without what is in it: the announce URL is personal.
impl fmt::Debug for TorrentData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TorrentData")
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}
