//! The points of one item: who holds which pieces.

use std::collections::HashMap;

use p2p_wire::Bitfield;
use p2p_wire::points::{Op, Swarm, checksum, mix};

use super::buckets::Buckets;
use super::ranges::Ranges;
use super::{LastHeld, Reporter, Update};
use crate::ids::{AccountId, NodeId};

/// Most pieces that a reply names as the rarest.
const MAX_RAREST: usize = 32;
/// How far the search for them goes: its cost stays flat however many pieces there are and however many of them the reporter has.
const RAREST_SCAN: usize = 16_384;

/// Peers of a swarm that report no pieces: stock clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Silent {
    /// They say they have all.
    pub seeds: u32,
    /// They say they lack something.
    pub leeches: u32,
}

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

/// In one line; see [`p2p_wire::api::AvailabilitySummary`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// Hold all, those that do not report included.
    pub seeds: u32,
    /// Report and lack something.
    pub partial: u32,
    /// Do not report and lack something.
    pub unknown: u32,
    /// Known holders of the scarcest piece.
    pub least: u32,
    /// Known holders of the commonest piece.
    pub most: u32,
    /// Pieces without a known holder.
    pub nobody: u32,
    /// Whole copies known.
    pub copies: f64,
}

/// What one machine holds.
enum Holding {
    Seed,
    /// Not full, and the checksum of what is in it.
    Partial(Bitfield, u32),
}

struct Holder {
    account: AccountId,
    holding: Holding,
}

/// One item.
///
/// Invariants: `seeds` counts the holders that have all; `partial` holds the sum of the others' sets; a set that became full is a seed.
pub struct Item {
    pieces: u32,
    seeds: u32,
    partial: Buckets,
    holders: HashMap<NodeId, Holder>,
    machines_of: HashMap<AccountId, u32>,
    /// Of pieces that lost their last holder: who it was, and when.
    lost: Ranges<(NodeId, u32)>,
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
                self.note_lost(node, 0..self.pieces, at);
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

    /// How many are known to hold `piece`.
    pub fn holders_of(&self, piece: u32, silent: Silent) -> u32 {
        self.partial.count(piece) + self.seeds + silent.seeds
    }

    /// Known holders, run-length coded: (pieces, holders) in piece order.
    pub fn counts(&self, silent: Silent) -> Vec<(u32, u32)> {
        let mut out: Vec<(u32, u32)> = Vec::new();
        for count in self.partial.counts() {
            let holders = count + self.seeds + silent.seeds;
            match out.last_mut() {
                Some((pieces, same)) if *same == holders => *pieces += 1,
                _ => out.push((1, holders)),
            }
        }
        out
    }

    /// Who last held pieces that lost their last holder here; pieces that have one again are in it too.
    pub fn lost(&self) -> &Ranges<(NodeId, u32)> {
        &self.lost
    }

    /// In one line.
    pub fn summary(&self, silent: Silent) -> Summary {
        let seeds = self.seeds + silent.seeds;
        let least = self.partial.least();
        let above = self.pieces - self.partial.at_most(least);
        Summary {
            seeds,
            partial: self.holders.len() as u32 - self.seeds,
            unknown: silent.leeches,
            least: seeds + least,
            most: seeds + self.partial.most(),
            nobody: if seeds > 0 {
                0
            } else {
                self.partial.at_most(0)
            },
            copies: f64::from(seeds + least) + f64::from(above) / f64::from(self.pieces.max(1)),
        }
    }

    pub(super) fn reply(&self, node: NodeId, silent: Silent) -> Swarm {
        let Summary {
            seeds,
            partial,
            unknown,
            least,
            nobody,
            ..
        } = self.summary(silent);
        Swarm {
            seeds,
            partial,
            unknown,
            least,
            nobody,
            rarest: self.rarest_for(node, seeds, unknown),
        }
    }

    /// The rarest pieces that the machine lacks, ascending. Those without a known holder only where an unknown peer may have them:
    /// else they would crowd out the pieces that can be had.
    fn rarest_for(&self, node: NodeId, seeds: u32, unknown: u32) -> Vec<u32> {
        let Some(Holder {
            holding: Holding::Partial(set, _),
            ..
        }) = self.holders.get(&node)
        else {
            return Vec::new();
        };
        let skip = if seeds == 0 && unknown == 0 {
            self.partial.at_most(0) as usize
        } else {
            0
        };
        let order = self.partial.rarest().iter().skip(skip).take(RAREST_SCAN);
        let mut rarest: Vec<u32> = order
            .copied()
            .filter(|piece| !set.get(*piece))
            .take(MAX_RAREST)
            .collect();
        rarest.sort_unstable();
        rarest
    }

    /// Who is known to hold, or to have held last, each piece: one machine for each run, as few as cover it.
    pub(super) fn last_held(&self, now: u32) -> Vec<LastHeld> {
        let mut ranges = self.lost.clone();
        let mut covered = Bitfield::new(self.pieces);
        if let Some((node, _)) = self
            .holders
            .iter()
            .find(|(_, holder)| matches!(holder.holding, Holding::Seed))
        {
            ranges.set(0, self.pieces.saturating_sub(1), (*node, now));
            covered = Bitfield::full(self.pieces);
        }
        let held = self.pieces - self.partial.at_most(0);
        for (node, holder) in &self.holders {
            let Holding::Partial(set, _) = &holder.holding else {
                continue;
            };
            if covered.is_full() || covered.count() >= held {
                break;
            }
            let new: Vec<u32> = set.iter().filter(|piece| covered.set(*piece)).collect();
            for (first, last) in runs(new.into_iter()) {
                ranges.set(first, last, (*node, now));
            }
        }
        ranges
            .iter()
            .map(|(first, last, (node, at))| (first, last, *node, *at))
            .collect()
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

/// Ascending numbers as runs: first and last, inclusive.
pub(crate) fn runs(numbers: impl Iterator<Item = u32>) -> Vec<(u32, u32)> {
    let mut out: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        match out.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(number) => *last = number,
            _ => out.push((number, number)),
        }
    }
    out
}
