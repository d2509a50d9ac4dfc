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

mod accounts;
mod catalogue;
mod machines;
mod pieces;
mod problem;

use serde::{Deserialize, Serialize};

use crate::InfoHash;

pub use accounts::{Account, ChangePassword, Login, Me, Mode, Register, Session, TrackerInfo};
pub use catalogue::{
    DEFAULT_SHARE, Fetch, FetchPeer, FileEntry, PatchFile, Publish, Published, Visibility,
};
pub use machines::{Node, PortTest, Reachable};
pub use pieces::{Availability, AvailabilitySummary, MissingRange};
pub use problem::{Problem, ProblemType};

/// One page of a list.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Give this as `after` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
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
