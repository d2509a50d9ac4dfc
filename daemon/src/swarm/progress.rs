//! All pieces in progress.
//!
//! A piece counts against the budget with its whole length from its start until it is verified. Were it counted block by block, many
//! half pieces could fill the budget and none could ever be finished.
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use p2p_wire::{Block, Layout, PieceIndex};

use super::PeerKey;
use super::partial::{Partial, Receipt, Source, Start};

/// The pieces in progress, and what is asked about all of them at once, so that nobody has to look at each.
///
/// Invariant: `with_free` names exactly the pieces with a free block, `shared` those of them that any peer may help with: who has
/// room for requests finds a piece without looking at all. `owned` counts the pieces of each owner. `committed` is the sum of the lengths.
#[derive(Debug)]
pub(super) struct Progress {
    layout: Layout,
    partials: BTreeMap<u32, Partial>,
    with_free: BTreeSet<u32>,
    shared: BTreeSet<u32>,
    owned: BTreeMap<PeerKey, u32>,
    committed: u64,
}

/// What a piece counts as.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Standing {
    with_free: bool,
    shared: bool,
    owner: Option<PeerKey>,
}

impl Standing {
    fn of(partial: &Partial) -> Self {
        Self {
            with_free: partial.free > 0,
            shared: partial.is_shared(),
            owner: partial.owner,
        }
    }
}

impl Progress {
    pub(super) fn new(layout: Layout) -> Self {
        Self {
            layout,
            partials: BTreeMap::new(),
            with_free: BTreeSet::new(),
            shared: BTreeSet::new(),
            owned: BTreeMap::new(),
            committed: 0,
        }
    }

    /// Bytes of all pieces in progress.
    pub(super) fn committed(&self) -> u64 {
        self.committed
    }

    pub(super) fn is_empty(&self) -> bool {
        self.partials.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.partials.len()
    }

    pub(super) fn get(&self, piece: u32) -> Option<&Partial> {
        self.partials.get(&piece)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Partial)> {
        self.partials
            .iter()
            .map(|(piece, partial)| (*piece, partial))
    }

    /// The pieces with a block that nobody is asked for.
    pub(super) fn with_free(&self) -> impl Iterator<Item = (u32, &Partial)> {
        self.with_free
            .iter()
            .filter_map(|piece| Some((*piece, self.partials.get(piece)?)))
    }

    /// Those of them whose owner needs help, or that have none.
    pub(super) fn shared(&self) -> impl Iterator<Item = u32> {
        self.shared.iter().copied()
    }

    /// How many pieces `owner` has.
    pub(super) fn owned(&self, owner: PeerKey) -> u32 {
        self.owned.get(&owner).copied().unwrap_or(0)
    }

    /// Begins a piece that is not in progress.
    pub(super) fn start(&mut self, piece: PieceIndex, how: Start, now: Instant) {
        let partial = Partial::new(&self.layout, piece, how, now);
        self.committed += u64::from(partial.len);
        self.refile(piece.get(), Standing::default(), Standing::of(&partial));
        let before = self.partials.insert(piece.get(), partial);
        debug_assert!(before.is_none(), "a piece is started once");
    }

    /// Ends a piece, verified or given up.
    pub(super) fn remove(&mut self, piece: u32) -> Option<Partial> {
        let partial = self.partials.remove(&piece)?;
        self.refile(piece, Standing::of(&partial), Standing::default());
        self.committed -= u64::from(partial.len);
        Some(partial)
    }

    /// Changes a piece; `None` if it is not in progress.
    fn change<T>(&mut self, piece: u32, change: impl FnOnce(&mut Partial) -> T) -> Option<T> {
        let partial = self.partials.get_mut(&piece)?;
        let before = Standing::of(partial);
        let done = change(partial);
        let after = Standing::of(partial);
        self.refile(piece, before, after);
        Some(done)
    }

    /// Counts a piece as what it is now instead of what it was.
    fn refile(&mut self, piece: u32, before: Standing, after: Standing) {
        for (set, before, after) in [
            (&mut self.with_free, before.with_free, after.with_free),
            (&mut self.shared, before.shared, after.shared),
        ] {
            match (before, after) {
                (false, true) => set.insert(piece),
                (true, false) => set.remove(&piece),
                _ => continue,
            };
        }
        if before.owner == after.owner {
            return;
        }
        if let Some(owner) = after.owner {
            *self.owned.entry(owner).or_default() += 1;
        }
        if let Some(owner) = before.owner
            && let Some(count) = self.owned.get_mut(&owner)
        {
            *count -= 1;
            if *count == 0 {
                self.owned.remove(&owner);
            }
        }
    }

