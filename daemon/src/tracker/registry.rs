//! The trackers that this daemon knows, and the login of each user at each.
//!
//! The state database is the truth; a copy in memory answers reads. Rows that come from the configuration file follow that file: one that
//! is gone from it is forgotten, one whose URL changed loses its login. A row made by command wins over the file. Secrets lie in the
//! database (its folder is 0700) and in [`Secret`], which never shows them.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use p2p_wire::Fingerprint;
use p2p_wire::api::{Mode, Session};
use p2p_wire::control::ErrorKind;
use rusqlite::{OptionalExtension, params};

use super::address::{check_name, normalise};
use super::book::{Account, Book, Login, Tracker};
pub(crate) use super::book::{Entry, Health, Secret};
use super::rows::{follow_file, insert, read_login, read_tracker, set_mode};
use super::trust::place;
use crate::Fault;
use crate::state::{State, StateError};

/// The trackers, and the logins of all users.
pub(crate) struct Registry {
    state: State,
    book: Mutex<Book>,
}

impl Registry {
    /// Reads the tables and brings the rows of the configuration file up to date.
    pub(crate) async fn open(
        state: State,
        configured: Vec<(String, String)>,
    ) -> Result<Self, Fault> {
        let registry = Self {
            state,
            book: Mutex::default(),
        };
        registry.follow(configured).await?;
        Ok(registry)
    }

    /// Makes the trackers of the configuration file those in `configured` (name, URL).
    pub(crate) async fn follow(&self, configured: Vec<(String, String)>) -> Result<(), Fault> {
        let mut rows = Vec::with_capacity(configured.len());
        for (name, url) in configured {
            check_name(&name)?;
            rows.push((name, normalise(&url)?));
        }
        let read = self.state.call(move |db| {
            follow_file(db, &rows)?;
            let mut query = db.prepare("SELECT * FROM trackers ORDER BY added, name")?;
            let trackers = query.query_map([], read_tracker)?;
            let trackers = trackers.collect::<Result<Vec<_>, _>>()?;
            let mut query = db.prepare("SELECT * FROM logins")?;
            let logins = query.query_map([], read_login)?;
            let logins = logins.collect::<Result<HashMap<_, _>, _>>()?;
            Ok(Book { trackers, logins })
        });
        let mut read = read
            .await
            .map_err(|error| state_fault("cannot read the trackers", &error))?;
        let mut book = self.lock();
        for tracker in &mut read.trackers {
            let before = book.trackers.iter().find(|one| one.url == tracker.url);
            if let Some(before) = before {
                tracker.health.clone_from(&before.health);
            }
        }
        for (key, login) in &mut read.logins {
            login.ended = book.logins.get(key).is_some_and(|before| before.ended);
        }
        *book = read;
        Ok(())
    }

    /// All, as `user` has them.
    pub(crate) fn all(&self, user: u32) -> Vec<Entry> {
        let book = self.lock();
        let entries = (0..book.trackers.len()).filter_map(|index| book.entry(index, user));
        entries.collect()
    }

    /// One for each login of any user.
    pub(crate) fn sessions(&self) -> Vec<Entry> {
        let book = self.lock();
        let keys = book.logins.keys();
        let entries = keys.filter_map(|(name, user)| book.entry(book.position(name)?, *user));
        entries.filter(|entry| entry.login.is_some()).collect()
    }

    /// The tracker called `name`, as `user` has it; without a name the first.
    pub(crate) fn find(&self, name: Option<&str>, user: u32) -> Result<Entry, Fault> {
        let book = self.lock();
        match name {
            Some(name) => {
                let index = book.position(name);
                let entry = index.and_then(|index| book.entry(index, user));
                entry.ok_or_else(|| unknown(name))
            }
            None => book.entry(0, user).ok_or_else(|| {
                Fault::new(
                    ErrorKind::Tracker,
                    "no tracker is known",
                    "This needs a tracker, and none was added.",
                    "Add one:  p2pctl tracker add home http://HOST:6969",
                )
            }),
        }
    }

