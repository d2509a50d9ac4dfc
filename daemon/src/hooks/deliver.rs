//! Events on their way to hooks: journalled, told in order, crossed off.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use p2p_hooks::{Schedule, stops};
use p2p_wire::control::Event;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Inner;
use super::event::Body;
use super::journal::Due;
use super::run::Answer;
use crate::state::StateError;

/// Between two attempts to use a database that fails.
const RETRY: Duration = Duration::from_secs(1);

/// What became of a delivery.
enum Done {
    Told,
    Later,
    /// p2pd stops, or the database fails: it stays due.
    NotTold,
}

/// Tells hooks what happens, until p2pd stops.
pub(super) async fn task(inner: Arc<Inner>) {
    let mut stopping = inner.stopping.subscribe();
    let mut schedule = Schedule::default();
    inner.pay().await;
    for due in read_due(&inner).await {
        schedule.push(due);
    }
    let at_once = inner.config.concurrency.get() as usize;
    let mut running = JoinSet::new();
    loop {
        while running.len() < at_once
            && let Some(due) = schedule.next(Instant::now())
        {
            let inner = inner.clone();
            running.spawn(async move { (due, inner.deliver(due).await) });
        }
        if inner.inbox.is_empty() && !schedule.has(&None) {
            inner
                .idle
                .send_if_modified(|idle| !std::mem::replace(idle, true));
        }
        let wake = schedule.wake_at();
        tokio::select! {
            events = inner.inbox.take() => {
                for due in inner.write_down(events).await {
                    schedule.push(due);
                }
            }
            Some(Ok((due, done))) = running.join_next() => match done {
                Done::Told => schedule.done(due),
                Done::Later | Done::NotTold => schedule.later(due, Instant::now()),
            },
            () = until(wake) => {}
            () = stops(&mut stopping) => break,
        }
    }
    // The runner ends them; what they do not get to stays due.
    while running.join_next().await.is_some() {}
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

async fn read_due(inner: &Inner) -> Vec<Due> {
    loop {
        match inner.journal.due().await {
            Ok(due) => return due,
            Err(StateError::Closed) => return Vec::new(),
            Err(error) => tracing::error!("hooks: what is due cannot be read: {error}"),
        }
        tokio::time::sleep(RETRY).await;
    }
}

impl Inner {
    /// Tells what a daemon before this one recorded and did not come to tell.
    async fn pay(&self) {
        let owed = self.journal.owed().await;
        let owed = owed.unwrap_or_else(|error| {
            tracing::error!("hooks: what is owed cannot be read: {error}");
            Vec::new()
        });
        for (item, topic, name, text) in owed {
            self.events.emit(&topic, Some(item), Some(&name), text);
        }
    }

    /// Journals the events that have hooks.
    async fn write_down(&self, events: Vec<Event>) -> Vec<Due> {
        let mut hooks: HashMap<String, Vec<String>> = HashMap::new();
        let mut told = Vec::new();
        let mut paid = Vec::new();
        for event in &events {
            if let ("item.finished", Some(item)) = (&*event.topic, event.info_hash) {
                paid.push((item, event.topic.clone()));
            }
            if !hooks.contains_key(&event.topic) {
                let found = self.hooks_of(&event.topic).await;
                let names = found.iter().map(|hook| hook.name()).collect();
                hooks.insert(event.topic.clone(), names);
            }
            let names = hooks.get(&event.topic).cloned().unwrap_or_default();
            if names.is_empty() {
                continue;
            }
            let item = match (self.engine.get(), event.info_hash) {
                (Some(engine), Some(item)) => engine.item(item).await,
                _ => None,
            };
            told.push((
                names,
                Body::of_event(event.clone(), item, self.about.clone()),
            ));
        }
        if told.is_empty() && paid.is_empty() {
            return Vec::new();
        }
        match self.journal.add(told, paid).await {
            Ok(due) => due,
            Err(StateError::Closed) => Vec::new(),
            Err(error) => {
                tracing::error!("hooks: events cannot be written down, trying again: {error}");
                tokio::time::sleep(RETRY).await;
                self.inbox.put_back(events);
                Vec::new()
            }
        }
    }

    async fn deliver(&self, due: Due) -> Done {
        match self.tell(due).await {
            Ok(done) => done,
            Err(error) => {
                tracing::error!("hooks: the journal cannot be used, trying again: {error}");
                Done::NotTold
            }
        }
    }

    async fn tell(&self, due: Due) -> Result<Done, StateError> {
        let Some(delivery) = self.journal.delivery(due.id).await? else {
            tracing::warn!("hooks: an entry of the journal is damaged and dropped");
            self.journal.cross_off(due.id, None).await?;
            return Ok(Done::Told);
        };
        let body = delivery.body;
        let hooks = self.hooks_of(&body.event).await;
        let Some(hook) = hooks.into_iter().find(|hook| hook.name() == delivery.hook) else {
            let (event, hook) = (&body.event, &delivery.hook);
            tracing::warn!("{event} {hook} is not there any more, or is not run: it is not told");
            self.journal.cross_off(due.id, None).await?;
            return Ok(Done::Told);
        };
        let (run, answer) = self.run(&hook, &body).await;
        Ok(match answer {
            Answer::Stopped => Done::NotTold,
            Answer::Later(_) => {
                self.keep(&run).await;
                Done::Later
            }
            // One that failed has been told all the same.
            Answer::Ok(_) | Answer::Refused(_) | Answer::Failed(_) => {
                self.journal.cross_off(due.id, Some(&run)).await?;
                Done::Told
            }
        })
    }
}
