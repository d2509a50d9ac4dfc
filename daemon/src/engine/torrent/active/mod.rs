//! The third stage: taking part in the swarm.

mod hearing;

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use p2p_wire::Bitfield;
use p2p_wire::control::ErrorKind;
use p2p_wire::metainfo::Info;
use tokio::time::Instant as Timer;

use super::super::standing::Standing;
use super::super::{ItemSetting, view};
use super::finish::Told;
use super::keeping::Keeping;
use super::metadata::Replay;
use super::past::TELL;
use super::prepare::Ready;
use super::suspects::Suspects;
use super::uploads::Uploads;
use super::{Command, Halt, IDLE, Report, Torrent, WATCH, until};
use crate::storage::{Inbox, StorageError, Tree};
use crate::swarm::{Action, Options, PeerKey, Swarm};

/// A leech that got nothing for this long looks for what is missing.
const STUCK: std::time::Duration = std::time::Duration::from_secs(10);

/// Peers that were not read for less than this are judged as if they were.
const HELD: std::time::Duration = std::time::Duration::from_millis(20);

/// Batches taken at once before actions are worked off.
const BATCHES: usize = 32;

/// What a torrent has while it takes part in its swarm.
pub(super) struct Active {
    pub(super) swarm: Swarm,
    pub(super) info: Arc<Info>,
    pub(super) tree: Arc<Tree>,
    pub(super) wanted_files: Vec<bool>,
    pub(super) wanted: Bitfield,
    pub(super) inbox: Arc<Inbox>,
    pub(super) keeping: Keeping,
    pub(super) uploads: Uploads,
    pub(super) suspects: Suspects,
    /// Peers whose uploads grew since they were last fed.
    hungry: HashSet<PeerKey>,
    /// Bytes missing of what is wanted.
    pub(super) missing: u64,
    /// What the record said of bytes when this stage began.
    pub(super) before: (u64, u64, u64),
    idle_since: Option<Timer>,
    next_view: Option<Timer>,
    last_block: Timer,
    /// When the history was told of what goes on.
    told_history: Timer,
    /// What the registry was told of whether anybody may be asked.
    told_asks: bool,
    /// Since when the peers are not read, because the disk has enough to do.
    held_since: Option<Instant>,
    pub(super) told_missing: Vec<(u32, u32)>,
    pub(super) told: Told,
}

impl Active {
    /// Shows those who look what there is to see, without waiting for the next turn.
    pub(super) fn show_now(&mut self) {
        self.next_view = self.next_view.map(|_| Timer::now());
    }
}

impl Torrent {
    pub(super) async fn take_part(
        &mut self,
        info: Arc<Info>,
        ready: Ready,
        replay: Replay,
    ) -> Result<std::convert::Infallible, Halt> {
        let mut active = self.activate(info, ready);
        let now = Instant::now();
        for (key, new, messages) in replay {
            if !self.peers.contains(key) {
                continue;
            }
            active.swarm.handle_connected(key, new, now);
            for message in messages {
                if !self.message(&mut active, key, message) {
                    break;
                }
            }
        }
        let end = self.drive(&mut active).await;
        self.leave(&mut active);
        let (ctx, site, name) = (
            self.ctx.clone(),
            self.record.site.clone(),
            self.record.name.clone(),
        );
        let standing = Standing {
            ctx: &ctx,
            item: self.item,
            name: &name,
            paths: &[view::home(&site)],
            writes: Some(active.tree.disk().clone()),
        };
        (standing.see_through(self.settle(&mut active), |_| ())).await;
        if let Err(Halt::Storage(StorageError::Changed(_))) = &end
            && self.record.is_complete()
            && self.record.share.is_none()
        {
            return Err(self.outwait(&active.tree).await);
        }
        match end {
            Err(halt) => Err(halt),
            Ok(never) => match never {},
        }
    }

