//! Writing past the page cache.
//!
//! A large write to the page cache costs more than its copy: pages to be found, kept in order, marked, and written to the disk later all the
//! same, from a cache that holds other things which somebody may want again. On file systems that are known to do it well (ext4 and XFS) the
//! part of a write that covers whole pages goes straight to the disk, out of a buffer that stays in the processor's cache and lies, where
//! the system has one, in one large page of memory, which the kernel hands to the disk as a whole; what is left at its ends goes through the
//! page cache. The kernel keeps the two apart: a read sees what was written last, however that was.
//!
//! A direct write takes until the disk has the bytes. So several threads write an item side by side, where through the page cache one is
//! enough; and a disk that takes long for each, as one with a moving head does, is written to through the page cache, where the kernel can
//! put what lies together in one row.
//!
//! When bytes may be called durable does not depend on any of this: a sync goes before, as ever.

use std::fs::File;
use std::io::{self, ErrorKind, IoSlice};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use memmap2::MmapMut;

use super::seam::{self, Call};
use super::tree::Opened;
use super::{kernel, lock};

/// Direct writes begin at multiples of this, in the file and in memory: of the sectors of nearly every disk. Those of others refuse.
const ALIGN: usize = 4096;

/// Bytes in one direct write at most.
const MOST: usize = 1024 * 1024;

/// The large pages of most processors, in bytes. With small ones a disk may take a write of [`MOST`] in two requests.
const LARGE_PAGE: usize = 2 * 1024 * 1024;

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
        let (mut slices, mut slice) = (pages.iter(), &[][..]);
        loop {
            buffer.clear();
            loop {
                slice = buffer.add(slice);
                if !slice.is_empty() {
                    break;
                }
                match slices.next() {
                    Some(next) => slice = next,
                    None => break,
                }
            }
            let bytes = buffer.bytes();
            let count = self.put(file, &path, bytes, offset + written as u64)?;
            written += count;
            if count < bytes.len() || bytes.is_empty() {
                return Ok(written);
            }
        }
    }

    fn put(
        &self,
        file: &File,
        path: impl Fn() -> PathBuf,
        bytes: &[u8],
        offset: u64,
    ) -> io::Result<usize> {
        let mut written = 0;
        while written < bytes.len() && written.is_multiple_of(ALIGN) {
            let most = seam::allow(Call::Write, &path)?;
            let rest = &bytes[written..];
            let len = rest.len().min(most) / ALIGN * ALIGN;
            if len == 0 {
                break;
            }
            let begun = Instant::now();
            match file.write_at(&rest[..len], offset + written as u64) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => {
                    written += count;
                    self.took(begun.elapsed(), Instant::now());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // A disk with larger sectors.
                Err(error) if error.kind() == ErrorKind::InvalidInput => {
                    *lock(&self.state) = State::Not(Instant::now() + AGAIN);
                    break;
                }
                Err(error) => return Err(error),
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

/// Where bytes are gathered for a direct write, at an address that it takes.
struct Buffer {
    map: MmapMut,
    start: usize,
    len: usize,
}

impl Buffer {
    fn new() -> io::Result<Self> {
        // So that a whole large page lies in it, wherever it begins. Only that one is ever touched.
        let map = MmapMut::map_anon(2 * LARGE_PAGE)?;
        kernel::use_large_pages(&map);
        let start = map.as_ptr().align_offset(LARGE_PAGE).min(LARGE_PAGE);
        Ok(Self { map, start, len: 0 })
    }

    fn clear(&mut self) {
        self.len = 0;
    }

    /// Takes as much of `slice` as there is room for, and gives the rest.
    fn add<'a>(&mut self, slice: &'a [u8]) -> &'a [u8] {
        let (taken, rest) = slice.split_at(slice.len().min(MOST - self.len));
        let at = self.start + self.len;
        self.map[at..at + taken.len()].copy_from_slice(taken);
        self.len += taken.len();
        rest
    }

    fn bytes(&self) -> &[u8] {
        &self.map[self.start..self.start + self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::super::seam::{Fault, Faults};
    use super::*;

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

    /// What became of a direct write of `len` bytes in slices of 10,000 at `offset` of a file with `fault` at its first call.
    fn written(fault: Option<Fault>, len: usize, offset: u64) -> io::Result<usize> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let mut options = File::options();
        let file = options.read(true).write(true).create_new(true).open(&path);
        let file = file.unwrap();
        let bytes: Vec<u8> = (0..len).map(|n| (n / 7) as u8).collect();
        let slices: Vec<IoSlice<'_>> = bytes.chunks(10_000).map(IoSlice::new).collect();
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
        for offset in [0, 5 * MOST as u64] {
            let count = written(None, len, offset).unwrap();
            assert!(matches!(written(Some(Fault::Short), len, offset), Ok(0)));
            // Where this file system is written to through the page cache, the caller does it all.
            if count > 0 {
                assert!(written(Some(Fault::Full), len, offset).is_err());
                assert!(written(Some(Fault::Broken), len, offset).is_err());
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
