//! Trackers: announces, accounts and catalogue, the publish queue, piece points.
//!
//! | module | what it owns |
//! |---|---|
//! | `registry` | which trackers there are, and the login at each |
//! | `http`, `client` | the pool of connections; the tracker's API as typed calls |
//! | `download` | a .torrent from a URL that the user named |
//! | `queue` | what must still reach a catalogue, over restarts |
//! | `schedule`, `announcer` | when an item announces where (PURE); the task that does it |
//! | `points`, `reporter` | what each tracker knows of what is held (PURE); the task that reports it |
mod announcer;
mod backoff;
mod client;
mod download;
mod http;
mod points;
mod queue;
mod registry;
mod reporter;
mod schedule;
#[cfg(test)]
pub(crate) mod testing;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use p2p_wire::InfoHash;
use p2p_wire::api::{self, FileEntry, Mode, Node, Page, Publish};
use p2p_wire::control::{Credentials, ErrorKind, Search, Tracker};
use tokio::sync::{mpsc, watch};
use url::Url;

pub use self::announcer::Announcer;
use self::client::{Api, ApiError};
use self::http::Http;
use self::queue::Queue;
use self::registry::{Entry, Health, Registry, is_private, state_fault};
use crate::Fault;
use crate::engine::{Engine, Events};
use crate::net::LocalAddrs;
use crate::state::State;

/// Versions of a name that are looked up at most.
const MAX_VERSIONS: u32 = 100;

