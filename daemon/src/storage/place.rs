//! Checking an item, syncing it, and moving it to its place.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use p2p_hash::{FileSpec, HashError, Options, Progress, verify_files};
use p2p_wire::metainfo::Info;
use p2p_wire::{Bitfield, InfoHash};

use super::error::at;
use super::folder::Folder;
use super::open::remove_beneath;
use super::sync::sync_folders;
use super::tree::{Held, Opened};
use super::{StorageError, Tree};
use crate::engine::FileStamp;

/// Names that are tried for an item whose own is taken, and one.
const MOST_NAMES: u32 = 1_000;

/// Folder of what is being fetched, below the download folder.
pub(super) const STAGE: &str = ".p2p-incomplete";

/// Where an item is staged that will end in `dir`.
pub fn stage_of(dir: &Path, item: InfoHash) -> PathBuf {
    dir.join(STAGE).join(item.to_string())
}

/// The paths in `dir` that an item of this name may have been put at, and that exist.
pub fn places(dir: &Path, info: &Info) -> Vec<PathBuf> {
    let named = (1..MOST_NAMES).map(|n| dir.join(numbered(top_of(info), n)));
    named.take_while(|path| path.exists()).collect()
}

/// The file or folder that holds all of an item.
fn top_of(info: &Info) -> &str {
    let top = info.files().first().and_then(|file| file.path.first());
    top.map_or(info.name(), String::as_str)
}

/// Bytes that the files in a folder take; what cannot be read counts as nothing.
pub fn allocated(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let taken = entries.filter_map(|entry| {
        let meta = entry.metadata().ok()?;
        Some(match meta.is_dir() {
            true => allocated(&entry.path()),
            false => meta.blocks().saturating_mul(512),
        })
    });
    taken.sum()
}

impl Tree {
    /// What each file is now, where every wanted file must be there: a complete item is served by what its files were.
    pub fn stamps_of(&self, wanted: &[bool]) -> Result<Vec<Option<FileStamp>>, StorageError> {
        let stamps = self.stamps();
        for (index, file) in self.info.files().iter().enumerate() {
            let is_wanted = wanted.get(index).copied().unwrap_or(true) && !file.padding;
            if is_wanted && stamps.get(index).is_none_or(Option::is_none) {
                let path = self.path(index);
                let opened = self.open_to_read(&Held::default(), index);
                let file = opened.map_err(at(&path))?;
                file.metadata().map_err(at(&path))?;
                return Err(StorageError::Changed(path));
            }
        }
        Ok(stamps)
    }

    /// Reads `pieces` and says which are good. `Err` when that cannot be told.
    pub fn check(
        &self,
        pieces: Vec<u32>,
        threads: usize,
        progress: &Progress,
    ) -> Result<Bitfield, StorageError> {
        let layout = self.info.layout();
        let specs: Vec<FileSpec> = (self.info.files().iter().enumerate())
            .map(|(index, file)| match file.padding {
                true => FileSpec::zeros(file.len),
                false => FileSpec::new(self.path(index), file.len),
            })
            .collect();
        let expected: Vec<_> = layout.iter().map(|p| self.info.piece_hash(p)).collect();
        let indices: HashMap<&Path, usize> = (specs.iter().enumerate())
            .filter_map(|(index, spec)| Some((spec.path.as_deref()?, index)))
            .collect();
        let open = |path: &Path| {
            let index = indices.get(path).copied();
            let index = index.ok_or(io::ErrorKind::NotFound)?;
            // Each by its path: it may take hours, and the folder be another by then.
            let opened = self.open_to_read(&Held::default(), index);
            opened.map(Opened::into_file)
        };
        let options = Options {
            threads,
            open: Some(&open),
            ..Options::default()
        };
        let mut good = Bitfield::new(layout.pieces());
        let told = |piece, is_good| {
            if is_good {
                good.set(piece);
            }
        };
        verify_files(
            &specs,
            layout.piece_len(),
            &expected,
            pieces,
            &options,
            progress,
            told,
        )
        .map_err(|error| match error {
            HashError::Io { path, source } => StorageError::at(path, &source),
            HashError::Cancelled => StorageError::Stopped,
            other => StorageError::Io {
                path: self.path(0),
                why: other.to_string(),
            },
        })?;
        Ok(good)
    }

    /// Returns when all names below the staged file or folder are on the disk.
    pub fn sync_staged(&self, stage: &Path) -> Result<(), StorageError> {
        sync_folders(&staged_top(stage, &self.info))
    }

    /// Moves a complete item from its stage to `dir`, under its name or, if that is taken, `name (2)` and so on. After an error it is
    /// where it was. Files that p2pd did not make are never overwritten.
    pub fn complete(&self, stage: &Path, dir: &Path) -> Result<PathBuf, StorageError> {
        let from = staged_top(stage, &self.info);
        rename_free(&from, dir, top_of(&self.info))
    }
}

/// The file or folder that holds all of an item while it is staged. It is there from the first preparation until the item is put at its
/// place; the stage itself may be there for longer.
pub fn staged_top(stage: &Path, info: &Info) -> PathBuf {
    stage.join(top_of(info))
}

