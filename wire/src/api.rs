//! The tracker's JSON API, version 1: bodies of requests and answers.
//!
//! | route | request | answer |
//! |---|---|---|
//! | `POST /v1/register` | [`Register`] | 201 [`Account`] |
//! | `POST /v1/login` | [`Login`] | [`Session`] |
//! | `POST /v1/logout`, `/v1/logout-all` | | 204 |
//! | `GET /v1/me` | | [`Me`] |
//! | `POST /v1/me/password` | [`ChangePassword`] | 204 |
//! | `POST /v1/me/passkey/rotate` | | [`Me`] |
//! | `POST /v1/files` | [`Publish`] | 201 or 200 [`Published`] |
//! | `GET /v1/files?q=&owner=&share=&sort=&after=&limit=` | | [`Page`] of [`FileEntry`] |
//! | `GET /v1/files/{infohash}` | | [`FileEntry`] |
//! | `PATCH /v1/files/{infohash}` | [`PatchFile`] | [`FileEntry`] |
//! | `DELETE /v1/files/{infohash}[?part=mine]` | | 204; `part=mine`: only what this machine publishes, 404 if that is nothing |
//! | `GET /v1/files/{infohash}/torrent` | | the .torrent with the caller's announce URL |
//! | `GET /v1/files/{infohash}/fetch` | | [`Fetch`] |
//! | `GET /v1/files/{infohash}/availability[?missing=1]` | | [`Availability`] |
//! | `GET /v1/files/{infohash}/log` | | [`Page`] of [`LogEvent`] |
//! | `GET /v1/names/{owner}/{share}/{entry}[@N]` | | [`FileEntry`] |
//! | `GET /v1/nodes` | | [`Page`] of [`Node`] |
//! | `POST /v1/points` | [`crate::points::Report`] | [`crate::points::Reply`] |
//! | `POST /v1/reachable` | [`PortTest`] | [`Reachable`] |
//! | `GET /healthz`, `/readyz` | | 200 |
//!
//! Requests but `register`, `login` and the health checks carry `Authorization: Bearer TOKEN`. Errors are [`Problem`] as
//! `application/problem+json`. Unknown fields are ignored, fields are only ever added. Times are RFC 3339 in UTC, hashes lower-case hex,
//! sizes bytes. A `{infohash}` may be a unique prefix of at least 4 digits.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::InfoHash;

/// `POST /v1/register`.
#[derive(Clone, Serialize, Deserialize)]
pub struct Register {
    /// 1 to 32 of `a-z 0-9 - _ .`, beginning with a letter or digit.
    pub username: String,
    /// At least 8 characters.
    pub password: String,
    /// Invitation code, where registration is by invitation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invite: Option<String>,
}

/// An account, as others may see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Its name.
    pub username: String,
    /// May administer the tracker.
    pub admin: bool,
    /// When it was made.
    pub created: String,
}

/// `POST /v1/login`.
#[derive(Clone, Serialize, Deserialize)]
pub struct Login {
    /// Account name.
    pub username: String,
    /// Its password.
    pub password: String,
    /// The node id this machine was given at an earlier login, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_id: Option<String>,
    /// What to call this machine: its host name. A name another node of the account has gets a number.
    pub node_name: String,
}

/// A session. Secrets in it are shown once.
#[derive(Clone, Serialize, Deserialize)]
pub struct Session {
    /// Bearer token: 43 characters of base64url.
    pub token: String,
    /// Who logged in.
    pub account: Account,
    /// This machine's node id: 32 hex digits.
    pub node_id: String,
    /// This machine's name.
    pub node_name: String,
    /// The account's announce URL, passkey included.
    pub announce_url: String,
    /// Name and mode of the tracker.
    pub tracker: TrackerInfo,
}

/// `POST /v1/reachable`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PortTest {
    /// Port of the caller that the tracker tries to connect to.
    pub port: u16,
}

/// Whether others can connect to the caller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reachable {
    /// The address that was tried: the caller's, as the tracker sees it, and the port.
    pub address: String,
    /// Whether a connection came about.
    pub reachable: bool,
    /// Why not.
    #[serde(default)]
    pub why: Option<String>,
    /// The tracker's time.
    pub time: String,
}

/// What a tracker says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackerInfo {
    /// Its configured name.
    pub name: String,
    /// `open`, `registered` or `listed`.
    pub mode: Mode,
    /// Program and version.
    pub server: String,
}

