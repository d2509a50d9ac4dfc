//! The HTTP side: announces and scrapes for any BitTorrent client, the JSON API for p2pd.
//!
//! Handlers translate: they read a request, call the tracker, and write what it says. Nothing is decided here but who the caller is and
//! how large a body may be.

mod accounts;
mod announce;
mod body;
mod caller;
mod connection;
mod files;
mod guests;
mod log;
mod points;
mod problem;
mod reachable;
mod server;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use p2p_wire::metrics;

use crate::refusal::Refusal;
use crate::tracker::Tracker;

pub(crate) use announce::announce_passkey;
pub(crate) use log::log_event;
pub use server::{Listeners, serve};

/// State of every handler.
type App = Arc<Tracker>;

/// All routes.
pub(crate) fn router(tracker: App) -> Router {
    Router::new()
        .route("/v1/register", post(accounts::register))
        .route("/v1/login", post(accounts::login))
        .route("/v1/logout", post(accounts::logout))
        .route("/v1/logout-all", post(accounts::logout_all))
        .route("/v1/me", get(accounts::me))
        .route("/v1/me/password", post(accounts::change_password))
        .route("/v1/me/passkey/rotate", post(accounts::rotate_passkey))
        .route("/v1/nodes", get(accounts::nodes))
        .route("/v1/files", get(files::list).post(files::publish))
        .route(
            "/v1/files/{hash}",
            get(files::show)
                .patch(files::patch)
                .delete(files::unpublish),
        )
        .route("/v1/files/{hash}/torrent", get(files::torrent))
        .route("/v1/files/{hash}/fetch", get(files::fetch))
        .route("/v1/files/{hash}/availability", get(files::availability))
        .route("/v1/files/{hash}/log", get(log::log))
        .route("/v1/names/{owner}/{share}/{*entry}", get(files::named))
        .route("/v1/points", post(points::points))
        .route("/v1/reachable", post(reachable::reachable))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .fallback(other)
        .method_not_allowed_fallback(no_route)
        .with_state(tracker)
}

/// The one route of the listener for Prometheus.
pub(crate) fn metrics_router(tracker: App) -> Router {
    let text = |State(tracker): State<App>| async move {
        let kind = [(header::CONTENT_TYPE, metrics::CONTENT_TYPE)];
        (kind, crate::metrics::text(&tracker))
    };
    Router::new()
        .route("/metrics", get(text))
        .fallback(no_route)
        .method_not_allowed_fallback(no_route)
        .with_state(tracker)
}

/// Ready when the database answers.
async fn ready(State(tracker): State<App>) -> Result<&'static str, Refusal> {
    tracker.store.ready().await?;
    Ok("ok\n")
}

/// Announces and scrapes, whose paths are too many for a table, and what is no route at all.
async fn other(State(tracker): State<App>, request: Request) -> Response {
    match announce::answer(&tracker, &request) {
        Some(response) => response,
        None => no_route(request).await.into_response(),
    }
}

async fn no_route(request: Request) -> Refusal {
    let path = announce::masked(request.uri().path());
    Refusal::not_found(
        format!("there is no route {} {path}", request.method()),
        "Check the tracker's URL and version.",
    )
}
