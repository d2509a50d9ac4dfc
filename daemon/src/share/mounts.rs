//! Tells when something was mounted or unmounted: a folder that is mounted over, or whose disk is taken away, gives no event of its own.

use std::fs::File;
use std::io;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The system's list of mounts.
pub(super) struct Mounts(AsyncFd<File>);

impl Mounts {
    pub(super) fn open() -> io::Result<Self> {
        let list = File::open("/proc/self/mountinfo")?;
        Ok(Self(AsyncFd::with_interest(list, Interest::PRIORITY)?))
    }

    /// Waits until the list changes.
    pub(super) async fn changed(&self) -> io::Result<()> {
        // See poll(2) of proc(5): a change is an exceptional condition, and asking for it ends it.
        self.0.ready(Interest::PRIORITY).await?.clear_ready();
        Ok(())
    }
}
