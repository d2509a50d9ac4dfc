//! The registry: one row for each item, dormant or awake, and the one task that owns them.
//!
//! A dormant item is its row: a [`Record`] and a few words beside it. An awake one has handed its record to a torrent task and gets it back
//! when that ends. What changes an item (pause, verify, move, remove) is done to the record between two lives of its task, so that no
//! command has to be understood twice. The registry never waits for a torrent or for the disk: such work runs beside it and reports.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use p2p_wire::control::{ErrorKind, Item};
use p2p_wire::{InfoHash, points};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::changes::Changes;
use super::full::RETRY_FULL;
use super::ops::{Op, kind_of};
use super::torrent::{Ask, Command as ToTorrent, Exit, Halt, Report, Waking, torrent_task};
use super::{AnnounceCommand, Change, Counters, Ctx, ItemSetting, NewItem, Totals, gates, view};
use crate::Fault;
use crate::hooks::{Hold, Terms};
use crate::memory;
use crate::net::Connection;
use crate::resume::{Check, Have, Record};
use crate::storage::StorageError;

/// The least that an item may have in flight, however many share.
const LEAST_IN_FLIGHT: u64 = 1024 * 1024;

/// After so long without work the daemon is at rest.
const REST: Duration = Duration::from_secs(5);

/// From handles to the registry. The channel holds 256; when it is full, callers wait.
pub(super) enum Command {
    Add(Box<NewItem>, oneshot::Sender<Result<bool, Fault>>),
    Insert(InfoHash, Box<Record>, Vec<SocketAddr>, Option<Hold>),
    Op(InfoHash, Op),
    Announce(InfoHash, oneshot::Sender<Result<Item, Fault>>),
    Set(InfoHash, ItemSetting, oneshot::Sender<Result<Item, Fault>>),
    Ask(InfoHash, Ask),
    Watch(InfoHash, oneshot::Sender<Option<watch::Receiver<Item>>>),
    Items(oneshot::Sender<Vec<Item>>),
    Totals(oneshot::Sender<Totals>),
    Peers(InfoHash, Vec<SocketAddr>),
    Held(oneshot::Sender<Vec<InfoHash>>),
    Changes(oneshot::Sender<Vec<Change>>),
    Points(InfoHash, points::Swarm),
    Tracker(InfoHash, Option<String>),
    Stop(oneshot::Sender<()>),
    /// Work beside the registry is done: the record comes back, or the item is gone.
    Back(InfoHash, Option<Box<Record>>),
    /// How an item looks while work runs beside the registry.
    Looks(Box<Item>),
    /// Whether a full disk has space again.
    Space(InfoHash, bool),
    /// What a gate said of an item that it holds; answered with whether that still matters.
    Answered(InfoHash, Hold, Terms, oneshot::Sender<bool>),
}

/// One item.
pub(super) struct Row {
    pub(super) slot: Slot,
    pub(super) counters: Arc<Counters>,
    pub(super) announced: bool,
    /// What is to be done to the record, in order.
    pub(super) queue: VecDeque<Op>,
    pub(super) fault: Option<Box<Stopped>>,
    /// The gate that holds it, or has let it pass.
    pub(super) hold: Option<Box<Hold>>,
    /// It is to be verified, even while it is paused.
    pub(super) verify: bool,
    /// Pieces that the last verification found bad.
    pub(super) bad_pieces: Option<u32>,
    pub(super) tracker_error: Option<Box<str>>,
    pub(super) points: Option<Box<points::Swarm>>,
    pub(super) watchers: Option<watch::Sender<Item>>,
    /// Asked while the torrent task was ending.
    pub(super) asked: Vec<Ask>,
}

/// Where an item's record is.
pub(super) enum Slot {
    Dormant(Box<Record>),
    /// With its torrent task.
    Awake(mpsc::Sender<ToTorrent>),
    /// With work that runs beside the registry; how it looked before.
    Busy(Option<Box<Item>>),
}

/// Why an item stands still.
pub(super) struct Stopped {
    pub(super) kind: ErrorKind,
    pub(super) text: String,
    /// When to look whether a full disk has space again.
    pub(super) retry: Option<Instant>,
}

