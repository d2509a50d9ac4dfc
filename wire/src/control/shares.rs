//! Watched folders.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::PathText;

/// `share.add`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    /// Items that the tracker refuses to publish; the reason of one is in `reason`.
    #[serde(default)]
    pub refused: u32,
    /// Files found but not settled or hashed yet.
    pub pending: u32,
    /// What was left out, as counts by reason (`hidden`, `excluded`, `not-utf8`, `empty`, `link`, `special`, `unreadable`).
    pub left_out: BTreeMap<String, u32>,
    /// Tracker it is published to.
    #[serde(default)]
    pub tracker: Option<String>,
    /// Who sees it.
    pub visibility: crate::api::Visibility,
    /// User id of whom it belongs to.
    #[serde(default)]
    pub owner_uid: u32,
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

fn yes() -> bool {
    true
}
