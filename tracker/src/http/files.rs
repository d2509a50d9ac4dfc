//! Routes about what is published, and piece points.

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use data_encoding::BASE64;
use p2p_wire::api::{
    Availability, Fetch, FetchPeer, FileEntry, LogEvent, Page, PatchFile, ProblemType, Publish,
    Published,
};
use p2p_wire::points::{CONTENT_TYPE, Report};
use serde::Deserialize;

use super::App;
use super::body::{self, SMALL};
use super::caller::Caller;
use crate::catalogue::{ListParams, page_limit};
use crate::refusal::Refusal;
use crate::store::{LogLine, LogQuery};
use crate::time::rfc3339_millis;

/// Peers in an answer to `fetch`.
const FETCH_PEERS: u32 = 50;
/// Bytes of a points report: 10,000 items of 10,000 pieces in full, and some.
const MAX_REPORT: usize = 16 << 20;

type HashPath = Result<Path<String>, PathRejection>;
type Params<T> = Result<Query<T>, QueryRejection>;

pub(super) async fn publish(
    State(tracker): State<App>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<Published>), Refusal> {
    let config = tracker.config();
    // Base64 makes four of three; the rest is names and tags.
    let limit =
        usize::try_from(config.catalogue.max_torrent.0).unwrap_or(usize::MAX / 2) / 3 * 4 + SMALL;
    let request: Publish = body::json(&headers, body, limit).await?;
    let (file, created) = tracker
        .catalogue
        .publish(&caller.login, request, &config, &tracker.hooks)
        .await?;
    if created {
        let (account, node) = (caller.login.account.id, caller.login.node.row.id);
        let version = file.version;
        tracker.record(
            "published",
            account,
            Some(node),
            file.info_hash,
            |who, _| {
                let again = if version > 1 {
                    format!(", version {version}")
                } else {
                    String::new()
                };
                format!("{who} published {}/{}{again}", file.share, file.entry)
            },
        );
    }
    let status = if created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok((
        status,
        Json(Published {
            file: tracker.file_entry(file),
            created,
        }),
    ))
}

pub(super) async fn list(
    State(tracker): State<App>,
    caller: Caller,
    params: Params<ListParams>,
) -> Result<Json<Page<FileEntry>>, Refusal> {
    let (files, next) = tracker
        .catalogue
        .list(query(params)?, caller.login.account.id)
        .await?;
    Ok(Json(Page {
        items: files
            .into_iter()
            .map(|file| tracker.file_entry(file))
            .collect(),
        next,
    }))
}

pub(super) async fn show(
    State(tracker): State<App>,
    caller: Caller,
    path: HashPath,
) -> Result<Json<FileEntry>, Refusal> {
    let account = caller.login.account.id;
    let hash = tracker.catalogue.resolve(&segment(path)?, account)?;
    Ok(Json(
        tracker.file_entry(tracker.catalogue.entry(hash, account).await?),
    ))
}

