//! What is there against what is known: what is new, changed, renamed, gone.
//!
//! What changed or is gone is withdrawn at once, before it is looked at any further: nobody is served bytes that were not checked. An entry
//! that is gone while one of the same files came is a rename, and keeps its hashes.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Instant;

use tokio::task::JoinSet;

use super::files::Seen;
use super::folder::Folder;
use super::hashing::path_of;
use super::holder::Holder;
use super::settle::News;
use super::store::Known;

/// An entry that came or changed.
type Fresh = (PathBuf, News, Seen);

/// Entries that are compared before others get their turn.
const BREATH: usize = 256;

/// Items that are taken back at once when a share ends.
const AT_ONCE: usize = 32;

impl<H: Holder> Folder<H> {
    /// Takes in what entries look like now; `None` is gone. `is_new`: the share has just been added or started.
    pub(super) async fn reconcile(
        &mut self,
        looked: Vec<(PathBuf, News, Option<Seen>)>,
        is_new: bool,
    ) {
        let (mut fresh, mut gone) = (Vec::new(), Vec::new());
        let mut changed = HashSet::new();
        for (n, (entry, news, seen)) in looked.into_iter().enumerate() {
            breathe(n).await;
            let known = self.known.get(&entry).copied();
            match (known, seen) {
                (Some(known), Some(seen)) if known.stamp == seen.stamp => {}
                (Some(known), Some(seen)) => {
                    self.withdraw(&entry, known, "share.changed", "changed and is withdrawn")
                        .await;
                    self.settle.restless(entry.clone(), Instant::now());
                    changed.insert(known.content);
                    fresh.push((entry, news, seen));
                }
                (Some(known), None) => gone.push((entry, known)),
                (None, Some(seen)) => {
                    if let Some(stale) = self.busy.get_mut(&entry) {
                        // Looked at again when it is done; its stamp decides then.
                        *stale = true;
                    } else {
                        fresh.push((entry, news, seen));
                    }
                }
                (None, None) => {
                    self.settle.forget(&entry);
                    self.unfit.remove(&entry);
                    if let Some(stale) = self.busy.get_mut(&entry) {
                        *stale = true;
                    }
                }
            }
        }
        let fresh = self.rename(fresh, gone).await;
        let now = Instant::now();
        let fresh = self.drop_waiting(fresh);
        for (n, (entry, news, seen)) in fresh.into_iter().enumerate() {
            breathe(n).await;
            let is_unfit = self
                .unfit
                .get(&entry)
                .is_some_and(|(stamp, _)| *stamp == seen.stamp);
            if is_unfit {
                continue;
            }
            self.unfit.remove(&entry);
            let age = self.age(&seen, is_new);
            self.settle.observe(entry, seen.stamp, news, age, now);
        }
        self.look_at_links(&changed).await;
    }

    /// Leaves out what waits to be hashed as it looks now; what waits and looks otherwise has to settle anew.
    fn drop_waiting(&mut self, fresh: Vec<Fresh>) -> Vec<Fresh> {
        if self.ready.is_empty() || fresh.is_empty() {
            return fresh;
        }
        let looks: HashMap<&Path, [u8; 20]> = fresh
            .iter()
            .map(|(entry, _, seen)| (&**entry, seen.stamp))
            .collect();
        let mut same = HashSet::new();
        self.ready
            .retain(|(entry, stamp)| match looks.get(&**entry) {
                Some(now) if now == stamp => {
                    same.insert(entry.clone());
                    true
                }
                Some(_) => false,
                None => true,
            });
        let mut fresh = fresh;
        fresh.retain(|(entry, ..)| !same.contains(entry));
        fresh
    }

    /// A write through one name of a hard link is told of that name alone: looks at the others.
    async fn look_at_links(&mut self, changed: &HashSet<[u8; 20]>) {
        if changed.is_empty() {
            return;
        }
        let linked = self
            .known
            .iter()
            .filter(|(_, known)| changed.contains(&known.content));
        let linked = linked
            .map(|(entry, _)| (entry.clone(), News::Found))
            .collect();
        Box::pin(self.look(linked, false)).await;
    }

    /// Finds what was renamed among what came and what is gone; withdraws the rest of what is gone and gives the rest of what came.
    async fn rename(&mut self, fresh: Vec<Fresh>, gone: Vec<(PathBuf, Known)>) -> Vec<Fresh> {
        if gone.is_empty() {
            return fresh;
        }
        let mut by_content: HashMap<[u8; 20], Vec<Fresh>> = HashMap::new();
        for one in fresh {
            by_content.entry(one.2.content).or_default().push(one);
        }
        let mut rest = Vec::new();
        for (old, known) in gone {
            let came = by_content.get_mut(&known.content).and_then(Vec::pop);
            let Some((new, news, seen)) = came else {
                self.withdraw(&old, known, "share.removed", "is gone and is withdrawn")
                    .await;
                self.settle.forget(&old);
                continue;
            };
            if !self.relocate(&old, &new, known, &seen).await {
                self.withdraw(&old, known, "share.removed", "is gone and is withdrawn")
                    .await;
                rest.push((new, news, seen));
            }
        }
        rest.extend(by_content.into_values().flatten());
        rest
    }

