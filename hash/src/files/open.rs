//! A file open for hashing, and whether it is still the file it was.

use std::{
    fs::{File, Metadata, OpenOptions},
    io,
    path::Path,
};

/// Opens a regular file to read it. A symbolic link is not followed, a FIFO does not block.
#[cfg(unix)]
pub(super) fn open(path: &Path) -> io::Result<File> {
    use nix::libc;
    use std::os::unix::fs::OpenOptionsExt as _;

    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
}

/// Opens a regular file to read it. Of a symbolic link the link itself is opened, which is no regular file.
#[cfg(windows)]
pub(super) fn open(path: &Path) -> io::Result<File> {
    use std::os::windows::fs::OpenOptionsExt as _;
    /// As in winbase.h.
    const FILE_FLAG_OPEN_REPARSE_POINT: u32 = 0x0020_0000;

    OpenOptions::new()
        .read(true)
        .custom_flags(FILE_FLAG_OPEN_REPARSE_POINT)
        .open(path)
}

/// Whether an error of opening a file says that there is none, or something else at its path.
#[cfg(unix)]
pub(super) fn is_absent(error: &io::Error) -> bool {
    use nix::libc;
    let absent = [libc::ENOENT, libc::ENOTDIR, libc::ELOOP, libc::ENXIO];
    error
        .raw_os_error()
        .is_some_and(|code| absent.contains(&code))
}

/// Whether an error of opening a file says that there is none.
#[cfg(windows)]
pub(super) fn is_absent(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}

/// Fills `buffer` with what stands at `offset` of a file; [`io::ErrorKind::UnexpectedEof`] if that is not enough.
#[cfg(unix)]
pub(super) fn read_exact_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, offset)
}

/// Fills `buffer` with what stands at `offset` of a file; [`io::ErrorKind::UnexpectedEof`] if that is not enough.
#[cfg(windows)]
pub(super) fn read_exact_at(file: &File, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
    use std::os::windows::fs::FileExt as _;
    while !buffer.is_empty() {
        match file.seek_read(buffer, offset) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => {
                buffer = buffer.get_mut(read..).unwrap_or_default();
                offset += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// What changes when a file's content may have changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Stamp {
    dev: u64,
    inode: u64,
    pub(super) len: u64,
    mtime: (i64, i64),
    ctime: (i64, i64),
}

impl Stamp {
    /// Of an open file; an error if it is not a regular one.
    pub(super) fn of(file: &File) -> io::Result<Self> {
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "not a regular file",
            ));
        }
        Ok(Self::from(&meta))
    }
}

#[cfg(unix)]
impl From<&Metadata> for Stamp {
    fn from(meta: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt as _;
        Self {
            dev: meta.dev(),
            inode: meta.ino(),
            len: meta.len(),
            mtime: (meta.mtime(), meta.mtime_nsec()),
            ctime: (meta.ctime(), meta.ctime_nsec()),
        }
    }
}

/// Windows keeps no time of the last change that a program could not set back, and tells a file's number only through calls of its own: a
/// file that is replaced by one of the same length and times passes for the same.
#[cfg(windows)]
impl From<&Metadata> for Stamp {
    fn from(meta: &Metadata) -> Self {
        use std::os::windows::fs::MetadataExt as _;
        let ticks = |time: u64| (time.cast_signed(), 0);
        Self {
            dev: 0,
            inode: 0,
            len: meta.file_size(),
            mtime: ticks(meta.last_write_time()),
            ctime: ticks(meta.creation_time()),
        }
    }
}
