//! Memory that is free goes back to the system.
//!
//! The allocator keeps what was freed between things that stay: after a start with ten thousand items, or a long listing, more of it is
//! kept than is used. It gives it back when it is told to, and that is worth a few milliseconds once all work is done.

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
