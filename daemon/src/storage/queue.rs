//! What waits for the disk threads, and which of them does what.
//!
//! A piece is first hashed, then, if it is good, stored. One item is stored by one thread at a time: the kernel lets one write to a file
//! go on and has the next one spin for its lock, so a second thread would only burn its core. Storing comes first, because it is what
//! frees memory; reads take turns with both.
//!
//! One piece alone takes a third of the time of sixteen side by side. So while a thread hashes, or stores the item that waiting pieces
//! belong to, others leave those pieces until there are enough to fill their lanes. Nobody waits for pieces to come: the thread at work
//! takes what has gathered as soon as it is done, and a disk that does not answer holds up its own item alone.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use p2p_hash::Hasher;

use super::tree::Opened;
use super::{ReadJob, WriteJob};

/// Pieces hashed together at least, if so many wait: the lanes of the widest vector unit.
const TOGETHER: usize = 16;

/// Small pieces are taken together up to so many bytes, so that what is done once a batch is done rarely.
const TOGETHER_BYTES: usize = 4 * 1024 * 1024;

/// What a disk thread does next.
pub(super) enum Work {
    /// Hash these, then say which are good with [`Queue::hashed`].
    Hash(Vec<WriteJob>),
    /// Write these good pieces of one item, then call [`Queue::stored`].
    Store(Vec<WriteJob>),
    /// Read this.
    Read(ReadJob),
    /// Let go of these files.
    Close(Vec<Arc<Opened>>),
}

/// The jobs that wait. How many there are is bounded by who asks for them.
#[derive(Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    wake: Condvar,
}

#[derive(Default)]
struct Waiting {
    unhashed: VecDeque<WriteJob>,
    /// Threads that hash.
    hashing: usize,
    good: VecDeque<WriteJob>,
    /// Items that a thread is storing pieces of.
    storing: HashSet<u64>,
    reads: VecDeque<ReadJob>,
    read_next: bool,
    closing: Vec<Arc<Opened>>,
    /// Threads that wait for work.
    idle: usize,
    ended: bool,
}

impl Queue {
    /// A piece to be hashed and stored.
    pub(super) fn write(&self, job: WriteJob) {
        let mut waiting = self.lock();
        waiting.unhashed.push_back(job);
        self.wake_for_hashing(&waiting);
    }

    /// A run to be read.
    pub(super) fn read(&self, job: ReadJob) {
        let mut waiting = self.lock();
        waiting.reads.push_back(job);
        if waiting.idle > 0 {
            self.wake.notify_one();
        }
    }

    /// Files that nobody needs any more: to close one can take as long as to write what was written to it.
    pub(super) fn close(&self, files: impl IntoIterator<Item = Arc<Opened>>) {
        let mut waiting = self.lock();
        waiting.closing.extend(files);
        if waiting.idle > 0 && !waiting.closing.is_empty() {
            self.wake.notify_one();
        }
    }

    /// The pieces of [`Work::Hash`] that were found to be good. The caller takes them, or other work, next.
    pub(super) fn hashed(&self, good: Vec<WriteJob>) {
        let mut waiting = self.lock();
        waiting.hashing = waiting.hashing.saturating_sub(1);
        waiting.good.extend(good);
        self.wake_for_hashing(&waiting);
    }

    /// The pieces of [`Work::Store`] were written; more of that item may be.
    pub(super) fn stored(&self, tree: u64) {
        self.lock().storing.remove(&tree);
    }

    /// The threads end once all is done.
    pub(super) fn end(&self) {
        self.lock().ended = true;
        self.wake.notify_all();
    }

    /// Waits for work; `None` at the end.
    pub(super) fn next(&self) -> Option<Work> {
        let mut waiting = self.lock();
        loop {
            if let Some(work) = waiting.next() {
                return Some(work);
            }
            if waiting.ended {
                return None;
            }
            waiting.idle += 1;
            waiting = (self.wake.wait(waiting)).unwrap_or_else(PoisonError::into_inner);
            waiting.idle -= 1;
        }
    }

    /// A wake is a system call even when nobody sleeps, and another two when there is nothing to do.
    fn wake_for_hashing(&self, waiting: &Waiting) {
        if waiting.idle > 0 && waiting.may_hash() {
            self.wake.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn next(&mut self) -> Option<Work> {
        if !self.closing.is_empty() {
            return Some(Work::Close(std::mem::take(&mut self.closing)));
        }
        self.read_next = !self.read_next;
        if self.read_next
            && let Some(job) = self.reads.pop_front()
        {
            return Some(Work::Read(job));
        }
        if let Some(jobs) = self.take_good() {
            return Some(Work::Store(jobs));
        }
        if self.may_hash() {
            self.hashing += 1;
            let mut bytes = 0;
            let fits = |(n, job): &(usize, &WriteJob)| {
                bytes += job.len();
                *n < TOGETHER || bytes <= TOGETHER_BYTES
            };
            let together = self.unhashed.iter().enumerate().take_while(fits).count();
            return Some(Work::Hash(self.unhashed.drain(..together).collect()));
        }
        self.reads.pop_front().map(Work::Read)
    }

    /// Whether waiting pieces fill the lanes of another thread, or there are some that no thread at work will come back for.
    fn may_hash(&self) -> bool {
        if self.unhashed.len() >= Hasher::default().lanes() {
            return true;
        }
        let is_stored = |job: &WriteJob| {
            let tree = job.tree.id();
            self.storing.contains(&tree) || self.good.iter().any(|good| good.tree.id() == tree)
        };
        self.hashing == 0 && self.unhashed.iter().any(|job| !is_stored(job))
    }

    /// All good pieces of the first item that nobody is storing.
    fn take_good(&mut self) -> Option<Vec<WriteJob>> {
        let free = |job: &&WriteJob| !self.storing.contains(&job.tree.id());
        let tree = self.good.iter().find(free)?.tree.id();
        self.storing.insert(tree);
        let of_it = |job: &WriteJob| job.tree.id() == tree;
        let (jobs, others) = std::mem::take(&mut self.good).into_iter().partition(of_it);
        self.good = others;
        Some(Vec::from(jobs))
    }
}
