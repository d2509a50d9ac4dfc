//! Announces and scrapes over HTTP: the paths clients use, the bencoded answers.

use axum::extract::Request;
use axum::http::{Method, header};
use axum::response::{IntoResponse, Response};
use p2p_wire::announce::{self, Reply};

use super::caller::Client;
use crate::announcing::Failure;
use crate::metrics::Transport;
use crate::tracker::Tracker;

/// A part of a path that is so long may be a passkey.
const LONG: usize = 12;

/// What a path asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route<'a> {
    Announce(Option<&'a str>),
    Scrape(Option<&'a str>),
}

/// Answers an announce or a scrape; `None` when the path is neither.
pub(super) fn answer(tracker: &Tracker, request: &Request) -> Option<Response> {
    let route = route(request.uri().path()).filter(|_| *request.method() == Method::GET)?;
    let query = request.uri().query().unwrap_or_default();
    let client = Client::new(request.headers(), request.extensions(), &tracker.config());
    let body = match route {
        Route::Announce(passkey) => announced(tracker, passkey, query, &client),
        Route::Scrape(passkey) => scraped(tracker, passkey, query),
    };
    Some(([(header::CONTENT_TYPE, "text/plain")], body).into_response())
}

fn announced(tracker: &Tracker, passkey: Option<&str>, query: &str, client: &Client) -> Vec<u8> {
    let request = match announce::Request::from_query(query) {
        Ok(request) => request,
        Err(error) => {
            tracker.counters.announce(Transport::Http, false);
            return failed(Failure {
                reason: format!(
                    "this is no announce: {error}; give this URL to a BitTorrent client"
                ),
                retry_in: None,
            });
        }
    };
    let answer = tracker.announce(passkey, &request, client.ip, Transport::Http);
    tracker.counters.announce(Transport::Http, answer.is_ok());
    match answer {
        Ok(peers) => Reply::Peers(peers).to_bytes(request.compact, request.no_peer_id),
        Err(failure) => failed(failure),
    }
}

fn scraped(tracker: &Tracker, passkey: Option<&str>, query: &str) -> Vec<u8> {
    let hashes = announce::scrape_from_query(query).map_err(|error| Failure {
        reason: format!("this is no scrape: {error}; give this URL to a BitTorrent client"),
        retry_in: None,
    });
    let answer = hashes.and_then(|hashes| tracker.scrape(passkey, &hashes));
    tracker.counters.scrape(Transport::Http, answer.is_ok());
    match answer {
        Ok(entries) => announce::scrape_to_bytes(&entries),
        Err(failure) => failed(failure),
    }
}

fn failed(failure: Failure) -> Vec<u8> {
    Reply::Failure {
        reason: failure.reason,
        retry_in: failure.retry_in,
    }
    .to_bytes(true, true)
}

/// The published form is `/announce/{passkey}/announce`: Transmission makes a scrape URL only if the last part is `announce`, libtorrent
/// replaces the first `announce` there is. The other forms are what people and clients make of it.
fn route(path: &str) -> Option<Route<'_>> {
    let parts: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
    match parts[..] {
        ["announce"] => Some(Route::Announce(None)),
        ["scrape"] => Some(Route::Scrape(None)),
        ["announce", passkey, "announce"] => Some(Route::Announce(Some(passkey))),
        ["announce", passkey, "scrape"] | ["scrape", passkey, "announce"] => {
            Some(Route::Scrape(Some(passkey)))
        }
        ["announce", passkey] | [passkey, "announce"] => Some(Route::Announce(Some(passkey))),
        ["scrape", passkey] | [passkey, "scrape"] => Some(Route::Scrape(Some(passkey))),
        _ => None,
    }
}

/// The passkey in the path of an announce URL, whichever form it has.
pub(crate) fn announce_passkey(path: &str) -> Option<&str> {
    match route(path) {
        Some(Route::Announce(passkey)) => passkey,
        _ => None,
    }
}

/// A path without the secret that may be in it, for logs and error texts.
pub(super) fn masked(path: &str) -> String {
    match route(path) {
        Some(Route::Announce(Some(passkey)) | Route::Scrape(Some(passkey)))
            if !passkey.is_empty() =>
        {
            path.replace(passkey, "***")
        }
        // Whatever somebody made of an announce URL: a passkey is long, the names of our routes are not, and hashes are no secrets.
        _ => {
            let is_hash = |part: &str| {
                part.len() <= 40
                    && part.bytes().all(|c| c.is_ascii_hexdigit())
                    && path.starts_with("/v1/files/")
            };
            let parts = path.split('/').map(|part| {
                let open = part.len() < LONG || part == "availability" || is_hash(part);
                if open { part } else { "***" }
            });
            parts.collect::<Vec<_>>().join("/")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_announces_and_scrapes_in_every_form() {
        let pk = Some("k2");
        for (path, expected) in [
            ("/announce", Some(Route::Announce(None))),
            ("/scrape", Some(Route::Scrape(None))),
            ("/announce/k2/announce", Some(Route::Announce(pk))),
            ("/announce/k2", Some(Route::Announce(pk))),
            ("/k2/announce", Some(Route::Announce(pk))),
            ("/announce/k2/scrape", Some(Route::Scrape(pk))),
            ("/scrape/k2/announce", Some(Route::Scrape(pk))),
            ("/scrape/k2", Some(Route::Scrape(pk))),
            ("/k2/scrape", Some(Route::Scrape(pk))),
            ("/announce/k2/other", None),
            ("/v1/files/announce/x", None),
            ("/", None),
        ] {
            assert_eq!(route(path), expected, "{path}");
        }
    }

    #[test]
    fn passkeys_are_masked() {
        assert_eq!(masked("/announce/k2/announce"), "/announce/***/announce");
        assert_eq!(masked("/k2/scrape"), "/***/scrape");
        assert_eq!(masked("/v1/files"), "/v1/files");
        let key = "k".repeat(32);
        assert_eq!(masked(&format!("/x/{key}/y")), "/x/***/y");
        let url = format!("/v1/announce/{key}/announce");
        assert_eq!(masked(&url), "/v1/announce/***/announce");
        let hash = "ab".repeat(20);
        let route = format!("/v1/files/{hash}/availability");
        assert_eq!(masked(&route), route);
        assert_eq!(masked(&format!("/announce/{key}/a/b")), "/announce/***/a/b");
    }
}
