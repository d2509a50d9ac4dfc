//! PURE: when an entry that appeared or changed is at rest, so that it is worth hashing.
//!
//! An entry is at rest when it looked the same for its quiet time, which depends on how the news came. It is then handed out; whoever hashes
//! it compares it before and after, and if it changed after all, [`Settle::restless`] doubles its quiet time, up to a bound, and keeps it so
//! for a while: a copy that pauses is still a copy.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// How the news came; it decides the quiet time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum News {
    /// Moved here: whole, most likely.
    Moved,
    /// A writer closed it.
    Closed,
    /// A scan found it, or it is being written.
    Found,
}

/// What kept an entry at rest from becoming an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It could not be read: a large file with a bad sector is read anew up to there, and that is an event and a hook.
    Unread,
    /// The machine could not hold it or keep it: when that works again, so does what waits for it.
    Fault,
}

/// Longest wait after a [`Failure::Fault`].
const AGAIN: Duration = Duration::from_secs(30);

/// Entries that are not at rest yet, by `K`.
#[derive(Debug)]
pub(crate) struct Settle<K> {
    settle: Duration,
    max_delay: Duration,
    waiting: HashMap<K, Waiting>,
    /// How often each entry changed after it had seemed to be at rest, and until when that is remembered.
    restless: HashMap<K, (u32, Instant)>,
    /// Those at rest that failed when they were tried last, until they change or go well.
    failed: HashMap<K, Failed>,
    /// The earliest of all, while it is known.
    due: Option<Option<Instant>>,
}

#[derive(Debug)]
struct Waiting {
    stamp: [u8; 20],
    since: Instant,
    news: News,
}

#[derive(Debug)]
struct Failed {
    stamp: [u8; 20],
    /// In a row.
    times: u32,
    /// The last time.
    at: Instant,
    why: Failure,
}

impl<K: Clone + Eq + Hash> Settle<K> {
    /// `settle` is the quiet time after a writer closed; the others are in proportion.
    pub(crate) fn new(settle: Duration, max_delay: Duration) -> Self {
        Self {
            settle,
            max_delay: max_delay.max(settle),
            waiting: HashMap::new(),
            restless: HashMap::new(),
            failed: HashMap::new(),
            due: None,
        }
    }

    /// `key` looks like `stamp` at `now`, and has for `age`.
    pub(crate) fn observe(
        &mut self,
        key: K,
        stamp: [u8; 20],
        news: News,
        age: Duration,
        now: Instant,
    ) {
        self.due = None;
        // What is other content may well be read.
        if (self.failed.get(&key)).is_some_and(|failed| failed.stamp != stamp) {
            self.failed.remove(&key);
        }
        let since = now.checked_sub(age).unwrap_or(now);
        match self.waiting.get_mut(&key) {
            Some(known) if known.stamp == stamp => {
                // A better witness than before shortens the wait; it began when the change did.
                known.news = known.news.min(news);
            }
            Some(known) => {
                *known = Waiting {
                    stamp,
                    since: now,
                    news,
                };
            }
            None => {
                self.waiting.insert(key, Waiting { stamp, since, news });
            }
        }
    }

    /// It is gone.
    pub(crate) fn forget(&mut self, key: &K) {
        if self.waiting.remove(key).is_some() {
            self.due = None;
        }
        self.restless.remove(key);
        self.failed.remove(key);
    }

    /// It was at rest as `stamp` and failed: it is not handed out again at once, however long it has looked as it does, and each time later,
    /// up to 30 s after a fault, and up to the longest delay if that is more where it could not be read.
    pub(crate) fn failed(&mut self, key: K, stamp: [u8; 20], why: Failure, now: Instant) {
        self.due = None;
        let times = self.failed.get(&key).map_or(0, |failed| failed.times);
        let failed = Failed {
            stamp,
            times: times.saturating_add(1),
            at: now,
            why,
        };
        self.failed.insert(key, failed);
    }

    /// It was at rest, and there is no more to be tried.
    pub(crate) fn decided(&mut self, key: &K) {
        self.failed.remove(key);
    }

