//! Listening sockets: how many connections there may be, and a clean end of all.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::connection::connection;
use super::{metrics_router, router};
use crate::tls::Tls;
use crate::tracker::Tracker;

/// Connections to the listener of metrics.
const METRICS_CONNECTIONS: usize = 16;
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

/// Serves `listeners`, and `metrics` to Prometheus, until `stop` is true, then lets requests under way finish.
pub async fn serve(
    tracker: Arc<Tracker>,
    tls: Arc<Tls>,
    listeners: Listeners,
    metrics: Listeners,
    stop: watch::Receiver<bool>,
) {
    let config = tracker.config();
    let places = Arc::new(Semaphore::new(config.limits.connections as usize));
    let server = Server {
        router: router(Arc::clone(&tracker)),
        tracker,
        tls,
        stop,
    };
    let mut accepting = JoinSet::new();
    for socket in listeners.sockets {
        accepting.spawn(accept(socket, server.clone(), Arc::clone(&places)));
    }
    let few = Arc::new(Semaphore::new(METRICS_CONNECTIONS));
    for socket in metrics.sockets {
        let server = Server {
            router: metrics_router(Arc::clone(&server.tracker)),
            ..server.clone()
        };
        accepting.spawn(accept(socket, server, Arc::clone(&few)));
    }
    while accepting.join_next().await.is_some() {}
    // All places free means that every connection has ended.
    let _ = tokio::time::timeout(DRAIN_TIME, places.acquire_many(config.limits.connections)).await;
}

/// What every connection needs.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) router: Router,
    pub(super) tracker: Arc<Tracker>,
    pub(super) tls: Arc<Tls>,
    /// True when the tracker stops.
    pub(super) stop: watch::Receiver<bool>,
}

async fn accept(socket: TcpListener, server: Server, places: Arc<Semaphore>) {
    let mut stop = server.stop.clone();
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
                tokio::spawn(connection(stream, remote, server.clone(), place));
            }
            Err(error) => {
                // Out of descriptors, most likely: give others time to end.
                tracing::warn!("cannot accept a connection: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Returns when the tracker stops.
pub(super) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // The sender gone means the end too.
    let _ = stop.wait_for(|stop| *stop).await;
}
