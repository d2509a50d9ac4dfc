//! The second stage: the files are made ready, and what is not known to be good is read.

use std::collections::BTreeSet;
use std::sync::Arc;

use p2p_hash::Progress;
use p2p_wire::Bitfield;
use p2p_wire::control::ErrorKind;
use p2p_wire::metainfo::Info;

use super::super::{Change, FileStamp, view};
use super::{Halt, Report, Torrent};
use crate::resume::written::{self, WrittenLog};
use crate::resume::{Check, Have, Site};
use crate::storage::{self, Disk, Lane, StorageError, Tree, TreeSpec};

/// What the third stage starts with.
pub(super) struct Ready {
    pub(super) tree: Arc<Tree>,
    pub(super) wanted_files: Vec<bool>,
    pub(super) wanted: Bitfield,
    /// Good pieces.
    pub(super) have: Bitfield,
    /// Of those, the ones that the record does not claim yet.
    pub(super) written: Vec<u32>,
    /// Where those are logged that are written from now on.
    pub(super) log: Option<Arc<WrittenLog>>,
}

/// A check under way.
pub(super) struct Reading {
    progress: Arc<Progress>,
    /// Bytes that are known to be good without it.
    known: u64,
}

impl Reading {
    /// Bytes that are good or were read.
    pub(super) fn bytes_done(&self) -> u64 {
        self.known.saturating_add(self.progress.bytes_done())
    }
}

/// Ends a check whose asker is gone.
struct Cancels(Arc<Progress>);

impl Drop for Cancels {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl Torrent {
    /// `disk`: of the file system that the item is on.
    pub(super) async fn prepare(&mut self, info: &Arc<Info>, disk: &Disk) -> Result<Ready, Halt> {
        if self.record.layout.is_none() {
            self.learn(info);
        }
        let pieces = info.layout().pieces();
        let wanted_files = view::wanted_files(info, &self.record.only);
        let wanted = view::wanted_pieces(info, &wanted_files);
        if !wanted_files.contains(&true) && !self.record.only.is_empty() {
            return Err(Halt::Fault(
                ErrorKind::NotFound,
                "no file matches --only".into(),
            ));
        }
        self.find_data(info, disk, &wanted_files).await?;
        let staged = matches!(self.record.site, Site::Staged(_));
        let stamps = if self.record.is_complete() {
            self.record.stamps.clone()
        } else {
            Vec::new()
        };
        let mut tree = self.tree(disk, info, &wanted_files, stamps);
        if staged {
            let mut lacking = wanted.clone();
            self.record.held(pieces).iter().for_each(|piece| {
                lacking.clear(piece);
            });
            let most = view::len_of(info, &lacking);
            let stamps = self.make_room(&tree, &wanted_files, most).await?;
            if self.record.stamps.is_empty() {
                self.record.stamps = stamps;
                self.ctx.store.put(self.item, &self.record);
            }
        }
        self.compare(&tree).await?;
        let claimed = self.record.have.to_bitfield(pieces);
        let mut have = self.record.held(pieces);
        let mut unsure = Vec::new();
        if self.record.check != Check::No {
            unsure = (0..pieces).collect();
        } else if !self.record.is_complete() {
            let (state, item) = (self.ctx.store.dir().to_owned(), self.item);
            let read = move || Ok(written::read(&state, item).unwrap_or_default());
            let logged = self.during(disk.run(Lane::Sync, read)).await??;
            let logged: BTreeSet<u32> = logged.into_iter().collect();
            unsure = (logged.into_iter())
                .filter(|piece| *piece < pieces && !have.get(*piece))
                .collect();
        }
        let mut written = Vec::new();
        if !unsure.is_empty() {
            // What cannot be read from the disk itself is not believed, and fetched again.
            if self.record.check == Check::No && !self.read_from_disk(&tree, &unsure).await? {
                unsure.clear();
            }
            let known = view::len_of(info, &have);
            let good = self.check(&tree, unsure, known).await?;
            for piece in good.iter() {
                have.set(piece);
                written.push(piece);
            }
        }
        if self.record.check != Check::No {
            self.checked(&tree, &claimed, &have, &wanted).await?;
            // It is on the disk by now, and recorded.
            written.clear();
            // Files whose stamps were renewed are compared with the new ones from now on.
            let stamps = match self.record.is_complete() {
                true => self.record.stamps.clone(),
                false => Vec::new(),
            };
            tree = self.tree(disk, info, &wanted_files, stamps);
        }
        let log = match self.record.is_complete() {
            true => None,
            false => self.open_log(disk).await?,
        };
        Ok(Ready {
            tree,
            wanted_files,
            wanted,
            have,
            written,
            log,
        })
    }

