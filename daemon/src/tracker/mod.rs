//! Trackers: announces, accounts and catalogue, the publish queue, piece points.
//!
//! | module | what it owns |
//! |---|---|
//! | `registry`, `book`, `rows`, `address` | which trackers there are, and the logins at each; in memory; their tables; what a URL may be |
//! | `http`, `client` | the pool of connections; the tracker's API as typed calls |
//! | `trust`, `certificates` | whose certificates are taken; what users ask and say about them |
//! | `accounts`, `catalogue`, `reachable`, `download` | what commands ask of a tracker; a .torrent from a URL that the user named |
//! | `queue`, `sending`, `backoff` | what must still reach a catalogue, over restarts; working it off; how long to leave a tracker alone |
//! | `schedule`, `announce`, `udp`, `hosts`, `announcer` | when an item announces where (PURE); one announce, by HTTP or UDP; hosts that cannot be reached; the task for all |
//! | `holdings`, `points`, `reporter` | what is held, and what each tracker was told of it (PURE); the task that tells |
mod accounts;
mod address;
mod announce;
mod announcer;
mod backoff;
mod book;
mod catalogue;
mod certificates;
mod client;
mod counts;
mod download;
mod holdings;
mod hosts;
mod http;
mod points;
mod queue;
mod reachable;
mod registry;
mod reporter;
mod rows;
mod schedule;
mod sending;
#[cfg(test)]
pub(crate) mod testing;
mod trust;
mod udp;

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use p2p_wire::InfoHash;
use p2p_wire::api::{self, FileEntry, Mode};
use p2p_wire::control::ErrorKind;
use tokio::sync::{mpsc, watch};

pub use self::announcer::{Announcer, Trusts};
use self::client::{Api, ApiError};
use self::http::Http;
use self::queue::Queue;
use self::registry::{Entry, Health, Registry, state_fault};
use crate::Fault;
use crate::engine::{Engine, Events};
use crate::net::LocalAddrs;
use crate::state::State;

/// The trackers this daemon knows, with the login at each; a handle, cheap to clone.
///
/// On the system's daemon each user has logins of their own: [`Trackers::of`] gives the handle that uses them.
#[derive(Clone)]
pub struct Trackers {
    inner: Arc<Inner>,
    /// User id of whose logins are used.
    user: u32,
}

struct Inner {
    registry: Registry,
    queue: Queue,
    events: Events,
    http: Arc<Http>,
    /// Counts logins, logouts and changed announce URLs.
    logins: watch::Sender<u64>,
    engine: OnceLock<Engine>,
    outcomes: Mutex<Option<mpsc::Sender<Outcome>>>,
}

/// What became of a publish or withdrawal from the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Which item.
    pub item: InfoHash,
    /// User id of whose login was used.
    pub owner: u32,
    /// Share it was published under; `None` for a withdrawal.
    pub share: Option<String>,
    /// Name it was published under; `None` for a withdrawal.
    pub entry: Option<String>,
    /// What the tracker said.
    pub kind: OutcomeKind,
}

/// See [`Outcome`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutcomeKind {
    /// It is in the catalogue.
    Published,
    /// It was taken out.
    Unpublished,
    /// Refused for good, with the reason.
    Refused(String),
}

impl Trackers {
    /// Reads the registry; `configured` (name, URL) are those of the configuration file. Requests go out from `local`.
    pub async fn open(
        state: State,
        events: Events,
        configured: Vec<(String, String)>,
        local: LocalAddrs,
    ) -> Result<Self, Fault> {
        let registry = Registry::open(state.clone(), configured).await?;
        let queue = Queue::open(state).await;
        let inner = Inner {
            registry,
            queue: queue
                .map_err(|error| state_fault("cannot read what waits for trackers", &error))?,
            events,
            http: Arc::new(Http::new(local)),
            logins: watch::Sender::new(0),
            engine: OnceLock::new(),
            outcomes: Mutex::new(None),
        };
        inner.follow_pins();
        Ok(Self {
            inner: Arc::new(inner),
            user: nix::unistd::geteuid().as_raw(),
        })
    }

    /// The connections to trackers, which announces use too.
    pub(crate) fn http(&self) -> Arc<Http> {
        self.inner.http.clone()
    }

    /// The handle that uses the logins of `user`; without this they are those of the user p2pd runs as.
    #[must_use]
    pub fn of(&self, user: u32) -> Self {
        let inner = self.inner.clone();
        Self { inner, user }
    }

    /// Makes the trackers of the configuration file those in `configured` (name, URL).
    pub async fn follow_file(&self, configured: Vec<(String, String)>) -> Result<(), Fault> {
        self.inner.registry.follow(configured).await?;
        self.inner.follow_pins();
        self.inner.logins.send_modify(|count| *count += 1);
        Ok(())
    }

    fn entry(&self, name: Option<&str>) -> Result<Entry, Fault> {
        self.inner.registry.find(name, self.user)
    }

    /// The account's announce URL, passkey included; `None` without a login.
    pub async fn announce_url(&self, name: Option<&str>) -> Option<String> {
        let entry = self.entry(name).ok()?;
        Some(entry.login?.announce.expose().to_owned())
    }

