//! Trackers: announces, accounts and catalogue, the publish queue, piece points.

use std::net::SocketAddr;

use p2p_wire::InfoHash;
use p2p_wire::api::{FileEntry, Node, Page, Publish};
use p2p_wire::control::{Credentials, ItemTracker, Search, Tracker};
use tokio::sync::mpsc;

use crate::Fault;
use crate::engine::{AnnounceCommand, Engine, Events};
use crate::state::State;

/// The trackers this daemon knows, with the login at each; a handle, cheap to clone.
#[derive(Clone)]
pub struct Trackers {}

impl Trackers {
    /// Reads the registry; `configured` (name, URL) are those of the configuration file.
    pub async fn open(
        _state: State,
        _events: Events,
        _configured: Vec<(String, String)>,
    ) -> Result<Self, Fault> {
        todo!()
    }
    /// Adds one, after asking it for its name and mode if it answers.
    pub async fn add(&self, _name: String, _url: String) -> Result<Tracker, Fault> {
        todo!()
    }
    /// Forgets one.
    pub async fn remove(&self, _name: Option<String>) -> Result<Tracker, Fault> {
        todo!()
    }
    /// All.
    pub async fn list(&self) -> Vec<Tracker> {
        todo!()
    }
    /// Asks one now whether it is well and the login holds.
    pub async fn test(&self, _name: Option<String>) -> Result<Tracker, Fault> {
        todo!()
    }
    /// Makes an account; does not log in.
    pub async fn register(&self, _credentials: Credentials) -> Result<Tracker, Fault> {
        todo!()
    }
    /// Logs this machine in.
    pub async fn login(&self, _credentials: Credentials) -> Result<Tracker, Fault> {
        todo!()
    }
    /// Ends the session here and there.
    pub async fn logout(&self, _name: Option<String>) -> Result<Tracker, Fault> {
        todo!()
    }
    /// Who is logged in.
    pub async fn whoami(&self, _name: Option<String>) -> Result<Tracker, Fault> {
        todo!()
    }
    /// The account's announce URL, passkey included; `None` without a login.
    pub async fn announce_url(&self, _name: Option<&str>) -> Option<String> {
        todo!()
    }
    /// Publishes now.
    pub async fn publish(
        &self,
        _name: Option<&str>,
        _request: Publish,
    ) -> Result<FileEntry, Fault> {
        todo!()
    }
    /// Publishes as soon as there is a login and the tracker answers; kept over restarts. The outcome is an event (`published`, or
    /// `tracker.error` when the tracker refuses for good).
    pub async fn publish_later(
        &self,
        _name: Option<&str>,
        _item: InfoHash,
        _request: Publish,
    ) -> Result<(), Fault> {
        todo!()
    }
    /// Takes the account's entry for `item` out of the catalogue, now or as soon as the tracker answers.
    pub async fn withdraw_later(&self, _name: Option<&str>, _item: InfoHash) -> Result<(), Fault> {
        todo!()
    }
    /// Takes it out now.
    pub async fn unpublish(&self, _name: Option<&str>, _item: InfoHash) -> Result<(), Fault> {
        todo!()
    }
    /// The catalogue's entry of an info-hash (or prefix), or of `owner/share/entry[@N]`.
    pub async fn find(&self, _name: Option<&str>, _target: &str) -> Result<FileEntry, Fault> {
        todo!()
    }
    /// All that is needed to start fetching.
    pub async fn fetch(
        &self,
        _name: Option<&str>,
        _item: InfoHash,
    ) -> Result<p2p_wire::api::Fetch, Fault> {
        todo!()
    }
    /// Versions of a name, the newest first.
    pub async fn versions(
        &self,
        _name: Option<&str>,
        _file: &FileEntry,
    ) -> Result<Vec<FileEntry>, Fault> {
        todo!()
    }
    /// What the tracker knows of the pieces.
    pub async fn availability(
        &self,
        _name: Option<&str>,
        _item: InfoHash,
    ) -> Result<p2p_wire::api::Availability, Fault> {
        todo!()
    }
    /// Searches the catalogue.
    pub async fn search(&self, _search: Search) -> Result<Page<FileEntry>, Fault> {
        todo!()
    }
    /// Machines of the accounts.
    pub async fn nodes(&self, _name: Option<&str>) -> Result<Vec<Node>, Fault> {
        todo!()
    }
    /// Starts the task that works off the publish queue, and the one that reports piece points.
    pub fn start(&self, _engine: Engine) {
        todo!()
    }
}

/// Announces for all items: one heap of deadlines, a bounded number of requests at once.
#[derive(Clone)]
pub struct Announcer {}

impl Announcer {
    /// Starts its task. `commands` come from the engine, peers found go to `peers` (when full, the announcer waits). `peer_id` and `port`
    /// are told by [`Announcer::set_identity`] once the engine listens; nothing is announced before.
    pub fn start(
        _commands: mpsc::Receiver<AnnounceCommand>,
        _peers: mpsc::Sender<(InfoHash, Vec<SocketAddr>)>,
    ) -> Self {
        todo!()
    }
    /// Who we are, and whom to tell of errors.
    pub fn set_identity(&self, _engine: Engine) {
        todo!()
    }
    /// Announce URLs of an item with their state; passkeys masked.
    pub async fn rows(&self, _item: InfoHash) -> Vec<ItemTracker> {
        todo!()
    }
    /// Sends what is due as `stopped`, for at most 2 s, and ends.
    pub async fn stop(&self) {
        todo!()
    }
}
