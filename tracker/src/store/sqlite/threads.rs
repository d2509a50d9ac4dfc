//! The threads that hold the connections.

use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};
use tokio::sync::oneshot;

use super::Changes;
use crate::lock::lock;
use crate::store::{Mirror, StoreError};

/// Jobs that may wait for a thread; beyond it callers are told [`StoreError::Busy`].
const QUEUE: usize = 1_024;
/// Writes that share one commit.
const BATCH: usize = 256;
/// How long a backup waits where somebody else holds a lock.
const LOCKED_PAUSE: Duration = Duration::from_millis(10);
/// Instructions of SQLite's machine between two looks at the clock: some ten microseconds.
const STEPS: i32 = 1_000;
/// Pages that a backup copies between two batches.
const BACKUP_PAGES: i32 = 512;

/// What a caller waits for.
pub(super) type Pending<T> = oneshot::Receiver<Result<T, StoreError>>;

/// Tells a caller how its write ended, once the commit of its batch is known.
type Settle = Box<dyn FnOnce(Result<(), StoreError>, &dyn Mirror) + Send>;

/// A write: runs in the open transaction, or hears why there is none.
type Write = Box<dyn FnOnce(Result<&Connection, StoreError>) -> Settle + Send>;

enum Job {
    Write(Write),
    Backup(PathBuf, oneshot::Sender<Result<(), StoreError>>),
    Close(oneshot::Sender<()>),
}

/// The thread that owns the writing connection.
pub(super) struct Writer {
    jobs: SyncSender<Job>,
}

impl Writer {
    pub(super) fn start(db: Connection, mirror: Arc<dyn Mirror>) -> Result<Self, StoreError> {
        let (jobs, queue) = sync_channel(QUEUE);
        std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || write_loop(db, &queue, mirror.as_ref()))
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        Ok(Self { jobs })
    }

    /// Queues `work`; its changes reach the mirror, and its result the caller, after the commit.
    pub(super) fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection, &mut Changes) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<Pending<T>, StoreError> {
        let (answer, pending) = oneshot::channel();
        self.send(Job::Write(Box::new(move |db| {
            let mut changes = Changes::new();
            let result = db.and_then(|db| logged(in_savepoint(db, || work(db, &mut changes))));
            Box::new(move |commit, mirror| {
                let result = result.and_then(|value| commit.map(|()| value));
                if result.is_ok() {
                    changes.into_iter().for_each(|change| mirror.apply(change));
                }
                // A caller that gave up does not hear it; the write stands.
                let _ = answer.send(result);
            })
        })))?;
        Ok(pending)
    }

    pub(super) fn backup(&self, to: PathBuf) -> Result<Pending<()>, StoreError> {
        let (answer, pending) = oneshot::channel();
        self.send(Job::Backup(to, answer))?;
        Ok(pending)
    }

    /// Queues the end behind all that waits.
    pub(super) fn close(&self) -> oneshot::Receiver<()> {
        let (answer, pending) = oneshot::channel();
        // A full queue is being worked off; waiting for a place in it is bounded by that.
        let _ = self.jobs.send(Job::Close(answer));
        pending
    }

    fn send(&self, job: Job) -> Result<(), StoreError> {
        self.jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => StoreError::Busy,
            TrySendError::Disconnected(_) => StoreError::Stopped,
        })
    }
}

fn write_loop(db: Connection, queue: &Receiver<Job>, mirror: &dyn Mirror) {
    let mut closing = None;
    while closing.is_none() {
        let Ok(first) = queue.recv() else { break };
        let (writes, other) = collect(first, queue);
        run_batch(&db, writes, mirror);
        match other {
            None | Some(Job::Write(_)) => {}
            Some(Job::Close(answer)) => closing = Some(answer),
            Some(Job::Backup(to, answer)) => {
                let (result, close) = backup(&db, &to, &answer, queue, mirror);
                if let Err(Ok(())) = answer.send(result) {
                    // Nobody waits for it any more.
                    let _ = std::fs::remove_file(&to);
                }
                closing = close;
            }
        }
    }
    // The readers may still be open, so closing would not fold the write-ahead log into the database. If that fails the log is still whole.
    let folded = db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    if let Err(error) = folded.and_then(|()| db.close().map_err(|(_, error)| error)) {
        tracing::warn!("closing the database: {error}");
    }
    if let Some(answer) = closing {
        let _ = answer.send(());
    }
}

/// `first` and the writes that wait behind it, and the job of another kind that ended the batch.
fn collect(first: Job, queue: &Receiver<Job>) -> (Vec<Write>, Option<Job>) {
    let mut writes = Vec::new();
    let mut next = Some(first);
    while let Some(job) = next {
        match job {
            Job::Write(write) => writes.push(write),
            other => return (writes, Some(other)),
        }
        next = if writes.len() < BATCH {
            queue.try_recv().ok()
        } else {
            None
        };
    }
    (writes, None)
}

fn run_batch(db: &Connection, writes: Vec<Write>, mirror: &dyn Mirror) {
    if writes.is_empty() {
        return;
    }
    let mut settles: Vec<Settle> = Vec::with_capacity(writes.len());
    let commit = commit_all(db, writes, &mut settles);
    if let Err(error) = &commit {
        tracing::error!("commit failed: {error}");
        if !db.is_autocommit() {
            let _ = db.execute_batch("ROLLBACK");
        }
    }
    for settle in settles {
        settle(commit.clone(), mirror);
    }
}

