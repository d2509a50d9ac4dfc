//! One share at work: hints and scans in, items out.
//!
//! A task owns it. Hints name entries that may have changed; each is looked at, compared with what is known ([`super::reconcile`]), waits until it is
//! at rest, is hashed and becomes an item. Looks are spaced by how long the last one took, so that a folder of 100,000 files that is
//! being written does not keep a core busy.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use p2p_wire::InfoHash;
use p2p_wire::control::ShareProgress;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::catalogue::{Catalogue, NotAdmitted};
use super::hashing::{Activity, Job, Unhashed};
use super::holder::Holder;
use super::hub::Hub;
use super::ignore::Rules;
use super::place::Identity;
use super::scan::LeftOut;
use super::settle::{News, Settle};
use super::store::{Known, Row};
use super::watch::Watch;
use crate::tracker::{Outcome, OutcomeKind};

/// Entries on their way from rest to item at once.
const AT_ONCE: usize = 32;
/// Events that come together are looked at together: a rename is two.
const GATHER: Duration = Duration::from_millis(100);
/// How often progress is told while something is hashed.
const PROGRESS: Duration = Duration::from_millis(200);

/// From the other parts to a share.
#[derive(Debug)]
pub(super) enum Command {
    /// Scan now.
    Rescan(oneshot::Sender<()>),
    /// Take every item back and end.
    Remove(oneshot::Sender<()>),
    /// What became of a publish.
    Outcome(Outcome),
    /// Announce URLs changed.
    Logins,
    /// Something was mounted or unmounted, somewhere.
    Mounts,
    /// A gate let an item pass.
    Passed,
    /// The item that this entry shared with another one is gone.
    Renew(PathBuf),
}

/// How changes are noticed.
pub(super) enum Notice {
    Watching(Watch),
    /// With the reason.
    Polling(String),
    /// Not at all: shared once.
    Never,
}

pub(super) struct Folder<H> {
    pub(super) catalogue: Catalogue<H>,
    /// The folder that entries lie in.
    pub(super) base: PathBuf,
    /// The one entry, if the share is a file.
    pub(super) only: Option<PathBuf>,
    pub(super) rules: Arc<Rules>,
    pub(super) identity: Option<Identity>,
    pub(super) is_remote: bool,
    pub(super) notice: Notice,
    pub(super) known: HashMap<PathBuf, Known>,
    pub(super) by_hash: HashMap<InfoHash, Vec<PathBuf>>,
    pub(super) settle: Settle<PathBuf>,
    /// At rest, waiting to be hashed, with their stamps.
    pub(super) ready: VecDeque<(PathBuf, [u8; 20])>,
    /// On their way; true for those that changed meanwhile.
    pub(super) busy: HashMap<PathBuf, bool>,
    /// What cannot become an item as it is.
    pub(super) unfit: HashMap<PathBuf, ([u8; 20], String)>,
    pub(super) jobs: JoinSet<(PathBuf, [u8; 20], Result<Known, NotAdmitted>)>,
    pub(super) activity: Activity,
    pub(super) left_out: LeftOut,
    pub(super) folders: u32,
    pub(super) unavailable: Option<String>,
    /// Why a part of it cannot be read just now.
    pub(super) unread: Option<String>,
    pub(super) refused: Option<String>,
    pub(super) scanning: bool,
    pub(super) size: u64,
    pub(super) published: u32,
    pub(super) progress: watch::Sender<ShareProgress>,
    /// Hints wait to be looked at then.
    pub(super) look_at: Option<Instant>,
    pub(super) last_look: (Instant, Duration),
    pub(super) scan_at: Instant,
    /// When entries at rest were taken last.
    settled: Instant,
}

