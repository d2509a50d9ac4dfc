//! `POST /v1/reachable`: whether others can connect to who asks.
//!
//! The tracker connects to the caller's own address alone, and only for those with a session, so that nobody can have others scanned.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use p2p_wire::api::{PortTest, ProblemType, Reachable};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::App;
use super::body::{self, SMALL};
use super::caller::Caller;
use crate::refusal::Refusal;
use crate::time::{rfc3339, unix_now};

/// Until a port counts as closed.
const PATIENCE: Duration = Duration::from_secs(5);
/// Tests under way at once, over all callers.
static TESTS: Semaphore = Semaphore::const_new(16);

pub(super) async fn reachable(
    State(tracker): State<App>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Reachable>, Refusal> {
    let test: PortTest = body::json(&headers, body, SMALL).await?;
    if test.port == 0 {
        return Err(Refusal::invalid(
            "nobody can listen on port 0",
            "Give the port that p2pd listens on.",
        ));
    }
    let node = caller.login.node.row.id;
    // What came over loopback came from here, or through a proxy that is not said to be one: that address is the tracker's own machine.
    let through_proxy =
        headers.contains_key("x-forwarded-for") || headers.contains_key("forwarded");
    if caller.client.ip.is_loopback() && through_proxy {
        return Err(Refusal::new(
            ProblemType::Invalid,
            "your address is not known here",
            "The tracker's administrator must name the proxy in http.trusted_proxies.",
        ));
    }
    let slow_down = |title| {
        let busy = Refusal::new(ProblemType::SlowDown, title, "Try again shortly.");
        Err(busy.retry_after(5))
    };
    let Some(_turn) = tracker.tests.take(node) else {
        return slow_down("a port of this machine is being tested");
    };
    let Ok(_place) = TESTS.try_acquire() else {
        return slow_down("too many ports are being tested");
    };
    let address = SocketAddr::new(caller.client.ip, test.port);
    let why = match tokio::time::timeout(PATIENCE, TcpStream::connect(address)).await {
        Ok(Ok(_)) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some(format!("no answer within {} s", PATIENCE.as_secs())),
    };
    Ok(Json(Reachable {
        address: address.to_string(),
        reachable: why.is_none(),
        why,
        time: rfc3339(unix_now()),
    }))
}
