//! A folder that is open, and what is done in it by name.
//!
//! p2pd may write where the users whose folders it writes to may not, and they can put a link in the place of any folder below at any
//! moment. So such a folder is opened once ([`open_root`] says which links are followed on the way), and from there on each is opened from
//! the one that holds it, never through a link.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::StorageError;
use super::error::at;
use super::kernel;
use super::open::{Access, open_in, open_root};
use super::seam::{self, Call};

const INNER: OFlag = OFlag::O_RDONLY
    .union(OFlag::O_DIRECTORY)
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_CLOEXEC);

/// A folder that is open.
pub(super) struct Folder {
    fd: OwnedFd,
    /// Where it was when it was opened, to show.
    path: PathBuf,
}

impl Folder {
    /// The folder at an absolute path.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let root = open_root(path)?;
        // What `open_root` gives can be walked from and no more.
        let fd = openat(&root, ".", INNER, Mode::empty())?;
        Ok(Self {
            fd,
            path: path.to_owned(),
        })
    }

    /// The folder at an absolute path; it and its parents are made where they are not there, and are on the disk when this returns.
    pub(super) fn make(path: &Path) -> io::Result<Self> {
        let (mut there, mut missing) = (path, Vec::new());
        let mut folder = loop {
            match (Self::open(there), there.file_name(), there.parent()) {
                (Ok(folder), ..) => break folder,
                (Err(error), Some(name), Some(parent))
                    if error.kind() == io::ErrorKind::NotFound =>
                {
                    missing.push(name);
                    there = parent;
                }
                (Err(error), ..) => return Err(error),
            }
        };
        for name in missing.into_iter().rev() {
            folder = folder.make_inner(name)?;
        }
        Ok(folder)
    }

    /// A folder in it; an error where a link is.
    pub(super) fn inner(&self, name: &OsStr) -> io::Result<Self> {
        Ok(Self {
            fd: openat(&self.fd, name, INNER, Mode::empty())?,
            path: self.path.join(name),
        })
    }

    /// The same, made if it is not there; then its name is on the disk when this returns.
    pub(super) fn make_inner(&self, name: &OsStr) -> io::Result<Self> {
        match mkdirat(&self.fd, name, Mode::from_bits_truncate(0o777)) {
            Ok(()) => self.sync()?,
            Err(Errno::EEXIST) => {}
            Err(error) => return Err(error.into()),
        }
        self.inner(name)
    }

    /// What is in it, in no order.
    pub(super) fn names(&self) -> io::Result<Vec<OsString>> {
        let mut dir = Dir::openat(&self.fd, ".", INNER, Mode::empty())?;
        let mut names = Vec::new();
        for entry in dir.iter() {
            let name = OsStr::from_bytes(entry?.file_name().to_bytes()).to_owned();
            if name != "." && name != ".." {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// What `name` in it is, which may be a link.
    pub(super) fn stat(&self, name: &OsStr) -> io::Result<FileStat> {
        Ok(fstatat(&self.fd, name, AtFlags::AT_SYMLINK_NOFOLLOW)?)
    }

    /// Removes `name` in it: a file, a link but not what it leads to, a folder with all that is in it. What is not there is no error.
    pub(super) fn remove(&self, name: &OsStr) -> Result<(), StorageError> {
        let remove = |how| match unlinkat(&self.fd, name, how) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(error) => Err(self.error(name, error)),
        };
        match self.stat(name) {
            Ok(stat) if kind_of(&stat) == SFlag::S_IFDIR => {
                let inner = self.inner(name).map_err(at(&self.path.join(name)))?;
                let names = inner.names().map_err(at(&inner.path))?;
                for name in names {
                    inner.remove(&name)?;
                }
                remove(UnlinkatFlags::RemoveDir)
            }
            _ => remove(UnlinkatFlags::NoRemoveDir),
        }
    }

    /// Removes the folder `name` in it, if that is empty.
    pub(super) fn remove_empty(&self, name: &OsStr) {
        let _ = unlinkat(&self.fd, name, UnlinkatFlags::RemoveDir);
    }

    /// Returns when the names in it are on the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        seam::allow(Call::Sync, || self.path.clone())?;
        // The library knows what a kernel takes to have it on the disk.
        File::from(self.fd.try_clone()?).sync_all()
    }

    /// Renames `old` in it to `new` in another; false if that name is taken.
    pub(super) fn rename(&self, old: &OsStr, to: &Self, new: &OsStr) -> Result<bool, StorageError> {
        let from = self.path.join(old);
        seam::allow(Call::Rename, || from.clone()).map_err(at(&from))?;
        match kernel::rename_new(&self.fd, Path::new(old), &to.fd, Path::new(new)) {
            Ok(()) => Ok(true),
            Err(Errno::EEXIST) => Ok(false),
            // A file system without the flag: look, then rename. The window between the two is the best there is.
            Err(Errno::EINVAL | Errno::ENOSYS) => match to.stat(new) {
                Ok(_) => Ok(false),
                Err(_) => match renameat(&self.fd, old, &to.fd, new) {
                    Ok(()) => Ok(true),
                    Err(error) => Err(to.error(new, error)),
                },
            },
            Err(error) => Err(self.error(old, error)),
        }
    }

    /// Copies `name` in it, a file or a folder with all that is in it, to the new name `copy` in another. All of it is on the disk when this
    /// returns, but for that name.
    pub(super) fn copy(&self, name: &OsStr, to: &Self, copy: &OsStr) -> Result<(), StorageError> {
        let (from, made) = (self.path.join(name), to.path.join(copy));
        let stat = self.stat(name).map_err(at(&from))?;
        match kind_of(&stat) {
            SFlag::S_IFDIR => {
                let inner = self.inner(name).map_err(at(&from))?;
                let copied = to.make_inner(copy).map_err(at(&made))?;
                for name in inner.names().map_err(at(&from))? {
                    inner.copy(&name, &copied, &name)?;
                }
                copied.sync().map_err(at(&made))
            }
            SFlag::S_IFREG => {
                let mut source =
                    open_in(&self.fd, Path::new(name), Access::Read).map_err(at(&from))?;
                let copying = to.new_file(copy).and_then(|mut file| {
                    seam::allow(Call::Write, || made.clone())?;
                    io::copy(&mut source, &mut file)?;
                    fchmod(&file, Mode::from_bits_truncate(stat.st_mode & 0o777))?;
                    seam::allow(Call::Sync, || made.clone())?;
                    file.sync_all()
                });
                copying.map_err(at(&made))
            }
            _ => Err(StorageError::Io {
                path: from,
                why: "neither a file nor a folder, it cannot be moved to another file system"
                    .into(),
            }),
        }
    }

    fn new_file(&self, name: &OsStr) -> io::Result<File> {
        let flags =
            OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mode = Mode::from_bits_truncate(0o600);
        Ok(openat(&self.fd, name, flags, mode)?.into())
    }

    fn error(&self, name: &OsStr, error: Errno) -> StorageError {
        StorageError::at(self.path.join(name), &error.into())
    }
}

