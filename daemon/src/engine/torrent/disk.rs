//! Blocks on their way to the disk, and what is known to have arrived there.
//!
//! A piece is missing, then written (in the log of written pieces, and served), then durable (in the record). Invariant: it becomes durable
//! only by a sync of every file that it touches, begun after it was written, that succeeded. A sync that failed says that bytes were lost
//! and forgets which: the next one would succeed without them. So it is never repeated, and no piece becomes durable any more until
//! the item has started anew with what the record says.

use bytes::Bytes;
use p2p_wire::{Block, InfoHash, PieceIndex};
use tokio::time::Instant;

use super::super::{Change, FileStamp, view};
use super::Report;
use super::active::Active;
use super::keeping::SYNC_BYTES;
use super::partial::{Part, Whole};
use super::{Halt, Torrent};
use crate::hooks::Owed;
use crate::resume::{Have, Site, Store, written};
use crate::storage::{Done, Lane, Outcome, StorageError, WriteJob, leave_stage, stage_of};
use crate::swarm::Verified;

/// Where a complete item is, and what its files are.
type Placed = (Site, Vec<Option<FileStamp>>);

/// Work of one item that runs beside its task.
pub(super) enum Work {
    /// These pieces are on the disk, and the files that hold them are what is said here; or not.
    Synced(Vec<u32>, Result<Vec<(usize, FileStamp)>, StorageError>),
    /// The item is at its place; or it is as it was; or a sync failed, and nobody knows what is on the disk.
    Placed(Result<Result<Placed, StorageError>, StorageError>),
    /// The record that says so is on the disk.
    Recorded,
    /// Whether a gate wants to be asked before.
    Gate(bool),
    /// A suspect piece was read: whether it is good.
    Proven(PieceIndex, Lane, Result<bool, StorageError>),
}

impl Torrent {
    /// Keeps a block that the swarm asked for.
    pub(super) fn keep(&self, active: &mut Active, piece: PieceIndex, block: Block, data: Bytes) {
        let blocks = active.info.layout().blocks_of(piece);
        if let Some(part) = active.keeping.partials.keep(blocks, block, data) {
            self.write(active, piece, part);
        }
    }

    /// Has the end of a whole piece hashed and written.
    pub(super) fn verify(&self, active: &mut Active, piece: PieceIndex) {
        let len = active.info.layout().len_of(piece);
        match active.keeping.partials.whole(piece.get(), len) {
            Whole::Part(part) => self.write(active, piece, part),
            Whole::Later => {}
            Whole::Lost => {
                let now = std::time::Instant::now();
                active.swarm.handle_verified(piece, Verified::Lost, now);
            }
        }
    }

    fn write(&self, active: &mut Active, piece: PieceIndex, part: Part) {
        active.keeping.writing += part.len();
        active.tree.disk().write(WriteJob {
            tree: active.tree.clone(),
            log: active.keeping.log.clone(),
            piece,
            begin: part.begin,
            blocks: part.blocks,
            hash: part.hash,
            last: part.last,
            inbox: active.inbox.clone(),
        });
    }

    /// Takes what the disk threads have done.
    pub(super) async fn disk_done(&mut self, active: &mut Active) -> Result<(), Halt> {
        let now = std::time::Instant::now();
        let mut added = Vec::new();
        let mut fault = None;
        let mut fed = false;
        for done in active.inbox.take() {
            match done {
                Done::Hashed(piece, hash) => {
                    let next = active.keeping.partials.hashed(piece.get(), hash);
                    if let Some(part) = next {
                        self.write(active, piece, part);
                    }
                }
                Done::Written(written) => {
                    let piece = written.piece;
                    active.keeping.writing = active.keeping.writing.saturating_sub(written.len);
                    let verified = match written.outcome {
                        Ok(Outcome::Part) => continue,
                        Ok(Outcome::Good) => {
                            let len = u64::from(active.info.layout().len_of(piece));
                            added.push(piece.get());
                            active.keeping.wrote(piece, len, Instant::now());
                            active.missing -= len.min(active.missing);
                            Verified::Good
                        }
                        Ok(Outcome::Bad) => {
                            tracing::info!(item = %self.item, "piece {} failed its hash", piece.get());
                            Verified::Bad
                        }
                        Err(error) => {
                            fault = Some(error);
                            Verified::Lost
                        }
                    };
                    active.swarm.handle_verified(piece, verified, now);
                }
                Done::Read(offset, Ok(data)) => {
                    let len = active.uploads.reading_len(offset, Some(data.len()));
                    active.uploads.read(offset, len.unwrap_or(0), Some(data));
                    fed = true;
                }
                Done::Read(offset, Err(error)) => {
                    let len = active.uploads.reading_len(offset, None);
                    active.uploads.read(offset, len.unwrap_or(0), None);
                    fault = Some(error);
                }
            }
        }
        if fed {
            for key in active.uploads.peers_waiting() {
                self.feed(active, key);
            }
        }
        if !added.is_empty() {
            let left = &self.counters.left;
            left.store(active.missing, std::sync::atomic::Ordering::Relaxed);
            self.report(Report::Changed(Change::Added(self.item, added)))
                .await;
        }
        match fault {
            Some(error) => Err(error.into()),
            None => Ok(()),
        }
    }

