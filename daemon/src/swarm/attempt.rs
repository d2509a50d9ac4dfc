//! One peer's copy of the metadata as it arrives.
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use p2p_wire::BLOCK_LEN;

/// Parts asked of one peer at one time.
const PIPELINE: u32 = 8;
/// A part may take so long.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);

/// What became of a part.
pub(super) enum Part {
    /// Not asked for.
    Unwanted,
    /// Of the wrong length.
    Wrong,
    Kept,
    /// It was the last.
    Last,
}

#[derive(Debug)]
pub(super) struct Attempt {
    size: u32,
    parts: BTreeMap<u32, Bytes>,
    asked: BTreeSet<u32>,
    began: Instant,
    progress: Instant,
}

impl Attempt {
    /// Nothing of `size` bytes is here yet.
    pub(super) fn new(size: u32, now: Instant) -> Self {
        Self {
            size,
            parts: BTreeMap::new(),
            asked: BTreeSet::new(),
            began: now,
            progress: now,
        }
    }

    /// The next parts to ask for.
    pub(super) fn ask(&mut self) -> Vec<u32> {
        let room = PIPELINE.saturating_sub(self.asked.len() as u32);
        let free = (0..self.count())
            .filter(|part| !self.parts.contains_key(part) && !self.asked.contains(part));
        let parts: Vec<u32> = free.take(room as usize).collect();
        self.asked.extend(&parts);
        parts
    }

    /// A part came.
    pub(super) fn take(&mut self, part: u32, data: Bytes, now: Instant) -> Part {
        let begin = part.checked_mul(BLOCK_LEN);
        let rest = begin.and_then(|begin| self.size.checked_sub(begin));
        let Some(expected) = rest.filter(|_| self.asked.remove(&part)) else {
            return Part::Unwanted;
        };
        if data.len() != expected.min(BLOCK_LEN) as usize {
            return Part::Wrong;
        }
        self.progress = now;
        self.parts.insert(part, data);
        match self.parts.len() as u32 == self.count() {
            true => Part::Last,
            false => Part::Kept,
        }
    }

    /// All parts in order.
    pub(super) fn whole(self) -> Bytes {
        let mut whole = BytesMut::with_capacity(self.size as usize);
        let parts = self.parts.values();
        parts.for_each(|part| whole.extend_from_slice(part));
        whole.freeze()
    }

    /// When the peer has kept us waiting for too long.
    pub(super) fn gives_up(&self) -> Instant {
        self.progress + PATIENCE
    }

    /// When it was long enough to say that it is slow.
    pub(super) fn is_known(&self) -> Instant {
        self.began + PATIENCE
    }

    /// How long the rest takes at the rate so far.
    pub(super) fn rest(&self, now: Instant) -> Duration {
        let here = self.parts.len() as u32;
        let age = now.saturating_duration_since(self.began);
        age.saturating_mul(self.count() - here) / here.max(1)
    }

    fn count(&self) -> u32 {
        self.size.div_ceil(BLOCK_LEN)
    }
}
