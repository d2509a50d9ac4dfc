//! What the threads for pieces do.
//!
//! A panic in a job is a bug, and stops the item that the job was for: the thread lives on, as does the work of all other items.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use p2p_hash::{Hasher, Stream};

use super::pace::Pace;
use super::queue::{Hashed, Queue, Work};
use super::{Data, Done, Inbox, Outcome, ReadJob, StorageError, WriteJob, piece};

/// Works until the queue ends.
pub(super) fn serve(queue: &Queue, pace: &Pace) {
    let hasher = Hasher::default();
    while let Some(work) = queue.next() {
        match work {
            Work::Hash(jobs) => {
                let askers = askers(&jobs);
                let hashed = guarded(|| hash(&hasher, jobs)).unwrap_or_else(|| {
                    tell(askers);
                    Default::default()
                });
                queue.hashed(hashed);
            }
            Work::Store(jobs) => {
                let keys: Vec<(u64, u32)> = jobs.iter().map(WriteJob::key).collect();
                let askers = askers(&jobs);
                if pace.during(|| guarded(|| store(jobs))).is_none() {
                    tell(askers);
                }
                queue.stored(&keys);
            }
            Work::Read(job) => {
                let failed = Done::Read(job.offset, Err(StorageError::Bug));
                let inbox = job.inbox.clone();
                if guarded(|| read(job)).is_none() {
                    inbox.push([failed]);
                }
            }
            Work::Close(files) => drop(files),
        }
    }
}

/// What `work` gives; `None` if it panicked, which the log tells.
pub(super) fn guarded<T>(work: impl FnOnce() -> T) -> Option<T> {
    // What it worked on is dropped with it, or belongs to an item that stops.
    catch_unwind(AssertUnwindSafe(work)).ok()
}

/// Who waits for `jobs`, with the answer if they come to nothing.
fn askers(jobs: &[WriteJob]) -> Vec<(Arc<Inbox>, Done)> {
    let failed = |job: &WriteJob| (job.inbox.clone(), job.done(Err(StorageError::Bug)));
    jobs.iter().map(failed).collect()
}

fn tell(told: Vec<(Arc<Inbox>, Done)>) {
    told.into_iter()
        .for_each(|(inbox, done)| inbox.push([done]));
}

/// Hashes, and tells those who wait for pieces that are not good.
fn hash(hasher: &Hasher, mut jobs: Vec<WriteJob>) -> Hashed {
    let mut streams: Vec<Stream> = jobs
        .iter_mut()
        .map(|job| mem::take(&mut job.hash))
        .collect();
    let blocks: Vec<&[Bytes]> = jobs.iter().map(|job| &job.blocks[..]).collect();
    piece::advance(hasher, &mut streams, &blocks);
    let mut to_write = Vec::with_capacity(jobs.len());
    let (mut whole, mut ends, mut parts) = (Vec::new(), Vec::new(), Vec::new());
    for (job, stream) in jobs.into_iter().zip(streams) {
        if job.last {
            whole.push(job);
            ends.push(stream);
        } else {
            parts.push((job.inbox.clone(), Done::Hashed(job.piece, stream)));
            to_write.push(job);
        }
    }
    let mut digests = vec![[0; 20]; ends.len()];
    hasher.finish(&mut ends, &mut digests);
    for (job, digest) in whole.into_iter().zip(digests) {
        if digest == job.tree.info().piece_hash(job.piece) {
            to_write.push(job);
        } else {
            job.inbox.push([job.done(Ok(Outcome::Bad))]);
        }
    }
    Hashed { to_write, parts }
}

/// Writes pieces and parts of one item: what lies in a row with one write.
pub(super) fn store(mut jobs: Vec<WriteJob>) {
    let Some((inbox, log)) = jobs.first().map(|j| (j.inbox.clone(), j.log.clone())) else {
        return;
    };
    jobs.sort_by_key(WriteJob::offset);
    let mut done = Vec::with_capacity(jobs.len());
    let mut good = Vec::with_capacity(jobs.len());
    for row in jobs.chunk_by_mut(|a, b| a.offset() + a.len() as u64 == b.offset()) {
        let blocks: Vec<Bytes> = row.iter().flat_map(|job| &job.blocks).cloned().collect();
        let written = piece::write(&row[0].tree, row[0].offset(), &blocks);
        for job in row {
            let written = job.tree.wrote(job.piece, written.clone());
            let outcome = written.map(|()| match job.last {
                true => Outcome::Good,
                false => Outcome::Part,
            });
            if matches!(outcome, Ok(Outcome::Good)) {
                good.push(job.piece.get());
            }
            done.push(job.done(outcome));
            // Memory for what comes next.
            job.blocks.clear();
        }
    }
    if let Some(log) = log
        && !good.is_empty()
        && let Err(error) = log.append(&good)
    {
        // A hint that is lost costs fetching the pieces again after a kill.
        tracing::debug!("the log of written pieces: {error}");
    }
    inbox.push(done);
}

fn read(job: ReadJob) {
    if job.once
        && let Some(pages) = piece::pages(&job.tree, job.offset, job.len).transpose()
    {
        let done = Done::Read(job.offset, pages.map(Data::Pages));
        return job.inbox.push([done]);
    }
    let mut buffer = job.buffer.unwrap_or_default();
    buffer.resize(job.len as usize, 0);
    let read = piece::read(&job.tree, job.offset, &mut buffer);
    let done = Done::Read(job.offset, read.map(|()| buffer.freeze().into()));
    job.inbox.push([done]);
}