fn kind_of(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    /// A folder with a folder that holds a link out of it, and what the link leads to.
    fn planted() -> (tempfile::TempDir, Folder, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let outside = dir.path().join("outside");
        fs::create_dir_all(outside.join("sub")).unwrap();
        fs::write(outside.join("sub/f"), "theirs").unwrap();
        let root = dir.path().join("root");
        fs::create_dir_all(root.join("top")).unwrap();
        fs::write(root.join("top/own"), "ours").unwrap();
        symlink(&outside, root.join("top/link")).unwrap();
        (dir, Folder::open(&root).unwrap(), outside)
    }

    #[test]
    fn a_link_is_removed_and_not_what_it_leads_to() {
        let (dir, root, outside) = planted();
        root.remove("top".as_ref()).unwrap();
        root.remove("gone".as_ref()).unwrap();
        assert!(!dir.path().join("root/top").exists());
        symlink(&outside, dir.path().join("root/top")).unwrap();
        root.remove("top".as_ref()).unwrap();
        assert_eq!(fs::read_to_string(outside.join("sub/f")).unwrap(), "theirs");
        assert!(root.names().unwrap().is_empty());
    }

    #[test]
    fn nothing_is_made_or_written_through_a_link() {
        let (dir, root, outside) = planted();
        let top = root.inner("top".as_ref()).unwrap();
        assert!(top.inner("link".as_ref()).is_err());
        assert!(top.make_inner("link".as_ref()).is_err());
        let other = Folder::make(&dir.path().join("new/folder")).unwrap();
        symlink(outside.join("sub/f"), dir.path().join("new/folder/f")).unwrap();
        symlink(outside.join("made"), dir.path().join("new/folder/dangling")).unwrap();
        for name in ["f", "dangling"] {
            assert!(top.copy("own".as_ref(), &other, name.as_ref()).is_err());
        }
        assert_eq!(fs::read_to_string(outside.join("sub/f")).unwrap(), "theirs");
        assert!(!outside.join("made").exists());
    }

    #[test]
    fn what_a_link_leads_to_is_not_copied() {
        let (dir, root, _) = planted();
        let error = root
            .copy("top".as_ref(), &root, "copy".as_ref())
            .unwrap_err();
        assert!(error.to_string().contains("link: neither"), "{error}");
        fs::remove_file(dir.path().join("root/top/link")).unwrap();
        root.remove("copy".as_ref()).unwrap();
        root.copy("top".as_ref(), &root, "copy".as_ref()).unwrap();
        let copied = fs::read_to_string(dir.path().join("root/copy/own"));
        assert_eq!(copied.unwrap(), "ours");
    }
}
