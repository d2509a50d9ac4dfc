//! A part of a file, mapped to be read once.
//!
//! A window is small and short-lived: the address space and the resident memory of a hash do not grow with the file.

#![allow(unsafe_code, reason = "maps files, and files are not immutable")]

use std::{fs::File, io};

use memmap2::{Mmap, MmapOptions};

use crate::guard::Guard;

/// The most bytes one window shows.
const WINDOW: u64 = 1 << 20;

/// A mapped part of a file.
pub(super) struct Window {
    /// Before the map, so that it is dropped first.
    guard: Guard,
    map: Mmap,
    offset: u64,
}

impl Window {
    /// Maps the file from `offset` on as far as `end`, or as far as a window goes, and brings it into memory.
    ///
    /// `None` if there is no room in the table of guarded ranges; an error if the file ends before that.
    pub(super) fn new(file: &File, offset: u64, end: u64) -> io::Result<Option<Self>> {
        let len = (end - offset).min(WINDOW);
        if file.metadata()?.len() < offset + len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // SAFETY: another program may store into the file or truncate it, so what lies behind the slice may change. It is only
        // ever hashed: every byte is loaded and none is trusted, so that a change yields another hash and nothing else,
        // and the caller compares the file's stamp. Loads from beyond the end are the guard's.
        let map = unsafe {
            MmapOptions::new()
                .offset(offset)
                .len(len as usize)
                .populate()
                .map(file)?
        };
        // memmap2 maps whole pages, and shows what was asked for: a fault can only be in the pages that it shows part of.
        let start = map.as_ptr() as usize;
        let guard = Guard::new(start..start + map.len());
        Ok(guard.map(|guard| Self { guard, map, offset }))
    }

    /// The bytes at `offset` of the file, if the window shows them all.
    pub(super) fn get(&self, offset: u64, len: usize) -> Option<&[u8]> {
        let begin = usize::try_from(offset.checked_sub(self.offset)?).ok()?;
        self.map.get(begin..begin.checked_add(len)?)
    }

    /// Whether all that was read came from the file: nothing faulted, and the file has not been cut within a page of the window,
    /// where the rest reads as zeros.
    pub(super) fn is_intact(&self, file: &File) -> bool {
        let end = self.offset + self.map.len() as u64;
        self.guard.is_intact() && file.metadata().is_ok_and(|meta| meta.len() >= end)
    }
}

/// Whether a file may be read through a map: it lies on a local file system of Linux that is known to keep files in the page
/// cache. Over a network, or in FUSE, a page that cannot be had kills or stalls the reader where `pread` returns an error.
#[cfg(target_os = "linux")]
pub(super) fn is_mappable(file: &File) -> bool {
    use nix::sys::statfs::{
        BTRFS_SUPER_MAGIC, EXT4_SUPER_MAGIC, F2FS_SUPER_MAGIC, TMPFS_MAGIC, XFS_SUPER_MAGIC,
        fstatfs,
    };

    // ext2 and ext3 have the number of ext4.
    let local = [
        EXT4_SUPER_MAGIC,
        XFS_SUPER_MAGIC,
        BTRFS_SUPER_MAGIC,
        F2FS_SUPER_MAGIC,
        TMPFS_MAGIC,
    ];
    cfg!(target_pointer_width = "64")
        && fstatfs(file).is_ok_and(|fs| local.contains(&fs.filesystem_type()))
}

/// Whether a file may be read through a map.
#[cfg(not(target_os = "linux"))]
pub(super) fn is_mappable(_: &File) -> bool {
    false
}
