//! One connection: encrypted or not, its requests, its end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

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
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::announce::masked;
use super::caller::Ends;
use super::server::{Server, stopped};
use crate::refusal::Refusal;

/// The first byte of a TLS connection (RFC 8446, 5.1: a record of type handshake). An HTTP method begins with a letter.
const TLS_HANDSHAKE: u8 = 22;
/// A connection that sends no whole request head within this time is closed, also between two requests.
const HEAD_TIME: Duration = Duration::from_secs(15);
/// An answer that is not taken for so long ends the connection.
#[cfg(target_os = "linux")]
const WRITE_TIME: Duration = Duration::from_secs(60);

/// Serves one connection until its end.
pub(super) async fn connection(stream: TcpStream, remote: SocketAddr, server: Server) {
    let _ = stream.set_nodelay(true);
    // Who asks and does not read the answers is cut off by the kernel, also while its window is closed.
    #[cfg(target_os = "linux")]
    let _ = setsockopt(&stream, TcpUserTimeout, &(WRITE_TIME.as_millis() as u32));
    let Ok(local) = stream.local_addr() else {
        return;
    };
    let tracker = Arc::clone(&server.tracker);
    let open = tracker.counters.connection();
    let mut ends = Ends {
        remote,
        local,
        tls: None,
    };
    let mut stop = server.stop.clone();
    let begin = async {
        let mut first = [0];
        let read = tokio::time::timeout(HEAD_TIME, stream.peek(&mut first)).await;
        matches!(read, Ok(Ok(1))).then_some(first[0])
    };
    let first = tokio::select! {
        first = begin => first,
        () = stopped(&mut stop) => return,
    };
    match first {
        Some(TLS_HANDSHAKE) => {
            let tls = server.tls.current();
            let shaken = tokio::select! {
                shaken = tokio::time::timeout(HEAD_TIME, tls.acceptor.accept(stream)) => shaken,
                () = stopped(&mut stop) => return,
            };
            match shaken {
                Ok(Ok(stream)) => {
                    open.speaks(true);
                    ends.tls = Some(tls.origin);
                    requests(stream, ends, server).await;
                }
                // Who does not know the certificate, most often.
                Ok(Err(error)) => tracing::debug!("a TLS connection did not begin: {error}"),
                Err(_) => {}
            }
        }
        Some(_) => {
            open.speaks(false);
            requests(stream, ends, server).await;
        }
        None => {}
    }
}

/// Answers the requests of one connection.
async fn requests(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ends: Ends,
    server: Server,
) {
    let Server {
        router,
        tracker,
        mut stop,
        ..
    } = server;
    let service = TowerToHyperService::new(router);
    let handle = service_fn(|mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(ends);
        let line = tracing::enabled!(tracing::Level::DEBUG)
            .then(|| format!("{} {}", request.method(), masked(request.uri().path())));
        let (counters, began) = (&tracker.counters, Instant::now());
        let limit = tracker.config().limits.request_time.0;
        let answer = service.call(request);
        async move {
            let response: Response<Body> = match tokio::time::timeout(limit, answer).await {
                Ok(Ok(response)) => response,
                Ok(Err(never)) => match never {},
                Err(_) => too_slow(limit),
            };
            counters.request(response.status().as_u16(), began.elapsed());
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

fn too_slow(limit: Duration) -> Response<Body> {
    let title = format!("the request was not finished within {} s", limit.as_secs());
    // Nobody's fault that can be told from here: a client may try again.
    let mut response = Refusal::new(ProblemType::Unavailable, title, "Try again; where that does not help, the tracker's administrator can raise limits.request_time.")
        .retry_after(10)
        .into_response();
    // What is left of its body is not waited for.
    response.headers_mut().insert(
        hyper::header::CONNECTION,
        hyper::header::HeaderValue::from_static("close"),
    );
    response
}
