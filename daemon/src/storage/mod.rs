//! The disk threads: hashing, writing, reading, checking, placing.
//!
//! Nothing else of the daemon waits for a disk, and those of one file system do not wait for another: [`Disks`]. [`Disk::write`] and [`Disk::read`] take the jobs of every day, a piece each, and never block; how much may be
//! asked for is bounded by who asks: a torrent task has at most [`MAX_WRITING`] bytes of writes and [`MAX_READING`] bytes of reads under way, and
//! stops taking blocks from its peers meanwhile. Jobs that take long run on threads of their own, so that a check of a terabyte or a slow sync
//! does not hold up pieces: [`Disk::run`]. A block that goes to one peer alone may stay in the page cache until it is sent ([`Data::Pages`]).

mod buffer;
mod direct;
#[cfg(test)]
mod direct_tests;
mod disks;
mod error;
mod folder;
mod holes;
mod kernel;
mod moving;
mod open;
mod pace;
mod pages;
mod piece;
mod place;
mod queue;
mod room;
mod seam;
mod side_by_side;
#[cfg(test)]
mod stalls;
mod sync;
mod threads;
mod tree;

use std::sync::mpsc as std_mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{io, mem, thread};

use bytes::{Bytes, BytesMut};
use p2p_hash::Stream;
use p2p_wire::PieceIndex;
use tokio::sync::{Notify, oneshot};

use self::direct::Direct;
pub use self::disks::Disks;
pub use self::error::StorageError;
pub(crate) use self::kernel::{DIR, open_unlinked};
pub use self::moving::{make_folder, move_as, not_a_folder, place_in, remove_copied};
pub(crate) use self::open::{Access, open_beneath, open_in};
use self::pace::Pace;
pub use self::pages::Data;
use self::pages::Pipes;
pub use self::place::{allocated, delete, delete_stage, leave_stage, places, stage_of, staged_top};
use self::queue::Queue;
pub use self::room::free_space;
#[cfg(test)]
pub(crate) use self::seam::{Fault, Faults};
pub(crate) use self::seam::{device, touch};
#[cfg(test)]
pub(crate) use self::stalls::Mount;
use self::tree::FileCache;
pub use self::tree::{Tree, TreeSpec};
use crate::resume::written::WrittenLog;

/// Bytes that one item may have in the queue to be hashed and written.
pub const MAX_WRITING: u64 = 32 * 1024 * 1024;

/// Bytes that one item may have in the queue to be read.
pub const MAX_READING: u64 = 16 * 1024 * 1024;

/// Files open at most, over all items: those of a batch that was written are mostly open still when it is synced.
const MAX_OPEN: usize = 8192;

/// A handle on the disk threads of one file system; they end when the last handle is dropped.
#[derive(Clone)]
pub struct Disk {
    queue: Arc<Queue>,
    cache: Arc<FileCache>,
    sync: std_mpsc::Sender<Task>,
    check: std_mpsc::Sender<Task>,
    idle: std_mpsc::Sender<Task>,
    pace: Arc<Pace>,
    direct: Arc<Direct>,
    pipes: Arc<Pipes>,
    _ends: Arc<Ends>,
}

type Task = Box<dyn FnOnce() + Send>;

