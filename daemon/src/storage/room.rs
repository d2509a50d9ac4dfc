//! Making the files of an item, with room on the disk for what is to come.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Mutex;

use nix::errno::Errno;
use nix::sys::statvfs::statvfs;

use super::seam::{self, Call};
use super::side_by_side::side_by_side;
use super::tree::Held;
use super::{StorageError, Tree, kernel, lock};
use crate::engine::FileStamp;

/// What there is of a file.
struct Found {
    index: usize,
    stamp: Option<FileStamp>,
    /// Bytes that it takes on the disk.
    held: u64,
}

impl Tree {
    /// Makes the wanted files at their full length and keeps room for them; `min_free` bytes must stay free besides. No more than `most`
    /// bytes are still to be written, whatever a file system that compresses says of what the files take. Gives what each file is then, as
    /// [`Tree::stamps`] does. [`StorageError::Full`] without enough space, and then nothing was taken.
    pub fn prepare(
        &self,
        wanted: &[bool],
        most: u64,
        min_free: u64,
    ) -> Result<Vec<Option<FileStamp>>, StorageError> {
        let files = self.info.files();
        let is_wanted = |index: usize| wanted.get(index).copied().unwrap_or(true);
        let roots = Held::default();
        let held = (0..files.len()).filter(|index| !files[*index].padding);
        let mut found = side_by_side(&held.collect::<Vec<_>>(), |index| {
            match self.find(&roots, *index) {
                // Unwanted parts are made when they come.
                Err(_) if !is_wanted(*index) => Ok(Found::nothing(*index)),
                found => found,
            }
        })?;
        found.sort_unstable_by_key(|found| found.index);
        let (mut stamps, mut todo) = (vec![None; files.len()], Vec::new());
        let mut missing = 0u64;
        for found in found {
            let len = files[found.index].len;
            let lacks = len.saturating_sub(found.held);
            let is_whole = lacks == 0 && found.stamp.is_some_and(|stamp| stamp.size == len);
            if is_wanted(found.index) && !is_whole {
                missing = missing.saturating_add(lacks);
                todo.push(found.index);
            }
            stamps[found.index] = found.stamp;
        }
        if let Some(first) = todo.first() {
            self.check_space(*first, missing.min(most), min_free)?;
        }
        let made = Mutex::new(Vec::with_capacity(todo.len()));
        let prepared = side_by_side(&todo, |index| self.keep_room(&roots, *index, &made));
        match prepared {
            Ok(prepared) => {
                for (index, stamp) in prepared {
                    stamps[index] = Some(stamp);
                }
                Ok(stamps)
            }
            Err(error) => {
                // A call that fails keeps what it took so far.
                for (index, before) in lock(&made).drain(..) {
                    let _ = self.file(index).and_then(|file| file.set_len(before));
                    self.disk().pace.got_on();
                }
                Err(error)
            }
        }
    }

    fn find(&self, roots: &Held, index: usize) -> Result<Found, StorageError> {
        let found = match self.open_to_read(roots, index) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Found::nothing(index)),
            opened => opened.and_then(|file| {
                let meta = file.metadata()?;
                Ok(Found {
                    index,
                    stamp: Some(file.stamp_of(&meta)),
                    held: meta.blocks().saturating_mul(512),
                })
            }),
        };
        self.disk().pace.got_on();
        found.map_err(|error| StorageError::at(self.path(index), &error))
    }

    /// Makes a file at its length. `made`: the files, with the length that each had before.
    fn keep_room(
        &self,
        roots: &Held,
        index: usize,
        made: &Mutex<Vec<(usize, u64)>>,
    ) -> Result<(usize, FileStamp), StorageError> {
        let path = || self.path(index);
        let stamp = self.file_among(roots, index).and_then(|file| {
            // Not kept open: an item may have more files than a process may have open.
            lock(made).push((index, file.metadata()?.len()));
            seam::allow(Call::Allocate, path)?;
            let meta = allocate(&file, self.info.files()[index].len)?;
            Ok(file.stamp_of(&meta))
        });
        self.disk().pace.got_on();
        let stamp = stamp.map_err(|error| StorageError::at(path(), &error))?;
        Ok((index, stamp))
    }

    fn check_space(&self, first: usize, missing: u64, min_free: u64) -> Result<(), StorageError> {
        let path = self.path(first);
        let free = free_space(&path)?;
        if free >= missing.saturating_add(min_free) {
            return Ok(());
        }
        let text = |bytes: u64| p2p_wire::units::Size(bytes).to_string();
        Err(StorageError::Full(format!(
            "{} needed and {} to stay free, {} free at {}",
            text(missing),
            text(min_free),
            text(free),
            path.parent().unwrap_or(&path).display()
        )))
    }
}

impl Found {
    fn nothing(index: usize) -> Self {
        Self {
            index,
            stamp: None,
            held: 0,
        }
    }
}

/// Bytes free for us on the file system that `path`, or its nearest parent that exists, lies on.
pub fn free_space(path: &Path) -> Result<u64, StorageError> {
    seam::touch(path);
    let there = path.ancestors().find(|path| path.exists());
    let there = there.unwrap_or(Path::new("/"));
    let stat = statvfs(there).map_err(|error| StorageError::at(there, &error.into()))?;
    Ok(stat.blocks_available() as u64 * stat.fragment_size() as u64)
}

/// Gives a file its length and, where the file system can, its room on the disk. What it is then.
fn allocate(file: &File, len: u64) -> io::Result<Metadata> {
    if len > 0 {
        match kernel::keep_room(file, len) {
            Ok(()) => {}
            // Not every file system can: the file stays sparse.
            Err(Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EINVAL) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let meta = file.metadata()?;
    if meta.len() == len {
        return Ok(meta);
    }
    file.set_len(len)?;
    file.metadata()
}
