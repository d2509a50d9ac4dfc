//! Memory that is free goes back to the system, but not at once.
//!
//! Blocks are read into buffers of up to 256 KiB that live for milliseconds. By default the allocator gives each back to the system and
//! takes fresh pages for the next one, which costs as much as the copy into it.
//!
//! The allocator keeps what was freed between things that stay: after a start with ten thousand items, or a long listing, more of it is
//! kept than is used. It gives it back when it is told to, and that is worth a few milliseconds once all work is done. All threads have one
//! heap: at the end of another than the first the allocator keeps what is free, told or not, and few calls are made at a time.

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
