//! The task of one awake item, from waking to sleeping.
//!
//! It owns the item's record while it runs and hands it back when it ends. It goes through up to three stages: fetch the metadata
//! ([`metadata`]), make the files ready and read what must be read ([`prepare`]), take part in the swarm ([`active`]).

mod active;
mod disk;
mod dormant;
mod finish;
mod keeping;
mod metadata;
mod partial;
mod past;
mod peers;
mod prepare;
mod show;
mod sleep;
mod suspects;
mod uploads;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use p2p_wire::control::{ErrorKind, Item, ItemFile, ItemPeer, ItemPieces};
use p2p_wire::{InfoHash, points};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

pub(super) use self::dormant::answer_dormant;
use self::peers::Peers;
use self::prepare::Reading;
use super::ops::Reply;
use super::{Change, Counters, Ctx, Holding, ItemSetting, view};
use crate::net::{Bucket, Connection};
use crate::resume::Record;
use crate::storage::StorageError;

/// A seed without peers sleeps after this long.
pub(super) const IDLE: Duration = Duration::from_secs(30);

/// Between two views of a watched item.
pub(super) const WATCH: Duration = Duration::from_millis(100);

/// From the registry to a torrent task. The channel holds 256; when it is full, connections and addresses are dropped, while settings and
/// questions wait beside the registry.
pub(super) enum Command {
    /// A connection whose handshake arrived.
    Connect(Connection),
    /// Addresses to try.
    Peers(Vec<SocketAddr>),
    /// What the tracker knows of the pieces.
    Points(points::Swarm),
    /// What the tracker says.
    Tracker(Option<String>),
    /// Further announce URLs.
    Trackers(Vec<Vec<String>>),
    /// A setting of the item; answered with how it is then.
    Set(ItemSetting, Reply),
    /// Bytes that may be in flight.
    InFlight(u64),
    /// Somebody looks.
    Watch(watch::Sender<Item>),
    /// A question.
    Ask(Ask),
    /// Be paused: leave the peers, answer, and sleep.
    Pause(Reply),
    /// Sleep, and hand the record back.
    Stop,
}

/// Questions about one item. An answer nobody waits for is thrown away.
pub(super) enum Ask {
    Item(oneshot::Sender<Item>),
    Files(oneshot::Sender<Vec<ItemFile>>),
    Peers(oneshot::Sender<Vec<ItemPeer>>),
    Pieces(oneshot::Sender<ItemPieces>),
    Holding(oneshot::Sender<Holding>),
    /// Its announce URLs in tiers.
    Trackers(oneshot::Sender<Vec<Vec<String>>>),
    /// Patterns of the files that are wanted; all when empty.
    Only(oneshot::Sender<Vec<String>>),
}

/// Why a torrent task ends.
#[derive(Debug, PartialEq)]
pub(super) enum Halt {
    /// It was told to.
    Asked,
    /// Nothing to do.
    Idle,
    /// Complete, and a gate wants to be asked before it is released.
    Held,
    /// The disk.
    Storage(StorageError),
    /// Anything else that stops the item: its class and the sentence to show.
    Fault(ErrorKind, String),
}

impl From<StorageError> for Halt {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

/// What a torrent task hands back.
pub(super) struct Exit {
    pub(super) record: Box<Record>,
    pub(super) why: Halt,
    /// Pieces that it found bad, if it verified the item.
    pub(super) bad_pieces: Option<u32>,
    /// Commands that it did not get to.
    pub(super) leftover: Vec<Command>,
}

/// From torrent tasks to the registry. The channel holds 256; when it is full the torrent waits, the registry never waits for a torrent.
pub(super) enum Report {
    Changed(Change),
    /// It fetches, and has a peer that may be asked, or has none any more.
    Asks(InfoHash, bool),
    /// It became complete.
    Completed(InfoHash),
    /// It has these announce URLs now.
    Trackers(InfoHash, Vec<Vec<String>>),
    /// It lacks pieces and has nobody to ask.
    Alone(InfoHash),
    Exit(InfoHash, Box<Exit>),
}

/// One awake item.
pub(super) struct Torrent {
    pub(super) ctx: Arc<Ctx>,
    pub(super) item: InfoHash,
    pub(super) record: Box<Record>,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) counters: Arc<Counters>,
    pub(super) in_flight: u64,
    pub(super) tracker_error: Option<String>,
    pub(super) points: Option<points::Swarm>,
    pub(super) watchers: Option<watch::Sender<Item>>,
    peers: Peers,
    /// Addresses and connections that came before the swarm could take them.
    pub(super) candidates: Vec<SocketAddr>,
    pub(super) early: Vec<Connection>,
    /// No gate stands before its release.
    pub(super) passed: bool,
    /// The item's data is being read.
    reading: Option<Reading>,
    /// Pieces that the last verification found bad.
    pub(super) bad_pieces: Option<u32>,
    /// What came while it was going to sleep.
    leftover: Vec<Command>,
}

