//! The trackers that this daemon knows, and the login at each.
//!
//! The state database is the truth; a copy in memory answers reads. Rows that come from the configuration file follow that file: one that
//! is gone from it is forgotten, one whose URL changed loses its login. A row made by command wins over the file. Secrets lie in the
//! database (its folder is 0700) and in [`Secret`], which never shows them.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use p2p_wire::Fingerprint;
use p2p_wire::api::{Mode, Session};
use p2p_wire::control::ErrorKind;
use rusqlite::{OptionalExtension, params};

use super::address::{check_name, normalise};
use super::rows::{follow_file, insert, mode_name, read_row};
use super::trust::place;
use crate::Fault;
use crate::state::{State, StateError};

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

/// A tracker.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) name: String,
    /// Normalised: `http(s)://host:port[/prefix]`.
    pub(crate) url: String,
    /// Present while logged in.
    pub(crate) login: Option<Account>,
    /// The node id it gave this machine; kept over logout, so that the machine stays the same node.
    pub(crate) node_id: Option<String>,
    /// What it said at the last login.
    pub(crate) mode: Option<Mode>,
    /// The certificate that the user trusts there, and no other.
    pub(crate) fingerprint: Option<Fingerprint>,
    /// Comes from the configuration file.
    pub(crate) configured: bool,
    /// As of the last call.
    pub(crate) health: Health,
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

/// The trackers, oldest first.
pub(crate) struct Registry {
    state: State,
    entries: Mutex<Vec<Entry>>,
}

impl Registry {
    /// Reads the table and brings the rows of the configuration file up to date.
    pub(crate) async fn open(
        state: State,
        configured: Vec<(String, String)>,
    ) -> Result<Self, Fault> {
        let mut rows = Vec::with_capacity(configured.len());
        for (name, url) in configured {
            check_name(&name)?;
            rows.push((name, normalise(&url)?));
        }
        let entries = state
            .call(move |db| {
                follow_file(db, &rows)?;
                let mut query = db.prepare("SELECT * FROM trackers ORDER BY added, name")?;
                query
                    .query_map([], read_row)?
                    .collect::<Result<Vec<_>, _>>()
            })
            .await
            .map_err(|error| state_fault("cannot read the trackers", &error))?;
        Ok(Self {
            state,
            entries: Mutex::new(entries),
        })
    }

    pub(crate) fn all(&self) -> Vec<Entry> {
        self.lock().clone()
    }

