//! What clients follow: events and the log.

use std::sync::Arc;

use p2p_wire::InfoHash;
use p2p_wire::control::{ErrorKind, Event, Gap, LogLine, LogTail, Subscribe};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;

use super::caller::Caller;
use super::progress::Progress;
use super::{Daemon, answer, lookup};
use crate::Fault;
use crate::engine::Events;
use crate::hooks::EVENTS;

/// Lines of the log when nobody says how many.
const LINES: u32 = 100;
/// Lines of the log in one notification at most.
const BATCH: usize = 100;

/// Sends events to a client until it goes. It is subscribed when this returns; the future sends.
///
/// Waits when the client is slow; what the log of events drops meanwhile is told as a gap.
pub(super) fn events(
    events: Events,
    subscribe: Subscribe,
    whose: Option<u32>,
    lines: mpsc::Sender<String>,
) -> impl Future<Output = ()> + Send + 'static {
    let since = subscribe.since.unwrap_or_else(|| events.last_seq());
    let (kept, mut live) = events.subscribe(since);
    async move {
        let mut stream = EventStream {
            topics: subscribe.topics,
            whose,
            last: since,
            lines,
        };
        for event in kept {
            if stream.send(event).await.is_err() {
                return;
            }
        }
        loop {
            match live.recv().await {
                Ok(event) => {
                    if stream.send(event).await.is_err() {
                        return;
                    }
                }
                // The next event's number tells what was lost.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            }
        }
    }
}

struct EventStream {
    topics: Vec<String>,
    /// Only what concerns this user.
    whose: Option<u32>,
    /// Number of the last event that came by.
    last: u64,
    lines: mpsc::Sender<String>,
}

impl EventStream {
    async fn send(&mut self, event: Event) -> Result<(), mpsc::error::SendError<String>> {
        let expected = self.last.saturating_add(1);
        if event.seq > expected {
            let gap = Gap {
                from: expected,
                to: event.seq - 1,
            };
            let line = answer::notification("gap", gap);
            self.lines.send(line).await?;
        }
        self.last = event.seq;
        let concerns = (self.whose).is_none_or(|uid| event.owner_uid == Some(uid));
        if concerns && self.wants(&event.topic) {
            let line = answer::notification("event", event);
            self.lines.send(line).await?;
        }
        Ok(())
    }

    /// A prefix means whole words: `item` is `item.finished` too, but not `items`.
    fn wants(&self, topic: &str) -> bool {
        self.topics.is_empty() || self.topics.iter().any(|wanted| is_part(wanted, topic))
    }
}

fn is_part(wanted: &str, topic: &str) -> bool {
    let rest = topic.strip_prefix(wanted);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The fault of one who would wait for ever.
pub(super) fn check(topics: &[String]) -> Result<(), Fault> {
    let never = topics
        .iter()
        .find(|wanted| !EVENTS.iter().any(|topic| is_part(wanted, topic)));
    never.map_or(Ok(()), |never| {
        Err(Fault::new(
            ErrorKind::Usage,
            format!("cannot watch {never}"),
            "Nothing that happens has such a name.",
            format!(
                "Take one of these, or the part before a dot:  {}",
                EVENTS.join(" ")
            ),
        ))
    })
}

/// `log.tail`: the last lines, for who sees only what is theirs those about their items; with `follow` goes on with further ones as progress, a list each, and never returns.
pub(super) async fn log(
    daemon: &Arc<Daemon>,
    caller: &Caller,
    tail: LogTail,
    mut progress: Progress,
) -> Result<Vec<LogLine>, Fault> {
    let item = match &tail.item {
        Some(name) => Some(lookup::find(daemon, caller, name).await?.info_hash),
        None => None,
    };
    let about = |line: &LogLine| {
        let owner = |hash: InfoHash| daemon.events.owner_of(hash);
        item.is_none_or(|item| line.info_hash == Some(item))
            && (caller.whose()).is_none_or(|uid| line.info_hash.and_then(owner) == Some(uid))
    };
    let (kept, mut live) = daemon.log.subscribe();
    let lines = tail.lines.unwrap_or(LINES) as usize;
    let kept: Vec<LogLine> = kept.into_iter().filter(about).collect();
    let kept = kept[kept.len().saturating_sub(lines)..].to_vec();
    if !tail.follow {
        return Ok(kept);
    }
    progress.send(kept).await;
    let mut batch = Vec::new();
    loop {
        match live.recv().await {
            Ok(line) if about(&line) => batch.push(line),
            Ok(_) | Err(RecvError::Lagged(_)) => continue,
            Err(RecvError::Closed) => return Ok(Vec::new()),
        }
        progress.ready().await;
        while batch.len() < BATCH
            && let Ok(line) = live.try_recv()
        {
            if about(&line) {
                batch.push(line);
            }
        }
        progress.send(std::mem::take(&mut batch)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    async fn next(lines: &mut mpsc::Receiver<String>) -> (String, Value) {
        let line = lines.recv().await.unwrap();
        let value: Value = serde_json::from_str(&line).unwrap();
        (
            value["method"].as_str().unwrap().to_owned(),
            value["params"].clone(),
        )
    }

    #[tokio::test]
    async fn a_reader_that_was_too_slow_is_told_what_it_lost() {
        let log = Events::default();
        let (lines, mut read) = mpsc::channel(1);
        let task = tokio::spawn(events(log.clone(), Subscribe::default(), None, lines));
        tokio::task::yield_now().await;
        for n in 0..1_000 {
            log.emit("item.added", None, None, format!("{n}"));
        }
        let (mut seen, mut lost) = (0, 0);
        while seen + lost < 1_000 {
            match next(&mut read).await {
                (method, event) if method == "event" => {
                    seen += 1;
                    assert_eq!(event["seq"], seen + lost);
                }
                (_, gap) => {
                    assert_eq!(gap["from"], seen + lost + 1);
                    lost = gap["to"].as_u64().unwrap() - seen;
                }
            }
        }
        assert!(seen > 0 && lost > 0, "{seen} seen, {lost} lost");
        drop(read);
        log.emit("item.added", None, None, String::new());
        task.await.unwrap();
    }

    #[tokio::test]
    async fn only_the_topics_asked_for_come_and_the_past_is_replayed() {
        let log = Events::default();
        log.emit("item.added", None, None, "first".into());
        log.emit("items", None, None, "other".into());
        log.emit("item", None, None, "third".into());
        let subscribe = Subscribe {
            topics: vec!["item".into()],
            since: Some(0),
        };
        let (lines, mut read) = mpsc::channel(8);
        tokio::spawn(events(log, subscribe, None, lines));
        assert_eq!(next(&mut read).await.1["text"], "first");
        assert_eq!(next(&mut read).await.1["text"], "third");
    }

    #[tokio::test]
    async fn a_user_hears_only_what_concerns_them() {
        let log = Events::default();
        let (ann, ben) = (InfoHash([1; 20]), InfoHash([2; 20]));
        log.belongs(ann, 1_000);
        log.belongs(ben, 1_001);
        log.emit("item.added", Some(ben), None, "ben's".into());
        log.emit("tracker.error", None, None, "nobody's".into());
        log.emit("item.added", Some(ann), None, "ann's".into());
        log.emit_to(1_000, "share.added", None, None, "her share".into());
        let subscribe = Subscribe {
            topics: Vec::new(),
            since: Some(0),
        };
        let (lines, mut read) = mpsc::channel(8);
        tokio::spawn(events(log, subscribe, Some(1_000), lines));
        assert_eq!(next(&mut read).await.1["text"], "ann's");
        assert_eq!(next(&mut read).await.1["text"], "her share");
    }
}
