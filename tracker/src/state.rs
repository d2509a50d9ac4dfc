//! The state folder: made private, and locked so that one tracker owns it.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

/// Why the state folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// It cannot be made or written.
    #[error(
        "cannot use the state folder {path}: {error}\n  Make it and give it to the tracker's user, or name another with --state-dir."
    )]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Another process has it.
    #[error(
        "the state folder {path} is in use by {holder}\n  One tracker owns a state folder; stop that one first."
    )]
    Locked {
        /// Which.
        path: PathBuf,
        /// What the holder says of itself.
        holder: String,
    },
}

/// A state folder that is ours until this is dropped.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    _lock: Flock<File>,
}

impl StateDir {
    /// Makes the folder if there is none, and locks it; `purpose` is told to who comes second.
    pub fn lock(path: &Path, purpose: &str) -> Result<Self, StateError> {
        let folder = |error| StateError::Folder {
            path: path.to_owned(),
            error,
        };
        // Password hashes and secrets lie in it.
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(folder)?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path.join("lock"))
            .map_err(folder)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(mut lock) => {
                let text = format!("process {} (p2p-tracker {purpose})\n", std::process::id());
                lock.set_len(0)
                    .and_then(|()| lock.rewind())
                    .and_then(|()| lock.write_all(text.as_bytes()))
                    .map_err(folder)?;
                sweep(path);
                Ok(Self {
                    path: path.to_owned(),
                    _lock: lock,
                })
            }
            Err((mut file, _)) => {
                let mut holder = String::new();
                let _ = file.read_to_string(&mut holder);
                let holder = if holder.trim().is_empty() {
                    "another process".to_owned()
                } else {
                    holder.trim().to_owned()
                };
                Err(StateError::Locked {
                    path: path.to_owned(),
                    holder,
                })
            }
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// How names of temporary copies of the database begin and end.
const SCRATCH: [&str; 2] = ["backup-", ".tmp"];

/// A name for a temporary copy of the database; what a tracker that was killed leaves of it goes when the next one starts.
pub fn scratch_copy(state_dir: &Path) -> PathBuf {
    let [begin, end] = SCRATCH;
    state_dir.join(format!("{begin}{:016x}{end}", rand::random::<u64>()))
}

/// Removes temporary copies that are nobody's; the caller has the lock.
fn sweep(state_dir: &Path) {
    let [begin, end] = SCRATCH;
    for entry in std::fs::read_dir(state_dir).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        // SQLite puts a journal beside what it writes.
        let copy = name.strip_suffix("-journal").unwrap_or(&name);
        if copy.starts_with(begin) && copy.ends_with(end) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// The administration socket of a tracker with this state folder.
pub fn admin_socket(state_dir: &Path) -> PathBuf {
    state_dir.join("admin.sock")
}

/// Where a running tracker writes the addresses it listens on, one a line.
pub fn address_file(state_dir: &Path) -> PathBuf {
    state_dir.join("http.addr")
}

/// Where a running tracker writes the fingerprint of the certificate it serves.
pub fn fingerprint_file(state_dir: &Path) -> PathBuf {
    state_dir.join("https.fingerprint")
}

/// Writes a small file whole or not at all.
pub fn write_atomically(path: &Path, text: &str) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    std::fs::write(&new, text)?;
    std::fs::rename(new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        let first = StateDir::lock(&path, "serve").unwrap();
        let error = StateDir::lock(&path, "serve").unwrap_err().to_string();
        assert!(
            error.contains(&format!(
                "process {} (p2p-tracker serve)",
                std::process::id()
            )),
            "{error}"
        );
        drop(first);
        let left = scratch_copy(&path);
        std::fs::write(&left, "half").unwrap();
        let again = StateDir::lock(&path, "serve").unwrap();
        assert!(!left.exists(), "what a killed one left is swept");
        drop(again);
    }
}
