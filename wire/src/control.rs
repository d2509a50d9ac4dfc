//! The control protocol between p2pctl and p2pd: JSON-RPC 2.0, one object per line, parameters by name.
//!
//! The first request is `hello`, within 5 s. A line is at most [`MAX_LINE`] bytes. While a request runs the server may send `progress`
//! notifications that carry its id, at most 10 a second; `cancel{id}` stops waiting for it. `events.subscribe` turns on `event` and `gap`
//! notifications. Errors carry an [`ErrorData`]; the JSON-RPC `code` is the exit code that p2pctl ends with, or a standard one below -32000.
//!
//! | method | parameters | result |
//! |---|---|---|
//! | `hello` | [`Hello`] | [`Welcome`] |
//! | `status` | | [`Status`] |
//! | `share.add` | [`ShareAdd`] | [`Share`] at once |
//! | `share.wait` | [`ShareRef`] | [`Share`] once all that is there is hashed; progress [`ShareProgress`] |
//! | `share.list` | | `Vec<`[`Share`]`>` |
//! | `share.remove` / `share.rescan` | [`ShareRef`] | [`Share`] |
//! | `fetch.add` | [`FetchAdd`] | [`FetchAdded`] at once |
//! | `item.wait` | [`ItemRef`] | [`Item`] when complete or stopped for good; progress [`Item`] |
//! | `item.list` | [`ItemList`] | [`ItemPage`] |
//! | `item.show` | [`ItemShow`] | [`ItemDetail`] |
//! | `item.pause` / `item.resume` / `item.announce` / `item.verify` | [`ItemsRef`] | `Vec<`[`Item`]`>` |
//! | `item.set` | [`ItemSet`] | [`Item`] |
//! | `item.move` | [`ItemMove`] | [`Item`] |
//! | `item.remove` | [`ItemRemove`] | `Vec<`[`Item`]`>` as they were |
//! | `item.link` | [`ItemRef`] | [`Link`] |
//! | `tracker.add` / `tracker.remove` / `tracker.test` | [`TrackerAdd`] / [`TrackerRef`] / [`TrackerRef`] | [`Tracker`] |
//! | `tracker.list` | | `Vec<`[`Tracker`]`>` |
//! | `account.register` / `account.login` | [`Credentials`] | [`Tracker`] |
//! | `account.logout` / `account.whoami` | [`TrackerRef`] | [`Tracker`] |
//! | `catalogue.publish` | [`PublishItem`] | [`crate::api::FileEntry`] |
//! | `catalogue.unpublish` | [`ItemRef`] | `null` |
//! | `catalogue.search` | [`Search`] | [`crate::api::Page`] of [`crate::api::FileEntry`] |
//! | `catalogue.nodes` | [`TrackerRef`] | `Vec<`[`crate::api::Node`]`>` |
//! | `limits.get` / `limits.set` | / [`Limits`] | [`Limits`] |
//! | `config.get` | [`ConfigKey`], key `""` for all | `Vec<`[`ConfigValue`]`>` |
//! | `config.set` / `config.unset` | [`ConfigSet`] / [`ConfigKey`] | [`ConfigValue`] |
//! | `history.list` | [`HistoryList`] | `Vec<`[`Transfer`]`>` |
//! | `log.tail` | [`LogTail`] | `Vec<`[`LogLine`]`>`; with `follow` these and further ones as progress, each a list, until cancelled |
//! | `events.subscribe` | [`Subscribe`] | `null`, then `event` [`Event`] and `gap` [`Gap`] |
//! | `cancel` | [`Cancel`] | `null` |
//! | `daemon.reload` | | [`Reload`] |
//! | `daemon.stop` | | `null`; the daemon ends |

mod path;
mod rpc;

use std::ffi::OsString;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::InfoHash;

/// Version of this protocol.
pub const PROTO: u32 = 1;
/// Longest line in bytes, either way.
pub const MAX_LINE: usize = 4 * 1024 * 1024;
/// Where the system's daemon listens.
pub const SYSTEM_SOCKET: &str = "/run/p2pd/control.sock";

