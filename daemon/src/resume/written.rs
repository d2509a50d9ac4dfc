//! The log of pieces that were written and are not yet recorded as durable.
//!
//! A piece's number is appended, without a sync, once its bytes are written. The database records the piece as durable up to a second
//! later. After a mere kill the page cache has both the bytes and the log, so the pieces named here and not in the record are hashed
//! from disk at the next start instead of fetched again. The log is a hint: every piece in it is hashed before it is believed, so a torn
//! or stale entry costs a read and nothing else.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use p2p_wire::InfoHash;

/// Longest log that is read, in bytes: 4 for each piece of the largest torrent.
const MAX_LEN: u64 = 64 * 1024 * 1024;

/// An item's log, open for appending.
#[derive(Debug)]
pub struct WrittenLog {
    file: File,
}

impl WrittenLog {
    /// Opens or makes the log of `item` below the state folder.
    pub fn open(state_dir: &Path, item: InfoHash) -> io::Result<Self> {
        let path = path_of(state_dir, item);
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir)?;
        }
        let file = File::options().append(true).create(true).open(&path)?;
        Ok(Self { file })
    }

    /// Appends pieces that were just written.
    pub fn append(&self, pieces: &[u32]) -> io::Result<()> {
        let bytes: Vec<u8> = pieces.iter().flat_map(|p| p.to_be_bytes()).collect();
        (&self.file).write_all(&bytes)
    }
}

/// The pieces in the log of `item`, in the order they were written; nothing if there is none.
pub fn read(state_dir: &Path, item: InfoHash) -> io::Result<Vec<u32>> {
    let mut bytes = Vec::new();
    match File::open(path_of(state_dir, item)) {
        Ok(file) => file.take(MAX_LEN).read_to_end(&mut bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let (numbers, _torn) = bytes.as_chunks::<4>();
    Ok(numbers.iter().map(|n| u32::from_be_bytes(*n)).collect())
}

/// Removes the log of `item` if there is one.
pub fn forget(state_dir: &Path, item: InfoHash) -> io::Result<()> {
    match fs::remove_file(path_of(state_dir, item)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn path_of(state_dir: &Path, item: InfoHash) -> PathBuf {
    state_dir.join("written").join(item.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_last_entry_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let item = InfoHash([7; 20]);
        assert!(read(dir.path(), item).unwrap().is_empty());
        let log = WrittenLog::open(dir.path(), item).unwrap();
        log.append(&[1, 2]).unwrap();
        log.append(&[900]).unwrap();
        (&log.file).write_all(&[0, 0]).unwrap();
        assert_eq!(read(dir.path(), item).unwrap(), [1, 2, 900]);
        forget(dir.path(), item).unwrap();
        forget(dir.path(), item).unwrap();
        assert!(read(dir.path(), item).unwrap().is_empty());
    }
}
