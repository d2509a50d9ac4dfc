//! The listener that Prometheus reads from: one route, few connections, nothing secret.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::{TokioIo, TokioTimer};
use p2p_wire::control::ErrorKind;
use p2p_wire::metrics::CONTENT_TYPE;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::Fault;
use crate::control::Daemon;

/// Connections at once; further ones wait.
const CONNECTIONS: usize = 16;
/// A connection that sends no whole request head within this time is closed.
const HEAD_TIME: Duration = Duration::from_secs(15);

/// Binds every address.
pub(crate) async fn bind(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, Fault> {
    let mut sockets = Vec::with_capacity(addresses.len());
    for address in addresses {
        let bound = TcpListener::bind(address).await;
        let socket = bound.map_err(|error| {
            Fault::new(
                ErrorKind::Failed,
                format!("cannot listen on {address} for metrics"),
                error.to_string(),
                "Choose another address with [metrics] listen, or none.",
            )
        })?;
        if let Ok(address) = socket.local_addr() {
            tracing::info!("metrics at http://{address}/metrics");
        }
        sockets.push(socket);
    }
    Ok(sockets)
}

/// Answers on `sockets` for as long as the runtime turns.
pub(crate) fn serve(daemon: &Arc<Daemon>, sockets: Vec<TcpListener>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    for socket in sockets {
        tokio::spawn(accept(daemon.clone(), socket, places.clone()));
    }
}

async fn accept(daemon: Arc<Daemon>, socket: TcpListener, places: Arc<Semaphore>) {
    while let Ok(place) = places.clone().acquire_owned().await {
        let Ok((stream, _)) = socket.accept().await else {
            // Out of descriptors, most likely: give others time to end.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let daemon = daemon.clone();
        tokio::spawn(async move {
            let answer = service_fn(async |request: Request<hyper::body::Incoming>| {
                Ok::<_, Infallible>(answer(&daemon, &request).await)
            });
            let mut builder = http1::Builder::new();
            builder
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIME)
                .max_buf_size(16 * 1_024);
            // Clients go away as they like.
            let _ = builder.serve_connection(TokioIo::new(stream), answer).await;
            drop(place);
        });
    }
}

async fn answer<T>(daemon: &Daemon, request: &Request<T>) -> Response<Full<Bytes>> {
    let known = request.uri().path() == "/metrics";
    let asks = matches!(*request.method(), Method::GET | Method::HEAD);
    let (status, kind, text) = match (known, asks) {
        (true, true) => (StatusCode::OK, CONTENT_TYPE, super::text(daemon).await),
        (true, false) => (
            StatusCode::METHOD_NOT_ALLOWED,
            "text/plain",
            "only GET\n".to_owned(),
        ),
        (false, _) => (
            StatusCode::NOT_FOUND,
            "text/plain",
            "there is only /metrics\n".to_owned(),
        ),
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response
}