/// Where a user's daemon listens: candidates in order of preference, for the environment `env` and the user id `uid`.
///
/// `$XDG_RUNTIME_DIR/p2pd/control.sock` where that variable holds an absolute path, and nothing else. Otherwise
/// `/run/user/UID/p2pd/control.sock`, then `$XDG_STATE_HOME/p2p/control.sock` (`~/.local/state/p2p/control.sock`).
/// p2pd listens at the first whose folder's parent (`/run/user/UID`) exists, or else at the last, making its folders; p2pctl connects
/// to the first socket that exists. Both look at the environment through this function, so that they meet.
pub fn user_sockets(env: impl Fn(&str) -> Option<OsString>, uid: u32) -> Vec<PathBuf> {
    let absolute = |name: &str| {
        env(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    if let Some(runtime) = absolute("XDG_RUNTIME_DIR") {
        return vec![runtime.join("p2pd/control.sock")];
    }
    let state = absolute("XDG_STATE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
        .map(|state| state.join("p2p/control.sock"));
    let run = PathBuf::from(format!("/run/user/{uid}/p2pd/control.sock"));
    std::iter::once(run).chain(state).collect()
}

/// A request or notification as it goes over the socket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// Always `2.0`.
    pub jsonrpc: String,
    /// Absent for a notification.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    /// See the table above.
    pub method: String,
    /// An object, or absent.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub params: serde_json::Value,
}

/// An answer as it goes over the socket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// Always `2.0`.
    pub jsonrpc: String,
    /// Of the request; absent when that could not be read.
    pub id: Option<u64>,
    /// Present on success; may be `null`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<serde_json::Value>,
    /// Present on failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<RpcError>,
}

/// A JSON-RPC error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RpcError {
    /// An exit code of p2pctl, or a standard JSON-RPC code.
    pub code: i32,
    /// What failed.
    pub message: String,
    /// Why, and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<ErrorData>,
}

/// The second and third line of an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorData {
    /// The class of the error.
    pub kind: ErrorKind,
    /// Why.
    #[serde(default)]
    pub why: String,
    /// What to do.
    #[serde(default)]
    pub fix: String,
}

/// Classes of errors; the number is the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// Anything else.
    Failed = 1,
    /// The request is malformed.
    Usage = 2,
    /// The daemon cannot be reached.
    Unreachable = 3,
    /// No such item, share, file or name.
    NotFound = 4,
    /// The caller may not do that, or the daemon may not read or write there.
    Permission = 5,
    /// It exists, or something stands against it.
    Conflict = 6,
    /// Took too long.
    TimedOut = 7,
    /// Waiting ended, the work goes on.
    StillRunning = 8,
    /// A gate said no.
    Refused = 9,
    /// Verification found bad data.
    BadData = 10,
    /// Disk full or I/O error.
    Disk = 11,
    /// Versions do not match.
    Incompatible = 12,
    /// The tracker refused, cannot be reached, or wants a login.
    Tracker = 13,
}

/// A path, which need not be UTF-8.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum PathText {
    /// The usual case.
    Text(String),
    /// Base64 of the bytes.
    Raw {
        /// Base64.
        bytes: String,
    },
}

/// `hello`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Hello {
    /// Lowest and highest version the client speaks.
    pub proto: [u32; 2],
    /// Program and version.
    pub client: String,
}

/// Answer to [`Hello`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Welcome {
    /// Version spoken from now on.
    pub proto: u32,
    /// Program and version.
    pub server: String,
    /// Differs after each start.
    pub instance: String,
    /// `user` or `system`.
    pub mode: String,
    /// What the caller may do: `use` or `admin`.
    pub role: String,
    /// Names of optional features.
    pub caps: Vec<String>,
    /// `None` when all is well, else the reason why only little works.
    #[serde(default)]
    pub unhealthy: Option<String>,
}

/// The daemon at a glance.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// Program and version.
    pub server: String,
    /// Process id.
    pub pid: u32,
    /// `user` or `system`.
    pub mode: String,
    /// Seconds since the start.
    pub uptime_s: u64,
    /// Port for peers.
    pub port: u16,
    /// Items in all.
    pub items: u32,
    /// Complete items being served.
    pub seeding: u32,
    /// Items being fetched.
    pub fetching: u32,
    /// Paused items.
    pub paused: u32,
    /// Items with an error.
    pub errors: u32,
    /// Connected peers.
    pub peers: u32,
    /// Bytes/s received, blocks only.
    pub down_rate: u64,
    /// Bytes/s sent, blocks only.
    pub up_rate: u64,
    /// Bytes received since the start.
    pub downloaded: u64,
    /// Bytes sent since the start.
    pub uploaded: u64,
    /// Shares.
    pub shares: Vec<Share>,
    /// Trackers.
    pub trackers: Vec<Tracker>,
    /// Where fetched items go.
    pub download_dir: PathText,
    /// Limits in force.
    pub limits: Limits,
    /// What needs attention, each a sentence.
    pub warnings: Vec<String>,
}

/// What one entry of a share becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Each {
    /// Each file or folder at the top is one item.
    #[default]
    Entry,
    /// Each file, however deep, is one item.
    File,
    /// The whole folder is one item.
    Whole,
}

