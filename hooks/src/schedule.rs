//! In what order deliveries go: those about one thing one after the other, different things side by side.
//!
//! PURE: it is told what is due, what has ended, and what time it is.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::time::Duration;

use tokio::time::Instant;

/// Something that hooks must still be told; `key` is what it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due<K> {
    /// Its number in the daemon's journal.
    pub id: i64,
    /// Deliveries of one key go in the order they were pushed in.
    pub key: K,
}

/// A hook that says "later" is asked again after this, then after twice that,
const FIRST_WAIT: Duration = Duration::from_secs(60);
/// and so on up to this.
const LONGEST_WAIT: Duration = Duration::from_secs(3_600);

/// What is due, and what may go next.
pub struct Schedule<K> {
    queues: HashMap<K, VecDeque<i64>>,
    /// Keys whose first delivery may go.
    ready: VecDeque<K>,
    /// Keys whose first delivery was put off: how often, and until when unless it is being tried again.
    put_off: HashMap<K, (u32, Option<Instant>)>,
}

impl<K> Default for Schedule<K> {
    fn default() -> Self {
        Self {
            queues: HashMap::new(),
            ready: VecDeque::new(),
            put_off: HashMap::new(),
        }
    }
}

impl<K: Clone + Eq + Hash> Schedule<K> {
    /// It waits from now on behind those of its key.
    pub fn push(&mut self, due: Due<K>) {
        let queue = self.queues.entry(due.key.clone()).or_default();
        queue.push_back(due.id);
        if queue.len() == 1 {
            self.ready.push_back(due.key);
        }
    }

    /// The next that may go now; [`Schedule::done`] or [`Schedule::later`] must follow.
    pub fn next(&mut self, now: Instant) -> Option<Due<K>> {
        for (key, (_, until)) in &mut self.put_off {
            if until.take_if(|until| *until <= now).is_some() {
                self.ready.push_back(key.clone());
            }
        }
        let key = self.ready.pop_front()?;
        let id = *self.queues.get(&key)?.front()?;
        Some(Due { id, key })
    }

    /// It is crossed off: the next of its key may go.
    pub fn done(&mut self, due: Due<K>) {
        self.put_off.remove(&due.key);
        if let Some(queue) = self.queues.get_mut(&due.key) {
            queue.pop_front();
            if queue.is_empty() {
                self.queues.remove(&due.key);
            } else {
                self.ready.push_back(due.key);
            }
        }
    }

    /// It is to be tried again after a while; those of its key behind it wait too.
    pub fn later(&mut self, due: Due<K>, now: Instant) {
        let (tries, until) = self.put_off.entry(due.key).or_default();
        let wait = FIRST_WAIT * 2u32.saturating_pow((*tries).min(16));
        *until = Some(now + wait.min(LONGEST_WAIT));
        *tries += 1;
    }

    /// When something that waits may go.
    pub fn wake_at(&self) -> Option<Instant> {
        self.put_off.values().filter_map(|(_, until)| *until).min()
    }

    /// Something is due about `key`.
    pub fn has(&self, key: &K) -> bool {
        self.queues.contains_key(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(id: i64, key: u8) -> Due<u8> {
        Due { id, key }
    }

    #[test]
    fn one_item_waits_for_itself_and_not_for_others() {
        let now = Instant::now();
        let mut schedule = Schedule::default();
        for next in [due(1, 1), due(2, 1), due(3, 2), due(4, 0)] {
            schedule.push(next);
        }
        assert_eq!(schedule.next(now), Some(due(1, 1)));
        assert_eq!(schedule.next(now), Some(due(3, 2)));
        assert!(schedule.has(&0));
        assert_eq!(schedule.next(now).unwrap().id, 4);
        assert_eq!(schedule.next(now), None);
        schedule.done(due(1, 1));
        schedule.done(due(4, 0));
        assert!(!schedule.has(&0));
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
