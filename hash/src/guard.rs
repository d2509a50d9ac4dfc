//! Survives files that shrink while their map is read.
//!
//! A load from a page that no longer lies within its file raises SIGBUS. This module has a table of the mapped ranges that
//! are being read, and a handler that looks the address up in it. If it is there, the handler lays a page of zeros over the
//! faulting one and marks the range: the read goes on, its result is worthless, and [`Guard::is_intact`] says so. If not, the
//! default action is restored and the program dies as it should: the bug is real.
//!
//! The handler must not take a lock, so the table is a fixed array of atomics; a range that finds no place is not mapped.

#![allow(unsafe_code, reason = "a signal handler, and what it does to maps")]

use std::{
    ops::Range,
    ptr,
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use nix::{
    errno::Errno,
    libc,
    sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction},
    unistd::{SysconfVar, sysconf},
};

/// One for each lane of 128 threads.
static TABLE: [Entry; 2048] = [const { Entry::free() }; 2048];

/// Entries that were ever used are below this: the handler need not look further.
static USED: AtomicUsize = AtomicUsize::new(0);

/// Size of a page in bytes, known before the handler is installed.
static PAGE: AtomicUsize = AtomicUsize::new(4096);

struct Entry {
    taken: AtomicBool,
    start: AtomicUsize,
    /// 0 while the entry holds no range. Written last when a range enters, first when it leaves.
    end: AtomicUsize,
    faulted: AtomicBool,
}

impl Entry {
    const fn free() -> Self {
        Self {
            taken: AtomicBool::new(false),
            start: AtomicUsize::new(0),
            end: AtomicUsize::new(0),
            faulted: AtomicBool::new(false),
        }
    }

    fn holds(&self, address: usize) -> bool {
        address < self.end.load(Ordering::Acquire) && address >= self.start.load(Ordering::Relaxed)
    }
}

/// Protects a range for as long as it lives. It must go before the map does.
pub(crate) struct Guard(&'static Entry);

impl Guard {
    /// Protects the addresses of a map. `None` if the table is full or the handler could not be installed.
    pub(crate) fn new(range: Range<usize>) -> Option<Self> {
        static INSTALLED: OnceLock<bool> = OnceLock::new();
        if !INSTALLED.get_or_init(install) {
            return None;
        }
        let (n, entry) = TABLE.iter().enumerate().find(|(_, entry)| {
            !entry.taken.load(Ordering::Relaxed) && !entry.taken.swap(true, Ordering::Acquire)
        })?;
        USED.fetch_max(n + 1, Ordering::Release);
        entry.faulted.store(false, Ordering::Relaxed);
        entry.start.store(range.start, Ordering::Relaxed);
        entry.end.store(range.end, Ordering::Release);
        Some(Self(entry))
    }

    /// Whether every byte read so far was the file's.
    pub(crate) fn is_intact(&self) -> bool {
        !self.0.faulted.load(Ordering::Acquire)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.end.store(0, Ordering::Release);
        self.0.taken.store(false, Ordering::Release);
    }
}

/// Installs the handler, and says whether that worked.
fn install() -> bool {
    if let Ok(Some(size)) = sysconf(SysconfVar::PAGE_SIZE)
        && let Ok(size) = usize::try_from(size)
    {
        PAGE.store(size, Ordering::Relaxed);
    }
    let action = SigAction::new(
        SigHandler::SigAction(on_bus_error),
        SaFlags::SA_SIGINFO | SaFlags::SA_ONSTACK,
        SigSet::empty(),
    );
    // SAFETY: the handler only loads and stores atomics and makes system calls that keep no state in user space.
    unsafe { sigaction(Signal::SIGBUS, &action) }.is_ok()
}

extern "C" fn on_bus_error(_: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    let errno = Errno::last_raw();
    // SAFETY: the kernel passes a valid `siginfo_t` to a handler installed with SA_SIGINFO.
    let address = unsafe { (*info).si_addr() } as usize;
    // SAFETY: as above.
    let from_kernel = unsafe { (*info).si_code } > 0;
    let used = USED.load(Ordering::Acquire);
    let entry = TABLE[..used].iter().find(|entry| entry.holds(address));
    match entry {
        Some(entry) if from_kernel && cover(address) => {
            entry.faulted.store(true, Ordering::Release);
        }
        _ => die(),
    }
    Errno::set_raw(errno);
}

/// Lays a page of zeros over the one at `address`, which lies in a range of the table.
fn cover(address: usize) -> bool {
    let page = PAGE.load(Ordering::Relaxed);
    // SAFETY: the page belongs to a map of ours, mapped to read, and ranges of the table are whole pages; its owner unmaps
    // it like the rest of the map. Nobody can hold a promise about its bytes: the file's are gone.
    let covered = unsafe {
        libc::mmap(
            ptr::without_provenance_mut(address & !(page - 1)),
            page,
            libc::PROT_READ,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED,
            -1,
            0,
        )
    };
    covered != libc::MAP_FAILED
}

/// Lets the signal do what it does by default: it is raised anew, and strikes when the handler returns.
fn die() {
    // SAFETY: both are async-signal-safe, and restoring the default is sound.
    unsafe {
        libc::signal(libc::SIGBUS, libc::SIG_DFL);
        libc::raise(libc::SIGBUS);
    }
}