/// The rows and what they need.
pub(super) struct Registry {
    pub(super) ctx: Arc<Ctx>,
    pub(super) rows: HashMap<InfoHash, Row>,
    pub(super) changes: Changes,
    /// Announces that do not fit into the announcer's channel yet: one or two for each item at most.
    pub(super) announces: VecDeque<AnnounceCommand>,
    /// Awake leeches: they share what may be in flight.
    pub(super) fetching: HashSet<InfoHash>,
    /// Items that wait for space on a full disk.
    pub(super) full: HashSet<InfoHash>,
    /// Items being added: their row comes when they are recorded.
    pub(super) adding: HashSet<InfoHash>,
    /// It was told that a disk is full.
    pub(super) disk_low: bool,
    stopping: Option<oneshot::Sender<()>>,
}

/// What the registry hears.
pub(super) struct Inputs {
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) reports: mpsc::Receiver<Report>,
    pub(super) arrived: mpsc::Receiver<Connection>,
    pub(super) peers: mpsc::Receiver<(InfoHash, Vec<SocketAddr>)>,
    pub(super) announce: mpsc::Sender<AnnounceCommand>,
}

impl Registry {
    pub(super) fn new(ctx: Arc<Ctx>) -> Self {
        Self {
            ctx,
            rows: HashMap::new(),
            changes: Changes::default(),
            announces: VecDeque::new(),
            fetching: HashSet::new(),
            full: HashSet::new(),
            adding: HashSet::new(),
            disk_low: false,
            stopping: None,
        }
    }

    /// Takes up an item whose record is on the disk.
    pub(super) fn insert(&mut self, item: InfoHash, record: Box<Record>, hold: Option<Hold>) {
        self.ctx.events.belongs(item, record.owner);
        let row = Row {
            slot: Slot::Dormant(record),
            counters: Arc::default(),
            announced: false,
            queue: VecDeque::new(),
            fault: None,
            hold: hold.map(Box::new),
            verify: false,
            bad_pieces: None,
            tracker_error: None,
            points: None,
            watchers: None,
            asked: Vec::new(),
        };
        self.rows.insert(item, row);
        self.question(item);
        self.settle(item);
    }

    /// Runs until stopped or until nobody can command any more.
    pub(super) async fn run(mut self, mut inputs: Inputs) {
        // When nothing was to be done for a while: then memory is given back, once.
        let mut rest = None;
        loop {
            let retry = self.next_retry();
            tokio::select! {
                () = super::torrent::until(rest) => {
                    rest = None;
                    memory::give_back();
                    continue;
                }
                command = inputs.commands.recv() => match command {
                    Some(command) => self.command(command),
                    None => break,
                },
                Some(report) = inputs.reports.recv() => self.report(report),
                Some(connection) = inputs.arrived.recv() => self.arrive(connection),
                Some((item, addrs)) = inputs.peers.recv() => self.found(item, addrs),
                permit = inputs.announce.reserve(), if !self.announces.is_empty() => match permit {
                    Ok(permit) => {
                        if let Some(command) = self.announces.pop_front() {
                            permit.send(command);
                        }
                        if self.announces.is_empty() {
                            // All items come at the start, and never again at once.
                            self.announces.shrink_to_fit();
                        }
                    }
                    // Nobody announces.
                    Err(_) => self.announces.clear(),
                },
                () = super::torrent::until(retry) => self.retry(),
            }
            rest = Some(Instant::now() + REST);
            if self.stopping.is_some() && self.is_asleep() {
                while let Some(command) = self.announces.pop_front() {
                    let sent = inputs.announce.send(command);
                    if tokio::time::timeout(Duration::from_millis(200), sent)
                        .await
                        .is_err()
                    {
                        break;
                    }
                }
                self.ctx.store.flush().await;
                if let Some(reply) = self.stopping.take() {
                    let _ = reply.send(());
                }
                break;
            }
        }
    }

