//! What storage asks of a kernel, where kernels differ: Linux, and what macOS has instead.
//!
//! Linux resolves a whole path in one call that follows no link (`openat2`) and holds folders and links that it may not read (`O_PATH`).
//! macOS has neither: there a folder on the way must be readable, and the callers go component by component, as on a Linux that is too old.
//! What a kernel cannot do is told by `ENOSYS`, or by `false`; no function here does less than it says.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, readlinkat};
use nix::sys::stat::Mode;

/// To hold a folder.
#[cfg(target_os = "linux")]
pub(crate) const DIR: OFlag = OFlag::O_PATH
    .union(OFlag::O_DIRECTORY)
    .union(OFlag::O_CLOEXEC);
/// To hold a folder.
#[cfg(not(target_os = "linux"))]
pub(crate) const DIR: OFlag = OFlag::O_DIRECTORY.union(OFlag::O_CLOEXEC);

/// To hold whatever has a name, a link included.
#[cfg(target_os = "linux")]
pub(super) const ANY: OFlag = OFlag::O_PATH
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_CLOEXEC);
/// To hold whatever has a name, a link included, without waiting for it.
#[cfg(not(target_os = "linux"))]
pub(super) const ANY: OFlag = OFlag::from_bits_retain(nix::libc::O_SYMLINK)
    .union(OFlag::O_NONBLOCK)
    .union(OFlag::O_NOCTTY)
    .union(OFlag::O_CLOEXEC);

/// Opens `path` from the folder `dir` in one call that follows no link on all of the way and, with `beneath`, does not leave that folder.
/// `ENOSYS` where the kernel has no such call.
#[cfg(target_os = "linux")]
pub(crate) fn open_unlinked(
    dir: impl AsFd,
    path: &Path,
    flags: OFlag,
    mode: Mode,
    beneath: bool,
) -> nix::Result<OwnedFd> {
    use nix::fcntl::{OpenHow, ResolveFlag, openat2};
    let mut resolve = ResolveFlag::RESOLVE_NO_SYMLINKS;
    resolve.set(ResolveFlag::RESOLVE_BENEATH, beneath);
    let how = OpenHow::new().flags(flags).mode(mode).resolve(resolve);
    openat2(dir, path, how)
}

/// `ENOSYS`: the kernel cannot do it in one call.
#[cfg(not(target_os = "linux"))]
pub(crate) fn open_unlinked(
    _: impl AsFd,
    _: &Path,
    _: OFlag,
    _: Mode,
    _: bool,
) -> nix::Result<OwnedFd> {
    Err(Errno::ENOSYS)
}

/// Where the link `held`, which is `name` in the folder `dir`, leads.
#[cfg(target_os = "linux")]
pub(super) fn target(held: &OwnedFd, _: &OwnedFd, _: &OsStr) -> io::Result<PathBuf> {
    Ok(readlinkat(held, "")?.into())
}

/// Where the link `name` in the folder `dir` leads. It is read by its name, so where others may put another link there it is not followed.
#[cfg(not(target_os = "linux"))]
pub(super) fn target(_: &OwnedFd, dir: &OwnedFd, name: &OsStr) -> io::Result<PathBuf> {
    use nix::sys::stat::fstat;
    let folder = fstat(dir)?;
    let in_our_hands = folder.st_uid == 0 || folder.st_uid == nix::unistd::geteuid().as_raw();
    if !in_our_hands || folder.st_mode & 0o022 != 0 {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "a link in a folder that others may write to is in the path",
        ));
    }
    Ok(readlinkat(dir, name)?.into())
}

/// Renames into a name that is free; `EEXIST` if it is not, `EINVAL` or `ENOSYS` if the file system cannot tell.
#[cfg(target_os = "linux")]
pub(super) fn rename_new(from: &OwnedFd, old: &Path, to: &OwnedFd, new: &Path) -> nix::Result<()> {
    use nix::fcntl::{RenameFlags, renameat2};
    renameat2(from, old, to, new, RenameFlags::RENAME_NOREPLACE)
}

/// Renames into a name that is free; `EEXIST` if it is not, `EINVAL` or `ENOSYS` if the file system cannot tell.
#[cfg(target_os = "macos")]
pub(super) fn rename_new(from: &OwnedFd, old: &Path, to: &OwnedFd, new: &Path) -> nix::Result<()> {
    use rustix::fs::{RenameFlags, renameat_with};
    renameat_with(from, old, to, new, RenameFlags::NOREPLACE).map_err(errno)
}

/// Gives a file at least `len` bytes with room on the disk for them; `EOPNOTSUPP`, `ENOSYS` or `EINVAL` where that cannot be done.
#[cfg(target_os = "linux")]
pub(super) fn keep_room(file: &File, len: u64) -> nix::Result<()> {
    use nix::fcntl::{FallocateFlags, fallocate};
    let end = i64::try_from(len).map_err(|_| Errno::EFBIG)?;
    fallocate(file, FallocateFlags::empty(), 0, end)
}

/// Gives a new file `len` bytes with room on the disk for them. `ENOSYS` where that cannot be done, and for a file that has something
/// already: macOS adds the room behind that.
#[cfg(target_os = "macos")]
pub(super) fn keep_room(file: &File, len: u64) -> nix::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate, fstat};
    let stat = fstat(file).map_err(errno)?;
    if stat.st_size != 0 || stat.st_blocks != 0 {
        return Err(Errno::ENOSYS);
    }
    fallocate(file, FallocateFlags::empty(), 0, len).map_err(errno)
}

