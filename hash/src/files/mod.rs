//! Files to piece hashes.
//!
//! The files lie end to end and are cut into pieces (BEP 3). Each thread takes as many pieces at a time as the hasher has
//! lanes and advances them together, a chunk of each in turn, so that what was just read is hashed while it is in the
//! cache. Every lane has its own descriptor: the kernel sees each as one sequential reader and reads ahead for it, and
//! no more than threads times lanes are open, however many files there are. A piece that spans small files is gathered
//! in its lane's buffer, so that small files cost an open and a close and nothing else.

mod concat;
mod lane;
mod open;
mod pool;
mod window;

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use crate::{Digest, Hasher};
use concat::Concat;
use pool::{Outcome, Pool};

/// A file among those that are hashed, or a run of zeros that lies nowhere.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileSpec {
    /// Where the file is; `None` for padding, which is zeros and is not read (BEP 47).
    pub path: Option<PathBuf>,
    /// Its length in bytes.
    pub len: u64,
}

impl FileSpec {
    /// The file at `path`, of `len` bytes.
    pub fn new(path: impl Into<PathBuf>, len: u64) -> Self {
        Self {
            path: Some(path.into()),
            len,
        }
    }

    /// `len` zeros.
    pub fn zeros(len: u64) -> Self {
        Self { path: None, len }
    }
}

/// How files are read.
///
/// A copy into a buffer that stays in the cache costs about as much as the page table entries of a map, and cannot fault.
/// `cargo bench -p p2p-hash -- files`, 256 MiB in the page cache on ext4, two cores of AMD Zen 5, GiB/s: one thread
/// 5.4 to 6.1 by `pread` and 4.3 to 4.8 by map; two threads 5.3 to 10.3 and 3.4 to 6.3 on a machine that others used, too: there the
/// ranges overlap, and nothing is shown for two threads. So the automatic choice is `pread`, on every kind of storage: ahead on one
/// thread, and the only one that is safe over a network. Who finds otherwise on their machine chooses the map (`[hashing] io`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Io {
    /// `pread`; see above for what was measured, and what was not.
    #[default]
    Auto,
    /// By `pread` into a small buffer, always.
    Read,
    /// Through memory maps, where that is safe: large files on local file systems of Linux. Others by `pread`.
    Map,
}

/// Opens a file to read it; see [`Options::open`].
pub type OpenFn<'a> = dyn Fn(&Path) -> io::Result<File> + Sync + 'a;

/// How to hash. The default is right for most.
#[derive(Clone, Copy, Default)]
pub struct Options<'a> {
    /// Threads at work; 0 is one per core. Fewer are used when there is little to do or few descriptors may be open.
    pub threads: usize,
    /// How files are read.
    pub io: Io,
    /// What hashes.
    pub hasher: Hasher,
    /// How files are opened. Without it they are opened by their path, and a link as its last part is not followed.
    pub open: Option<&'a OpenFn<'a>>,
}

/// How far hashing is, for another thread to see, and a way to stop it.
#[derive(Debug, Default)]
pub struct Progress {
    bytes: AtomicU64,
    cancelled: AtomicBool,
}

impl Progress {
    /// At 0 bytes, not cancelled.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes hashed so far. Pieces that could not be read count as a whole.
    pub fn bytes_done(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Makes the hashing end soon, with [`HashError::Cancelled`].
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Whether [`cancel`](Self::cancel) was called.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// Why there are no hashes.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// A file could not be opened or read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file is not as long as was said, or changed while it was hashed. Its hashes are worth nothing; try again when it is at rest.
    #[error("{} changed while it was hashed", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// [`Progress::cancel`] was called.
    #[error("cancelled")]
    Cancelled,
    /// The files are longer than 2^64 bytes or give more than 2^31 - 1 pieces.
    #[error("the files are too long for this piece length; choose longer pieces")]
    TooLong,
}

/// The SHA-1 of every piece of `files`, laid end to end and cut into pieces of `piece_len` bytes; the last may be shorter (BEP 3).
///
/// The files are those of one moment: each is compared (device, inode, length, times) when it is opened and after its last
/// byte was read.
///
/// # Panics
///
/// If `piece_len` is 0.
pub fn hash_files(
    files: &[FileSpec],
    piece_len: u32,
    options: &Options<'_>,
    progress: &Progress,
) -> Result<Vec<Digest>, HashError> {
    let concat = Concat::new(files, piece_len)?;
    let mut digests = vec![[0; 20]; concat.pieces() as usize];
    Pool {
        concat: &concat,
        options,
        progress,
        tolerant: false,
    }
    .run(0..concat.pieces(), |piece, outcome| {
        if let Outcome::Hashed(digest) = outcome {
            digests[piece as usize] = digest;
        }
    })?;
    Ok(digests)
}

/// Whether each of `pieces` has the hash that `expected` says, told to `on_piece` as they are known, in any order, once each.
///
/// A piece is bad also if its file is missing, shorter, not a regular file or cannot be read; if there is
/// no such piece; or if `expected` has no hash for it. Errors are what says nothing about pieces: a file that
/// may not be opened, too many open files, [`HashError::Cancelled`].
///
/// # Panics
///
/// If `piece_len` is 0.
pub fn verify_files(
    files: &[FileSpec],
    piece_len: u32,
    expected: &[Digest],
    pieces: impl IntoIterator<Item = u32>,
    options: &Options<'_>,
    progress: &Progress,
    mut on_piece: impl FnMut(u32, bool) + Send,
) -> Result<(), HashError> {
    let concat = Concat::new(files, piece_len)?;
    Pool {
        concat: &concat,
        options,
        progress,
        tolerant: true,
    }
    .run(pieces, |piece, outcome| {
        let good = match outcome {
            Outcome::Hashed(digest) => expected.get(piece as usize) == Some(&digest),
            Outcome::Unreadable => false,
        };
        on_piece(piece, good);
    })
}

#[cfg(test)]
mod tests;
