//! Which piece to start next.
//!
//! Every open piece (wanted, not held, not in progress) stands in `order`, sorted by bucket; a bucket is an availability. A `have`
//! moves a piece to the neighbouring bucket by one swap, so it costs the same with ten pieces and with a hundred thousand. Within a
//! bucket the order is random: peers that pick the same piece at the same time have nothing to give each other. A few peers that know
//! each other do better than that: each has its own part of the pieces that only complete peers have, and begins with those.
//!
//! Pieces shorter than [`EXTENT`] are picked by the extent, one after the other: so the disks at both ends are read and written in runs.
//!
//! Peers that had everything from the start are only counted: they change no piece's rank. Bulk changes (a bitfield, a departure)
//! mark the order stale, and the next pick sorts it once for all of them.
use p2p_wire::{Bitfield, Layout};
use rand::RngExt;
use rand::rngs::SmallRng;

const NOWHERE: u32 = u32::MAX;
/// Pieces the whole swarm lacks and somebody here has; the same that nobody but complete peers has; then by availability, our own part
/// of those that only complete peers have before the others of them.
const BOOSTED: usize = 0;
const BOOSTED_UNSEEN: usize = 1;
const UNSEEN_OURS: usize = 2;
const UNSEEN: usize = 3;
const RANDOM_TRIES: usize = 16;
/// Bytes of short pieces that are picked one after the other, and how many such runs there must be, or peers would have little to give
/// each other. Peers divide pieces by it: one with another value is a rival whose part overlaps with ours, no more.
const EXTENT: u64 = 4 * 1024 * 1024;
const LEAST_EXTENTS: u64 = 256;
/// With more of them than this, pieces are not divided: then random picks rarely meet.
const MOST_RIVALS: usize = 8;

/// What to look for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// The piece fewest peers have.
    Rarest,
    /// Any piece: the first pieces of a new peer must come quickly, and rare ones come slowly.
    Random,
    /// The lowest number.
    Sequential,
}

/// Availability of all pieces and the order of the open ones.
///
/// Invariant: `position[order[i]] == i`; `ends[b]` is where bucket `b` ends in `order`; both hold unless `stale`.
#[derive(Debug)]
pub(super) struct Picker {
    counts: Vec<u32>,
    seeds: u32,
    boosted: Bitfield,
    /// Numbers that stand for us and for the others that lack pieces.
    rivals: (u64, Vec<u64>),
    /// Pieces to an extent, as a power of two.
    extent: u32,
    open: Bitfield,
    order: Vec<u32>,
    position: Vec<u32>,
    ends: Vec<u32>,
    stale: bool,
}

impl Picker {
    /// No peers yet; the pieces of `open` may be picked.
    pub(super) fn new(layout: &Layout, open: Bitfield) -> Self {
        let pieces = layout.pieces();
        Self {
            counts: vec![0; pieces as usize],
            seeds: 0,
            boosted: Bitfield::new(pieces),
            rivals: (0, Vec::new()),
            extent: extent(layout),
            open,
            order: Vec::new(),
            position: vec![NOWHERE; pieces as usize],
            ends: Vec::new(),
            stale: true,
        }
    }

    /// Whether the next pick must sort.
    #[cfg(test)]
    pub(super) fn is_stale(&self) -> bool {
        self.stale
    }

    /// The open pieces.
    pub(super) fn open(&self) -> &Bitfield {
        &self.open
    }

    /// How many connected peers have `piece`.
    pub(super) fn availability(&self, piece: u32) -> u32 {
        self.counts
            .get(piece as usize)
            .map_or(0, |n| n + self.seeds)
    }

    /// A peer that has everything came.
    pub(super) fn add_seed(&mut self) {
        self.seeds += 1;
    }

    /// A peer that was counted by [`Picker::add_seed`] went.
    pub(super) fn remove_seed(&mut self) {
        self.seeds = self.seeds.saturating_sub(1);
    }

    /// A peer said that it has all of `pieces`.
    pub(super) fn add_many(&mut self, pieces: impl Iterator<Item = u32>) {
        for piece in pieces {
            if let Some(count) = self.counts.get_mut(piece as usize) {
                *count += 1;
            }
        }
        self.stale = true;
    }

    /// A peer that had `pieces` went.
    pub(super) fn remove_many(&mut self, pieces: impl Iterator<Item = u32>) {
        for piece in pieces {
            if let Some(count) = self.counts.get_mut(piece as usize) {
                *count = count.saturating_sub(1);
            }
        }
        self.stale = true;
    }

    /// One more peer has `piece`.
    pub(super) fn add_one(&mut self, piece: u32, rng: &mut SmallRng) {
        self.change(piece, rng, |picker| picker.counts[piece as usize] += 1);
    }

    /// One peer less has `piece`.
    pub(super) fn remove_one(&mut self, piece: u32, rng: &mut SmallRng) {
        self.change(piece, rng, |picker| {
            let count = &mut picker.counts[piece as usize];
            *count = count.saturating_sub(1);
        });
    }

