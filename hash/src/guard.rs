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

#[cfg(test)]
mod tests {
    use std::{env, fs::File, hint::black_box, os::unix::process::ExitStatusExt, process::Command};

    use memmap2::Mmap;

    use super::*;

    /// A map of three pages of ones, and its file.
    fn three_pages() -> (File, Mmap, usize) {
        let page = sysconf(SysconfVar::PAGE_SIZE).unwrap().unwrap() as usize;
        let mut file = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut file, &vec![1; 3 * page]).unwrap();
        // SAFETY: that the file changes under the map is what is tested; bytes are only compared.
        let map = unsafe { Mmap::map(&file) }.unwrap();
        (file, map, page)
    }

    fn addresses(map: &Mmap) -> Range<usize> {
        let start = map.as_ptr() as usize;
        start..start + map.len()
    }

    #[test]
    fn what_was_cut_off_reads_as_zeros_and_is_told() {
        let (file, map, page) = three_pages();
        let (_other_file, other, _) = three_pages();
        let guard = Guard::new(addresses(&map)).unwrap();
        let neighbour = Guard::new(addresses(&other)).unwrap();
        file.set_len(page as u64).unwrap();
        assert_eq!(black_box(&map)[0], 1);
        assert!(guard.is_intact());
        assert_eq!(black_box(&map)[2 * page + 5], 0);
        assert!(!guard.is_intact());
        assert!(neighbour.is_intact());
    }

    #[test]
    fn a_range_that_left_makes_room_for_a_clean_one() {
        let (file, map, page) = three_pages();
        let guard = Guard::new(addresses(&map)).unwrap();
        file.set_len(0).unwrap();
        assert_eq!(black_box(&map)[page], 0);
        drop(guard);
        assert!(Guard::new(addresses(&map)).unwrap().is_intact());
    }

    /// The test runs itself as a child, which dies.
    #[test]
    fn a_bus_error_outside_the_table_still_kills() {
        const CHILD: &str = "P2P_HASH_TEST_DIE";
        if env::var_os(CHILD).is_some() {
            let (_guarded_file, guarded, page) = three_pages();
            let _guard = Guard::new(addresses(&guarded)).unwrap();
            let (file, map, _) = three_pages();
            file.set_len(0).unwrap();
            let byte = black_box(&map)[page];
            panic!("read {byte} from a page that is not there");
        }
        let status = Command::new(env::current_exe().unwrap())
            .args([
                "--exact",
                "guard::tests::a_bus_error_outside_the_table_still_kills",
            ])
            .env(CHILD, "1")
            .output()
            .unwrap()
            .status;
        assert_eq!(status.signal(), Some(libc::SIGBUS), "{status}");
    }
}