/// The trackers this daemon knows, with the login at each; a handle, cheap to clone.
#[derive(Clone)]
pub struct Trackers {
    inner: Arc<Inner>,
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
        let inner = Inner {
            registry: Registry::open(state.clone(), configured).await?,
            queue: Queue::new(state),
            events,
            http: Arc::new(Http::new(local)),
            logins: watch::Sender::new(0),
            engine: OnceLock::new(),
            outcomes: Mutex::new(None),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Adds one, after asking it for its name and mode if it answers.
    pub async fn add(&self, name: String, url: String) -> Result<Tracker, Fault> {
        let entry = self.inner.registry.add(name, &url).await?;
        let health = self.inner.api(&entry).health().await;
        self.inner.observe(&entry.name, &health);
        self.inner.logins.send_modify(|count| *count += 1);
        self.view(&entry.name).await
    }

    /// Forgets one.
    pub async fn remove(&self, name: Option<String>) -> Result<Tracker, Fault> {
        let entry = self.inner.registry.find(name.as_deref())?;
        let view = self.view(&entry.name).await?;
        self.inner.registry.remove(&entry.name).await?;
        let forgotten = self.inner.queue.forget(&entry.name).await;
        forgotten.map_err(|error| state_fault("cannot drop what waits for the tracker", &error))?;
        if entry.login.is_some() {
            // The session ends there too; a tracker that does not answer lets it expire.
            let api = self.inner.api(&entry);
            tokio::spawn(async move { api.logout().await.ok() });
        }
        self.inner.logins.send_modify(|count| *count += 1);
        Ok(view)
    }

    /// All.
    pub async fn list(&self) -> Vec<Tracker> {
        let counts = self.inner.queue.counts().await.unwrap_or_default();
        let all = self.inner.registry.all();
        let rows = all.iter().enumerate().map(|(index, entry)| {
            let unassigned = if index == 0 { counts.get("") } else { None };
            let own = counts.get(&entry.name);
            view(entry, own.into_iter().chain(unassigned).sum())
        });
        rows.collect()
    }

    /// Asks one now whether it is well and the login holds.
    pub async fn test(&self, name: Option<String>) -> Result<Tracker, Fault> {
        let entry = self.inner.registry.find(name.as_deref())?;
        if entry.login.is_some() {
            return self.whoami(Some(entry.name)).await;
        }
        let health = self.inner.api(&entry).health().await;
        self.inner.observe(&entry.name, &health);
        health.map_err(|error| error.fault("the test failed", &entry.name))?;
        self.view(&entry.name).await
    }

    /// Makes an account; does not log in.
    pub async fn register(&self, credentials: Credentials) -> Result<Tracker, Fault> {
        let entry = self.inner.registry.find(credentials.tracker.as_deref())?;
        let what = format!("cannot register {}", credentials.username);
        check_transport(&entry, &what).await?;
        let body = api::Register {
            username: credentials.username,
            password: credentials.password,
            invite: credentials.invite,
        };
        let made = self.inner.api(&entry).register(&body).await;
        self.inner.observe(&entry.name, &made);
        made.map_err(|error| error.fault(&what, &entry.name))?;
        self.view(&entry.name).await
    }

    /// Logs this machine in.
    pub async fn login(&self, credentials: Credentials) -> Result<Tracker, Fault> {
        let entry = self.inner.registry.find(credentials.tracker.as_deref())?;
        let what = format!("cannot log in as {}", credentials.username);
        check_transport(&entry, &what).await?;
        let body = api::Login {
            username: credentials.username,
            password: credentials.password,
            node_id: entry.node_id.clone(),
            node_name: host_name(),
        };
        let session = self.inner.api(&entry).login(&body).await;
        self.inner.observe(&entry.name, &session);
        let session = session.map_err(|error| error.fault(&what, &entry.name))?;
        self.inner.registry.set_login(&entry.name, session).await?;
        self.inner.queue.wake(&entry.name);
        self.inner.logins.send_modify(|count| *count += 1);
        self.view(&entry.name).await
    }

    /// Ends the session here and there. A tracker that does not answer is told so in the result's `reason`.
    pub async fn logout(&self, name: Option<String>) -> Result<Tracker, Fault> {
        let entry = self.logged_in(name.as_deref(), "cannot log out")?;
        let told = self.inner.api(&entry).logout().await;
        self.inner.registry.drop_login(&entry.name).await?;
        self.inner.logins.send_modify(|count| *count += 1);
        let mut view = self.view(&entry.name).await?;
        if let Err(error) = told
            && !error.wants_login()
        {
            self.inner.observe::<()>(&entry.name, &Err(error));
            view.reason = Some(
                "Logged out here; the tracker could not be told, there the session ends by itself."
                    .into(),
            );
        }
        Ok(view)
    }

    /// Who is logged in.
    pub async fn whoami(&self, name: Option<String>) -> Result<Tracker, Fault> {
        let what = "cannot tell who is logged in";
        let entry = self.logged_in(name.as_deref(), what)?;
        let me = self.inner.api(&entry).me().await;
        self.inner.observe(&entry.name, &me);
        let me = me.map_err(|error| error.fault(what, &entry.name))?;
        self.inner.learn(&entry, me).await?;
        self.view(&entry.name).await
    }

    /// The account's announce URL, passkey included; `None` without a login.
    pub async fn announce_url(&self, name: Option<&str>) -> Option<String> {
        let entry = self.inner.registry.find(name).ok()?;
        Some(entry.login?.announce.expose().to_owned())
    }

    /// Who may announce what, as the tracker said at the last login; `None` while that is not known.
    pub fn mode(&self, name: Option<&str>) -> Option<Mode> {
        self.inner.registry.find(name).ok()?.mode
    }

    /// What the tracker called `name` is called, or the first one for `None`. `Err` when there is none.
    pub fn name_of(&self, name: Option<&str>) -> Result<String, Fault> {
        self.inner.registry.find(name).map(|entry| entry.name)
    }

    /// Items with a publish or withdrawal in the queue.
    pub async fn queued_items(&self) -> Result<HashSet<InfoHash>, Fault> {
        let items = self.inner.queue.items().await;
        items.map_err(|error| state_fault("cannot read the publish queue", &error))
    }

    /// Changes whenever a login, logout or new announce URL changes what [`Trackers::announce_url`] says.
    pub fn logins(&self) -> watch::Receiver<u64> {
        self.inner.logins.subscribe()
    }

    /// Tells `listener` what becomes of everything in the publish queue. There is one listener; when its channel is full, the queue waits.
    pub fn listen(&self, listener: mpsc::Sender<Outcome>) {
        *self.inner.outcomes() = Some(listener);
    }

    /// Publishes now.
    pub async fn publish(&self, name: Option<&str>, request: Publish) -> Result<FileEntry, Fault> {
        let what = match &request.name {
            Some(name) => format!("cannot publish {name}"),
            None => "cannot publish".to_owned(),
        };
        let entry = self.logged_in(name, &what)?;
        let published = self.inner.api(&entry).publish(&request).await;
        let file = self.inner.checked(&entry, &what, published)?.file;
        self.inner.emit_published(&file);
        Ok(file)
    }

    /// Publishes as soon as there is a login and the tracker answers; kept over restarts. The outcome is an event (`published`, or
    /// `tracker.error` when the tracker refuses for good).
    pub async fn publish_later(
        &self,
        name: Option<&str>,
        item: InfoHash,
        request: Publish,
    ) -> Result<(), Fault> {
        let tracker = self.queue_name(name)?;
        let queued = self.inner.queue.publish(&tracker, item, &request).await;
        queued.map_err(|error| state_fault("cannot queue a publish", &error))
    }

    /// Takes the account's entry for `item` out of the catalogue, now or as soon as the tracker answers.
    pub async fn withdraw_later(&self, name: Option<&str>, item: InfoHash) -> Result<(), Fault> {
        let tracker = self.queue_name(name)?;
        let queued = self.inner.queue.withdraw(&tracker, item).await;
        queued.map_err(|error| state_fault("cannot queue a withdrawal", &error))
    }

    /// Takes it out now.
    pub async fn unpublish(&self, name: Option<&str>, item: InfoHash) -> Result<(), Fault> {
        let what = format!("cannot unpublish {item}");
        let entry = self.logged_in(name, &what)?;
        let gone = self.inner.api(&entry).unpublish(item).await;
        self.inner.checked(&entry, &what, gone)?;
        self.inner.emit_unpublished(item, &entry.name);
        Ok(())
    }

    /// The catalogue's entry of an info-hash (or prefix), or of `owner/share/entry[@N]`.
    pub async fn find(&self, name: Option<&str>, target: &str) -> Result<FileEntry, Fault> {
        let what = format!("cannot find {target}");
        let is_hash =
            (4..=40).contains(&target.len()) && target.chars().all(|c| c.is_ascii_hexdigit());
        if !is_hash && target.split('/').count() < 3 {
            return Err(Fault::new(
                ErrorKind::NotFound,
                what,
                "It is neither an info-hash, nor 4 or more digits of one, nor owner/share/entry.",
                "Look for its whole name:  p2pctl search",
            ));
        }
        let entry = self.logged_in(name, &what)?;
        let api = self.inner.api(&entry);
        let file = if is_hash {
            api.file(&target.to_ascii_lowercase()).await
        } else {
            api.named(target).await
        };
        self.inner.checked(&entry, &what, file)
    }

    /// All that is needed to start fetching.
    pub async fn fetch(&self, name: Option<&str>, item: InfoHash) -> Result<api::Fetch, Fault> {
        let what = format!("cannot fetch {item}");
        let entry = self.logged_in(name, &what)?;
        let fetch = self.inner.api(&entry).fetch(item).await;
        self.inner.checked(&entry, &what, fetch)
    }

    /// Versions of a name, the newest first.
    pub async fn versions(
        &self,
        name: Option<&str>,
        file: &FileEntry,
    ) -> Result<Vec<FileEntry>, Fault> {
        let path = format!("{}/{}/{}", file.owner, file.share, file.entry);
        let what = format!("cannot list the versions of {path}");
        let entry = self.logged_in(name, &what)?;
        let api = self.inner.api(&entry);
        let newest = self.inner.checked(&entry, &what, api.named(&path).await)?;
        let mut number = newest.version;
        let mut versions = vec![newest];
        while number > 1 && versions.len() < MAX_VERSIONS as usize {
            number -= 1;
            match api.named(&format!("{path}@{number}")).await {
                Ok(version) => versions.push(version),
                // Withdrawn: a gap in the numbers.
                Err(error) if error.problem() == Some(api::ProblemType::NotFound) => {}
                Err(error) => return self.inner.checked(&entry, &what, Err(error)),
            }
        }
        Ok(versions)
    }

    /// What the tracker knows of the pieces.
    pub async fn availability(
        &self,
        name: Option<&str>,
        item: InfoHash,
    ) -> Result<api::Availability, Fault> {
        let what = format!("cannot tell who holds {item}");
        let entry = self.logged_in(name, &what)?;
        let known = self.inner.api(&entry).availability(item).await;
        self.inner.checked(&entry, &what, known)
    }

    /// Searches the catalogue.
    pub async fn search(&self, search: Search) -> Result<Page<FileEntry>, Fault> {
        let what = "cannot search";
        let entry = self.logged_in(search.tracker.as_deref(), what)?;
        let mut query = Vec::new();
        query.extend(search.text.as_deref().map(|text| ("q", text)));
        query.extend(search.owner.as_deref().map(|owner| ("owner", owner)));
        query.extend(search.after.as_deref().map(|after| ("after", after)));
        let page = self.inner.api(&entry).files(&query).await;
        self.inner.checked(&entry, what, page)
    }

    /// Machines of the accounts.
    pub async fn nodes(&self, name: Option<&str>) -> Result<Vec<Node>, Fault> {
        let what = "cannot list the machines";
        let entry = self.logged_in(name, what)?;
        let nodes = self.inner.api(&entry).nodes().await;
        self.inner.checked(&entry, what, nodes)
    }

    /// Starts the task that works off the publish queue, and the one that reports piece points.
    pub fn start(&self, engine: Engine) {
        if self.inner.engine.set(engine.clone()).is_err() {
            return;
        }
        tokio::spawn(queue::work(self.inner.clone()));
        tokio::spawn(reporter::report(self.inner.clone(), engine));
    }

    /// Where a queued request goes: a known tracker, or `""` while there is none and none was named.
    fn queue_name(&self, name: Option<&str>) -> Result<String, Fault> {
        match self.inner.registry.find(name) {
            Ok(entry) => Ok(entry.name),
            Err(_) if name.is_none() => Ok(String::new()),
            Err(fault) => Err(fault),
        }
    }

    fn logged_in(&self, name: Option<&str>, what: &str) -> Result<Entry, Fault> {
        let entry = self.inner.registry.find(name)?;
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

    async fn view(&self, name: &str) -> Result<Tracker, Fault> {
        let all = self.list().await;
        let found = all.into_iter().find(|tracker| tracker.name == name);
        found.map_or_else(
            || self.inner.registry.find(Some(name)).map(|e| view(&e, 0)),
            Ok,
        )
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
    fn observe<T>(&self, name: &str, result: &Result<T, ApiError>) {
        let health = match result {
            Err(error) if error.wants_login() => Health::LoginEnded,
            Err(ApiError::Http(error)) => Health::Unreachable(error.to_string()),
            Err(ApiError::Malformed(why)) => Health::Unreachable(why.clone()),
            // It answers; what it refused is the caller's matter.
            Ok(_) | Err(ApiError::Problem(..)) => Health::Ok,
        };
        let well = health == Health::Ok;
        if self.registry.set_health(name, health) {
            match result {
                Err(error) if !well => {
                    let fault = error.fault("something waits", name);
                    let text = format!("tracker {name}: {} {}", fault.why, fault.fix);
                    self.events.emit("tracker.error", None, Some(name), text);
                }
                _ => self.queue.retry_now(name),
            }
        }
    }

    fn checked<T>(
        &self,
        entry: &Entry,
        what: &str,
        result: Result<T, ApiError>,
    ) -> Result<T, Fault> {
        self.observe(&entry.name, &result);
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
                .refresh(&entry.name, me.announce_url, me.tracker.mode)
                .await?;
            self.logins.send_modify(|count| *count += 1);
        }
        Ok(())
    }

    fn emit_published(&self, file: &FileEntry) {
        let text = format!(
            "published {}/{}/{}, version {}",
            file.owner, file.share, file.entry, file.version
        );
        self.events
            .emit("published", Some(file.info_hash), Some(&file.entry), text);
    }

    fn emit_unpublished(&self, item: InfoHash, tracker: &str) {
        let text = format!("withdrawn from the catalogue of {tracker}");
        self.events.emit("unpublished", Some(item), None, text);
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

fn view(entry: &Entry, queued: u32) -> Tracker {
    let (state, reason) = match (&entry.health, &entry.login) {
        (Health::Unreachable(why), _) => ("unreachable", Some(why.clone())),
        (_, None) => ("login needed", None),
        (Health::LoginEnded, _) => ("login needed", Some("the session ended".to_owned())),
        (Health::Untried, _) => ("untried", None),
        (Health::Ok, _) => ("ok", None),
    };
    Tracker {
        name: entry.name.clone(),
        url: entry.url.clone(),
        username: entry.login.as_ref().map(|login| login.username.clone()),
        node: entry.login.as_ref().map(|login| login.node_name.clone()),
        state: state.to_owned(),
        reason,
        queued,
    }
}

/// Refuses to send a password unencrypted over a network that others share.
async fn check_transport(entry: &Entry, what: &str) -> Result<(), Fault> {
    let url = Url::parse(&entry.url).expect("the registry keeps only URLs it parsed");
    if url.scheme() == "https" {
        return Ok(());
    }
    let what = format!("{what} at tracker {}", entry.name);
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or(80);
    let name = host.trim_matches(['[', ']']);
    let found = tokio::net::lookup_host((name, port)).await;
    let addrs: Vec<_> = found
        .map_err(|error| {
            Fault::new(
                ErrorKind::Tracker,
                what.clone(),
                format!("The tracker cannot be reached: {host}: {error}."),
                format!("Check its address:  p2pctl tracker test {}", entry.name),
            )
        })?
        .collect();
    match addrs.iter().find(|addr| !is_private(addr.ip())) {
        None => Ok(()),
        Some(public) => Err(Fault::new(
            ErrorKind::Tracker,
            what,
            format!(
                "The password would cross the network unencrypted: {} is http, and {} is no private address.",
                entry.url,
                public.ip()
            ),
            "Use the tracker's https URL, or reach it through a private network.",
        )),
    }
}

fn host_name() -> String {
    let name = nix::unistd::gethostname().ok();
    name.and_then(|name| name.into_string().ok())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "unnamed".to_owned())
}

#[cfg(test)]
mod tests;
