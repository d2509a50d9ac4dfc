//! Threads that take pieces, as many at a time as there are lanes, until none is left.

use std::{
    num::NonZero,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use super::{
    HashError, Options, Progress,
    concat::Concat,
    lane::{Fault, Lane, Source},
};
use crate::Digest;

/// What became of a piece.
pub(super) enum Outcome {
    Hashed(Digest),
    /// Its bytes are not there.
    Unreadable,
}

pub(super) struct Pool<'a> {
    pub(super) concat: &'a Concat<'a>,
    pub(super) options: &'a Options<'a>,
    pub(super) progress: &'a Progress,
    /// Whether a piece that cannot be read is an [`Outcome`], or ends everything.
    pub(super) tolerant: bool,
}

/// What the threads share.
struct Shared<'a, P, F> {
    pool: &'a Pool<'a>,
    source: Source<'a>,
    /// The pieces that no thread has taken.
    pieces: Mutex<P>,
    done: Mutex<F>,
    error: Mutex<Option<HashError>>,
    /// Set with the error, so that the other threads end.
    stop: AtomicBool,
}

impl Pool<'_> {
    /// Tells `done` what became of each piece, on any thread, one call at a time.
    pub(super) fn run<P>(
        &self,
        pieces: impl IntoIterator<Item = u32, IntoIter = P>,
        done: impl FnMut(u32, Outcome) + Send,
    ) -> Result<(), HashError>
    where
        P: Iterator<Item = u32>,
    {
        let pieces: Vec<u32> = pieces.into_iter().collect();
        let threads = self.threads(pieces.len());
        let files = if self.tolerant {
            0
        } else {
            self.concat.files()
        };
        let shared = Shared {
            pool: self,
            source: Source {
                concat: self.concat,
                options: self.options,
                stamps: std::iter::repeat_with(Default::default)
                    .take(files)
                    .collect(),
            },
            pieces: Mutex::new(pieces.into_iter()),
            done: Mutex::new(done),
            error: Mutex::new(None),
            stop: AtomicBool::new(false),
        };
        thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(|| shared.work());
            }
            shared.work();
        });
        match shared
            .error
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
        {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// No more threads than there are full sets of lanes, and a quarter of the descriptors that may be open, at most.
    fn threads(&self, pieces: usize) -> usize {
        let wanted = match self.options.threads {
            0 => thread::available_parallelism().map_or(1, NonZero::get),
            threads => threads,
        };
        let lanes = self.options.hasher.lanes();
        let openable = usize::try_from(descriptors() / 4).unwrap_or(usize::MAX) / lanes;
        wanted.min(pieces.div_ceil(lanes)).min(openable).max(1)
    }
}

impl<P, F> Shared<'_, P, F>
where
    P: Iterator<Item = u32>,
    F: FnMut(u32, Outcome),
{
    /// One thread's work.
    fn work(&self) {
        let mut lanes: Vec<Lane> = Vec::new();
        lanes.resize_with(self.pool.options.hasher.lanes(), Lane::new);
        let result = self.work_on(&mut lanes).and_then(|()| {
            lanes
                .iter_mut()
                .try_for_each(|lane| lane.close(&self.source).map_err(Fault::into_error))
        });
        if let Err(error) = result {
            self.stop.store(true, Ordering::Relaxed);
            let mut first = lock(&self.error);
            first.get_or_insert(error);
        }
    }

    fn work_on(&self, lanes: &mut [Lane]) -> Result<(), HashError> {
        loop {
            let taken = self.take(lanes);
            if taken == 0 || self.stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            self.hash(&mut lanes[..taken])?;
        }
    }

    /// Gives the first lanes a piece each, and says how many.
    fn take(&self, lanes: &mut [Lane]) -> usize {
        let mut pieces = lock(&self.pieces);
        let mut taken = 0;
        while taken < lanes.len()
            && let Some(piece) = pieces.next()
        {
            let Some((offset, len)) = self.pool.concat.piece(piece) else {
                self.tell(piece, Outcome::Unreadable);
                continue;
            };
            lanes[taken].begin(piece, offset, len);
            taken += 1;
        }
        taken
    }

    /// Hashes the piece of every lane.
    fn hash(&self, lanes: &mut [Lane]) -> Result<(), HashError> {
        let hasher = self.pool.options.hasher;
        let mut readable = vec![true; lanes.len()];
        while lanes
            .iter()
            .zip(&readable)
            .any(|(lane, ok)| *ok && !lane.is_done())
        {
            if self.pool.progress.is_cancelled() {
                return Err(HashError::Cancelled);
            }
            if self.stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            let mut feeds = Vec::with_capacity(lanes.len());
            let mut bytes = 0;
            for (lane, ok) in lanes.iter_mut().zip(&mut readable) {
                if !*ok {
                    continue;
                }
                match lane.fill(&self.source) {
                    Ok(()) => {
                        let feed = lane.feed();
                        bytes += feed.1.len() as u64;
                        feeds.push(feed);
                    }
                    Err(Fault::Bad(_)) if self.pool.tolerant => {
                        *ok = false;
                        bytes += u64::from(lane.abandon());
                    }
                    Err(fault) => return Err(fault.into_error()),
                }
            }
            hasher.update(&mut feeds);
            self.pool.progress.add(bytes);
        }
        for (lane, ok) in lanes.iter_mut().zip(&mut readable) {
            match lane.end(&self.source) {
                Ok(()) => {}
                Err(Fault::Bad(_)) if self.pool.tolerant => *ok = false,
                Err(fault) => return Err(fault.into_error()),
            }
        }
        let mut streams: Vec<_> = lanes.iter().map(|lane| lane.stream.clone()).collect();
        let mut digests = vec![[0; 20]; lanes.len()];
        hasher.finish(&mut streams, &mut digests);
        for ((lane, ok), digest) in lanes.iter().zip(readable).zip(digests) {
            let outcome = if ok {
                Outcome::Hashed(digest)
            } else {
                Outcome::Unreadable
            };
            self.tell(lane.piece, outcome);
        }
        Ok(())
    }

    fn tell(&self, piece: u32, outcome: Outcome) {
        lock(&self.done)(piece, outcome);
    }
}

/// How many files this process may have open.
#[cfg(unix)]
fn descriptors() -> u64 {
    use nix::sys::resource::{Resource, getrlimit};
    getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(soft, _)| soft)
}

/// Windows bounds handles by memory alone.
#[cfg(not(unix))]
fn descriptors() -> u64 {
    u64::MAX
}

/// The lock, also after a panic elsewhere: `thread::scope` passes that on.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
