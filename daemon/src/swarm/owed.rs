//! What one peer was asked for and has not given yet.
use std::collections::VecDeque;
use std::time::Instant;

use p2p_wire::Block;

use super::partial::count;

/// A request that has no answer yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    pub(super) block: Block,
    pub(super) at: Instant,
}

/// Requests in the order they were made.
///
/// A request is for one block of the usual length, or for a long one, of so many of those. Windows and budgets count what is asked for, not how
/// often. Invariant: `blocks` counts it, in blocks of the usual length.
#[derive(Debug, Default)]
pub(super) struct Owed {
    requests: VecDeque<Request>,
    blocks: u32,
}

impl Owed {
    /// All of it, in blocks of the usual length.
    pub(super) fn blocks(&self) -> u32 {
        self.blocks
    }

    pub(super) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Request> {
        self.requests.iter()
    }

    /// The oldest.
    pub(super) fn front(&self) -> Option<&Request> {
        self.requests.front()
    }

    pub(super) fn push(&mut self, block: Block, at: Instant) {
        self.blocks += count(block);
        self.requests.push_back(Request { block, at });
    }

    /// Takes out the request for `block`, if there is one; answers usually come in order.
    pub(super) fn take(&mut self, block: Block) -> Option<Request> {
        let at = self.requests.iter().position(|r| r.block == block)?;
        self.blocks -= count(block);
        self.requests.remove(at)
    }

    /// Takes out all requests that `which` names, and gives their blocks.
    pub(super) fn take_all(&mut self, which: impl Fn(Block) -> bool) -> Vec<Block> {
        let mut taken = Vec::new();
        self.requests.retain(|request| {
            let gone = which(request.block);
            if gone {
                taken.push(request.block);
            }
            !gone
        });
        self.blocks -= taken.iter().copied().map(count).sum::<u32>();
        taken
    }

    /// Changes when each was made.
    pub(super) fn change_times(&mut self, mut change: impl FnMut(Block, &mut Instant)) {
        for Request { block, at } in &mut self.requests {
            change(*block, at);
        }
    }

    /// Panics if the count is wrong.
    pub(super) fn check_invariants(&self) {
        let blocks: u32 = self.iter().map(|request| count(request.block)).sum();
        assert_eq!(self.blocks, blocks);
    }
}
