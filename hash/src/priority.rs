//! Work that can wait.

#![allow(unsafe_code, reason = "system calls without a safe interface")]

/// Lets this thread, and those it starts from now on, stand back behind others: for the CPU (nice 10) and for the disk (best effort, lowest
/// priority, as long as the scheduler of the disk knows priorities). Not the idle class, which may starve for as long as others are busy.
/// Where that is refused or unknown, the thread stays as it is.
pub fn stand_back() {
    #[cfg(target_os = "linux")]
    {
        use nix::libc;
        const NICE: libc::c_int = 10;
        const WHO_PROCESS: libc::c_int = 1;
        const BEST_EFFORT_LOWEST: libc::c_int = (2 << 13) | 7;
        const IDLE: libc::c_long = 3;
        // SAFETY: numbers in, a number out. On Linux both mean the calling thread alone, and a new thread inherits them.
        unsafe {
            // Never forward: who started the program may have put it further back.
            if libc::getpriority(libc::PRIO_PROCESS, 0) < NICE {
                libc::setpriority(libc::PRIO_PROCESS, 0, NICE);
            }
            if libc::syscall(libc::SYS_ioprio_get, WHO_PROCESS, 0) >> 13 != IDLE {
                libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, BEST_EFFORT_LOWEST);
            }
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::thread;

    use nix::libc;

    fn priorities() -> (libc::c_int, libc::c_long) {
        // SAFETY: as above.
        unsafe {
            (
                libc::getpriority(libc::PRIO_PROCESS, 0),
                libc::syscall(libc::SYS_ioprio_get, 1, 0),
            )
        }
    }

    #[test]
    fn who_stands_further_back_stays_there() {
        let behind = thread::spawn(|| {
            // SAFETY: as above.
            unsafe {
                libc::setpriority(libc::PRIO_PROCESS, 0, 15);
                libc::syscall(libc::SYS_ioprio_set, 1, 0, 3 << 13);
            }
            let before = priorities();
            super::stand_back();
            (before, priorities())
        });
        let (before, after) = behind.join().unwrap();
        assert_eq!(before, after);
    }

    #[test]
    fn a_thread_that_stands_back_and_those_it_starts_are_behind_and_no_other() {
        let before = priorities();
        let behind = thread::spawn(|| {
            super::stand_back();
            let below = thread::spawn(priorities).join().unwrap();
            (priorities(), below)
        });
        let (own, below) = behind.join().unwrap();
        assert_eq!(own, (before.0.max(10), (2 << 13) | 7));
        assert_eq!(below, own);
        assert_eq!(priorities(), before);
    }
}
