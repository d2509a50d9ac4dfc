//! Moving an item's files to another folder, over file systems by copying.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::StorageError;
use super::error::at;
use super::folder::Folder;
use super::place::{STAGE, free_name, taken};

/// The error for a folder that is none.
pub fn not_a_folder(dir: &Path) -> StorageError {
    StorageError::at(dir, &io::ErrorKind::NotADirectory.into())
}

/// Makes a folder with its parents, and returns when they are on the disk.
pub fn make_folder(dir: &Path) -> Result<(), StorageError> {
    Folder::make(dir).map(drop).map_err(at(dir))
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
    let (source, old) = holder(path)?;
    let (target, new) = holder(to)?;
    let dir = to.parent().unwrap_or(to);
    match source.rename(old, &target, new) {
        Err(_) if crosses(path, dir) => {}
        Err(error) => return Err(error),
        Ok(false) => return Err(taken(to)),
        Ok(true) => {
            target.sync().map_err(at(dir))?;
            return Ok(false);
        }
    }
    let part = format!("move-{part}");
    let part: &OsStr = part.as_ref();
    let stages = target.make_inner(STAGE.as_ref()).map_err(at(dir))?;
    stages.remove(part)?;
    let stage = stages.make_inner(part).map_err(at(dir));
    let copied = stage.and_then(|stage| {
        source.copy(old, &stage, new)?;
        match stage.rename(new, &target, new)? {
            true => target.sync().map_err(at(dir)),
            false => Err(taken(to)),
        }
    });
    // What cannot be removed is, at the next attempt.
    let _ = stages.remove(part);
    target.remove_empty(STAGE.as_ref());
    copied.map(|()| true)
}

/// Removes what is left of a file or folder that was moved by copying it.
pub fn remove_copied(path: &Path) -> Result<(), StorageError> {
    let (folder, name) = holder(path)?;
    folder.remove(name)
}

/// The folder that holds `path`, and the name in it.
fn holder(path: &Path) -> Result<(Folder, &OsStr), StorageError> {
    let dir = path.parent().unwrap_or(path);
    let folder = Folder::open(dir).map_err(at(dir))?;
    Ok((folder, path.file_name().unwrap_or_default()))
}

fn crosses(a: &Path, b: &Path) -> bool {
    match (fs::metadata(a), fs::metadata(b)) {
        (Ok(a), Ok(b)) => a.dev() != b.dev(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

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
    fn a_link_planted_where_the_copy_is_made_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let other = tempfile::tempdir_in("/dev/shm").ok();
        let Some(other) = other.filter(|other| crosses(dir.path(), other.path())) else {
            println!("skipped: /dev/shm is no other file system here");
            return;
        };
        let (from, outside) = (dir.path().join("x"), other.path().join("outside"));
        fs::write(&from, "data").unwrap();
        fs::create_dir_all(outside.join("move-k")).unwrap();
        fs::write(outside.join("move-k/diary"), "theirs").unwrap();
        let to = other.path().join("to");
        fs::create_dir(&to).unwrap();
        symlink(&outside, to.join(STAGE)).unwrap();
        let placed = place_in(&from, &to).unwrap();
        assert!(move_as(&from, &placed, "k").is_err());
        assert!(from.exists() && !placed.exists());
        assert!(outside.join("move-k/diary").exists());
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
