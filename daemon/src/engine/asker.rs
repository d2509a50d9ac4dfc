//! Who asks for a change that may take longer than anybody waits.

use p2p_wire::control::{ErrorKind, Item};

use super::ops::Reply;
use crate::Fault;
use crate::storage::StorageError;

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
