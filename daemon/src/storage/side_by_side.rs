//! The same work on many files at once.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use super::StorageError;
use crate::descriptors;

/// Things that one thread works on before another helps, and threads that work at once.
const ALONE: usize = 4;
const THREADS: usize = 32;

/// Does `work` on all of `things` and gives what came of it, in any order; after a failure, which it gives instead, no more is begun. One after
/// the other, each would wait for the disk or the server by itself; side by side, one flush of the disk serves several. The first is worked
/// on alone: a disk that does not answer keeps one thread and not all.
pub(super) fn side_by_side<T: Sync, R: Send>(
    things: &[T],
    work: impl Fn(&T) -> Result<R, StorageError> + Sync,
) -> Result<Vec<R>, StorageError> {
    let Some((first, things)) = things.split_first() else {
        return Ok(Vec::new());
    };
    let first = work(first)?;
    // Each has a few files in hand besides those that are kept open.
    let most = THREADS.min(descriptors::shares().files / 8).max(1);
    let threads = (things.len() + 1).div_ceil(ALONE).clamp(1, most);
    // Where names are made, a folder takes one thread at a time, and neighbours lie in one folder: so each thread has a part of its own.
    let parts: Vec<&[T]> = things
        .chunks(things.len().div_ceil(threads).max(1))
        .collect();
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let some = || -> Result<Vec<R>, StorageError> {
        let mut done = Vec::new();
        while let Some(part) = parts.get(next.fetch_add(1, Ordering::Relaxed)) {
            for thing in *part {
                if failed.load(Ordering::Relaxed) {
                    return Ok(done);
                }
                let worked = work(thing);
                failed.fetch_or(worked.is_err(), Ordering::Relaxed);
                done.push(worked?);
            }
        }
        Ok(done)
    };
    thread::scope(|scope| {
        // Those that cannot be had are done without.
        let helper = |_| thread::Builder::new().spawn_scoped(scope, some).ok();
        let others: Vec<_> = (1..threads).map_while(helper).collect();
        let mut done = some();
        if let Ok(done) = &mut done {
            done.push(first);
        }
        for other in others {
            let more = other.join().unwrap_or(Err(StorageError::Bug));
            done = done.and_then(|mut done| {
                done.extend(more?);
                Ok(done)
            });
        }
        done
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_done_once_and_after_a_failure_nothing_is_begun() {
        let things: Vec<usize> = (0..1_000).collect();
        let mut done = side_by_side(&things, |n| Ok(n * 2)).unwrap();
        done.sort_unstable();
        assert!(done.into_iter().eq((0..1_000).map(|n| n * 2)));

        for fails in [0, 10] {
            let many: Vec<usize> = (0..1_000_000).collect();
            let begun = AtomicUsize::new(0);
            let failed = side_by_side(&many, |n| {
                begun.fetch_add(1, Ordering::Relaxed);
                match *n == fails {
                    true => Err(StorageError::Stopped),
                    false => Ok(()),
                }
            });
            assert!(matches!(failed, Err(StorageError::Stopped)));
            let begun = begun.into_inner();
            assert!(begun < many.len() && (fails > 0 || begun == 1), "{begun}");
        }
        assert_eq!(side_by_side(&[(); 0], |()| Ok(())), Ok(Vec::new()));
    }
}