    /// Whether `url` has the host and port of a tracker, or of the announce URL of a login there.
    pub(crate) fn is_at_one(&self, url: &str) -> bool {
        let Some(asked) = place(url) else {
            return false;
        };
        let book = self.lock();
        let urls = book.trackers.iter().map(|tracker| tracker.url.as_str());
        let accounts = book
            .logins
            .values()
            .filter_map(|login| login.account.as_ref());
        let mut known = urls.chain(accounts.map(|account| account.announce.expose()));
        known.any(|url| place(url).as_ref() == Some(&asked))
    }

    /// Adds a tracker by command.
    pub(crate) async fn add(
        &self,
        name: String,
        url: &str,
        fingerprint: Option<Fingerprint>,
    ) -> Result<(), Fault> {
        check_name(&name)?;
        let url = normalise(url)?;
        let what = format!("cannot add tracker {name}");
        let tracker = Tracker {
            name: name.clone(),
            url: url.clone(),
            mode: None,
            fingerprint,
            configured: false,
            health: Health::Untried,
        };
        let taken = self
            .state
            .call(move |db| {
                let taken: Option<(String, String)> = db
                    .query_row(
                        "SELECT name, url FROM trackers WHERE name = ?1 OR url = ?2",
                        params![name, url],
                        |row| Ok((row.get(0)?, row.get(1)?)),
                    )
                    .optional()?;
                if taken.is_none() {
                    insert(db, &name, &url, false, fingerprint)?;
                }
                Ok(taken)
            })
            .await
            .map_err(|error| state_fault(&what, &error))?;
        if let Some((name, url)) = taken {
            return Err(Fault::new(
                ErrorKind::Conflict,
                what,
                format!("Tracker {name} is {url} already."),
                format!("Use it, or remove it first:  p2pctl tracker rm {name}"),
            ));
        }
        self.lock().trackers.push(tracker);
        Ok(())
    }

    /// Forgets a tracker and every login there.
    pub(crate) async fn remove(&self, entry: &Entry) -> Result<(), Fault> {
        let name = entry.name.clone();
        let what = format!("cannot remove tracker {name}");
        if entry.configured {
            return Err(Fault::new(
                ErrorKind::Conflict,
                what,
                "It is in the configuration file, which only you change.",
                format!(
                    "Remove [trackers.{name}] there (p2pctl config path), then p2pctl daemon reload."
                ),
            ));
        }
        let key = name.clone();
        self.state
            .call(move |db| db.execute("DELETE FROM trackers WHERE name = ?1", [key]))
            .await
            .map_err(|error| state_fault(&what, &error))?;
        let mut book = self.lock();
        book.trackers.retain(|tracker| tracker.name != name);
        book.logins.retain(|(tracker, _), _| *tracker != name);
        Ok(())
    }

    /// Keeps the session of `user`.
    pub(crate) async fn set_login(
        &self,
        name: &str,
        user: u32,
        session: Session,
    ) -> Result<(), Fault> {
        let account = Account {
            username: session.account.username,
            token: Secret::new(session.token),
            node_name: session.node_name,
            announce: Secret::new(session.announce_url),
        };
        let (row, key, node_id) = (account.clone(), name.to_owned(), session.node_id);
        let kept_id = node_id.clone();
        let mode = session.tracker.mode;
        self.state
            .call(move |db| {
                db.execute(
                    "INSERT OR REPLACE INTO logins
                     (tracker, owner, username, token, node_id, node_name, announce)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                    params![
                        key,
                        user,
                        row.username,
                        row.token.expose(),
                        node_id,
                        row.node_name,
                        row.announce.expose(),
                    ],
                )?;
                set_mode(db, &key, mode)
            })
            .await
            .map_err(|error| state_fault("cannot keep the login", &error))?;
        let mut book = self.lock();
        *book.login(name, user) = Login {
            account: Some(account),
            node_id: Some(kept_id),
            ended: false,
        };
        for tracker in book.trackers.iter_mut().filter(|one| one.name == name) {
            tracker.mode = Some(mode);
            tracker.health = Health::Ok;
        }
        Ok(())
    }

