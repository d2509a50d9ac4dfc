//! Writing past the page cache.
//!
//! A large write to the page cache costs more than its copy: pages to be found, kept in order, marked, and written to the disk later all the
//! same, from a cache that holds other things which somebody may want again. On file systems that are known to do it well (ext4 and XFS) the
//! part of a write that covers whole pages goes straight to the disk: from where it lies if that begins at a page of memory, else out of a
//! buffer that stays in the processor's cache (see [`Buffer`]); what is left at its ends goes through the page cache. The kernel keeps the two
//! apart: a read sees what was written last, however that was.
//!
//! A direct write takes until the disk has the bytes. So several threads write an item side by side, where through the page cache one is
//! enough; and a disk that takes long for each, as one with a moving head does, is written to through the page cache, where the kernel can
//! put what lies together in one row.
//!
//! When bytes may be called durable does not depend on any of this: a sync goes before, as ever.

use std::fs::File;
use std::io::{self, ErrorKind, IoSlice};
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::uio::pwritev;

use super::buffer::{ALIGN, Buffer, Pages};
use super::lock;
use super::seam::{self, Call};
use super::tree::Opened;

/// Bytes in a row that are worth direct writes.
pub(super) const LEAST: usize = 256 * 1024;

/// Threads that write one item at a time, when directly.
pub(super) const WRITERS: usize = 3;

/// A disk that takes longer for a direct write on average is slow. One with moving heads takes 10 to 20 ms, and twice or three times that when
/// several wait for it; flash takes a tenth of it.
const SLOW: Duration = Duration::from_millis(16);

/// Direct writes that the average goes over, roughly, and what one of them counts for at most: a disk that once had to wake up is not slow.
const OVER: u32 = 16;
const OUTLIER: Duration = Duration::from_millis(100);

/// A slow disk is tried again after so long.
const AGAIN: Duration = Duration::from_secs(60);

/// How direct writes do on one file system, and what they are made from.
#[derive(Default)]
pub(super) struct Direct {
    state: Mutex<State>,
    /// For the next writes: to take fresh memory for each costs more than the copy into it. As many as ever wrote at the same time, so never more than
    /// the file system has threads.
    buffers: Mutex<Vec<Buffer>>,
}

#[derive(Default)]
enum State {
    /// Nothing is known.
    #[default]
    Untried,
    /// One takes so long on average.
    Takes(Duration),
    /// The disk is slow, or does not do it: not before then.
    Not(Instant),
}

impl Direct {
    /// How many threads may write one item.
    pub(super) fn writers(&self) -> usize {
        match *lock(&self.state) {
            State::Takes(_) => WRITERS,
            State::Untried | State::Not(_) => 1,
        }
    }

