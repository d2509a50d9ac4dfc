//! One announce over HTTP or UDP, and what may be shown of its URL.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use p2p_wire::announce::{Event, Peers, Reply, Request};
use p2p_wire::{InfoHash, PeerId};
use tokio::sync::mpsc;
use url::Url;

use super::http::{Http, HttpError};
use super::schedule::Attempt;
use super::udp::{self, UdpError};

const TIMEOUT: Duration = Duration::from_secs(15);
/// For both exchanges over UDP, each sent again once.
const UDP_TIMEOUT: Duration = Duration::from_secs(24);
/// `stopped` is worth less waiting.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_REPLY: usize = 256 * 1024;

pub(super) struct Finished {
    pub(super) item: InfoHash,
    pub(super) generation: u64,
    pub(super) host: String,
    pub(super) event: Event,
    pub(super) result: Result<Peers, Failure>,
}

pub(super) struct Failure {
    pub(super) text: String,
    pub(super) retry_in: Option<Duration>,
    /// Nothing there: other items need not try.
    pub(super) unreachable: bool,
}

/// One request with all that its task needs.
pub(super) struct Call {
    /// For this URL: nearby addresses are only for trackers of the user's.
    pub(super) http: Arc<Http>,
    pub(super) peers: mpsc::Sender<(InfoHash, Vec<SocketAddr>)>,
    pub(super) item: InfoHash,
    pub(super) generation: u64,
    pub(super) host: String,
    pub(super) own: (u16, PeerId),
}

impl Call {
    pub(super) async fn run(self, attempt: Attempt, request: Request) -> Finished {
        let result = self.announce(&attempt, &request).await;
        if let Ok(found) = &result {
            let (port, peer_id) = self.own;
            // Two seeds have nothing to say to each other.
            let useless = request.left == 0 && found.incomplete == Some(0);
            let peers = if useless { &[][..] } else { &found.peers };
            let addrs: Vec<SocketAddr> = peers
                .iter()
                .filter(|peer| peer.peer_id != Some(peer_id) && peer.addr.port() != 0)
                .filter(|peer| !(peer.addr.ip().is_loopback() && peer.addr.port() == port))
                .map(|peer| peer.addr)
                .collect();
            if !addrs.is_empty() {
                // An engine that ended dials nobody.
                let _ = self.peers.send((self.item, addrs)).await;
            }
        }
        Finished {
            item: self.item,
            generation: self.generation,
            host: self.host,
            event: attempt.event,
            result,
        }
    }

    async fn announce(&self, attempt: &Attempt, request: &Request) -> Result<Peers, Failure> {
        if Url::parse(&attempt.url).is_ok_and(|url| url.scheme() == "udp") {
            return self.announce_udp(attempt, request).await;
        }
        let joint = if attempt.url.contains('?') { '&' } else { '?' };
        let url = format!("{}{joint}{}", attempt.url, request.to_query());
        let timeout = match attempt.event {
            Event::Stopped => STOP_TIMEOUT,
            _ => TIMEOUT,
        };
        let answer = self
            .http
            .get(&url, MAX_REPLY, timeout)
            .await
            .map_err(|error| Failure {
                text: format!("{}: {error}", self.host),
                retry_in: None,
                unreachable: matches!(
                    error,
                    HttpError::Connect(_) | HttpError::TimedOut(_) | HttpError::Distrust(_)
                ),
            })?;
        // A failure may come with any status: its reason is worth more than the number.
        match Reply::from_bytes(&answer.body) {
            Ok(Reply::Peers(peers)) if answer.status.is_success() => Ok(peers),
            Ok(Reply::Failure { reason, retry_in }) => Err(Failure {
                text: printable(&reason),
                retry_in: retry_in
                    .map(|minutes| Duration::from_secs(u64::from(minutes) * 60))
                    .or(answer.retry_after),
                unreachable: false,
            }),
            _ => Err(Failure {
                text: format!(
                    "{}: no announce answer, HTTP status {}",
                    self.host, answer.status
                ),
                retry_in: answer.retry_after,
                unreachable: false,
            }),
        }
    }
}

impl Call {
    async fn announce_udp(&self, attempt: &Attempt, request: &Request) -> Result<Peers, Failure> {
        let limit = match attempt.event {
            Event::Stopped => STOP_TIMEOUT,
            _ => UDP_TIMEOUT,
        };
        let announced = udp::announce(&attempt.url, request, &self.http);
        let announced = tokio::time::timeout(limit, announced).await;
        announced
            .unwrap_or(Err(UdpError::TimedOut))
            .map_err(|error| {
                let text = match &error {
                    UdpError::Refused(reason) => printable(reason),
                    error => format!("{}: {error}", self.host),
                };
                Failure {
                    text,
                    retry_in: None,
                    unreachable: matches!(error, UdpError::Network(_) | UdpError::TimedOut),
                }
            })
    }
}

/// A tracker's text, without what moves a terminal's cursor, of bounded length.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

/// `scheme://host:port`, without anything secret.
pub(super) fn origin(url: &str) -> String {
    let Ok(url) = Url::parse(url) else {
        return "malformed URL".to_owned();
    };
    match (url.scheme(), url.host_str(), url.port()) {
        // What is no scheme of the web has no origin there.
        ("udp", Some(host), Some(port)) => format!("udp://{host}:{port}"),
        _ => url.origin().ascii_serialization(),
    }
}

/// The URL with what may be a passkey replaced: long segments of the path, the user part, and every value of the query.
pub(crate) fn masked(url: &str) -> String {
    let Ok(mut parsed) = Url::parse(url) else {
        return "malformed URL".to_owned();
    };
    let secret = |segment: &str| segment.len() >= 16;
    let path: Vec<&str> = parsed
        .path()
        .split('/')
        .map(|segment| if secret(segment) { "***" } else { segment })
        .collect();
    let path = path.join("/");
    let keys: Vec<String> = parsed
        .query_pairs()
        .map(|(key, _)| format!("{key}=***"))
        .collect();
    parsed.set_path(&path);
    parsed.set_query((!keys.is_empty()).then(|| keys.join("&")).as_deref());
    // URLs without a host have no user part either.
    let _ = parsed.set_username("");
    let _ = parsed.set_password(None);
    parsed.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_origin_is_what_is_left_alone_when_it_does_not_answer() {
        assert_eq!(origin("http://h:6969/announce/k"), "http://h:6969");
        assert_eq!(origin("udp://h:6969/announce/k"), "udp://h:6969");
        assert_eq!(origin("nonsense"), "malformed URL");
    }

    #[test]
    fn masks_what_may_be_a_passkey() {
        let url = "http://h:6969/announce/0123456789abcdef0123/announce";
        assert_eq!(masked(url), "http://h:6969/announce/***/announce");
        let url = "https://u:p@h/announce.php?passkey=x&y=1";
        assert_eq!(masked(url), "https://h/announce.php?passkey=***&y=***");
    }
}
