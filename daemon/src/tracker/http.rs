//! The HTTP client of announces and of the tracker's API: one pool of connections, every wait and every body bounded.
//!
//! Errors name the host, never the path or query of a URL: those carry passkeys.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{Request, Response, StatusCode, header};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use p2p_wire::Fingerprint;
use tower_service::Service;

use super::trust::{Distrust, Pins, client_config, distrust};
use crate::net::{LocalAddrs, is_near};

/// Until a TCP connection stands.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Idle connections kept for each host.
const IDLE_PER_HOST: usize = 16;

/// What this program calls itself.
pub(crate) const USER_AGENT: &str = concat!("p2pd/", env!("CARGO_PKG_VERSION"));

type Tcp = HttpConnector<Resolver>;
type Secure = Client<HttpsConnector<Tcp>, Full<Bytes>>;

/// The client; one for the process, so that connections are shared.
pub(crate) struct Http {
    plain: Client<Tcp, Full<Bytes>>,
    /// By what the server is held to: a connection that was made under another pin is never used again.
    secure: Mutex<HashMap<Option<Fingerprint>, Secure>>,
    pins: Pins,
    local: LocalAddrs,
    reach: Reach,
    /// How long from now certificates must be good still.
    ahead: Duration,
}

/// Whom a client may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    Everywhere,
    /// No address that [`is_near`].
    Far,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// `Retry-After` in seconds.
    pub(crate) retry_after: Option<Duration>,
    pub(crate) body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HttpError {
    /// The URL cannot be used.
    #[error("{0}")]
    Url(String),
    /// No connection, or it broke.
    #[error("{0}")]
    Connect(String),
    /// A connection, but to somebody whose certificate is not taken.
    #[error(transparent)]
    Distrust(Distrust),
    /// No whole answer in time.
    #[error("no answer within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// The answer is longer than allowed.
    #[error("the answer is longer than {0} bytes")]
    TooLarge(usize),
}

impl Http {
    /// Requests go out from `local`.
    pub(crate) fn new(local: LocalAddrs) -> Self {
        Self::with(local, Reach::Everywhere)
    }

    /// The same for URLs that strangers chose: this machine and private networks are not called, whatever a name means at that moment.
    pub(crate) fn far(local: LocalAddrs) -> Self {
        Self::with(local, Reach::Far)
    }

    /// Like [`Http::new`], but takes only certificates that are good for so long still.
    pub(crate) fn ahead(local: LocalAddrs, ahead: Duration) -> Self {
        Self {
            ahead,
            ..Self::new(local)
        }
    }

    fn with(local: LocalAddrs, reach: Reach) -> Self {
        Self {
            ahead: Duration::ZERO,
            plain: pool().build(tcp(local, reach)),
            local,
            reach,
            secure: Mutex::default(),
            pins: Pins::default(),
        }
    }

    /// Where requests go out from.
    pub(crate) fn local(&self) -> LocalAddrs {
        self.local
    }

    /// Whether an address may be called.
    pub(crate) fn may_call(&self, addr: IpAddr) -> bool {
        self.reach == Reach::Everywhere || !is_near(addr)
    }

    /// Which certificates are expected where.
    pub(crate) fn pins(&self) -> &Pins {
        &self.pins
    }

    /// Sends `request`, whose URI is absolute, and reads the answer, of at most `limit` bytes, within `timeout`.
    pub(crate) async fn send(
        &self,
        mut request: Request<Full<Bytes>>,
        limit: usize,
        timeout: Duration,
    ) -> Result<Answer, HttpError> {
        request.headers_mut().insert(
            header::USER_AGENT,
            header::HeaderValue::from_static(USER_AGENT),
        );
        match tokio::time::timeout(timeout, self.exchange(request, limit)).await {
            Ok(answer) => answer,
            Err(_) => Err(HttpError::TimedOut(timeout)),
        }
    }

    /// [`Http::send`] of a GET.
    pub(crate) async fn get(
        &self,
        url: &str,
        limit: usize,
        timeout: Duration,
    ) -> Result<Answer, HttpError> {
        let request = Request::get(url)
            .body(Full::default())
            .map_err(|_| HttpError::Url("the URL is malformed".into()))?;
        self.send(request, limit, timeout).await
    }

    async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
        limit: usize,
    ) -> Result<Answer, HttpError> {
        // An address in the URL is connected to without asking the resolver.
        let host = request.uri().host().unwrap_or_default();
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse();
        if self.reach == Reach::Far && literal.is_ok_and(is_near) {
            return Err(HttpError::Connect(NEAR.to_owned()));
        }
        let response = match request.uri().scheme_str() {
            Some("http") => self.plain.request(request).await,
            Some("https") => self.secure(request.uri()).request(request).await,
            _ => return Err(HttpError::Url("only http and https can be used".into())),
        };
        read(response.map_err(|error| connect_error(&error))?, limit).await
    }

    /// The pool for the host of `uri`; made at its first use.
    fn secure(&self, uri: &hyper::Uri) -> Secure {
        let host = uri.host().unwrap_or_default().to_owned();
        let pin = self.pins.of(&(host, uri.port_u16().unwrap_or(443)));
        let mut pools = self.secure.lock().unwrap_or_else(PoisonError::into_inner);
        let pool = pools.entry(pin).or_insert_with(|| {
            let connector = HttpsConnectorBuilder::new()
                .with_tls_config(client_config(pin, self.ahead))
                .https_only()
                .enable_http1()
                .wrap_connector(tcp(self.local, self.reach));
            pool().build(connector)
        });
        pool.clone()
    }
}