    /// Keeps the hashes of an entry under its new name. False if that cannot be done.
    async fn relocate(&mut self, old: &Path, new: &Path, known: Known, seen: &Seen) -> bool {
        let files = self.files_of(new).await;
        let Some(files) = files.filter(|files| files.seen().content == seen.content) else {
            return false;
        };
        let stamps = files.files.iter().map(|file| file.stamp).collect();
        let path = path_of(&self.base, new);
        let hub = self.catalogue.hub.clone();
        if let Err(fault) = hub.holder.relocate(known.info_hash, path, stamps).await {
            tracing::warn!("{} renamed to {}: {fault}", old.display(), new.display());
            return false;
        }
        self.forget(old);
        self.settle.forget(&old.to_owned());
        let renamed = Known {
            published: false,
            ..Known::new(known.info_hash, seen)
        };
        let kept = hub
            .store
            .rename(self.catalogue.row.id, old, new, renamed)
            .await;
        if let Err(error) = kept {
            tracing::warn!("share {}: {error}", self.catalogue.row.name);
        }
        self.insert(new.to_owned(), renamed);
        let was = format!("was renamed from {}", self.catalogue.name_of(old));
        self.emit("share.changed", Some(known.info_hash), new, &was);
        // The catalogue knows an item by its hash: the old name goes, and every name there is now comes.
        self.catalogue.unpublish(known.info_hash).await;
        for entry in self.by_hash.get(&known.info_hash).into_iter().flatten() {
            self.catalogue.publish(entry, known.info_hash).await;
        }
        true
    }

    async fn withdraw(&mut self, entry: &Path, known: Known, topic: &str, what: &str) {
        self.forget(entry);
        let others = self.catalogue.withdraw(entry, known.info_hash).await;
        self.emit(topic, Some(known.info_hash), entry, what);
        for (share, other) in others {
            if share == self.catalogue.row.id {
                Box::pin(self.renew(other)).await;
            } else {
                self.catalogue.hub.renew(share, other);
            }
        }
    }

    /// An entry whose item went with another entry of the same content becomes an item of its own.
    pub(super) async fn renew(&mut self, entry: PathBuf) {
        let Some(known) = self.forget(&entry) else {
            return;
        };
        let removed =
            self.catalogue
                .hub
                .store
                .remove(self.catalogue.row.id, &entry, known.info_hash);
        if let Err(error) = removed.await {
            tracing::warn!("share {}: {error}", self.catalogue.row.name);
        }
        self.ready.push_back((entry, known.stamp));
    }

    /// At the start: rows whose item the engine does not have are hashed anew.
    pub(super) async fn drop_lost(&mut self) {
        let hub = self.catalogue.hub.clone();
        let held: HashSet<_> = hub
            .holder
            .held()
            .await
            .into_iter()
            .map(|(item, _)| item)
            .collect();
        let lost: Vec<(PathBuf, Known)> = self
            .known
            .iter()
            .filter(|(_, known)| !held.contains(&known.info_hash))
            .map(|(entry, known)| (entry.clone(), *known))
            .collect();
        for (entry, known) in lost {
            self.forget(&entry);
            self.catalogue.withdraw(&entry, known.info_hash).await;
        }
    }

    /// At the start: what was neither published nor waits for it is queued again.
    pub(super) async fn publish_again(&mut self) {
        let unpublished = self.known.iter().filter(|(_, known)| !known.published);
        let unpublished: Vec<_> = unpublished.map(|(e, k)| (e.clone(), k.info_hash)).collect();
        if unpublished.is_empty() {
            return;
        }
        let queued = self
            .catalogue
            .trackers()
            .queued_items()
            .await
            .unwrap_or_default();
        for (entry, item) in unpublished {
            if !queued.contains(&item) && !self.catalogue.hub.holder.is_held(item).await {
                self.catalogue.publish(&entry, item).await;
            }
        }
    }

    /// After a login: items are announced to the announce URL of the account.
    pub(super) async fn announce_anew(&mut self) {
        let hub = self.catalogue.hub.clone();
        let trackers = self.catalogue.trackers();
        let Some(url) = trackers.announce_url(self.catalogue.tracker()).await else {
            return;
        };
        let entries: Vec<(PathBuf, Known)> = self
            .known
            .iter()
            .map(|(entry, known)| (entry.clone(), *known))
            .collect();
        for (entry, known) in entries {
            let Some(metainfo) = hub.holder.metainfo(known.info_hash).await else {
                continue;
            };
            if metainfo
                .announce
                .iter()
                .flatten()
                .any(|known| *known == url)
            {
                continue;
            }
            // One that changed is withdrawn by the next look.
            let files = self.files_of(&entry).await;
            let Some(files) = files.filter(|files| files.seen().stamp == known.stamp) else {
                continue;
            };
            let stamps = files.files.iter().map(|file| file.stamp).collect();
            let path = path_of(&self.base, &entry);
            let served = self.catalogue.serve(metainfo, path, stamps).await;
            hub.warn(served.map(drop));
        }
    }

    /// The share ends: every item leaves the swarm and the catalogue.
    pub(super) async fn remove_all(&mut self) {
        self.drop_jobs().await;
        let mut entries: Vec<(PathBuf, Known)> = self.known.drain().collect();
        self.by_hash.clear();
        let mut withdrawals = JoinSet::new();
        while !entries.is_empty() || !withdrawals.is_empty() {
            while withdrawals.len() < AT_ONCE
                && let Some((entry, known)) = entries.pop()
            {
                let catalogue = self.catalogue.clone();
                withdrawals.spawn(async move { catalogue.withdraw(&entry, known.info_hash).await });
            }
            let Some(Ok(others)) = withdrawals.join_next().await else {
                continue;
            };
            for (share, other) in others {
                if share != self.catalogue.row.id {
                    self.catalogue.hub.renew(share, other);
                }
            }
        }
    }
}

/// Lets the other tasks of the thread in after every [`BREATH`] entries: of a hundred thousand at once they would wait for long.
async fn breathe(n: usize) {
    if n % BREATH == BREATH - 1 {
        tokio::task::yield_now().await;
    }
}
