//! Changes of items whose disk does not answer.
//!
//! What a disk has begun cannot be called back, and may take for ever. Who asked for it is told so, and so are all who wait for that item
//! behind it; what they asked for is not done later, when nobody expects it any more.

use std::path::Path;
use std::time::Duration;

use p2p_wire::InfoHash;
use p2p_wire::control::{ErrorKind, Item};
use tokio::time::timeout;

use super::Ctx;
use super::ops::{Op, Reply, disk_fault};
use super::registry::{Command, Registry};
use crate::Fault;
use crate::storage::StorageError;

/// Work for an item that cannot be called back.
pub(super) struct Standing<'a> {
    pub(super) ctx: &'a Ctx,
    pub(super) item: InfoHash,
    pub(super) name: &'a str,
    /// What it works on.
    pub(super) paths: &'a [&'a Path],
    /// How long it may take on a disk that works, if that can be said: a disk may tell what it holds and yet take nothing, such as a frozen one.
    pub(super) most: Option<Duration>,
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
            let done = self.ctx.disks.while_answering(self.paths, &mut work);
            let done = match self.most {
                Some(most) => timeout(most, done)
                    .await
                    .unwrap_or_else(|_| Err(self.is_late())),
                None => done.await,
            };
            match done {
                Ok(done) => return done,
                Err(error) => {
                    told(&error);
                    if let Some(commands) = self.ctx.commands.upgrade() {
                        // Full: they are refused after the next look.
                        let stands = Command::Stands(self.item, self.name.to_owned(), error);
                        let _ = commands.try_send(stands);
                    }
                }
            }
        }
    }

    fn is_late(&self) -> StorageError {
        let path = self.paths.first().map(|path| path.to_path_buf());
        StorageError::Stands {
            path: path.unwrap_or_default(),
            why: ": what it was given is not written after a long time",
        }
    }
}

/// Who asked for a change, and is answered once.
pub(super) struct Asker {
    /// What cannot be done, if it cannot.
    pub(super) what: String,
    reply: Option<Reply>,
}

impl Asker {
    pub(super) fn new(what: String, reply: Reply) -> Self {
        let reply = Some(reply);
        Self { what, reply }
    }

    /// Counts if it is the first.
    pub(super) fn answer(&mut self, answer: Result<Item, Fault>) {
        match (self.reply.take(), answer) {
            // An answer that nobody waits for is thrown away.
            (Some(reply), answer) => drop(reply.send(answer)),
            (None, Err(fault)) => tracing::warn!("{fault}"),
            (None, Ok(_)) => {}
        }
    }

    /// It was begun, and the disk does not answer.
    pub(super) fn must_wait(&mut self, error: &StorageError) {
        let why = format!("{error}; it was begun");
        let fix = "it goes on by itself when the disk answers; unmount a disk that is gone for good (`umount -f`)";
        self.answer(Err(Fault::new(ErrorKind::Disk, &self.what, why, fix)));
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
            op.refuse(disk_fault(&what, error));
        }
    }
}