fn pool() -> hyper_util::client::legacy::Builder {
    let mut builder = Client::builder(TokioExecutor::new());
    builder
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(Duration::from_secs(60))
        .pool_max_idle_per_host(IDLE_PER_HOST);
    builder
}

fn tcp(local: LocalAddrs, reach: Reach) -> Tcp {
    let mut connector = HttpConnector::new_with_resolver(Resolver(reach));
    match (local.v4, local.v6) {
        (Some(v4), Some(v6)) => connector.set_local_addresses(v4, v6),
        (v4, v6) => connector.set_local_address(v4.map(IpAddr::V4).or(v6.map(IpAddr::V6))),
    }
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    connector.set_nodelay(true);
    connector.enforce_http(false);
    connector
}

/// Why a stranger's URL is not asked.
pub(super) const NEAR: &str =
    "it leads to this machine or a private network, where no tracker was added";

/// The system's resolver; what is out of reach is taken out of its answers, so that nothing can change between looking and connecting.
#[derive(Clone)]
struct Resolver(Reach);

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let Self(reach) = *self;
        Box::pin(async move {
            let mut addrs: Vec<SocketAddr> =
                tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            if reach == Reach::Far {
                addrs.retain(|addr| !is_near(addr.ip()));
                if addrs.is_empty() {
                    return Err(io::Error::other(NEAR));
                }
            }
            Ok(addrs.into_iter())
        })
    }
}

async fn read(
    response: Response<hyper::body::Incoming>,
    limit: usize,
) -> Result<Answer, HttpError> {
    let status = response.status();
    let retry_after = response
        .headers()
        .get(header::RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.trim().parse().ok())
        .map(Duration::from_secs);
    let body = Limited::new(response.into_body(), limit);
    let body = body.collect().await.map_err(|error| {
        if error.is::<LengthLimitError>() {
            HttpError::TooLarge(limit)
        } else {
            HttpError::Connect(format!("the connection broke: {error}"))
        }
    })?;
    Ok(Answer {
        status,
        retry_after,
        body: body.to_bytes(),
    })
}

/// The innermost cause: the outer ones say "client error (Connect)" and the like.
fn connect_error(error: &hyper_util::client::legacy::Error) -> HttpError {
    if let Some(distrust) = distrust(error) {
        return HttpError::Distrust(distrust.clone());
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    HttpError::Connect(cause.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tracker::testing;

    #[tokio::test]
    async fn an_answer_over_the_limit_is_refused() {
        let server = testing::serve(|_| testing::json(200, &"x".repeat(5_000))).await;
        let answer = Http::new(LocalAddrs::default())
            .get(&server.url, 1_000, Duration::from_secs(10))
            .await;
        assert_eq!(answer.unwrap_err(), HttpError::TooLarge(1_000));
    }

    #[tokio::test]
    async fn a_closed_port_says_so() {
        let url = testing::closed_url();
        let error = Http::new(LocalAddrs::default())
            .get(&url, 1_000, Duration::from_secs(10))
            .await
            .unwrap_err();
        assert!(error.to_string().contains("refused"), "{error}");
    }

    #[tokio::test]
    async fn a_silent_server_times_out() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let wait = Duration::from_millis(50);
        let error = Http::new(LocalAddrs::default())
            .get(&url, 1_000, wait)
            .await
            .unwrap_err();
        assert_eq!(error, HttpError::TimedOut(wait));
    }

    #[tokio::test]
    async fn a_stranger_cannot_make_us_call_this_machine_by_address_or_by_name() {
        let server = testing::serve(|_| testing::json(200, &"x")).await;
        let (_, port) = server.url.rsplit_once(':').unwrap();
        let wait = Duration::from_secs(10);
        for host in [
            "127.0.0.1",
            "localhost",
            "2130706433",
            "[::1]",
            "[::ffff:127.0.0.1]",
        ] {
            let url = format!("http://{host}:{port}/");
            let error = Http::far(LocalAddrs::default())
                .get(&url, 1_000, wait)
                .await;
            assert!(matches!(error, Err(HttpError::Connect(_))), "{host}");
        }
        assert!(server.seen().is_empty(), "{:?}", server.seen());
        let url = format!("http://localhost:{port}/");
        let near = Http::new(LocalAddrs::default());
        assert!(near.get(&url, 1_000, wait).await.is_ok());
    }

    #[tokio::test]
    async fn other_schemes_are_refused() {
        let error = Http::new(LocalAddrs::default())
            .get("udp://127.0.0.1:1/announce", 10, Duration::from_secs(1))
            .await
            .unwrap_err();
        assert!(matches!(error, HttpError::Url(_)));
    }
}
