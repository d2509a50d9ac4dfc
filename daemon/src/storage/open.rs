//! Opening files below a folder without ever leaving it.
//!
//! `openat2` does that in one call. Where the kernel lacks it, and where folders must be made, each component is opened on its own with
//! `O_NOFOLLOW`, relative to the one before.
//!
//! The root is a path that was judged when it was named, with the rights of who named it, and is used later with those of the daemon. So on
//! the way to it a link is followed only where root or the daemon's own user made it: any other may have come since.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Component, Path};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, open, openat};
use nix::sys::stat::{Mode, SFlag, fstat, mkdirat};
use nix::unistd::{UnlinkatFlags, geteuid, unlinkat};

use super::folder::Folder;
use super::kernel::{ANY, DIR, open_unlinked, target};
use super::seam;

const ALWAYS: OFlag = OFlag::O_NOFOLLOW
    .union(OFlag::O_NONBLOCK)
    .union(OFlag::O_CLOEXEC);

/// Links on the way to a root before it is taken for a circle, as in the kernel.
const MAX_LINKS: usize = 40;

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
    open_in(&root_for(root, access)?, rel, access)
}

/// Opens the folder at an absolute path, to open what is below it; with [`Access::Write`] it is made if absent.
pub(super) fn root_for(path: &Path, access: Access) -> io::Result<OwnedFd> {
    match open_root(path) {
        Err(error) if access == Access::Write && error.kind() == io::ErrorKind::NotFound => {
            Folder::make(path)?;
            open_root(path)
        }
        opened => opened,
    }
}

/// Opens the regular file `rel` below the folder `root`.
pub(crate) fn open_in(root: &OwnedFd, rel: &Path, access: Access) -> io::Result<File> {
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

/// Removes the file `rel` below `root`, and the folders between them that are empty then. What is not there is no error.
pub(super) fn remove_beneath(root: &Path, rel: &Path) -> io::Result<()> {
    let root = match open_root(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        root => root?,
    };
    let mut path = rel;
    let mut is_file = true;
    while !path.as_os_str().is_empty() {
        let how = match is_file {
            true => UnlinkatFlags::NoRemoveDir,
            false => UnlinkatFlags::RemoveDir,
        };
        let removed = walk(&root, path, false)
            .and_then(|(dir, name)| unlinkat(&dir, name, how).map_err(io::Error::from));
        match removed {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if is_file => return Err(error),
            // A folder with something else in it stays, as it should.
            Err(_) => break,
            Ok(()) => {}
        }
        is_file = false;
        path = path.parent().unwrap_or(Path::new(""));
    }
    Ok(())
}

/// Opens the folder at an absolute path. Fails with a permission error at a link that another user made.
pub(super) fn open_root(path: &Path) -> io::Result<OwnedFd> {
    seam::touch(path);
    match open_unlinked(AT_FDCWD, path, DIR, Mode::empty(), false) {
        Err(Errno::ELOOP | Errno::ENOSYS | Errno::EPERM) => by_trusted_links(path),
        opened => Ok(opened?),
    }
}

fn by_trusted_links(path: &Path) -> io::Result<OwnedFd> {
    let mut here = open("/", DIR, Mode::empty())?;
    let (mut todo, mut links) = (path.to_owned(), 0);
    loop {
        let mut components = todo.components();
        let Some(component) = components.next() else {
            // Fails with ENOTDIR where a file is.
            return Ok(openat(&here, ".", DIR, Mode::empty())?);
        };
        let rest = components.as_path().to_owned();
        let next = match component {
            Component::RootDir => open("/", DIR, Mode::empty())?,
            Component::CurDir => openat(&here, ".", DIR, Mode::empty())?,
            Component::ParentDir => openat(&here, "..", DIR, Mode::empty())?,
            Component::Normal(name) => openat(&here, name, ANY, Mode::empty())?,
            Component::Prefix(_) => return Err(io::ErrorKind::InvalidInput.into()),
        };
        let stat = fstat(&next)?;
        if SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) != SFlag::S_IFLNK {
            (here, todo) = (next, rest);
            continue;
        }
        links += 1;
        if links > MAX_LINKS {
            return Err(Errno::ELOOP.into());
        }
        if stat.st_uid != 0 && stat.st_uid != geteuid().as_raw() {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "a link of another user is in the path",
            ));
        }
        todo = target(&next, &here, component.as_os_str())?.join(rest);
    }
}

