//! Telling hooks what happened: read from the database, told in order, crossed off.

use std::sync::Arc;
use std::time::Duration;

use p2p_hooks::{Due, Said, Schedule, stops};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::event::{Body, EVENTS};
use super::ready;
use crate::store::{HookDue, StoreError};
use crate::tracker::Tracker;

/// Between two looks at which events have hooks.
const LOOK: Duration = Duration::from_secs(10);
/// Deliveries at once.
const AT_ONCE: usize = 4;
/// Rows that are read at once.
const PAGE: u32 = 1_000;

/// What became of a delivery.
enum Done {
    Told,
    Later,
    /// The tracker stops, or its database fails: it stays due.
    NotTold,
}

/// Events that the database writes down; none while that is not known.
pub type Wanted = Option<Vec<&'static str>>;

/// Tells hooks what happens, until [`super::Hooks::stop`]. `wanted` is what [`want`] gave before anything could happen.
pub async fn task(tracker: Arc<Tracker>, mut wanted: Wanted) {
    let mut stopping = tracker.hooks.stopping.subscribe();
    let mut schedule = Schedule::default();
    let mut running = JoinSet::new();
    let mut last = 0;
    let mut look = Instant::now() + LOOK;
    loop {
        if look <= Instant::now() {
            wanted = want(&tracker, wanted).await;
            look = Instant::now() + LOOK;
        }
        for row in read_due(&tracker, last).await {
            last = row.id;
            let id = row.id;
            let key = key(&row);
            schedule.push(Due { id, key });
        }
        while running.len() < AT_ONCE
            && let Some(due) = schedule.next(Instant::now())
        {
            let tracker = Arc::clone(&tracker);
            running.spawn(async move {
                let done = deliver(&tracker, due.id).await;
                (due, done)
            });
        }
        let wake = schedule.wake_at().map_or(look, |at| at.min(look));
        tokio::select! {
            Some(Ok((due, done))) = running.join_next() => match done {
                Done::Told => schedule.done(due),
                Done::Later | Done::NotTold => schedule.later(due, Instant::now()),
            },
            () = tracker.hooks.due.notified() => {}
            () = sleep_until(wake) => {}
            () = stops(&mut stopping) => break,
        }
    }
    // The runner ends them; what they do not get to stays due.
    while running.join_next().await.is_some() {}
}

/// Has the database write down what there are hooks for, and nothing else. Gives what it writes down now.
pub async fn want(tracker: &Tracker, before: Wanted) -> Wanted {
    let config = tracker.config();
    let mut now = Vec::new();
    for event in EVENTS {
        if !ready(&config, event).await.is_empty() {
            now.push(event);
        }
    }
    if before.as_ref() == Some(&now) {
        return before;
    }
    match tracker.store.hook_want(now.clone()).await {
        Ok(()) => Some(now),
        Err(error) => {
            tracing::warn!("hooks: which are wanted was not written: {error}");
            before
        }
    }
}

/// What is due behind the row `last`.
async fn read_due(tracker: &Tracker, last: i64) -> Vec<HookDue> {
    match tracker.store.hook_due(last, PAGE).await {
        Ok(due) => due,
        Err(StoreError::Stopped) => Vec::new(),
        Err(error) => {
            tracing::warn!("hooks: what is due cannot be read: {error}");
            sleep(Duration::from_secs(1)).await;
            Vec::new()
        }
    }
}

/// Events of one name of the catalogue, or of one account, are told in their order.
fn key(row: &HookDue) -> String {
    let file = row.file.as_ref();
    let name = file.map(|file| format!("{}/{}", file.share, file.entry));
    format!("{}/{}", row.account, name.unwrap_or_default())
}

async fn deliver(tracker: &Tracker, id: i64) -> Done {
    tell(tracker, id).await.unwrap_or_else(|error| {
        tracing::warn!("hooks: a telling cannot be written down: {error}");
        Done::NotTold
    })
}

async fn tell(tracker: &Tracker, id: i64) -> Result<Done, StoreError> {
    let rows = tracker.store.hook_due(id - 1, 1).await?;
    let Some(row) = rows.into_iter().find(|row| row.id == id) else {
        return Ok(Done::Told);
    };
    let config = tracker.config();
    let Some(event) = EVENTS.into_iter().find(|event| *event == row.event) else {
        // Of a newer version of this program.
        return Ok(Done::Later);
    };
    let body = Body::of_event(&row, &config.tracker.name);
    for hook in ready(&config, event).await {
        if row.told.contains(&hook.name) {
            continue;
        }
        match tracker.hooks.run(&hook, &body, false, &config).await {
            Said::Later(_) => return Ok(Done::Later),
            Said::Stopped => return Ok(Done::NotTold),
            // One that failed was told all the same; the log says so.
            Said::Ok | Said::Refused(_) | Said::Failed(_) => {
                tracker.store.hook_told(id, hook.name).await?;
            }
        }
    }
    tracker.store.hook_done(id).await?;
    Ok(Done::Told)
}
