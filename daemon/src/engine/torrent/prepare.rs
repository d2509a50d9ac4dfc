//! The second stage: the files are made ready, and what is not known to be good is read.

use std::collections::BTreeSet;
use std::sync::Arc;

use p2p_hash::Progress;
use p2p_wire::Bitfield;
use p2p_wire::metainfo::Info;

use super::super::{Change, FileStamp, view};
use super::{Halt, Report, Torrent};
use crate::resume::{Check, Have, Site, written};
use crate::storage::{Lane, StorageError, Tree, TreeSpec};

/// What the third stage starts with.
pub(super) struct Ready {
    pub(super) tree: Arc<Tree>,
    pub(super) wanted_files: Vec<bool>,
    pub(super) wanted: Bitfield,
    /// Good pieces.
    pub(super) have: Bitfield,
    /// Of those, the ones that the record does not claim yet.
    pub(super) written: Vec<u32>,
}

/// Ends a check whose asker is gone.
struct Cancels(Arc<Progress>);

impl Drop for Cancels {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl Torrent {
    pub(super) async fn prepare(&mut self, info: &Arc<Info>) -> Result<Ready, Halt> {
        if self.record.layout.is_none() {
            self.learn(info);
        }
        let pieces = info.layout().pieces();
        let wanted_files = view::wanted_files(info, &self.record.only);
        let wanted = view::wanted_pieces(info, &wanted_files);
        if wanted.count() == 0 && !self.record.only.is_empty() {
            return Err(Halt::Fault("no file matches --only".into()));
        }
        let staged = matches!(self.record.site, Site::Staged(_));
        // Never prepared, and yet there is a stage: it was removed without its data, and is added again.
        let fresh = self.record.have == Have::Nothing && self.record.stamps.is_empty();
        if staged && fresh && self.stage_exists() {
            self.record.check = Check::All;
        }
        let stamps = if self.record.is_complete() {
            self.record.stamps.clone()
        } else {
            Vec::new()
        };
        let tree = self.tree(info, &wanted_files, stamps);
        if staged {
            self.make_room(&tree, &wanted_files).await?;
            if self.record.stamps.is_empty() {
                self.record.stamps = vec![None; info.files().len()];
                self.ctx.store.put(self.item, &self.record);
            }
        }
        self.compare(&tree).await?;
        let mut have = self.record.have.to_bitfield(pieces);
        let mut unsure = Vec::new();
        if self.record.check != Check::No {
            have = Bitfield::new(pieces);
            self.record.have = Have::Nothing;
            unsure = (0..pieces).collect();
        } else if !self.record.is_complete() {
            let logged = written::read(self.ctx.store.dir(), self.item).unwrap_or_default();
            let logged: BTreeSet<u32> = logged.into_iter().collect();
            unsure = (logged.into_iter())
                .filter(|piece| *piece < pieces && !have.get(*piece))
                .collect();
        }
        let mut written = Vec::new();
        if !unsure.is_empty() {
            let good = self.check(&tree, unsure).await?;
            for piece in good.iter() {
                have.set(piece);
                written.push(piece);
            }
        }
        if self.record.check != Check::No {
            self.checked(&tree, &have, &wanted).await?;
            // Files whose stamps were renewed are compared with the new ones from now on.
            let stamps = match self.record.is_complete() {
                true => self.record.stamps.clone(),
                false => Vec::new(),
            };
            let tree = self.tree(info, &wanted_files, stamps);
            return Ok(Ready {
                tree,
                wanted_files,
                wanted,
                have,
                written,
            });
        }
        Ok(Ready {
            tree,
            wanted_files,
            wanted,
            have,
            written,
        })
    }

    fn stage_exists(&self) -> bool {
        view::stage(&self.record, self.item).exists()
    }

    /// The files at their place; read only once complete.
    pub(super) fn tree(
        &self,
        info: &Arc<Info>,
        wanted: &[bool],
        stamps: Vec<Option<FileStamp>>,
    ) -> Arc<Tree> {
        self.ctx.disk.tree(TreeSpec {
            info,
            site: &self.record.site,
            stage: &view::stage(&self.record, self.item),
            wanted,
            writable: !self.record.is_complete(),
            stamps,
        })
    }

