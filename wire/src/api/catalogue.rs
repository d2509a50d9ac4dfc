//! What is published, and what a fetch begins with.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::AvailabilitySummary;
use crate::InfoHash;

/// Who sees an entry of the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Visibility {
    /// Every account: listed and searched.
    #[default]
    Members,
    /// Every account that knows the name or hash.
    Unlisted,
    /// The owner's account alone.
    Own,
}

/// The share of what is published without one.
pub const DEFAULT_SHARE: &str = "files";

/// `POST /v1/files`: idempotent by info-hash within owner/share/entry.
#[derive(Clone, Serialize, Deserialize)]
pub struct Publish {
    /// The .torrent file, base64 with padding.
    pub metainfo: String,
    /// Name of the share it belongs to; absent is [`DEFAULT_SHARE`], for what was published alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<String>,
    /// Name of the entry; absent takes the torrent's name. May hold `/` for an entry below a folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// At most 16, each at most 64 bytes.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Who sees it.
    #[serde(default)]
    pub visibility: Visibility,
    /// Join a share of the same name that another node of the account made.
    #[serde(default)]
    pub join: bool,
}

/// Without the .torrent, in which announce URLs may be personal.
impl fmt::Debug for Publish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publish")
            .field("share", &self.share)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Answer to [`Publish`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Published {
    /// The entry as it stands now.
    pub file: FileEntry,
    /// False when the same content was there already under this name.
    pub created: bool,
}

/// `PATCH /v1/files/{infohash}`: what is absent stays.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct PatchFile {
    /// New tags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// New visibility.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visibility: Option<Visibility>,
}

/// One version of one entry of the catalogue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FileEntry {
    /// What it is.
    pub info_hash: InfoHash,
    /// Account that published it.
    pub owner: String,
    /// Share.
    pub share: String,
    /// Name of the entry.
    pub entry: String,
    /// From 1; grows by one with each new content under the same name.
    pub version: u32,
    /// Whether it is the newest version of its name.
    pub newest: bool,
    /// Bytes in all.
    pub size: u64,
    /// Number of pieces.
    pub pieces: u32,
    /// Bytes of a piece.
    pub piece_len: u32,
    /// Number of files.
    pub files: u32,
    /// Tags.
    pub tags: Vec<String>,
    /// Who sees it.
    pub visibility: Visibility,
    /// When it was published.
    pub published: String,
    /// Peers in the swarm that have all.
    pub seeds: u32,
    /// Peers in the swarm that lack something.
    pub leeches: u32,
    /// Whole copies known from piece points: seeds plus the fraction the partial peers could assemble.
    pub copies: f64,
}

/// `GET /v1/files/{infohash}/fetch`: all that a peer needs to start.
#[derive(Clone, Serialize, Deserialize)]
pub struct Fetch {
    /// The catalogue's entry.
    pub file: FileEntry,
    /// The .torrent with the caller's announce URL, base64.
    pub metainfo: String,
    /// Up to 50 peers.
    pub peers: Vec<FetchPeer>,
    /// What is known of the pieces.
    pub availability: AvailabilitySummary,
}

/// Without the .torrent, in which the announce URL is personal.
impl fmt::Debug for Fetch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetch")
            .field("file", &self.file)
            .field("peers", &self.peers)
            .finish_non_exhaustive()
    }
}

/// A peer to start with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchPeer {
    /// `host:port`.
    pub addr: String,
    /// Name of its node and account as `account/node`, where it is one of ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Has all.
    pub seed: bool,
}