/// Connections kept for a swarm that is not ready; further ones are closed.
const MAX_EARLY: usize = 32;

/// What a torrent starts with.
pub(super) struct Waking {
    pub(super) ctx: Arc<Ctx>,
    pub(super) item: InfoHash,
    pub(super) record: Box<Record>,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) counters: Arc<Counters>,
    pub(super) in_flight: u64,
    pub(super) passed: bool,
    pub(super) bad_pieces: Option<u32>,
}

/// Runs an awake item; the last it does is to report its exit.
pub(super) async fn torrent_task(waking: Waking) {
    let down = Bucket::new(waking.record.limits.down);
    let up = Bucket::new(waking.record.limits.up);
    let mut torrent = Torrent {
        peers: Peers::new(waking.ctx.clone(), waking.item, down, up),
        candidates: waking.record.peers.clone(),
        ctx: waking.ctx,
        item: waking.item,
        record: waking.record,
        commands: waking.commands,
        counters: waking.counters,
        in_flight: waking.in_flight,
        tracker_error: None,
        points: None,
        watchers: None,
        early: Vec::new(),
        passed: waking.passed,
        reading: None,
        bad_pieces: waking.bad_pieces,
        leftover: Vec::new(),
    };
    let why = torrent.run().await;
    tracing::debug!(item = %torrent.item, "sleeps: {why:?}");
    let Torrent {
        ctx,
        item,
        record,
        mut commands,
        bad_pieces,
        mut leftover,
        ..
    } = torrent;
    commands.close();
    while let Some(command) = commands.recv().await {
        leftover.push(command);
    }
    let exit = Exit {
        record,
        why,
        bad_pieces,
        leftover,
    };
    // The registry outlives its torrents, except at the very end.
    let _ = ctx.reports.send(Report::Exit(item, Box::new(exit))).await;
}

impl Torrent {
    async fn run(&mut self) -> Halt {
        match self.stages().await {
            Ok(never) => match never {},
            Err(halt) => halt,
        }
    }

    async fn stages(&mut self) -> Result<std::convert::Infallible, Halt> {
        let known = self.ctx.store.metainfo(self.item).await;
        let known = known.map_err(|error| Halt::Fault(ErrorKind::Disk, error.to_string()))?;
        let (metainfo, replay) = match known {
            Some(metainfo) => (metainfo, Vec::new()),
            None => self.fetch_metadata().await?,
        };
        let info = Arc::new(metainfo.info);
        self.peers.set_pieces(info.layout().pieces());
        let (disks, site) = (self.ctx.disks.clone(), self.record.site.clone());
        let disk = self.during(async move { disks.at(view::home(&site)).await });
        let disk = disk.await??;
        let ready = self.prepare(&info, &disk).await?;
        if self.record.paused {
            // It was woken to be verified.
            return Err(Halt::Asked);
        }
        self.take_part(info, ready, replay).await
    }

    /// Does `work`, answering commands meanwhile. `Err` when told to stop; the work is dropped then.
    async fn during<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Halt> {
        tokio::pin!(work);
        let mut next_view = Instant::now();
        loop {
            let seen = self.reading.is_some() && self.watchers.is_some();
            tokio::select! {
                done = &mut work => return Ok(done),
                () = until(Some(next_view)), if seen => {
                    self.show();
                    next_view = Instant::now() + WATCH;
                }
                command = self.commands.recv() => self.early_command(command.unwrap_or(Command::Stop))?,
            }
        }
    }

