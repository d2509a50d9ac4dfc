//! Whether somebody has a file open for writing.

use std::fs::File;

/// True if a process has `file` open for writing; false if none has, or if that cannot be told: a read lease is granted to the owner of a
/// file alone, and not on every file system.
#[cfg(target_os = "linux")]
pub(crate) fn has_writer(file: &File) -> bool {
    use std::os::fd::AsRawFd as _;

    use nix::libc;

    /// fcntl(2), the same on every architecture; libc does not name it.
    const F_SETSIG: libc::c_int = 10;

    let fd = file.as_raw_fd();
    // A writer that comes while the lease is held makes the kernel signal us. The default, SIGIO, ends a process; SIGURG is ignored.
    // SAFETY: fcntl with integer arguments on a descriptor that `file` keeps open touches no memory of ours.
    let granted = unsafe {
        if libc::fcntl(fd, F_SETSIG, libc::SIGURG) < 0 {
            return false;
        }
        libc::fcntl(fd, libc::F_SETLEASE, libc::F_RDLCK)
    };
    if granted < 0 {
        return std::io::Error::last_os_error().kind() == std::io::ErrorKind::WouldBlock;
    }
    // SAFETY: as above.
    unsafe { libc::fcntl(fd, libc::F_SETLEASE, libc::F_UNLCK) };
    false
}

/// False: only Linux tells. What is written to is then known by its times alone, which settle.
#[cfg(not(target_os = "linux"))]
pub(crate) fn has_writer(_: &File) -> bool {
    false
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_writer_is_seen_until_it_closes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let writer = File::create(&path).unwrap();
        let reader = File::open(&path).unwrap();
        assert!(has_writer(&reader));
        drop(writer);
        assert!(!has_writer(&reader));
    }
}