impl<H: Holder> Folder<H> {
    /// A share with the entries that are known of it.
    pub(super) fn new(hub: Arc<Hub<H>>, row: Row, entries: Vec<(PathBuf, Known)>) -> Self {
        let is_file = row.is_file;
        let (base, only) = match (row.path.parent(), row.path.file_name()) {
            (Some(parent), Some(name)) if is_file => (parent.to_owned(), Some(name.into())),
            _ => (row.path.clone(), None),
        };
        let config = &hub.config;
        let settle = Settle::new(config.settle, config.max_delay);
        let identity = row.identity;
        let catalogue = Catalogue {
            hub: hub.clone(),
            row: Arc::new(row),
            is_file,
        };
        let now = Instant::now();
        let empty = super::status::share_of(&catalogue, "scanning");
        let mut folder = Self {
            catalogue,
            base,
            only,
            rules: Arc::new(Rules::default()),
            identity,
            is_remote: false,
            notice: Notice::Never,
            known: HashMap::new(),
            by_hash: HashMap::new(),
            settle,
            ready: VecDeque::new(),
            busy: HashMap::new(),
            unfit: HashMap::new(),
            jobs: JoinSet::new(),
            activity: Activity::default(),
            left_out: LeftOut::new(),
            folders: 0,
            unavailable: None,
            unread: None,
            refused: None,
            scanning: true,
            size: 0,
            published: 0,
            progress: watch::Sender::new(ShareProgress {
                share: empty,
                current: None,
                hashed: 0,
                size: 0,
                rate: 0,
            }),
            look_at: None,
            last_look: (now, Duration::ZERO),
            scan_at: now,
            settled: now.checked_sub(GATHER).unwrap_or(now),
        };
        for (entry, known) in entries {
            folder.insert(entry, known);
        }
        folder.tell();
        folder
    }

    /// How far the share is, as it changes.
    pub(super) fn progress(&self) -> watch::Receiver<ShareProgress> {
        self.progress.subscribe()
    }

    /// Works until it is removed; tells `begun` after the first scan. `is_new`: the user just shared it.
    pub(super) async fn run(
        mut self,
        mut commands: mpsc::Receiver<Command>,
        begun: oneshot::Sender<()>,
        is_new: bool,
    ) {
        self.drop_lost().await;
        if is_new || !self.catalogue.row.options.once {
            self.notice().await;
            self.scan(true).await;
        } else {
            self.scanning = false;
        }
        self.publish_again().await;
        self.tick(Instant::now()).await;
        self.tell();
        // Whoever added it may have gone.
        let _ = begun.send(());
        loop {
            self.dispatch();
            self.tell();
            let wake = self.wake_at();
            tokio::select! {
                command = commands.recv() => match command {
                    Some(Command::Remove(reply)) => {
                        self.remove_all().await;
                        let _ = reply.send(());
                        return;
                    }
                    Some(command) => self.obey(command).await,
                    None => return,
                },
                Some(joined) = self.jobs.join_next() => {
                    let mut done: Vec<_> = joined.into_iter().collect();
                    while let Some(joined) = self.jobs.try_join_next() {
                        done.extend(joined);
                    }
                    self.finish(done).await;
                }
                () = hint(&self.notice) => {
                    let (end, took) = self.last_look;
                    let earliest = end + took * 4;
                    self.look_at.get_or_insert((Instant::now() + GATHER).max(earliest));
                }
                () = sleep_until(wake) => self.tick(Instant::now()).await,
            }
        }
    }

    async fn obey(&mut self, command: Command) {
        match command {
            Command::Rescan(reply) => {
                self.unfit.clear();
                self.refused = None;
                self.scan(false).await;
                self.tick(Instant::now()).await;
                self.dispatch();
                self.tell();
                let _ = reply.send(());
            }
            Command::Outcome(outcome) => self.hear(outcome),
            Command::Logins => self.announce_anew().await,
            Command::Mounts => {
                if self.unavailable.is_some() || self.is_elsewhere().await {
                    self.scan(false).await;
                }
            }
            Command::Passed => {
                self.leave_out().await;
                self.publish_passed().await;
            }
            Command::Renew(entry) => self.renew(entry).await,
            // Handled where the task ends.
            Command::Remove(_) => {}
        }
    }

    fn hear(&mut self, outcome: Outcome) {
        match outcome.kind {
            OutcomeKind::Published => {
                for entry in self.by_hash.get(&outcome.item).into_iter().flatten() {
                    if let Some(known) = self.known.get_mut(entry)
                        && !known.published
                    {
                        known.published = true;
                        self.published += 1;
                    }
                }
            }
            OutcomeKind::Refused(why) if self.by_hash.contains_key(&outcome.item) => {
                self.refused = Some(why);
            }
            _ => {}
        }
    }