    async fn open_log(&mut self, disk: &Disk) -> Result<Option<Arc<WrittenLog>>, Halt> {
        let (state, item) = (self.ctx.store.dir().to_owned(), self.item);
        let open = disk.run(Lane::Sync, move || Ok(WrittenLog::open(&state, item)));
        match self.during(open).await?? {
            Ok(log) => Ok(Some(Arc::new(log))),
            Err(error) => {
                tracing::warn!("no log of written pieces: {error}");
                Ok(None)
            }
        }
    }

    /// Sees to it that these pieces are read from the disk and not from what is remembered of writing them; false where that cannot be done.
    async fn read_from_disk(&mut self, tree: &Arc<Tree>, pieces: &[u32]) -> Result<bool, Halt> {
        let files = tree.files_of(pieces);
        let cached = tree.clone();
        let dropped = tree
            .disk()
            .run(Lane::Sync, move || cached.drop_cached(&files));
        Ok(self.during(dropped).await??)
    }

    /// Looks for the data of a staged item where the record does not expect it, and has it read if it is there.
    ///
    /// Either the item was removed without its data and is added again: never prepared, and yet its data is staged. Or p2pd was killed
    /// between putting the files at their place and recording that: prepared, and its data is staged no more, but the very same files
    /// lie at the place. The stage may still be there, or hold unwanted parts.
    async fn find_data(
        &mut self,
        info: &Arc<Info>,
        disk: &Disk,
        wanted: &[bool],
    ) -> Result<(), Halt> {
        let Site::Staged(dir) = self.record.site.clone() else {
            return Ok(());
        };
        let stage = view::stage(&self.record, self.item);
        let (info, wanted) = (info.clone(), wanted.to_vec());
        let known = self.record.stamps.clone();
        let fresh = self.record.have == Have::Nothing && known.is_empty();
        let have = self.record.have.to_bitfield(info.layout().pieces());
        let needed = view::wanted_pieces(&info, &wanted);
        let holds_all = needed.iter().all(|piece| have.get(piece));
        let on_disk = disk.clone();
        let look = move || {
            let there = storage::staged_top(&stage, &info).exists();
            if there || fresh {
                return Ok((there, None));
            }
            let ours = storage::places(&dir, &info).into_iter().find_map(|path| {
                let site = Site::Fetched {
                    path,
                    aside: stage.clone(),
                };
                let tree = on_disk.tree(TreeSpec {
                    info: &info,
                    site: &site,
                    stage: &stage,
                    wanted: &wanted,
                    writable: false,
                    stamps: Vec::new(),
                });
                let found = tree.stamps();
                let alike = |is_same: fn(&FileStamp, &FileStamp) -> bool| {
                    let both = known.iter().zip(&found);
                    let mut both = both.filter_map(|(was, is)| was.map(|was| (was, is)));
                    let same = |(was, is): (FileStamp, &Option<FileStamp>)| {
                        is.is_some_and(|is| is_same(&was, &is))
                    };
                    both.clone().count() > 0 && both.all(same)
                };
                // A rename changes the ctime alone.
                let unwritten =
                    alike(|was, is| was.is_same_file(is) && was.mtime_ns == is.mtime_ns);
                alike(FileStamp::is_same_file).then_some((site, found, unwritten))
            });
            if ours.is_some() {
                storage::leave_stage(&stage, &dir)?;
            }
            Ok((false, ours))
        };
        match self.during(disk.run(Lane::Sync, look)).await?? {
            (true, _) if fresh => self.record.check = Check::All,
            (_, Some((site, stamps, unwritten))) => {
                self.record.site = site;
                if unwritten && holds_all {
                    self.record.stamps = stamps;
                } else {
                    self.record.check = Check::All;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The files at their place; read only once complete.
    pub(super) fn tree(
        &self,
        disk: &Disk,
        info: &Arc<Info>,
        wanted: &[bool],
        stamps: Vec<Option<FileStamp>>,
    ) -> Arc<Tree> {
        disk.tree(TreeSpec {
            info,
            site: &self.record.site,
            stage: &view::stage(&self.record, self.item),
            wanted,
            writable: !self.record.is_complete(),
            stamps,
        })
    }

    async fn make_room(
        &mut self,
        tree: &Arc<Tree>,
        wanted: &[bool],
        most: u64,
    ) -> Result<Vec<Option<FileStamp>>, Halt> {
        let (files, wanted, min_free) = (tree.clone(), wanted.to_vec(), self.ctx.config.min_free);
        let room = move || files.prepare(&wanted, most, min_free);
        Ok(self.during(tree.disk().run(Lane::Sync, room)).await??)
    }

    /// Reads pieces and says which are good; `known` bytes are so without it.
    async fn check(
        &mut self,
        tree: &Arc<Tree>,
        pieces: Vec<u32>,
        known: u64,
    ) -> Result<Bitfield, Halt> {
        let progress = Arc::new(Progress::new());
        self.reading = Some(Reading {
            progress: progress.clone(),
            known,
        });
        self.show();
        let cancels = Cancels(progress.clone());
        let files = tree.clone();
        let threads = self.ctx.config.disk_threads;
        let check = move || files.check(pieces, threads, &progress);
        let check = tree.disk().run(Lane::Check, check);
        let good = self.during(check).await;
        drop(cancels);
        self.reading = None;
        Ok(good??)
    }

    /// All was read: the record says what is there from now on. `claimed` is what it said before.
    ///
    /// What lacks is fetched, over what lies there. Not so in a share, whose files p2pd never writes.
    async fn checked(
        &mut self,
        tree: &Arc<Tree>,
        claimed: &Bitfield,
        have: &Bitfield,
        wanted: &Bitfield,
    ) -> Result<(), Halt> {
        let lacking = wanted.iter().filter(|piece| !have.get(*piece)).count();
        let bad = claimed.iter().filter(|piece| !have.get(*piece)).count();
        let found = u32::try_from(bad).ok();
        if self.record.share.is_some() && lacking > 0 {
            self.bad_pieces = found;
            let text = format!(
                "{lacking} of {} pieces differ from what was shared",
                wanted.count()
            );
            return Err(Halt::Fault(ErrorKind::BadData, text));
        }
        // What was read may be in the page cache only: synced before it is claimed.
        let synced = tree.clone();
        let files = tree.disk().run(Lane::Sync, move || {
            let there = synced.stamps();
            let files = there.iter().enumerate();
            let files = files.filter(|(_, stamp)| stamp.is_some());
            let files = files.map(|(file, _)| file).collect();
            synced.sync(&files)?;
            synced.sync_folders(&files)?;
            Ok::<_, StorageError>(there)
        });
        let stamps = self.during(files).await??;
        // Shown together: how many are bad, and which are held.
        self.bad_pieces = found;
        self.record.check = Check::No;
        self.record.suspect = Have::Nothing;
        self.record.have = Have::from_bitfield(have);
        self.record.stamps = stamps;
        self.record.clean = true;
        let complete = lacking == 0 && self.record.site.placed().is_some();
        let finished = complete && self.record.completed.is_none();
        self.record.completed = match (complete, self.record.completed) {
            (true, known) => Some(known.unwrap_or_else(view::now)),
            (false, _) => None,
        };
        self.ctx.store.put(self.item, &self.record);
        let change = Change::Reset(self.item);
        self.report(Report::Changed(change)).await;
        let outcome = match (bad, lacking) {
            (0, 0) => "every piece is good".to_owned(),
            (0, _) => format!("what is here is good; {lacking} pieces are missing"),
            _ => format!(
                "{bad} of {} pieces are bad and are fetched again",
                claimed.count()
            ),
        };
        let text = format!("{} is verified: {outcome}", self.record.name);
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
