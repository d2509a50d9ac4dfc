//! The disk threads: hashing, writing, reading, checking, placing.
//!
//! Nothing else of the daemon waits for a disk. [`Disk::write`] and [`Disk::read`] take the jobs of every day, a piece each, and never block; how much may be
//! asked for is bounded by who asks: a torrent task has at most [`MAX_WRITING`] bytes of writes and [`MAX_READING`] bytes of reads under way, and
//! stops taking blocks from its peers meanwhile. Jobs that take long run on threads of their own, so that a check of a terabyte or a slow sync
//! does not hold up pieces: [`Disk::run`].

mod error;
mod open;
mod piece;
mod place;
mod tree;

use std::collections::VecDeque;
use std::sync::mpsc as std_mpsc;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::{io, mem, thread};

use bytes::{Bytes, BytesMut};
use p2p_hash::Hasher;
use p2p_wire::PieceIndex;
use tokio::sync::{Notify, oneshot};

pub use self::error::StorageError;
pub use self::place::{
    allocated, delete, delete_stage, free_space, make_folder, move_into, not_a_folder, places,
    stage_of,
};
use self::tree::FileCache;
pub use self::tree::{Tree, TreeSpec};
use crate::resume::written::WrittenLog;

/// Bytes that one item may have in the queue to be hashed and written.
pub const MAX_WRITING: u64 = 32 * 1024 * 1024;

/// Bytes that one item may have in the queue to be read.
pub const MAX_READING: u64 = 16 * 1024 * 1024;

/// Pieces hashed together at most: the lanes of the widest vector unit.
const MAX_TOGETHER: usize = 16;

/// Files open at most, over all items.
const MAX_OPEN: usize = 256;

/// A handle on the disk threads; they end when the last handle is dropped.
#[derive(Clone)]
pub struct Disk {
    shared: Arc<Shared>,
    cache: Arc<FileCache>,
    sync: std_mpsc::Sender<Task>,
    check: std_mpsc::Sender<Task>,
    _ends: Arc<Ends>,
}

type Task = Box<dyn FnOnce() + Send>;

struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
}

#[derive(Default)]
struct Queue {
    writes: VecDeque<WriteJob>,
    reads: VecDeque<ReadJob>,
    ended: bool,
}

/// Ends the threads when the last [`Disk`] goes.
struct Ends(Arc<Shared>);

impl Drop for Ends {
    fn drop(&mut self) {
        lock(&self.0.queue).ended = true;
        self.0.wake.notify_all();
    }
}

/// Which of the threads for long jobs.
#[derive(Clone, Copy, Debug)]
pub enum Lane {
    /// Syncs, preparations, renames: seconds at most.
    Sync,
    /// Checks and copies: as long as they take.
    Check,
}

/// Hash a piece, and write it if it is good.
pub struct WriteJob {
    /// Files of the item.
    pub tree: Arc<Tree>,
    /// Where to log that it was written.
    pub log: Option<Arc<WrittenLog>>,
    /// Which piece.
    pub piece: PieceIndex,
    /// All its blocks in order.
    pub blocks: Vec<Bytes>,
    /// Who waits.
    pub inbox: Arc<Inbox>,
}

/// Read a run of bytes of the content.
pub struct ReadJob {
    /// Files of the item.
    pub tree: Arc<Tree>,
    /// Where in the content it begins.
    pub offset: u64,
    /// How many bytes.
    pub len: u32,
    /// A buffer to fill, if there is one to be used again.
    pub buffer: Option<BytesMut>,
    /// Who waits.
    pub inbox: Arc<Inbox>,
}

/// What became of a job.
#[derive(Debug)]
pub enum Done {
    /// Good and written, or false: it has another hash. Errors: it could not be written.
    Written(PieceIndex, Result<bool, StorageError>),
    /// The bytes from this offset on.
    Read(u64, Result<Bytes, StorageError>),
}

/// Where finished jobs of one item wait for its task. Holds no more than the task asked for.
#[derive(Default)]
pub struct Inbox {
    done: Mutex<Vec<Done>>,
    notify: Notify,
}

impl Inbox {
    /// Waits until something is done.
    pub async fn ready(&self) {
        self.notify.notified().await;
    }

    /// All that is done.
    pub fn take(&self) -> Vec<Done> {
        mem::take(&mut *lock(&self.done))
    }

    fn push(&self, done: Done) {
        lock(&self.done).push(done);
        self.notify.notify_one();
    }
}

