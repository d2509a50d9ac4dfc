//! Working off the [`Queue`](super::queue::Queue): what is sent to trackers, and whom the outcome is told.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use p2p_wire::InfoHash;
use p2p_wire::api::{FileEntry, Mode, Publish};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::client::{Api, ApiError};
use super::queue::{Job, key};
use super::registry::{Entry, Health};
use super::{Inner, Outcome, OutcomeKind};

/// How one request went.
enum Done {
    Published(Box<FileEntry>, Box<Publish>),
    Unpublished,
    /// There was nothing to take out, or nothing that can be read.
    Nothing,
    /// For good.
    Refused(ApiError, Option<Box<Publish>>),
    /// To be sent again.
    Failed(ApiError),
}

/// Works the queue off for as long as the daemon runs. Each tracker and user has a round of its own: one that hangs holds up no other.
pub(super) async fn work(inner: Arc<Inner>) {
    let mut rounds = JoinSet::new();
    let mut running = HashMap::new();
    // Those that nothing waits for, until something changes.
    let mut idle = HashSet::new();
    loop {
        let mut wake_at: Option<Instant> = None;
        for tracker in inner.registry.sessions() {
            let key = key(&tracker);
            let busy = running.values().any(|(other, _)| *other == key);
            if busy || idle.contains(&key) || tracker.health == Health::LoginEnded {
                continue;
            }
            if let Some(until) = inner.queue.ready_at(&tracker)
                && until > Instant::now()
            {
                wake_at = Some(wake_at.map_or(until, |at| at.min(until)));
                continue;
            }
            let began = rounds.spawn(round(inner.clone(), tracker));
            running.insert(began.id(), (key, true));
        }
        let pause = async {
            match wake_at {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some(ended) = rounds.join_next_with_id() => {
                let (id, did) = ended.unwrap_or_else(|error| (error.id(), false));
                // What came since it looked may be for it.
                if let Some((key, current)) = running.remove(&id) && !did && current {
                    idle.insert(key);
                }
            }
            () = inner.queue.changed() => {
                idle.clear();
                running.values_mut().for_each(|(_, current)| *current = false);
            }
            () = pause => {}
        }
    }
}

/// Sends the oldest requests of one tracker. True when another round is worth it.
async fn round(inner: Arc<Inner>, tracker: Entry) -> bool {
    let rows = match inner.queue.oldest(&tracker).await {
        Ok(rows) => rows,
        Err(error) => {
            tracing::warn!("publish queue: {error}");
            inner.queue.failed(&tracker, None);
            return true;
        }
    };
    if rows.is_empty() {
        return false;
    }
    let mut calls = JoinSet::new();
    for row in rows {
        let api = inner.api(&tracker);
        calls.spawn(async move { (row.id, row.item, send(&api, row.item, row.job).await) });
    }
    let mut results = Vec::new();
    while let Some(joined) = calls.join_next().await {
        results.extend(joined.ok());
    }
    let over: Vec<i64> = results
        .iter()
        .filter(|(.., done)| !matches!(done, Done::Failed(_)))
        .map(|(id, ..)| *id)
        .collect();
    if let Err(error) = inner.queue.cross_off(over).await {
        tracing::warn!("publish queue: {error}");
        inner.queue.failed(&tracker, None);
        return true;
    }
    let mut failure = None;
    for (_, item, done) in results {
        if let Some(error) = settle(&inner, &tracker, item, done).await {
            failure = Some(error);
        }
    }
    match failure {
        None => {
            inner.observe::<()>(&tracker, &Ok(()));
            inner.queue.answered(&tracker);
        }
        Some(error) => {
            let asked = error.retry_after();
            inner.observe::<()>(&tracker, &Err(error));
            inner.queue.failed(&tracker, asked);
        }
    }
    true
}

async fn send(api: &Api, item: InfoHash, job: Job) -> Done {
    match job {
        Job::Publish(request) => match api.publish(&request).await {
            Ok(published) => Done::Published(Box::new(published.file), request),
            Err(error) if error.is_permanent() => Done::Refused(error, Some(request)),
            Err(error) => Done::Failed(error),
        },
        Job::Withdraw => match api.withdraw(item).await {
            Ok(()) => Done::Unpublished,
            Err(error) if error.problem() == Some(p2p_wire::api::ProblemType::NotFound) => {
                Done::Nothing
            }
            Err(error) if error.is_permanent() => Done::Refused(error, None),
            Err(error) => Done::Failed(error),
        },
        Job::Damaged => Done::Nothing,
    }
}

/// Tells whoever wants to know. Gives the error back if the request must be sent again.
async fn settle(inner: &Inner, tracker: &Entry, item: InfoHash, done: Done) -> Option<ApiError> {
    let (request, kind) = match done {
        Done::Failed(error) => return Some(error),
        Done::Nothing => return None,
        Done::Unpublished => {
            inner.emit_unpublished(item, tracker);
            (None, OutcomeKind::Unpublished)
        }
        Done::Published(file, request) => {
            inner.emit_published(tracker.user, &file);
            if tracker.mode == Some(Mode::Listed)
                && let Some(engine) = inner.engine.get()
            {
                // Announces of a hash that was not in the catalogue yet were refused. One that is not an item here has none.
                let _ = engine.announce(item).await;
            }
            (Some(request), OutcomeKind::Published)
        }
        Done::Refused(error, request) => {
            let name = request.as_ref().and_then(|request| request.name.clone());
            let what = match &name {
                Some(name) => format!("cannot publish {name}"),
                None => format!("cannot withdraw {item}"),
            };
            let fault = error.fault(&what, &tracker.name);
            let text = format!("{}: {} {}", fault.what, fault.why, fault.fix);
            inner.events.emit_to(
                tracker.user,
                "tracker.error",
                Some(item),
                name.as_deref(),
                text,
            );
            (request, OutcomeKind::Refused(fault.why))
        }
    };
    let request = request.map(|request| *request);
    inner
        .report(Outcome {
            item,
            owner: tracker.user,
            share: request.as_ref().and_then(|request| request.share.clone()),
            entry: request.and_then(|request| request.name),
            kind,
        })
        .await;
    None
}