/// `share.add`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ShareAdd {
    /// Absolute path of a folder, or of a file (one item, never watched for others).
    pub path: PathText,
    /// What becomes an item.
    #[serde(default)]
    pub each: Each,
    /// Share name in the catalogue; the folder's name by default.
    #[serde(default)]
    pub name: Option<String>,
    /// Join a share of the same name on another machine of the account.
    #[serde(default)]
    pub join: bool,
    /// Name of a tracker; the only or first one by default.
    #[serde(default)]
    pub tracker: Option<String>,
    /// Publish in the catalogue.
    #[serde(default = "yes")]
    pub publish: bool,
    /// Globs of what is left out.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// Who sees it in the catalogue.
    #[serde(default)]
    pub visibility: crate::api::Visibility,
    /// Bytes; automatic when absent.
    #[serde(default)]
    pub piece_len: Option<u32>,
    /// Share what is there now and do not watch.
    #[serde(default)]
    pub once: bool,
    /// Share even `/`, a home, `/etc`.
    #[serde(default)]
    pub force: bool,
}

fn yes() -> bool {
    true
}

/// A share, by path or name.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ShareRef {
    /// Path or name; absent means all, where that makes sense.
    #[serde(default)]
    pub share: Option<PathText>,
}

/// A share.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Share {
    /// Name in the catalogue.
    pub name: String,
    /// Where it is.
    pub path: PathText,
    /// What becomes an item.
    pub each: Each,
    /// `watching`, `polling`, `scanning`, `hashing`, `once`, `unavailable`, `error`.
    pub state: String,
    /// Why, for `unavailable`, `polling` and `error`.
    #[serde(default)]
    pub reason: Option<String>,
    /// Items in it that are seeded.
    pub items: u32,
    /// Bytes in those.
    pub size: u64,
    /// Items in the catalogue.
    pub published: u32,
    /// Files found but not settled or hashed yet.
    pub pending: u32,
    /// What was left out, as counts by reason (`hidden`, `excluded`, `not-utf8`, `empty`, `link`, `special`, `unreadable`).
    pub left_out: std::collections::BTreeMap<String, u32>,
    /// Tracker it is published to.
    #[serde(default)]
    pub tracker: Option<String>,
    /// Who sees it.
    pub visibility: crate::api::Visibility,
}

/// Progress of `share.wait`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ShareProgress {
    /// The share.
    pub share: Share,
    /// What is being hashed now.
    #[serde(default)]
    pub current: Option<String>,
    /// Bytes of that done.
    pub hashed: u64,
    /// Bytes of that in all.
    pub size: u64,
    /// Bytes/s.
    pub rate: u64,
}

/// `fetch.add`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FetchAdd {
    /// Info-hash or prefix, `owner/share/entry[@N]`, magnet link, or http(s) URL of a .torrent.
    #[serde(default)]
    pub target: Option<String>,
    /// A .torrent file's bytes, base64; instead of `target`.
    #[serde(default)]
    pub torrent: Option<String>,
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
}

/// Names one item: its info-hash, a unique prefix of 4 or more digits, or its unique name.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ItemRef {
    /// Hash, prefix or name.
    pub item: String,
}

/// Names several.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ItemsRef {
    /// Hashes, prefixes or names.
    #[serde(default)]
    pub items: Vec<String>,
    /// Every item.
    #[serde(default)]
    pub all: bool,
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
    /// Stopped by the user.
    Paused,
    /// Stopped by a fault; see [`Item::reason`] and [`Item::error_kind`].
    Error,
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
    /// Bytes verified.
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
    /// When it was added, RFC 3339.
    pub added: String,
    /// When it was completed.
    #[serde(default)]
    pub completed: Option<String>,
    /// BEP 27.
    pub private: bool,
}

/// `item.show`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ItemShow {
    /// Hash, prefix or name; also of a catalogue entry not fetched yet.
    pub item: String,
    /// Any of `files`, `peers`, `trackers`, `pieces`, `events`, `versions`.
    #[serde(default)]
    pub parts: Vec<String>,
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
    /// Files.
    #[serde(default)]
    pub files: Option<Vec<ItemFile>>,
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
    /// Requests we have outstanding.
    pub requests: u32,
    /// Request window.
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
    /// Where `holders` comes from: `tracker` or `peers`.
    pub source: String,
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
    /// Hashes, prefixes or names.
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
    /// The .torrent, base64, with the account's own announce URL: for the user's own stock clients, a secret.
    #[serde(default)]
    pub torrent: Option<String>,
}

