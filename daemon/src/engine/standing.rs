//! Changes of items whose disk does not answer.
//!
//! What a disk has begun cannot be called back, and may take for ever. Who asked for it is told so, and so are all who wait for that item
//! behind it; what they asked for is not done later, when nobody expects it any more.

use std::path::Path;
use std::time::Duration;

use p2p_wire::InfoHash;
use tokio::time::sleep;

use super::Ctx;
use super::ops::{Op, disk_fault};
use super::registry::{Command, Registry};
use crate::storage::{Disk, StorageError};

/// A disk that has something to write and is done with nothing for so long does not answer, whatever it says: it does not write even 9 MB in a
/// second, if it has in hand the 256 MiB that one item may have unsynced. Tests wait for it, and write little.
const NOTHING_DONE: Duration = Duration::from_secs(if cfg!(test) { 8 } else { 30 });

/// How often that is looked at.
const LOOK: Duration = Duration::from_secs(2);

/// Work for an item that cannot be called back.
pub(super) struct Standing<'a> {
    pub(super) ctx: &'a Ctx,
    pub(super) item: InfoHash,
    pub(super) name: &'a str,
    /// What it works on.
    pub(super) paths: &'a [&'a Path],
    /// The disk that it writes to, if that is all that it does: a disk may tell what it holds and yet take nothing, such as a frozen one.
    pub(super) writes: Option<Disk>,
}

impl Standing<'_> {
    /// What `work` gives, however long it takes. While its disk does not answer, `told` hears of it and what waits for the item is refused,
    /// every few seconds.
    pub(super) async fn see_through<T>(
        &self,
        work: impl Future<Output = T>,
        mut told: impl FnMut(&StorageError),
    ) -> T {
        tokio::pin!(work);
        loop {
            let done = tokio::select! {
                biased;
                done = self.ctx.disks.while_answering(self.paths, &mut work) => done,
                late = self.is_late() => Err(late),
            };
            match done {
                Ok(done) => return done,
                Err(error @ StorageError::Stands { .. }) => {
                    told(&error);
                    if let Some(commands) = self.ctx.commands.upgrade() {
                        // Full: they are refused after the next look.
                        let stands = Command::Stands(self.item, self.name.to_owned(), error);
                        let _ = commands.try_send(stands);
                    }
                }
                // Whether it answers could not be asked: that says nothing of the disk.
                Err(error) => tracing::debug!(item = %self.item, "while its disk works: {error}"),
            }
        }
    }

    /// Returns when the disk was found to take nothing, after one look at least.
    async fn is_late(&self) -> StorageError {
        let stands = |disk: &Disk| disk.stands_for() >= NOTHING_DONE;
        loop {
            sleep(LOOK).await;
            if self.writes.as_ref().is_some_and(stands) {
                break;
            }
        }
        let path = self.paths.first().map(|path| path.to_path_buf());
        StorageError::Stands {
            path: path.unwrap_or_default(),
            why: ": what it was given is not written after a long time",
        }
    }
}

impl Registry {
    /// Refuses what waits for an item whose disk does not answer.
    pub(super) fn stands(&mut self, item: InfoHash, name: &str, error: &StorageError) {
        let Some(row) = self.rows.get_mut(&item) else {
            return;
        };
        for op in std::mem::take(&mut row.queue) {
            let what = match &op {
                Op::Pause(_) => format!("cannot pause {name}"),
                Op::Resume(_) => format!("cannot resume {name}"),
                Op::Verify(_) => format!("cannot verify {name}"),
                Op::Set(..) => format!("cannot change {name}"),
                Op::Remove(..) => format!("cannot remove {name}"),
                Op::MoveTo(dir, _) => format!("cannot move {name} to {}", dir.display()),
                // Nobody who waits for these can do anything about it.
                Op::Join(_) | Op::Relocate(..) => {
                    row.queue.push_back(op);
                    continue;
                }
            };
            let mut fault = disk_fault(&what, error);
            if matches!(op, Op::Pause(_)) {
                fault.fix =
                    "see that it answers, or unmount it (`umount -f`), and try again".into();
            }
            op.refuse(fault);
        }
    }
}