    fn command(&mut self, command: Command) {
        // An answer that nobody waits for is thrown away.
        match command {
            Command::Add(new, reply) => self.add(*new, reply),
            Command::Insert(item, record, peers, hold) => self.added(item, record, peers, hold),
            Command::Op(item, op) => self.op(item, op),
            Command::Announce(item, reply) => {
                if self.rows.get(&item).is_some_and(|row| row.announced) {
                    self.announces.push_back(AnnounceCommand::Now(item));
                }
                self.answer_item(item, reply);
            }
            Command::Set(item, setting, reply) => self.set(item, setting, reply),
            Command::Ask(item, ask) => self.ask(item, ask),
            Command::Watch(item, reply) => drop(reply.send(self.watch(item))),
            Command::Items(reply) => self.items(reply),
            Command::Totals(reply) => self.totals(reply),
            Command::Peers(item, addrs) => self.found(item, addrs),
            Command::Held(reply) => {
                let held = self.rows.iter().filter(|(_, row)| row.announced);
                drop(reply.send(held.map(|(item, _)| *item).collect()));
            }
            Command::Changes(reply) => drop(reply.send(self.changes.take())),
            Command::Points(item, points) => {
                if let Some(row) = self.rows.get_mut(&item) {
                    if let Slot::Awake(task) = &row.slot {
                        let _ = task.try_send(ToTorrent::Points(points.clone()));
                    }
                    row.points = Some(Box::new(points));
                }
            }
            Command::Tracker(item, error) => {
                if let Some(row) = self.rows.get_mut(&item) {
                    if let Slot::Awake(task) = &row.slot {
                        let _ = task.try_send(ToTorrent::Tracker(error.clone()));
                    }
                    row.tracker_error = error.map(String::into_boxed_str);
                }
            }
            Command::Stop(reply) => self.stop(reply),
            Command::Back(item, Some(record)) => {
                if let Some(row) = self.rows.get_mut(&item) {
                    row.slot = Slot::Dormant(record);
                }
                self.settle(item);
            }
            Command::Back(item, None) => {
                self.adding.remove(&item);
                self.forget(item);
            }
            Command::Looks(shown) => {
                let row = self.rows.get_mut(&shown.info_hash);
                if let Some(Slot::Busy(looks)) = row.map(|row| &mut row.slot) {
                    *looks = Some(shown);
                }
            }
            Command::Space(item, there) => self.space(item, there),
            Command::Answered(item, hold, terms, reply) => {
                self.answered(item, hold, terms, reply);
            }
        }
    }

    fn report(&mut self, report: Report) {
        match report {
            Report::Changed(change) => self.changes.push(change),
            Report::Completed(item) => {
                self.changes.push(Change::Complete(item));
                if self.rows.get(&item).is_some_and(|row| row.announced) {
                    self.announces.push_back(AnnounceCommand::Completed(item));
                }
                self.fetching.remove(&item);
                let row = self.rows.get_mut(&item);
                if row.and_then(|row| row.hold.take()).is_some() {
                    gates::release(&self.ctx, item);
                }
                self.share_in_flight();
            }
            Report::Trackers(item, tiers) => self.join(item, tiers),
            Report::Alone(item) => {
                if self.rows.get(&item).is_some_and(|row| row.announced) {
                    self.announces.push_back(AnnounceCommand::Now(item));
                }
            }
            Report::Exit(item, exit) => self.exit(item, *exit),
        }
    }

