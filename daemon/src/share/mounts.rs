//! Tells when something was mounted or unmounted: no watch on a folder does.

use std::fs::File;
use std::io;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The kernel's list of mounts, which can be waited for (proc(5): a change is an event of priority).
pub(crate) struct Mounts(AsyncFd<File>);

impl Mounts {
    /// Watches from now on.
    #[allow(
        deprecated,
        reason = "what takes its place is unsafe, for types that may let their descriptor go; a file does not"
    )]
    pub(crate) fn watch() -> io::Result<Self> {
        let list = File::open("/proc/self/mountinfo")?;
        AsyncFd::with_interest(list, Interest::PRIORITY).map(Self)
    }

    /// Waits for a change.
    pub(crate) async fn changed(&self) {
        match self.0.ready(Interest::PRIORITY).await {
            Ok(mut news) => news.clear_ready(),
            // The runtime ends.
            Err(_) => std::future::pending().await,
        }
    }
}
