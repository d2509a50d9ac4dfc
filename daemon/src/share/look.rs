//! How a share looks: at some entries, or at all that there is.
//!
//! All that touches the file system runs on blocking threads: a disk that does not answer holds up its share alone.

use std::collections::HashMap;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use p2p_wire::control::{Each, ErrorKind};

use super::files::{Files, Seen};
use super::folder::{Folder, Notice};
use super::held::Held;
use super::holder::Holder;
use super::ignore::{self, Rules};
use super::place::{self, Identity};
use super::scan::{Scan, View};
use super::settle::News;
use crate::rights::{Purpose, Rights};
use crate::{Fault, storage};

/// How often a share that is not there is looked for.
const LOOK_FOR_ROOT: Duration = Duration::from_secs(3);
/// How soon what could not be read is looked at again at the latest.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// And at the earliest.
const LOOK_AGAIN_LEAST: Duration = Duration::from_secs(1);

/// See [`Folder::scan_files`].
type Found = (Scan, Option<Identity>, (u64, u64), u64);

impl<H: Holder> Folder<H> {
    /// Does what touches the file system. `None` if the share ends meanwhile: nobody waits any longer for a disk that does not answer.
    pub(super) async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        tokio::select! {
            done = tokio::task::spawn_blocking(work) => done.ok(),
            () = self.activity.ended() => None,
        }
    }

    /// Looks at some entries.
    pub(super) async fn look(&mut self, entries: HashMap<PathBuf, News>, is_new: bool) {
        if entries.is_empty() {
            return;
        }
        let (base, rules, each) = (self.base.clone(), self.rules.clone(), self.view_each());
        let reader = self.catalogue.reader();
        let begin = Instant::now();
        let looked = self.on_disk(move || {
            let view = View {
                root: &base,
                each,
                rules: &rules,
                reader,
            };
            let (mut looked, mut failed) = (Vec::new(), None);
            for (entry, news) in entries {
                match view.look_at(&entry) {
                    Ok(seen) => looked.push((entry, news, seen)),
                    Err(error) => {
                        failed = Some(format!("{} cannot be read: {error}", entry.display()));
                    }
                }
            }
            (looked, failed)
        });
        let looked = looked.await;
        let end = Instant::now();
        self.last_look = (end, end - begin);
        if let Some((looked, failed)) = looked {
            if failed.is_some() {
                self.doubt(failed);
            }
            self.reconcile(looked, is_new).await;
        }
    }

    /// What the disk does not tell of stays as it is, and is looked at again soon. `None`: all could be read.
    fn doubt(&mut self, why: Option<String>) {
        if let Some(why) = &why {
            // In proportion to the quiet time, as the other waits; where a look takes long, not all the time.
            let (_, took) = self.last_look;
            let settle = self.catalogue.hub.config.settle;
            let wait = settle.saturating_mul(6).max(took * 10);
            let wait = wait.clamp(LOOK_AGAIN_LEAST, LOOK_AGAIN);
            self.scan_at = self.scan_at.min(Instant::now() + wait);
            if self.unread.is_none() {
                let (name, owner) = (&self.catalogue.row.name, self.catalogue.row.owner);
                let text = format!("share {name}: {why}; what is known of it stays");
                let events = &self.catalogue.hub.events;
                events.emit_to(owner, "share.error", None, Some(name), text);
            }
        }
        self.unread = why;
    }

    /// The files of an entry as they are now.
    pub(super) async fn files_of(&self, entry: &Path) -> Option<Files> {
        let (base, rules, each) = (self.base.clone(), self.rules.clone(), self.view_each());
        let reader = self.catalogue.reader();
        let entry = entry.to_owned();
        let files = self.on_disk(move || {
            let view = View {
                root: &base,
                each,
                rules: &rules,
                reader,
            };
            view.files_of(&entry)
        });
        files.await?.ok()?
    }

    /// Looks at everything.
    pub(super) async fn scan(&mut self, is_new: bool) {
        self.scanning = true;
        self.tell();
        let found = self.scan_files().await;
        self.scanning = false;
        self.scan_at = Instant::now() + self.scan_interval();
        let (scan, now, there, device) = match found {
            None => return,
            Some(Ok(found)) => found,
            Some(Err(error)) => {
                let why = format!("{} cannot be read: {error}", self.base.display());
                return self.lose(why);
            }
        };
        if let Some(owner) = self.catalogue.reader()
            && now != self.identity
            && let Err(fault) = self.judge(owner, there).await
        {
            return self.lose(format!("{}. {}", fault.what, fault.why));
        }
        let is_other = self.identity.is_some() && now != self.identity;
        let known_there = self
            .known
            .keys()
            .any(|entry| scan.entries.contains_key(entry));
        if is_other && !self.known.is_empty() && !known_there {
            let why = format!("another folder lies at {}", self.base.display());
            return self.lose(why);
        }
        if let Some(now) = now.filter(|_| now != self.identity) {
            let hub = &self.catalogue.hub;
            let kept = hub.store.set_identity(self.catalogue.row.id, now).await;
            hub.warn(kept.map_err(|error| hub.state_fault(&error)));
        }
        self.identity = now;
        self.device = device;
        if self.unavailable.take().is_some() {
            self.come_back().await;
        } else if is_other {
            // The watch is on the folder that was here before.
            self.notice().await;
        }
        self.doubt(scan.why.clone());
        self.left_out.clone_from(&scan.left_out);
        self.folders = scan.folders;
        let waiting: Vec<&PathBuf> = self.settle.keys().collect();
        let gone = self
            .known
            .keys()
            .chain(waiting)
            .chain(self.busy.keys())
            .filter(|entry| !scan.entries.contains_key(*entry) && !scan.is_unknown(entry));
        let gone: Vec<_> = gone
            .map(|entry| (entry.clone(), News::Found, None))
            .collect();
        let there = scan.entries.into_iter();
        let looked = gone
            .into_iter()
            .chain(there.map(|(entry, seen)| (entry, News::Found, Some(seen))));
        self.reconcile(looked.collect(), is_new).await;
    }

    /// Whether the user `owner` may share what lies here now: `there` is its device and inode.
    async fn judge(&self, owner: u32, there: (u64, u64)) -> Result<(), Fault> {
        let path = &self.catalogue.row.path;
        let found = Rights::of(owner).await?.find(Purpose::Share, path).await?;
        if found.path == *path && found.identity == there {
            return Ok(());
        }
        Err(Fault::new(
            ErrorKind::Conflict,
            format!("another folder lies at {}", path.display()),
            "It was replaced while it was looked at",
            "Share it again",
        ))
    }

    /// What there is, the identity of the folder, device and inode of what is shared, and the device of the file system. `None` if the share
    /// ends.
    async fn scan_files(&mut self) -> Option<std::io::Result<Found>> {
        let (base, only, each) = (self.base.clone(), self.only.clone(), self.view_each());
        let (config, options) = (&self.catalogue.hub.config, &self.catalogue.row.options);
        let globs: Vec<String> = config
            .exclude
            .iter()
            .chain(&options.exclude)
            .chain(&self.catalogue.row.left_out)
            .cloned()
            .collect();
        let ignore_file = config.ignore_file.clone();
        let reader = self.catalogue.reader();
        let begin = Instant::now();
        let result = self.on_disk(move || {
            let held = Held::root(&base, reader.is_none());
            let held = held?;
            let rules = load_rules(held.path(), &globs, &ignore_file);
            let view = View {
                root: &base,
                each,
                rules: &rules,
                reader,
            };
            let root = std::fs::metadata(held.path())?;
            let (scan, there) = match only {
                None => (view.scan(&held)?, root),
                Some(only) => {
                    let there = std::fs::symlink_metadata(held.path().join(&only));
                    let seen: Option<(PathBuf, Seen)> =
                        view.look_at(&only)?.map(|seen| (only, seen));
                    let scan = Scan {
                        entries: seen.into_iter().collect(),
                        ..Scan::default()
                    };
                    (scan, there.unwrap_or(root))
                }
            };
            let identity = place::identity(held.path()).ok();
            let device = storage::device(&base);
            let found = (scan, identity, (there.dev(), there.ino()), device);
            std::io::Result::Ok((found, rules))
        });
        let result = result.await;
        self.last_look = (Instant::now(), begin.elapsed());
        let found = result?.map(|(found, rules)| {
            self.rules = Arc::new(rules);
            found
        });
        Some(found)
    }

    pub(super) fn view_each(&self) -> Each {
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

    fn lose(&mut self, why: String) {
        if self.unavailable.is_none() {
            let (name, owner) = (&self.catalogue.row.name, self.catalogue.row.owner);
            let text = format!("share {name} is not available: {why}");
            let events = &self.catalogue.hub.events;
            events.emit_to(owner, "share.unavailable", None, Some(name), text);
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
}

fn load_rules(base: &Path, globs: &[String], ignore_file: &str) -> Rules {
    // The globs were checked when the share was added; those of the configuration when it was read.
    let mut rules = Rules::new(globs.iter().map(String::as_str)).unwrap_or_else(|error| {
        tracing::warn!("{error}");
        Rules::default()
    });
    let path = base.join(ignore_file);
    let is_file = std::fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_file());
    let mut text = Vec::new();
    if is_file
        && let Ok(file) = std::fs::File::open(&path)
        && file.take(ignore::MAX_FILE).read_to_end(&mut text).is_ok()
    {
        rules.add_file(&text);
    }
    rules
}