    /// Starts to sync what was written, if it is time, or to finish the item, if nothing else is under way.
    pub(super) fn start_work(&mut self, active: &mut Active) {
        let keeping = &mut active.keeping;
        let last = keeping.finishing && keeping.writing == 0 && active.suspects.is_empty();
        // The last batch of a small item is synced as it is put at its place. That of a large one is recorded before: should p2pd end
        // between the rename and its record, files that the record knows as whole need not be read again.
        let is_large = active.info.layout().total_len() > SYNC_BYTES;
        let due = match last {
            true => is_large && !keeping.dirty.is_empty(),
            false => keeping.sync_at.is_some_and(|at| at <= Instant::now()),
        };
        if due && !keeping.syncing && !keeping.placing {
            keeping.syncing = true;
            keeping.sync_at = None;
            keeping.syncing_bytes = std::mem::take(&mut keeping.dirty_bytes);
            let pieces = std::mem::take(&mut keeping.dirty);
            let (tree, disk) = (active.tree.clone(), active.tree.disk().clone());
            let files = tree.files_of(&pieces);
            let mut unnamed = files.clone();
            if keeping.named.is_empty() {
                // They were all made before the first was written.
                let both = active.wanted_files.iter().zip(active.info.files());
                let made = both.map(|(wanted, file)| *wanted && !file.padding);
                unnamed.extend(made.enumerate().filter(|(_, made)| *made).map(|(n, _)| n));
            }
            unnamed.retain(|file| keeping.named.insert(*file));
            keeping.work.spawn(async move {
                let sync = move || {
                    let synced = tree.sync(&files)?;
                    tree.sync_folders(&unnamed)?;
                    Ok(synced)
                };
                Work::Synced(pieces, disk.run(Lane::Sync, sync).await)
            });
        }
        if last && !keeping.placing && !keeping.syncing {
            // No timer is needed for what is synced now.
            keeping.sync_at = None;
            active.uploads.held_back = true;
            if active.uploads.is_quiet() {
                self.place_or_hold(active);
            }
        }
    }

    /// Puts the files at their place, synced.
    pub(super) fn place(&mut self, active: &mut Active) {
        active.keeping.placing = true;
        let (tree, disk) = (active.tree.clone(), active.tree.disk().clone());
        let (site, wanted) = (self.record.site.clone(), active.wanted_files.clone());
        let info = active.info.clone();
        let item = self.item;
        // What was synced before is on the disk.
        let mut unsynced = tree.files_of(&active.keeping.dirty);
        let store = self.ctx.store.clone();
        let is_large = info.layout().total_len() > SYNC_BYTES;
        active.keeping.work.spawn(async move {
            // Files at their place are known again by the stamps in the record: it must be on the disk before they are. Where it cannot be
            // written, what is large waits; the rest costs a batch at most if the end comes now.
            match is_large {
                true => store.flush().await,
                false => drop(store.try_flush().await),
            }
            let placing = disk.clone();
            let place = move || {
                tree.sync(&unsynced)?;
                let site = match site {
                    Site::Staged(dir) => {
                        // Unwanted parts of wanted pieces lie beside what is put at its place.
                        unsynced.retain(|file| !wanted.get(*file).copied().unwrap_or(true));
                        tree.sync_folders(&unsynced)?;
                        let stage = stage_of(&dir, item);
                        tree.sync_staged(&stage)?;
                        let path = match tree.complete(&stage, &dir) {
                            Ok(path) => path,
                            Err(error) => return Ok(Err(error)),
                        };
                        leave_stage(&stage, &dir)?;
                        Site::Fetched { path, aside: stage }
                    }
                    placed => placed,
                };
                let stage = match &site {
                    Site::Fetched { aside, .. } => aside.clone(),
                    _ => std::path::PathBuf::new(),
                };
                let now = placing.tree(crate::storage::TreeSpec {
                    info: &info,
                    site: &site,
                    stage: &stage,
                    wanted: &wanted,
                    writable: false,
                    stamps: Vec::new(),
                });
                let stamps = now.stamps_of(&wanted)?;
                Ok(Ok((site, stamps)))
            };
            Work::Placed(disk.run(Lane::Sync, place).await)
        });
    }

