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
use super::guests::Guests;
use super::{metrics_router, router};
use crate::listen::bound;
use crate::tls::Tls;
use crate::tracker::Tracker;

/// Connections to the listener of metrics.
const METRICS_CONNECTIONS: usize = 16;
/// One address may have this part of all connections.
const PART: u32 = 4;
/// How long requests under way may go on when the tracker stops.
const DRAIN_TIME: Duration = Duration::from_secs(3);

/// Bound sockets.
pub struct Listeners {
    sockets: Vec<TcpListener>,
}

impl Listeners {
    /// Binds every address.
    pub async fn bind(addresses: &[String]) -> io::Result<Self> {
        let mut sockets = Vec::new();
        for address in addresses {
            sockets.push(bound(address, "", TcpListener::bind::<String>).await?);
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
    let guests = Guests::new((config.limits.connections / PART).max(1));
    let mut accepting = JoinSet::new();
    for socket in listeners.sockets {
        let (places, guests) = (Arc::clone(&places), guests.clone());
        accepting.spawn(accept(socket, server.clone(), places, guests));
    }
    let few = Arc::new(Semaphore::new(METRICS_CONNECTIONS));
    for socket in metrics.sockets {
        let server = Server {
            router: metrics_router(Arc::clone(&server.tracker)),
            ..server.clone()
        };
        let guests = Guests::new(METRICS_CONNECTIONS as u32);
        accepting.spawn(accept(socket, server, Arc::clone(&few), guests));
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

async fn accept(socket: TcpListener, server: Server, places: Arc<Semaphore>, guests: Guests) {
    let mut stop = server.stop.clone();
    loop {
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            () = stopped(&mut stop) => return,
        };
        let (stream, remote) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, most likely: give others time to end.
                tracing::warn!("cannot accept a connection: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let ip = remote.ip().to_canonical();
        // A proxy, or what runs beside the tracker, brings the connections of many.
        let for_many = ip.is_loopback() || server.tracker.config().is_proxy(ip);
        let guest = guests.enter(ip);
        if guest.is_none() && !for_many {
            tracing::debug!("{ip} has too many connections");
            continue;
        }
        // What cannot be served yet waits, and those behind it in the listen queue.
        let place = tokio::select! {
            place = Arc::clone(&places).acquire_owned() => place,
            () = stopped(&mut stop) => return,
        };
        let Ok(place) = place else { return };
        let server = server.clone();
        tokio::spawn(async move {
            connection(stream, remote, server).await;
            drop((place, guest));
        });
    }
}

/// Returns when the tracker stops.
pub(super) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // The sender gone means the end too.
    let _ = stop.wait_for(|stop| *stop).await;
}
