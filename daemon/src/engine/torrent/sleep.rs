//! Going to sleep: what is under way ends, what was written is synced and recorded.
//!
//! The disk may take its time, and one that does not answer takes for ever. So questions are answered meanwhile.

use p2p_wire::control::ErrorKind;

use super::active::Active;
use super::{Command, Halt, Torrent};
use crate::storage::Lane;

/// Commands kept while an item goes to sleep, beside those that wait in its channel; further ones are dropped as if that were full.
const MAX_LEFTOVER: usize = 256;

impl Torrent {
    /// Waits for what is under way, syncs it and records it.
    pub(super) async fn settle(&mut self, active: &mut Active) {
        while !(active.keeping.writing == 0 && active.keeping.work.is_empty()) {
            let step = tokio::select! {
                () = active.inbox.ready() => self.disk_done(active).await,
                Some(work) = active.keeping.work.join_next() => match work {
                    Ok(work) => self.work_done(active, work).await,
                    Err(error) => Err(Halt::Fault(ErrorKind::Failed, error.to_string())),
                },
                Some(command) = self.commands.recv() => {
                    self.put_off(active, command);
                    Ok(())
                }
            };
            if let Err(halt) = step {
                tracing::debug!(item = %self.item, "while going to sleep: {halt:?}");
            }
        }
        if !self.record.is_complete() && !active.keeping.lost {
            let pieces = std::mem::take(&mut active.keeping.dirty);
            let tree = active.tree.clone();
            let files = tree.files_of(&pieces);
            let sync = move || {
                tree.sync(&files)?;
                tree.sync_folders(&files)?;
                Ok(tree.stamps())
            };
            let synced = active.tree.disk().run(Lane::Sync, sync);
            tokio::pin!(synced);
            let synced = loop {
                tokio::select! {
                    synced = &mut synced => break synced,
                    Some(command) = self.commands.recv() => self.put_off(active, command),
                }
            };
            match synced {
                Ok(stamps) => {
                    self.record_durable(active, pieces, Vec::new());
                    self.record.stamps = stamps;
                    self.record.clean = true;
                }
                Err(error) => tracing::warn!(item = %self.item, "cannot be synced: {error}"),
            }
        }
        self.ctx.store.put(self.item, &self.record);
    }

    /// A command while the item goes to sleep: what it need not be awake for is done, the rest is for its next life.
    fn put_off(&mut self, active: &mut Active, command: Command) {
        match command {
            Command::Ask(_) | Command::Set(..) | Command::Watch(_) | Command::Pause(_) => {
                // It ends already.
                let _ = self.command(active, command);
            }
            Command::Stop => {}
            Command::Trackers(_) => self.leftover.push(command),
            _ if self.leftover.len() < MAX_LEFTOVER => self.leftover.push(command),
            _ => {}
        }
    }
}
