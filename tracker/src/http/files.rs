//! Routes about what is published.

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use data_encoding::BASE64;
use p2p_wire::api::{
    Availability, Fetch, FetchPeer, FileEntry, Page, PatchFile, ProblemType, Publish, Published,
    Visibility,
};
use serde::Deserialize;

use super::App;
use super::body::{self, SMALL};
use super::caller::Caller;
use crate::catalogue::ListParams;
use crate::refusal::Refusal;
use crate::store::{FileRow, NewLine};

/// Peers in an answer to `fetch`.
const FETCH_PEERS: u32 = 50;

pub(super) type HashPath = Result<Path<String>, PathRejection>;
pub(super) type Params<T> = Result<Query<T>, QueryRejection>;

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
    let _room = body::room(&tracker, &headers, limit).await;
    let request: Publish = body::json(&headers, body, limit).await?;
    let (file, created) = tracker
        .catalogue
        .publish(&caller.login, request, &config, &tracker.hooks)
        .await?;
    if created {
        let again = if file.version > 1 {
            format!(", version {}", file.version)
        } else {
            String::new()
        };
        let what = format!("published {}/{}{again}", file.share, file.entry);
        record_entry(&tracker, &caller, "published", &file, &what);
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

#[derive(Default, Deserialize)]
pub(super) struct UnpublishParams {
    part: Option<Part>,
}

/// What of the caller's entries goes; without it all of them.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Part {
    /// That this machine publishes them.
    Mine,
}

pub(super) async fn unpublish(
    State(tracker): State<App>,
    caller: Caller,
    path: HashPath,
    params: Params<UnpublishParams>,
) -> Result<StatusCode, Refusal> {
    let part = query(params)?.part;
    let hash = tracker
        .catalogue
        .resolve(&segment(path)?, caller.login.account.id)?;
    let gone = match part {
        None => tracker.catalogue.unpublish(&caller.login, hash).await?,
        Some(Part::Mine) => tracker.catalogue.withdraw(&caller.login, hash).await?,
    };
    for file in gone {
        let what = format!("withdrew {}/{}", file.share, file.entry);
        record_entry(&tracker, &caller, "unpublished", &file, &what);
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
        availability: tracker.summary(&hash),
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

pub(super) async fn named(
    State(tracker): State<App>,
    caller: Caller,
    path: Result<Path<(String, String, String)>, PathRejection>,
) -> Result<Json<FileEntry>, Refusal> {
    let Path((owner, share, entry)) = path.map_err(|error| bad_path(&error))?;
    let file = tracker
        .catalogue
        .named(owner, share, entry, caller.login.account.id)
        .await?;
    Ok(Json(tracker.file_entry(file)))
}

/// Writes to the log what the caller did with an entry of its own.
fn record_entry(tracker: &App, caller: &Caller, event: &'static str, file: &FileRow, what: &str) {
    let (account, node) = (&caller.login.account, &caller.login.node.row);
    tracker.journal.record(NewLine {
        event,
        account: Some(account.username.clone()),
        node: Some(node.name.clone()),
        info_hash: Some(file.info_hash),
        name: Some(file.name()),
        text: format!("{}/{} {what}", account.username, node.name),
        reader: (file.visibility == Visibility::Own).then_some(file.account),
        ..NewLine::default()
    });
}

/// What stands for a content in a path.
pub(super) fn segment(path: HashPath) -> Result<String, Refusal> {
    path.map(|Path(text)| text)
        .map_err(|error| bad_path(&error))
}

pub(super) fn query<T>(params: Params<T>) -> Result<T, Refusal> {
    params.map(|Query(params)| params).map_err(|error| {
        Refusal::invalid(
            format!(
                "the query does not fit: {}",
                behind_colon(&error.body_text())
            ),
            "Correct that parameter, or leave it out.",
        )
    })
}

/// A text without what axum puts before each, which says no more.
fn behind_colon(text: &str) -> &str {
    text.split_once(": ").map_or(text, |(_, rest)| rest)
}

fn bad_path(error: &PathRejection) -> Refusal {
    Refusal::new(
        ProblemType::BadRequest,
        format!(
            "the path cannot be read: {}",
            behind_colon(&error.body_text())
        ),
        "Write it in UTF-8, percent-encoded.",
    )
}
