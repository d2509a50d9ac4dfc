//! Sockets and connections: how many, how long, and a clean end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::IntoResponse;
use hyper::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
#[cfg(target_os = "linux")]
use nix::sys::socket::{setsockopt, sockopt::TcpUserTimeout};
use p2p_wire::api::ProblemType;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use super::announce::masked;
use super::caller::Ends;
use super::router;
use crate::refusal::Refusal;
use crate::tracker::Tracker;

/// A connection that sends no whole request head within this time is closed, also between two requests.
const HEAD_TIME: Duration = Duration::from_secs(15);
#[cfg(target_os = "linux")]
/// An answer that is not taken for so long ends the connection.
const WRITE_TIME: Duration = Duration::from_secs(60);
/// How long requests under way may go on when the tracker stops.
const DRAIN_TIME: Duration = Duration::from_secs(3);

/// Bound sockets.
pub struct Listeners {
    sockets: Vec<TcpListener>,
}

impl Listeners {
    /// Binds every address. `[::]` takes IPv4 too; on a machine without IPv6 it is `0.0.0.0`.
    pub async fn bind(addresses: &[String]) -> io::Result<Self> {
        let mut sockets = Vec::new();
        for address in addresses {
            let bound = match (
                TcpListener::bind(address).await,
                address.strip_prefix("[::]:"),
            ) {
                (Err(error), Some(port))
                    if error.raw_os_error() == Some(nix::errno::Errno::EAFNOSUPPORT as i32) =>
                {
                    TcpListener::bind(format!("0.0.0.0:{port}")).await
                }
                (bound, _) => bound,
            };
            let named = |error: io::Error| {
                io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
            };
            sockets.push(bound.map_err(named)?);
        }
        Ok(Self { sockets })
    }

    /// Where they listen; a port 0 in the configuration is a real one here.
    pub fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        self.sockets.iter().map(TcpListener::local_addr).collect()
    }
}

/// Serves until `stop` is true, then lets requests under way finish.
pub async fn serve(tracker: Arc<Tracker>, listeners: Listeners, stop: watch::Receiver<bool>) {
    let config = tracker.config();
    let places = Arc::new(Semaphore::new(config.limits.connections as usize));
    let router = router(Arc::clone(&tracker));
    let mut accepting = JoinSet::new();
    for socket in listeners.sockets {
        accepting.spawn(accept(
            socket,
            router.clone(),
            Arc::clone(&tracker),
            Arc::clone(&places),
            stop.clone(),
        ));
    }
    while accepting.join_next().await.is_some() {}
    // All places free means that every connection has ended.
    let _ = tokio::time::timeout(DRAIN_TIME, places.acquire_many(config.limits.connections)).await;
}

async fn accept(
    socket: TcpListener,
    router: Router,
    tracker: Arc<Tracker>,
    places: Arc<Semaphore>,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        // The place first: what cannot be served waits in the listen queue.
        let place = tokio::select! {
            place = Arc::clone(&places).acquire_owned() => place,
            () = stopped(&mut stop) => return,
        };
        let Ok(place) = place else { return };
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            () = stopped(&mut stop) => return,
        };
        match accepted {
            Ok((stream, remote)) => {
                let connection = connection(
                    stream,
                    remote,
                    router.clone(),
                    Arc::clone(&tracker),
                    stop.clone(),
                    place,
                );
                tokio::spawn(connection);
            }
            Err(error) => {
                // Out of descriptors, most likely: give others time to end.
                tracing::warn!("cannot accept a connection: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(
    stream: TcpStream,
    remote: SocketAddr,
    router: Router,
    tracker: Arc<Tracker>,
    mut stop: watch::Receiver<bool>,
    _place: OwnedSemaphorePermit,
) {
    let _ = stream.set_nodelay(true);
    // Who asks and does not read the answers is cut off by the kernel, also while its window is closed.
    #[cfg(target_os = "linux")]
    let _ = setsockopt(&stream, TcpUserTimeout, &(WRITE_TIME.as_millis() as u32));
    let Ok(local) = stream.local_addr() else {
        return;
    };
    let service = TowerToHyperService::new(router);
    let handle = service_fn(|mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(Ends { remote, local });
        let line = tracing::enabled!(tracing::Level::DEBUG)
            .then(|| format!("{} {}", request.method(), masked(request.uri().path())));
        let limit = tracker.config().limits.request_time.duration();
        let answer = service.call(request);
        async move {
            let response: Response<Body> = match tokio::time::timeout(limit, answer).await {
                Ok(Ok(response)) => response,
                Ok(Err(never)) => match never {},
                Err(_) => too_slow(limit),
            };
            if let Some(line) = line {
                tracing::debug!("{line} {}", response.status().as_u16());
            }
            Ok::<_, std::convert::Infallible>(response)
        }
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(64 * 1_024);
    let serving = builder.serve_connection(TokioIo::new(stream), handle);
    tokio::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = stopped(&mut stop) => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    // Clients go away as they like.
    if let Err(error) = ended {
        tracing::trace!("connection ended: {error}");
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // The sender gone means the end too.
    let _ = stop.wait_for(|stop| *stop).await;
}

fn too_slow(limit: Duration) -> Response<Body> {
    let title = format!("the request was not finished within {} s", limit.as_secs());
    let mut response = Refusal::new(ProblemType::BadRequest, title).into_response();
    // What is left of its body is not waited for.
    response.headers_mut().insert(
        hyper::header::CONNECTION,
        hyper::header::HeaderValue::from_static("close"),
    );
    response
}
