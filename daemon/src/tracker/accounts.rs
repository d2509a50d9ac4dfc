//! Which trackers there are, and who is logged in where.

use p2p_wire::control::{Credentials, ErrorKind, Tracker};
use p2p_wire::{Fingerprint, api};
use url::Url;

use super::Trackers;
use super::address::{is_private, normalise};
use super::client::ApiError;
use super::http::HttpError;
use super::registry::{Entry, Health, state_fault};
use crate::Fault;

impl Trackers {
    /// Adds one, after asking it for its name and mode if it answers.
    ///
    /// One over https must show a certificate that an authority vouches for, or the one with `fingerprint`; one that does not answer
    /// is held to that later.
    pub async fn add(
        &self,
        name: String,
        url: String,
        fingerprint: Option<Fingerprint>,
    ) -> Result<Tracker, Fault> {
        let url = normalise(&url)?;
        let shown = self.inner.try_with(&url, fingerprint).await;
        if let Err(error @ ApiError::Http(HttpError::Distrust(_))) = shown {
            let mut fault = error.fault("nothing was added", &name);
            fault.fix = format!(
                "Compare with `p2p-tracker fingerprint` there, then:  p2pctl tracker add {name} {url} --fingerprint DIGITS"
            );
            return Err(fault);
        }
        let registry = &self.inner.registry;
        registry.add(name.clone(), &url, fingerprint).await?;
        let entry = self.entry(Some(&name))?;
        self.inner.follow_pins();
        self.inner.observe(&entry, &shown);
        self.inner.logins.send_modify(|count| *count += 1);
        self.view(&entry.name).await
    }

    /// Forgets one.
    pub async fn remove(&self, name: Option<String>) -> Result<Tracker, Fault> {
        let entry = self.entry(name.as_deref())?;
        let view = self.view(&entry.name).await?;
        let mut sessions = self.inner.registry.sessions();
        sessions.retain(|session| session.name == entry.name);
        self.inner.registry.remove(&entry).await?;
        let forgotten = self.inner.queue.forget(&entry.name).await;
        forgotten.map_err(|error| state_fault("cannot drop what waits for the tracker", &error))?;
        let inner = self.inner.clone();
        tokio::spawn(async move {
            for session in sessions {
                // It ends there too; a tracker that does not answer lets it expire.
                let _ = inner.api(&session).logout().await;
            }
            inner.follow_pins();
        });
        self.inner.logins.send_modify(|count| *count += 1);
        Ok(view)
    }

    /// All.
    pub async fn list(&self) -> Vec<Tracker> {
        let counts = self.inner.queue.counts(self.user);
        let all = self.inner.registry.all(self.user);
        let rows = all.iter().map(|entry| {
            let unassigned = counts.get("").filter(|_| entry.is_first);
            let own = counts.get(&entry.name);
            view(entry, own.into_iter().chain(unassigned).sum())
        });
        rows.collect()
    }

    /// Asks one now whether it is well and the login holds.
    pub async fn test(&self, name: Option<String>) -> Result<Tracker, Fault> {
        let entry = self.entry(name.as_deref())?;
        if entry.login.is_some() {
            return self.whoami(Some(entry.name)).await;
        }
        let health = self.inner.api(&entry).health().await;
        self.inner.observe(&entry, &health);
        health.map_err(|error| error.fault("the test failed", &entry.name))?;
        self.view(&entry.name).await
    }

    /// Makes an account; does not log in.
    pub async fn register(&self, credentials: Credentials) -> Result<Tracker, Fault> {
        let entry = self.entry(credentials.tracker.as_deref())?;
        let what = format!("cannot register {}", credentials.username);
        check_transport(&entry, &what).await?;
        let body = api::Register {
            username: credentials.username,
            password: credentials.password,
            invite: credentials.invite,
        };
        let made = self.inner.api(&entry).register(&body).await;
        self.inner.observe(&entry, &made);
        made.map_err(|error| error.fault(&what, &entry.name))?;
        self.view(&entry.name).await
    }

    /// Logs this machine in.
    pub async fn login(&self, credentials: Credentials) -> Result<Tracker, Fault> {
        let entry = self.entry(credentials.tracker.as_deref())?;
        let what = format!("cannot log in as {}", credentials.username);
        check_transport(&entry, &what).await?;
        let body = api::Login {
            username: credentials.username,
            password: credentials.password,
            node_id: entry.node_id.clone(),
            node_name: host_name(),
        };
        let session = self.inner.api(&entry).login(&body).await;
        self.inner.observe(&entry, &session);
        let session = session.map_err(|error| error.fault(&what, &entry.name))?;
        let registry = &self.inner.registry;
        registry.set_login(&entry.name, self.user, session).await?;
        self.inner.follow_pins();
        self.inner.queue.wake(&entry.name);
        self.inner.logins.send_modify(|count| *count += 1);
        self.view(&entry.name).await
    }

    /// Ends the session here and there. A tracker that does not answer is told so in the result's `reason`.
    pub async fn logout(&self, name: Option<String>) -> Result<Tracker, Fault> {
        let entry = self.logged_in(name.as_deref(), "cannot log out")?;
        let told = self.inner.api(&entry).logout().await;
        let registry = &self.inner.registry;
        registry.drop_login(&entry.name, self.user).await?;
        self.inner.logins.send_modify(|count| *count += 1);
        let mut view = self.view(&entry.name).await?;
        if let Err(error) = told
            && !error.wants_login()
        {
            self.inner.observe::<()>(&entry, &Err(error));
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
        self.inner.observe(&entry, &me);
        let me = me.map_err(|error| error.fault(what, &entry.name))?;
        self.inner.learn(&entry, me).await?;
        self.view(&entry.name).await
    }

    async fn view(&self, name: &str) -> Result<Tracker, Fault> {
        let all = self.list().await;
        let found = all.into_iter().find(|tracker| tracker.name == name);
        found.map_or_else(|| self.entry(Some(name)).map(|entry| view(&entry, 0)), Ok)
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
        fingerprint: entry.fingerprint,
    }
}

/// Refuses to send a password unencrypted over a network that others share.
pub(super) async fn check_transport(entry: &Entry, what: &str) -> Result<(), Fault> {
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