    /// A command before there is a swarm.
    fn early_command(&mut self, command: Command) -> Result<(), Halt> {
        match command {
            Command::Stop => return Err(Halt::Asked),
            Command::Pause(reply) => {
                self.pause();
                drop(reply.send(Ok(self.view())));
                return Err(Halt::Asked);
            }
            Command::Connect(connection) if self.early.len() < MAX_EARLY => {
                self.early.push(connection);
            }
            Command::Connect(_) => {}
            Command::Peers(addrs) => self.add_candidates(addrs),
            Command::Points(points) => self.points = Some(points),
            Command::Tracker(error) => self.tracker_error = error,
            Command::Set(setting, reply) => {
                self.set(setting);
                drop(reply.send(Ok(self.view())));
            }
            Command::Trackers(tiers) => {
                if super::registry::join(&mut self.record.trackers, tiers) {
                    let tiers = self.record.trackers.clone();
                    self.ctx.store.put(self.item, &self.record);
                    // Full: the trackers count from the next start.
                    let _ = self
                        .ctx
                        .reports
                        .try_send(Report::Trackers(self.item, tiers));
                }
            }
            Command::InFlight(bytes) => self.in_flight = bytes,
            Command::Watch(watchers) => {
                watchers.send_replace(self.view());
                self.watchers = Some(watchers);
            }
            Command::Ask(ask) => {
                answer_dormant(&self.ctx, self.item, &self.record, &self.live(), ask);
            }
        }
        Ok(())
    }

    fn add_candidates(&mut self, addrs: Vec<SocketAddr>) {
        self.candidates.extend(addrs);
        self.candidates.truncate(1_000);
    }

    /// Applies a setting to the record and the buckets, and records it.
    fn set(&mut self, setting: ItemSetting) {
        apply(&mut self.record, setting);
        self.peers.down.set(self.record.limits.down);
        self.peers.up.set(self.record.limits.up);
        self.ctx.store.put(self.item, &self.record);
    }

    /// Records that it is paused; the caller ends its work.
    fn pause(&mut self) {
        self.reading = None;
        if !self.record.paused {
            self.record.paused = true;
            self.ctx.store.put(self.item, &self.record);
            self.emit("item.paused", format!("{} paused", self.record.name));
        }
    }

    /// What is known beyond the record while there is no swarm.
    fn live(&self) -> view::Live<'_> {
        view::Live {
            read: self.reading.as_ref().map(Reading::bytes_done),
            bad_pieces: self.bad_pieces,
            tracker_error: self.tracker_error.as_deref(),
            points: self.points.as_ref(),
            ..view::Live::default()
        }
    }

    fn view(&self) -> Item {
        view::item(self.item, &self.record, &self.live())
    }

    /// Shows watchers what there is to see, and forgets those that are gone.
    fn show(&mut self) {
        if let Some(watchers) = &self.watchers {
            watchers.send_replace(self.view());
        }
        self.watchers.take_if(|watchers| watchers.is_closed());
    }

    fn emit(&self, topic: &str, text: String) {
        let name = Some(self.record.name.as_str());
        self.ctx.events.emit(topic, Some(self.item), name, text);
    }

    async fn report(&self, report: Report) {
        // The registry outlives its torrents, except at the very end.
        let _ = self.ctx.reports.send(report).await;
    }
}

/// Changes a setting in the record.
pub(super) fn apply(record: &mut Record, setting: ItemSetting) {
    let rate = |rate: Option<u64>| rate.filter(|rate| *rate > 0);
    match setting {
        ItemSetting::Down(limit) => record.limits.down = rate(limit),
        ItemSetting::Up(limit) => record.limits.up = rate(limit),
        ItemSetting::Sequential(sequential) => record.sequential = sequential,
        ItemSetting::MaxPeers(most) => record.max_peers = u32::try_from(most).ok(),
    }
}

/// Sleeps until `at`; for ever without one.
pub(super) async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