    /// Whether `url` is at the host and port of a tracker that the user has added, or of the announce URL that one gave us.
    pub fn is_at_one(&self, url: &str) -> bool {
        self.inner.registry.is_at_one(url)
    }

    /// Who may announce what, as the tracker said at the last login; `None` while that is not known.
    pub fn mode(&self, name: Option<&str>) -> Option<Mode> {
        self.entry(name).ok()?.mode
    }

    /// What the tracker called `name` is called, or the first one for `None`. `Err` when there is none.
    pub fn name_of(&self, name: Option<&str>) -> Result<String, Fault> {
        self.entry(name).map(|entry| entry.name)
    }

    /// Changes whenever a login, logout or new announce URL changes what [`Trackers::announce_url`] says.
    pub fn logins(&self) -> watch::Receiver<u64> {
        self.inner.logins.subscribe()
    }

    /// Tells `listener` what becomes of everything in the publish queue. There is one listener; when its channel is full, the queue waits.
    pub fn listen(&self, listener: mpsc::Sender<Outcome>) {
        *self.inner.outcomes() = Some(listener);
    }

    /// Starts the task that works off the publish queue, and the one that reports piece points.
    pub fn start(&self, engine: Engine) {
        if self.inner.engine.set(engine.clone()).is_err() {
            return;
        }
        tokio::spawn(sending::work(self.inner.clone()));
        tokio::spawn(reporter::report(self.inner.clone(), engine));
    }

    fn logged_in(&self, name: Option<&str>, what: &str) -> Result<Entry, Fault> {
        let entry = self.entry(name)?;
        if entry.login.is_none() {
            return Err(Fault::new(
                ErrorKind::Tracker,
                format!("{what} at tracker {}", entry.name),
                "This machine is not logged in there.",
                format!("Log in:  p2pctl login {}", entry.name),
            ));
        }
        Ok(entry)
    }
}

impl Inner {
    fn api(&self, entry: &Entry) -> Api {
        Api {
            http: self.http.clone(),
            base: entry.url.clone(),
            token: entry.login.as_ref().map(|login| login.token.clone()),
        }
    }

    /// Remembers how a call went, and says so when that is news.
    fn observe<T>(&self, entry: &Entry, result: &Result<T, ApiError>) {
        let (name, user) = (entry.name.as_str(), entry.user);
        let health = match result {
            Err(error) if error.wants_login() => Health::LoginEnded,
            Err(ApiError::Http(error)) => Health::Unreachable(error.to_string()),
            Err(ApiError::Malformed(why)) => Health::Unreachable(why.clone()),
            // It answers; what it refused is the caller's matter.
            Ok(_) | Err(ApiError::Problem(..)) => Health::Ok,
        };
        let well = health == Health::Ok;
        if let Some(before) = self.registry.set_health(name, user, health) {
            match result {
                Err(error) if !well => {
                    let fault = error.fault("something waits", name);
                    let text = format!("tracker {name}: {} {}", fault.why, fault.fix);
                    self.events
                        .emit_to(user, "tracker.error", None, Some(name), text);
                }
                _ => {
                    if before != Health::Untried {
                        let text = format!("tracker {name} answers again");
                        (self.events).emit_to(user, "tracker.recovered", None, Some(name), text);
                    }
                    self.queue.retry_now(name);
                }
            }
        }
    }

    fn checked<T>(
        &self,
        entry: &Entry,
        what: &str,
        result: Result<T, ApiError>,
    ) -> Result<T, Fault> {
        self.observe(entry, &result);
        result.map_err(|error| error.fault(what, &entry.name))
    }

    /// Keeps what the tracker says of us where it is news.
    async fn learn(&self, entry: &Entry, me: api::Me) -> Result<(), Fault> {
        let same = entry.mode == Some(me.tracker.mode)
            && entry
                .login
                .as_ref()
                .is_some_and(|login| login.announce.expose() == me.announce_url);
        if !same {
            self.registry
                .refresh(&entry.name, entry.user, me.announce_url, me.tracker.mode)
                .await?;
            self.follow_pins();
            self.logins.send_modify(|count| *count += 1);
        }
        Ok(())
    }

    fn emit_published(&self, user: u32, file: &FileEntry) {
        let text = format!(
            "published {}/{}/{}, version {}",
            file.owner, file.share, file.entry, file.version
        );
        let (item, name) = (Some(file.info_hash), Some(file.entry.as_str()));
        self.events.emit_to(user, "published", item, name, text);
    }

    fn emit_unpublished(&self, item: InfoHash, from: &Entry) {
        let text = format!("withdrawn from the catalogue of {}", from.name);
        self.events
            .emit_to(from.user, "unpublished", Some(item), None, text);
    }

    async fn report(&self, outcome: Outcome) {
        let listener = self.outcomes().clone();
        if let Some(listener) = listener {
            // A listener that ended wants nothing.
            let _ = listener.send(outcome).await;
        }
    }

    fn outcomes(&self) -> std::sync::MutexGuard<'_, Option<mpsc::Sender<Outcome>>> {
        self.outcomes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
