//! Memory that is free goes back to the system, but not at once; and memory in large pages.
//!
//! Blocks are read into buffers of up to 256 KiB that live for milliseconds. By default the allocator gives each back to the system and
//! takes fresh pages for the next one, which costs as much as the copy into it.
//!
//! The allocator keeps what was freed between things that stay: after a start with ten thousand items, or a long listing, more of it is
//! kept than is used. It gives it back when it is told to, and that is worth a few milliseconds once all work is done. All threads have one
//! heap: at the end of another than the first the allocator keeps what is free, told or not, and few calls are made at a time.
//!
//! What goes to a disk as it lies is kept apart from all that, in large pages.

#[cfg(target_os = "linux")]
use std::ptr::NonNull;

use bytes::BytesMut;

/// What the allocator may keep of what was freed, in bytes: the buffers of a fetch at full speed.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const KEPT: i32 = 64 << 20;

/// Has the allocator keep what is freed, until [`give_back`] or until it is much. Once, at the start.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code, reason = "a call into the C library")]
pub(crate) fn keep() {
    use nix::libc::{M_ARENA_MAX, M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, mallopt};
    // SAFETY: it takes no pointer and sets numbers that the allocator reads under its own lock.
    unsafe {
        mallopt(M_ARENA_MAX, 1);
        mallopt(M_TRIM_THRESHOLD, KEPT);
        mallopt(M_MMAP_THRESHOLD, KEPT / 4);
    }
}

/// Has the allocator keep what is freed, where the C library can.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn keep() {}

/// Gives free memory back, where the C library can.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code, reason = "a call into the C library")]
pub(crate) fn give_back() {
    // SAFETY: it takes no pointer, locks the allocator by itself, and moves nothing that is in use.
    unsafe { nix::libc::malloc_trim(0) };
}

/// Gives free memory back, where the C library can.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn give_back() {}

/// The large pages of most processors, in bytes.
pub(crate) const LARGE_PAGE: usize = 2 << 20;

/// `len` bytes from the begin of a large page on, in large pages where the system has any: zeros, for which it gives memory when they are used.
pub(crate) fn large_pages(len: usize) -> BytesMut {
    let mut memory = BytesMut::zeroed(len + LARGE_PAGE);
    let before = memory.as_ptr().align_offset(LARGE_PAGE);
    let mut pages = memory.split_off(before.min(LARGE_PAGE));
    pages.truncate(len);
    use_large_pages(&mut pages);
    pages
}

/// Has this memory lie in large pages, where the system can be told so.
#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "advice has no safe interface")]
pub(crate) fn use_large_pages(memory: &mut [u8]) {
    use nix::sys::mman::{MmapAdvise, madvise};
    let Some(start) = NonNull::new(memory.as_mut_ptr().cast()) else {
        return;
    };
    // SAFETY: the range is ours alone, and the advice changes neither what is in it nor what may be done with it.
    let _ = unsafe { madvise(start, memory.len(), MmapAdvise::MADV_HUGEPAGE) };
}

/// The system cannot be told so.
#[cfg(not(target_os = "linux"))]
pub(crate) fn use_large_pages(_: &mut [u8]) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_pages_are_as_long_as_was_asked_aligned_and_zeros_that_may_be_written() {
        for len in [LARGE_PAGE, 8 * LARGE_PAGE, 5000] {
            let mut pages = large_pages(len);
            assert_eq!(pages.len(), len);
            assert!(pages.as_ptr().addr().is_multiple_of(LARGE_PAGE));
            assert!(pages.iter().all(|byte| *byte == 0));
            pages.fill(7);
            let rest = pages.split_off(len / 2);
            drop(pages);
            assert!(rest.iter().all(|byte| *byte == 7));
        }
    }
}
