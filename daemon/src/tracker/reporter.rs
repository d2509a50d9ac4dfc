//! The task that reports piece points to every tracker this machine is logged in to: its heartbeat there.
//!
//! A tracker is told of an item only if the item is announced to it. A failure is harmless: what was not told is told later, and no transfer
//! waits for it. The tracker says when it wants the next report; while something is fetched, or changes, it comes within seconds.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use p2p_wire::InfoHash;
use rand::RngExt as _;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use url::{Origin, Url};

use super::Inner;
use super::backoff::backoff;
use super::client::ApiError;
use super::holdings::Holdings;
use super::points::Ledger;
use super::registry::{Entry, Health, Secret};
use crate::engine::{Change, Engine};

/// Between reports while something is being fetched, at most.
const FETCHING: Duration = Duration::from_secs(3);
/// After an event, so that what happens together is told together.
const GATHER: Duration = Duration::from_millis(700);
/// A restarted tracker is told everything within this time, each daemon at its own moment; one that has little to tell sooner, by so much for
/// each item: it is the large reports that must not come at once.
const RESTART_SPREAD: Duration = Duration::from_secs(20);
const RESTART_SPREAD_ITEM: Duration = Duration::from_millis(20);
const FIRST_WAIT: Duration = Duration::from_secs(4);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
const NEXT_BOUNDS: (u64, u64) = (1, 300);

struct Reporter {
    inner: Arc<Inner>,
    engine: Engine,
    holdings: Holdings,
    /// Where each item is announced: mostly all at one place.
    origins: HashMap<InfoHash, Arc<[Origin]>>,
    /// There is, or was, somebody to tell; before, nothing is looked at.
    begun: bool,
    /// By tracker and user: each reports the items of that user.
    trackers: HashMap<(String, u32), Tracker>,
}

struct Tracker {
    token: Secret,
    origin: Option<Origin>,
    ledger: Ledger,
    next: Instant,
    failures: u32,
}

/// Reports for as long as the daemon runs.
pub(super) async fn report(inner: Arc<Inner>, engine: Engine) {
    let mut logins = inner.logins.subscribe();
    let (_, mut events) = inner.events.subscribe(inner.events.last_seq());
    let mut reporter = Reporter {
        inner,
        engine,
        holdings: Holdings::default(),
        origins: HashMap::new(),
        begun: false,
        trackers: HashMap::new(),
    };
    reporter.follow_logins();
    reporter.begin().await;
    loop {
        let next = reporter.trackers.values().map(|tracker| tracker.next).min();
        tokio::select! {
            changed = logins.changed() => {
                if changed.is_err() {
                    return;
                }
                reporter.refresh_origins().await;
                reporter.follow_logins();
                reporter.begin().await;
            }
            event = next_event(&mut events) => match event {
                Some((topic, item)) => reporter.hear(&topic, item).await,
                None => return,
            },
            () = sleep_until(next) => {
                reporter.gather().await;
                reporter.send_due().await;
            }
        }
    }
}