pub(super) async fn patch(
    State(tracker): State<App>,
    caller: Caller,
    path: HashPath,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<FileEntry>, Refusal> {
    let hash = tracker
        .catalogue
        .resolve(&segment(path)?, caller.login.account.id)?;
    let patch: PatchFile = body::json(&headers, body, SMALL).await?;
    Ok(Json(tracker.file_entry(
        tracker.catalogue.patch(&caller.login, hash, patch).await?,
    )))
}

pub(super) async fn unpublish(
    State(tracker): State<App>,
    caller: Caller,
    path: HashPath,
) -> Result<StatusCode, Refusal> {
    let hash = tracker
        .catalogue
        .resolve(&segment(path)?, caller.login.account.id)?;
    let who = tracker.who(caller.login.account.id, Some(caller.login.node.row.id));
    for file in tracker.catalogue.unpublish(&caller.login, hash).await? {
        tracker.journal.record(crate::store::NewLine {
            event: "unpublished",
            account: Some(caller.login.account.username.clone()),
            node: Some(caller.login.node.row.name.clone()),
            info_hash: Some(hash),
            name: Some(file.name()),
            text: format!("{who} withdrew {}/{}", file.share, file.entry),
            ..Default::default()
        });
    }
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn torrent(
    State(tracker): State<App>,
    caller: Caller,
    path: HashPath,
) -> Result<Response, Refusal> {
    let hash = tracker
        .catalogue
        .resolve(&segment(path)?, caller.login.account.id)?;
    let url = caller
        .client
        .stock_announce_url(&tracker, &caller.login.account);
    let bytes = tracker.catalogue.torrent(hash, &url).await?;
    let disposition = format!("attachment; filename=\"{hash}.torrent\"");
    let headers = [
        (header::CONTENT_TYPE, "application/x-bittorrent".to_owned()),
        (header::CONTENT_DISPOSITION, disposition),
    ];
    Ok((headers, bytes).into_response())
}

pub(super) async fn fetch(
    State(tracker): State<App>,
    caller: Caller,
    path: HashPath,
) -> Result<Json<Fetch>, Refusal> {
    let account = caller.login.account.id;
    let hash = tracker.catalogue.resolve(&segment(path)?, account)?;
    let file = tracker.catalogue.entry(hash, account).await?;
    let url = caller.client.announce_url(&tracker, &caller.login.account);
    let metainfo = tracker.catalogue.torrent(hash, &url).await?;
    let asker = caller.client.ip;
    let rows = tracker
        .swarms
        .peers(&hash, asker, FETCH_PEERS, rand::random());
    let peers = rows
        .into_iter()
        .filter(|row| row.node != Some(caller.login.node.row.id))
        .map(|row| FetchPeer {
            addr: row.addr.to_string(),
            node: row.node.and_then(|node| tracker.node_name(node)),
            seed: row.seed,
        })
        .collect();
    Ok(Json(Fetch {
        file: tracker.file_entry(file),
        metainfo: BASE64.encode(&metainfo),
        peers,
        availability: tracker.summary(&hash).into(),
    }))
}

#[derive(Default, Deserialize)]
pub(super) struct AvailabilityParams {
    missing: Option<u8>,
}

pub(super) async fn availability(
    State(tracker): State<App>,
    caller: Caller,
    path: HashPath,
    params: Params<AvailabilityParams>,
) -> Result<Json<Availability>, Refusal> {
    let missing_only = query(params)?.missing.unwrap_or(0) != 0;
    let hash = tracker
        .catalogue
        .resolve(&segment(path)?, caller.login.account.id)?;
    Ok(Json(tracker.availability(hash, missing_only).await?))
}

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

pub(super) async fn named(
    State(tracker): State<App>,
    caller: Caller,
    path: Result<Path<(String, String, String)>, PathRejection>,
) -> Result<Json<FileEntry>, Refusal> {
    let Path((owner, share, entry)) = path.map_err(|error| bad_request(error.body_text()))?;
    let file = tracker
        .catalogue
        .named(owner, share, entry, caller.login.account.id)
        .await?;
    Ok(Json(tracker.file_entry(file)))
}

pub(super) async fn points(
    State(tracker): State<App>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let bytes = body::read(&headers, body, CONTENT_TYPE, MAX_REPORT).await?;
    let report = Report::from_bytes(&bytes)
        .map_err(|error| bad_request(format!("this is no report: {error}")))?;
    tracker.counters.report();
    let reply = tracker.report(&caller.login, &report, caller.client.ip);
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], reply.to_bytes()).into_response())
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

fn segment(path: HashPath) -> Result<String, Refusal> {
    path.map(|Path(text)| text)
        .map_err(|error| bad_request(error.body_text()))
}

fn query<T>(params: Params<T>) -> Result<T, Refusal> {
    params
        .map(|Query(params)| params)
        .map_err(|error| Refusal::invalid(format!("the query does not fit: {}", error.body_text())))
}

fn bad_request(title: String) -> Refusal {
    Refusal::new(ProblemType::BadRequest, title)
}
