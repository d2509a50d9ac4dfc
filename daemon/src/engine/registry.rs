//! The registry: one row for each item, dormant or awake, and the one task that owns them.
//!
//! A dormant item is its row ([`super::row`]): a [`Record`] and a few words beside it. An awake one has handed its record to a torrent task and gets it back
//! when that ends. What changes an item (pause, verify, move, remove) is done to the record between two lives of its task, so that no
//! command has to be understood twice. The registry never waits for a torrent or for the disk: such work runs beside it and reports.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use p2p_wire::control::{ErrorKind, Item};
use p2p_wire::{InfoHash, points};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::announces::Announces;
use super::changes::Changes;
use super::ops::{Op, Reply};
use super::row::{Row, Slot};
use super::rows::Rows;
use super::survey::Survey;
use super::torrent::{Ask, Command as ToTorrent, Report};
use super::{AnnounceCommand, Change, Ctx, ItemSetting, NewItem, gates};
use crate::Fault;
use crate::hooks::{Hold, Terms};
use crate::memory;
use crate::net::Connection;
use crate::resume::Record;
use crate::storage::StorageError;

/// After so long without work the daemon is at rest.
const REST: Duration = Duration::from_secs(5);

/// From handles to the registry. The channel holds 256; when it is full, callers wait.
pub(super) enum Command {
    Add(Box<NewItem>, oneshot::Sender<Result<bool, Fault>>),
    Insert(InfoHash, Box<Record>, Vec<SocketAddr>, Option<Hold>),
    Op(InfoHash, Op),
    Announce(InfoHash, oneshot::Sender<Result<Item, Fault>>),
    Set(InfoHash, ItemSetting, Reply),
    Ask(InfoHash, Ask),
    /// What a torrent task did not get to.
    Again(InfoHash, ToTorrent),
    Watch(InfoHash, oneshot::Sender<Option<watch::Receiver<Item>>>),
    Survey(Box<Survey>),
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
    /// The disk of an item, by its name, does not answer while it is waited for.
    Stands(InfoHash, String, StorageError),
    /// What a gate said of an item that it holds; answered with whether that still matters.
    Answered(InfoHash, Hold, Terms, oneshot::Sender<bool>),
}

/// The rows and what they need.
pub(super) struct Registry {
    pub(super) ctx: Arc<Ctx>,
    pub(super) rows: Rows,
    pub(super) changes: Changes,
    /// Announces that do not fit into the announcer's channel yet.
    pub(super) announces: Announces,
    /// Leeches that have somebody to ask: they share what may be in flight.
    pub(super) fetching: HashSet<InfoHash>,
    /// Items that wait for space on a full disk.
    pub(super) full: HashSet<InfoHash>,
    /// Items being added: their row comes when they are recorded.
    pub(super) adding: HashSet<InfoHash>,
    /// It was told that a disk is full.
    pub(super) disk_low: bool,
    pub(super) stopping: Option<oneshot::Sender<()>>,
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
            rows: Rows::default(),
            changes: Changes::default(),
            announces: Announces::default(),
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
        let row = Row::new(record, hold);
        let moves = row.is_being_moved();
        self.rows.insert(item, row);
        self.question(item);
        if moves {
            self.settle_move(item);
        } else {
            self.settle(item);
        }
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
                    self.ctx.disks.rest();
                    self.ctx.pool.rest();
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
                        if let Some(command) = self.announces.pop() {
                            permit.send(command);
                        }
                    }
                    // Nobody announces.
                    Err(_) => self.announces.clear(),
                },
                () = super::torrent::until(retry) => self.retry(),
            }
            self.rows.count();
            rest = Some(Instant::now() + REST);
            if self.stopping.is_some() && self.is_asleep() {
                while let Some(command) = self.announces.pop() {
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
                if self.is_announced(item) {
                    self.announces.push(AnnounceCommand::Now(item));
                }
                self.answer_item(item, reply);
            }
            Command::Set(item, setting, reply) => self.set(item, setting, reply),
            Command::Ask(item, ask) => self.ask(item, ask),
            Command::Again(item, command) => self.again(item, command),
            Command::Watch(item, reply) => drop(reply.send(self.watch(item))),
            Command::Survey(survey) => self.survey(survey),
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
            Command::Stands(item, name, error) => self.stands(item, &name, &error),
            Command::Answered(item, hold, terms, reply) => {
                self.answered(item, hold, terms, reply);
            }
        }
    }

    pub(super) fn report(&mut self, report: Report) {
        match report {
            Report::Changed(Change::Added(item, pieces)) => {
                // Else it was paused, and is reported as a whole when it goes on.
                if self.is_announced(item) {
                    self.changes.push(Change::Added(item, pieces));
                }
            }
            Report::Changed(change) => self.changes.push(change),
            Report::Completed(item) => {
                if self.is_announced(item) {
                    self.changes.push(Change::Complete(item));
                    self.announces.push(AnnounceCommand::Completed(item));
                }
                self.fetching.remove(&item);
                let row = self.rows.get_mut(&item);
                if row.and_then(|row| row.hold.take()).is_some() {
                    gates::release(&self.ctx, item);
                }
                self.share_in_flight();
            }
            Report::Asks(item, asks) => {
                let changed = match asks {
                    true => self.fetching.insert(item),
                    false => self.fetching.remove(&item),
                };
                if changed {
                    self.share_in_flight();
                }
            }
            Report::Trackers(item, tiers) => self.join(item, tiers),
            Report::Alone(item) => {
                if self.is_announced(item) {
                    self.announces.push(AnnounceCommand::Now(item));
                }
            }
            Report::Exit(item, exit) => self.exit(item, *exit),
        }
    }

    fn stop(&mut self, reply: oneshot::Sender<()>) {
        self.stopping = Some(reply);
        let mut announced = Vec::new();
        for (item, row) in self.rows.iter() {
            if let Slot::Awake(task) = &row.slot {
                let task = task.clone();
                // Waits where the channel is full; the torrent takes it in its turn.
                tokio::spawn(async move { task.send(ToTorrent::Stop).await });
            }
            if row.announced {
                announced.push(*item);
            }
        }
        for item in announced {
            self.announces.push(AnnounceCommand::Stop(item));
            if let Some(row) = self.rows.get_mut(&item) {
                row.announced = false;
            }
        }
    }

    fn is_announced(&self, item: InfoHash) -> bool {
        self.rows.get(&item).is_some_and(|row| row.announced)
    }

    fn is_asleep(&self) -> bool {
        self.rows.tallies().awake.is_empty()
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