/// Opens a file whose folders are there.
fn open_there(root: &OwnedFd, rel: &Path, flags: OFlag) -> io::Result<OwnedFd> {
    let names = |component| matches!(component, Component::Normal(_));
    if rel.components().all(names) {
        match open_unlinked(root, rel, flags | ALWAYS, mode_of(flags), true) {
            // Linux before 5.6, or a filter of system calls that does not know it; other systems.
            Err(Errno::ENOSYS | Errno::EPERM) => {}
            opened => return Ok(opened?),
        }
    }
    open_by_walk(root, rel, flags, false)
}

fn open_by_walk(root: &OwnedFd, rel: &Path, flags: OFlag, make: bool) -> io::Result<OwnedFd> {
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
fn walk<'a>(
    root: &OwnedFd,
    rel: &'a Path,
    make: bool,
) -> io::Result<(OwnedFd, &'a std::ffi::OsStr)> {
    let escapes = || io::Error::new(io::ErrorKind::InvalidInput, "not a path below the folder");
    let name = rel.file_name().ok_or_else(escapes)?;
    let mut dir = root.try_clone()?;
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
        let walk =
            |rel: &str| open_by_walk(&open_root(&root)?, Path::new(rel), OFlag::O_RDONLY, false);
        assert!(walk("a/f").is_ok());
        for rel in ["link/f", "a/../a/f", "../root/a/f", "/etc/passwd"] {
            assert!(walk(rel).is_err(), "{rel}");
        }
    }

    #[test]
    fn on_the_way_to_the_folder_only_links_of_ours_and_roots_are_followed() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().canonicalize().unwrap();
        let (real, link, other) = (top.join("real"), top.join("link"), top.join("up/other"));
        std::fs::create_dir_all(top.join("up")).unwrap();
        std::fs::create_dir_all(real.join("d")).unwrap();
        std::fs::write(real.join("d/f"), "x").unwrap();
        symlink("up/../real", &link).unwrap();
        symlink(&link, &other).unwrap();
        let opened = |root: &Path| open_beneath(&root.join("d"), Path::new("f"), Access::Read);
        for root in [&real, &link, &other] {
            assert!(opened(root).is_ok(), "{root:?}");
        }
        let circle = top.join("circle");
        symlink(&circle, &circle).unwrap();
        assert!(opened(&circle).is_err());
        let gone = opened(&top.join("none")).unwrap_err();
        assert_eq!(gone.kind(), io::ErrorKind::NotFound);
        if !geteuid().is_root() {
            return;
        }
        std::os::unix::fs::lchown(&link, Some(1_234), Some(1_234)).unwrap();
        for root in [&link, &other] {
            let error = opened(root).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{root:?}");
            let removed = remove_beneath(&root.join("d"), Path::new("f"));
            assert!(removed.is_err() && real.join("d/f").exists());
        }
    }

    #[test]
    fn only_the_file_and_folders_that_are_empty_are_removed_and_no_link_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        std::fs::create_dir_all(root.join("top/a/b")).unwrap();
        std::fs::create_dir_all(dir.path().join("outside")).unwrap();
        std::fs::write(dir.path().join("outside/f"), "x").unwrap();
        for file in ["top/a/b/f", "top/a/other"] {
            std::fs::write(root.join(file), "x").unwrap();
        }
        symlink(dir.path().join("outside"), root.join("top/link")).unwrap();
        assert!(remove_beneath(&root, Path::new("top/link/f")).is_err());
        assert!(dir.path().join("outside/f").exists());
        remove_beneath(&root, Path::new("top/a/b/f")).unwrap();
        assert!(!root.join("top/a/b").exists() && root.join("top/a/other").exists());
        std::fs::remove_file(root.join("top/link")).unwrap();
        remove_beneath(&root, Path::new("top/a/other")).unwrap();
        assert!(!root.join("top").exists() && root.exists());
        remove_beneath(&root, Path::new("top/gone/f")).unwrap();
    }

    #[test]
    fn a_fifo_neither_blocks_nor_opens() {
        let dir = tempfile::tempdir().unwrap();
        nix::unistd::mkfifo(&dir.path().join("fifo"), Mode::S_IRWXU).unwrap();
        assert!(open_beneath(dir.path(), Path::new("fifo"), Access::Read).is_err());
    }
}
