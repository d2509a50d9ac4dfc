//! Announces for all items: one heap of deadlines, a bounded number of requests at once.
//!
//! One task owns every [`Schedule`]. The heap may hold several deadlines of an item; the one that is not its schedule's own is dropped when
//! it comes up. Hosts that cannot be connected to are left alone for a while, see [`Hosts`].
//!
//! The URLs of foreign torrents come from strangers: this machine and private networks are announced to only where the user has added a
//! tracker at that host and port, whatever the name in the URL means. Redirects are not followed.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use p2p_wire::announce::{Event, Request};
use p2p_wire::control::ItemTracker;
use p2p_wire::{InfoHash, PeerId};
use rand::RngExt as _;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::announce::{Call, Finished, masked, origin};
use super::hosts::Hosts;
use super::http::Http;
use super::schedule::{Attempt, Row, Schedule};
use crate::engine::{AnnounceCommand, Counters, Engine};

/// Requests out at once.
const AT_ONCE: usize = 16;
/// Between the first announces of seeds: 10,000 take 50 s.
const SEED_SPACING: Duration = Duration::from_millis(5);
/// For all that is said at the end.
const STOP_ALL: Duration = Duration::from_secs(2);
/// Peers wanted by a leech, and by a seed: leeches find seeds by themselves, those behind NAT are found by the seed.
const NUMWANT_LEECH: u32 = 50;
const NUMWANT_SEED: u32 = 20;

/// Announces for all items; a handle, cheap to clone.
#[derive(Clone)]
pub struct Announcer {
    /// When full, the asker waits: the task is quick.
    asks: mpsc::Sender<Ask>,
}

enum Ask {
    Identity(Engine),
    Rows(InfoHash, oneshot::Sender<Vec<ItemTracker>>),
    Stop(oneshot::Sender<()>),
}

/// Whether an announce URL is at a tracker that the user has added.
pub type Trusts = Box<dyn Fn(&str) -> bool + Send>;

impl Announcer {
    /// Starts its task. `commands` come from the engine, peers found go to `peers` (when full, the announcer waits). Requests go over the
    /// connections of `http`, to near addresses only where `trusts` says so. `peer_id` and `port` are told by
    /// [`Announcer::set_identity`] once the engine listens; nothing is announced before.
    pub(crate) fn start(
        commands: mpsc::Receiver<AnnounceCommand>,
        peers: mpsc::Sender<(InfoHash, Vec<SocketAddr>)>,
        http: Arc<Http>,
        trusts: Trusts,
    ) -> Self {
        let (asks, queue) = mpsc::channel(16);
        tokio::spawn(Task::new(peers, http, trusts).run(commands, queue));
        Self { asks }
    }

    /// Who we are, and whom to tell of errors.
    pub fn set_identity(&self, engine: Engine) {
        let asks = self.asks.clone();
        tokio::spawn(async move { asks.send(Ask::Identity(engine)).await.ok() });
    }

    /// Announce URLs of an item with their state; passkeys masked.
    pub async fn rows(&self, item: InfoHash) -> Vec<ItemTracker> {
        let (reply, rows) = oneshot::channel();
        // A task that ended announces nothing.
        let _ = self.asks.send(Ask::Rows(item, reply)).await;
        rows.await.unwrap_or_default()
    }

    /// Sends what is due as `stopped`, for at most 2 s, and ends.
    pub async fn stop(&self) {
        let (reply, done) = oneshot::channel();
        let _ = self.asks.send(Ask::Stop(reply)).await;
        let _ = done.await;
    }
}

/// Who announces.
#[derive(Clone)]
struct Identity {
    peer_id: PeerId,
    port: u16,
    /// Told of errors; absent in tests of the task alone.
    engine: Option<Engine>,
}

struct Item {
    schedule: Schedule,
    counters: Arc<Counters>,
    /// A request is out, perhaps of a schedule that was replaced since.
    busy: bool,
    /// Which schedule it is; answers to an earlier one are not its own.
    generation: u64,
    stopping: bool,
    /// What the engine was told last.
    told: Option<String>,
}

struct Task {
    /// For the user's trackers.
    http: Arc<Http>,
    /// For all others.
    far: Arc<Http>,
    trusts: Trusts,
    peers: mpsc::Sender<(InfoHash, Vec<SocketAddr>)>,
    identity: Option<Identity>,
    key: String,
    items: HashMap<InfoHash, Item>,
    deadlines: BinaryHeap<Reverse<(Instant, InfoHash)>>,
    requests: JoinSet<Finished>,
    hosts: Hosts,
    /// When the next seed may announce first.
    next_seed: Instant,
    generations: u64,
    stopping: bool,
}