    async fn make_room(&mut self, tree: &Arc<Tree>, wanted: &[bool]) -> Result<(), Halt> {
        let (tree, wanted, min_free) = (tree.clone(), wanted.to_vec(), self.ctx.config.min_free);
        let disk = self.ctx.disk.clone();
        let room = disk.run(Lane::Sync, move || tree.prepare(&wanted, min_free));
        self.during(room).await??;
        Ok(())
    }

    /// Compares what the record says of the files of an incomplete item with what they are. Those of a complete one are
    /// compared whenever they are read.
    async fn compare(&mut self, tree: &Arc<Tree>) -> Result<(), Halt> {
        if self.record.is_complete()
            || self.record.check != Check::No
            || self.record.have == Have::Nothing
        {
            return Ok(());
        }
        let look = tree.clone();
        let disk = self.ctx.disk.clone();
        let now = self
            .during(disk.run(Lane::Sync, move || Ok(look.stamps())))
            .await??;
        let same = |(was, is): (&Option<FileStamp>, &Option<FileStamp>)| match (was, is) {
            (Some(was), Some(is)) if self.record.clean => was == is,
            // Written to since: only what writing does not change tells.
            (Some(was), Some(is)) => was.inode == is.inode && was.size == is.size,
            (None, _) => true,
            (Some(_), None) => false,
        };
        if !self.record.stamps.iter().zip(&now).all(same) {
            tracing::warn!(item = %self.item, "files changed while p2pd was away: they are verified");
            self.record.check = Check::All;
        }
        self.record.clean = false;
        Ok(())
    }

    /// Reads pieces and says which are good.
    async fn check(&mut self, tree: &Arc<Tree>, pieces: Vec<u32>) -> Result<Bitfield, Halt> {
        self.verifying = true;
        self.show();
        let progress = Arc::new(Progress::new());
        let cancels = Cancels(progress.clone());
        let (tree, disk) = (tree.clone(), self.ctx.disk.clone());
        let threads = self.ctx.config.disk_threads;
        let check = disk.run(Lane::Check, move || tree.check(pieces, threads, &progress));
        let good = self.during(check).await;
        drop(cancels);
        self.verifying = false;
        Ok(good??)
    }

    /// All was read: the record says what is there from now on.
    async fn checked(
        &mut self,
        tree: &Arc<Tree>,
        have: &Bitfield,
        wanted: &Bitfield,
    ) -> Result<(), Halt> {
        let bad = wanted.iter().filter(|piece| !have.get(*piece)).count();
        let suspect = self.record.check == Check::Suspect;
        if suspect && bad > 0 {
            return Err(Halt::Fault(format!(
                "changed on disk: {bad} of {} pieces differ; `p2pctl verify` fetches them again",
                wanted.count()
            )));
        }
        // What was read may be in the page cache only: synced before it is claimed.
        let synced = tree.clone();
        let disk = self.ctx.disk.clone();
        let files = disk.run(Lane::Sync, move || {
            let there = synced.stamps();
            for (file, stamp) in there.iter().enumerate() {
                if stamp.is_some() {
                    synced.sync(&BTreeSet::from([file]))?;
                }
            }
            Ok::<_, StorageError>(there)
        });
        let stamps = self.during(files).await??;
        self.record.check = Check::No;
        self.record.have = Have::from_bitfield(have);
        self.record.stamps = stamps;
        self.record.clean = true;
        let complete = bad == 0 && self.record.site.placed().is_some();
        let finished = complete && self.record.completed.is_none();
        self.record.completed = match (complete, self.record.completed) {
            (true, known) => Some(known.unwrap_or_else(view::now)),
            (false, _) => None,
        };
        self.ctx.store.put(self.item, &self.record);
        let change = Change::Reset(self.item);
        self.report(Report::Changed(change)).await;
        let text = match bad {
            0 => format!("{} is verified: every piece is good", self.record.name),
            bad => format!("{} is verified: {bad} pieces are missing", self.record.name),
        };
        self.emit("item.verified", text);
        if finished {
            self.ctx.store.flush().await;
            let path = view::path(&self.record);
            let text = format!("{} is complete: {}", self.record.name, path.display());
            self.emit("item.finished", text);
        }
        Ok(())
    }
}
