//! What a scan finds at a path: the files of an entry, and the digest that tells whether they changed.

use std::collections::HashMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::sys::statvfs::statvfs;

use crate::engine::FileStamp;

/// An entry as it looks from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Of path, file system, inode, size and times of all files: the same as long as nothing changed.
    pub(crate) stamp: [u8; 20],
    /// The same without what a rename changes.
    pub(crate) content: [u8; 20],
    /// Bytes.
    pub(crate) size: u64,
    /// The newest modification, in ns since 1970.
    pub(crate) mtime_ns: i128,
    /// The newest change of any kind, in ns since 1970.
    pub(crate) ctime_ns: i128,
}

/// The files of an entry, in the order of their hashes.
#[derive(Debug, Default)]
pub(crate) struct Files {
    /// Whether the entry is a folder.
    pub(crate) is_folder: bool,
    pub(crate) files: Vec<FoundFile>,
}

/// A file of an entry.
#[derive(Debug)]
pub(crate) struct FoundFile {
    /// Names below the entry; empty for a lone file.
    pub(crate) names: Vec<String>,
    pub(crate) path: PathBuf,
    pub(crate) stamp: FileStamp,
}

impl Files {
    /// Bytes in all.
    pub(crate) fn size(&self) -> u64 {
        self.files
            .iter()
            .fold(0, |sum, file| sum.saturating_add(file.stamp.size))
    }

    /// What tells whether the entry changed.
    pub(crate) fn seen(&self) -> Seen {
        let (mut stamp, mut content) = (vec![u8::from(self.is_folder)], Vec::new());
        for file in &self.files {
            let FileStamp {
                file_system,
                inode,
                size,
                mtime_ns,
                ctime_ns,
            } = file.stamp;
            for name in &file.names {
                content.extend_from_slice(name.as_bytes());
                content.push(b'/');
            }
            content.extend_from_slice(&file_system.to_be_bytes());
            content.extend_from_slice(&inode.to_be_bytes());
            content.extend_from_slice(&size.to_be_bytes());
            content.extend_from_slice(&mtime_ns.to_be_bytes());
            stamp.extend_from_slice(&ctime_ns.to_be_bytes());
        }
        stamp.extend_from_slice(&content);
        let mut digests = [[0; 20]; 2];
        p2p_hash::sha1_many(&[&stamp, &content], &mut digests);
        let newest = |time: fn(&FoundFile) -> i128| self.files.iter().map(time).max();
        Seen {
            stamp: digests[0],
            content: digests[1],
            size: self.size(),
            mtime_ns: newest(|file| file.stamp.mtime_ns).unwrap_or_default(),
            ctime_ns: newest(|file| file.stamp.ctime_ns).unwrap_or_default(),
        }
    }
}

/// Which file system each device is, asked once for each: during one look nothing is mounted in the place of another.
#[derive(Debug, Default)]
pub(super) struct FileSystems(HashMap<u64, u64>);

impl FileSystems {
    /// The identity of the file at `path`; `None` when it is gone.
    pub(super) fn stamp(&mut self, path: &Path, meta: &Metadata) -> Option<FileStamp> {
        let known = self.0.get(&meta.dev()).copied();
        let file_system = match known {
            Some(id) => id,
            None => statvfs(path).ok()?.filesystem_id(),
        };
        self.0.insert(meta.dev(), file_system);
        Some(FileStamp::new(file_system, meta))
    }
}

/// The order of a torrent's files: by the bytes of their paths joined with `/`.
pub(super) fn joined(names: &[String]) -> impl Iterator<Item = u8> + '_ {
    names
        .iter()
        .enumerate()
        .flat_map(|(i, name)| (i > 0).then_some(b'/').into_iter().chain(name.bytes()))
}
