//! How a share notices changes, and which entries they concern.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use p2p_wire::control::Each;

use super::folder::{Folder, Notice};
use super::holder::Holder;
use super::place;
use super::settle::News;
use super::watch::{Dirty, Unwatched, Watch};

enum Touched {
    Entry(PathBuf),
    Everything,
    Nothing,
}

impl<H: Holder> Folder<H> {
    /// Begins to watch, or to poll where watching cannot work.
    pub(super) async fn notice(&mut self) {
        if self.catalogue.row.options.once {
            self.notice = Notice::Never;
            return;
        }
        let (base, recursive) = (self.base.clone(), self.only.is_none());
        let started = self.on_disk(move || {
            let is_remote = place::is_remote(&base);
            let watch = (!is_remote).then(|| Watch::start(&base, recursive));
            (is_remote, watch)
        });
        let Some((is_remote, watch)) = started.await else {
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

    pub(super) async fn take_hints(&mut self) {
        let Notice::Watching(watch) = &self.notice else {
            return;
        };
        let paths = match watch.take() {
            Dirty::Paths(paths) => paths,
            Dirty::Everything => return self.scan(false).await,
            Dirty::Limit => {
                self.notice = Notice::Polling(String::new());
                return self.scan(false).await;
            }
        };
        // A disk that was unmounted, or a folder that took the place of another, changes everything.
        if self.is_elsewhere().await {
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
        if self.view_each() == Each::File && self.are_folders(&entries).await {
            return self.scan(false).await;
        }
        self.look(entries, false).await;
    }

    /// Whether one of them is a folder, or may have been: one that came, went or was renamed brings or takes many.
    async fn are_folders(&self, entries: &HashMap<PathBuf, News>) -> bool {
        let known = |entry: &PathBuf| self.known.contains_key(entry);
        let looked = entries.keys().map(|entry| (entry.clone(), known(entry)));
        let (looked, base) = (looked.collect::<Vec<_>>(), self.base.clone());
        let folders = self.on_disk(move || {
            looked.into_iter().any(|(entry, is_known)| {
                let meta = std::fs::symlink_metadata(base.join(entry));
                meta.map_or(!is_known, |meta| meta.is_dir())
            })
        });
        folders.await.unwrap_or(true)
    }

    /// Whether another folder, or none, lies at the place of the one that was looked at last.
    pub(super) async fn is_elsewhere(&self) -> bool {
        let base = self.base.clone();
        let identity = self.on_disk(move || place::identity(&base).ok()).await;
        identity.is_some_and(|now| now != self.identity)
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
            Each::File => Touched::Entry(below.to_owned()),
        }
    }
}