/// Returns when the new name in `dir` is on the disk. The stage goes, except where it holds the unwanted parts of wanted pieces.
pub fn leave_stage(stage: &Path, dir: &Path) -> Result<(), StorageError> {
    let folder = Folder::open(dir).map_err(at(dir))?;
    folder.sync().map_err(at(dir))?;
    if let Ok(stages) = folder.inner(STAGE.as_ref()) {
        stages.remove_empty(stage.file_name().unwrap_or_default());
    }
    folder.remove_empty(STAGE.as_ref());
    Ok(())
}

/// Renames `from` into `dir` under the first free of `name`, `name (2)`, ...
fn rename_free(from: &Path, dir: &Path, name: &str) -> Result<PathBuf, StorageError> {
    let parent = from.parent().unwrap_or(from);
    let source = Folder::open(parent).map_err(at(parent))?;
    let target = Folder::make(dir).map_err(at(dir))?;
    let old = from.file_name().unwrap_or_default();
    for n in 1..MOST_NAMES {
        let new = numbered(name, n);
        if source.rename(old, &target, new.as_ref())? {
            return Ok(dir.join(new));
        }
    }
    Err(taken(&dir.join(name)))
}

/// The first of `name`, `name (2)`, ... that is free in `dir`.
pub(super) fn free_name(dir: &Path, name: &str) -> Result<PathBuf, StorageError> {
    let mut named = (1..MOST_NAMES).map(|n| dir.join(numbered(name, n)));
    let free = named.find(|to| fs::symlink_metadata(to).is_err());
    free.ok_or_else(|| taken(&dir.join(name)))
}

/// The error for a name that is taken, as are all like it.
pub(super) fn taken(path: &Path) -> StorageError {
    StorageError::Io {
        path: path.to_owned(),
        why: "the name and 998 like it are taken".into(),
    }
}

/// `name`, `name (2)`, ...
fn numbered(name: &str, n: u32) -> String {
    match n {
        1 => name.to_owned(),
        n => format!("{name} ({n})"),
    }
}

/// Deletes the files of an item below `root`, and the folders that are empty then. What is not the item's stays.
pub fn delete(tree: &Tree, top: Option<&Path>, stage: &Path) -> Result<(), StorageError> {
    if let Some(top) = top {
        let root = top.parent().unwrap_or(top);
        for index in 0..tree.info.files().len() {
            let path = tree.path(index);
            // The parts that are still staged go with the stage.
            if let Ok(rel) = path.strip_prefix(root)
                && path.starts_with(top)
            {
                remove_beneath(root, rel).map_err(at(&path))?;
                tree.disk().pace.got_on();
            }
        }
    }
    delete_stage(stage)
}

/// Deletes what was staged.
pub fn delete_stage(stage: &Path) -> Result<(), StorageError> {
    let stages = stage.parent().unwrap_or(stage);
    let Some(dir) = stages.parent() else {
        return Ok(());
    };
    // Where there is no such folder, nothing is staged; a link in its place is not ours.
    let folder = match Folder::open(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        folder => folder.map_err(at(dir))?,
    };
    let name = stages.file_name().unwrap_or_default();
    match folder.inner(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        inner => {
            let inner = inner.map_err(at(stages))?;
            inner.remove(stage.file_name().unwrap_or_default())?;
        }
    }
    folder.remove_empty(name);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_planted_in_the_way_of_a_stage_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let (outside, item) = (root.join("outside"), InfoHash([7; 20]));
        let victim = outside.join(item.to_string());
        fs::create_dir_all(&victim).unwrap();
        fs::write(victim.join("diary"), "theirs").unwrap();
        let downloads = root.join("downloads");
        let stage = stage_of(&downloads, item);
        fs::create_dir_all(&downloads).unwrap();
        symlink(&outside, downloads.join(STAGE)).unwrap();
        assert!(delete_stage(&stage).is_err());
        let _ = leave_stage(&stage, &downloads);
        assert!(victim.join("diary").exists());
        fs::remove_file(downloads.join(STAGE)).unwrap();
        delete_stage(&stage).unwrap();
        fs::create_dir(downloads.join(STAGE)).unwrap();
        symlink(&victim, &stage).unwrap();
        delete_stage(&stage).unwrap();
        assert!(victim.join("diary").exists() && !downloads.join(STAGE).exists());
    }

    #[test]
    fn a_taken_name_gets_a_number_and_nothing_is_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let mut places = Vec::new();
        for n in 0..3 {
            let from = root.join(format!("from-{n}"));
            fs::write(&from, n.to_string()).unwrap();
            let to = rename_free(&from, &root.join("to"), "a.tar.gz").unwrap();
            places.push(to.file_name().unwrap().to_owned());
            assert_eq!(fs::read_to_string(to).unwrap(), n.to_string());
        }
        assert_eq!(places, ["a.tar.gz", "a.tar.gz (2)", "a.tar.gz (3)"]);
    }
}
