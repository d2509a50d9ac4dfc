//! Waiting until what was written is on the disk.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::error::at;
use super::folder::Folder;
use super::kernel::forget_cached;
use super::place::STAGE;
use super::seam::{self, Call};
use super::side_by_side::side_by_side;
use super::{StorageError, Tree};
use crate::engine::FileStamp;

impl Tree {
    /// Returns when what was written to these files is on the disk, with what each of them is then.
    pub fn sync(&self, files: &BTreeSet<usize>) -> Result<Vec<(usize, FileStamp)>, StorageError> {
        let files: Vec<usize> = files.iter().copied().collect();
        side_by_side(&files, |index| Ok((*index, self.sync_one(*index)?)))
    }

    /// Returns when the names of these files are on the disk: every folder from theirs up to the one that is downloaded into, or the one that
    /// holds the item at its place.
    pub fn sync_folders(&self, files: &BTreeSet<usize>) -> Result<(), StorageError> {
        let folders = files.iter().filter_map(|file| self.folder(*file));
        let folders: BTreeSet<(&Path, PathBuf)> = folders.collect();
        let mut all = BTreeSet::new();
        for (root, folder) in &folders {
            let above = folder.ancestors();
            let is_stage = |dir: &Path| dir.file_name() == Some(STAGE.as_ref());
            let is_root = |dir: &Path| dir == *root;
            let top = above.clone().position(is_stage);
            let top = top.or_else(|| above.clone().position(is_root));
            all.extend(above.take(top.map_or(0, |top| top + 2)));
        }
        let all: Vec<&Path> = all.into_iter().collect();
        let sync = |folder: &&Path| match Folder::open(folder).and_then(|open| open.sync()) {
            // A folder of the user's that we may not read: nobody can do more than to sync the files.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
            synced => synced.map_err(at(folder)),
        };
        side_by_side(&all, sync).map(|_| ())
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
        let path = || self.path(index);
        let stamp = self.file(index).and_then(|file| {
            seam::allow(Call::Sync, path)?;
            file.sync_data()?;
            file.stamp()
        });
        self.disk().pace.got_on();
        stamp.map_err(|error| StorageError::at(path(), &error))
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
