//! In what order deliveries go: those about one item one after the other, different items side by side.
//!
//! PURE: it is told what is due, what has ended, and what time it is.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use p2p_wire::InfoHash;
use tokio::time::Instant;

use super::journal::Due;

/// What deliveries are kept in order by; what is about no item is in one order of its own.
type Key = Option<InfoHash>;

/// A hook that says "later" is asked again after this, then after twice that,
const FIRST_WAIT: Duration = Duration::from_secs(60);
/// and so on up to this.
const LONGEST_WAIT: Duration = Duration::from_secs(3_600);

/// What is due, and what may go next.
#[derive(Default)]
pub(super) struct Schedule {
    queues: HashMap<Key, VecDeque<i64>>,
    /// Keys whose first delivery may go.
    ready: VecDeque<Key>,
    /// Keys whose first delivery was put off: how often, and until when unless it is being tried again.
    put_off: HashMap<Key, (u32, Option<Instant>)>,
}

impl Schedule {
    pub(super) fn push(&mut self, due: Due) {
        let queue = self.queues.entry(due.item).or_default();
        queue.push_back(due.id);
        if queue.len() == 1 {
            self.ready.push_back(due.item);
        }
    }

    /// The next that may go now; [`Schedule::done`] or [`Schedule::later`] must follow.
    pub(super) fn next(&mut self, now: Instant) -> Option<Due> {
        for (key, (_, until)) in &mut self.put_off {
            if until.take_if(|until| *until <= now).is_some() {
                self.ready.push_back(*key);
            }
        }
        let item = self.ready.pop_front()?;
        let id = *self.queues.get(&item)?.front()?;
        Some(Due { id, item })
    }

    /// It is crossed off: the next of its item may go.
    pub(super) fn done(&mut self, due: Due) {
        self.put_off.remove(&due.item);
        if let Some(queue) = self.queues.get_mut(&due.item) {
            queue.pop_front();
            if queue.is_empty() {
                self.queues.remove(&due.item);
            } else {
                self.ready.push_back(due.item);
            }
        }
    }

    /// It is to be tried again after a while; those of its item behind it wait too.
    pub(super) fn later(&mut self, due: Due, now: Instant) {
        let (tries, until) = self.put_off.entry(due.item).or_default();
        let wait = FIRST_WAIT * 2u32.saturating_pow((*tries).min(16));
        *until = Some(now + wait.min(LONGEST_WAIT));
        *tries += 1;
    }

    /// When something that waits may go.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        self.put_off.values().filter_map(|(_, until)| *until).min()
    }

    /// Nothing is due about no item.
    pub(super) fn has_none_of_the_daemon(&self) -> bool {
        !self.queues.contains_key(&None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(id: i64, item: u8) -> Due {
        Due {
            id,
            item: Some(InfoHash([item; 20])),
        }
    }

    #[test]
    fn one_item_waits_for_itself_and_not_for_others() {
        let now = Instant::now();
        let mut schedule = Schedule::default();
        for next in [due(1, 1), due(2, 1), due(3, 2), Due { id: 4, item: None }] {
            schedule.push(next);
        }
        assert_eq!(schedule.next(now), Some(due(1, 1)));
        assert_eq!(schedule.next(now), Some(due(3, 2)));
        assert!(!schedule.has_none_of_the_daemon());
        assert_eq!(schedule.next(now).unwrap().id, 4);
        assert_eq!(schedule.next(now), None);
        schedule.done(due(1, 1));
        schedule.done(Due { id: 4, item: None });
        assert!(schedule.has_none_of_the_daemon());
        assert_eq!(schedule.next(now), Some(due(2, 1)));
        schedule.done(due(3, 2));
        schedule.done(due(2, 1));
        assert_eq!(schedule.next(now), None);
        assert!(schedule.queues.is_empty());
    }

    #[test]
    fn what_is_put_off_goes_again_after_longer_and_longer_waits() {
        let mut now = Instant::now();
        let mut schedule = Schedule::default();
        schedule.push(due(1, 1));
        schedule.push(due(2, 1));
        let mut waits = Vec::new();
        for _ in 0..9 {
            assert_eq!(schedule.next(now), Some(due(1, 1)));
            assert_eq!(schedule.next(now), None);
            schedule.later(due(1, 1), now);
            assert_eq!(schedule.next(now), None);
            let at = schedule.wake_at().unwrap();
            waits.push((at - now).as_secs() / 60);
            now = at;
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(schedule.next(now), Some(due(1, 1)));
        schedule.done(due(1, 1));
        assert_eq!(schedule.next(now), Some(due(2, 1)));
        schedule.done(due(2, 1));
        assert_eq!(schedule.wake_at(), None);
    }
}