    /// A torrent task ended.
    fn exit(&mut self, item: InfoHash, exit: Exit) {
        let Exit {
            record,
            why,
            bad_pieces,
            leftover,
        } = exit;
        let Some(row) = self.rows.get_mut(&item) else {
            return;
        };
        let held = why == Halt::Held;
        let stopped = match why {
            Halt::Asked | Halt::Idle | Halt::Held => None,
            // What it holds now is suspect: it wakes to be read.
            Halt::Storage(StorageError::Changed(path)) if record.is_complete() => {
                let text = format!("{} changed on disk", path.display());
                let name = Some(record.name.as_str());
                (self.ctx.events).emit("item.changed", Some(item), name, text.clone());
                self.changes.push(Change::Reset(item));
                // The share publishes it anew when it has settled.
                record.share.is_some().then_some(Stopped {
                    kind: ErrorKind::BadData,
                    text,
                    retry: None,
                })
            }
            Halt::Storage(StorageError::Stopped) => None,
            Halt::Storage(error) => Some(Stopped {
                kind: kind_of(&error),
                text: error.to_string(),
                retry: matches!(error, StorageError::Full(_)).then(|| Instant::now() + RETRY_FULL),
            }),
            Halt::Fault(kind, text) => Some(Stopped {
                kind,
                text,
                retry: None,
            }),
        };
        if let Some(stopped) = stopped {
            let name = Some(record.name.as_str());
            (self.ctx.events).emit("item.error", Some(item), name, stopped.text.clone());
            if stopped.retry.is_some() {
                self.full.insert(item);
            }
            row.fault = Some(Box::new(stopped));
        }
        self.fetching.remove(&item);
        row.bad_pieces = bad_pieces;
        row.verify &= record.check != Check::No && row.fault.is_none();
        row.slot = Slot::Dormant(record);
        self.tell_disk();
        let Some(row) = self.rows.get_mut(&item) else {
            return;
        };
        let asked = std::mem::take(&mut row.asked);
        if held {
            self.hold_release(item);
        }
        self.settle(item);
        for ask in asked {
            self.ask(item, ask);
        }
        for command in leftover {
            self.again(item, command);
        }
        self.share_in_flight();
    }

    /// A command that a torrent task did not get to.
    fn again(&mut self, item: InfoHash, command: ToTorrent) {
        match command {
            ToTorrent::Connect(connection) => self.arrive(connection),
            ToTorrent::Peers(addrs) => self.found(item, addrs),
            ToTorrent::Ask(ask) => self.ask(item, ask),
            ToTorrent::Set(setting) => self.apply(item, setting),
            // The row knows the rest.
            _ => {}
        }
    }

    /// Does what is queued for a dormant item, then lets it take part or not.
    pub(super) fn settle(&mut self, item: InfoHash) {
        while let Some(row) = self.rows.get_mut(&item)
            && matches!(row.slot, Slot::Dormant(_))
            && let Some(op) = row.queue.pop_front()
        {
            self.execute(item, op);
        }
        self.stop_waiting(item);
        let Some(row) = self.rows.get_mut(&item) else {
            return;
        };
        let Slot::Dormant(record) = &row.slot else {
            return;
        };
        if self.stopping.is_some() {
            return;
        }
        let takes_part = !record.paused && row.fault.is_none() && !row.is_held();
        if takes_part && !row.announced {
            let left = if record.is_complete() {
                0
            } else {
                record.wanted_len
            };
            row.counters.left.store(left, Ordering::Relaxed);
            self.announces.push_back(AnnounceCommand::Start {
                info_hash: item,
                tiers: record.trackers.clone(),
                counters: row.counters.clone(),
            });
            row.announced = true;
            self.changes.push(Change::Reset(item));
        } else if !takes_part && row.announced {
            self.announces.push_back(AnnounceCommand::Stop(item));
            row.announced = false;
            self.changes.push(Change::Gone(item));
        }
        let reads = !record.is_complete() || record.suspect != Have::Nothing;
        let wakes = takes_part && reads || row.verify && !row.is_held();
        self.show(item);
        if wakes {
            self.wake(item);
        }
    }

    /// Starts the torrent task of a dormant item.
    pub(super) fn wake(&mut self, item: InfoHash) -> Option<mpsc::Sender<ToTorrent>> {
        let row = self.rows.get_mut(&item)?;
        match &row.slot {
            Slot::Awake(task) => return Some(task.clone()),
            Slot::Busy(_) => return None,
            Slot::Dormant(_) => {}
        }
        let (task, commands) = mpsc::channel(256);
        let Slot::Dormant(record) = std::mem::replace(&mut row.slot, Slot::Busy(None)) else {
            return None;
        };
        row.slot = Slot::Awake(task.clone());
        let fetches = !record.is_complete();
        let first = [
            Some(ToTorrent::Tracker(
                row.tracker_error.as_deref().map(str::to_owned),
            )),
            (row.points.as_deref()).map(|points| ToTorrent::Points(points.clone())),
            row.watchers.clone().map(ToTorrent::Watch),
        ];
        for command in first.into_iter().flatten() {
            // The channel is new and empty.
            let _ = task.try_send(command);
        }
        tokio::spawn(torrent_task(Waking {
            ctx: self.ctx.clone(),
            item,
            record,
            commands,
            counters: row.counters.clone(),
            in_flight: self.ctx.config.in_flight,
            passed: row.is_released(),
            bad_pieces: row.bad_pieces,
        }));
        if fetches {
            self.fetching.insert(item);
            self.share_in_flight();
        }
        Some(task)
    }

