//! What a share says of itself, and the books it keeps for that.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use p2p_wire::InfoHash;
use p2p_wire::control::{Each, PathText, Share, ShareProgress};

use super::catalogue::Catalogue;
use super::folder::{Folder, Notice};
use super::holder::Holder;
use super::store::{Known, Row};
use super::watch as watching;

impl<H: Holder> Folder<H> {
    pub(super) fn tell(&self) {
        let (state, reason) = self.state();
        let waiting = self.settle.len() + self.ready.len() + self.busy.len();
        let mut left_out: BTreeMap<String, u32> = self
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
        share.refused = count(self.refused.len());
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
        if let Some(why) = &self.unread {
            return ("error", Some(why.clone()));
        }
        if self.scanning {
            return ("scanning", None);
        }
        if !self.busy.is_empty() || !self.ready.is_empty() {
            return ("hashing", None);
        }
        if let Some(why) = self.refused.values().next() {
            let (refused, all) = (self.refused.len(), self.by_hash.len());
            let why = format!("the tracker refuses to publish {refused} of {all}: {why}");
            return ("error", Some(why));
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

    pub(super) fn insert(&mut self, entry: PathBuf, known: Known) {
        self.forget(&entry);
        self.size = self.size.saturating_add(known.size);
        self.published += u32::from(known.published);
        // Nearly always the only one.
        let entries = self.by_hash.entry(known.info_hash);
        entries
            .or_insert_with(|| Vec::with_capacity(1))
            .push(entry.clone());
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
                self.refused.remove(&known.info_hash);
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
            .emit_to(self.catalogue.row.owner, topic, item, Some(&name), text);
    }
}

pub(super) fn share_of<H: Holder>(catalogue: &Catalogue<H>, state: &str) -> Share {
    let Row {
        name,
        path,
        options,
        owner,
        ..
    } = &*catalogue.row;
    Share {
        name: name.clone(),
        path: PathText::from(&**path),
        // A file is one item whatever is asked.
        each: if catalogue.is_file {
            Each::Whole
        } else {
            options.each
        },
        state: state.to_owned(),
        reason: None,
        items: 0,
        size: 0,
        published: 0,
        refused: 0,
        pending: 1,
        left_out: BTreeMap::new(),
        tracker: catalogue.trackers().name_of(catalogue.tracker()).ok(),
        visibility: options.visibility,
        owner_uid: *owner,
    }
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