impl Task {
    fn new(
        peers: mpsc::Sender<(InfoHash, Vec<SocketAddr>)>,
        http: Arc<Http>,
        trusts: Trusts,
    ) -> Self {
        Self {
            far: Arc::new(Http::far(http.local())),
            http,
            trusts,
            peers,
            identity: None,
            key: format!("{:08x}", rand::random::<u32>()),
            items: HashMap::new(),
            deadlines: BinaryHeap::new(),
            requests: JoinSet::new(),
            hosts: Hosts::default(),
            next_seed: Instant::now(),
            generations: 0,
            stopping: false,
        }
    }

    async fn run(
        mut self,
        mut commands: mpsc::Receiver<AnnounceCommand>,
        mut asks: mpsc::Receiver<Ask>,
    ) {
        let mut stopped = None;
        let mut give_up: Option<Instant> = None;
        let mut commands_open = true;
        loop {
            self.send_due(Instant::now());
            if self.stopping && self.requests.is_empty() && self.items.is_empty() {
                break;
            }
            let wake = self.wake_at();
            let wake = [wake, give_up].into_iter().flatten().min();
            tokio::select! {
                command = commands.recv(), if commands_open => match command {
                    Some(command) => self.obey(command, Instant::now()),
                    None => commands_open = false,
                },
                ask = asks.recv() => match ask {
                    Some(Ask::Identity(engine)) => self.identity = Some(Identity {
                        peer_id: engine.peer_id(),
                        port: engine.port(),
                        engine: Some(engine),
                    }),
                    Some(Ask::Rows(item, reply)) => drop(reply.send(self.rows(item))),
                    Some(Ask::Stop(reply)) => {
                        // What the engine said before it stopped counts.
                        while let Ok(command) = commands.try_recv() {
                            self.obey(command, Instant::now());
                        }
                        self.stop_all(Instant::now());
                        give_up = Some(Instant::now() + STOP_ALL);
                        stopped = Some(reply);
                    }
                    None => break,
                },
                Some(finished) = self.requests.join_next() => if let Ok(finished) = finished {
                    self.finish(finished, Instant::now()).await;
                },
                () = sleep_until(wake) => {}
            }
            if give_up.is_some_and(|at| at <= Instant::now()) {
                break;
            }
        }
        if let Some(stopped) = stopped {
            let _ = stopped.send(());
        }
    }

    fn obey(&mut self, command: AnnounceCommand, now: Instant) {
        match command {
            AnnounceCommand::Start {
                info_hash,
                tiers,
                counters,
            } => self.start_item(info_hash, tiers, counters, now),
            AnnounceCommand::Completed(item) => self.change(item, |s| s.completed(now)),
            AnnounceCommand::Now(item) => self.change(item, |s| s.hurry(now)),
            AnnounceCommand::Stop(item) => self.stop_item(item, now),
        }
    }

    fn start_item(
        &mut self,
        item: InfoHash,
        tiers: Vec<Vec<String>>,
        counters: Arc<Counters>,
        now: Instant,
    ) {
        // Nothing to do, and nothing to keep, for an item that names no tracker.
        if tiers.is_empty() && !self.items.contains_key(&item) {
            return;
        }
        let first = if counters.left.load(Ordering::Relaxed) == 0 {
            let slot = self.next_seed.max(now);
            self.next_seed = slot + SEED_SPACING;
            slot
        } else {
            now
        };
        self.generations += 1;
        let entry = Item {
            schedule: Schedule::new(tiers, first, &mut rand::rng()),
            counters,
            busy: self.items.get(&item).is_some_and(|old| old.busy),
            generation: self.generations,
            stopping: false,
            told: None,
        };
        self.items.insert(item, entry);
        self.enqueue(item);
    }

    fn stop_item(&mut self, item: InfoHash, now: Instant) {
        let Some(entry) = self.items.get_mut(&item) else {
            return;
        };
        entry.stopping = true;
        if entry.schedule.stop(now) {
            self.enqueue(item);
        } else {
            self.items.remove(&item);
        }
    }

    fn stop_all(&mut self, now: Instant) {
        self.stopping = true;
        let items: Vec<InfoHash> = self.items.keys().copied().collect();
        for item in items {
            self.stop_item(item, now);
        }
    }

    fn change(&mut self, item: InfoHash, change: impl FnOnce(&mut Schedule)) {
        if let Some(entry) = self.items.get_mut(&item)
            && !entry.stopping
        {
            change(&mut entry.schedule);
            self.enqueue(item);
        }
    }

    fn enqueue(&mut self, item: InfoHash) {
        if let Some(entry) = self.items.get(&item)
            && !entry.busy
            && let Some(due) = entry.schedule.due()
        {
            self.deadlines.push(Reverse((due, item)));
        }
    }