    /// Starts what is at rest on its way.
    fn dispatch(&mut self) {
        while self.jobs.len() < AT_ONCE
            && let Some((entry, stamp)) = self.ready.pop_front()
        {
            let options = &self.catalogue.row.options;
            let job = Job {
                root: self.base.clone(),
                each: self.view_each(),
                rules: self.rules.clone(),
                reader: self.catalogue.reader(),
                entry: entry.clone(),
                stamp,
                name: self.catalogue.torrent_name(&entry),
                piece_len: options.piece_len,
                private: self.catalogue.private(),
                activity: self.activity.clone(),
            };
            self.busy.insert(entry.clone(), false);
            let admitted = self.catalogue.clone().admit(job);
            self.jobs
                .spawn(async move { (entry, stamp, admitted.await) });
        }
    }

    async fn finish(&mut self, done: Vec<(PathBuf, [u8; 20], Result<Known, NotAdmitted>)>) {
        let mut again = Vec::new();
        for (entry, stamp, result) in done {
            let stale = self.busy.remove(&entry).unwrap_or(false);
            let mut retry = stale;
            match result {
                Ok(known) => {
                    self.emit("share.added", Some(known.info_hash), &entry, "is seeded");
                    self.insert(entry.clone(), known);
                    self.publish_if_passed(&entry, &known).await;
                }
                Err(NotAdmitted::Unhashed(Unhashed::Unfit(why))) => {
                    self.emit(
                        "share.error",
                        None,
                        &entry,
                        &format!("cannot be shared: {why}"),
                    );
                    self.unfit.insert(entry.clone(), (stamp, why));
                }
                Err(NotAdmitted::Unhashed(Unhashed::Stopped)) => {}
                Err(NotAdmitted::Unhashed(Unhashed::Unread(why))) => {
                    let text = format!("waits: {why}");
                    self.emit("share.error", None, &entry, &text);
                    self.settle.restless(entry.clone(), Instant::now());
                    retry = true;
                }
                Err(NotAdmitted::Unhashed(Unhashed::Restless | Unhashed::Gone)) => {
                    self.settle.restless(entry.clone(), Instant::now());
                    retry = true;
                }
                Err(NotAdmitted::Fault(fault)) => {
                    let text = format!("waits: {fault}");
                    self.emit("share.error", None, &entry, &text);
                    self.settle.restless(entry.clone(), Instant::now());
                    retry = true;
                }
            }
            if retry {
                again.push(entry);
            }
        }
        if !again.is_empty() {
            self.look(
                again
                    .into_iter()
                    .map(|entry| (entry, News::Found))
                    .collect(),
                false,
            )
            .await;
        }
    }

    async fn tick(&mut self, now: Instant) {
        if self.look_at.is_some_and(|at| at <= now) {
            self.look_at = None;
            self.take_hints().await;
        }
        if self.scan_at <= now {
            self.scan(false).await;
        }
        if self.settle_at() <= now {
            self.settled = now;
            self.ready.extend(self.settle.take(now));
        }
    }

    /// What comes to rest together is taken together: each time all that waits is looked through.
    fn settle_at(&self) -> Instant {
        self.settled + GATHER
    }

    fn wake_at(&mut self) -> Option<Instant> {
        let progress = self.activity.get().map(|_| Instant::now() + PROGRESS);
        let scan = match self.notice {
            Notice::Never if self.unavailable.is_none() && self.unread.is_none() => None,
            _ => Some(self.scan_at),
        };
        let settle = self.settle.due().map(|due| due.max(self.settle_at()));
        [settle, self.look_at, progress, scan]
            .into_iter()
            .flatten()
            .min()
    }

    pub(super) fn cancel(&self) {
        self.activity.cancel();
    }

    pub(super) async fn drop_jobs(&mut self) {
        self.ready.clear();
        self.cancel();
        while let Some(joined) = self.jobs.join_next().await {
            if let Ok((entry, _, Ok(known))) = joined {
                self.insert(entry, known);
            }
            self.cancel();
        }
        self.busy.clear();
    }
}

async fn hint(notice: &Notice) {
    match notice {
        Notice::Watching(watch) => watch.changed().await,
        _ => std::future::pending().await,
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
