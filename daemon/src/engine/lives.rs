//! The lives of torrent tasks: when an item wakes, who is let in, and what is done between two lives.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;

use p2p_wire::InfoHash;
use p2p_wire::control::ErrorKind;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::full;
use super::ops::{Op, kind_of};
use super::registry::{Registry, no_such};
use super::row::{Slot, Stopped};
use super::torrent::{Command as ToTorrent, Exit, Halt, Waking, torrent_task};
use super::{AnnounceCommand, Change, gates};
use crate::net::Connection;
use crate::resume::{Check, Have};
use crate::storage::StorageError;

/// The least that an item may have in flight, however many share.
const LEAST_IN_FLIGHT: u64 = 1024 * 1024;

impl Registry {
    /// A torrent task ended.
    pub(super) fn exit(&mut self, item: InfoHash, exit: Exit) {
        let Exit {
            record,
            why,
            bad_pieces,
            leftover,
        } = exit;
        let Some(row) = self.rows.get_mut(&item) else {
            return;
        };
        let held = why == Halt::Held;
        if full::held(&record) > row.full_had {
            row.full_again = 0;
        }
        let stopped = match why {
            Halt::Asked | Halt::Idle | Halt::Held => None,
            // What it holds now is suspect: it wakes to be read.
            Halt::Storage(StorageError::Changed(path)) if record.is_complete() => {
                let text = format!("{} changed on disk", path.display());
                let name = Some(record.name.as_str());
                (self.ctx.events).emit("item.changed", Some(item), name, text.clone());
                self.changes.push(Change::Reset(item));
                // The share publishes it anew when it has settled.
                record.share.is_some().then_some(Stopped {
                    kind: ErrorKind::BadData,
                    text,
                    retry: None,
                })
            }
            Halt::Storage(StorageError::Stopped) => None,
            Halt::Storage(error) => Some(Stopped {
                kind: kind_of(&error),
                text: error.to_string(),
                retry: matches!(error, StorageError::Full(_))
                    .then(|| Instant::now() + full::wait(row.full_again)),
            }),
            Halt::Fault(kind, text) => Some(Stopped {
                kind,
                text,
                retry: None,
            }),
        };
        if stopped
            .as_ref()
            .is_none_or(|stopped| stopped.retry.is_none())
        {
            row.full_again = 0;
        }
        if let Some(stopped) = stopped {
            let name = Some(record.name.as_str());
            (self.ctx.events).emit("item.error", Some(item), name, stopped.text.clone());
            if stopped.retry.is_some() {
                self.full.insert(item);
            }
            row.fault = Some(Box::new(stopped));
        }
        self.fetching.remove(&item);
        row.bad_pieces = bad_pieces;
        row.verify &= record.check != Check::No && row.fault.is_none();
        row.slot = Slot::Dormant(record);
        self.tell_disk();
        let Some(row) = self.rows.get_mut(&item) else {
            return;
        };
        let late = std::mem::take(&mut row.late);
        if held {
            self.hold_release(item);
        }
        self.settle(item);
        for command in leftover.into_iter().chain(late) {
            self.again(item, command);
        }
        self.share_in_flight();
    }

    /// A command that a torrent task did not get to.
    pub(super) fn again(&mut self, item: InfoHash, command: ToTorrent) {
        match command {
            ToTorrent::Connect(connection) => self.arrive(connection),
            ToTorrent::Peers(addrs) => self.found(item, addrs),
            ToTorrent::Ask(ask) => self.ask(item, ask),
            ToTorrent::Set(setting, reply) => self.set(item, setting, reply),
            ToTorrent::Pause(reply) => self.op(item, Op::Pause(reply)),
            ToTorrent::Trackers(tiers) => self.more_trackers(item, tiers),
            // The row knows the rest.
            _ => {}
        }
    }

    /// Does what is queued for a dormant item, then lets it take part or not.
    pub(super) fn settle(&mut self, item: InfoHash) {
        while let Some(row) = self.rows.get_mut(&item)
            && matches!(row.slot, Slot::Dormant(_))
            && let Some(op) = row.queue.pop_front()
        {
            self.execute(item, op);
        }
        self.stop_waiting(item);
        let Some(row) = self.rows.get_mut(&item) else {
            return;
        };
        let Slot::Dormant(record) = &row.slot else {
            return;
        };
        if self.stopping.is_some() {
            return;
        }
        let takes_part = !record.paused && row.fault.is_none() && !row.is_held();
        if takes_part && !row.announced {
            let left = if record.is_complete() {
                0
            } else {
                record.wanted_len
            };
            row.counters.left.store(left, Ordering::Relaxed);
            self.announces.push(AnnounceCommand::Start {
                info_hash: item,
                tiers: record.trackers.clone(),
                counters: row.counters.clone(),
            });
            row.announced = true;
            self.changes.push(Change::Reset(item));
        } else if !takes_part && row.announced {
            self.announces.push(AnnounceCommand::Stop(item));
            row.announced = false;
            self.changes.push(Change::Gone(item));
        }
        let reads = !record.is_complete() || record.suspect != Have::Nothing;
        let wakes = takes_part && reads || row.verify && !row.is_held();
        self.show(item);
        if wakes {
            self.wake(item);
        }
    }

