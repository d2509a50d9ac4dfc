//! Pieces in progress: which blocks were asked for, which came, and from whom.
//!
//! A piece counts against the budget with its whole length from its start until it is verified. Were it counted block by block, many
//! half pieces could fill the budget and none could ever be finished.
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Instant;

use p2p_wire::{BLOCK_LEN, Block, Layout, PieceIndex};

use super::PeerKey;
use super::peer::Who;

/// What is known of one block of the usual length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// Nobody is asked for it.
    Free,
    /// `times` peers are asked, `by` last, at `at`.
    Asked {
        times: u16,
        by: PeerKey,
        at: Instant,
    },
    Received,
}

/// Who gave blocks of a piece; kept when the connection is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) key: PeerKey,
    pub(super) addr: SocketAddr,
    pub(super) who: Who,
}

/// One piece in progress. Invariant: `free` and `received` count the slots of their kind; no slot before `hint` is free.
#[derive(Debug)]
pub(super) struct Partial {
    pub(super) slots: Vec<Slot>,
    pub(super) free: u32,
    pub(super) received: u32,
    pub(super) received_bytes: u64,
    pub(super) len: u32,
    /// The peer that started it and still works on it.
    pub(super) owner: Option<PeerKey>,
    /// Every block must come from the owner: the piece failed before, or the owner is on parole.
    pub(super) single: bool,
    /// The owner was found to need help.
    pub(super) slow: bool,
    /// Handed out for hashing.
    pub(super) verifying: bool,
    pub(super) sources: Vec<Source>,
    pub(super) started: Instant,
    /// When the last block came.
    pub(super) touched: Instant,
    hint: u32,
}

impl Partial {
    /// Blocks that some peer is asked for.
    pub(super) fn asked(&self) -> u32 {
        self.slots.len() as u32 - self.free - self.received
    }

    /// Whether any peer may take what is free.
    fn is_shared(&self) -> bool {
        self.free > 0 && !self.single && (self.slow || self.owner.is_none())
    }
}

/// How a piece is started.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start {
    pub(super) owner: PeerKey,
    pub(super) single: bool,
}

/// What became of a received block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Receipt {
    /// Not wanted: had already, or its piece is not in progress.
    Unwanted,
    /// Kept. `others`: how many more peers are asked for some of it; `again`: bytes of it that were here already; `whole`: it was the last of
    /// its piece.
    Kept {
        others: u16,
        again: u32,
        whole: bool,
    },
}

/// The slots that a block fills: one, or as many as a long one has blocks of the usual length.
fn slots(block: Block) -> Range<usize> {
    let end = block.begin.saturating_add(block.len).div_ceil(BLOCK_LEN);
    (block.begin / BLOCK_LEN) as usize..end as usize
}

/// Whether two blocks have bytes in common.
pub(super) fn overlap(one: Block, other: Block) -> bool {
    let before = |a: Block, b: Block| a.begin < b.begin.saturating_add(b.len);
    one.piece == other.piece && before(one, other) && before(other, one)
}

/// All pieces in progress.
///
/// Invariant: `with_free` names exactly the pieces with a free block, `shared` those of them that any peer may help with: who has
/// room for requests finds a piece without looking at all. `committed` is the sum of the lengths.
#[derive(Debug)]
pub(super) struct Progress {
    layout: Layout,
    partials: BTreeMap<u32, Partial>,
    with_free: BTreeSet<u32>,
    shared: BTreeSet<u32>,
    committed: u64,
}

