//! `GET /v1/files/{infohash}/log`: what happened to a content.

use axum::Json;
use axum::extract::State;
use p2p_wire::api::{LogEvent, Page};
use serde::Deserialize;

use super::App;
use super::caller::Caller;
use super::files::{HashPath, Params, query, segment};
use crate::catalogue::page_limit;
use crate::refusal::Refusal;
use crate::store::{LogLine, LogQuery};
use crate::time::rfc3339_millis;

#[derive(Default, Deserialize)]
pub(super) struct LogParams {
    after: Option<i64>,
    limit: Option<u32>,
}

/// Newest first; `after` is the number of the last line of the page before.
pub(super) async fn log(
    State(tracker): State<App>,
    caller: Caller,
    path: HashPath,
    params: Params<LogParams>,
) -> Result<Json<Page<LogEvent>>, Refusal> {
    let params = query(params)?;
    let limit = page_limit(params.limit)?;
    let hash = tracker
        .catalogue
        .resolve(&segment(path)?, caller.login.account.id)?;
    let query = LogQuery {
        reader: Some(caller.login.account.id),
        info_hash: Some(hash),
        before: params.after,
        limit: limit + 1,
        ..LogQuery::default()
    };
    // What the caller did just before is in it.
    tracker.journal.flush().await;
    let mut lines = tracker.store.log(query).await?;
    let more = lines.len() > limit as usize;
    lines.truncate(limit as usize);
    let next = lines
        .last()
        .filter(|_| more)
        .map(|line| line.seq.to_string());
    Ok(Json(Page {
        items: lines.into_iter().map(log_event).collect(),
        next,
    }))
}

/// A line of the log as the API shows it.
pub(crate) fn log_event(line: LogLine) -> LogEvent {
    LogEvent {
        seq: line.seq.unsigned_abs(),
        time: rfc3339_millis(line.time),
        event: line.event,
        account: line.account,
        node: line.node,
        info_hash: line.info_hash,
        name: line.name,
        text: line.text,
    }
}
