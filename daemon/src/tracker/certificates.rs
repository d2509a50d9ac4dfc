//! What users ask about a tracker's certificate: what it shows, and to trust it from now on.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use p2p_wire::Fingerprint;
use p2p_wire::control::{CertificateState, Tracker, TrackerCertificate};
use url::Url;

use super::address::normalise;
use super::client::{Api, ApiError};
use super::http::{Http, HttpError};
use super::registry::Entry;
use super::trust::{Distrust, Why, place};
use super::{Inner, Trackers};
use crate::Fault;

impl Trackers {
    /// What the tracker at `url` shows, whatever was trusted there before.
    pub async fn probe(&self, url: &str) -> Result<TrackerCertificate, Fault> {
        let url = normalise(url)?;
        let certificate = |state, fingerprint, reason| TrackerCertificate {
            url: url.clone(),
            state,
            fingerprint,
            reason,
        };
        if url.starts_with("http://") {
            return Ok(certificate(CertificateState::None, None, None));
        }
        Ok(match self.inner.try_with(&url, None).await {
            Err(ApiError::Http(HttpError::Distrust(Distrust::Unknown { shown, why }))) => {
                certificate(
                    CertificateState::Unknown,
                    Some(shown),
                    Some(why.to_string()),
                )
            }
            Err(ApiError::Http(error)) => {
                certificate(CertificateState::Unreachable, None, Some(error.to_string()))
            }
            // It answers, so its certificate is good; what it answers is seen later.
            Ok(()) | Err(_) => certificate(CertificateState::Trusted, None, None),
        })
    }

    /// Trusts the certificate with this fingerprint at a tracker from now on, and no other; without one, those that authorities of this
    /// machine vouch for. The tracker must show such a one now.
    pub async fn trust(
        &self,
        name: Option<String>,
        fingerprint: Option<Fingerprint>,
    ) -> Result<Tracker, Fault> {
        let entry = self.entry(name.as_deref())?;
        let shown = self.inner.try_with(&entry.url, fingerprint).await;
        if let Err(error @ ApiError::Http(_)) = shown {
            return Err(error.fault("the certificate is not trusted", &entry.name));
        }
        self.inner
            .registry
            .set_fingerprint(&entry.name, fingerprint)
            .await?;
        self.inner.follow_pins();
        self.inner.queue.retry_now(&entry.name);
        self.test(Some(entry.name)).await
    }

    /// When the certificate of a tracker ends, if that is within `time` from now. `None` also for one that was pinned, whose dates say
    /// nothing, and for one that does not answer.
    pub async fn certificate_ends(&self, name: &str, time: Duration) -> Option<Timestamp> {
        let entry = self.entry(Some(name)).ok()?;
        if entry.fingerprint.is_some() || !entry.url.starts_with("https:") {
            return None;
        }
        let api = Api {
            http: Arc::new(Http::ahead(self.inner.http.local(), time)),
            base: entry.url,
            token: None,
        };
        match api.health().await {
            Err(ApiError::Http(HttpError::Distrust(Distrust::Unknown {
                why: Why::Ended(at),
                ..
            }))) => Some(at),
            _ => None,
        }
    }

    /// The account's announce URL for any BitTorrent client. One that p2pd pinned is nothing to them: p2p-tracker answers http on the
    /// same port.
    pub async fn stock_announce_url(&self, name: Option<&str>) -> Option<String> {
        let entry = self.entry(name).ok()?;
        let announce = entry.login.as_ref()?.announce.expose().to_owned();
        Some(match entry.fingerprint {
            Some(_) => stock_url(&entry, &announce).unwrap_or(announce),
            None => announce,
        })
    }
}

fn stock_url(entry: &Entry, announce: &str) -> Option<String> {
    if place(announce) != place(&entry.url) {
        // The administrator's `public_url`: it is as they want it.
        return None;
    }
    let mut url = Url::parse(announce).ok()?;
    let port = url.port_or_known_default();
    url.set_scheme("http").ok()?;
    url.set_port(port).ok()?;
    Some(url.into())
}

impl Inner {
    /// Asks the tracker at `url` whether it is well, trusting `pin` alone, or authorities.
    pub(super) async fn try_with(
        &self,
        url: &str,
        pin: Option<Fingerprint>,
    ) -> Result<(), ApiError> {
        let http = Http::new(self.http.local());
        let pins = pin.and_then(|pin| Some((place(url)?, pin)));
        http.pins().set(pins.into_iter().collect());
        let api = Api {
            http: Arc::new(http),
            base: url.to_owned(),
            token: None,
        };
        api.health().await
    }