/// `tracker.add`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TrackerAdd {
    /// What to call it.
    pub name: String,
    /// `http(s)://host:port`.
    pub url: String,
}

/// Names a tracker; absent is the only or first one.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct TrackerRef {
    /// Its name.
    #[serde(default)]
    pub tracker: Option<String>,
}

/// A tracker that the daemon knows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Tracker {
    /// What it is called here.
    pub name: String,
    /// Its URL.
    pub url: String,
    /// Account logged in, if any.
    #[serde(default)]
    pub username: Option<String>,
    /// This machine's name there.
    #[serde(default)]
    pub node: Option<String>,
    /// `ok`, `untried`, `unreachable`, `login needed`.
    pub state: String,
    /// Why.
    #[serde(default)]
    pub reason: Option<String>,
    /// Publishes and reports waiting for it.
    pub queued: u32,
}

/// `account.register` and `account.login`; the password crosses the control socket alone.
#[derive(Clone, Serialize, Deserialize)]
pub struct Credentials {
    /// Tracker name.
    #[serde(default)]
    pub tracker: Option<String>,
    /// Account name.
    pub username: String,
    /// Password.
    pub password: String,
    /// Invitation code, to register.
    #[serde(default)]
    pub invite: Option<String>,
}

/// `catalogue.publish`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PublishItem {
    /// An item.
    #[serde(default)]
    pub item: Option<String>,
    /// Or a .torrent, base64.
    #[serde(default)]
    pub torrent: Option<String>,
    /// Entry name.
    #[serde(default)]
    pub name: Option<String>,
    /// Tags.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Tracker name.
    #[serde(default)]
    pub tracker: Option<String>,
}

/// `catalogue.search`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Search {
    /// Words.
    #[serde(default)]
    pub text: Option<String>,
    /// Account.
    #[serde(default)]
    pub owner: Option<String>,
    /// `next` of the page before.
    #[serde(default)]
    pub after: Option<String>,
    /// Tracker name.
    #[serde(default)]
    pub tracker: Option<String>,
}

/// Rate limits in bytes/s; `None` in an answer is no limit, in a request no change; 0 in a request lifts the limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Receiving.
    #[serde(default)]
    pub down: Option<u64>,
    /// Sending.
    #[serde(default)]
    pub up: Option<u64>,
}

/// A key such as `limits.download`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ConfigKey {
    /// Dotted.
    pub key: String,
}

/// `config.set`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ConfigSet {
    /// Dotted.
    pub key: String,
    /// As it would stand in the file; a text may be bare.
    pub value: String,
}

/// A setting in force.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ConfigValue {
    /// Dotted.
    pub key: String,
    /// As TOML.
    pub value: String,
    /// `default`, `file` or `set`.
    pub origin: String,
    /// Takes effect at the next start.
    #[serde(default)]
    pub restart: bool,
}

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
}

/// Events that a slow reader lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// First lost.
    pub from: u64,
    /// Last lost.
    pub to: u64,
}

/// Parameters of a `progress` notification.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Progress<T> {
    /// Of the request.
    pub id: u64,
    /// See the table above.
    pub progress: T,
}

/// `cancel`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Cancel {
    /// Of the request to stop waiting for.
    pub id: u64,
}

/// Answer to `daemon.reload`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Reload {
    /// Keys that changed and took effect.
    pub applied: Vec<String>,
    /// Keys that changed and need a restart.
    pub needs_restart: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sockets(env: &[(&str, &str)]) -> Vec<String> {
        let find = |name: &str| {
            let found = env.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| OsString::from(value))
        };
        let paths = user_sockets(find, 1000);
        paths.iter().map(|p| p.display().to_string()).collect()
    }

    #[test]
    fn the_runtime_folder_decides_where_a_user_listens() {
        let env = [("XDG_RUNTIME_DIR", "/run/user/7"), ("HOME", "/home/ann")];
        assert_eq!(sockets(&env), ["/run/user/7/p2pd/control.sock"]);
    }

    #[test]
    fn without_a_runtime_folder_the_state_folder_is_the_fallback() {
        let run = "/run/user/1000/p2pd/control.sock";
        let home = ("HOME", "/home/ann");
        let state = ("XDG_STATE_HOME", "/s");
        let relative = ("XDG_RUNTIME_DIR", "run");
        assert_eq!(
            sockets(&[home, relative]),
            [run, "/home/ann/.local/state/p2p/control.sock"]
        );
        assert_eq!(sockets(&[home, state]), [run, "/s/p2p/control.sock"]);
        assert_eq!(sockets(&[]), [run]);
    }
}