/// Whether a file lies on a file system that is known to do direct writes well. Others fall back to the page cache, or keep no promise about
/// what is read meanwhile.
#[cfg(target_os = "linux")]
pub(super) fn is_good_at_direct(file: &File) -> bool {
    use nix::sys::statfs::{FsType, fstatfs};
    const EXT4: FsType = FsType(0xef53);
    const XFS: FsType = FsType(0x5846_5342);
    fstatfs(file).is_ok_and(|fs| [EXT4, XFS].contains(&fs.filesystem_type()))
}

/// False: the system has other means for that.
#[cfg(not(target_os = "linux"))]
pub(super) fn is_good_at_direct(_: &File) -> bool {
    false
}

/// The same file, opened to be written past the page cache; `None` where that cannot be done.
#[cfg(target_os = "linux")]
pub(super) fn open_direct(file: &File) -> Option<File> {
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::OpenOptionsExt;
    // Not by its name, which may be another file's by now.
    let same = format!("/proc/self/fd/{}", file.as_raw_fd());
    let flags = OFlag::O_DIRECT.bits();
    let mut options = File::options();
    options.write(true).custom_flags(flags).open(same).ok()
}

/// `None`: the system has other means for that.
#[cfg(not(target_os = "linux"))]
pub(super) fn open_direct(_: &File) -> Option<File> {
    None
}

/// Whoever reads from this file gets what is asked for, and nothing behind it is read ahead, where the system can be told so.
#[cfg(target_os = "linux")]
pub(super) fn read_no_further(file: &File) {
    use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
    // Advice: without it more is read, and nothing else changes.
    let _ = posix_fadvise(file, 0, 0, PosixFadviseAdvice::POSIX_FADV_RANDOM);
}

/// The system cannot be told so.
#[cfg(not(target_os = "linux"))]
pub(super) fn read_no_further(_: &File) {}

/// These bytes of the file are about to be read, and may be read from the disk at once, where the system can be told so.
#[cfg(target_os = "linux")]
pub(super) fn read_soon(file: &File, offset: u64, len: u64) {
    use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
    let (Ok(offset), Ok(len)) = (i64::try_from(offset), i64::try_from(len)) else {
        return;
    };
    // Advice: without it they are read in smaller parts, and nothing else changes.
    let _ = posix_fadvise(file, offset, len, PosixFadviseAdvice::POSIX_FADV_WILLNEED);
}

/// The system cannot be told so.
#[cfg(not(target_os = "linux"))]
pub(super) fn read_soon(_: &File, _: u64, _: u64) {}

/// A pipe for at least `len` bytes in pages: where to read and where to write. `ENOSYS` where pages cannot go through one.
#[cfg(target_os = "linux")]
pub(super) fn pipe(len: usize) -> nix::Result<(OwnedFd, OwnedFd)> {
    use nix::fcntl::{FcntlArg, fcntl};
    let (out, into) = nix::unistd::pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
    let len = i32::try_from(len).map_err(|_| Errno::EINVAL)?;
    fcntl(&into, FcntlArg::F_SETPIPE_SZ(len))?;
    Ok((out, into))
}

/// `ENOSYS`: pages cannot go through one.
#[cfg(not(target_os = "linux"))]
pub(super) fn pipe(_: usize) -> nix::Result<(OwnedFd, OwnedFd)> {
    Err(Errno::ENOSYS)
}

/// Puts pages of a file into a pipe, and gives the number of bytes; reads them from the disk if need be. `EAGAIN`: the pipe is full.
#[cfg(target_os = "linux")]
pub(super) fn splice_from_file(
    file: &File,
    offset: u64,
    into: impl AsFd,
    len: usize,
) -> nix::Result<usize> {
    use nix::fcntl::{SpliceFFlags, splice};
    let mut at = i64::try_from(offset).map_err(|_| Errno::EFBIG)?;
    splice(file, Some(&mut at), into, None, len, SpliceFFlags::empty())
}

/// `ENOSYS`.
#[cfg(not(target_os = "linux"))]
pub(super) fn splice_from_file(_: &File, _: u64, _: impl AsFd, _: usize) -> nix::Result<usize> {
    Err(Errno::ENOSYS)
}

/// Sends bytes out of a pipe without waiting, as many as the socket takes; with `more` it may wait for what comes right after.
#[cfg(target_os = "linux")]
pub(super) fn splice_to_socket(
    out: impl AsFd,
    socket: impl AsFd,
    len: usize,
    more: bool,
) -> nix::Result<usize> {
    use nix::fcntl::{SpliceFFlags, splice};
    let mut flags = SpliceFFlags::SPLICE_F_NONBLOCK;
    flags.set(SpliceFFlags::SPLICE_F_MORE, more);
    splice(out, None, socket, None, len, flags)
}

/// `ENOSYS`.
#[cfg(not(target_os = "linux"))]
pub(super) fn splice_to_socket(
    _: impl AsFd,
    _: impl AsFd,
    _: usize,
    _: bool,
) -> nix::Result<usize> {
    Err(Errno::ENOSYS)
}

/// Drops what is in memory of a file, all of which is on the disk; false where the system has no call for that.
#[cfg(target_os = "linux")]
pub(super) fn forget_cached(file: &File) -> bool {
    use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
    // A file system that cannot do it keeps no cache of its own, or is none that loses writes.
    let _ = posix_fadvise(file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
    true
}

/// False: the system has no call for that.
#[cfg(not(target_os = "linux"))]
pub(super) fn forget_cached(_: &File) -> bool {
    false
}

/// The same error, with the one number for what cannot be done.
#[cfg(target_os = "macos")]
fn errno(error: rustix::io::Errno) -> Errno {
    match Errno::from_raw(error.raw_os_error()) {
        Errno::ENOTSUP => Errno::ENOSYS,
        other => other,
    }
}
