//! Items: naming, listing and changing them.

use serde::{Deserialize, Serialize};

use super::{ErrorKind, PathText};
use crate::InfoHash;

/// Names one item: its info-hash, a unique prefix of 4 or more digits, or its unique name.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ItemRef {
    /// Hash, prefix or name.
    pub item: String,
}

/// Names an item or an entry of the catalogue, and in whose catalogue it is looked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EntryRef {
    /// Hash, prefix or name.
    pub item: String,
    /// The tracker's name; the only or first one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracker: Option<String>,
}

/// Names several: at most 500 in one request, or all, which come in batches.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ItemsRef {
    /// Hashes, prefixes or names.
    #[serde(default)]
    pub items: Vec<String>,
    /// Every item.
    #[serde(default)]
    pub all: bool,
    /// With `all`: `next` of the batch before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<InfoHash>,
}

/// Items to which something was done.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ItemBatch {
    /// As they are now.
    pub items: Vec<Item>,
    /// Of all items: there are more, after this one.
    #[serde(default)]
    pub next: Option<InfoHash>,
}

/// `verify.wait`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VerifyWait {
    /// Items, as `item.verify` answered them; at most 500.
    pub items: Vec<InfoHash>,
}

/// How far verifying several items is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VerifyProgress {
    /// The one that is waited for now.
    pub item: Item,
    /// Items whose verification has ended.
    pub ended: u32,
    /// Items in all.
    pub of: u32,
}

/// `item.list`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ItemList {
    /// A state's name, `share:NAME`, or a part of the item's name.
    #[serde(default)]
    pub filter: Option<String>,
    /// `name` (default), `size`, `done`, `down`, `up`, `added`, `state`; `-` in front reverses.
    #[serde(default)]
    pub sort: Option<String>,
    /// `next` of the page before.
    #[serde(default)]
    pub after: Option<u64>,
    /// At most 1,000, the default.
    #[serde(default)]
    pub limit: Option<u32>,
}

/// A page of items.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ItemPage {
    /// Rows.
    pub items: Vec<Item>,
    /// Where the next page starts.
    #[serde(default)]
    pub next: Option<u64>,
}

/// An item in one line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Item {
    /// What it is.
    pub info_hash: InfoHash,
    /// Its name; the hash while the metadata is not known and no name came with it.
    pub name: String,
    /// What it is doing.
    pub state: State,
    /// Bytes verified; in [`State::Verifying`] those that were read so far.
    pub done: u64,
    /// Bytes wanted; 0 while the metadata is not known.
    pub size: u64,
    /// Pieces verified.
    pub pieces_done: u32,
    /// Pieces in all.
    pub pieces: u32,
    /// Bytes of a piece.
    pub piece_len: u32,
    /// Bytes/s received.
    pub down_rate: u64,
    /// Bytes/s sent.
    pub up_rate: u64,
    /// Block bytes received, over all sessions.
    pub downloaded: u64,
    /// Block bytes sent, over all sessions.
    pub uploaded: u64,
    /// Block bytes received that were thrown away.
    pub wasted: u64,
    /// Connected peers.
    pub peers: u32,
    /// Those that are complete.
    pub seeds: u32,
    /// Whole copies known: of the swarm from piece points where they are known, else of the connected peers and us.
    pub copies: f64,
    /// Pieces we lack that nobody is known to hold; `None` while nothing is known.
    #[serde(default)]
    pub missing: Option<u32>,
    /// Seconds to completion at the present rate.
    #[serde(default)]
    pub eta_s: Option<u64>,
    /// Where its content is, or will be: the file, or the folder.
    pub path: PathText,
    /// Share it belongs to, if any.
    #[serde(default)]
    pub share: Option<String>,
    /// Why it stands still: a fault, or `no peers`, `tracker unreachable`, ...
    #[serde(default)]
    pub reason: Option<String>,
    /// The class of the fault, in [`State::Error`]. A full disk ([`ErrorKind::Disk`]) is looked at again by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_kind: Option<ErrorKind>,
    /// Pieces that were held and that the last verification since p2pd started found bad; absent where none has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bad_pieces: Option<u32>,
    /// When it was added, RFC 3339.
    pub added: String,
    /// When it was completed.
    #[serde(default)]
    pub completed: Option<String>,
    /// BEP 27.
    pub private: bool,
    /// User id of whom it belongs to.
    #[serde(default)]
    pub owner_uid: u32,
}

/// What an item is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Waits for its metadata from peers.
    Metadata,
    /// Its data is being verified.
    Verifying,
    /// A leech.
    Fetching,
    /// Complete and served.
    Seeding,
    /// A gate holds it: it is not served, nor put at its place. [`Item::reason`] says which and why; [`Item::error_kind`] is
    /// [`ErrorKind::Refused`] once it said no.
    Held,
    /// Stopped by the user.
    Paused,
    /// Stopped by a fault; see [`Item::reason`] and [`Item::error_kind`].
    Error,
}

/// `item.set`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ItemSet {
    /// Hash, prefix or name.
    pub item: String,
    /// `down`, `up` (rates, `0` or `none` for no limit), `sequential` (`true`, `false`), `max_peers`.
    pub key: String,
    /// Its new value.
    pub value: String,
}

/// `item.move`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ItemMove {
    /// Hash, prefix or name.
    pub item: String,
    /// Existing folder to move it into.
    pub dir: PathText,
}

/// `item.remove`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ItemRemove {
    /// Hashes, prefixes or names; at most 500.
    pub items: Vec<String>,
    /// Delete what was fetched; never what a share holds.
    #[serde(default)]
    pub delete_data: bool,
}

/// Ways to hand an item on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Link {
    /// Magnet link; without any passkey.
    pub magnet: String,
    /// `owner/share/entry@N`, if it is published.
    #[serde(default)]
    pub name: Option<String>,
}
