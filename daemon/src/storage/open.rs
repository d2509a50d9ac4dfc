//! Opening files below a folder without ever leaving it.
//!
//! `openat2` does that in one call. Where the kernel lacks it, and where folders must be made, each component is opened on its own with
//! `O_NOFOLLOW`, relative to the one before. The root is the user's own path and may hold links.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Component, Path};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat, openat2};
use nix::sys::stat::{Mode, mkdirat};

const DIR: OFlag = OFlag::O_PATH
    .union(OFlag::O_DIRECTORY)
    .union(OFlag::O_CLOEXEC);

const ALWAYS: OFlag = OFlag::O_NOFOLLOW
    .union(OFlag::O_NONBLOCK)
    .union(OFlag::O_CLOEXEC);

/// What to do with the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Read it.
    Read,
    /// Read and write it; it and its folders are made if absent.
    Write,
}

/// Opens the regular file `rel` below `root`.
pub(crate) fn open_beneath(root: &Path, rel: &Path, access: Access) -> io::Result<File> {
    let opened = match access {
        Access::Read => open_there(root, rel, OFlag::O_RDONLY),
        Access::Write => {
            let flags = OFlag::O_RDWR | OFlag::O_CREAT;
            match open_there(root, rel, flags) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    open_by_walk(root, rel, flags, true)
                }
                opened => opened,
            }
        }
    };
    let file = File::from(opened?);
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a regular file",
        ))
    }
}

/// Opens a file whose folders are there.
fn open_there(root: &Path, rel: &Path, flags: OFlag) -> io::Result<OwnedFd> {
    let names = |component| matches!(component, Component::Normal(_));
    if rel.components().all(names) {
        let how = OpenHow::new()
            .flags(flags | ALWAYS)
            .mode(mode_of(flags))
            .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS);
        match openat2(open(root, DIR, Mode::empty())?, rel, how) {
            // Linux before 5.6, or a filter of system calls that does not know it.
            Err(Errno::ENOSYS | Errno::EPERM) => {}
            opened => return Ok(opened?),
        }
    }
    open_by_walk(root, rel, flags, false)
}

fn open_by_walk(root: &Path, rel: &Path, flags: OFlag, make: bool) -> io::Result<OwnedFd> {
    let (dir, name) = walk(root, rel, make)?;
    Ok(openat(&dir, name, flags | ALWAYS, mode_of(flags))?)
}

/// The mode of a file that is made; `openat2` refuses one where none is.
fn mode_of(flags: OFlag) -> Mode {
    match flags.contains(OFlag::O_CREAT) {
        true => Mode::from_bits_truncate(0o666),
        false => Mode::empty(),
    }
}

/// The folder of `rel` below `root`, and the last component.
fn walk<'a>(root: &Path, rel: &'a Path, make: bool) -> io::Result<(OwnedFd, &'a std::ffi::OsStr)> {
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
    fn the_walk_of_old_kernels_is_as_strict() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        std::fs::create_dir_all(root.join("a")).unwrap();
        std::fs::write(root.join("a/f"), "x").unwrap();
        symlink(root.join("a"), root.join("link")).unwrap();
        let walk = |rel: &str| open_by_walk(&root, Path::new(rel), OFlag::O_RDONLY, false);
        assert!(walk("a/f").is_ok());
        for rel in ["link/f", "a/../a/f", "../root/a/f", "/etc/passwd"] {
            assert!(walk(rel).is_err(), "{rel}");
        }
    }

    #[test]
    fn a_fifo_neither_blocks_nor_opens() {
        let dir = tempfile::tempdir().unwrap();
        nix::unistd::mkfifo(&dir.path().join("fifo"), Mode::S_IRWXU).unwrap();
        assert!(open_beneath(dir.path(), Path::new("fifo"), Access::Read).is_err());
    }
}
