//! The points of one item: who holds which pieces.

use std::collections::HashMap;

use p2p_wire::Bitfield;
use p2p_wire::points::{Op, checksum, mix};

use super::buckets::Buckets;
use super::ranges::Ranges;
use super::{Reporter, Update, runs};
use crate::ids::{AccountId, NodeId};

/// What became of an update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// Taken.
    Ok(Change),
    /// The set differs from what the reporter has: it must send all of it.
    Resync,
    /// No such item, or too many machines of this account in it.
    Unknown,
}

/// What an update changed, for the log and the swarm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    None,
    /// These pieces were added; ascending.
    Pieces(Vec<u32>),
    /// The whole set was replaced; so many pieces are held.
    Replaced(u32),
    /// Holds all now and did not before. `true`: it was known as a leech.
    Seed(bool),
    /// Holds the item no more.
    Left,
}

/// What one machine holds.
pub(super) enum Holding {
    Seed,
    /// Not full, and the checksum of what is in it.
    Partial(Bitfield, u32),
}

pub(super) struct Holder {
    account: AccountId,
    pub(super) holding: Holding,
}

/// Bytes of a slot in the table of holders.
#[cfg(test)]
pub(super) const HOLDER_LEN: usize = std::mem::size_of::<(NodeId, Holder)>();

/// One item.
///
/// Invariants: `seeds` counts the holders that have all; `partial` holds the sum of the others' sets; a set that became full is a seed.
pub struct Item {
    pub(super) pieces: u32,
    pub(super) seeds: u32,
    pub(super) partial: Buckets,
    pub(super) holders: HashMap<NodeId, Holder>,
    machines_of: HashMap<AccountId, u32>,
    /// Of pieces that lost their last holder: who it was, and when.
    pub(super) lost: Ranges<(NodeId, u32)>,
    dirty: bool,
}

impl Item {
    pub(super) fn new(pieces: u32) -> Self {
        Self {
            pieces,
            seeds: 0,
            partial: Buckets::new(pieces),
            holders: HashMap::new(),
            machines_of: HashMap::new(),
            lost: Ranges::default(),
            dirty: false,
        }
    }

    /// How many pieces it has.
    pub fn pieces(&self) -> u32 {
        self.pieces
    }

    pub(super) fn is_empty(&self) -> bool {
        self.holders.is_empty()
    }

    pub(super) fn holds(&self, node: NodeId) -> bool {
        self.holders.contains_key(&node)
    }

    pub(super) fn nodes(&self) -> impl Iterator<Item = NodeId> {
        self.holders.keys().copied()
    }

    /// Whether a machine reported that it has all.
    pub fn is_seed(&self, node: NodeId) -> bool {
        self.holders
            .get(&node)
            .is_some_and(|holder| matches!(holder.holding, Holding::Seed))
    }

    pub(super) fn is_dirty(&self) -> bool {
        self.dirty
    }

    pub(super) fn take_dirty(&mut self) -> bool {
        std::mem::take(&mut self.dirty)
    }

    pub(super) fn apply(
        &mut self,
        reporter: Reporter,
        update: Update<'_>,
        account_cap: u32,
        now: u32,
    ) -> Applied {
        let Reporter { account, node } = reporter;
        if *update.op == Op::Leave {
            return Applied::Ok(if self.leave(node, now) {
                Change::Left
            } else {
                Change::None
            });
        }
        if !self.enter(account, node, account_cap) {
            return Applied::Unknown;
        }
        match update.op {
            Op::Keep | Op::Leave => self.verdict(node, update, Change::None),
            // These name the whole set: nothing that was lost before can matter.
            Op::Seed => Applied::Ok(self.become_seed(node)),
            Op::Full(bitmap) => match Bitfield::from_bytes(bitmap, self.pieces) {
                Some(set) if set.is_full() => Applied::Ok(self.become_seed(node)),
                Some(set) => {
                    self.replace(node, set, now);
                    self.verdict(node, update, Change::Replaced(update.held))
                }
                None => Applied::Resync,
            },
            Op::Add(pieces) => {
                let change = self.add(node, pieces);
                self.verdict(node, update, change)
            }
            Op::Remove(pieces) => {
                self.remove(node, pieces, now);
                self.verdict(node, update, Change::None)
            }
        }
    }

    /// Makes the machine a holder of nothing if it was none; false when its account has too many.
    fn enter(&mut self, account: AccountId, node: NodeId, account_cap: u32) -> bool {
        if self.holders.contains_key(&node) {
            return true;
        }
        let machines = self.machines_of.entry(account).or_default();
        if *machines >= account_cap {
            return false;
        }
        *machines += 1;
        self.holders.insert(
            node,
            Holder {
                account,
                holding: Holding::Partial(Bitfield::new(self.pieces), 0),
            },
        );
        self.dirty = true;
        true
    }

    /// Compares what is known now with what the reporter says it holds.
    fn verdict(&self, node: NodeId, update: Update<'_>, change: Change) -> Applied {
        let same = self
            .holders
            .get(&node)
            .is_some_and(|holder| match &holder.holding {
                Holding::Seed => update.held == self.pieces,
                Holding::Partial(set, sum) => set.count() == update.held && *sum == update.checksum,
            });
        if same {
            Applied::Ok(change)
        } else {
            Applied::Resync
        }
    }