    /// Takes the outcome of work that ran beside the task.
    pub(super) async fn work_done(&mut self, active: &mut Active, work: Work) -> Result<(), Halt> {
        match work {
            Work::Synced(pieces, outcome) => {
                active.keeping.syncing = false;
                active.keeping.syncing_bytes = 0;
                match outcome {
                    Ok(stamps) => {
                        self.record_durable(active, pieces, stamps);
                    }
                    Err(error) => {
                        self.lose_written(active);
                        return Err(error.into());
                    }
                }
            }
            Work::Gate(true) => return Err(Halt::Held),
            Work::Gate(false) => {
                self.passed = true;
                active.keeping.placing = false;
            }
            Work::Placed(outcome) => {
                let placed = match outcome {
                    Ok(placed) => placed,
                    Err(error) => {
                        self.lose_written(active);
                        return Err(error.into());
                    }
                };
                let (site, stamps) = placed?;
                self.record.site = site;
                self.record.stamps = stamps;
                self.record.clean = true;
                self.record.have = Have::from_bitfield(active.swarm.have());
                self.record.completed = Some(view::now());
                active.keeping.dirty.clear();
                active.keeping.dirty_bytes = 0;
                active.keeping.sync_at = None;
                active.tree = self.tree(
                    active.tree.disk(),
                    &active.info,
                    &active.wanted_files,
                    self.record.stamps.clone(),
                );
                active.keeping.log = None;
                active.keeping.durable = active.swarm.have().clone();
                let owed = self.finished();
                self.ctx.store.put_owing(self.item, &self.record, owed);
                let store = self.ctx.store.clone();
                let (item, disk) = (self.item, active.tree.disk().clone());
                active.keeping.work.spawn(async move {
                    store.flush().await;
                    drop(disk.run(Lane::Sync, forget_written(&store, item)));
                    Work::Recorded
                });
            }
            Work::Proven(piece, lane, outcome) => {
                self.proven(active, piece, lane, outcome).await?;
            }
            Work::Recorded => {
                active.keeping.finishing = false;
                active.keeping.placing = false;
                active.uploads.held_back = false;
                for key in active.uploads.peers_waiting() {
                    self.feed(active, key);
                }
                self.tell_files(active);
                let Owed { topic, text, .. } = self.finished();
                self.emit(topic, text);
                self.report(Report::Completed(self.item)).await;
                active.show_now();
            }
        }
        Ok(())
    }

    /// A sync failed: what was written and is not durable is missing, though it can still be read. The log goes before the item wakes again
    /// and reads it, since both are for the same thread.
    fn lose_written(&self, active: &mut Active) {
        active.keeping.lose();
        let forget = forget_written(&self.ctx.store, self.item);
        drop(active.tree.disk().run(Lane::Sync, forget));
    }

    pub(super) fn record_durable(
        &mut self,
        active: &mut Active,
        pieces: Vec<u32>,
        stamps: Vec<(usize, FileStamp)>,
    ) {
        for piece in pieces {
            active.keeping.durable.set(piece);
        }
        self.record.have = active.keeping.durable();
        for (file, stamp) in stamps {
            if let Some(known) = self.record.stamps.get_mut(file) {
                *known = Some(stamp);
            }
        }
        self.record.clean = false;
        self.ctx.store.put(self.item, &self.record);
        self.tell_files(active);
    }
}

fn forget_written(
    store: &Store,
    item: InfoHash,
) -> impl FnOnce() -> Result<(), StorageError> + Send + 'static {
    let state = store.dir().to_owned();
    move || {
        if let Err(error) = written::forget(&state, item) {
            tracing::warn!(%item, "the log of written pieces cannot be removed: {error}");
        }
        Ok(())
    }
}
