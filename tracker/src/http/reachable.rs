//! `POST /v1/reachable`: whether others can connect to who asks.
//!
//! The tracker connects to the caller's own address alone, and only for those with a session, so that nobody can have others scanned.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::http::HeaderMap;
use p2p_wire::api::{PortTest, ProblemType, Reachable};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::body::{self, SMALL};
use super::caller::Caller;
use crate::refusal::Refusal;
use crate::time::{rfc3339, unix_now};

/// Until a port counts as closed.
const PATIENCE: Duration = Duration::from_secs(5);
/// Tests under way at once, over all callers.
static TESTS: Semaphore = Semaphore::const_new(16);

pub(super) async fn reachable(
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Reachable>, Refusal> {
    let test: PortTest = body::json(&headers, body, SMALL).await?;
    if test.port == 0 {
        return Err(Refusal::invalid("nobody can listen on port 0"));
    }
    let Ok(_place) = TESTS.try_acquire() else {
        let busy = Refusal::new(ProblemType::SlowDown, "too many ports are being tested");
        return Err(busy.hint("Try again shortly.").retry_after(5));
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