    /// Keeps a new announce URL and mode, as the tracker told them to `user`.
    pub(crate) async fn refresh(
        &self,
        name: &str,
        user: u32,
        announce: String,
        mode: Mode,
    ) -> Result<(), Fault> {
        let (key, url) = (name.to_owned(), announce.clone());
        self.state
            .call(move |db| {
                db.execute(
                    "UPDATE logins SET announce = ?3
                     WHERE tracker = ?1 AND owner = ?2 AND token IS NOT NULL",
                    params![key, user, url],
                )?;
                set_mode(db, &key, mode)
            })
            .await
            .map_err(|error| state_fault("cannot keep the announce URL", &error))?;
        let mut book = self.lock();
        if let Some(account) = &mut book.login(name, user).account {
            account.announce = Secret::new(announce);
        }
        for tracker in book.trackers.iter_mut().filter(|one| one.name == name) {
            tracker.mode = Some(mode);
        }
        Ok(())
    }

    /// Changes which certificate is trusted.
    pub(crate) async fn set_fingerprint(
        &self,
        name: &str,
        fingerprint: Option<Fingerprint>,
    ) -> Result<(), Fault> {
        let (key, row) = (name.to_owned(), fingerprint.map(|print| print.to_string()));
        self.state
            .call(move |db| {
                db.execute(
                    "UPDATE trackers SET fingerprint = ?2 WHERE name = ?1",
                    params![key, row],
                )
            })
            .await
            .map_err(|error| state_fault("cannot keep the certificate", &error))?;
        let mut book = self.lock();
        for tracker in book.trackers.iter_mut().filter(|one| one.name == name) {
            tracker.fingerprint = fingerprint;
        }
        Ok(())
    }

    /// Drops the login of `user`; the node id stays.
    pub(crate) async fn drop_login(&self, name: &str, user: u32) -> Result<(), Fault> {
        let key = name.to_owned();
        self.state
            .call(move |db| {
                db.execute(
                    "UPDATE logins SET username = NULL, token = NULL, node_name = NULL, announce = NULL
                     WHERE tracker = ?1 AND owner = ?2",
                    params![key, user],
                )
            })
            .await
            .map_err(|error| state_fault("cannot forget the login", &error))?;
        self.lock().login(name, user).account = None;
        Ok(())
    }