    /// The next deadline; `None` while nothing could be sent anyway.
    fn wake_at(&self) -> Option<Instant> {
        if self.identity.is_none() || self.requests.len() >= AT_ONCE {
            return None;
        }
        self.deadlines.peek().map(|Reverse((at, _))| *at)
    }

    fn send_due(&mut self, now: Instant) {
        let Some(identity) = self.identity.clone() else {
            return;
        };
        while self.requests.len() < AT_ONCE {
            let Some(Reverse((at, item))) = self.deadlines.peek().copied() else {
                return;
            };
            if at > now {
                return;
            }
            self.deadlines.pop();
            let Some(entry) = self.items.get_mut(&item) else {
                continue;
            };
            if entry.busy || entry.schedule.due() != Some(at) {
                continue;
            }
            let Some(attempt) = entry.schedule.attempt() else {
                continue;
            };
            let host = origin(&attempt.url);
            if !self.stopping
                && let Err(until) = self.hosts.begin(&host, now)
            {
                let spread = Duration::from_millis(rand::rng().random_range(0..2_000));
                entry.schedule.postpone(until + spread);
                self.enqueue(item);
                continue;
            }
            entry.busy = true;
            let request = request(item, entry, &attempt, &identity, &self.key);
            let http = match (self.trusts)(&attempt.url) {
                true => &self.http,
                false => &self.far,
            };
            let call = Call {
                http: http.clone(),
                peers: self.peers.clone(),
                item,
                generation: entry.generation,
                host,
                own: (identity.port, identity.peer_id),
            };
            self.requests.spawn(call.run(attempt, request));
        }
    }

    async fn finish(&mut self, finished: Finished, now: Instant) {
        match &finished.result {
            Err(failure) if failure.unreachable => self.hosts.unreachable(&finished.host, now),
            _ => self.hosts.answered(&finished.host),
        }
        let item = finished.item;
        let Some(entry) = self.items.get_mut(&item) else {
            return;
        };
        entry.busy = false;
        if entry.generation == finished.generation {
            let failed = finished.result.is_err();
            match finished.result {
                Ok(peers) => entry
                    .schedule
                    .answered(finished.event, &peers, now, &mut rand::rng()),
                Err(failure) => {
                    let retry_in = failure.retry_in;
                    entry
                        .schedule
                        .failed(failure.text, retry_in, now, &mut rand::rng());
                }
            }
            if entry.stopping && (failed || entry.schedule.is_over()) {
                self.items.remove(&item);
                return;
            }
            let error = entry.schedule.error().map(str::to_owned);
            if error != entry.told && !entry.stopping {
                entry.told = error.clone();
                if let Some(engine) = self.identity.as_ref().and_then(|i| i.engine.clone()) {
                    // Apart from this task: the engine may be waiting for us to take a command.
                    tokio::spawn(async move { engine.set_tracker_state(item, error).await });
                }
            }
        }
        self.enqueue(item);
    }

    fn rows(&self, item: InfoHash) -> Vec<ItemTracker> {
        let Some(entry) = self.items.get(&item) else {
            return Vec::new();
        };
        let now = Instant::now();
        let due = entry.schedule.due();
        let show = |(row, current): (&Row, bool)| ItemTracker {
            url: masked(&row.url),
            state: if row.unsupported || (row.failed && !(current && entry.busy)) {
                "error"
            } else if current && entry.busy {
                "announcing"
            } else if row.seeds.is_some() || row.message.is_some() {
                "ok"
            } else {
                "waiting"
            }
            .to_owned(),
            message: row.message.clone(),
            seeds: row.seeds,
            leeches: row.leeches,
            next_s: due
                .filter(|_| current)
                .map(|due| due.saturating_duration_since(now).as_secs()),
        };
        entry.schedule.rows().map(show).collect()
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

fn request(
    item: InfoHash,
    entry: &Item,
    attempt: &Attempt,
    identity: &Identity,
    key: &str,
) -> Request {
    let left = entry.counters.left.load(Ordering::Relaxed);
    Request {
        info_hash: item,
        peer_id: identity.peer_id,
        port: identity.port,
        uploaded: entry.counters.uploaded.load(Ordering::Relaxed),
        downloaded: entry.counters.downloaded.load(Ordering::Relaxed),
        left,
        event: attempt.event,
        numwant: Some(match (attempt.event, left) {
            (Event::Stopped, _) => 0,
            (_, 0) => NUMWANT_SEED,
            _ => NUMWANT_LEECH,
        }),
        key: Some(key.to_owned()),
        compact: true,
        no_peer_id: true,
        ip: None,
        tracker_id: attempt.tracker_id.clone(),
    }
}

#[cfg(test)]
mod tests;