    /// Prefers `pieces` over all others from now on, and no others.
    pub(super) fn set_rarest(&mut self, pieces: &[u32]) {
        self.boosted = Bitfield::new(self.boosted.len());
        for piece in pieces {
            self.boosted.set(*piece);
        }
        self.stale = true;
    }

    /// Divides the pieces that only complete peers have between `us` and `others`, each named by a number that all of them know. As
    /// everybody does the same sum, none needs to be told.
    pub(super) fn set_rivals(&mut self, us: u64, mut others: Vec<u64>) {
        if others.len() > MOST_RIVALS {
            others.clear();
        }
        let rivals = (us, others);
        if rivals != self.rivals {
            self.rivals = rivals;
            self.stale = true;
        }
    }

    /// `piece` may be picked; true if it could not be before.
    pub(super) fn insert(&mut self, piece: u32, rng: &mut SmallRng) -> bool {
        if !self.open.set(piece) {
            return false;
        }
        if !self.stale {
            let bucket = self.bucket(piece);
            self.grow(bucket);
            self.position[piece as usize] = self.order.len() as u32;
            self.order.push(piece);
            let last = self.ends.len() - 1;
            self.ends[last] += 1;
            self.shift(piece, last, bucket);
            self.shuffle_one(piece, bucket, rng);
        }
        true
    }

    /// `piece` may not be picked any more; true if it could be before.
    pub(super) fn remove(&mut self, piece: u32) -> bool {
        if !self.open.clear(piece) {
            return false;
        }
        if !self.stale {
            let last = self.ends.len() - 1;
            self.shift(piece, self.bucket(piece), last);
            self.swap(self.position[piece as usize], self.order.len() as u32 - 1);
            self.order.pop();
            self.ends[last] -= 1;
            self.position[piece as usize] = NOWHERE;
        }
        true
    }

    /// The best open piece among `has`; `None` when none of them is open.
    pub(super) fn pick(&mut self, has: &Bitfield, mode: Mode, rng: &mut SmallRng) -> Option<u32> {
        if self.open.count() == 0 {
            return None;
        }
        if mode == Mode::Sequential {
            return common(has, &self.open).next();
        }
        if self.stale {
            self.sort(rng);
        }
        if mode == Mode::Random {
            for _ in 0..RANDOM_TRIES {
                let piece = self.order[rng.random_range(0..self.order.len())];
                if has.get(piece) {
                    return Some(piece);
                }
            }
        }
        let unseen = if self.seeds == 0 && self.ends.len() > UNSEEN {
            self.ends[BOOSTED] as usize..self.ends[UNSEEN] as usize
        } else {
            0..0
        };
        let (before, after) = (&self.order[..unseen.start], &self.order[unseen.end..]);
        let mut in_order = before.iter().chain(after).copied();
        // A walk in order is short unless the peer has next to nothing; a walk over the bits, eight pieces at a time, always ends.
        let steps = has.len() as usize / 8;
        let near = in_order.by_ref().take(steps).find(|piece| has.get(*piece));
        let picked = near.or_else(|| {
            in_order.next()?;
            common(has, &self.open).min_by_key(|piece| self.position[*piece as usize])
        })?;
        Some(self.first_alike(picked, has))
    }

    /// Whole copies among the peers and `ours`: of the rarest piece, plus the share of pieces that are more common.
    pub(super) fn copies(&self, ours: &Bitfield) -> f64 {
        let total = |piece: u32| self.availability(piece) + u32::from(ours.get(piece));
        let pieces = self.counts.len() as u32;
        let least = (0..pieces).map(total).min().unwrap_or(0);
        let above = (0..pieces).filter(|piece| total(*piece) > least).count();
        f64::from(least) + above as f64 / f64::from(pieces.max(1))
    }

    /// Panics if the order contradicts the counts. `held`: how many pieces all peers not counted as complete have in sum.
    pub(super) fn check_invariants(&self, held: u64, seeds: u32) {
        let sum: u64 = self.counts.iter().map(|n| u64::from(*n)).sum();
        assert_eq!((sum, self.seeds), (held, seeds), "availability");
        if self.stale {
            return;
        }
        assert_eq!(self.order.len() as u32, self.open.count(), "open pieces");
        let mut bucket = 0;
        for (i, piece) in self.order.iter().enumerate() {
            while self.ends[bucket] as usize <= i {
                bucket += 1;
            }
            assert_eq!(
                self.position[*piece as usize] as usize, i,
                "position of {piece}"
            );
            assert_eq!(self.bucket(*piece), bucket, "bucket of {piece}");
            assert!(self.open.get(*piece), "{piece} is open");
        }
    }

    fn bucket(&self, piece: u32) -> usize {
        match (self.boosted.get(piece), self.counts[piece as usize]) {
            (true, 0) => BOOSTED_UNSEEN,
            (true, _) => BOOSTED,
            (false, 0) if self.is_ours(piece) => UNSEEN_OURS,
            (false, count) => UNSEEN + count as usize,
        }
    }

