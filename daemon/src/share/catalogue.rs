//! The items of one share: making them from entries, telling the tracker, taking them back.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use data_encoding::BASE64;
use p2p_wire::InfoHash;
use p2p_wire::api::{Mode, Publish};
use p2p_wire::metainfo::{Metainfo, safe_component};
use std::os::unix::ffi::OsStrExt as _;

use super::hashing::{Hashed, Job, Unhashed};
use super::holder::Holder;
use super::hub::Hub;
use super::mail::{Expected, Mailbox};
use super::store::{Known, Row};
use crate::Fault;
use crate::engine::{Content, FileStamp, NewItem, Place};
use crate::tracker::Trackers;

/// What makes and unmakes the items of a share; cheap to clone.
pub(super) struct Catalogue<H> {
    pub(super) hub: Arc<Hub<H>>,
    pub(super) row: Arc<Row>,
    /// The share is one file.
    pub(super) is_file: bool,
}

impl<H> Clone for Catalogue<H> {
    fn clone(&self) -> Self {
        Self {
            hub: self.hub.clone(),
            row: self.row.clone(),
            is_file: self.is_file,
        }
    }
}

/// An entry that became an item.
pub(super) struct Admitted {
    pub(super) known: Known,
    /// Why it is not served from here all the same: the item was there before.
    pub(super) unserved: Option<String>,
    /// To be asked once the share has the entry.
    pub(super) expected: Expected,
}

/// Why an entry did not become an item.
#[derive(Debug)]
pub(super) enum NotAdmitted {
    Unhashed(Unhashed),
    /// The engine or the state database failed.
    Fault(Fault),
}

impl<H: Holder> Catalogue<H> {
    /// What an entry is called in the catalogue: its path with unusual names escaped.
    pub(super) fn name_of(&self, entry: &Path) -> String {
        if entry.as_os_str().is_empty() {
            return self.torrent_name(entry);
        }
        let names = entry.iter().map(|name| safe_component(name.as_bytes()));
        names.collect::<Vec<_>>().join("/")
    }

    /// What the torrent of an entry is called.
    pub(super) fn torrent_name(&self, entry: &Path) -> String {
        let path = if entry.as_os_str().is_empty() {
            &self.row.path
        } else {
            entry
        };
        safe_component(path.file_name().unwrap_or_default().as_bytes())
    }

    /// Items are private but where everybody may announce: elsewhere peers come from the tracker alone.
    pub(super) fn private(&self) -> bool {
        self.trackers().mode(self.tracker()) != Some(Mode::Open)
    }

    /// The trackers, with the logins of the share's owner.
    pub(super) fn trackers(&self) -> Trackers {
        self.hub.trackers.of(self.row.owner)
    }

    /// See [`View::reader`](super::scan::View::reader): nobody where root or the daemon's own user shares.
    pub(super) fn reader(&self) -> Option<u32> {
        let owner = self.row.owner;
        let own = owner == 0 || owner == nix::unistd::geteuid().as_raw();
        (!own).then_some(owner)
    }

    pub(super) fn tracker(&self) -> Option<&str> {
        self.row.options.tracker.as_deref()
    }

    /// Hashes an entry, serves it, keeps it, publishes it. `mail` is that of its share.
    pub(super) async fn admit(self, job: Job, mail: Mailbox) -> Result<Admitted, NotAdmitted> {
        let entry = job.entry.clone();
        let hashed = self.hub.hashing.hash(job).await;
        let hashed = hashed.map_err(NotAdmitted::Unhashed)?;
        let admitted = self.keep(&entry, hashed, &mail).await;
        admitted.map_err(NotAdmitted::Fault)
    }

