//! Memory for blocks that arrive: places of a block each, that are used again.
//!
//! Each place begins at a page, so that what is in it can be written to a disk as it lies, past the page cache. They lie in large pages of memory,
//! where the system has any: the kernel looks up few and hands the disk few parts.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use p2p_wire::BLOCK_LEN;

use crate::memory;

/// Bytes of a place: of the blocks that everybody asks for.
pub(super) const PLACE_LEN: usize = BLOCK_LEN as usize;

/// Places are made so many at a time, in bytes. The system gives memory for those that are used; the rest are addresses.
const MADE: usize = 16 << 20;

/// Free places that are kept at most, in bytes.
const KEPT: usize = 64 << 20;

/// The places that are free. A small value, free to copy.
#[derive(Clone, Default)]
pub struct BlockPool(Arc<Mutex<Vec<BytesMut>>>);

impl BlockPool {
    /// So many places, with what was in them before.
    pub(super) fn take(&self, count: usize) -> Vec<Place> {
        let mut free = self.lock();
        while free.len() < count {
            let mut made = memory::large_pages(MADE);
            let places = (0..MADE / PLACE_LEN).map(|_| made.split_to(PLACE_LEN));
            // The last are taken first: what was used last before what never was, and of that the lowest addresses.
            let mut all: Vec<BytesMut> = places.rev().collect();
            all.append(&mut free);
            *free = all;
        }
        let kept = free.len().saturating_sub(count);
        let taken = free.drain(kept..).rev();
        let place = |memory| Place {
            memory,
            pool: self.clone(),
        };
        taken.map(place).collect()
    }

    /// Gives the memory of free places back, as nothing comes. What the used ones lie in goes when they are free and this is called again.
    pub fn rest(&self) {
        drop(std::mem::take(&mut *self.lock()));
    }

    fn lock(&self) -> MutexGuard<'_, Vec<BytesMut>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Memory of [`PLACE_LEN`] bytes that nobody else has; free again when dropped.
pub(super) struct Place {
    memory: BytesMut,
    pool: BlockPool,
}

impl Place {
    /// To be read; its memory is free again when the last of them is dropped.
    pub(super) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Place {
    fn as_ref(&self) -> &[u8] {
        &self.memory
    }
}

impl AsMut<[u8]> for Place {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.memory
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let memory = std::mem::take(&mut self.memory);
        let mut free = self.pool.lock();
        if free.len() < KEPT / PLACE_LEN {
            free.push(memory);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_whole_begin_at_a_page_and_are_nobody_elses() {
        let pool = BlockPool::default();
        let mut taken = pool.take(MADE / PLACE_LEN - 5);
        taken.extend(pool.take(40));
        for (n, place) in taken.iter_mut().enumerate() {
            assert_eq!(place.as_ref().len(), PLACE_LEN);
            assert!(place.as_ref().as_ptr().addr().is_multiple_of(4096));
            place.as_mut().fill(n as u8);
            place.as_mut()[..8].copy_from_slice(&n.to_be_bytes());
        }
        for (n, place) in taken.iter().enumerate() {
            assert_eq!(place.as_ref()[..8], n.to_be_bytes());
            assert!(place.as_ref()[8..].iter().all(|byte| *byte == n as u8));
        }
    }

    #[test]
    fn a_place_is_used_again_once_nobody_reads_it() {
        let pool = BlockPool::default();
        let block = pool.take(1).remove(0).freeze();
        let (first, copy) = (block.as_ptr(), block.slice(100..200));
        drop(block);
        let second = pool.take(1).remove(0);
        assert_ne!(second.as_ref().as_ptr(), first);
        drop((second, copy));
        assert_eq!(pool.take(1)[0].as_ref().as_ptr(), first);
    }

    #[test]
    fn memory_is_given_back_when_nothing_comes_or_it_is_much() {
        let pool = BlockPool::default();
        let block = pool.take(3).remove(0).freeze();
        assert_eq!(pool.lock().len(), MADE / PLACE_LEN - 1);
        pool.rest();
        assert_eq!(pool.lock().capacity(), 0);
        assert_eq!(block.len(), PLACE_LEN);
        drop(block);
        assert_eq!(pool.lock().len(), 1);
        drop(pool.take(2 * KEPT / PLACE_LEN));
        assert_eq!(pool.lock().len(), KEPT / PLACE_LEN);
    }
}