    /// The piece goes to another owner, or to none.
    pub(super) fn set_owner(&mut self, piece: u32, owner: Option<PeerKey>) {
        self.change(piece, |partial| {
            partial.owner = owner;
            partial.slow = false;
        });
    }

    /// Says of each piece with a free block and an owner whether that owner needs help.
    pub(super) fn judge_owners(&mut self, needs_help: impl Fn(PeerKey, &Partial) -> bool) {
        let judged = self.with_free().filter_map(|(piece, partial)| {
            let slow = needs_help(partial.owner?, partial);
            (slow != partial.slow).then_some((piece, slow))
        });
        for (piece, slow) in judged.collect::<Vec<_>>() {
            self.change(piece, |partial| partial.slow = slow);
        }
    }

    /// Asks `peer` for free blocks of `piece`, as [`Partial::take_free`] says, and hands each to `ask`.
    pub(super) fn take_free(
        &mut self,
        piece: PieceIndex,
        how_many: (u32, u32),
        to: (PeerKey, Instant),
        mut ask: impl FnMut(Block),
    ) {
        let piece = piece.get();
        self.change(piece, |partial| {
            partial.take_free(how_many, to, |begin, len| ask(Block { piece, begin, len }));
        });
    }

    /// Asks one more peer for a block; false if it is here already.
    pub(super) fn ask_again(&mut self, block: Block, peer: PeerKey, now: Instant) -> bool {
        let asked = self.change(block.piece, |partial| partial.ask_again(block, peer, now));
        asked.unwrap_or(false)
    }

    /// Whether some of a block has not come.
    pub(super) fn lacks(&self, block: Block) -> bool {
        let partial = self.partials.get(&block.piece);
        partial.is_some_and(|partial| partial.lacking(block).next().is_some())
    }

    /// Changes when `peer` was asked for a block, if it was the last to be asked.
    pub(super) fn asked_later(
        &mut self,
        block: Block,
        peer: PeerKey,
        later: impl Fn(&mut Instant),
    ) {
        if let Some(partial) = self.partials.get_mut(&block.piece) {
            partial.asked_later(block, peer, later);
        }
    }

    /// Changes when the pieces of `owner` were begun.
    pub(super) fn owned_later(&mut self, owner: PeerKey, later: impl Fn(&mut Instant)) {
        let owned = self
            .partials
            .values_mut()
            .filter(|p| p.owner == Some(owner));
        owned.for_each(|partial| later(&mut partial.started));
    }

    /// One peer less is asked for a block.
    pub(super) fn release(&mut self, block: Block) {
        self.change(block.piece, |partial| partial.release(block));
    }

    /// A block came from `source`; `counted`: it is among those the slot counts as asked.
    pub(super) fn receive(
        &mut self,
        block: Block,
        source: Source,
        counted: bool,
        now: Instant,
    ) -> Receipt {
        let receive = |partial: &mut Partial| partial.receive(block, source, counted, now);
        let receipt = self.change(block.piece, receive);
        receipt.unwrap_or(Receipt::Unwanted)
    }

    /// Panics if a count is wrong. `asked`: how often each block is outstanding at peers that are counted.
    pub(super) fn check_invariants(&self, asked: &BTreeMap<Block, u16>) {
        // Of a long block some may be here already, but not all.
        let mut expected: BTreeMap<(u32, usize), u16> = BTreeMap::new();
        for (block, times) in asked {
            assert!(self.lacks(*block), "{block:?} is here or nobody's");
            for number in self.partials[&block.piece].lacking(*block) {
                *expected.entry((block.piece, number)).or_default() += times;
            }
        }
        let mut counted = BTreeMap::new();
        let mut owned: BTreeMap<PeerKey, u32> = BTreeMap::new();
        for (piece, partial) in &self.partials {
            let slots = partial.check_invariants();
            counted.extend(slots.map(|(number, times)| ((*piece, number), times)));
            assert_eq!(self.with_free.contains(piece), partial.free > 0);
            assert_eq!(self.shared.contains(piece), partial.is_shared());
            if let Some(owner) = partial.owner {
                *owned.entry(owner).or_default() += 1;
            }
        }
        assert_eq!(counted, expected, "requests and slots");
        assert_eq!(self.owned, owned, "pieces of each owner");
        let committed: u64 = self.partials.values().map(|p| u64::from(p.len)).sum();
        assert_eq!(self.committed, committed);
    }
}
