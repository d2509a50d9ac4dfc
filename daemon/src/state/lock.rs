//! The lock on the state folder: one daemon at a time, and the next one learns how the last one ended.
//!
//! The file holds the process id of its holder, and is emptied when the holder ends in order. So one that is found with a text and without
//! a lock was left by a crash or a power cut.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::StateError;

/// The lock on the state folder; dropping it lets another daemon in.
#[derive(Debug)]
pub struct StateLock {
    file: Flock<File>,
    /// The daemon before this one did not end in order.
    pub(super) after_crash: bool,
}

impl StateLock {
    /// Takes the lock of the folder `dir`; [`StateError::Locked`] if another process has it.
    pub(super) fn take(dir: &Path) -> Result<Self, StateError> {
        let path = dir.join("p2pd.lock");
        let io = |source| StateError::Io {
            path: path.clone(),
            source,
        };
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&path).map_err(io)?;
        let mut holder = String::new();
        file.read_to_string(&mut holder).map_err(io)?;
        let taken = Flock::lock(file, FlockArg::LockExclusiveNonblock);
        let mut lock = taken.map_err(|(_, errno)| match errno {
            Errno::EWOULDBLOCK => StateError::Locked {
                path: dir.to_owned(),
                holder: holder.trim().to_owned(),
            },
            errno => io(errno.into()),
        })?;
        // On a full disk nobody learns our number; that is no reason not to start.
        if let Err(error) = write_holder(&mut lock) {
            tracing::warn!("{}: {error}", path.display());
        }
        Ok(Self {
            file: lock,
            after_crash: !holder.trim().is_empty(),
        })
    }
}

impl Drop for StateLock {
    fn drop(&mut self) {
        // A text that stays costs a check of the database at the next start.
        let _ = self.file.set_len(0);
    }
}

fn write_holder(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_daemon_is_told_who_holds_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        let first = StateLock::take(dir.path()).unwrap();
        let second = StateLock::take(dir.path()).unwrap_err().to_string();
        assert!(second.contains(&std::process::id().to_string()), "{second}");
        drop(first);
        StateLock::take(dir.path()).unwrap();
    }

    #[test]
    fn knows_whether_the_last_holder_ended_in_order() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!StateLock::take(dir.path()).unwrap().after_crash);
        assert!(!StateLock::take(dir.path()).unwrap().after_crash);
        std::fs::write(dir.path().join("p2pd.lock"), "4711\n").unwrap();
        assert!(StateLock::take(dir.path()).unwrap().after_crash);
    }
}
