//! What one peer asked us for and has not got yet.
use std::collections::{BTreeSet, VecDeque};

use p2p_wire::Block;

/// Requests in the order they came: the front ones are leaving, the others wait.
///
/// Invariant: `all` names the blocks of both; none stands twice. So a peer with thousands of requests costs no more for each than one
/// with ten.
#[derive(Debug, Default)]
pub(super) struct Asked {
    waiting: VecDeque<Block>,
    leaving: VecDeque<Block>,
    leaving_bytes: u64,
    all: BTreeSet<Block>,
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
        let new = self.all.insert(block);
        if new {
            self.waiting.push_back(block);
        }
        new
    }

    /// The next block to hand out, while less than `ahead` bytes are leaving.
    pub(super) fn hand_out(&mut self, ahead: u64) -> Option<Block> {
        if self.leaving_bytes >= ahead {
            return None;
        }
        let block = self.waiting.pop_front()?;
        self.leaving_bytes += u64::from(block.len);
        self.leaving.push_back(block);
        Some(block)
    }

    /// A block that was handed out has gone, or never will.
    pub(super) fn gone(&mut self, block: Block) -> bool {
        // They go in order, as a rule: the first is it.
        let Some(at) = self.leaving.iter().position(|b| *b == block) else {
            return false;
        };
        self.leaving.remove(at);
        self.leaving_bytes -= u64::from(block.len);
        self.all.remove(&block)
    }

    /// The peer wants `block` no more.
    pub(super) fn take_back(&mut self, block: Block) -> TakenBack {
        if !self.all.contains(&block) {
            return TakenBack::Unknown;
        }
        if self.gone(block) {
            return TakenBack::Left;
        }
        self.waiting.retain(|b| *b != block);
        self.all.remove(&block);
        TakenBack::Waited
    }

    /// Takes out the waiting requests that `which` names.
    pub(super) fn drop_waiting(&mut self, which: impl Fn(&Block) -> bool) -> Vec<Block> {
        let (dropped, kept): (VecDeque<_>, _) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(which);
        self.waiting = kept;
        for block in &dropped {
            self.all.remove(block);
        }
        dropped.into()
    }

    /// Panics if the state contradicts itself.
    pub(super) fn check_invariants(&self) {
        let both = self.waiting.iter().chain(&self.leaving);
        assert_eq!(both.clone().count(), self.all.len());
        assert!(both.clone().all(|block| self.all.contains(block)));
        let leaving: u64 = self.leaving.iter().map(|b| u64::from(b.len)).sum();
        assert_eq!(leaving, self.leaving_bytes);
    }
}