    /// The tracker called `name`; without a name the first.
    pub(crate) fn find(&self, name: Option<&str>) -> Result<Entry, Fault> {
        let entries = self.lock();
        match name {
            Some(name) => entries
                .iter()
                .find(|entry| entry.name == name)
                .cloned()
                .ok_or_else(|| unknown(name)),
            None => entries.first().cloned().ok_or_else(|| {
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
        self.lock().iter().any(|entry| {
            let announce = entry.login.as_ref().map(|login| login.announce.expose());
            [Some(entry.url.as_str()), announce]
                .into_iter()
                .flatten()
                .any(|url| place(url).as_ref() == Some(&asked))
        })
    }

    /// Adds a tracker by command.
    pub(crate) async fn add(
        &self,
        name: String,
        url: &str,
        fingerprint: Option<Fingerprint>,
    ) -> Result<Entry, Fault> {
        check_name(&name)?;
        let url = normalise(url)?;
        let what = format!("cannot add tracker {name}");
        let entry = Entry {
            name: name.clone(),
            url: url.clone(),
            login: None,
            node_id: None,
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
        self.lock().push(entry.clone());
        Ok(entry)
    }

    /// Forgets a tracker and what waits for it.
    pub(crate) async fn remove(&self, name: &str) -> Result<(), Fault> {
        let what = format!("cannot remove tracker {name}");
        if self.find(Some(name))?.configured {
            return Err(Fault::new(
                ErrorKind::Conflict,
                what,
                "It is in the configuration file, which only you change.",
                format!(
                    "Remove [trackers.{name}] there (p2pctl config path), then p2pctl daemon reload."
                ),
            ));
        }
        let key = name.to_owned();
        self.state
            .call(move |db| db.execute("DELETE FROM trackers WHERE name = ?1", [key]))
            .await
            .map_err(|error| state_fault(&what, &error))?;
        self.lock().retain(|entry| entry.name != name);
        Ok(())
    }

    /// Keeps a session.
    pub(crate) async fn set_login(&self, name: &str, session: Session) -> Result<Entry, Fault> {
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
                    "UPDATE trackers SET username = ?2, token = ?3, node_id = ?4, node_name = ?5,
                     announce = ?6, mode = ?7 WHERE name = ?1",
                    params![
                        key,
                        row.username,
                        row.token.expose(),
                        node_id,
                        row.node_name,
                        row.announce.expose(),
                        mode_name(mode)
                    ],
                )
            })
            .await
            .map_err(|error| state_fault("cannot keep the login", &error))?;
        self.update(name, |entry| {
            entry.login = Some(account);
            entry.node_id = Some(kept_id);
            entry.mode = Some(mode);
            entry.health = Health::Ok;
        })
    }

    /// Keeps a new announce URL and mode, as the tracker told them.
    pub(crate) async fn refresh(
        &self,
        name: &str,
        announce: String,
        mode: Mode,
    ) -> Result<Entry, Fault> {
        let (key, url) = (name.to_owned(), announce.clone());
        self.state
            .call(move |db| {
                db.execute(
                    "UPDATE trackers SET announce = ?2, mode = ?3 WHERE name = ?1 AND token IS NOT NULL",
                    params![key, url, mode_name(mode)],
                )
            })
            .await
            .map_err(|error| state_fault("cannot keep the announce URL", &error))?;
        self.update(name, |entry| {
            if let Some(login) = &mut entry.login {
                login.announce = Secret::new(announce);
                entry.mode = Some(mode);
            }
        })
    }

    /// Changes which certificate is trusted.
    pub(crate) async fn set_fingerprint(
        &self,
        name: &str,
        fingerprint: Option<Fingerprint>,
    ) -> Result<Entry, Fault> {
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
        self.update(name, |entry| entry.fingerprint = fingerprint)
    }

    /// Drops the login; the node id stays.
    pub(crate) async fn drop_login(&self, name: &str) -> Result<Entry, Fault> {
        let key = name.to_owned();
        self.state
            .call(move |db| {
                db.execute(
                    "UPDATE trackers SET username = NULL, token = NULL, node_name = NULL, announce = NULL
                     WHERE name = ?1",
                    [key],
                )
            })
            .await
            .map_err(|error| state_fault("cannot forget the login", &error))?;
        self.update(name, |entry| entry.login = None)
    }

    /// Records how a call went. What was known before, when that is news.
    pub(crate) fn set_health(&self, name: &str, health: Health) -> Option<Health> {
        let mut entries = self.lock();
        let entry = entries.iter_mut().find(|entry| entry.name == name)?;
        let news = std::mem::discriminant(&entry.health) != std::mem::discriminant(&health);
        let before = std::mem::replace(&mut entry.health, health);
        news.then_some(before)
    }

    fn update(&self, name: &str, change: impl FnOnce(&mut Entry)) -> Result<Entry, Fault> {
        let mut entries = self.lock();
        let entry = entries
            .iter_mut()
            .find(|entry| entry.name == name)
            .ok_or_else(|| unknown(name))?;
        change(entry);
        Ok(entry.clone())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
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
            registry.set_login("home", session(url)).await.unwrap();
        }
        let (state, _lock) = State::open(dir.path()).unwrap();
        let registry = Registry::open(state, vec![]).await.unwrap();
        let entry = registry.find(None).unwrap();
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
        registry.set_login("home", session(announce)).await.unwrap();
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
        assert_eq!(registry.all().len(), 1);
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
        registry.set_login("home", session(url)).await.unwrap();

        let registry = Registry::open(state.clone(), file("http://a/"))
            .await
            .unwrap();
        assert!(registry.find(None).unwrap().login.is_some());
        let refused = registry.remove("home").await.unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Conflict);

        let registry = Registry::open(state.clone(), file("http://b"))
            .await
            .unwrap();
        let entry = registry.find(None).unwrap();
        assert_eq!(
            (entry.url.as_str(), entry.login.is_some()),
            ("http://b", false)
        );

        let registry = Registry::open(state, vec![]).await.unwrap();
        assert!(registry.all().is_empty());
    }
}