    /// It changed although it had seemed to be at rest.
    pub(crate) fn restless(&mut self, key: K, now: Instant) {
        self.due = None;
        let until = now + self.max_delay.saturating_mul(2);
        let (times, remembered) = self.restless.entry(key).or_insert((0, until));
        *times = if *remembered < now {
            1
        } else {
            times.saturating_add(1)
        };
        *remembered = until;
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// What waits.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &K> {
        self.waiting.keys()
    }

    /// When the next will be at rest.
    pub(crate) fn due(&mut self) -> Option<Instant> {
        if self.due.is_none() {
            let waiting = self.waiting.iter();
            self.due = Some(waiting.map(|(key, w)| self.rest_at(key, w)).min());
        }
        self.due.flatten()
    }

    /// Takes out those that are at rest at `now`, at most `most` of them.
    pub(crate) fn take(&mut self, most: usize, now: Instant) -> Vec<(K, [u8; 20])> {
        self.due = None;
        self.restless.retain(|_, (_, until)| *until >= now);
        let ready: Vec<(K, [u8; 20])> = self
            .waiting
            .iter()
            .filter(|(key, waiting)| self.rest_at(key, waiting) <= now)
            .take(most)
            .map(|(key, waiting)| (key.clone(), waiting.stamp))
            .collect();
        for (key, _) in &ready {
            self.waiting.remove(key);
        }
        // A hundred thousand come together, and never again.
        if self.waiting.len() < self.waiting.capacity() / 8 {
            self.waiting.shrink_to_fit();
        }
        ready
    }

