//! One share at work: hints and scans in, items out.
//!
//! A task owns it. Hints name entries that may have changed; each is looked at, compared with what is known ([`super::reconcile`]), waits until it is
//! at rest, is hashed and becomes an item. Looks are spaced by how long the last one took, so that a folder of 100,000 files that is
//! being written does not keep a core busy.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use p2p_wire::InfoHash;
use p2p_wire::control::{Each, PathText, Share, ShareProgress};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::Hub;
use super::catalogue::{Catalogue, NotAdmitted};
use super::hashing::{Activity, Job, Unhashed};
use super::holder::Holder;
use super::ignore::Rules;
use super::place::{self, Identity};
use super::scan::{Files, LeftOut, Scan, Seen, View};
use super::settle::{News, Settle};
use super::store::{Known, Row};
use super::watch::{self as watching, Dirty, Unwatched, Watch};
use crate::tracker::{Outcome, OutcomeKind};

/// Entries on their way from rest to item at once.
const AT_ONCE: usize = 32;
/// Events that come together are looked at together: a rename is two.
const GATHER: Duration = Duration::from_millis(100);
/// How often progress is told while something is hashed.
const PROGRESS: Duration = Duration::from_millis(200);
/// How often a share that is not there is looked for.
const LOOK_FOR_ROOT: Duration = Duration::from_secs(3);

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
    only: Option<PathBuf>,
    rules: Arc<Rules>,
    pub(super) identity: Option<Identity>,
    is_remote: bool,
    notice: Notice,
    pub(super) known: HashMap<PathBuf, Known>,
    pub(super) by_hash: HashMap<InfoHash, Vec<PathBuf>>,
    pub(super) settle: Settle<PathBuf>,
    /// At rest, waiting to be hashed, with their stamps.
    pub(super) ready: VecDeque<(PathBuf, [u8; 20])>,
    /// On their way; true for those that changed meanwhile.
    pub(super) busy: HashMap<PathBuf, bool>,
    /// What cannot become an item as it is.
    pub(super) unfit: HashMap<PathBuf, ([u8; 20], String)>,
    jobs: JoinSet<(PathBuf, [u8; 20], Result<Known, NotAdmitted>)>,
    activity: Activity,
    left_out: LeftOut,
    folders: u32,
    pub(super) unavailable: Option<String>,
    refused: Option<String>,
    scanning: bool,
    size: u64,
    published: u32,
    progress: watch::Sender<ShareProgress>,
    /// Hints wait to be looked at then.
    look_at: Option<Instant>,
    last_look: (Instant, Duration),
    scan_at: Instant,
}

