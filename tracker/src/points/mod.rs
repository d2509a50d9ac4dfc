//! Piece points: for each piece of each published item, how many machines are known to hold it.
//!
//! PURE: no clock, no socket, no lock. Calls carry `now` in seconds of a monotonic clock.
//!
//! [`Points`] owns the items by handle, and for each machine when it was last heard of. A machine that is silent for [`SILENCE`] seconds
//! leaves all its items at once, so an idle seed need not repeat what it holds: any report of its machine keeps it. Invariant: a machine is
//! a holder in an item if and only if that item is in the machine's list.
//!
//! What machines say is advice. The checksum in a report finds lost and reordered updates, not lies; a lie is bounded by counting a machine
//! once and an account's machines up to a cap.

mod answers;
mod buckets;
mod item;
mod ranges;

use std::collections::{BTreeSet, HashMap};

use p2p_wire::InfoHash;
use p2p_wire::points::{Op, ReplyItem, Status};

use crate::ids::{AccountId, NodeId};

pub use answers::Silent;
pub use item::{Applied, Change, Item};
pub use ranges::Ranges;
pub(crate) use ranges::runs;

/// Seconds without a report after which a machine holds nothing any more: three heartbeats.
pub const SILENCE: u32 = 180;

/// Who reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reporter {
    /// Account.
    pub account: AccountId,
    /// Machine.
    pub node: NodeId,
}

/// One item's part of a report, with the item found.
#[derive(Clone, Copy, Debug)]
pub struct Update<'a> {
    /// What changed.
    pub op: &'a Op,
    /// Pieces held after it.
    pub held: u32,
    /// Checksum of those.
    pub checksum: u32,
}

/// Who was last known to hold a run of pieces: first, last inclusive, machine, seconds since it was so.
pub type LastHeld = (u32, u32, NodeId, u32);

struct Machine {
    account: AccountId,
    heard: u32,
    /// Handles.
    items: BTreeSet<u32>,
}

/// All piece points of a tracker.
pub struct Points {
    epoch: u64,
    /// Machines of one account that count in one item.
    account_cap: u32,
    items: HashMap<u32, (InfoHash, Item)>,
    handles: HashMap<InfoHash, u32>,
    next_handle: u32,
    machines: HashMap<NodeId, Machine>,
}

impl Points {
    /// Empty. `epoch` must differ from that of earlier runs and not be 0.
    pub fn new(epoch: u64, account_cap: u32) -> Self {
        Self {
            epoch: epoch.max(1),
            account_cap,
            items: HashMap::new(),
            handles: HashMap::new(),
            next_handle: 1,
            machines: HashMap::new(),
        }
    }

    /// Tells this run of the tracker from others.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Notes that a machine is there.
    pub fn hear(&mut self, reporter: Reporter, now: u32) {
        let machine = self
            .machines
            .entry(reporter.node)
            .or_insert_with(|| Machine {
                account: reporter.account,
                heard: now,
                items: BTreeSet::new(),
            });
        machine.heard = now;
    }

    /// Machines that are there.
    pub fn machines(&self) -> usize {
        self.machines.len()
    }

    /// The handle of an item, made if it has none. `None` when this content is known with another number of pieces, or handles ran out.
    pub fn register(&mut self, hash: InfoHash, pieces: u32) -> Option<u32> {
        if let Some(handle) = self.handles.get(&hash) {
            let same = self
                .items
                .get(handle)
                .is_some_and(|(_, item)| item.pieces() == pieces);
            return same.then_some(*handle);
        }
        let handle = self.next_handle;
        self.next_handle = handle.checked_add(1)?;
        self.items.insert(handle, (hash, Item::new(pieces)));
        self.handles.insert(hash, handle);
        Some(handle)
    }

    /// The content behind a handle of this epoch.
    pub fn content(&self, handle: u32) -> Option<InfoHash> {
        self.items.get(&handle).map(|(hash, _)| *hash)
    }

    /// Takes one item's part of a report. [`Points::hear`] comes first; a machine that was not heard of is told [`Applied::Unknown`].
    pub fn apply(
        &mut self,
        reporter: Reporter,
        handle: u32,
        update: Update<'_>,
        now: u32,
    ) -> Applied {
        let (Some((_, item)), Some(machine)) = (
            self.items.get_mut(&handle),
            self.machines.get_mut(&reporter.node),
        ) else {
            return Applied::Unknown;
        };
        let applied = item.apply(reporter, update, self.account_cap, now);
        if item.holds(reporter.node) {
            machine.items.insert(handle);
        } else {
            machine.items.remove(&handle);
        }
        applied
    }

    /// The answer for one item. `silent`: the peers of the swarm that report no pieces.
    pub fn reply(&self, handle: u32, node: NodeId, silent: Silent) -> ReplyItem {
        match self.items.get(&handle) {
            Some((_, item)) => ReplyItem {
                handle,
                status: Status::Ok(item.reply(node, silent)),
            },
            None => ReplyItem {
                handle: 0,
                status: Status::Unknown,
            },
        }
    }

