//! The copy in memory of which trackers there are and who is logged in where: what it holds, and the view of one user.

use std::collections::HashMap;
use std::fmt;

use p2p_wire::Fingerprint;
use p2p_wire::api::Mode;

/// A text that `Debug` does not show.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    pub(crate) fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself: for a request or the database, never for a log.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A tracker, as one user of this machine has it.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) name: String,
    /// Normalised: `http(s)://host:port[/prefix]`.
    pub(crate) url: String,
    /// User id of whose login this is.
    pub(crate) user: u32,
    /// Present while logged in.
    pub(crate) login: Option<Account>,
    /// The node id it gave this machine for that user; kept over logout, so that the machine stays the same node.
    pub(crate) node_id: Option<String>,
    /// What it said at the last login.
    pub(crate) mode: Option<Mode>,
    /// The certificate that the user trusts there, and no other.
    pub(crate) fingerprint: Option<Fingerprint>,
    /// Comes from the configuration file.
    pub(crate) configured: bool,
    /// As of the last call.
    pub(crate) health: Health,
    /// The one that is used where none is named.
    pub(crate) is_first: bool,
}

/// A login.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) username: String,
    pub(crate) token: Secret,
    pub(crate) node_name: String,
    /// Announce URL with the passkey.
    pub(crate) announce: Secret,
}

/// How the last call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    Untried,
    Ok,
    Unreachable(String),
    /// There was a login, and the tracker does not take it any more.
    LoginEnded,
}

/// What all users have in common of a tracker.
#[derive(Clone, Debug)]
pub(super) struct Tracker {
    pub(super) name: String,
    pub(super) url: String,
    pub(super) mode: Option<Mode>,
    pub(super) fingerprint: Option<Fingerprint>,
    pub(super) configured: bool,
    /// Never [`Health::LoginEnded`]: that is of a login.
    pub(super) health: Health,
}

/// What one user has of a tracker.
#[derive(Clone, Debug, Default)]
pub(super) struct Login {
    pub(super) account: Option<Account>,
    pub(super) node_id: Option<String>,
    /// The tracker takes it no more.
    pub(super) ended: bool,
}

/// The trackers and the logins at them.
#[derive(Default)]
pub(super) struct Book {
    /// Oldest first.
    pub(super) trackers: Vec<Tracker>,
    /// By tracker and user id.
    pub(super) logins: HashMap<(String, u32), Login>,
}

impl Book {
    /// The tracker at `index`, as `user` has it.
    pub(super) fn entry(&self, index: usize, user: u32) -> Option<Entry> {
        let tracker = self.trackers.get(index)?;
        let login = self.logins.get(&(tracker.name.clone(), user));
        let login = login.cloned().unwrap_or_default();
        Some(Entry {
            name: tracker.name.clone(),
            url: tracker.url.clone(),
            user,
            mode: tracker.mode,
            fingerprint: tracker.fingerprint,
            configured: tracker.configured,
            health: match login.ended && login.account.is_some() {
                true => Health::LoginEnded,
                false => tracker.health.clone(),
            },
            login: login.account,
            node_id: login.node_id,
            is_first: index == 0,
        })
    }

    /// Where the tracker called `name` is.
    pub(super) fn position(&self, name: &str) -> Option<usize> {
        self.trackers.iter().position(|one| one.name == name)
    }

    /// What `user` has of the tracker called `name`; an empty one is made.
    pub(super) fn login(&mut self, name: &str, user: u32) -> &mut Login {
        self.logins.entry((name.to_owned(), user)).or_default()
    }
}
