//! What waits for the disk threads, and which of them does what.
//!
//! A piece is first hashed, then, if it is good, stored. One item is stored by one thread at a time: the kernel lets one write to the page
//! cache of a file go on and has the next one spin for its lock, so a second thread would only burn its core. Direct writes go on side by
//! side, and each waits for the disk: there are more threads than processors for that. Of one piece one thread stores one part at a time,
//! in the order in which they were hashed: the last of them arrives last, and bytes of a piece that was given up before those that came
//! for it anew. Storing comes first, because it is what frees memory; reads take turns with both.
//!
//! One piece alone takes a third of the time of sixteen side by side. So while a thread hashes, or stores the item that waiting pieces
//! belong to, others leave those pieces until there are enough to fill their lanes. Nobody waits for pieces to come: the thread at work
//! takes what has gathered as soon as it is done, and a disk that does not answer holds up its own item alone. Parts of long pieces do not
//! wait: the next one comes only when the one before it is hashed.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use p2p_hash::Hasher;

use super::direct;
use super::tree::Opened;
use super::{Done, Inbox, ReadJob, WriteJob};

/// Pieces hashed together at least, if so many wait: the lanes of the widest vector unit.
const TOGETHER: usize = 16;

/// Small pieces are taken together up to so many bytes, so that what is done once a batch is done rarely.
const TOGETHER_BYTES: usize = 4 * 1024 * 1024;

/// What a disk thread does next.
pub(super) enum Work {
    /// Hash these, then say what came of it with [`Queue::hashed`].
    Hash(Vec<WriteJob>),
    /// Write these good pieces of one item, then call [`Queue::stored`].
    Store(Vec<WriteJob>),
    /// Read this.
    Read(ReadJob),
    /// Let go of these files.
    Close(Vec<Arc<Opened>>),
}

/// What came of hashing.
#[derive(Default)]
pub(super) struct Hashed {
    /// Good pieces, and parts.
    pub(super) to_write: Vec<WriteJob>,
    /// What those who wait for the hashes of parts are told.
    pub(super) parts: Vec<(Arc<Inbox>, Done)>,
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
    /// How many threads are storing pieces of which item.
    storing: HashMap<u64, usize>,
    /// Pieces of which a thread is storing something, by item and number.
    busy: HashSet<(u64, u32)>,
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

    /// What came of [`Work::Hash`]. The caller takes it, or other work, next.
    pub(super) fn hashed(&self, hashed: Hashed) {
        let mut waiting = self.lock();
        waiting.hashing = waiting.hashing.saturating_sub(1);
        waiting.good.extend(hashed.to_write);
        // Not before: what follows a part must come here after it. Nor later, or others would tell that it is written before.
        for (inbox, part) in hashed.parts {
            inbox.push([part]);
        }
        self.wake_for_hashing(&waiting);
    }

    /// The pieces of [`Work::Store`], by their keys, were written; more of their item may be.
    pub(super) fn stored(&self, keys: &[(u64, u32)]) {
        let mut waiting = self.lock();
        for key in keys {
            waiting.busy.remove(key);
        }
        if let Some((tree, _)) = keys.first()
            && let Some(threads) = waiting.storing.get_mut(tree)
        {
            *threads = threads.saturating_sub(1);
            if *threads == 0 {
                waiting.storing.remove(tree);
            }
        }
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
                if waiting.idle > 0 && waiting.may_store().is_some() {
                    self.wake.notify_one();
                }
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
            self.storing.contains_key(&tree) || self.good.iter().any(|good| good.tree.id() == tree)
        };
        // The part after this one comes only when this one is hashed, so few ever gather.
        let is_worth_it = |job: &WriteJob| job.is_part() || !is_stored(job);
        self.hashing == 0 && self.unhashed.iter().any(is_worth_it)
    }

    /// Good pieces of the first item that may be stored by one more thread: all of them, or a part if others may store it beside.
    fn take_good(&mut self) -> Option<Vec<WriteJob>> {
        let first = self.may_store()?;
        let tree = first.tree.id();
        let most_bytes = match writers(first) {
            1 => usize::MAX,
            _ => TOGETHER_BYTES,
        };
        let mut bytes = 0;
        let taken = |job: &WriteJob| {
            let fits = job.tree.id() == tree && bytes < most_bytes && self.busy.insert(job.key());
            bytes += if fits { job.len() } else { 0 };
            fits
        };
        let (jobs, others) = std::mem::take(&mut self.good).into_iter().partition(taken);
        self.good = others;
        *self.storing.entry(tree).or_default() += 1;
        Some(Vec::from(jobs))
    }

    /// The first good piece that one more thread may store.
    fn may_store(&self) -> Option<&WriteJob> {
        self.good.iter().find(|job| {
            let threads = self.storing.get(&job.tree.id()).copied();
            threads.is_none_or(|threads| threads < writers(job)) && !self.busy.contains(&job.key())
        })
    }
}

/// How many threads may store the item of this job side by side.
fn writers(job: &WriteJob) -> usize {
    match job.len() < direct::LEAST {
        true => 1,
        false => job.tree.disk().direct.writers(),
    }
}