    /// The item of a content, if any machine reported on it.
    pub fn item(&self, hash: &InfoHash) -> Option<&Item> {
        self.handles
            .get(hash)
            .and_then(|handle| self.items.get(handle))
            .map(|(_, item)| item)
    }

    /// How many contents a machine has whole, and how many in part.
    pub fn count_of(&self, node: NodeId) -> (u32, u32) {
        let items = self
            .machines
            .get(&node)
            .into_iter()
            .flat_map(|machine| &machine.items)
            .filter_map(|handle| self.items.get(handle));
        items.fold((0, 0), |(whole, part), (_, item)| {
            if item.is_seed(node) {
                (whole + 1, part)
            } else {
                (whole, part + 1)
            }
        })
    }

    /// The contents that a machine holds, whole or in part.
    pub fn contents_of(&self, node: NodeId) -> Vec<InfoHash> {
        let items = self
            .machines
            .get(&node)
            .into_iter()
            .flat_map(|machine| &machine.items);
        items
            .filter_map(|handle| self.items.get(handle))
            .map(|(hash, _)| *hash)
            .collect()
    }

    /// Whether a machine reported within [`SILENCE`] seconds, or has not left all its items yet.
    pub fn is_online(&self, node: NodeId) -> bool {
        self.machines.contains_key(&node)
    }

    /// The machines that fell silent.
    pub fn silent(&self, now: u32) -> Vec<NodeId> {
        let nodes = self.machines.keys().copied();
        nodes.filter(|node| self.is_silent(*node, now)).collect()
    }

    /// Whether a machine fell silent and is still here.
    pub fn is_silent(&self, node: NodeId, now: u32) -> bool {
        self.machines
            .get(&node)
            .is_some_and(|machine| now.saturating_sub(machine.heard) > SILENCE)
    }

    /// The machines of an account that are here.
    pub fn machines_of(&self, account: AccountId) -> Vec<NodeId> {
        let machines = self.machines.iter();
        machines
            .filter(|(_, machine)| machine.account == account)
            .map(|(node, _)| *node)
            .collect()
    }

    /// Takes a machine out of one of its items, and says whose it is and which item that was. `None` when it was in none any more: it is gone.
    ///
    /// One item a call, because a machine may hold thousands and others wait for the lock.
    pub fn leave_one(&mut self, node: NodeId, now: u32) -> Option<(AccountId, InfoHash)> {
        let machine = self.machines.get_mut(&node)?;
        while let Some(handle) = machine.items.pop_first() {
            if let Some((hash, item)) = self.items.get_mut(&handle) {
                // It was last known to hold its pieces when it was last heard of.
                item.leave(node, machine.heard.min(now));
                return Some((machine.account, *hash));
            }
        }
        self.machines.remove(&node);
        None
    }

    /// Takes a machine out of one item, whose swarm it left.
    pub fn leave(&mut self, node: NodeId, hash: &InfoHash, now: u32) {
        let (Some(handle), Some(machine)) = (self.handles.get(hash), self.machines.get_mut(&node))
        else {
            return;
        };
        if machine.items.remove(handle)
            && let Some((_, item)) = self.items.get_mut(handle)
        {
            item.leave(node, now);
        }
    }

    /// Forgets a content that is published no more.
    pub fn forget(&mut self, hash: &InfoHash) {
        let Some(handle) = self.handles.remove(hash) else {
            return;
        };
        if let Some((_, item)) = self.items.remove(&handle) {
            for node in item.nodes() {
                if let Some(machine) = self.machines.get_mut(&node) {
                    machine.items.remove(&handle);
                }
            }
        }
    }

    /// Handles of the items that changed since their [`Points::take_held`].
    pub fn changed(&self) -> Vec<u32> {
        let items = self.items.iter();
        items
            .filter(|(_, (_, item))| item.is_dirty())
            .map(|(handle, _)| *handle)
            .collect()
    }

    /// Who is known to hold what of an item that changed; one that nobody holds any more is dropped.
    pub fn take_held(&mut self, handle: u32, now: u32) -> Option<(InfoHash, Vec<LastHeld>)> {
        let (hash, item) = self.items.get_mut(&handle)?;
        let held = item.take_dirty().then(|| (*hash, item.last_held(now)));
        if item.is_empty() {
            self.handles.remove(hash);
            self.items.remove(&handle);
        }
        held
    }

    /// Panics where an invariant does not hold; for tests.
    #[cfg(test)]
    pub(crate) fn check_invariants(&self) {
        assert_eq!(self.items.len(), self.handles.len());
        for (handle, (hash, item)) in &self.items {
            assert_eq!(self.handles.get(hash), Some(handle));
            item.check_invariants(self.account_cap);
            for node in item.nodes() {
                assert!(
                    self.machines[&node].items.contains(handle),
                    "{node:?} does not list item {handle}"
                );
            }
        }
        for (node, machine) in &self.machines {
            for handle in &machine.items {
                assert!(
                    self.items[handle].1.holds(*node),
                    "item {handle} does not know {node:?}"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests;
