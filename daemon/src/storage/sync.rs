//! Waiting until what was written is on the disk.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::error::at;
use super::folder::Folder;
use super::kernel::forget_cached;
use super::place::STAGE;
use super::seam::{self, Call};
use super::{StorageError, Tree};
use crate::engine::FileStamp;

/// Files or folders synced by one thread before another helps, and threads that sync at once.
const SYNC_ALONE: usize = 4;
const SYNC_THREADS: usize = 32;

impl Tree {
    /// Returns when what was written to these files is on the disk, with what each of them is then.
    pub fn sync(&self, files: &BTreeSet<usize>) -> Result<Vec<(usize, FileStamp)>, StorageError> {
        let files: Vec<usize> = files.iter().copied().collect();
        side_by_side(&files, |index| Ok((*index, self.sync_one(*index)?)))
    }

    /// Returns when the names of these staged files are on the disk: every folder from theirs up to the one that is downloaded into. Files at
    /// their place have their names already.
    pub fn sync_folders(&self, files: &BTreeSet<usize>) -> Result<(), StorageError> {
        let mut folders = BTreeSet::new();
        for index in files {
            let path = self.path(*index);
            let above: Vec<&Path> = path.ancestors().skip(1).collect();
            let is_stage = |dir: &&Path| dir.file_name() == Some(STAGE.as_ref());
            if let Some(stage) = above.iter().position(is_stage) {
                folders.extend(above.iter().take(stage + 2).map(|dir| dir.to_path_buf()));
            }
        }
        folders.iter().try_for_each(|folder| sync_folder(folder))
    }

    /// Makes the next read of these files come from the disk: what a failed sync could not write is still in the page cache, and looks right.
    /// False where the system cannot do that.
    pub fn drop_cached(&self, files: &BTreeSet<usize>) -> Result<bool, StorageError> {
        self.sync(files)?;
        for index in files {
            let path = self.path(*index);
            let file = self.file(*index).map_err(|e| StorageError::at(&path, &e))?;
            if !forget_cached(&file) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn sync_one(&self, index: usize) -> Result<FileStamp, StorageError> {
        let path = self.path(index);
        let file = self.file(index).map_err(|e| StorageError::at(&path, &e))?;
        seam::allow(Call::Sync, || path.clone())
            .and_then(|_| file.sync_data())
            .map_err(at(&path))?;
        self.disk().pace.got_on();
        file.stamp().map_err(at(&path))
    }
}

/// Returns when the names in `dir` are on the disk.
pub(super) fn sync_folder(dir: &Path) -> Result<(), StorageError> {
    let synced = Folder::open(dir).and_then(|folder| folder.sync());
    synced.map_err(at(dir))
}

/// Syncs `path` and every folder below it, if it is one.
pub(super) fn sync_folders(path: &Path) -> Result<(), StorageError> {
    let mut folders = Vec::new();
    if fs::symlink_metadata(path).map_err(at(path))?.is_dir() {
        folders.push(path.to_owned());
    }
    let mut next = 0;
    while let Some(folder) = folders.get(next).cloned() {
        for entry in fs::read_dir(&folder).map_err(at(&folder))? {
            let entry = entry.map_err(at(&folder))?;
            if entry.file_type().map_err(at(&folder))?.is_dir() {
                folders.push(entry.path());
            }
        }
        next += 1;
    }
    side_by_side(&folders, |folder| sync_folder(folder)).map(|_| ())
}

/// Does `sync` for all of `things`. One after the other, each would wait for the disk by itself; side by side, one flush of the disk
/// serves several.
fn side_by_side<T: Sync, R: Send>(
    things: &[T],
    sync: impl Fn(&T) -> Result<R, StorageError> + Sync,
) -> Result<Vec<R>, StorageError> {
    let next = AtomicUsize::new(0);
    let some = || -> Result<Vec<R>, StorageError> {
        let mut synced = Vec::new();
        while let Some(thing) = things.get(next.fetch_add(1, Ordering::Relaxed)) {
            synced.push(sync(thing)?);
        }
        Ok(synced)
    };
    let threads = things.len().div_ceil(SYNC_ALONE).clamp(1, SYNC_THREADS);
    thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(some)).collect();
        let mut synced = some()?;
        for other in others {
            synced.extend(other.join().map_err(|_| StorageError::Stopped)??);
        }
        Ok(synced)
    })
}
