//! One piece in progress: which of its blocks were asked for, which came, and from whom.
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

/// How a piece is started.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start {
    pub(super) owner: PeerKey,
    pub(super) single: bool,
}

/// What became of a received block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Receipt {
    /// Not wanted: had already, or its piece is not in progress, or only another peer may give it.
    Unwanted,
    /// Kept. `others`: how many more peers are asked for some of it; `again`: bytes of it that were here already; `whole`: it was the last of
    /// its piece.
    Kept {
        others: u16,
        again: u32,
        whole: bool,
    },
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

/// How many blocks of the usual length lie in `block`.
pub(super) fn count(block: Block) -> u32 {
    block.len.div_ceil(BLOCK_LEN)
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

impl Partial {
    /// A piece of which nothing is asked for yet.
    pub(super) fn new(layout: &Layout, piece: PieceIndex, how: Start, now: Instant) -> Self {
        let blocks = layout.blocks_of(piece);
        Self {
            slots: vec![Slot::Free; blocks as usize],
            free: blocks,
            received: 0,
            received_bytes: 0,
            len: layout.len_of(piece),
            owner: Some(how.owner),
            single: how.single,
            slow: false,
            verifying: false,
            sources: Vec::new(),
            started: now,
            touched: now,
            hint: 0,
        }
    }

    /// Blocks that some peer is asked for.
    pub(super) fn asked(&self) -> u32 {
        self.slots.len() as u32 - self.free - self.received
    }

    /// Whether any peer may take what is free.
    pub(super) fn is_shared(&self) -> bool {
        self.free > 0 && !self.single && (self.slow || self.owner.is_none())
    }

    /// Whether only another peer may give blocks of it.
    pub(super) fn is_closed_to(&self, key: PeerKey) -> bool {
        self.single && self.owner != Some(key)
    }

    /// The slots of a block that have not come.
    pub(super) fn lacking(&self, block: Block) -> impl Iterator<Item = usize> {
        let lacks = |slot: &Slot| *slot != Slot::Received;
        slots(block).filter(move |number| self.slots.get(*number).is_some_and(lacks))
    }

    /// Asks `peer` for the first free blocks, `most` of them at most, and hands the begin and the length of each to `ask`: as a long block, of
    /// `longest` of them, where all of that are free and it begins at a multiple of its length.
    pub(super) fn take_free(
        &mut self,
        (most, longest): (u32, u32),
        (peer, now): (PeerKey, Instant),
        mut ask: impl FnMut(u32, u32),
    ) {
        let asked = Slot::Asked {
            times: 1,
            by: peer,
            at: now,
        };
        let mut left = most.min(self.free);
        self.free -= left;
        while left > 0
            && let Some(slot) = self.slots.get(self.hint as usize)
        {
            let first = self.hint;
            let begin = first * BLOCK_LEN;
            if *slot != Slot::Free {
                self.hint += 1;
                continue;
            }
            let (mut count, mut len) = (1, BLOCK_LEN.min(self.len - begin));
            if left >= longest && first.is_multiple_of(longest) {
                let long = BLOCK_LEN * longest;
                let all = self.slots.get(first as usize..(first + longest) as usize);
                let free = all.is_some_and(|all| all.iter().all(|slot| *slot == Slot::Free));
                if free && self.len - begin >= long {
                    (count, len) = (longest, long);
                }
            }
            self.hint += count;
            self.slots[first as usize..self.hint as usize].fill(asked);
            left -= count;
            ask(begin, len);
        }
        debug_assert_eq!(left, 0, "no slot before the hint is free");
    }

    /// Asks one more peer for a block; false if it is here already.
    pub(super) fn ask_again(&mut self, block: Block, peer: PeerKey, now: Instant) -> bool {
        let mut lacks = false;
        for slot in self.slots.get_mut(slots(block)).into_iter().flatten() {
            let times = match *slot {
                Slot::Received => continue,
                Slot::Asked { times, .. } => times.saturating_add(1),
                Slot::Free => {
                    self.free -= 1;
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
        lacks
    }

    /// Changes when `peer` was asked for a block, if it was the last to be asked.
    pub(super) fn asked_later(
        &mut self,
        block: Block,
        peer: PeerKey,
        later: impl Fn(&mut Instant),
    ) {
        for slot in self.slots.get_mut(slots(block)).into_iter().flatten() {
            if let Slot::Asked { by, at, .. } = slot
                && *by == peer
            {
                later(at);
            }
        }
    }

    /// One peer less is asked for a block.
    pub(super) fn release(&mut self, block: Block) {
        for number in slots(block) {
            if let Some(slot) = self.slots.get_mut(number)
                && let Slot::Asked { times, .. } = slot
            {
                *times -= 1;
                if *times == 0 {
                    *slot = Slot::Free;
                    self.free += 1;
                    self.hint = self.hint.min(number as u32);
                }
            }
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
        if self.is_closed_to(source.key) {
            return Receipt::Unwanted;
        }
        let (mut others, mut again, before) = (0, block.len, self.received);
        for number in slots(block) {
            let Some(slot) = self.slots.get_mut(number) else {
                return Receipt::Unwanted;
            };
            match *slot {
                Slot::Received => continue,
                Slot::Asked { times, .. } => others = others.max(times - u16::from(counted)),
                Slot::Free => self.free -= 1,
            }
            *slot = Slot::Received;
            self.received += 1;
            let begin = number as u32 * BLOCK_LEN;
            again -= (block.begin + block.len - begin).min(BLOCK_LEN);
        }
        if self.received == before {
            return Receipt::Unwanted;
        }
        self.received_bytes += u64::from(block.len - again);
        self.touched = now;
        if !self.sources.iter().any(|s| s.key == source.key) {
            self.sources.push(source);
        }
        let whole = self.received as usize == self.slots.len();
        self.verifying = whole;
        Receipt::Kept {
            others,
            again,
            whole,
        }
    }

    /// Panics if a count is wrong; gives the slots that are asked for, and how often each is.
    pub(super) fn check_invariants(&self) -> impl Iterator<Item = (usize, u16)> {
        let count = |want: fn(&Slot) -> bool| self.slots.iter().filter(|s| want(s)).count();
        assert_eq!(self.free as usize, count(|s| *s == Slot::Free), "free");
        let received = count(|s| *s == Slot::Received);
        assert_eq!(self.received as usize, received, "received");
        assert_eq!(self.verifying, received == self.slots.len());
        assert!(!self.single || self.sources.len() <= 1, "sources");
        let mut before = self.slots.iter().take(self.hint as usize);
        assert!(
            before.all(|slot| *slot != Slot::Free),
            "free before the hint"
        );
        let slots = self.slots.iter().enumerate();
        slots.filter_map(|(number, slot)| match slot {
            Slot::Asked { times, .. } => Some((number, *times)),
            _ => None,
        })
    }
}