    fn activate(&mut self, info: Arc<Info>, ready: Ready) -> Active {
        let now = Instant::now();
        let mut lacking = ready.wanted.clone();
        ready.have.iter().for_each(|piece| {
            lacking.clear(piece);
        });
        let missing = view::len_of(&info, &lacking);
        self.counters.left.store(missing, Ordering::Relaxed);
        let options = Options {
            info: info.raw().clone(),
            our_id: self.ctx.peer_id,
            port: self.ctx.port,
            wanted: ready.wanted.clone(),
            sequential: self.record.sequential,
            in_flight: self.in_flight,
            upload_slots: self.ctx.config.upload_slots,
            max_peers: self.max_peers(),
            only_peers: self.record.only_peers.clone(),
            seed: rand::random(),
        };
        let keeping = Keeping::new(&ready.have, &ready.written, ready.log);
        let told = Told::new(&info, &ready.wanted_files, &keeping.durable);
        let suspect = self.record.suspect.to_bitfield(info.layout().pieces());
        let mut swarm = Swarm::new(*info.layout(), ready.have, options, now);
        let candidates = std::mem::take(&mut self.candidates);
        swarm.add_candidates(&self.record.only_peers, now);
        swarm.add_candidates(&candidates, now);
        if let Some(points) = &self.points {
            swarm.set_rarest(&points.rarest);
        }
        let mut keeping = keeping;
        // All may be there already: staged and good, and only not yet at its place.
        keeping.finishing = missing == 0 && !self.record.is_complete();
        Active {
            swarm,
            tree: ready.tree,
            wanted_files: ready.wanted_files,
            wanted: ready.wanted,
            inbox: Arc::new(Inbox::default()),
            keeping,
            uploads: Uploads::new(*info.layout()),
            suspects: Suspects::new(suspect),
            info,
            hungry: HashSet::new(),
            missing,
            before: (
                self.record.downloaded,
                self.record.uploaded,
                self.record.wasted,
            ),
            idle_since: None,
            next_view: self.watchers.as_ref().map(|_| Timer::now()),
            last_block: Timer::now(),
            told_history: Timer::now(),
            told_asks: false,
            held_since: None,
            told_missing: Vec::new(),
            told,
        }
    }