    fn rest_at(&self, key: &K, waiting: &Waiting) -> Instant {
        let base = match waiting.news {
            News::Moved => self.settle.mul_f64(0.4),
            News::Closed => self.settle,
            News::Found => self.settle.mul_f64(2.0),
        };
        let times = self
            .restless
            .get(key)
            .map_or(0, |(times, _)| *times)
            .min(16);
        let quiet = base.saturating_mul(1 << times).min(self.max_delay);
        let rest_at = waiting.since + quiet.max(base);
        match self.failed.get(key) {
            None => rest_at,
            Some(failed) => {
                let longest = match failed.why {
                    Failure::Unread => self.max_delay.max(AGAIN),
                    Failure::Fault => AGAIN,
                };
                let wait = base.saturating_mul(1 << failed.times.min(16)).min(longest);
                rest_at.max(failed.at + wait)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: [u8; 20] = [1; 20];
    const B: [u8; 20] = [2; 20];

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn settle() -> Settle<&'static str> {
        Settle::new(s(5), s(300))
    }

    #[test]
    fn waits_2_s_after_a_move_5_after_a_close_and_10_when_found() {
        let now = Instant::now();
        for (news, quiet) in [(News::Moved, 2), (News::Closed, 5), (News::Found, 10)] {
            let mut settle = settle();
            settle.observe("f", A, news, s(0), now);
            assert_eq!(settle.due(), Some(now + s(quiet)));
            assert!(
                settle
                    .take(usize::MAX, now + s(quiet) - Duration::from_millis(1))
                    .is_empty()
            );
            assert_eq!(settle.take(usize::MAX, now + s(quiet)), [("f", A)]);
            assert_eq!((settle.len(), settle.due()), (0, None));
        }
    }

    #[test]
    fn a_change_begins_the_wait_anew() {
        let now = Instant::now();
        let mut settle = settle();
        settle.observe("f", A, News::Closed, s(0), now);
        settle.observe("f", B, News::Closed, s(0), now + s(4));
        assert_eq!(settle.due(), Some(now + s(9)));
    }

    #[test]
    fn seeing_it_unchanged_does_not_and_a_close_shortens_it() {
        let now = Instant::now();
        let mut settle = settle();
        settle.observe("f", A, News::Found, s(0), now);
        settle.observe("f", A, News::Closed, s(0), now + s(3));
        settle.observe("f", A, News::Found, s(0), now + s(4));
        assert_eq!(settle.due(), Some(now + s(5)));
    }

    #[test]
    fn what_has_been_at_rest_for_long_is_settled_at_once() {
        let now = Instant::now();
        let mut settle = settle();
        settle.observe("old", A, News::Found, s(11), now);
        settle.observe("young", A, News::Found, s(3), now);
        assert_eq!(settle.take(usize::MAX, now), [("old", A)]);
        assert_eq!(settle.due(), Some(now + s(7)));
    }

    #[test]
    fn no_more_are_taken_than_are_wanted_and_the_rest_is_due() {
        let now = Instant::now();
        let mut settle = Settle::new(s(5), s(300));
        for key in 0..100 {
            settle.observe(key, A, News::Closed, s(0), now);
        }
        let mut taken = Vec::new();
        for left in [60, 20, 0] {
            taken.extend(settle.take(40, now + s(5)));
            assert_eq!(settle.len(), left);
            assert_eq!(settle.due(), (left > 0).then_some(now + s(5)));
        }
        taken.sort_unstable();
        assert!(taken.into_iter().map(|(key, _)| key).eq(0..100));
    }

    #[test]
    fn the_wait_doubles_for_what_keeps_changing_up_to_the_bound_and_not_for_a_long_copy() {
        let mut now = Instant::now();
        let mut settle = settle();
        for n in 0..100 {
            settle.observe("copy", [n; 20], News::Found, s(0), now);
            now += s(1);
        }
        settle.observe("copy", [100; 20], News::Closed, s(0), now);
        assert_eq!(settle.due(), Some(now + s(5)));

        let mut waits = Vec::new();
        for n in 0..10 {
            settle.restless("copy", now);
            settle.observe("copy", [n; 20], News::Closed, s(0), now);
            let due = settle.due().unwrap();
            waits.push((due - now).as_secs());
            now = due;
            settle.take(usize::MAX, now);
        }
        assert_eq!(waits, [10, 20, 40, 80, 160, 300, 300, 300, 300, 300]);
    }

    #[test]
    fn the_doubling_is_forgotten_after_a_long_rest() {
        let now = Instant::now();
        let mut settle = settle();
        settle.restless("f", now);
        let later = now + s(601);
        settle.take(usize::MAX, later);
        settle.observe("f", A, News::Closed, s(0), later);
        assert_eq!(settle.due(), Some(later + s(5)));
    }

    /// The waits after each of so many failures of an entry that nobody has changed for an hour; each try takes twenty minutes.
    fn waits(settle: &mut Settle<&str>, why: Failure, tries: u32, mut now: Instant) -> Vec<u64> {
        let mut waits = Vec::new();
        for _ in 0..tries {
            settle.failed("old", A, why, now);
            settle.observe("old", A, News::Found, s(3_600), now);
            let due = settle.due().unwrap();
            waits.push((due - now).as_secs());
            assert_eq!(settle.take(usize::MAX, due).len(), 1);
            now = due + s(1_200);
            assert!(settle.take(usize::MAX, now).is_empty());
        }
        waits
    }

    #[test]
    fn what_failed_is_tried_again_after_longer_and_longer() {
        let now = Instant::now();
        let mut settle = Settle::new(s(1), s(300));
        let fault = waits(&mut settle, Failure::Fault, 5, now);
        assert_eq!(fault, [4, 8, 16, 30, 30]);
        let mut settle = Settle::new(s(5), s(300));
        let unread = waits(&mut settle, Failure::Unread, 6, now);
        assert_eq!(unread, [20, 40, 80, 160, 300, 300]);
    }

    #[test]
    fn what_failed_is_tried_soon_when_it_changed_and_when_it_went_well_meanwhile() {
        let now = Instant::now();
        let mut settle = Settle::new(s(5), s(300));
        waits(&mut settle, Failure::Unread, 6, now);
        let later = now + s(10_000);
        settle.observe("old", B, News::Found, s(0), later);
        assert_eq!(settle.due(), Some(later + s(10)));
        settle.take(usize::MAX, later + s(10));

        waits(&mut settle, Failure::Unread, 6, later);
        settle.decided(&"old");
        assert_eq!(waits(&mut settle, Failure::Unread, 1, later), [20]);
    }
}
