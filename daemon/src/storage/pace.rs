//! Whether a disk gets on with what it was given to write.
//!
//! A disk may say what it holds and yet take nothing, as a frozen one does, so asking it something does not find that out. That nothing comes
//! back of what it has in hand does. Counted is what writes or waits for writes: a read may come from memory, and a check takes its hours.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::lock;

/// What the threads of one file system have in hand.
pub(super) struct Pace(Mutex<InHand>);

struct InHand {
    jobs: usize,
    /// When the disk last got on, or was given something after it had nothing to do.
    since: Instant,
}

impl Pace {
    /// Nothing yet.
    pub(super) fn new() -> Self {
        Self(Mutex::new(InHand {
            jobs: 0,
            since: Instant::now(),
        }))
    }

    /// Does `work`, which must not panic, as something that the disk has in hand.
    pub(super) fn during<T>(&self, work: impl FnOnce() -> T) -> T {
        let mut in_hand = lock(&self.0);
        if in_hand.jobs == 0 {
            in_hand.since = Instant::now();
        }
        in_hand.jobs += 1;
        drop(in_hand);
        let done = work();
        let mut in_hand = lock(&self.0);
        in_hand.jobs = in_hand.jobs.saturating_sub(1);
        in_hand.since = Instant::now();
        done
    }

    /// A part of a long job is done.
    pub(super) fn got_on(&self) {
        lock(&self.0).since = Instant::now();
    }

    /// For how long the disk has had something in hand and nothing of it was done; zero while it has nothing.
    pub(super) fn stands_for(&self) -> Duration {
        let in_hand = lock(&self.0);
        match in_hand.jobs {
            0 => Duration::ZERO,
            _ => in_hand.since.elapsed(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use super::*;
    use crate::storage::{Disk, Lane, StorageError};

    /// A job that has begun, once those before it are done, and ends when it is told to.
    struct Held<F> {
        begun: std::sync::mpsc::Receiver<()>,
        end: Sender<()>,
        done: F,
    }

    fn hold(disk: &Disk, lane: Lane) -> Held<impl Future<Output = Result<(), StorageError>>> {
        let (begin, begun) = channel();
        let (end, ended) = channel::<()>();
        let done = disk.run(lane, move || {
            begin.send(()).unwrap();
            ended.recv().unwrap();
            Ok(())
        });
        Held { begun, end, done }
    }

    #[tokio::test]
    async fn a_disk_with_others_to_serve_first_gets_on_and_one_with_nothing_to_write_never_stands()
    {
        let disk = Disk::alone(1);
        let check = hold(&disk, Lane::Check);
        check.begun.recv().unwrap();
        assert_eq!(disk.stands_for(), Duration::ZERO, "a check takes its time");
        let (first, second) = (hold(&disk, Lane::Sync), hold(&disk, Lane::Sync));
        first.begun.recv().unwrap();
        let begun = Instant::now();
        let in_hand = begun.elapsed();
        assert!(disk.stands_for() >= in_hand, "it has the first in hand");
        assert_ne!(disk.stands_for(), Duration::ZERO);
        let released = Instant::now();
        first.end.send(()).unwrap();
        second.begun.recv().unwrap();
        let stood = disk.stands_for();
        assert!(stood <= released.elapsed(), "{stood:?}: the first is done");
        second.end.send(()).unwrap();
        first.done.await.unwrap();
        second.done.await.unwrap();
        assert_eq!(disk.stands_for(), Duration::ZERO);
        check.end.send(()).unwrap();
        check.done.await.unwrap();
    }

    #[test]
    fn a_part_of_a_long_job_counts_and_so_does_what_is_done_beside_it() {
        let pace = Pace::new();
        pace.during(|| {
            for get_on in [
                |pace: &Pace| pace.got_on(),
                |pace: &Pace| pace.during(|| ()),
            ] {
                let before = Instant::now();
                get_on(&pace);
                let stood = pace.stands_for();
                assert!(stood <= before.elapsed());
            }
        });
    }
}