/// Runs the writes in one transaction. When it cannot begin, or is rolled back halfway, the rest are told instead of run.
fn commit_all(
    db: &Connection,
    writes: Vec<Write>,
    settles: &mut Vec<Settle>,
) -> Result<(), StoreError> {
    let mut state = db
        .execute_batch("BEGIN IMMEDIATE")
        .map_err(StoreError::from);
    for write in writes {
        settles.push(write(state.clone().map(|()| db)));
        // A full disk can make SQLite roll the whole transaction back by itself: then all of the batch has failed.
        if state.is_ok() && db.is_autocommit() {
            state = Err(StoreError::Unavailable(
                "the disk is full or failed".to_owned(),
            ));
        }
    }
    state.and_then(|()| Ok(db.execute_batch("COMMIT")?))
}

/// Tells the administrator what users are not told: that the database itself failed, and how.
fn logged<T>(result: Result<T, StoreError>) -> Result<T, StoreError> {
    if let Err(error @ (StoreError::Damaged(_) | StoreError::Database(_))) = &result {
        tracing::error!("{error}");
    }
    result
}

fn in_savepoint<T>(
    db: &Connection,
    work: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    db.execute_batch("SAVEPOINT job")?;
    let result = work();
    let end = if result.is_ok() {
        "RELEASE job"
    } else {
        "ROLLBACK TO job; RELEASE job"
    };
    let ended = if db.is_autocommit() {
        Ok(())
    } else {
        db.execute_batch(end)
    };
    let value = result?;
    ended?;
    Ok(value)
}

/// Copies the database page by page, with batches of writes in between: those made through this connection reach the copy too.
fn backup(
    db: &Connection,
    to: &std::path::Path,
    answer: &oneshot::Sender<Result<(), StoreError>>,
    queue: &Receiver<Job>,
    mirror: &dyn Mirror,
) -> (Result<(), StoreError>, Option<oneshot::Sender<()>>) {
    // Made private first: password hashes are in it.
    let made = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to);
    if let Err(error) = made {
        return (Err(StoreError::Unavailable(error.to_string())), None);
    }
    let mut closing = None;
    let mut copy = || -> Result<(), StoreError> {
        let mut target = Connection::open(to)?;
        {
            let steps = Backup::new(db, &mut target)?;
            loop {
                match steps.step(BACKUP_PAGES)? {
                    StepResult::Done => break,
                    StepResult::Busy | StepResult::Locked => std::thread::sleep(LOCKED_PAUSE),
                    _ => {}
                }
                if answer.is_closed() {
                    return Err(StoreError::Stopped);
                }
                match queue.try_recv() {
                    Ok(first) => {
                        let (writes, other) = collect(first, queue);
                        run_batch(db, writes, mirror);
                        match other {
                            Some(Job::Backup(_, answer)) => {
                                drop(answer.send(Err(StoreError::Busy)))
                            }
                            Some(Job::Close(answer)) => {
                                closing = Some(answer);
                                return Err(StoreError::Stopped);
                            }
                            _ => {}
                        }
                    }
                    Err(TryRecvError::Empty) => {}
                    Err(TryRecvError::Disconnected) => return Err(StoreError::Stopped),
                }
            }
        }
        // A copy that depends on nothing beside it.
        target.pragma_update(None, "journal_mode", "DELETE")?;
        target.close().map_err(|(_, error)| error)?;
        let file = std::fs::File::open(to).and_then(|file| file.sync_all());
        file.map_err(|error| StoreError::Unavailable(error.to_string()))
    };
    let result = copy();
    if result.is_err() {
        let _ = std::fs::remove_file(to);
    }
    (result, closing)
}

type Read = Box<dyn FnOnce(&Connection) + Send>;

/// The threads that own the reading connections; they end when this is dropped.
pub(super) struct Readers {
    jobs: SyncSender<Read>,
}

impl Readers {
    /// A read that takes longer than `patience` ends with [`StoreError::TooLong`].
    pub(super) fn start(
        connections: Vec<Connection>,
        patience: Duration,
    ) -> Result<Self, StoreError> {
        let (jobs, queue) = sync_channel::<Read>(QUEUE);
        let queue = Arc::new(Mutex::new(queue));
        for db in connections {
            let queue = Arc::clone(&queue);
            let began = Arc::new(Mutex::new(Instant::now()));
            let begin = Arc::clone(&began);
            let now_late = move || lock(&began).elapsed() > patience;
            db.progress_handler(STEPS, Some(now_late))?;
            let serve = move || {
                loop {
                    let next = lock(&queue).recv();
                    let Ok(work) = next else { break };
                    *lock(&begin) = Instant::now();
                    work(&db);
                }
            };
            std::thread::Builder::new()
                .name("store-reader".to_owned())
                .spawn(serve)
                .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        }
        Ok(Self { jobs })
    }

    pub(super) fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<Pending<T>, StoreError> {
        let (answer, pending) = oneshot::channel();
        let job: Read = Box::new(move |db| {
            let _ = answer.send(logged(work(db)));
        });
        self.jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => StoreError::Busy,
            TrySendError::Disconnected(_) => StoreError::Stopped,
        })?;
        Ok(pending)
    }
}
