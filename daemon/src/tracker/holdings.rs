//! PURE: which pieces are held of every item, with the sums that piece points carry.

use std::collections::{HashMap, HashSet};

use p2p_wire::points::{checksum, mix};
use p2p_wire::{Bitfield, InfoHash};

use crate::engine::Holding;

/// What is held of every item.
#[derive(Debug, Default)]
pub(crate) struct Holdings {
    pub(super) items: HashMap<InfoHash, Held>,
    /// Those of them that are not whole: few of many, and asked for at every report.
    partial: HashSet<InfoHash>,
}

#[derive(Debug)]
pub(super) enum Held {
    Seed { pieces: u32, checksum: u32 },
    Partial { set: Bitfield, checksum: u32 },
}

impl Held {
    fn new(holding: Holding) -> Self {
        match holding {
            Holding::Seed(pieces) => Self::Seed {
                pieces,
                checksum: checksum(0..pieces),
            },
            Holding::Partial(set) => Self::Partial {
                checksum: checksum(set.iter()),
                set,
            },
        }
    }

    pub(super) fn pieces(&self) -> u32 {
        match self {
            Self::Seed { pieces, .. } => *pieces,
            Self::Partial { set, .. } => set.len(),
        }
    }

    /// How many are held, and their checksum.
    pub(super) fn sum(&self) -> (u32, u32) {
        match self {
            Self::Seed { pieces, checksum } => (*pieces, *checksum),
            Self::Partial { set, checksum } => (set.count(), *checksum),
        }
    }
}

impl Holdings {
    /// The whole truth about an item; replaces what was known.
    pub(crate) fn set(&mut self, item: InfoHash, holding: Holding) {
        match holding {
            Holding::Seed(_) => self.partial.remove(&item),
            Holding::Partial(_) => self.partial.insert(item),
        };
        self.items.insert(item, Held::new(holding));
    }

    /// Pieces that came; gives those that are news. Of an item that is not known, nothing.
    pub(crate) fn add(&mut self, item: InfoHash, pieces: &[u32]) -> Vec<u32> {
        let Some(Held::Partial { set, checksum }) = self.items.get_mut(&item) else {
            return Vec::new();
        };
        let news: Vec<u32> = pieces.iter().copied().filter(|p| set.set(*p)).collect();
        for piece in &news {
            *checksum = checksum.wrapping_add(mix(*piece));
        }
        news
    }

    /// The item is complete. False if it is not known.
    pub(crate) fn complete(&mut self, item: InfoHash) -> bool {
        let Some(held) = self.items.get_mut(&item) else {
            return false;
        };
        *held = Held::new(Holding::Seed(held.pieces()));
        self.partial.remove(&item);
        true
    }

    /// The item is gone.
    pub(crate) fn remove(&mut self, item: InfoHash) {
        self.items.remove(&item);
        self.partial.remove(&item);
    }

    /// All items.
    pub(crate) fn items(&self) -> impl Iterator<Item = InfoHash> {
        self.items.keys().copied()
    }

    /// Whether something is being fetched.
    pub(crate) fn any_partial(&self) -> bool {
        !self.partial.is_empty()
    }

    /// Those that are being fetched.
    pub(super) fn partial(&self) -> impl Iterator<Item = &InfoHash> {
        self.partial.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_fetched_is_known_until_it_is_whole_or_gone() {
        let mut holdings = Holdings::default();
        let items = [1, 2, 3].map(|n| InfoHash([n; 20]));
        for item in items {
            holdings.set(item, Holding::Partial(Bitfield::new(8)));
        }
        holdings.set(items[0], Holding::Seed(8));
        assert!(holdings.complete(items[1]));
        assert!(holdings.partial().eq([&items[2]]) && holdings.any_partial());
        holdings.remove(items[2]);
        assert!(!holdings.any_partial());
        holdings.set(items[0], Holding::Partial(Bitfield::new(8)));
        assert!(holdings.partial().eq([&items[0]]));
    }
}
