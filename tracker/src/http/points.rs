//! `POST /v1/points`: reports of piece points.

use std::collections::HashSet;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use p2p_wire::api::ProblemType;
use p2p_wire::points::{CONTENT_TYPE, Report};

use super::App;
use super::body;
use super::caller::Caller;
use crate::refusal::Refusal;

/// Bytes of a report: 10,000 items of 10,000 pieces in full, and some.
const MAX_REPORT: usize = 16 << 20;

pub(super) async fn points(
    State(tracker): State<App>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let _room = body::room(&tracker, &headers, MAX_REPORT).await;
    let bytes = body::read(&headers, body, CONTENT_TYPE, MAX_REPORT).await?;
    let node = caller.login.node.row.id;
    let turn = tracker.turns.take(node).ok_or_else(|| {
        Refusal::new(
            ProblemType::SlowDown,
            "an earlier report of this machine is being taken",
            "Send one report after the other.",
        )
        .retry_after(3)
    })?;
    tracker.counters.report();
    // A large one is some seconds of work, which must not stand in the way of announces.
    let taking = App::clone(&tracker);
    let work = move || {
        let _turn = turn;
        let report = Report::from_bytes(&bytes).map_err(|error| bad_report(&error.to_string()))?;
        let mut seen = HashSet::new();
        if !report.items.iter().all(|item| seen.insert(&item.item)) {
            return Err(bad_report("names an item twice"));
        }
        let reply = taking.report(&caller.login, &report, caller.client.ip);
        Ok(reply.to_bytes())
    };
    let reply = tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| Refusal::internal("the report could not be taken"))??;
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], reply).into_response())
}

fn bad_report(why: &str) -> Refusal {
    Refusal::new(
        ProblemType::BadRequest,
        format!("the report of piece points cannot be read: it {why}"),
        "p2pd and the tracker may be of versions that do not fit; install the same of both.",
    )
}