/// The next event that may change what is to be told; `None` when there will be none any more.
async fn next_event(
    events: &mut broadcast::Receiver<p2p_wire::control::Event>,
) -> Option<(String, Option<InfoHash>)> {
    loop {
        match events.recv().await {
            Ok(event) if event.topic.starts_with("item.") || event.topic == "published" => {
                return Some((event.topic, event.info_hash));
            }
            // What was lost may have been one.
            Err(RecvError::Lagged(_)) => return Some(("item.".into(), None)),
            Ok(_) => {}
            Err(RecvError::Closed) => return None,
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

impl Reporter {
    /// Looks at all items once there is somebody to tell of them.
    async fn begin(&mut self) {
        if self.begun || self.trackers.is_empty() {
            return;
        }
        self.begun = true;
        // From now on; what is held already is asked for.
        self.engine.take_changes().await;
        for item in self.engine.held_items().await {
            self.reset(item).await;
        }
    }

    async fn hear(&mut self, topic: &str, item: Option<InfoHash>) {
        if topic == "published"
            && let Some(item) = item
            && self.origins.contains_key(&item)
        {
            // It may have got a tracker of its own by now, which may know it from now on.
            self.learn_origins(item).await;
            self.register(item);
        }
        let soon = Instant::now() + GATHER;
        for tracker in self.trackers.values_mut().filter(|t| t.failures == 0) {
            tracker.next = tracker.next.min(soon);
        }
    }

    /// Takes what changed from the engine.
    async fn gather(&mut self) {
        for change in self.engine.take_changes().await {
            match change {
                Change::Reset(item) => self.reset(item).await,
                Change::Added(item, pieces) => {
                    let news = self.holdings.add(item, &pieces);
                    for tracker in self.trackers.values_mut() {
                        tracker.ledger.added(item, &news);
                    }
                }
                Change::Complete(item) => {
                    if self.holdings.complete(item) {
                        for tracker in self.trackers.values_mut() {
                            tracker.ledger.whole(item);
                        }
                    } else {
                        self.reset(item).await;
                    }
                }
                Change::Gone(item) => self.gone(item),
            }
        }
    }

    async fn reset(&mut self, item: InfoHash) {
        match self.engine.holding(item).await {
            Some(holding) => {
                self.holdings.set(item, holding);
                self.learn_origins(item).await;
                self.register(item);
            }
            None => self.gone(item),
        }
    }

    fn gone(&mut self, item: InfoHash) {
        self.holdings.remove(item);
        self.origins.remove(&item);
        for tracker in self.trackers.values_mut() {
            tracker.ledger.gone(item);
        }
    }

    async fn learn_origins(&mut self, item: InfoHash) {
        // One that is being moved or removed tells nothing now.
        let Some(tiers) = self.engine.trackers(item).await else {
            return;
        };
        let origins = tiers.iter().flatten();
        let origins: Arc<[Origin]> = origins
            .filter_map(|url| Some(Url::parse(url).ok()?.origin()))
            .collect();
        let same = self
            .origins
            .values()
            .next()
            .filter(|same| **same == origins);
        let origins = same.cloned().unwrap_or(origins);
        self.origins.insert(item, origins);
    }

    async fn refresh_origins(&mut self) {
        let items: Vec<InfoHash> = self.holdings.items().collect();
        for item in items {
            self.learn_origins(item).await;
        }
    }

    /// Tells `item` to the trackers that it is announced to.
    fn register(&mut self, item: InfoHash) {
        let origins = self.origins.get(&item);
        let owner = self.inner.events.owner_of(item);
        for ((_, user), tracker) in &mut self.trackers {
            if is_of(owner, *user) && is_announced(origins, tracker.origin.as_ref()) {
                tracker.ledger.register(item);
            }
        }
    }

    /// One ledger for each login; a new login begins a new one.
    fn follow_logins(&mut self) {
        let entries = self.inner.registry.sessions();
        self.trackers
            .retain(|(name, user), _| entries.iter().any(|e| e.name == *name && e.user == *user));
        for entry in entries {
            let Some(login) = entry.login else { continue };
            let user = entry.user;
            let origin = Url::parse(login.announce.expose()).ok().map(|u| u.origin());
            let now = Instant::now();
            let fresh = Tracker {
                token: login.token.clone(),
                origin: origin.clone(),
                ledger: Ledger::default(),
                next: now,
                failures: 0,
            };
            let tracker = self.trackers.entry((entry.name, user)).or_insert(fresh);
            if tracker.token != login.token {
                tracker.token = login.token;
                tracker.ledger.reset();
                (tracker.failures, tracker.next) = (0, now);
            }
            tracker.origin = origin;
            for item in self.holdings.items() {
                if is_of(self.inner.events.owner_of(item), user)
                    && is_announced(self.origins.get(&item), tracker.origin.as_ref())
                    && !tracker.ledger.knows(item)
                {
                    tracker.ledger.register(item);
                }
            }
        }
    }

    async fn send_due(&mut self) {
        let now = Instant::now();
        let due: Vec<(String, u32)> = self
            .trackers
            .iter()
            .filter(|(_, tracker)| tracker.next <= now)
            .map(|(key, _)| key.clone())
            .collect();
        for key in due {
            let entry = self.inner.registry.find(Some(&key.0), key.1);
            let Some(tracker) = self.trackers.get_mut(&key) else {
                continue;
            };
            match entry {
                Ok(entry) if entry.login.is_some() && entry.health != Health::LoginEnded => {
                    self.send(entry).await;
                }
                // Waits for a login.
                _ => tracker.next = now + Duration::from_secs(NEXT_BOUNDS.1),
            }
        }
    }

    async fn send(&mut self, entry: Entry) {
        let key = (entry.name.clone(), entry.user);
        let Some(tracker) = self.trackers.get_mut(&key) else {
            return;
        };
        let port = self.engine.port();
        let report = tracker.ledger.report(&self.holdings, port, Instant::now());
        let answer = self.inner.api(&entry).points(&report).await;
        self.inner.observe(&entry, &answer);
        let now = Instant::now();
        match answer {
            Ok(reply) => {
                tracker.failures = 0;
                let (least, most) = NEXT_BOUNDS;
                let asked = Duration::from_secs(u64::from(reply.next).clamp(least, most));
                let taken = tracker.ledger.taken(reply, now);
                let wait = if taken.restarted {
                    let items = u32::try_from(self.holdings.items().count());
                    let spread = RESTART_SPREAD_ITEM.saturating_mul(items.unwrap_or(u32::MAX));
                    let spread = spread.min(RESTART_SPREAD);
                    spread.mul_f64(rand::rng().random_range(0.0..1.0))
                } else if tracker.ledger.has_news(now) {
                    Duration::ZERO
                } else if self.holdings.any_partial() {
                    asked.min(FETCHING)
                } else {
                    asked
                };
                tracker.next = now + wait;
                for (item, swarm) in taken.swarms {
                    self.engine.set_points(item, swarm).await;
                }
            }
            Err(error) => {
                tracker.ledger.lost();
                tracker.failures = tracker.failures.saturating_add(1);
                let wait = backoff(FIRST_WAIT, LONGEST_WAIT, tracker.failures);
                tracker.next = now + wait.max(error.retry_after().unwrap_or_default());
                if let ApiError::Problem(problem, _) = &error {
                    tracing::debug!("piece points to {}: {}", entry.name, problem.title);
                }
            }
        }
    }
}

/// Whether the login of `user` tells of an item of `owner`.
fn is_of(owner: Option<u32>, user: u32) -> bool {
    owner.is_none_or(|owner| owner == user)
}

/// Whether an item with these announce URLs may be told to the tracker at `tracker`.
fn is_announced(origins: Option<&Arc<[Origin]>>, tracker: Option<&Origin>) -> bool {
    match (origins, tracker) {
        (Some(origins), Some(tracker)) => origins.contains(tracker),
        _ => false,
    }
}