    /// Writes the whole pages `pages`, in order from `offset` of `file` on, as far as that can be done past the page cache. Gives the number of
    /// bytes that were written; those behind them are for the caller to write.
    pub(super) fn write(
        &self,
        file: &Opened,
        path: impl Fn() -> PathBuf,
        pages: &[IoSlice<'_>],
        offset: u64,
    ) -> io::Result<usize> {
        if pages.is_empty() || !self.may_be_tried(Instant::now()) {
            return Ok(0);
        }
        let Some(file) = file.direct() else {
            return Ok(0);
        };
        let kept = lock(&self.buffers).pop();
        let Ok(mut buffer) = kept.map_or_else(Buffer::new, Ok) else {
            return Ok(0);
        };
        let written = self.write_from(&mut buffer, file, path, pages, offset);
        lock(&self.buffers).push(buffer);
        written
    }

    fn write_from(
        &self,
        buffer: &mut Buffer,
        file: &File,
        path: impl Fn() -> PathBuf,
        pages: &[IoSlice<'_>],
        offset: u64,
    ) -> io::Result<usize> {
        let mut written = 0;
        let mut pages = Pages::new(pages);
        loop {
            let row = buffer.row(&mut pages);
            let len: usize = row.iter().map(|part| part.len()).sum();
            let count = self.put(file, &path, row, offset + written as u64)?;
            written += count;
            if count < len || len == 0 {
                return Ok(written);
            }
        }
    }

    fn put(
        &self,
        file: &File,
        path: impl Fn() -> PathBuf,
        mut row: Vec<IoSlice<'_>>,
        offset: u64,
    ) -> io::Result<usize> {
        let (mut written, mut rest) = (0, &mut row[..]);
        while !rest.is_empty() && written % ALIGN == 0 {
            let most = seam::allow(Call::Write, &path)?;
            let short = [IoSlice::new(
                &rest[0][..rest[0].len().min(most / ALIGN * ALIGN)],
            )];
            let now = if most == usize::MAX { &*rest } else { &short };
            if now[0].is_empty() {
                break;
            }
            let at = i64::try_from(offset + written as u64);
            let at = at.map_err(|_| ErrorKind::FileTooLarge)?;
            let begun = Instant::now();
            match pwritev(file, now, at) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => {
                    written += count;
                    IoSlice::advance_slices(&mut rest, count);
                    self.took(begun.elapsed(), Instant::now());
                }
                Err(Errno::EINTR) => {}
                // A disk with larger sectors.
                Err(Errno::EINVAL) => {
                    *lock(&self.state) = State::Not(Instant::now() + AGAIN);
                    break;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(written)
    }

    /// Gives back the memory that is kept for the next writes.
    pub(super) fn rest(&self) {
        lock(&self.buffers).clear();
    }

    fn may_be_tried(&self, now: Instant) -> bool {
        match *lock(&self.state) {
            State::Not(until) => until <= now,
            State::Untried | State::Takes(_) => true,
        }
    }

    /// A direct write took so long.
    pub(super) fn took(&self, time: Duration, now: Instant) {
        let mut state = lock(&self.state);
        let mean = match *state {
            // It had begun before the others showed that the disk is slow.
            State::Not(until) if now < until => return,
            State::Takes(mean) => mean,
            State::Untried | State::Not(_) => Duration::ZERO,
        };
        let mean = mean - mean / OVER + time.min(OUTLIER) / OVER;
        *state = match mean > SLOW {
            true => State::Not(now + AGAIN),
            false => State::Takes(mean),
        };
    }
}

/// What of `len` bytes from `offset` of a file on is worth a direct write: how many are before its whole pages, and how many are in those. All
/// are before if none is.
pub(super) fn whole_pages(offset: u64, len: usize) -> (usize, usize) {
    let into = (offset % ALIGN as u64) as usize;
    let before = (ALIGN - into) % ALIGN;
    let pages = len.saturating_sub(before) / ALIGN * ALIGN;
    match pages >= LEAST {
        true => (before, pages),
        false => (len, 0),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::super::buffer::MOST;
    use super::super::seam::{Fault, Faults};
    use super::*;
    use crate::memory::large_pages;

    #[test]
    fn whole_pages_are_what_lies_between_the_ends() {
        let (page, least) = (ALIGN as u64, LEAST);
        assert_eq!(whole_pages(0, least), (0, least));
        assert_eq!(whole_pages(page * 7, least + 1), (0, least));
        assert_eq!(whole_pages(1, least), (least, 0), "too few");
        assert_eq!(whole_pages(1, least + ALIGN), (ALIGN - 1, least));
        assert_eq!(whole_pages(page - 1, least + 5000), (1, least + ALIGN));
        assert_eq!(whole_pages(u64::MAX, 0), (0, 0));
        assert_eq!(whole_pages(5, 7), (7, 0));
    }

    #[test]
    fn a_slow_disk_is_left_alone_for_a_while_and_one_slow_write_says_nothing() {
        let (direct, start) = (Direct::default(), Instant::now());
        let (quick, slow) = (Duration::from_millis(2), Duration::from_millis(40));
        assert_eq!(direct.writers(), 1, "not before one went well");
        direct.took(quick, start);
        assert_eq!(direct.writers(), WRITERS);
        direct.took(Duration::from_secs(9), start);
        assert!(direct.may_be_tried(start));
        (0..9).for_each(|_| direct.took(slow, start));
        assert!(!direct.may_be_tried(start));
        // One that was under way.
        direct.took(quick, start);
        assert!(!direct.may_be_tried(start) && direct.writers() == 1);
        assert!(direct.may_be_tried(start + AGAIN));
        direct.took(quick, start + AGAIN);
        assert!(direct.may_be_tried(start + AGAIN) && direct.writers() == WRITERS);
        // As fast as it is, for as long as it likes.
        (0..1000).for_each(|_| direct.took(quick, start));
        assert_eq!(direct.writers(), WRITERS);
    }

    /// What became of a direct write of `len` bytes in slices of `each` at `offset` of a file with `fault` at its first call.
    fn written(fault: Option<Fault>, len: usize, each: usize, offset: u64) -> io::Result<usize> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let mut options = File::options();
        let file = options.read(true).write(true).create_new(true).open(&path);
        let file = file.unwrap();
        let mut bytes = large_pages(len);
        (bytes.iter_mut().enumerate()).for_each(|(n, byte)| *byte = (n / 7) as u8);
        let slices: Vec<IoSlice<'_>> = bytes.chunks(each).map(IoSlice::new).collect();
        let _faults = Faults::new(dir.path(), fault.map(|fault| (1, fault)));
        let file = Opened::new(file)?;
        let direct = Direct::default();
        let count = direct.write(&file, || path.clone(), &slices, offset)?;
        let mut found = vec![0; count];
        file.read_exact_at(&mut found, offset).unwrap();
        assert!(
            found == bytes[..count],
            "{count} of {len} bytes at {offset}"
        );
        assert!(count == 0 || file.direct().is_some());
        if fault.is_none() && file.direct().is_some() {
            assert_eq!(count, len, "all of it can be");
        }
        Ok(count)
    }

    #[test]
    fn pages_arrive_and_whoever_cannot_write_them_says_so() {
        let len = 2 * MOST + 3 * ALIGN;
        for (each, offset) in [(10_000, 0), (10_000, 5 * MOST as u64), (16_384, 0)] {
            let count = written(None, len, each, offset).unwrap();
            let short = written(Some(Fault::Short), len, each, offset);
            assert!(matches!(short, Ok(0)));
            // Where this file system is written to through the page cache, the caller does it all.
            if count > 0 {
                assert!(written(Some(Fault::Full), len, each, offset).is_err());
                assert!(written(Some(Fault::Broken), len, each, offset).is_err());
            }
        }
    }

    #[test]
    fn memory_is_used_again_and_given_back_when_there_is_nothing_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let file = Opened::new(File::create_new(&path).unwrap()).unwrap();
        let direct = Direct::default();
        let kept = || lock(&direct.buffers).len();
        let bytes = vec![7; LEAST];
        for n in 0..8 {
            let slices = [IoSlice::new(&bytes)];
            let written = direct.write(&file, || path.clone(), &slices, n * LEAST as u64);
            written.unwrap();
        }
        assert_eq!(kept(), usize::from(file.direct().is_some()));
        direct.rest();
        assert_eq!(kept(), 0);
    }

    #[test]
    fn what_the_kernel_does_not_take_is_left_to_the_caller() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let file = Opened::new(File::create_new(&path).unwrap()).unwrap();
        let direct = Direct::default();
        let bytes = vec![7; LEAST];
        // No multiple of a page, so that the kernel refuses it.
        let slices = [IoSlice::new(&bytes)];
        let count = direct.write(&file, || path.clone(), &slices, 1);
        assert_eq!(count.unwrap(), 0);
        let was_asked = file.direct().is_some();
        assert_eq!(direct.may_be_tried(Instant::now()), !was_asked);
    }
}
