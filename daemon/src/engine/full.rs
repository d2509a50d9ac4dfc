//! Items that wait for space on a full disk.

use std::path::PathBuf;
use std::time::Duration;

use p2p_wire::InfoHash;
use tokio::time::Instant;

use super::registry::{Command, Registry};
use super::row::Slot;
use super::view;
use crate::resume::Record;
use crate::storage::{Lane, allocated, free_space};

/// Between two looks whether a full disk has space again.
const RETRY_FULL: Duration = Duration::from_secs(10);

/// Between two looks at a disk that does not answer the first.
const NO_ANSWER: Duration = Duration::from_secs(24 * 3600);

/// How often the wait doubles at most.
const DOUBLINGS: u8 = 5;

/// How long an item waits whose disk was full again, before a piece more was on it, after there had seemed to be space, `again` times: a
/// quota is not to be seen in what a file system has free, and each attempt is an event, and a hook.
pub(super) fn wait(again: u8) -> Duration {
    RETRY_FULL * 2u32.pow(again.min(DOUBLINGS).into())
}

/// Pieces that the record claims.
pub(super) fn held(record: &Record) -> u32 {
    let pieces = record.layout.map_or(0, |layout| layout.pieces());
    record.have.count(pieces)
}

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
        self.tell_disk();
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
            let Slot::Dormant(record) = &row.slot else {
                continue;
            };
            // Not again before the answer is there: the disk may never give it.
            fault.retry = Some(now + NO_ANSWER);
            let (ctx, item) = (self.ctx.clone(), *item);
            let home = view::home(&record.site).to_owned();
            let path: PathBuf = view::path(record);
            let len = record.wanted_len;
            let stage = view::stage(record, item);
            // In place, and where an item is repaired, nothing is staged: what is good there needs no room.
            let lacking = record.layout.map_or(len, |layout| {
                let good = u64::from(held(record));
                len.saturating_sub(good * u64::from(layout.piece_len()))
            });
            tokio::spawn(async move {
                let min_free = ctx.config.min_free;
                let look = move || {
                    let needed = len.saturating_sub(allocated(&stage)).min(lacking);
                    let least = min_free.saturating_add(needed);
                    Ok(free_space(&path)? >= least)
                };
                let there = match ctx.disks.at(&home).await {
                    Ok(disk) => disk.run(Lane::Sync, look).await.unwrap_or(false),
                    Err(_) => false,
                };
                if let Some(commands) = ctx.commands.upgrade() {
                    let _ = commands.send(Command::Space(item, there)).await;
                }
            });
        }
    }

    pub(super) fn space(&mut self, item: InfoHash, there: bool) {
        let Some(row) = self.rows.get_mut(&item) else {
            return;
        };
        let waits = row.fault.as_mut().and_then(|fault| fault.retry.as_mut());
        let Some(retry) = waits else {
            return;
        };
        *retry = Instant::now() + RETRY_FULL;
        if there {
            row.fault = None;
            row.full_again = row.full_again.saturating_add(1);
            self.full.remove(&item);
            if let Slot::Dormant(record) = &row.slot {
                row.full_had = held(record);
                let text = format!("{} goes on: there is space again", record.name);
                let name = Some(record.name.as_str());
                (self.ctx.events).emit("item.resumed", Some(item), name, text);
            }
            self.settle(item);
            self.tell_disk();
        }
    }

    /// An item whose fault was taken away, or that is gone, waits for no space.
    pub(super) fn stop_waiting(&mut self, item: InfoHash) {
        let fault = self.rows.get(&item).and_then(|row| row.fault.as_ref());
        if fault.is_none() && self.full.remove(&item) {
            self.tell_disk();
        }
    }

    /// Says that items wait for space, once, and when none does any more.
    pub(super) fn tell_disk(&mut self) {
        let low = !self.full.is_empty();
        if std::mem::replace(&mut self.disk_low, low) == low {
            return;
        }
        let (topic, text) = match low {
            true => ("disk.low", "items wait for space on a full disk"),
            false => ("disk.ok", "no item waits for space any more"),
        };
        self.ctx.events.emit(topic, None, None, text.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_is_full_again_and_again_is_tried_ever_less_often() {
        let waits = [0, 1, 2, 5, 6, u8::MAX].map(|again| wait(again).as_secs());
        assert_eq!(waits, [10, 20, 40, 320, 320, 320]);
    }
}