impl Progress {
    pub(super) fn new(layout: Layout) -> Self {
        Self {
            layout,
            partials: BTreeMap::new(),
            with_free: BTreeSet::new(),
            shared: BTreeSet::new(),
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

    /// Begins a piece that is not in progress.
    pub(super) fn start(&mut self, piece: PieceIndex, how: Start, now: Instant) {
        let (len, blocks) = (self.layout.len_of(piece), self.layout.blocks_of(piece));
        let partial = Partial {
            slots: vec![Slot::Free; blocks as usize],
            free: blocks,
            received: 0,
            received_bytes: 0,
            len,
            owner: Some(how.owner),
            single: how.single,
            slow: false,
            verifying: false,
            sources: Vec::new(),
            started: now,
            touched: now,
            hint: 0,
        };
        let before = self.partials.insert(piece.get(), partial);
        debug_assert!(before.is_none(), "a piece is started once");
        self.with_free.insert(piece.get());
        self.committed += u64::from(len);
    }

    /// Ends a piece, verified or given up.
    pub(super) fn remove(&mut self, piece: u32) -> Option<Partial> {
        let partial = self.partials.remove(&piece)?;
        self.with_free.remove(&piece);
        self.shared.remove(&piece);
        self.committed -= u64::from(partial.len);
        Some(partial)
    }

    /// The piece goes to another owner, or to none.
    pub(super) fn set_owner(&mut self, piece: u32, owner: Option<PeerKey>) {
        if let Some(partial) = self.partials.get_mut(&piece) {
            partial.owner = owner;
            partial.slow = false;
            self.refile(piece);
        }
    }

    /// Says of each piece with a free block and an owner whether that owner needs help.
    pub(super) fn judge_owners(&mut self, needs_help: impl Fn(PeerKey, &Partial) -> bool) {
        let mut changed = Vec::new();
        for piece in &self.with_free {
            if let Some(partial) = self.partials.get_mut(piece)
                && let Some(owner) = partial.owner
            {
                let slow = needs_help(owner, partial);
                if std::mem::replace(&mut partial.slow, slow) != slow {
                    changed.push(*piece);
                }
            }
        }
        for piece in changed {
            self.refile(piece);
        }
    }

    /// Asks `peer` for the first free blocks of `piece`, `most` of them at most, and hands each to `ask`: as a long block, of `longest` of them,
    /// where all of that are free and it begins at a multiple of its length.
    pub(super) fn take_free(
        &mut self,
        piece: PieceIndex,
        (most, longest): (u32, u32),
        (peer, now): (PeerKey, Instant),
        mut ask: impl FnMut(Block),
    ) {
        let Some(partial) = self.partials.get_mut(&piece.get()) else {
            return;
        };
        let layout = self.layout;
        let asked = Slot::Asked {
            times: 1,
            by: peer,
            at: now,
        };
        let mut left = most.min(partial.free);
        partial.free -= left;
        while left > 0
            && let Some(mut block) = layout.block(piece, partial.hint)
        {
            let mut count = 1;
            let first = partial.hint as usize;
            if left >= longest && partial.hint.is_multiple_of(longest) {
                let long = BLOCK_LEN * longest;
                let fits = partial.len - block.begin >= long;
                let all = partial.slots.get(first..first + longest as usize);
                if fits && all.is_some_and(|all| all.iter().all(|slot| *slot == Slot::Free)) {
                    (count, block.len) = (longest, long);
                }
            }
            partial.hint += count;
            let slots = partial.slots.iter_mut().skip(first).take(count as usize);
            let free = slots.filter(|slot| **slot == Slot::Free);
            let taken = free.map(|slot| *slot = asked).count();
            if taken > 0 {
                left -= count;
                ask(block);
            }
        }
        debug_assert_eq!(left, 0, "no slot before the hint is free");
        if partial.free == 0 {
            self.refile(piece.get());
        }
    }

    /// Puts a piece into the sets it belongs to, after it changed.
    fn refile(&mut self, piece: u32) {
        let partial = self.partials.get(&piece);
        let belongs = [
            (&mut self.with_free, partial.is_some_and(|p| p.free > 0)),
            (&mut self.shared, partial.is_some_and(Partial::is_shared)),
        ];
        for (set, belongs) in belongs {
            match belongs {
                true => set.insert(piece),
                false => set.remove(&piece),
            };
        }
    }

    /// Asks one more peer for a block; false if it is here already.
    pub(super) fn ask_again(&mut self, block: Block, peer: PeerKey, now: Instant) -> bool {
        let Some(partial) = self.partials.get_mut(&block.piece) else {
            return false;
        };
        let mut lacks = false;
        for slot in partial.slots.get_mut(slots(block)).into_iter().flatten() {
            let times = match *slot {
                Slot::Received => continue,
                Slot::Asked { times, .. } => times.saturating_add(1),
                Slot::Free => {
                    partial.free -= 1;
                    1
                }
            };
            lacks = true;
            *slot = Slot::Asked {
                times,
                by: peer,
                at: now,
            };
        }
        if partial.free == 0 {
            self.refile(block.piece);
        }
        lacks
    }

    /// Whether some of a block has not come.
    pub(super) fn lacks(&self, block: Block) -> bool {
        let partial = self.partials.get(&block.piece);
        let slots = partial.and_then(|partial| partial.slots.get(slots(block)));
        slots.is_some_and(|slots| slots.iter().any(|slot| *slot != Slot::Received))
    }

    /// Changes when `peer` was asked for a block, if it was the last to be asked.
    pub(super) fn asked_later(
        &mut self,
        block: Block,
        peer: PeerKey,
        later: impl Fn(&mut Instant),
    ) {
        let partial = self.partials.get_mut(&block.piece);
        let slots = partial.and_then(|p| p.slots.get_mut(slots(block)));
        for slot in slots.into_iter().flatten() {
            if let Slot::Asked { by, at, .. } = slot
                && *by == peer
            {
                later(at);
            }
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
        let Some(partial) = self.partials.get_mut(&block.piece) else {
            return;
        };
        let before = partial.free;
        for number in slots(block) {
            if let Some(slot) = partial.slots.get_mut(number)
                && let Slot::Asked { times, .. } = slot
            {
                *times -= 1;
                if *times == 0 {
                    *slot = Slot::Free;
                    partial.free += 1;
                    partial.hint = partial.hint.min(number as u32);
                }
            }
        }
        if partial.free > before {
            self.refile(block.piece);
        }
    }

    /// A block came from `source`; `counted`: it is among those the slot counts as asked.
    pub(super) fn receive(
        &mut self,
        block: Block,
        source: Source,
        counted: bool,
        now: Instant,
    ) -> Receipt {
        let Some(partial) = self.partials.get_mut(&block.piece) else {
            return Receipt::Unwanted;
        };
        let (mut others, mut again, before) = (0, block.len, partial.received);
        let free = partial.free;
        for number in slots(block) {
            let Some(slot) = partial.slots.get_mut(number) else {
                return Receipt::Unwanted;
            };
            match *slot {
                Slot::Received => continue,
                Slot::Asked { times, .. } => others = others.max(times - u16::from(counted)),
                Slot::Free => partial.free -= 1,
            }
            *slot = Slot::Received;
            partial.received += 1;
            let begin = number as u32 * BLOCK_LEN;
            again -= (block.begin + block.len - begin).min(BLOCK_LEN);
        }
        if partial.received == before {
            return Receipt::Unwanted;
        }
        partial.received_bytes += u64::from(block.len - again);
        partial.touched = now;
        if !partial.sources.iter().any(|s| s.key == source.key) {
            partial.sources.push(source);
        }
        let whole = partial.received as usize == partial.slots.len();
        partial.verifying = whole;
        if partial.free < free {
            self.refile(block.piece);
        }
        Receipt::Kept {
            others,
            again,
            whole,
        }
    }

    /// Panics if a count is wrong. `asked`: how often each block is outstanding at peers that are counted.
    pub(super) fn check_invariants(&self, asked: &BTreeMap<Block, u16>) {
        let mut committed = 0;
        let mut expected = 0;
        // Of a long block some may be here already, but not all.
        let mut times_of: BTreeMap<(u32, usize), u16> = BTreeMap::new();
        for (block, times) in asked {
            assert!(self.lacks(*block), "{block:?} is here or nobody's");
            for number in slots(*block) {
                let slot = self.partials.get(&block.piece).map(|p| p.slots[number]);
                if slot != Some(Slot::Received) {
                    *times_of.entry((block.piece, number)).or_default() += times;
                }
            }
        }
        for (piece, partial) in &self.partials {
            committed += u64::from(partial.len);
            let count = |want: fn(&Slot) -> bool| partial.slots.iter().filter(|s| want(s)).count();
            assert_eq!(
                partial.free as usize,
                count(|s| *s == Slot::Free),
                "free of {piece}"
            );
            let received = count(|s| *s == Slot::Received);
            assert_eq!(partial.received as usize, received, "received of {piece}");
            assert_eq!(partial.verifying, received == partial.slots.len());
            assert_eq!(self.with_free.contains(piece), partial.free > 0);
            assert_eq!(self.shared.contains(piece), partial.is_shared());
            assert!(
                !partial.single || partial.sources.len() <= 1,
                "sources of {piece}"
            );
            for (number, slot) in partial.slots.iter().enumerate() {
                assert!(number as u32 >= partial.hint || *slot != Slot::Free);
                if let Slot::Asked { times, .. } = slot {
                    let place = (*piece, number);
                    assert_eq!(times_of.get(&place), Some(times), "{place:?}");
                    expected += 1;
                }
            }
        }
        assert_eq!(times_of.len(), expected, "requests without a slot");
        assert_eq!(self.committed, committed);
    }
}
