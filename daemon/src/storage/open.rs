//! Opening files below a folder without ever leaving it.
//!
//! Each component is opened on its own with `O_NOFOLLOW`, relative to the one before: what `openat2` does with `RESOLVE_BENEATH |
//! RESOLVE_NO_SYMLINKS`, on every kernel, and the same walk can make missing folders. The root is the user's own path and may hold links.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Component, Path};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::{Mode, mkdirat};

const DIR: OFlag = OFlag::O_PATH
    .union(OFlag::O_DIRECTORY)
    .union(OFlag::O_CLOEXEC);

/// What to do with the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Read it.
    Read,
    /// Read and write it; it and its folders are made if absent.
    Write,
}

/// Opens the regular file `rel` below `root`.
pub(super) fn open_beneath(root: &Path, rel: &Path, access: Access) -> io::Result<File> {
    let (dir, name) = walk(root, rel, access == Access::Write)?;
    let flags = match access {
        Access::Read => OFlag::O_RDONLY,
        Access::Write => OFlag::O_RDWR | OFlag::O_CREAT,
    };
    let flags = flags | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let file = File::from(openat(&dir, name, flags, Mode::from_bits_truncate(0o666))?);
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a regular file",
        ))
    }
}

/// The folder of `rel` below `root`, and the last component.
pub(super) fn walk<'a>(
    root: &Path,
    rel: &'a Path,
    make: bool,
) -> io::Result<(OwnedFd, &'a std::ffi::OsStr)> {
    let escapes = || io::Error::new(io::ErrorKind::InvalidInput, "not a path below the folder");
    let name = rel.file_name().ok_or_else(escapes)?;
    if make {
        std::fs::create_dir_all(root)?;
    }
    let mut dir = open(root, DIR, Mode::empty())?;
    for component in rel.parent().unwrap_or(Path::new("")).components() {
        let Component::Normal(component) = component else {
            return Err(escapes());
        };
        if make {
            match mkdirat(&dir, component, Mode::from_bits_truncate(0o777)) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        dir = openat(&dir, component, DIR | OFlag::O_NOFOLLOW, Mode::empty())?;
    }
    Ok((dir, name))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn never_leaves_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        let outside = dir.path().join("outside");
        std::fs::create_dir_all(&outside).unwrap();
        std::fs::create_dir_all(&root).unwrap();
        std::fs::write(outside.join("f"), "x").unwrap();
        symlink(&outside, root.join("link")).unwrap();
        symlink(outside.join("f"), root.join("file")).unwrap();
        for rel in ["link/f", "file", "../outside/f", "/etc/passwd", ".."] {
            for access in [Access::Read, Access::Write] {
                let opened = open_beneath(&root, Path::new(rel), access);
                assert!(opened.is_err(), "{rel}");
            }
        }
        open_beneath(&root, Path::new("a/b/c"), Access::Write).unwrap();
        assert!(root.join("a/b/c").is_file());
    }

    #[test]
    fn a_fifo_neither_blocks_nor_opens() {
        let dir = tempfile::tempdir().unwrap();
        nix::unistd::mkfifo(&dir.path().join("fifo"), Mode::S_IRWXU).unwrap();
        assert!(open_beneath(dir.path(), Path::new("fifo"), Access::Read).is_err());
    }
}
