//! What the announcer is still to be told.

use std::collections::{HashSet, VecDeque};

use p2p_wire::InfoHash;

use super::AnnounceCommand;

/// Commands in order. An item that is in a hurry is so once, however often it says so: what waits is bounded by the number of items and by what
/// users do to them.
#[derive(Default)]
pub(super) struct Announces {
    commands: VecDeque<AnnounceCommand>,
    hurried: HashSet<InfoHash>,
}

impl Announces {
    pub(super) fn push(&mut self, command: AnnounceCommand) {
        if let AnnounceCommand::Now(item) = &command
            && !self.hurried.insert(*item)
        {
            return;
        }
        self.commands.push_back(command);
    }

    pub(super) fn pop(&mut self) -> Option<AnnounceCommand> {
        let command = self.commands.pop_front()?;
        if let AnnounceCommand::Now(item) = &command {
            self.hurried.remove(item);
        }
        if self.commands.is_empty() {
            // All items come at the start, and never again at once.
            self.commands.shrink_to_fit();
            self.hurried.shrink_to_fit();
        }
        Some(command)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_hurries_once_until_the_announcer_knows() {
        let (a, b) = (InfoHash([1; 20]), InfoHash([2; 20]));
        let mut announces = Announces::default();
        for item in [a, b, a, a, b] {
            announces.push(AnnounceCommand::Now(item));
        }
        announces.push(AnnounceCommand::Stop(a));
        assert!(matches!(announces.pop(), Some(AnnounceCommand::Now(item)) if item == a));
        announces.push(AnnounceCommand::Now(a));
        let left: Vec<_> = std::iter::from_fn(|| announces.pop()).collect();
        assert!(matches!(
            left[..],
            [AnnounceCommand::Now(first), AnnounceCommand::Stop(_), AnnounceCommand::Now(last)]
                if first == b && last == a
        ));
        assert!(announces.is_empty());
    }
}