    /// Divides what may be in flight among the items that fetch.
    fn share_in_flight(&self) {
        let count = self.fetching.len() as u64;
        let share = (self.ctx.config.in_flight / count.max(1)).max(LEAST_IN_FLIGHT);
        for item in &self.fetching {
            if let Some(Slot::Awake(task)) = self.rows.get(item).map(|row| &row.slot) {
                let _ = task.try_send(ToTorrent::InFlight(share));
            }
        }
    }

    /// A handshake came in.
    fn arrive(&mut self, connection: Connection) {
        let item = connection.handshake.info_hash;
        let Some(row) = self.rows.get(&item).filter(|_| self.stopping.is_none()) else {
            return;
        };
        if row.announced
            && let Some(task) = self.wake(item)
        {
            // Full: the connection closes, the peer comes again.
            let _ = task.try_send(ToTorrent::Connect(connection));
        }
    }

    /// Addresses worth dialling. A seed dials too: who asked the tracker before it came back would wait for its next announce otherwise,
    /// and a leech that cannot be dialled is still reached from here.
    pub(super) fn found(&mut self, item: InfoHash, addrs: Vec<SocketAddr>) {
        let takes_part = self.rows.get(&item).is_some_and(|row| row.announced);
        if takes_part
            && self.stopping.is_none()
            && let Some(task) = self.wake(item)
        {
            let _ = task.try_send(ToTorrent::Peers(addrs));
        }
    }

    pub(super) fn forget(&mut self, item: InfoHash) {
        if let Some(row) = self.rows.remove(&item) {
            if row.announced {
                self.announces.push_back(AnnounceCommand::Stop(item));
            }
            self.changes.push(Change::Gone(item));
            self.stop_waiting(item);
            for op in row.queue {
                op.refuse(no_such(item));
            }
            if row.hold.is_some() {
                gates::release(&self.ctx, item);
            }
        }
    }

    fn stop(&mut self, reply: oneshot::Sender<()>) {
        self.stopping = Some(reply);
        for (item, row) in &mut self.rows {
            if let Slot::Awake(task) = &row.slot {
                let task = task.clone();
                // Waits where the channel is full; the torrent takes it in its turn.
                tokio::spawn(async move { task.send(ToTorrent::Stop).await });
            }
            if row.announced {
                self.announces.push_back(AnnounceCommand::Stop(*item));
                row.announced = false;
            }
        }
    }

    fn is_asleep(&self) -> bool {
        let awake = |row: &Row| matches!(row.slot, Slot::Awake(_));
        !self.rows.values().any(awake)
    }
}

impl Row {
    pub(super) fn live(&self) -> view::Live<'_> {
        view::Live {
            read: self.verify.then_some(0),
            bad_pieces: self.bad_pieces,
            fault: (self.fault.as_ref()).map(|fault| (fault.kind, fault.text.as_str())),
            hold: self.hold.as_deref().filter(|_| self.is_held()),
            tracker_error: self.tracker_error.as_deref(),
            points: self.points.as_deref(),
            ..view::Live::default()
        }
    }
}

/// Adds the tiers whose URLs are not all known; says whether there were any.
pub(super) fn join(known: &mut Vec<Vec<String>>, more: Vec<Vec<String>>) -> bool {
    let before = known.len();
    for tier in more {
        let urls = |url: &String| known.iter().flatten().any(|other| other == url);
        if !tier.iter().all(urls) {
            known.push(tier);
        }
    }
    known.len() > before
}

/// The error for an item that is not here.
pub(crate) fn no_such(item: InfoHash) -> Fault {
    Fault::new(
        ErrorKind::NotFound,
        format!("no item {item}"),
        "p2pd holds no item with this info-hash",
        "`p2pctl ls` lists the items",
    )
}