/// Who may announce what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Anyone, any hash.
    Open,
    /// A passkey, any hash.
    Registered,
    /// A passkey and a published hash.
    Listed,
}

impl Mode {
    /// As it stands in [`TrackerInfo`].
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Registered => "registered",
            Self::Listed => "listed",
        }
    }
}

/// `GET /v1/me`.
#[derive(Clone, Serialize, Deserialize)]
pub struct Me {
    /// Who the token belongs to.
    pub account: Account,
    /// Node id of the session.
    pub node_id: String,
    /// Node name of the session.
    pub node_name: String,
    /// The account's announce URL, passkey included.
    pub announce_url: String,
    /// Name and mode of the tracker.
    pub tracker: TrackerInfo,
}

/// `POST /v1/me/password`. Ends every other session of the account.
#[derive(Clone, Serialize, Deserialize)]
pub struct ChangePassword {
    /// Present password.
    pub old: String,
    /// At least 8 characters.
    pub new: String,
}

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

/// One page of a list.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Give this as `after` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
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

/// A line of a log: of a file, an account, or the tracker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEvent {
    /// Grows by one with every event.
    pub seq: u64,
    /// When.
    pub time: String,
    /// `published`, `unpublished`, `joined`, `completed`, `left`, `points`, `registered`, `login`, `logout`, ...
    pub event: String,
    /// Account, if one is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Node name, if one is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// File, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub info_hash: Option<InfoHash>,
    /// `owner/share/entry` of that file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The sentence, such as `ann/nas1 reports pieces 27-31 of big.iso, now held by 2`.
    pub text: String,
}

/// A machine of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Account.
    pub account: String,
    /// Name of the machine.
    pub node: String,
    /// Reported within the last two minutes, or announces.
    pub online: bool,
    /// When it was last heard of.
    pub last_seen: String,
    /// Items it seeds.
    pub seeding: u32,
    /// Items it is fetching.
    pub fetching: u32,
}

/// An error of the API (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Stable name, see [`ProblemType`].
    pub r#type: String,
    /// HTTP status.
    pub status: u16,
    /// A sentence: what and why.
    pub title: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

macro_rules! problem_types {
    ($($(#[$doc:meta])* $name:ident = $text:literal $status:literal,)*) => {
        /// The stable names of errors, each with its HTTP status.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum ProblemType { $($(#[$doc])* $name,)* }
        impl ProblemType {
            /// As it stands in [`Problem::type`](Problem).
            pub fn as_str(self) -> &'static str { match self { $(Self::$name => $text,)* } }
            /// HTTP status.
            pub fn status(self) -> u16 { match self { $(Self::$name => $status,)* } }
            /// Finds a name.
            pub fn from_name(name: &str) -> Option<Self> { match name { $($text => Some(Self::$name),)* _ => None } }
        }
    };
}

problem_types! {
    /// The request cannot be read.
    BadRequest = "bad-request" 400,
    /// User name or password is wrong.
    BadCredentials = "bad-credentials" 401,
    /// No session, or one that ended.
    LoginRequired = "login-required" 401,
    /// This account may not do that.
    Forbidden = "forbidden" 403,
    /// Registration is closed, or wants an invitation.
    RegistrationClosed = "registration-closed" 403,
    /// An invitation that does not exist or was used.
    BadInvite = "bad-invite" 403,
    /// No such file, name, account or route.
    NotFound = "not-found" 404,
    /// More than one file begins with that prefix.
    Ambiguous = "ambiguous" 409,
    /// The user name is taken.
    NameTaken = "name-taken" 409,
    /// Another machine of the account has a share of that name.
    ShareTaken = "share-taken" 409,
    /// The body is too large.
    TooLarge = "too-large" 413,
    /// The body has another content type.
    WrongType = "wrong-type" 415,
    /// A field has a value that is not allowed.
    Invalid = "invalid" 422,
    /// The metainfo is no torrent that can be published.
    BadMetainfo = "bad-metainfo" 422,
    /// Too many requests; `Retry-After` says how long to wait.
    SlowDown = "slow-down" 429,
    /// The tracker's fault.
    Internal = "internal" 500,
    /// The disk is full or failed, or the tracker stops.
    Unavailable = "unavailable" 503,
}
