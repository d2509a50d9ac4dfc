//! A map from runs of pieces to values: who last held what.

use std::collections::BTreeMap;

/// Values of runs of pieces.
///
/// Invariant: the runs do not overlap, and no two that touch have the same value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranges<T> {
    /// First piece to (last piece, value).
    runs: BTreeMap<u32, (u32, T)>,
}

impl<T> Default for Ranges<T> {
    fn default() -> Self {
        Self {
            runs: BTreeMap::new(),
        }
    }
}

impl<T: Clone + PartialEq> Ranges<T> {
    /// Gives the pieces from `first` to `last`, inclusive, this value, whatever they had.
    pub fn set(&mut self, first: u32, last: u32, value: T) {
        if first > last {
            return;
        }
        self.cut(first);
        if let Some(next) = last.checked_add(1) {
            self.cut(next);
        }
        let inside: Vec<u32> = self
            .runs
            .range(first..=last)
            .map(|(start, _)| *start)
            .collect();
        for start in inside {
            self.runs.remove(&start);
        }
        let (mut first, mut last) = (first, last);
        if let Some((&start, (end, before))) = self.runs.range(..first).next_back()
            && end.checked_add(1) == Some(first)
            && *before == value
        {
            first = start;
        }
        if let Some(next) = last.checked_add(1)
            && let Some((end, after)) = self.runs.get(&next)
            && *after == value
        {
            last = *end;
            self.runs.remove(&next);
        }
        self.runs.insert(first, (last, value));
    }

    /// The runs, ascending: first piece, last piece inclusive, value.
    pub fn iter(&self) -> impl Iterator<Item = (u32, u32, &T)> {
        self.runs
            .iter()
            .map(|(first, (last, value))| (*first, *last, value))
    }

    /// What is known from `first` to `last`, inclusive: runs that cover it without a gap, `None` where nothing is known.
    pub fn within(&self, first: u32, last: u32) -> Vec<(u32, u32, Option<&T>)> {
        let mut out = Vec::new();
        let mut at = first;
        let from = self
            .runs
            .range(..=first)
            .next_back()
            .map_or(first, |(start, _)| *start);
        for (&start, (end, value)) in self.runs.range(from..=last) {
            if *end < at {
                continue;
            }
            if start > at {
                out.push((at, start - 1, None));
                at = start;
            }
            out.push((at, (*end).min(last), Some(value)));
            match end.checked_add(1) {
                Some(next) if next <= last => at = next,
                _ => return out,
            }
        }
        if at <= last {
            out.push((at, last, None));
        }
        out
    }

    /// Makes `at` the beginning of a run if it lies inside one.
    fn cut(&mut self, at: u32) {
        if let Some((_, (last, value))) = self.runs.range_mut(..at).next_back()
            && *last >= at
        {
            let tail = (*last, value.clone());
            *last = at - 1;
            self.runs.insert(at, tail);
        }
    }
}

/// Ascending numbers as runs: first and last, inclusive.
pub(crate) fn runs(numbers: impl Iterator<Item = u32>) -> Vec<(u32, u32)> {
    let mut out: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        match out.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(number) => *last = number,
            _ => out.push((number, number)),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn covers_what_is_known_and_what_is_not() {
        let mut ranges = Ranges::default();
        ranges.set(2, 5, 'a');
        ranges.set(8, 9, 'b');
        assert_eq!(
            ranges.within(0, 10),
            [
                (0, 1, None),
                (2, 5, Some(&'a')),
                (6, 7, None),
                (8, 9, Some(&'b')),
                (10, 10, None)
            ]
        );
        assert_eq!(ranges.within(3, 4), [(3, 4, Some(&'a'))]);
        assert_eq!(ranges.within(6, 6), [(6, 6, None)]);
    }

    proptest! {
        #[test]
        fn is_the_same_as_one_value_for_each_piece(sets in prop::collection::vec((0u32..40, 0u32..12, 0u8..3), 0..30)) {
            let mut ranges = Ranges::default();
            let mut plain = [None; 64];
            for (first, len, value) in sets {
                ranges.set(first, first + len, value);
                plain[first as usize..=(first + len) as usize].fill(Some(value));
                let runs: Vec<_> = ranges.iter().collect();
                prop_assert!(runs.iter().all(|run| run.0 <= run.1));
                prop_assert!(runs.windows(2).all(|w| w[0].1 < w[1].0 && (w[0].1 + 1 < w[1].0 || w[0].2 != w[1].2)));
            }
            let mut rebuilt = [None; 64];
            for (first, last, value) in ranges.within(0, 63) {
                rebuilt[first as usize..=last as usize].fill(value.copied());
            }
            prop_assert_eq!(rebuilt, plain);
        }
    }
}