    async fn drive(&mut self, active: &mut Active) -> Result<std::convert::Infallible, Halt> {
        let mut batches = Vec::with_capacity(BATCHES);
        loop {
            for connection in std::mem::take(&mut self.early) {
                let (key, new) = self.peers.connect(connection);
                active.swarm.handle_connected(key, new, Instant::now());
            }
            self.act(active);
            self.tell_asks(active).await;
            self.start_work(active);
            self.prove(active);
            self.rest(active)?;
            let timer = self.deadline(active);
            let room = active.keeping.has_room();
            if room && active.held_since.is_some() {
                self.excuse(active);
                active.held_since = None;
            } else if !room {
                active.held_since.get_or_insert_with(Instant::now);
            }
            tokio::select! {
                biased;
                command = self.commands.recv() => {
                    self.command(active, command.unwrap_or(Command::Stop))?;
                }
                () = active.inbox.ready() => self.disk_done(active).await?,
                Some(work) = active.keeping.work.join_next(), if !active.keeping.work.is_empty() => {
                    let work = work.map_err(|error| Halt::Fault(ErrorKind::Failed, error.to_string()))?;
                    self.work_done(active, work).await?;
                }
                _ = self.peers.from_peers.recv_many(&mut batches, BATCHES), if room => {
                    for (key, said) in batches.drain(..) {
                        self.hear(active, key, said);
                    }
                }
                Some((addr, connected)) = self.peers.dialled.recv() => match connected {
                    Ok(connection) => self.early.push(connection),
                    Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                        active.swarm.handle_dial_put_off(addr, Instant::now());
                    }
                    Err(error) => {
                        tracing::debug!(item = %self.item, "{addr}: {error}");
                        active.swarm.handle_dial_failed(addr, Instant::now());
                    }
                },
                () = until(timer) => self.tick(active),
            }
        }
    }

    /// Says that there is somebody to ask for what is missing, or nobody any more.
    async fn tell_asks(&mut self, active: &mut Active) {
        let asks = active.missing > 0 && active.swarm.may_ask();
        if std::mem::replace(&mut active.told_asks, asks) != asks {
            self.report(Report::Asks(self.item, asks)).await;
        }
    }

    /// Works off what the swarm wants done.
    fn act(&mut self, active: &mut Active) {
        while let Some(action) = active.swarm.poll_action() {
            match action {
                Action::Send(key, message) => {
                    if !self.peers.send(key, message) {
                        self.disconnect(active, key);
                    }
                }
                Action::Upload(key, block) => {
                    if !active.suspects.hold_back(key, block) {
                        active.uploads.push(key, block);
                        active.hungry.insert(key);
                    }
                }
                Action::CancelUpload(key, block) => {
                    if !active.suspects.cancel(key, block)
                        && let Some(link) = self.peers.link(key)
                    {
                        active.uploads.cancel(key, block, link);
                    }
                }
                Action::Verify(piece) => self.verify(active, piece),
                Action::Discard(piece) => active.keeping.partials.discard(piece.get()),
                Action::Dial(addr) => self.peers.dial(addr),
                Action::Drop(key, why) => {
                    tracing::debug!(item = %self.item, "peer dropped: {why}");
                    self.disconnect(active, key);
                }
                Action::Complete => {
                    active.keeping.finishing = !self.record.is_complete();
                }
            }
        }
        for key in std::mem::take(&mut active.hungry) {
            self.feed(active, key);
        }
    }

    /// Gives a peer what is there for it.
    pub(super) fn feed(&mut self, active: &mut Active, key: PeerKey) {
        if let Some(link) = self.peers.link(key) {
            (active.uploads).feed(key, link, &active.tree, &active.inbox);
        }
    }

    /// Ends all connections.
    fn leave(&mut self, active: &mut Active) {
        for key in self.peers.keys() {
            self.disconnect(active, key);
        }
        self.update_totals(active);
    }

    /// Ends a connection and writes it into the history.
    fn disconnect(&mut self, active: &mut Active, key: PeerKey) {
        if let Some(session) = self.exchange(active, key) {
            self.ctx.store.session(session);
        }
        if self.peers.remove(key).is_none() {
            return;
        }
        active.uploads.forget(key);
        active.suspects.forget(key);
        active.hungry.remove(&key);
        active.swarm.handle_disconnected(key, Instant::now());
    }

    pub(super) fn command(&mut self, active: &mut Active, command: Command) -> Result<(), Halt> {
        match command {
            Command::Peers(addrs) => active.swarm.add_candidates(&addrs, Instant::now()),
            Command::Points(points) => {
                active.swarm.set_rarest(&points.rarest);
                self.points = Some(points);
            }
            Command::Set(setting, reply) => {
                self.set(setting);
                match setting {
                    ItemSetting::Sequential(sequential) => active.swarm.set_sequential(sequential),
                    ItemSetting::MaxPeers(_) => {
                        active.swarm.set_max_peers(self.max_peers(), Instant::now());
                    }
                    ItemSetting::Down(_) | ItemSetting::Up(_) => {}
                }
                drop(reply.send(Ok(self.active_view(active))));
            }
            Command::InFlight(bytes) => {
                self.in_flight = bytes;
                active.swarm.set_in_flight(bytes);
            }
            Command::Watch(watchers) => {
                watchers.send_replace(self.active_view(active));
                self.watchers = Some(watchers);
                active.next_view = Some(Timer::now() + WATCH);
            }
            Command::Ask(ask) => self.answer(active, ask),
            Command::Pause(reply) => {
                self.pause();
                self.leave(active);
                drop(reply.send(Ok(self.active_view(active))));
                return Err(Halt::Asked);
            }
            other => self.early_command(other)?,
        }
        Ok(())
    }

    /// Tells the swarm for how long which peers were not read.
    fn excuse(&self, active: &mut Active) {
        let now = Instant::now();
        let since = active.held_since.as_mut();
        let all = since.map(|since| now.duration_since(std::mem::replace(since, now)));
        for (key, link) in self.peers.links() {
            let held = link.take_held() + all.unwrap_or_default();
            if held >= HELD {
                active.swarm.handle_held_back(key, held, now);
            }
        }
    }

    /// Peers that may be connected: as the item is set, within what is configured for all.
    fn max_peers(&self) -> usize {
        let most = self.ctx.config.max_peers_item;
        (self.record.max_peers).map_or(most, |own| most.min(own as usize))
    }

    /// A timer came.
    fn tick(&mut self, active: &mut Active) {
        let now = Instant::now();
        if active.swarm.poll_timeout().is_some_and(|at| at <= now) {
            self.excuse(active);
            active.swarm.handle_timeout(now);
        }
        if active.next_view.is_some_and(|at| at <= Timer::now()) {
            self.update_totals(active);
            let view = self.active_view(active);
            active.next_view = self.watchers.as_ref().and_then(|watchers| {
                watchers.send_replace(view);
                (!watchers.is_closed()).then(|| Timer::now() + WATCH)
            });
        }
        if active.told_history.elapsed() >= TELL {
            active.told_history = Timer::now();
            self.tell_exchanges(active);
        }
        if active.last_block.elapsed() >= STUCK && active.missing > 0 {
            active.last_block = Timer::now();
            self.look_for_missing(active);
            if active.swarm.stats(now).peers == 0 {
                // Full: said again after the next wait.
                let _ = self.ctx.reports.try_send(Report::Alone(self.item));
            }
        }
    }

    /// Sleeps when there is nothing to do.
    fn rest(&mut self, active: &mut Active) -> Result<(), Halt> {
        let idle = self.record.is_complete()
            && active.keeping.is_quiet()
            && active.suspects.is_empty()
            && active.swarm.is_idle()
            && self.early.is_empty();
        if !idle {
            active.idle_since = None;
            return Ok(());
        }
        let since = *active.idle_since.get_or_insert_with(Timer::now);
        if since.elapsed() >= IDLE {
            return Err(Halt::Idle);
        }
        Ok(())
    }

    fn deadline(&self, active: &Active) -> Option<Timer> {
        let stuck = (active.missing > 0).then(|| active.last_block + STUCK);
        [
            active.swarm.poll_timeout().map(Timer::from_std),
            active.next_view,
            active.keeping.next_sync(),
            active.idle_since.map(|since| since + IDLE),
            stuck,
        ]
        .into_iter()
        .flatten()
        .min()
    }
}