impl Disk {
    /// Starts `threads` threads for pieces (at least one) and one for each [`Lane`].
    pub fn start(threads: usize) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            wake: Condvar::new(),
        });
        for n in 0..threads.max(1) {
            let shared = shared.clone();
            let thread = thread::Builder::new().name(format!("disk-{n}"));
            thread.spawn(move || serve(&shared))?;
        }
        Ok(Self {
            sync: lane("disk-sync")?,
            check: lane("disk-check")?,
            cache: FileCache::new(MAX_OPEN),
            _ends: Arc::new(Ends(shared.clone())),
            shared,
        })
    }

    /// The files of an item at their place.
    pub fn tree(&self, spec: TreeSpec<'_>) -> Arc<Tree> {
        Arc::new(Tree::new(&self.cache, spec))
    }

    /// Hashes and writes a piece.
    pub fn write(&self, job: WriteJob) {
        lock(&self.shared.queue).writes.push_back(job);
        self.shared.wake.notify_one();
    }

    /// Reads a run of bytes.
    pub fn read(&self, job: ReadJob) {
        lock(&self.shared.queue).reads.push_back(job);
        self.shared.wake.notify_one();
    }

    /// Runs `job` on a thread for long jobs, after those that were there before.
    pub async fn run<T: Send + 'static>(
        &self,
        lane: Lane,
        job: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let (reply, answer) = oneshot::channel();
        let task: Task = Box::new(move || {
            // The asker may be gone; the work is done all the same.
            let _ = reply.send(job());
        });
        let lane = match lane {
            Lane::Sync => &self.sync,
            Lane::Check => &self.check,
        };
        lane.send(task).map_err(|_| StorageError::Stopped)?;
        answer.await.map_err(|_| StorageError::Stopped)?
    }
}

/// A thread for long jobs. Its queue holds at most a few per awake item: each waits for one before it asks for the next.
fn lane(name: &str) -> io::Result<std_mpsc::Sender<Task>> {
    let (tasks, queue) = std_mpsc::channel::<Task>();
    let thread = thread::Builder::new().name(name.into());
    thread.spawn(move || queue.into_iter().for_each(|task| task()))?;
    Ok(tasks)
}

enum Next {
    Write(Vec<WriteJob>),
    Read(ReadJob),
}

fn serve(shared: &Shared) {
    let hasher = Hasher::auto();
    let mut reads_first = false;
    while let Some(next) = next(shared, &mut reads_first) {
        match next {
            Next::Write(jobs) => write(&hasher, jobs),
            Next::Read(job) => read(job),
        }
    }
}

/// Waits for work; reads and writes take turns when there are both.
fn next(shared: &Shared, reads_first: &mut bool) -> Option<Next> {
    let mut queue = lock(&shared.queue);
    loop {
        *reads_first = !*reads_first;
        if (*reads_first || queue.writes.is_empty())
            && let Some(job) = queue.reads.pop_front()
        {
            return Some(Next::Read(job));
        }
        if !queue.writes.is_empty() {
            let together = queue.writes.len().min(MAX_TOGETHER);
            return Some(Next::Write(queue.writes.drain(..together).collect()));
        }
        if queue.ended {
            return None;
        }
        if queue.reads.is_empty() {
            queue = shared
                .wake
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn write(hasher: &Hasher, jobs: Vec<WriteJob>) {
    let pieces: Vec<&[Bytes]> = jobs.iter().map(|job| &job.blocks[..]).collect();
    let digests = piece::hash(hasher, &pieces);
    for (job, digest) in jobs.into_iter().zip(digests) {
        let outcome = if digest == job.tree.info().piece_hash(job.piece) {
            piece::write(&job.tree, job.piece, &job.blocks).map(|()| true)
        } else {
            Ok(false)
        };
        if let (Ok(true), Some(log)) = (&outcome, &job.log) {
            // A hint that is lost costs fetching the piece again after a kill.
            if let Err(error) = log.append(&[job.piece.get()]) {
                tracing::debug!("the log of written pieces: {error}");
            }
        }
        drop(job.blocks);
        job.inbox.push(Done::Written(job.piece, outcome));
    }
}

fn read(job: ReadJob) {
    let mut buffer = job.buffer.unwrap_or_default();
    buffer.resize(job.len as usize, 0);
    let read = piece::read(&job.tree, job.offset, &mut buffer);
    let done = Done::Read(job.offset, read.map(|()| buffer.freeze()));
    job.inbox.push(done);
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
