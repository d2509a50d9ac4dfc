//! Items in numbers.
//!
//! How many items do what is asked often, and must not cost a look at each of a hundred thousand: [`Tallies`] are kept while rows change, by
//! [`Rows`](super::rows::Rows). Those that are awake are not in them: their task knows their numbers.

use std::collections::{HashMap, HashSet};

use p2p_wire::InfoHash;
use p2p_wire::control::State;

use super::row::{Row, Slot};
use super::survey::Glance;

/// Items in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    counts: [u32; 7],
    /// Connected peers.
    pub peers: u32,
    /// Bytes/s received and sent.
    pub rates: (u64, u64),
    /// Block bytes received and sent, over all sessions.
    pub moved: (u64, u64),
    /// Bytes wanted.
    pub wanted: u64,
    /// Bytes of those that are not here yet.
    pub missing: u64,
}

/// What the numbers of an item are combined with: all of them are bounded by what disks and years hold, and what is taken out was added.
type Combine = (fn(u32, u32) -> u32, fn(u64, u64) -> u64);

impl Tally {
    /// How many are in `state`.
    pub fn count(&self, state: State) -> u32 {
        self.counts[place(state)]
    }

    /// How many there are.
    pub fn items(&self) -> u32 {
        self.counts.iter().sum()
    }

    #[cfg(test)]
    pub(crate) fn set(&mut self, state: State, count: u32) {
        self.counts[place(state)] = count;
    }

    pub(super) fn add(&mut self, one: &Glance<'_>) {
        let mut of = Self {
            peers: one.peers(),
            rates: one.rates(),
            moved: one.moved(),
            wanted: one.size(),
            missing: one.size().saturating_sub(one.done()),
            ..Self::default()
        };
        of.counts[place(one.state())] = 1;
        self.join(&of);
    }

    fn take(&mut self, one: &Glance<'_>) {
        let mut of = Self::default();
        of.add(one);
        self.combine(&of, (u32::wrapping_sub, u64::wrapping_sub));
    }

    /// The numbers of both.
    pub(super) fn join(&mut self, other: &Self) {
        self.combine(other, (u32::wrapping_add, u64::wrapping_add));
    }

    fn combine(&mut self, other: &Self, (small, wide): Combine) {
        for (count, other) in self.counts.iter_mut().zip(other.counts) {
            *count = small(*count, other);
        }
        self.peers = small(self.peers, other.peers);
        for (sum, other) in [
            (&mut self.rates.0, other.rates.0),
            (&mut self.rates.1, other.rates.1),
            (&mut self.moved.0, other.moved.0),
            (&mut self.moved.1, other.moved.1),
            (&mut self.wanted, other.wanted),
            (&mut self.missing, other.missing),
        ] {
            *sum = wide(*sum, other);
        }
    }
}

/// The items of one user that are not awake.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Owned {
    pub(super) tally: Tally,
    /// Those that are in error.
    pub(super) failed: HashSet<InfoHash>,
}

/// What is known of all rows without looking at them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tallies {
    /// By user id.
    pub(super) owners: HashMap<u32, Owned>,
    pub(super) awake: HashSet<InfoHash>,
}

impl Tallies {
    /// Counts a row as it is.
    pub(super) fn add(&mut self, item: InfoHash, row: &Row) {
        if matches!(row.slot, Slot::Awake(_)) {
            self.awake.insert(item);
        } else if let Some(one) = Glance::of_row(item, row) {
            let owned = self.owners.entry(one.owner()).or_default();
            owned.tally.add(&one);
            if one.state() == State::Error {
                owned.failed.insert(item);
            }
        }
    }

    /// Takes out a row that is as it was counted.
    pub(super) fn take(&mut self, item: InfoHash, row: &Row) {
        if matches!(row.slot, Slot::Awake(_)) {
            self.awake.remove(&item);
            // At the start all are awake, and then hardly any.
            if self.awake.len() < self.awake.capacity() / 8 {
                self.awake.shrink_to(2 * self.awake.len());
            }
        } else if let Some(one) = Glance::of_row(item, row)
            && let Some(owned) = self.owners.get_mut(&one.owner())
        {
            owned.tally.take(&one);
            owned.failed.remove(&item);
            if owned.tally.items() == 0 {
                self.owners.remove(&one.owner());
            }
        }
    }
}

fn place(state: State) -> usize {
    match state {
        State::Metadata => 0,
        State::Verifying => 1,
        State::Fetching => 2,
        State::Seeding => 3,
        State::Held => 4,
        State::Paused => 5,
        State::Error => 6,
    }
}
