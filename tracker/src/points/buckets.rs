//! Pieces sorted by how many hold them: one up or down is O(1), the rarest are a prefix.

/// The pieces of one item in the order of their counts, as counting sort leaves them.
///
/// Invariant: `order` is a permutation of the pieces with ascending counts, `place` is its inverse, and `starts[c]` is the place of the
/// first piece whose count is at least `c`. So a piece goes up by swapping it with the last of its bucket and moving one border.
#[derive(Clone, Debug)]
pub(crate) struct Buckets {
    counts: Vec<u32>,
    order: Vec<u32>,
    place: Vec<u32>,
    starts: Vec<u32>,
}

impl Buckets {
    /// All pieces, held by nobody.
    pub(crate) fn new(pieces: u32) -> Self {
        let all: Vec<u32> = (0..pieces).collect();
        Self {
            counts: vec![0; pieces as usize],
            order: all.clone(),
            place: all,
            starts: vec![0, pieces],
        }
    }

    /// How many hold `piece`; 0 out of range.
    pub(crate) fn count(&self, piece: u32) -> u32 {
        self.counts.get(piece as usize).copied().unwrap_or(0)
    }

    /// Counts in the order of the pieces.
    pub(crate) fn counts(&self) -> &[u32] {
        &self.counts
    }

    /// The pieces, rarest first.
    pub(crate) fn rarest(&self) -> &[u32] {
        &self.order
    }

    /// How many pieces have at most `count` holders.
    pub(crate) fn at_most(&self, count: u32) -> u32 {
        let all = self.order.len() as u32;
        count
            .checked_add(1)
            .and_then(|next| self.starts.get(next as usize))
            .copied()
            .unwrap_or(all)
    }

    /// The least count; 0 for an item without pieces.
    pub(crate) fn least(&self) -> u32 {
        self.order.first().map_or(0, |piece| self.count(*piece))
    }

    /// The greatest count.
    pub(crate) fn most(&self) -> u32 {
        self.order.last().map_or(0, |piece| self.count(*piece))
    }

    /// One more holds `piece`. Out of range nothing changes.
    pub(crate) fn up(&mut self, piece: u32) {
        let Some(&count) = self.counts.get(piece as usize) else {
            return;
        };
        // The border between this bucket and the next; the last bucket ends where the pieces do.
        let next = count as usize + 1;
        if next + 1 >= self.starts.len() {
            self.starts.push(self.order.len() as u32);
        }
        let last_of_bucket = self.starts[next] - 1;
        self.swap_to(piece, last_of_bucket);
        self.starts[next] -= 1;
        self.counts[piece as usize] += 1;
    }

    /// One less holds `piece`. Out of range, or held by nobody, nothing changes.
    pub(crate) fn down(&mut self, piece: u32) {
        let Some(&count) = self.counts.get(piece as usize) else {
            return;
        };
        if count == 0 {
            return;
        }
        let first_of_bucket = self.starts[count as usize];
        self.swap_to(piece, first_of_bucket);
        self.starts[count as usize] += 1;
        self.counts[piece as usize] -= 1;
    }

    fn swap_to(&mut self, piece: u32, to: u32) {
        let from = self.place[piece as usize];
        let other = self.order[to as usize];
        self.order.swap(from as usize, to as usize);
        self.place[piece as usize] = to;
        self.place[other as usize] = from;
    }

    #[cfg(test)]
    pub(crate) fn check_invariants(&self) {
        assert_eq!(self.starts[0], 0);
        assert_eq!(self.starts.last(), Some(&(self.order.len() as u32)));
        for (place, piece) in self.order.iter().enumerate() {
            assert_eq!(self.place[*piece as usize] as usize, place);
        }
        for (count, start) in self.starts.iter().enumerate() {
            let below = self.counts.iter().filter(|c| **c < count as u32).count();
            assert_eq!(*start as usize, below, "border of bucket {count}");
        }
        assert!(
            self.order
                .windows(2)
                .all(|w| self.count(w[0]) <= self.count(w[1]))
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Buckets from a drawing: each digit is the count of a piece.
    fn buckets(drawing: &str) -> Buckets {
        let mut buckets = Buckets::new(drawing.len() as u32);
        for (piece, digit) in drawing.bytes().enumerate() {
            (b'0'..digit).for_each(|_| buckets.up(piece as u32));
        }
        buckets
    }

    #[test]
    fn the_rarest_are_a_prefix() {
        let buckets = buckets("2031102");
        assert_eq!(
            &buckets.rarest()[..2]
                .iter()
                .copied()
                .collect::<std::collections::BTreeSet<_>>(),
            &[1, 5].into()
        );
        assert_eq!(
            (
                buckets.at_most(0),
                buckets.at_most(1),
                buckets.at_most(2),
                buckets.at_most(9)
            ),
            (2, 4, 6, 7)
        );
        assert_eq!((buckets.least(), buckets.most()), (0, 3));
    }

    proptest! {
        #[test]
        fn counts_are_those_of_a_plain_array(ops in prop::collection::vec((any::<bool>(), 0u32..9), 0..200)) {
            let mut buckets = Buckets::new(8);
            let mut plain = [0u32; 9];
            for (up, piece) in ops {
                if up { buckets.up(piece) } else { buckets.down(piece) }
                let count = &mut plain[piece as usize];
                *count = if up { *count + 1 } else { count.saturating_sub(1) };
                buckets.check_invariants();
                prop_assert_eq!(buckets.counts(), &plain[..8]);
            }
        }
    }
}