    /// Brings what the connections are held to up to date with the registry: where a tracker is, and where it wants announces.
    pub(super) fn follow_pins(&self) {
        let mut pins = HashMap::new();
        // Where each user of this machine is told to announce, and where each tracker is.
        let mut entries = self.registry.sessions();
        entries.extend(self.registry.all(0));
        for entry in entries {
            let Some(fingerprint) = entry.fingerprint else {
                continue;
            };
            let announce = entry.login.as_ref();
            let announce = announce.and_then(|login| place(login.announce.expose()));
            pins.extend(announce.map(|place| (place, fingerprint)));
            pins.extend(place(&entry.url).map(|place| (place, fingerprint)));
        }
        self.http.pins().set(pins);
    }
}

#[cfg(test)]
mod tests {
    use p2p_wire::control::ErrorKind;

    use super::super::testing::{self, json};
    use super::*;
    use crate::engine::Events;
    use crate::net::LocalAddrs;
    use crate::state::State;

    async fn trackers(dir: &std::path::Path) -> Trackers {
        let (state, _lock) = State::open(dir).unwrap();
        Trackers::open(state, Events::default(), Vec::new(), LocalAddrs::default())
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn a_certificate_that_nobody_vouches_for_is_shown_and_then_trusted_by_its_fingerprint() {
        let dir = tempfile::tempdir().unwrap();
        let trackers = trackers(dir.path()).await;
        let (server, fingerprint) = testing::serve_tls(|_| json(200, &"ok")).await;
        let shown = trackers.probe(&server.url).await.unwrap();
        assert_eq!(shown.state, CertificateState::Unknown);
        assert_eq!(shown.fingerprint, Some(fingerprint));

        let add = |pin| trackers.add("home".into(), server.url.clone(), pin);
        let fault = add(None).await.unwrap_err();
        assert!(fault.why.contains(&fingerprint.to_string()), "{fault:?}");
        assert!(fault.fix.contains("--fingerprint"), "{fault:?}");
        let other = Fingerprint([7; 32]);
        let fault = add(Some(other)).await.unwrap_err();
        assert!(fault.why.contains("not the trusted one"), "{fault:?}");
        assert!(server.seen().is_empty(), "nothing was said to a stranger");

        let added = add(Some(fingerprint)).await.unwrap();
        assert_eq!(
            (added.state.as_str(), added.fingerprint),
            ("login needed", Some(fingerprint))
        );
    }

    #[tokio::test]
    async fn a_changed_certificate_is_refused_until_the_user_trusts_it() {
        let dir = tempfile::tempdir().unwrap();
        let trackers = trackers(dir.path()).await;
        let (server, fingerprint) = testing::serve_tls(|_| json(200, &"ok")).await;
        trackers
            .add("home".into(), server.url.clone(), Some(fingerprint))
            .await
            .unwrap();
        let before = Fingerprint([1; 32]);
        let registry = &trackers.inner.registry;
        registry
            .set_fingerprint("home", Some(before))
            .await
            .unwrap();
        trackers.inner.follow_pins();
        let fault = trackers.test(None).await.unwrap_err();
        assert_eq!(fault.kind, ErrorKind::Tracker);
        assert!(fault.why.contains(&fingerprint.to_string()), "{fault:?}");
        assert!(fault.fix.contains("p2pctl tracker trust home"), "{fault:?}");
        assert_eq!(trackers.list().await[0].state, "unreachable");

        trackers.trust(None, Some(before)).await.unwrap_err();
        let mended = trackers.trust(None, Some(fingerprint)).await.unwrap();
        assert_eq!(mended.state, "login needed");
        let fault = trackers.trust(None, None).await.unwrap_err();
        assert!(fault.why.contains("o authority vouches"), "{fault:?}");
        assert_eq!(trackers.list().await[0].fingerprint, Some(fingerprint));
    }

    #[test]
    fn stock_clients_go_by_http_where_the_tracker_gave_the_address_we_used() {
        let entry = |url: &str| Entry {
            name: "home".into(),
            url: url.into(),
            user: 0,
            is_first: true,
            login: None,
            node_id: None,
            mode: None,
            fingerprint: None,
            configured: false,
            health: super::super::registry::Health::Untried,
        };
        let stock = |url, announce| stock_url(&entry(url), announce);
        let http = Some("http://nas:6969/announce/k/announce".to_owned());
        assert_eq!(
            stock("https://nas:6969", "https://nas:6969/announce/k/announce"),
            http
        );
        let port = Some("http://nas:443/announce/k/announce".to_owned());
        assert_eq!(
            stock("https://nas", "https://nas/announce/k/announce"),
            port
        );
        assert_eq!(stock("https://nas:6969", "https://tracker.example/a"), None);
    }
}