impl<H: Holder> Folder<H> {
    /// A share with the entries that are known of it.
    pub(super) fn new(hub: Arc<Hub<H>>, row: Row, entries: Vec<(PathBuf, Known)>) -> Self {
        // A file's only entry has a name; that of a folder shared whole has none.
        let is_file = row.path.is_file()
            || (row.options.each == Each::Whole
                && entries
                    .iter()
                    .any(|(entry, _)| !entry.as_os_str().is_empty()));
        let (base, only) = match (row.path.parent(), row.path.file_name()) {
            (Some(parent), Some(name)) if is_file => (parent.to_owned(), Some(name.into())),
            _ => (row.path.clone(), None),
        };
        let config = &hub.config;
        let settle = Settle::new(config.settle, config.max_delay);
        let catalogue = Catalogue {
            hub: hub.clone(),
            row: Arc::new(row),
            is_file,
        };
        let now = Instant::now();
        let empty = share_of(&catalogue, "scanning");
        let mut folder = Self {
            catalogue,
            base,
            only,
            rules: Arc::new(Rules::default()),
            identity: None,
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
                Err(NotAdmitted::Unhashed(_)) => {
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
        self.ready.extend(self.settle.take(Instant::now()));
    }

    fn wake_at(&mut self) -> Option<Instant> {
        let progress = self.activity.get().map(|_| Instant::now() + PROGRESS);
        let scan = match self.notice {
            Notice::Never if self.unavailable.is_none() => None,
            _ => Some(self.scan_at),
        };
        [self.settle.due(), self.look_at, progress, scan]
            .into_iter()
            .flatten()
            .min()
    }

    async fn take_hints(&mut self) {
        let Notice::Watching(watch) = &self.notice else {
            return;
        };
        let Dirty::Paths(paths) = watch.take() else {
            return self.scan(false).await;
        };
        // A disk that was unmounted, or a folder that took the place of another, changes everything.
        if place::identity(&self.base).ok() != self.identity {
            return self.scan(false).await;
        }
        let mut entries = HashMap::new();
        for (path, news) in paths {
            match self.entry_of(&path) {
                Touched::Entry(entry) => {
                    let known = entries.entry(entry).or_insert(news);
                    *known = (*known).min(news);
                }
                Touched::Everything => return self.scan(false).await,
                Touched::Nothing => {}
            }
        }
        self.look(entries, false).await;
    }

    fn entry_of(&self, path: &Path) -> Touched {
        let Ok(below) = path.strip_prefix(&self.base) else {
            return Touched::Nothing;
        };
        if let Some(only) = &self.only {
            return if below == only {
                Touched::Entry(only.clone())
            } else {
                Touched::Nothing
            };
        }
        let Some(first) = below.components().next() else {
            return Touched::Everything;
        };
        if below == Path::new(&self.catalogue.hub.config.ignore_file) {
            return Touched::Everything;
        }
        match self.catalogue.row.options.each {
            Each::Whole => Touched::Entry(PathBuf::new()),
            Each::Entry => Touched::Entry(first.as_os_str().into()),
            // A folder that came, went or was renamed brings or takes many.
            Each::File if path.is_dir() || (!path.exists() && !self.known.contains_key(below)) => {
                Touched::Everything
            }
            Each::File => Touched::Entry(below.to_owned()),
        }
    }

    /// Looks at some entries.
    pub(super) async fn look(&mut self, entries: HashMap<PathBuf, News>, is_new: bool) {
        if entries.is_empty() {
            return;
        }
        let (base, rules, each) = (self.base.clone(), self.rules.clone(), self.view_each());
        let begin = Instant::now();
        let looked = tokio::task::spawn_blocking(move || {
            let view = View {
                root: &base,
                each,
                rules: &rules,
            };
            let look = |(entry, news): (PathBuf, News)| {
                let seen = view.look_at(&entry);
                (entry, news, seen)
            };
            entries.into_iter().map(look).collect::<Vec<_>>()
        })
        .await;
        let end = Instant::now();
        self.last_look = (end, end - begin);
        if let Ok(looked) = looked {
            self.reconcile(looked, is_new).await;
        }
    }

    /// The files of an entry as they are now.
    pub(super) async fn files_of(&self, entry: &Path) -> Option<Files> {
        let (base, rules, each) = (self.base.clone(), self.rules.clone(), self.view_each());
        let entry = entry.to_owned();
        let files = tokio::task::spawn_blocking(move || {
            let view = View {
                root: &base,
                each,
                rules: &rules,
            };
            view.files_of(&entry)
        });
        files.await.ok().flatten()
    }

    /// Looks at everything.
    pub(super) async fn scan(&mut self, is_new: bool) {
        self.scanning = true;
        self.tell();
        let found = self.scan_files().await;
        self.scanning = false;
        self.scan_at = Instant::now() + self.scan_interval();
        let (scan, now) = match found {
            Ok(found) => found,
            Err(error) => {
                let why = format!("{} cannot be read: {error}", self.base.display());
                return self.lose(why);
            }
        };
        let is_other = self.identity.is_some() && now != self.identity;
        let known_there = self
            .known
            .keys()
            .any(|entry| scan.entries.contains_key(entry));
        if is_other && !self.known.is_empty() && !known_there {
            let why = format!("another folder lies at {}", self.base.display());
            return self.lose(why);
        }
        self.identity = now;
        if self.unavailable.take().is_some() {
            self.come_back().await;
        }
        self.left_out = scan.left_out;
        self.folders = scan.folders;
        let waiting: Vec<&PathBuf> = self.settle.keys().collect();
        let gone = self
            .known
            .keys()
            .chain(waiting)
            .chain(self.busy.keys())
            .filter(|entry| !scan.entries.contains_key(*entry));
        let gone: Vec<_> = gone
            .map(|entry| (entry.clone(), News::Found, None))
            .collect();
        let there = scan.entries.into_iter();
        let looked = gone
            .into_iter()
            .chain(there.map(|(entry, seen)| (entry, News::Found, Some(seen))));
        self.reconcile(looked.collect(), is_new).await;
    }

    async fn scan_files(&mut self) -> std::io::Result<(Scan, Option<Identity>)> {
        let (base, only, each) = (self.base.clone(), self.only.clone(), self.view_each());
        let (config, options) = (&self.catalogue.hub.config, &self.catalogue.row.options);
        let globs: Vec<String> = config
            .exclude
            .iter()
            .chain(&options.exclude)
            .cloned()
            .collect();
        let ignore_file = config.ignore_file.clone();
        let begin = Instant::now();
        let result = tokio::task::spawn_blocking(move || {
            let rules = load_rules(&base, &globs, &ignore_file);
            let view = View {
                root: &base,
                each,
                rules: &rules,
            };
            let scan = match only {
                None => view.scan(),
                Some(only) => std::fs::metadata(&base).map(|_| {
                    let seen: Option<(PathBuf, Seen)> =
                        view.look_at(&only).map(|seen| (only, seen));
                    Scan {
                        entries: seen.into_iter().collect(),
                        ..Scan::default()
                    }
                }),
            };
            let identity = place::identity(&base).ok();
            (scan.map(|scan| (scan, identity)), rules)
        })
        .await;
        self.last_look = (Instant::now(), begin.elapsed());
        let (found, rules) = result.map_err(std::io::Error::other)?;
        self.rules = Arc::new(rules);
        found
    }

    fn view_each(&self) -> Each {
        if self.only.is_some() {
            Each::Entry
        } else {
            self.catalogue.row.options.each
        }
    }

    fn scan_interval(&self) -> Duration {
        let config = &self.catalogue.hub.config;
        if self.unavailable.is_some() {
            return LOOK_FOR_ROOT;
        }
        match self.notice {
            Notice::Polling(_) => {
                let (_, took) = self.last_look;
                (config.settle * 2)
                    .max(Duration::from_secs(1))
                    .max(took * 10)
            }
            _ => config.rescan.max(Duration::from_secs(1)),
        }
    }

    /// Begins to watch, or to poll where watching cannot work.
    async fn notice(&mut self) {
        if self.catalogue.row.options.once {
            self.notice = Notice::Never;
            return;
        }
        let (base, recursive) = (self.base.clone(), self.only.is_none());
        let started = tokio::task::spawn_blocking(move || {
            let is_remote = place::is_remote(&base);
            let watch = (!is_remote).then(|| Watch::start(&base, recursive));
            (is_remote, watch)
        })
        .await;
        let Ok((is_remote, watch)) = started else {
            return;
        };
        self.is_remote = is_remote;
        self.notice = match watch {
            Some(Ok(watch)) => Notice::Watching(watch),
            None => Notice::Polling(
                "a network file system does not tell of changes made elsewhere".into(),
            ),
            Some(Err(Unwatched::Limit)) => Notice::Polling(String::new()),
            Some(Err(Unwatched::Other(why))) => {
                Notice::Polling(format!("it cannot be watched: {why}"))
            }
        };
    }

    fn lose(&mut self, why: String) {
        if self.unavailable.is_none() {
            let name = &self.catalogue.row.name;
            let text = format!("share {name} is not available: {why}");
            let events = &self.catalogue.hub.events;
            events.emit("share.unavailable", None, Some(name), text);
        }
        self.unavailable = Some(why);
        self.scan_at = Instant::now() + LOOK_FOR_ROOT;
    }

    /// The disk is there again.
    async fn come_back(&mut self) {
        self.notice().await;
        for item in self.by_hash.keys() {
            self.catalogue.hub.holder.revive(*item).await;
        }
    }

    /// How long an entry has looked as it does. Other machines' clocks may differ: on network file systems nobody knows.
    pub(super) fn age(&self, seen: &Seen, is_new: bool) -> Duration {
        if self.is_remote {
            return Duration::ZERO;
        }
        // A folder that a user shares has been there; otherwise a move or a restored time must not pass for old age.
        let then = if is_new {
            seen.mtime_ns
        } else {
            seen.mtime_ns.max(seen.ctime_ns)
        };
        let now = i128::from(jiff::Timestamp::now().as_millisecond()) * 1_000_000;
        u64::try_from(now - then).map_or(Duration::ZERO, Duration::from_nanos)
    }

    pub(super) fn insert(&mut self, entry: PathBuf, known: Known) {
        self.forget(&entry);
        self.size = self.size.saturating_add(known.size);
        self.published += u32::from(known.published);
        let entries = self.by_hash.entry(known.info_hash).or_default();
        entries.push(entry.clone());
        self.known.insert(entry, known);
    }

    pub(super) fn forget(&mut self, entry: &Path) -> Option<Known> {
        let known = self.known.remove(entry)?;
        self.size = self.size.saturating_sub(known.size);
        self.published = self.published.saturating_sub(u32::from(known.published));
        if let Some(entries) = self.by_hash.get_mut(&known.info_hash) {
            entries.retain(|other| other != entry);
            if entries.is_empty() {
                self.by_hash.remove(&known.info_hash);
            }
        }
        Some(known)
    }

    pub(super) fn emit(&self, topic: &str, item: Option<InfoHash>, entry: &Path, what: &str) {
        let name = self.catalogue.name_of(entry);
        let text = format!("{}/{name} {what}", self.catalogue.row.name);
        self.catalogue
            .hub
            .events
            .emit(topic, item, Some(&name), text);
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

    fn tell(&self) {
        let (state, reason) = self.state();
        let waiting = self.settle.len() + self.ready.len() + self.busy.len();
        let mut left_out: std::collections::BTreeMap<String, u32> = self
            .left_out
            .iter()
            .map(|(reason, count)| ((*reason).to_owned(), *count))
            .collect();
        if !self.unfit.is_empty() {
            *left_out.entry("unreadable".to_owned()).or_default() += count(self.unfit.len());
        }
        let mut share = share_of(&self.catalogue, state);
        share.reason = reason;
        share.items = count(self.known.len());
        share.size = self.size;
        share.published = self.published;
        share.pending = count(waiting).max(u32::from(self.scanning));
        share.left_out = left_out;
        let current = self.activity.get();
        let hashed = current.as_ref().map_or(0, |c| c.progress.bytes_done());
        let seconds = current
            .as_ref()
            .map_or(0.0, |c| c.since.elapsed().as_secs_f64());
        self.progress.send_replace(ShareProgress {
            share,
            size: current.as_ref().map_or(0, |c| c.size),
            current: current.map(|c| c.name),
            hashed,
            rate: if seconds > 0.0 {
                (hashed as f64 / seconds) as u64
            } else {
                0
            },
        });
    }

    fn state(&self) -> (&'static str, Option<String>) {
        if let Some(why) = &self.unavailable {
            return ("unavailable", Some(why.clone()));
        }
        if let Some(why) = &self.refused {
            return (
                "error",
                Some(format!("the tracker refuses to publish: {why}")),
            );
        }
        if self.scanning {
            return ("scanning", None);
        }
        if !self.busy.is_empty() || !self.ready.is_empty() {
            return ("hashing", None);
        }
        match &self.notice {
            Notice::Watching(_) => ("watching", None),
            Notice::Never => ("once", None),
            Notice::Polling(why) if why.is_empty() => {
                let limit = watching::limit().map_or("unknown".to_owned(), |n| n.to_string());
                let why = format!(
                    "the limit on watches is reached: {} are needed here, fs.inotify.max_user_watches is {limit}",
                    self.folders.max(1)
                );
                ("polling", Some(why))
            }
            Notice::Polling(why) => ("polling", Some(why.clone())),
        }
    }
}

enum Touched {
    Entry(PathBuf),
    Everything,
    Nothing,
}

fn share_of<H: Holder>(catalogue: &Catalogue<H>, state: &str) -> Share {
    let Row {
        name,
        path,
        options,
        ..
    } = &*catalogue.row;
    Share {
        name: name.clone(),
        path: PathText::from(&**path),
        each: options.each,
        state: state.to_owned(),
        reason: None,
        items: 0,
        size: 0,
        published: 0,
        pending: 1,
        left_out: std::collections::BTreeMap::new(),
        tracker: catalogue.hub.trackers.name_of(catalogue.tracker()).ok(),
        visibility: options.visibility,
    }
}

fn load_rules(base: &Path, globs: &[String], ignore_file: &str) -> Rules {
    // The globs were checked when the share was added; those of the configuration when it was read.
    let mut rules = Rules::new(globs.iter().map(String::as_str)).unwrap_or_else(|error| {
        tracing::warn!("{error}");
        Rules::default()
    });
    let path = base.join(ignore_file);
    let is_file = std::fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_file());
    if is_file && let Ok(text) = std::fs::read(&path) {
        rules.add_file(&text);
    }
    rules
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

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
