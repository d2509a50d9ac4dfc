//! The helper: takes on the rights it is told of, then opens what it is asked for.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::unistd::{AccessFlags, access};
use p2p_wire::control::PathText;
use serde::{Deserialize, Serialize};

use super::{MAX_LEN, Rights};

/// Folders deeper than this are refused.
const MAX_DEPTH: usize = 128;

/// What is to be done with a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Purpose {
    /// Read a folder or file.
    Share,
    /// Put files into a folder.
    Receive,
    /// Read and complete what is there: every file of it is written to.
    Complete,
}

/// What the daemon asks.
#[derive(Serialize, Deserialize)]
pub(super) struct Question {
    pub(super) rights: Rights,
    pub(super) purpose: Purpose,
    pub(super) path: PathText,
}

/// What the helper found.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Answer {
    Found {
        path: PathText,
        device: u64,
        inode: u64,
    },
    /// With the number of the operating system's error, and where it came up.
    Refused { errno: i32, at: PathText },
    /// The daemon may not act for others.
    Powerless { errno: i32 },
}

/// What the helper does: answers the question on standard input.
pub fn help() -> io::Result<()> {
    let mut text = Vec::new();
    io::stdin().take(MAX_LEN).read_to_end(&mut text)?;
    let question: Question = serde_json::from_slice(&text)?;
    let path = question.path.to_path().unwrap_or_default();
    let answer = match question.rights.take_on() {
        Err(errno) => Answer::Powerless {
            errno: errno as i32,
        },
        Ok(()) => match open(question.purpose, &path) {
            Ok((path, device, inode)) => Answer::Found {
                path: (&*path).into(),
                device,
                inode,
            },
            Err((at, error)) => Answer::Refused {
                errno: error.raw_os_error().unwrap_or(nix::libc::EIO),
                at: (&*at).into(),
            },
        },
    };
    io::stdout().write_all(&serde_json::to_vec(&answer)?)
}

impl Rights {
    /// Becomes this user, for good.
    #[cfg(target_os = "linux")]
    fn take_on(&self) -> nix::Result<()> {
        use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        if uid.is_root() {
            return Err(nix::errno::Errno::EPERM);
        }
        let groups: Vec<Gid> = self.groups.iter().copied().map(Gid::from_raw).collect();
        setgroups(&groups)?;
        setresgid(gid, gid, gid)?;
        setresuid(uid, uid, uid)
    }

    /// Cannot: the machine's daemon is there on Linux alone.
    #[cfg(not(target_os = "linux"))]
    fn take_on(&self) -> nix::Result<()> {
        Err(nix::errno::Errno::ENOSYS)
    }
}

/// Where something went wrong, and what.
pub(super) type At = (PathBuf, io::Error);

/// Opens what lies at `path` as `purpose` needs it; its resolved path, device and inode.
pub(super) fn open(purpose: Purpose, path: &Path) -> Result<(PathBuf, u64, u64), At> {
    let at = |error| (path.to_owned(), error);
    let real = fs::canonicalize(path).map_err(at)?;
    let meta = fs::metadata(&real).map_err(at)?;
    match purpose {
        Purpose::Share => File::open(&real).map_err(at).map(drop)?,
        Purpose::Receive if !meta.is_dir() => return Err(at(not_a_folder())),
        Purpose::Receive => may_write_into(&real)?,
        Purpose::Complete => may_complete(&real, 0)?,
    }
    if meta.is_dir() {
        // Listing a folder is one right, reaching what is in it another.
        fs::metadata(real.join(".")).map_err(at)?;
    }
    Ok((real, meta.dev(), meta.ino()))
}

fn may_write_into(folder: &Path) -> Result<(), At> {
    let flags = AccessFlags::R_OK | AccessFlags::W_OK | AccessFlags::X_OK;
    access(folder, flags).map_err(|errno| (folder.to_owned(), errno.into()))
}

/// Everything below `path` can be read and written. Links are not followed, here or when it is completed.
fn may_complete(path: &Path, depth: usize) -> Result<(), At> {
    let at = |error| (path.to_owned(), error);
    let meta = fs::symlink_metadata(path).map_err(at)?;
    if meta.is_file() {
        let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).custom_flags(flags.bits());
        return options.open(path).map(drop).map_err(at);
    }
    if !meta.is_dir() {
        return Ok(());
    }
    if depth == MAX_DEPTH {
        return Err(at(io::ErrorKind::InvalidInput.into()));
    }
    may_write_into(path)?;
    for child in fs::read_dir(path).map_err(at)? {
        may_complete(&child.map_err(at)?.path(), depth + 1)?;
    }
    Ok(())
}

fn not_a_folder() -> io::Error {
    io::Error::from_raw_os_error(nix::libc::ENOTDIR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_opened_as_its_purpose_needs() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().canonicalize().unwrap();
        let (folder, file, link) = (real.join("d"), real.join("d/f"), real.join("l"));
        fs::create_dir(&folder).unwrap();
        fs::write(&file, "x").unwrap();
        std::os::unix::fs::symlink(&folder, &link).unwrap();
        let found = |purpose, path: &Path| open(purpose, path).map(|found| found.0);
        for purpose in [Purpose::Share, Purpose::Receive, Purpose::Complete] {
            assert_eq!(found(purpose, &link).unwrap(), folder, "{purpose:?}");
        }
        assert_eq!(found(Purpose::Share, &file).unwrap(), file);
        assert_eq!(found(Purpose::Complete, &file).unwrap(), file);
        let (at, error) = found(Purpose::Receive, &file).unwrap_err();
        assert_eq!((at, error.kind()), (file, io::ErrorKind::NotADirectory));
        let (_, error) = found(Purpose::Share, &real.join("no")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn root_is_nobody_to_act_for() {
        let root = Rights {
            uid: 0,
            gid: 0,
            groups: Vec::new(),
        };
        assert!(root.take_on().is_err());
    }
}