    fn become_seed(&mut self, node: NodeId) -> Change {
        let Some(holder) = self.holders.get_mut(&node) else {
            return Change::None;
        };
        let Holding::Partial(set, _) = std::mem::replace(&mut holder.holding, Holding::Seed) else {
            return Change::None;
        };
        set.iter().for_each(|piece| self.partial.down(piece));
        self.seeds += 1;
        self.dirty = true;
        Change::Seed(set.count() > 0)
    }

    fn replace(&mut self, node: NodeId, new: Bitfield, now: u32) {
        // The new set first: a piece in both never looks as if it had lost its last holder.
        new.iter().for_each(|piece| self.partial.up(piece));
        self.dirty = true;
        let sum = checksum(new.iter());
        let Some(holder) = self.holders.get_mut(&node) else {
            return;
        };
        let old = std::mem::replace(&mut holder.holding, Holding::Partial(new, sum));
        self.release(node, old, now);
    }

    fn add(&mut self, node: NodeId, pieces: &[u32]) -> Change {
        let Some(Holder {
            holding: Holding::Partial(set, sum),
            ..
        }) = self.holders.get_mut(&node)
        else {
            return Change::None;
        };
        let mut added = Vec::new();
        for &piece in pieces {
            if set.set(piece) {
                *sum = sum.wrapping_add(mix(piece));
                self.partial.up(piece);
                added.push(piece);
            }
        }
        self.dirty |= !added.is_empty();
        if set.is_full() {
            return self.become_seed(node);
        }
        if added.is_empty() {
            Change::None
        } else {
            Change::Pieces(added)
        }
    }

    fn remove(&mut self, node: NodeId, pieces: &[u32], now: u32) {
        self.dirty = true;
        if self.is_seed(node) {
            self.replace(node, Bitfield::full(self.pieces), now);
        }
        let Some(Holder {
            holding: Holding::Partial(set, sum),
            ..
        }) = self.holders.get_mut(&node)
        else {
            return;
        };
        let mut gone = Vec::new();
        for &piece in pieces {
            if set.clear(piece) {
                *sum = sum.wrapping_sub(mix(piece));
                self.partial.down(piece);
                gone.push(piece);
            }
        }
        if set.is_full() {
            self.become_seed(node);
        }
        self.note_lost(node, gone.into_iter(), now);
    }

    /// The machine holds nothing any more; false if it did not before.
    pub(super) fn leave(&mut self, node: NodeId, at: u32) -> bool {
        let Some(holder) = self.holders.remove(&node) else {
            return false;
        };
        if let Some(machines) = self.machines_of.get_mut(&holder.account) {
            *machines -= 1;
            if *machines == 0 {
                self.machines_of.remove(&holder.account);
            }
        }
        self.release(node, holder.holding, at);
        self.dirty = true;
        true
    }

    /// Takes a holding that was just unlinked out of the counts.
    fn release(&mut self, node: NodeId, holding: Holding, at: u32) {
        match holding {
            Holding::Seed => {
                self.seeds -= 1;
                if self.seeds == 0 && self.partial.most() == 0 {
                    // Nobody else had any of it: no need to look at each piece.
                    self.lost.set(0, self.pieces.saturating_sub(1), (node, at));
                } else {
                    self.note_lost(node, 0..self.pieces, at);
                }
            }
            Holding::Partial(set, _) => {
                set.iter().for_each(|piece| self.partial.down(piece));
                self.note_lost(node, set.iter(), at);
            }
        }
    }

    /// Remembers the machine as the last holder of those of `pieces`, ascending, that nobody holds now.
    fn note_lost(&mut self, node: NodeId, pieces: impl Iterator<Item = u32>, at: u32) {
        if self.seeds > 0 {
            return;
        }
        let gone = pieces
            .filter(|piece| self.partial.count(*piece) == 0)
            .collect::<Vec<_>>();
        for (first, last) in runs(gone.into_iter()) {
            self.lost.set(first, last, (node, at));
        }
    }

    #[cfg(test)]
    pub(super) fn check_invariants(&self, account_cap: u32) {
        self.partial.check_invariants();
        let mut counts = vec![0; self.pieces as usize];
        let (mut seeds, mut machines) = (0, HashMap::new());
        for holder in self.holders.values() {
            *machines.entry(holder.account).or_insert(0) += 1;
            match &holder.holding {
                Holding::Seed => seeds += 1,
                Holding::Partial(set, sum) => {
                    assert!(!set.is_full() || self.pieces == 0);
                    assert_eq!(*sum, checksum(set.iter()));
                    set.iter().for_each(|piece| counts[piece as usize] += 1);
                }
            }
        }
        assert_eq!((seeds, &machines), (self.seeds, &self.machines_of));
        assert_eq!(self.partial.counts(), counts);
        assert!(machines.values().all(|count| *count <= account_cap));
    }
}