    /// Records how a call for `user` went. What was known before, when that is news.
    pub(crate) fn set_health(&self, name: &str, user: u32, health: Health) -> Option<Health> {
        let mut book = self.lock();
        let index = book.position(name)?;
        let before = book.entry(index, user).map(|entry| entry.health);
        let kind = std::mem::discriminant(&health);
        let news = before.filter(|before| std::mem::discriminant(before) != kind);
        let ended = health == Health::LoginEnded;
        if let Some(login) = book.logins.get_mut(&(name.to_owned(), user)) {
            login.ended = ended;
        }
        if let Some(tracker) = book.trackers.get_mut(index) {
            // One that ends a login answers.
            tracker.health = if ended { Health::Ok } else { health };
        }
        news
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is told when the state database fails.
pub(crate) fn state_fault(what: &str, error: &StateError) -> Fault {
    Fault::new(
        ErrorKind::Disk,
        what,
        format!("The daemon's state cannot be read or written: {error}."),
        "Look at the disk that holds the state folder (full, read-only?), then try again.",
    )
}

fn unknown(name: &str) -> Fault {
    Fault::new(
        ErrorKind::NotFound,
        format!("no tracker is called {name}"),
        "It was not added, or has another name.",
        "Look at those there are:  p2pctl tracker ls",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANN: u32 = 1_000;
    const BEN: u32 = 1_001;

    fn session(url: &str) -> Session {
        serde_json::from_value(serde_json::json!({
            "token": "tok-secret",
            "account": {"username": "ann", "admin": false, "created": "2026-01-01T00:00:00Z"},
            "node_id": "0123456789abcdef0123456789abcdef",
            "node_name": "nas1",
            "announce_url": url,
            "tracker": {"name": "home", "mode": "listed", "server": "p2p-tracker 0.1.0"},
        }))
        .unwrap()
    }

    #[tokio::test]
    async fn a_login_is_kept_over_a_restart_and_never_shown() {
        let dir = tempfile::tempdir().unwrap();
        {
            let (state, _lock) = State::open(dir.path()).unwrap();
            let registry = Registry::open(state, vec![]).await.unwrap();
            registry
                .add("home".into(), "http://h:6969", None)
                .await
                .unwrap();
            let url = "http://h:6969/announce/passkey-secret/announce";
            registry.set_login("home", ANN, session(url)).await.unwrap();
        }
        let (state, _lock) = State::open(dir.path()).unwrap();
        let registry = Registry::open(state, vec![]).await.unwrap();
        let entry = registry.find(None, ANN).unwrap();
        assert_eq!(entry.mode, Some(Mode::Listed));
        assert!(!format!("{entry:?}").contains("secret"));
        assert_eq!(entry.login.unwrap().token.expose(), "tok-secret");
    }

    #[tokio::test]
    async fn a_url_is_at_a_tracker_by_host_and_port_of_its_url_or_announce_url() {
        let dir = tempfile::tempdir().unwrap();
        let (state, _lock) = State::open(dir.path()).unwrap();
        let registry = Registry::open(state, vec![]).await.unwrap();
        registry
            .add("home".into(), "http://nas", None)
            .await
            .unwrap();
        let announce = "http://10.0.0.5:6969/announce/k/announce";
        registry
            .set_login("home", ANN, session(announce))
            .await
            .unwrap();
        for at in ["http://NAS:80/x", "http://10.0.0.5:6969/other/announce"] {
            assert!(registry.is_at_one(at), "{at}");
        }
        for not in ["http://nas:81/", "http://10.0.0.5/", "udp://nas", "no url"] {
            assert!(!registry.is_at_one(not), "{not}");
        }
    }

    #[tokio::test]
    async fn a_second_tracker_of_the_same_name_or_url_is_a_conflict() {
        let dir = tempfile::tempdir().unwrap();
        let (state, _lock) = State::open(dir.path()).unwrap();
        let registry = Registry::open(state, vec![]).await.unwrap();
        registry
            .add("home".into(), "http://h:6969", None)
            .await
            .unwrap();
        for (name, url) in [("home", "http://other"), ("lab", "http://H:6969/")] {
            let fault = registry.add(name.into(), url, None).await.unwrap_err();
            assert_eq!(fault.kind, ErrorKind::Conflict);
        }
        assert_eq!(registry.all(ANN).len(), 1);
    }

    #[tokio::test]
    async fn a_configured_tracker_follows_the_file_and_keeps_its_login_while_the_url_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (state, _lock) = State::open(dir.path()).unwrap();
        let file = |url: &str| vec![("home".to_owned(), url.to_owned())];
        let registry = Registry::open(state.clone(), file("http://a"))
            .await
            .unwrap();
        let url = "http://a/announce/k/announce";
        registry.set_login("home", ANN, session(url)).await.unwrap();

        let registry = Registry::open(state.clone(), file("http://a/"))
            .await
            .unwrap();
        assert!(registry.find(None, ANN).unwrap().login.is_some());
        let refused = registry
            .remove(&registry.find(Some("home"), ANN).unwrap())
            .await
            .unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Conflict);

        let registry = Registry::open(state.clone(), file("http://b"))
            .await
            .unwrap();
        let entry = registry.find(None, ANN).unwrap();
        assert_eq!(
            (entry.url.as_str(), entry.login.is_some()),
            ("http://b", false)
        );

        let registry = Registry::open(state, vec![]).await.unwrap();
        assert!(registry.all(ANN).is_empty());
    }

    #[tokio::test]
    async fn a_login_is_its_users_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (state, _lock) = State::open(dir.path()).unwrap();
        let registry = Registry::open(state, vec![]).await.unwrap();
        registry
            .add("home".into(), "http://h:6969", None)
            .await
            .unwrap();
        let login = registry.set_login("home", ANN, session("http://h:6969/announce/k/announce"));
        login.await.unwrap();
        let logged_in = |user| registry.find(None, user).unwrap().login.is_some();
        assert_eq!((logged_in(ANN), logged_in(BEN)), (true, false));
        assert_eq!(registry.sessions().len(), 1);
        registry.drop_login("home", BEN).await.unwrap();
        assert!(logged_in(ANN));
        registry.set_health("home", ANN, Health::LoginEnded);
        let health = |user| registry.find(None, user).unwrap().health;
        assert_eq!((health(ANN), health(BEN)), (Health::LoginEnded, Health::Ok));
    }
}
