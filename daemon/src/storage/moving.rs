//! Moving an item's files to another folder, over file systems by copying.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::StorageError;
use super::error::at;
use super::place::{STAGE, free_name, rename_new, taken};
use super::sync::{make_durable_folder, sync_folder};

/// The error for a folder that is none.
pub fn not_a_folder(dir: &Path) -> StorageError {
    StorageError::at(dir, &io::ErrorKind::NotADirectory.into())
}

/// Makes a folder with its parents, and returns when they are on the disk.
pub fn make_folder(dir: &Path) -> Result<(), StorageError> {
    make_durable_folder(dir)
}

/// Where `path` comes to lie when it is moved into `dir`: under its name, or the first free one like it.
pub fn place_in(path: &Path, dir: &Path) -> Result<PathBuf, StorageError> {
    if !fs::metadata(dir).map_err(at(dir))?.is_dir() {
        return Err(not_a_folder(dir));
    }
    free_name(dir, &path.file_name().unwrap_or_default().to_string_lossy())
}

/// Moves a file or folder to `to`, over file systems by copy and sync. Returns whether it was copied: then it is still at `path` as well,
/// to be removed with [`remove_copied`] once the new place is recorded. `part` names the copy while it is made; what an earlier attempt
/// left there is removed.
pub fn move_as(path: &Path, to: &Path, part: &str) -> Result<bool, StorageError> {
    let dir = to.parent().unwrap_or(to);
    match rename_new(path, to) {
        Err(_) if crosses(path, dir) => {}
        Err(error) => return Err(error),
        Ok(false) => return Err(taken(to)),
        Ok(true) => {
            sync_folder(dir)?;
            return Ok(false);
        }
    }
    let part = dir.join(STAGE).join(format!("move-{part}"));
    let _ = fs::remove_dir_all(&part);
    fs::create_dir_all(&part).map_err(at(&part))?;
    let copy = part.join(to.file_name().unwrap_or_default());
    let copied = copy_tree(path, &copy).and_then(|()| match rename_new(&copy, to)? {
        true => Ok(()),
        false => Err(taken(to)),
    });
    let synced = copied.and_then(|()| sync_folder(dir));
    let _ = fs::remove_dir_all(&part);
    let _ = fs::remove_dir(dir.join(STAGE));
    synced.map(|()| true)
}

/// Removes what is left of a file or folder that was moved by copying it.
pub fn remove_copied(path: &Path) -> Result<(), StorageError> {
    let removed = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(StorageError::at(path, &error))
        }
        _ => Ok(()),
    }
}

fn crosses(a: &Path, b: &Path) -> bool {
    match (fs::metadata(a), fs::metadata(b)) {
        (Ok(a), Ok(b)) => a.dev() != b.dev(),
        _ => false,
    }
}

fn copy_tree(from: &Path, to: &Path) -> Result<(), StorageError> {
    let kind = fs::symlink_metadata(from).map_err(at(from))?.file_type();
    if kind.is_dir() {
        fs::create_dir(to).map_err(at(to))?;
        for entry in fs::read_dir(from).map_err(at(from))? {
            let entry = entry.map_err(at(from))?;
            copy_tree(&entry.path(), &to.join(entry.file_name()))?;
        }
        return sync_folder(to);
    }
    if !kind.is_file() {
        return Err(StorageError::Io {
            path: from.to_owned(),
            why: "neither a file nor a folder, it cannot be moved to another file system".into(),
        });
    }
    fs::copy(from, to).map_err(at(from))?;
    let copy = File::open(to).map_err(at(to))?;
    copy.sync_all().map_err(at(to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_moved_with_all_that_is_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("x"), dir.path().join("to"));
        fs::create_dir_all(from.join("sub")).unwrap();
        fs::create_dir(&to).unwrap();
        fs::write(from.join("sub/f"), "data").unwrap();
        let placed = place_in(&from, &to).unwrap();
        assert!(!move_as(&from, &placed, "x").unwrap());
        assert_eq!(fs::read_to_string(placed.join("sub/f")).unwrap(), "data");
        assert!(!from.exists());
        assert!(place_in(&placed, &dir.path().join("absent")).is_err());
    }

    #[test]
    fn over_file_systems_the_original_stays_until_it_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let other = tempfile::tempdir_in("/dev/shm").ok();
        let Some(other) = other.filter(|other| crosses(dir.path(), other.path())) else {
            println!("skipped: /dev/shm is no other file system here");
            return;
        };
        let (from, stage) = (dir.path().join("x"), other.path().join(STAGE));
        fs::create_dir_all(from.join("sub")).unwrap();
        fs::write(from.join("sub/f"), "data").unwrap();
        // What a killed move left behind.
        fs::create_dir_all(stage.join("move-k/x/sub")).unwrap();
        let placed = place_in(&from, other.path()).unwrap();
        let copied = move_as(&from, &placed, "k").unwrap();
        assert_eq!(fs::read_to_string(placed.join("sub/f")).unwrap(), "data");
        assert!(copied && from.exists() && !stage.exists());
        remove_copied(&from).unwrap();
        remove_copied(&from).unwrap();
        assert!(!from.exists());
    }
}
