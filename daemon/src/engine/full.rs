//! Items that wait for space on a full disk.

use std::path::PathBuf;
use std::time::Duration;

use p2p_wire::InfoHash;
use tokio::time::Instant;

use super::registry::{Command, Registry, Slot};
use super::view;
use crate::storage::{Lane, free_space};

/// Between two looks whether a full disk has space again.
pub(super) const RETRY_FULL: Duration = Duration::from_secs(10);

impl Registry {
    pub(super) fn next_retry(&self) -> Option<Instant> {
        let faults = (self.full.iter()).filter_map(|item| self.rows.get(item)?.fault.as_ref());
        faults.filter_map(|fault| fault.retry).min()
    }

    pub(super) fn retry(&mut self) {
        let now = Instant::now();
        // A fault that is gone, or an item, needs no more looks.
        let rows = &self.rows;
        let waits = |item: &InfoHash| rows.get(item).is_some_and(|row| row.fault.is_some());
        self.full.retain(waits);
        for item in &self.full {
            let Some(row) = self.rows.get_mut(item) else {
                continue;
            };
            let Some(fault) = &mut row.fault else {
                continue;
            };
            if fault.retry.is_none_or(|at| at > now) {
                continue;
            }
            fault.retry = Some(now + RETRY_FULL);
            let Slot::Dormant(record) = &row.slot else {
                continue;
            };
            let (ctx, item) = (self.ctx.clone(), *item);
            let path: PathBuf = view::path(record);
            let held = record.have.count(record.layout.map_or(0, |l| l.pieces()));
            let held = u64::from(held) * record.layout.map_or(0, |l| l.piece_len()) as u64;
            // Room that was taken for files that are not written yet counts twice: better late than in vain.
            let needed = record.wanted_len.saturating_sub(held);
            let staged = view::stage(record, item).exists();
            tokio::spawn(async move {
                let free = ctx.disk.run(Lane::Sync, move || free_space(&path)).await;
                let least = ctx.config.min_free + if staged { 0 } else { needed };
                let there = free.is_ok_and(|free| free > least);
                if let Some(commands) = ctx.commands.upgrade() {
                    let _ = commands.send(Command::Space(item, there)).await;
                }
            });
        }
    }

    pub(super) fn space(&mut self, item: InfoHash, there: bool) {
        let Some(row) = self.rows.get_mut(&item).filter(|_| there) else {
            return;
        };
        if row
            .fault
            .as_ref()
            .is_some_and(|fault| fault.retry.is_some())
        {
            row.fault = None;
            self.full.remove(&item);
            if let Slot::Dormant(record) = &row.slot {
                let text = format!("{} goes on: there is space again", record.name);
                let name = Some(record.name.as_str());
                (self.ctx.events).emit("item.resumed", Some(item), name, text);
            }
            self.settle(item);
        }
    }
}
