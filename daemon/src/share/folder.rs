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

use super::catalogue::Catalogue;
use super::hashing::Activity;
use super::holder::Holder;
use super::hub::Hub;
use super::ignore::Rules;
use super::mail::{Letters, Mailbox};
use super::place::Identity;
use super::scan::LeftOut;
use super::settle::Settle;
use super::store::{Known, Row};
use super::watch::Watch;
use super::work::Done;
use crate::tracker::OutcomeKind;

/// Events that come together are looked at together: a rename is two.
const GATHER: Duration = Duration::from_millis(100);
/// Entries that wait to be hashed, about: the rest of those that are at rest wait with those that are not.
const MOST_READY: usize = 4_096;
/// How often progress is told while something is hashed or waits for it.
const PROGRESS: Duration = Duration::from_millis(200);

/// From whoever waits for the answer to a share.
#[derive(Debug)]
pub(super) enum Command {
    /// Scan now.
    Rescan(oneshot::Sender<()>),
    /// Take every item back and end.
    Remove(oneshot::Sender<()>),
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
    /// Of the file system that it lies on.
    pub(super) device: u64,
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
    pub(super) jobs: JoinSet<Done>,
    pub(super) activity: Activity,
    pub(super) mail: Mailbox,
    pub(super) left_out: LeftOut,
    pub(super) folders: u32,
    pub(super) unavailable: Option<String>,
    /// Why a part of it cannot be read just now.
    pub(super) unread: Option<String>,
    /// What the tracker refuses to publish, with its reasons.
    pub(super) refused: HashMap<InfoHash, String>,
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
            device: 0,
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
            mail: Mailbox::default(),
            left_out: LeftOut::new(),
            folders: 0,
            unavailable: None,
            unread: None,
            refused: HashMap::new(),
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
                letters = self.mail.take() => self.read(letters).await,
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
                self.refused.clear();
                self.scan(false).await;
                self.tick(Instant::now()).await;
                self.dispatch();
                self.tell();
                let _ = reply.send(());
            }
            // Handled where the task ends.
            Command::Remove(_) => {}
        }
    }

    async fn read(&mut self, letters: Letters) {
        for (item, outcome) in letters.outcomes {
            self.hear(item, outcome);
        }
        for entry in letters.renewed {
            self.renew(entry).await;
        }
        if letters.mounts && (self.unavailable.is_some() || self.is_elsewhere().await) {
            self.scan(false).await;
        }
        if letters.logins {
            self.announce_anew().await;
        }
        if letters.passed {
            self.leave_out().await;
            self.publish_passed().await;
        }
    }

    /// What became of the publish of an item.
    pub(super) fn hear(&mut self, item: InfoHash, outcome: OutcomeKind) {
        match outcome {
            OutcomeKind::Published => {
                self.refused.remove(&item);
                for entry in self.by_hash.get(&item).into_iter().flatten() {
                    if let Some(known) = self.known.get_mut(entry)
                        && !known.published
                    {
                        known.published = true;
                        self.published += 1;
                    }
                }
            }
            OutcomeKind::Refused(why) if self.by_hash.contains_key(&item) => {
                self.refused.insert(item, why);
            }
            _ => {}
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
        if self.settle_at().is_some_and(|at| at <= now) {
            self.settled = now;
            self.ready.extend(self.settle.take(MOST_READY, now));
        }
    }

    /// What comes to rest together is taken together: each time all that waits is looked through. Not before what was taken is nearly used
    /// up: of a hundred thousand at once the other tasks of the thread would wait for long.
    fn settle_at(&self) -> Option<Instant> {
        (self.ready.len() < MOST_READY / 4).then(|| self.settled + GATHER)
    }

    fn wake_at(&mut self) -> Option<Instant> {
        // When its turn to be hashed comes, nobody says.
        let progress = (!self.busy.is_empty()).then(|| Instant::now() + PROGRESS);
        let scan = match self.notice {
            Notice::Never if self.unavailable.is_none() && self.unread.is_none() => None,
            _ => Some(self.scan_at),
        };
        let settle = self.settle_at();
        let settle = settle.and_then(|at| self.settle.due().map(|due| due.max(at)));
        [settle, self.look_at, progress, scan]
            .into_iter()
            .flatten()
            .min()
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
