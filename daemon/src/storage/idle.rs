//! Work that gives way to all other work of the machine.

use nix::libc;

/// ioprio_set(2): this thread, and the class that gets the disk when nobody else wants it.
const WHO_PROCESS: libc::c_int = 1;
const CLASS_IDLE: libc::c_int = 3 << 13;

/// Gives the calling thread the lowest priority for the processor and the disk, as far as the system lets us.
pub(super) fn become_idle() {
    // SAFETY: both calls take integers and touch no memory of ours; 0 means the calling thread.
    let done = unsafe {
        libc::setpriority(libc::PRIO_PROCESS, 0, 19)
            | libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, CLASS_IDLE) as libc::c_int
    };
    if done != 0 {
        tracing::debug!("no idle priority: {}", std::io::Error::last_os_error());
    }
}
