//! Events between those who tell of them and the journal.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use p2p_wire::control::Event;
use tokio::sync::Notify;

/// Events that wait for the journal at most. When full, further ones are lost to hooks, and the log says so: the disk has failed for long.
const MOST: usize = 65_536;

/// Events that are not in the journal yet, in order.
#[derive(Default)]
pub(super) struct Inbox {
    kept: Mutex<Kept>,
    filled: Notify,
}

#[derive(Default)]
struct Kept {
    events: VecDeque<Event>,
    /// Of what repeats without news: the last sentence, by topic and name.
    last: HashMap<(&'static str, Option<String>), String>,
    lost: bool,
}

/// What says that something lasts, and what that it is over.
const REPEATS: &[(&str, &str)] = &[
    ("tracker.error", "tracker.recovered"),
    ("disk.low", "disk.ok"),
];

impl Inbox {
    /// Takes an event in; never waits.
    pub(super) fn put(&self, event: Event) {
        let mut kept = self.kept();
        if kept.repeats(&event) {
            return;
        }
        if kept.events.len() >= MOST {
            if !kept.lost {
                kept.lost = true;
                tracing::error!(
                    "hooks: events are lost to hooks: they cannot be written down fast enough"
                );
            }
            return;
        }
        kept.lost = false;
        kept.events.push_back(event);
        drop(kept);
        self.filled.notify_one();
    }

    /// Takes out what is there; waits until there is something.
    pub(super) async fn take(&self) -> Vec<Event> {
        loop {
            let events: Vec<Event> = self.kept().events.drain(..).collect();
            if !events.is_empty() {
                return events;
            }
            self.filled.notified().await;
        }
    }

    /// Puts back what could not be written down, in front.
    pub(super) fn put_back(&self, events: Vec<Event>) {
        let mut kept = self.kept();
        for event in events.into_iter().rev() {
            kept.events.push_front(event);
        }
        drop(kept);
        self.filled.notify_one();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.kept().events.is_empty()
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// True for what was said before, in the same words, and did not end since. What is about an item is always news.
    fn repeats(&mut self, event: &Event) -> bool {
        if event.info_hash.is_some() {
            return false;
        }
        for (lasts, over) in REPEATS {
            let key = (*lasts, event.name.clone());
            if event.topic == *over {
                self.last.remove(&key);
            } else if event.topic == *lasts {
                let before = self.last.insert(key, event.text.clone());
                return before.is_some_and(|before| before == event.text);
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(topic: &str, text: &str) -> Event {
        Event {
            seq: 1,
            time: String::new(),
            topic: topic.into(),
            info_hash: None,
            name: Some("home".into()),
            text: text.into(),
            owner_uid: None,
        }
    }

    #[tokio::test]
    async fn what_repeats_without_news_is_told_once() {
        let inbox = Inbox::default();
        for (topic, text) in [
            ("tracker.error", "away"),
            ("tracker.error", "away"),
            ("tracker.error", "wants a login"),
            ("tracker.recovered", "back"),
            ("tracker.error", "wants a login"),
            ("share.added", "x"),
            ("share.added", "x"),
        ] {
            inbox.put(event(topic, text));
        }
        let told = inbox.take().await;
        let texts: Vec<&str> = told.iter().map(|event| event.text.as_str()).collect();
        assert_eq!(
            texts,
            ["away", "wants a login", "back", "wants a login", "x", "x"]
        );
        assert!(inbox.is_empty());
        inbox.put(event("share.added", "later"));
        inbox.put_back(told);
        assert_eq!(inbox.take().await[6].text, "later");
    }
}