/// Ends the threads when the last [`Disk`] goes.
struct Ends(Arc<Queue>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Which of the threads for long jobs.
#[derive(Clone, Copy, Debug)]
pub enum Lane {
    /// Syncs, preparations, renames: seconds at most.
    Sync,
    /// Checks and copies: as long as they take.
    Check,
    /// What stands back behind all other work.
    Idle,
}

/// Hash a piece, and write it if it is good; or a part of one, which is written in any case.
pub struct WriteJob {
    /// Files of the item.
    pub tree: Arc<Tree>,
    /// Where to log that it was written.
    pub log: Option<Arc<WrittenLog>>,
    /// Which piece.
    pub piece: PieceIndex,
    /// Where in the piece `blocks` begin.
    pub begin: u32,
    /// Its blocks from there on, in order.
    pub blocks: Vec<Bytes>,
    /// The hash of what is before them.
    pub hash: Stream,
    /// The piece ends with them.
    pub last: bool,
    /// Who waits.
    pub inbox: Arc<Inbox>,
}

impl WriteJob {
    fn len(&self) -> usize {
        self.blocks.iter().map(Bytes::len).sum()
    }

    /// More of its piece comes after or went before it.
    fn is_part(&self) -> bool {
        self.begin > 0 || !self.last
    }

    /// Its piece, among those of all items.
    fn key(&self) -> (u64, u32) {
        (self.tree.id(), self.piece.get())
    }

    /// Where in the content they begin.
    fn offset(&self) -> u64 {
        self.tree.info().layout().offset(self.piece) + u64::from(self.begin)
    }

    fn done(&self, outcome: Result<Outcome, StorageError>) -> Done {
        Done::Written(Written {
            piece: self.piece,
            len: self.len() as u64,
            outcome,
        })
    }
}

/// Read a run of bytes of the content.
pub struct ReadJob {
    /// Files of the item.
    pub tree: Arc<Tree>,
    /// Where in the content it begins.
    pub offset: u64,
    /// How many bytes.
    pub len: u32,
    /// It goes to one peer as it is, so that it may stay in the page cache until then.
    pub once: bool,
    /// A buffer to fill, if there is one to be used again.
    pub buffer: Option<BytesMut>,
    /// Who waits.
    pub inbox: Arc<Inbox>,
}

/// What became of a job.
#[derive(Debug)]
pub enum Done {
    /// A part of a piece was hashed: this is the hash so far. It is written next, as [`Done::Written`] says later.
    Hashed(PieceIndex, Stream),
    /// A [`WriteJob`]. Of one piece, what was written comes in the order in which it was asked for.
    Written(Written),
    /// The bytes from this offset on.
    Read(u64, Result<Data, StorageError>),
}

/// What became of a [`WriteJob`].
#[derive(Debug)]
pub struct Written {
    /// Which piece.
    pub piece: PieceIndex,
    /// Bytes of the job.
    pub len: u64,
    /// Errors: it could not be written.
    pub outcome: Result<Outcome, StorageError>,
}

/// What was found of a piece.
#[derive(Debug)]
pub enum Outcome {
    /// It is good, and all of it is written.
    Good,
    /// It has another hash.
    Bad,
    /// A part of it is written; more of it must come.
    Part,
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

    fn push(&self, done: impl IntoIterator<Item = Done>) {
        lock(&self.done).extend(done);
        self.notify.notify_one();
    }
}

impl Disk {
    /// Starts `threads` threads for pieces (at least one) and one for each [`Lane`]; what they open is kept in `cache`.
    fn start(threads: usize, cache: &Arc<FileCache>, pipes: &Arc<Pipes>) -> io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let pace = Arc::new(Pace::new());
        for n in 0..threads.max(1) {
            let (queue, pace) = (queue.clone(), pace.clone());
            let thread = thread::Builder::new().name(format!("disk-{n}"));
            thread.spawn(move || threads::serve(&queue, &pace))?;
        }
        Ok(Self {
            sync: lane("disk-sync", || {})?,
            check: lane("disk-check", || {})?,
            idle: lane("disk-idle", p2p_hash::stand_back)?,
            cache: cache.clone(),
            pace,
            direct: Arc::default(),
            pipes: pipes.clone(),
            _ends: Arc::new(Ends(queue.clone())),
            queue,
        })
    }

    /// The files of an item at their place.
    pub fn tree(&self, spec: TreeSpec<'_>) -> Arc<Tree> {
        Arc::new(Tree::new(self, spec))
    }

    /// Hashes and writes a piece.
    pub fn write(&self, job: WriteJob) {
        self.queue.write(job);
    }

    /// Reads a run of bytes.
    pub fn read(&self, job: ReadJob) {
        self.queue.read(job);
    }

    /// Runs `job` on a thread for long jobs, after those that were there before. It has its turn from this call on, also if nobody waits
    /// for its outcome.
    pub fn run<T, J>(
        &self,
        lane: Lane,
        job: J,
    ) -> impl Future<Output = Result<T, StorageError>> + use<T, J>
    where
        T: Send + 'static,
        J: FnOnce() -> Result<T, StorageError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let pace = self.pace.clone();
        let task: Task = Box::new(move || {
            let job = || threads::guarded(job).unwrap_or(Err(StorageError::Bug));
            let done = match lane {
                Lane::Sync => pace.during(job),
                Lane::Check | Lane::Idle => job(),
            };
            // The asker may be gone; the work is done all the same.
            let _ = reply.send(done);
        });
        let lane = match lane {
            Lane::Sync => &self.sync,
            Lane::Check => &self.check,
            Lane::Idle => &self.idle,
        };
        // Where it is not taken, nobody will answer.
        let _ = lane.send(task);
        async { answer.await.map_err(|_| StorageError::Stopped)? }
    }

    /// For how long the disk has had pieces to write, or work of [`Lane::Sync`] to do, and nothing of it was done; zero while it has none.
    pub fn stands_for(&self) -> Duration {
        self.pace.stands_for()
    }
}

#[cfg(test)]
impl Disk {
    /// Threads of their own, for tests.
    pub(crate) fn alone(threads: usize) -> Self {
        Self::start(threads, &FileCache::new(MAX_OPEN), &Pipes::new(MAX_OPEN)).unwrap()
    }
}

/// A thread for long jobs. Its queue holds at most a few per awake item: each waits for one before it asks for the next.
fn lane(name: &str, begin: fn()) -> io::Result<std_mpsc::Sender<Task>> {
    let (tasks, queue) = std_mpsc::channel::<Task>();
    let thread = thread::Builder::new().name(name.into());
    thread.spawn(move || {
        begin();
        queue.into_iter().for_each(|task| task());
    })?;
    Ok(tasks)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