    /// Starts the torrent task of a dormant item.
    pub(super) fn wake(&mut self, item: InfoHash) -> Option<mpsc::Sender<ToTorrent>> {
        let row = self.rows.get_mut(&item)?;
        match &row.slot {
            Slot::Awake(task) => return Some(task.clone()),
            Slot::Busy(_) => return None,
            Slot::Dormant(_) => {}
        }
        let (task, commands) = mpsc::channel(256);
        let Slot::Dormant(record) = std::mem::replace(&mut row.slot, Slot::Busy(None)) else {
            return None;
        };
        row.slot = Slot::Awake(task.clone());
        let first = [
            Some(ToTorrent::Tracker(
                row.tracker_error.as_deref().map(str::to_owned),
            )),
            (row.points.as_deref()).map(|points| ToTorrent::Points(points.clone())),
            row.watchers.clone().map(ToTorrent::Watch),
        ];
        for command in first.into_iter().flatten() {
            // The channel is new and empty.
            let _ = task.try_send(command);
        }
        tokio::spawn(torrent_task(Waking {
            ctx: self.ctx.clone(),
            item,
            record,
            commands,
            counters: row.counters.clone(),
            in_flight: self.ctx.config.in_flight,
            passed: row.is_released(),
            bad_pieces: row.bad_pieces,
        }));
        Some(task)
    }

    /// Divides what may be in flight among the items that fetch. Those that have nobody to ask need none: a hundred of them would leave the
    /// one that has too little to keep its peers busy.
    pub(super) fn share_in_flight(&self) {
        let count = self.fetching.len() as u64;
        let share = (self.ctx.config.in_flight / count.max(1)).max(LEAST_IN_FLIGHT);
        for item in &self.fetching {
            if let Some(Slot::Awake(task)) = self.rows.get(item).map(|row| &row.slot) {
                let _ = task.try_send(ToTorrent::InFlight(share));
            }
        }
    }

    /// A handshake came in.
    pub(super) fn arrive(&mut self, connection: Connection) {
        let item = connection.handshake.info_hash;
        let Some(row) = self.rows.get(&item).filter(|_| self.stopping.is_none()) else {
            return;
        };
        if row.announced
            && let Some(task) = self.wake(item)
        {
            // Full: the connection closes, the peer comes again.
            let _ = task.try_send(ToTorrent::Connect(connection));
        }
    }

    /// Addresses worth dialling. A seed dials too: who asked the tracker before it came back would wait for its next announce otherwise,
    /// and a leech that cannot be dialled is still reached from here. Nobody is woken for no address: each of ten thousand new seeds would be
    /// awake for a while, with all its buffers.
    pub(super) fn found(&mut self, item: InfoHash, addrs: Vec<SocketAddr>) {
        let takes_part = self.rows.get(&item).is_some_and(|row| row.announced);
        if takes_part
            && !addrs.is_empty()
            && self.stopping.is_none()
            && let Some(task) = self.wake(item)
        {
            let _ = task.try_send(ToTorrent::Peers(addrs));
        }
    }

    pub(super) fn forget(&mut self, item: InfoHash) {
        if let Some(row) = self.rows.remove(&item) {
            if row.announced {
                self.announces.push(AnnounceCommand::Stop(item));
            }
            self.changes.push(Change::Gone(item));
            self.stop_waiting(item);
            for op in row.queue {
                op.refuse(no_such(item));
            }
            if row.hold.is_some() {
                gates::release(&self.ctx, item);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use p2p_wire::InfoHash;

    use super::super::add::blank;
    use super::super::fault_tests::Node;
    use super::super::torrent::Report;
    use super::*;

    /// The last that an item was told that it may have in flight.
    fn told(commands: &mut mpsc::Receiver<ToTorrent>) -> Option<u64> {
        let mut last = None;
        while let Ok(command) = commands.try_recv() {
            if let ToTorrent::InFlight(bytes) = command {
                last = Some(bytes);
            }
        }
        last
    }

    #[tokio::test]
    async fn what_may_be_in_flight_is_shared_by_those_who_have_somebody_to_ask() {
        let dir = tempfile::tempdir().unwrap();
        let node = Node::start(dir.path()).await;
        let mut registry = Registry::new(node.engine.ctx.clone());
        let all = registry.ctx.config.in_flight;
        let mut tasks = Vec::new();
        for n in 0..100 {
            let item = InfoHash([n; 20]);
            let mut record = Box::new(blank(item));
            record.paused = true;
            registry.insert(item, record, None);
            let (task, commands) = mpsc::channel(256);
            registry.rows.get_mut(&item).unwrap().slot = Slot::Awake(task);
            tasks.push(commands);
        }
        let asks = |n, asks| Report::Asks(InfoHash([n; 20]), asks);
        registry.report(asks(1, true));
        assert_eq!(told(&mut tasks[1]), Some(all));
        registry.report(asks(2, true));
        assert_eq!([1, 2].map(|n| told(&mut tasks[n])), [Some(all / 2); 2]);
        registry.report(asks(2, false));
        assert_eq!([1, 2].map(|n| told(&mut tasks[n])), [Some(all), None]);
        (0..100).for_each(|n| registry.report(asks(n, true)));
        assert_eq!(told(&mut tasks[99]), Some(LEAST_IN_FLIGHT));
    }
}