    fn is_ours(&self, piece: u32) -> bool {
        let (us, others) = &self.rivals;
        let bid = |who: u64| mix(who ^ mix(u64::from(piece >> self.extent)));
        others.iter().all(|other| bid(*other) < bid(*us))
    }

    /// The first piece of the extent of `picked` that is as good a choice.
    fn first_alike(&self, picked: u32, has: &Bitfield) -> u32 {
        let first = picked >> self.extent << self.extent;
        let alike = |piece: &u32| {
            has.get(*piece) && self.open.get(*piece) && self.bucket(*piece) == self.bucket(picked)
        };
        (first..picked).find(alike).unwrap_or(picked)
    }

    fn change(&mut self, piece: u32, rng: &mut SmallRng, edit: impl FnOnce(&mut Self)) {
        if piece as usize >= self.counts.len() {
            return;
        }
        let before = self.bucket(piece);
        edit(self);
        let after = self.bucket(piece);
        if self.stale || !self.open.get(piece) || before == after {
            return;
        }
        self.grow(after);
        self.shift(piece, before, after);
        self.shuffle_one(piece, after, rng);
    }

    fn grow(&mut self, bucket: usize) {
        if self.ends.len() <= bucket {
            self.ends.resize(bucket + 1, self.order.len() as u32);
        }
    }

    /// Moves a piece from bucket to bucket, one swap each.
    fn shift(&mut self, piece: u32, from: usize, to: usize) {
        for bucket in from..to {
            self.ends[bucket] -= 1;
            self.swap(self.position[piece as usize], self.ends[bucket]);
        }
        for bucket in (to..from).rev() {
            self.swap(self.position[piece as usize], self.ends[bucket]);
            self.ends[bucket] += 1;
        }
    }

    fn shuffle_one(&mut self, piece: u32, bucket: usize, rng: &mut SmallRng) {
        let start = bucket.checked_sub(1).map_or(0, |below| self.ends[below]);
        let other = rng.random_range(start..self.ends[bucket]);
        self.swap(self.position[piece as usize], other);
    }

    fn swap(&mut self, a: u32, b: u32) {
        self.order.swap(a as usize, b as usize);
        self.position[self.order[a as usize] as usize] = a;
        self.position[self.order[b as usize] as usize] = b;
    }

    /// Sorts the open pieces by bucket, in random order within each.
    fn sort(&mut self, rng: &mut SmallRng) {
        let mut pieces: Vec<u32> = self.open.iter().collect();
        for i in (1..pieces.len()).rev() {
            pieces.swap(i, rng.random_range(0..=i));
        }
        let buckets = pieces
            .iter()
            .map(|piece| self.bucket(*piece) + 1)
            .max()
            .unwrap_or(0)
            .max(UNSEEN + 1);
        let mut next = vec![0u32; buckets + 1];
        for piece in &pieces {
            next[self.bucket(*piece) + 1] += 1;
        }
        for bucket in 0..buckets {
            next[bucket + 1] += next[bucket];
        }
        self.ends = next[1..].to_vec();
        self.order = vec![0; pieces.len()];
        self.position.fill(NOWHERE);
        for piece in pieces {
            let slot = &mut next[self.bucket(piece)];
            self.order[*slot as usize] = piece;
            self.position[piece as usize] = *slot;
            *slot += 1;
        }
        self.stale = false;
    }
}

fn extent(layout: &Layout) -> u32 {
    let bytes = EXTENT.min(layout.total_len() / LEAST_EXTENTS);
    (bytes / u64::from(layout.piece_len())).max(1).ilog2()
}

/// Spreads numbers evenly (the finalizer of MurmurHash3).
fn mix(mut x: u64) -> u64 {
    for factor in [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53] {
        x = (x ^ (x >> 33)).wrapping_mul(factor);
    }
    x ^ (x >> 33)
}

/// The pieces in both sets, ascending.
pub(super) fn common(a: &Bitfield, b: &Bitfield) -> impl Iterator<Item = u32> {
    a.as_bytes()
        .iter()
        .zip(b.as_bytes())
        .enumerate()
        .filter_map(|(i, (a, b))| (a & b != 0).then_some((i as u32 * 8, a & b)))
        .flat_map(|(first, bits)| {
            (0..8)
                .filter(move |bit| bits & (0x80 >> bit) != 0)
                .map(move |bit| first + bit)
        })
}

/// How many pieces are in both sets.
pub(super) fn count_common(a: &Bitfield, b: &Bitfield) -> u32 {
    let ((a, a_rest), (b, b_rest)) = (a.as_bytes().as_chunks(), b.as_bytes().as_chunks());
    let whole = a.iter().zip(b).map(|(a, b)| {
        let common = u64::from_ne_bytes(*a) & u64::from_ne_bytes(*b);
        common.count_ones()
    });
    let rest = a_rest.iter().zip(b_rest).map(|(a, b)| (a & b).count_ones());
    whole.chain(rest).sum()
}

#[cfg(test)]
#[path = "picker_tests.rs"]
mod tests;
