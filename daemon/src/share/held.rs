//! Folders of a share, held while what is in them is looked at.
//!
//! p2pd may read what a user who shares may not, and that user can put a link in the place of any folder of the share at any moment. So in
//! another user's share no link is followed and no path is walked twice: the root is opened by its path without links, each folder from the
//! one that holds it, and what is in a folder is reached through its descriptor. Where p2pd's own user shares, paths are paths.

use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, open, openat};
use nix::sys::stat::Mode;

use crate::storage::{self, Access, DIR, open_unlinked};

/// A folder.
#[derive(Debug)]
pub(crate) struct Held {
    /// By which it is reached: its own path, or that of the descriptor.
    path: PathBuf,
    /// Present in another user's share.
    fd: Option<OwnedFd>,
}

impl Held {
    /// The root of a share, an absolute path; `is_own`: p2pd's own user shares it.
    pub(crate) fn root(path: &Path, is_own: bool) -> io::Result<Self> {
        storage::touch(path);
        if is_own {
            return Ok(Self::by_path(path));
        }
        if !cfg!(target_os = "linux") {
            // Elsewhere what is in a folder cannot be reached by a path through its descriptor.
            return Err(io::ErrorKind::Unsupported.into());
        }
        match open_unlinked(AT_FDCWD, path, DIR, Mode::empty(), false) {
            // Linux before 5.6, or a filter of system calls that does not know it.
            Err(Errno::ENOSYS | Errno::EPERM) => walk(path).map(Self::by_fd),
            opened => Ok(Self::by_fd(opened?)),
        }
    }

    /// The folder `name` in it.
    pub(crate) fn folder(&self, name: &OsStr) -> io::Result<Self> {
        Ok(match &self.fd {
            None => Self::by_path(&self.path.join(name)),
            Some(fd) => Self::by_fd(openat(fd, name, DIR | OFlag::O_NOFOLLOW, Mode::empty())?),
        })
    }

    /// Opens the regular file `below` it, to read it.
    pub(crate) fn file(&self, below: &Path) -> io::Result<File> {
        match &self.fd {
            Some(fd) => storage::open_in(fd, below, Access::Read),
            None => storage::open_beneath(&self.path, below, Access::Read),
        }
    }

    /// By which it, and what is in it, is reached.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What it is itself.
    pub(crate) fn metadata(&self) -> io::Result<Metadata> {
        match self.fd {
            // The path of a descriptor is a link to what it holds.
            Some(_) => fs::metadata(&self.path),
            None => fs::symlink_metadata(&self.path),
        }
    }

    fn by_path(path: &Path) -> Self {
        let path = path.to_owned();
        Self { path, fd: None }
    }

    fn by_fd(fd: OwnedFd) -> Self {
        let path = PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()));
        Self { path, fd: Some(fd) }
    }
}

/// Opens the folder at an absolute path, one component after the other.
fn walk(path: &Path) -> io::Result<OwnedFd> {
    let mut dir = open("/", DIR, Mode::empty())?;
    for component in path.components() {
        dir = match component {
            Component::RootDir => continue,
            Component::Normal(name) => openat(&dir, name, DIR | OFlag::O_NOFOLLOW, Mode::empty())?,
            _ => return Err(io::ErrorKind::InvalidInput.into()),
        };
    }
    Ok(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_another_users_share_no_link_is_followed_and_a_held_folder_stays_what_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().canonicalize().unwrap();
        let (root, secret) = (top.join("root"), top.join("secret"));
        fs::create_dir_all(root.join("d")).unwrap();
        fs::write(root.join("d/open"), "x").unwrap();
        fs::create_dir(&secret).unwrap();
        fs::write(secret.join("diary"), "x").unwrap();
        let held = Held::root(&root, false).unwrap();
        let inner = held.folder(OsStr::new("d")).unwrap();
        // The folder, and then the root, become links to what is secret.
        for path in [root.join("d"), root.clone()] {
            fs::rename(&path, path.with_extension("was")).unwrap();
            std::os::unix::fs::symlink(&secret, &path).unwrap();
        }
        assert!(held.folder(OsStr::new("d")).is_err());
        assert!(inner.path().join("open").exists() && !inner.path().join("diary").exists());
        assert!(Held::root(&root, false).is_err() && walk(&root).is_err());
        assert!(Held::root(&root.join("x"), false).is_err());
        assert!(walk(&secret).is_ok());
        assert!(
            Held::root(&root, true)
                .unwrap()
                .path()
                .join("diary")
                .exists()
        );
    }
}
