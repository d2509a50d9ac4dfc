//! What one peer asked us for and has not got yet.
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use p2p_wire::Block;

/// Requests in the order they came: the front ones are leaving, the others wait.
///
/// Invariant: `all` names the blocks of both; none stands twice; those that wait have their place in `waiting` with them. So a peer with
/// thousands of requests costs no more for each, and for taking it back, than one with ten.
#[derive(Debug, Default)]
pub(super) struct Asked {
    next: u64,
    waiting: BTreeMap<u64, Block>,
    leaving_bytes: u64,
    all: BTreeMap<Block, Stage>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Waits(u64),
    Leaves,
}

/// What became of a request that is taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TakenBack {
    /// It had not been handed out.
    Waited,
    /// It may be on its way.
    Left,
    /// It is not known, or has gone already.
    Unknown,
}

impl Asked {
    /// Requests in all.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// None waits to be handed out.
    pub(super) fn none_waits(&self) -> bool {
        self.waiting.is_empty()
    }

    /// A request; false if the same is here already.
    pub(super) fn push(&mut self, block: Block) -> bool {
        let Entry::Vacant(vacant) = self.all.entry(block) else {
            return false;
        };
        vacant.insert(Stage::Waits(self.next));
        self.waiting.insert(self.next, block);
        self.next += 1;
        true
    }

    /// The next block to hand out, while less than `ahead` bytes are leaving.
    pub(super) fn hand_out(&mut self, ahead: u64) -> Option<Block> {
        if self.leaving_bytes >= ahead {
            return None;
        }
        let (_, block) = self.waiting.pop_first()?;
        self.leaving_bytes += u64::from(block.len);
        self.all.insert(block, Stage::Leaves);
        Some(block)
    }

    /// A block that was handed out has gone, or never will.
    pub(super) fn gone(&mut self, block: Block) -> bool {
        let leaves = self.all.get(&block) == Some(&Stage::Leaves);
        if leaves {
            self.all.remove(&block);
            self.leaving_bytes -= u64::from(block.len);
        }
        leaves
    }

    /// The peer wants `block` no more.
    pub(super) fn take_back(&mut self, block: Block) -> TakenBack {
        match self.all.get(&block) {
            None => TakenBack::Unknown,
            Some(Stage::Leaves) => {
                self.gone(block);
                TakenBack::Left
            }
            Some(Stage::Waits(place)) => {
                self.waiting.remove(place);
                self.all.remove(&block);
                TakenBack::Waited
            }
        }
    }

    /// Takes out the waiting requests that `which` names.
    pub(super) fn drop_waiting(&mut self, which: impl Fn(&Block) -> bool) -> Vec<Block> {
        let waiting = self.waiting.values();
        let dropped: Vec<Block> = waiting.filter(|block| which(block)).copied().collect();
        for block in &dropped {
            self.take_back(*block);
        }
        dropped
    }

    /// Panics if the state contradicts itself.
    pub(super) fn check_invariants(&self) {
        let leaving = self
            .all
            .iter()
            .filter(|(_, stage)| **stage == Stage::Leaves);
        let bytes: u64 = leaving.clone().map(|(block, _)| u64::from(block.len)).sum();
        assert_eq!(bytes, self.leaving_bytes);
        assert_eq!(self.all.len(), self.waiting.len() + leaving.count());
        for (place, block) in &self.waiting {
            assert_eq!(self.all.get(block), Some(&Stage::Waits(*place)));
        }
    }
}
