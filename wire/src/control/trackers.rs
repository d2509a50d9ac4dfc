//! Trackers, the accounts on them and their catalogue.

use serde::{Deserialize, Serialize};

use crate::Fingerprint;

/// `tracker.add`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TrackerAdd {
    /// What to call it.
    pub name: String,
    /// `http(s)://host:port`.
    pub url: String,
    /// The certificate that it must show; absent: one that an authority of the daemon's machine vouches for.
    #[serde(default)]
    pub fingerprint: Option<Fingerprint>,
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
    /// The certificate that it must show, where the user said to trust that one.
    #[serde(default)]
    pub fingerprint: Option<Fingerprint>,
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
    /// Or the .torrent that was sent by `torrent.part`.
    #[serde(default)]
    pub torrent: bool,
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
