//! Events: what happened, numbered, kept for a while, and handed to whoever listens.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use p2p_wire::InfoHash;
use p2p_wire::control::Event;
use tokio::sync::broadcast;

/// Events kept for those who come later.
const KEPT: usize = 1_000;

/// The log of events. Cloning gives another handle on the same log.
///
/// A listener that does not read loses the oldest of what it has not read; nobody ever waits for it.
#[derive(Clone)]
pub struct Events {
    ring: Arc<Mutex<Ring>>,
    live: broadcast::Sender<Event>,
    tap: Arc<OnceLock<Tap>>,
}

/// See [`Events::tap`].
type Tap = Box<dyn Fn(&Event) + Send + Sync>;

struct Ring {
    next_seq: u64,
    events: VecDeque<Event>,
    /// User ids of whom the items belong to that are here.
    owners: HashMap<InfoHash, u32>,
}

impl Default for Events {
    fn default() -> Self {
        let ring = Ring {
            next_seq: 1,
            events: VecDeque::new(),
            owners: HashMap::new(),
        };
        Self {
            ring: Arc::new(Mutex::new(ring)),
            live: broadcast::Sender::new(256),
            tap: Arc::default(),
        }
    }
}

impl Events {
    /// Records, and logs, that `topic` (such as `item.finished`) happened to `info_hash`, called `name`; `text` is the sentence for people.
    /// It concerns the owner of that item, or without an item the daemon as a whole.
    pub fn emit(&self, topic: &str, info_hash: Option<InfoHash>, name: Option<&str>, text: String) {
        let owner = info_hash.and_then(|item| self.owner_of(item));
        self.record(topic, info_hash, name, text, owner);
    }

    /// The same for what concerns the user `owner`: a share or a login of theirs.
    pub fn emit_to(
        &self,
        owner: u32,
        topic: &str,
        info_hash: Option<InfoHash>,
        name: Option<&str>,
        text: String,
    ) {
        self.record(topic, info_hash, name, text, Some(owner));
    }

    /// From now on what happens to `item` concerns `owner`.
    pub(crate) fn belongs(&self, item: InfoHash, owner: u32) {
        self.ring().owners.insert(item, owner);
    }

    /// `item` is gone.
    pub(crate) fn forget(&self, item: InfoHash) {
        self.ring().owners.remove(&item);
    }

    /// Whom `item` belongs to, if it is here.
    pub fn owner_of(&self, item: InfoHash) -> Option<u32> {
        self.ring().owners.get(&item).copied()
    }

    fn record(
        &self,
        topic: &str,
        info_hash: Option<InfoHash>,
        name: Option<&str>,
        text: String,
        owner_uid: Option<u32>,
    ) {
        match (info_hash, topic.ends_with(".error")) {
            // There may be many, and the item itself is told of.
            (Some(item), false) if topic == "file.finished" => {
                tracing::debug!(%item, "{topic}: {text}")
            }
            (Some(item), false) => tracing::info!(%item, "{topic}: {text}"),
            (None, false) => tracing::info!("{topic}: {text}"),
            (Some(item), true) => tracing::warn!(%item, "{topic}: {text}"),
            (None, true) => tracing::warn!("{topic}: {text}"),
        }
        let mut ring = self.ring();
        let event = Event {
            seq: ring.next_seq,
            time: jiff::Timestamp::now().to_string(),
            topic: topic.to_owned(),
            info_hash,
            name: name.map(str::to_owned),
            text,
            owner_uid,
        };
        ring.next_seq += 1;
        if ring.events.len() == KEPT {
            ring.events.pop_front();
        }
        ring.events.push_back(event.clone());
        if let Some(tap) = self.tap.get() {
            tap(&event);
        }
        // Nobody listening is no error. Sent under the lock, so that listeners see the order of the numbers.
        let _ = self.live.send(event);
    }

    /// Shows every event from now on to `tap`, in order and without loss; it must be quick. There is one: hooks.
    pub fn tap(&self, tap: impl Fn(&Event) + Send + Sync + 'static) {
        let _ = self.tap.set(Box::new(tap));
    }

    /// What is kept after `since`, and all that comes from now on; nothing is lost or repeated between the two.
    pub fn subscribe(&self, since: u64) -> (Vec<Event>, broadcast::Receiver<Event>) {
        let ring = self.ring();
        let kept = ring
            .events
            .iter()
            .filter(|event| event.seq > since)
            .cloned()
            .collect();
        (kept, self.live.subscribe())
    }

    /// The number of the newest event; 0 before the first.
    pub fn last_seq(&self) -> u64 {
        self.ring().next_seq - 1
    }

    /// What is kept about one item, oldest first.
    pub fn of_item(&self, info_hash: InfoHash) -> Vec<Event> {
        let ring = self.ring();
        ring.events
            .iter()
            .filter(|event| event.info_hash == Some(info_hash))
            .cloned()
            .collect()
    }
    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
