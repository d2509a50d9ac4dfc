//! Tells when something was mounted or unmounted: no watch on a folder does.

use std::io;

#[cfg(target_os = "linux")]
use tokio::io::{Interest, unix::AsyncFd};

/// The kernel's list of mounts, which can be waited for (proc(5): a change is an event of priority).
#[cfg(target_os = "linux")]
pub(crate) struct Mounts(AsyncFd<std::fs::File>);

#[cfg(target_os = "linux")]
impl Mounts {
    /// Watches from now on.
    #[allow(
        deprecated,
        reason = "what takes its place is unsafe, for types that may let their descriptor go; a file does not"
    )]
    pub(crate) fn watch() -> io::Result<Self> {
        let list = std::fs::File::open("/proc/self/mountinfo")?;
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

/// Only Linux has a list that can be waited for; elsewhere the rescan of a share finds out.
#[cfg(not(target_os = "linux"))]
pub(crate) enum Mounts {}

#[cfg(not(target_os = "linux"))]
impl Mounts {
    /// Says that it cannot be done.
    pub(crate) fn watch() -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Never called: there is none.
    pub(crate) async fn changed(&self) {
        match *self {}
    }
}
