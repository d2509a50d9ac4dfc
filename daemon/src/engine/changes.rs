//! What changed of what is held, until the piece points reporter takes it.

use std::collections::HashMap;
use std::mem;

use p2p_wire::InfoHash;

use super::Change;

/// Changes in order. Additions to one item are joined as long as nothing else happened to it, so the log is bounded by the pieces of all items.
#[derive(Default)]
pub(super) struct Changes {
    /// Somebody takes them. As long as nobody does, as without a tracker, none is kept.
    wanted: bool,
    log: Vec<Change>,
    /// Where the last entry of each item is.
    last: HashMap<InfoHash, usize>,
}

impl Changes {
    pub(super) fn push(&mut self, change: Change) {
        if !self.wanted {
            return;
        }
        let item = match &change {
            Change::Reset(item)
            | Change::Added(item, _)
            | Change::Complete(item)
            | Change::Gone(item) => *item,
        };
        let last = self.last.get(&item).and_then(|at| self.log.get_mut(*at));
        match (last, change) {
            (Some(Change::Added(_, before)), Change::Added(_, more)) => before.extend(more),
            // What is asked for after a reset holds them already.
            (Some(Change::Reset(_) | Change::Complete(_)), Change::Added(..)) => {}
            (Some(last @ Change::Added(..)), change @ (Change::Reset(_) | Change::Gone(_))) => {
                *last = change;
            }
            (Some(Change::Reset(_)), Change::Reset(_)) => {}
            (Some(Change::Gone(_)), Change::Gone(_)) => {}
            (_, change) => {
                self.last.insert(item, self.log.len());
                self.log.push(change);
            }
        }
    }

    pub(super) fn take(&mut self) -> Vec<Change> {
        self.wanted = true;
        self.last = HashMap::new();
        mem::take(&mut self.log)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn additions_are_joined_and_a_reset_swallows_them() {
        let (a, b) = (InfoHash([1; 20]), InfoHash([2; 20]));
        let mut changes = Changes::default();
        changes.push(Change::Complete(a));
        assert!(changes.take().is_empty(), "kept for nobody");
        changes.push(Change::Added(a, vec![1]));
        changes.push(Change::Added(b, vec![7]));
        changes.push(Change::Added(a, vec![2, 3]));
        changes.push(Change::Reset(b));
        changes.push(Change::Added(b, vec![8]));
        changes.push(Change::Complete(a));
        changes.push(Change::Gone(a));
        changes.push(Change::Gone(a));
        let taken = changes.take();
        assert!(matches!(
            &taken[..],
            [Change::Added(_, added), Change::Reset(_), Change::Complete(_), Change::Gone(_)]
                if added == &[1, 2, 3]
        ));
        assert!(changes.take().is_empty());
    }
}