    async fn keep(&self, entry: &Path, hashed: Hashed, mail: &Mailbox) -> Result<Admitted, Fault> {
        let item = hashed.metainfo.info.info_hash();
        let expected = mail.expect(item);
        let publish = self.publish_request(entry, &hashed.metainfo);
        let served = self.serve(hashed.metainfo, hashed.path, hashed.stamps);
        let is_new = served.await?;
        let known = Known::new(item, &hashed.seen);
        let kept = self.hub.store.put(self.row.id, entry, known).await;
        if let Err(error) = kept {
            // An item that is no entry would never be withdrawn.
            if is_new {
                let Row { name, owner, .. } = &*self.row;
                self.hub.holder.release(item, name, *owner).await;
            }
            return Err(self.hub.state_fault(&error));
        }
        // What a gate holds is published when that lets it pass.
        if self.row.options.publish && !self.hub.holder.is_held(item).await {
            let trackers = self.trackers();
            let later = trackers.publish_later(self.tracker(), item, publish);
            later.await?;
        }
        let unserved = match is_new {
            true => None,
            false => self.hub.holder.lacks(item, self.row.owner).await,
        };
        Ok(Admitted {
            known,
            unserved,
            expected,
        })
    }

    /// Serves an item, announced to the share's tracker; false if it was there already.
    pub(super) async fn serve(
        &self,
        metainfo: Metainfo,
        path: PathBuf,
        stamps: Vec<FileStamp>,
    ) -> Result<bool, Fault> {
        let announce = self.trackers().announce_url(self.tracker()).await;
        let new = NewItem {
            content: Content::Metainfo(Box::new(metainfo)),
            place: Place::Hashed(path, stamps),
            trackers: announce.map(|url| vec![url]).into_iter().collect(),
            owner: self.row.owner,
            share: Some(self.row.name.clone()),
            only: Vec::new(),
            sequential: false,
            peers: Vec::new(),
            only_peers: Vec::new(),
        };
        self.hub.holder.hold(new).await
    }

    /// Publishes an item that is held, under the name of `entry`.
    pub(super) async fn publish(&self, entry: &Path, item: InfoHash) {
        if !self.row.options.publish {
            return;
        }
        if let Some(metainfo) = self.hub.holder.metainfo(item).await {
            let request = self.publish_request(entry, &metainfo);
            let trackers = self.trackers();
            let queued = trackers.publish_later(self.tracker(), item, request);
            self.hub.warn(queued.await);
        }
    }

    /// Takes an item out of the swarm and the catalogue, and gives the other entries, of any share, with the same content.
    pub(super) async fn withdraw(&self, entry: &Path, item: InfoHash) -> Vec<(i64, PathBuf)> {
        let Row { name, owner, .. } = &*self.row;
        self.hub.holder.release(item, name, *owner).await;
        // The row goes last: an entry without an item is withdrawn once more at the next start.
        if !self.unpublish(item).await {
            return Vec::new();
        }
        let removed = self.hub.store.remove(self.row.id, entry, item).await;
        removed.unwrap_or_else(|error| {
            tracing::warn!("share {}: {error}", self.row.name);
            Vec::new()
        })
    }

    /// Takes an item out of the catalogue; false if that could not be kept for later.
    pub(super) async fn unpublish(&self, item: InfoHash) -> bool {
        if !self.row.options.publish {
            return true;
        }
        let queued = self.trackers().withdraw_later(self.tracker(), item).await;
        let is_queued = queued.is_ok();
        self.hub.warn(queued);
        is_queued
    }

    /// Without our announce URL in it: whoever fetches gets a personal one from the tracker.
    fn publish_request(&self, entry: &Path, metainfo: &Metainfo) -> Publish {
        let mut metainfo = metainfo.clone();
        metainfo.announce = Vec::new();
        let alone = self.is_file && self.row.options.name.is_none();
        Publish {
            metainfo: BASE64.encode(&metainfo.to_bytes()),
            share: (!alone).then(|| self.row.name.clone()),
            name: Some(self.name_of(entry)),
            tags: Vec::new(),
            visibility: self.row.options.visibility,
            join: self.row.options.join,
        }
    }
}
