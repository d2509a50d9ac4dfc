//! Memory for blocks that arrive: places of a block each, of the usual length or the longest, that are used again.
//!
//! Each place begins at a page, so that what is in it can be written to a disk as it lies, past the page cache. They lie in large pages of memory,
//! where the system has any: the kernel looks up few and hands the disk few parts.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use p2p_wire::{BLOCK_LEN, MAX_BLOCK_LEN};

use crate::memory;

/// How many bytes a place has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum PlaceLen {
    /// Those of the blocks that everybody asks for.
    Usual,
    /// Those of the longest.
    Long,
}

impl PlaceLen {
    /// That of a block of `len` bytes; `None` if there are no places for such.
    pub(super) fn of(len: usize) -> Option<Self> {
        [Self::Usual, Self::Long]
            .into_iter()
            .find(|place| place.bytes() == len)
    }

    /// In bytes: a multiple of a page.
    pub(super) const fn bytes(self) -> usize {
        match self {
            Self::Usual => BLOCK_LEN as usize,
            Self::Long => MAX_BLOCK_LEN as usize,
        }
    }
}

/// Places are made so many at a time, in bytes. The system gives memory for those that are used; the rest are addresses.
const MADE: usize = 16 << 20;

/// Free places of one length that are kept at most, in bytes.
const KEPT: usize = 64 << 20;

/// The places that are free. A small value, free to copy.
#[derive(Clone, Default)]
pub struct BlockPool(Arc<Mutex<Free>>);

#[derive(Default)]
struct Free {
    usual: Vec<BytesMut>,
    long: Vec<BytesMut>,
}

impl Free {
    fn of(&mut self, len: PlaceLen) -> &mut Vec<BytesMut> {
        match len {
            PlaceLen::Usual => &mut self.usual,
            PlaceLen::Long => &mut self.long,
        }
    }

    /// Makes places: long ones out of new memory, those of the usual length out of a long one, so that few large pages hold both.
    fn more(&mut self, len: PlaceLen) {
        let mut whole = match len {
            PlaceLen::Long => memory::large_pages(MADE),
            PlaceLen::Usual => match self.long.pop() {
                Some(long) => long,
                None => return self.more(PlaceLen::Long),
            },
        };
        let places = (0..whole.len() / len.bytes()).map(|_| whole.split_to(len.bytes()));
        // The last are taken first: what was used last before what never was, and of that the lowest addresses.
        let mut all: Vec<BytesMut> = places.rev().collect();
        let free = self.of(len);
        all.append(free);
        *free = all;
    }
}

impl BlockPool {
    /// So many places, with what was in them before.
    pub(super) fn take(&self, len: PlaceLen, count: usize) -> Vec<Place> {
        let mut free = self.lock();
        while free.of(len).len() < count {
            free.more(len);
        }
        let free = free.of(len);
        let kept = free.len().saturating_sub(count);
        let taken = free.drain(kept..).rev();
        let place = |memory| Place {
            memory,
            len,
            pool: self.clone(),
        };
        taken.map(place).collect()
    }

    /// Gives the memory of free places back, as nothing comes. What the used ones lie in goes when they are free and this is called again.
    pub fn rest(&self) {
        drop(std::mem::take(&mut *self.lock()));
    }

    fn lock(&self) -> MutexGuard<'_, Free> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Memory for a block that nobody else has; free again when dropped.
pub(super) struct Place {
    memory: BytesMut,
    len: PlaceLen,
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
        let free = free.of(self.len);
        if free.len() < KEPT / self.len.bytes() {
            free.push(memory);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [PlaceLen; 2] = [PlaceLen::Usual, PlaceLen::Long];

    #[test]
    fn places_are_whole_begin_at_a_page_and_are_nobody_elses() {
        let pool = BlockPool::default();
        let mut taken = Vec::new();
        for len in BOTH {
            assert_eq!(PlaceLen::of(len.bytes()), Some(len));
            taken.extend(pool.take(len, MADE / len.bytes() - 5));
            let more = pool.take(len, 40);
            assert!(more.iter().all(|place| place.as_ref().len() == len.bytes()));
            taken.extend(more);
        }
        for (n, place) in taken.iter_mut().enumerate() {
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
        for len in BOTH {
            let pool = BlockPool::default();
            let block = pool.take(len, 1).remove(0).freeze();
            let (first, copy) = (block.as_ptr(), block.slice(100..200));
            drop(block);
            let second = pool.take(len, 1).remove(0);
            assert_ne!(second.as_ref().as_ptr(), first);
            drop((second, copy));
            assert_eq!(pool.take(len, 1)[0].as_ref().as_ptr(), first);
        }
    }

    #[test]
    fn memory_is_given_back_when_nothing_comes_or_it_is_much() {
        for (len, made) in BOTH.into_iter().zip([8, MADE / PlaceLen::Long.bytes()]) {
            let free = |pool: &BlockPool| pool.lock().of(len).len();
            let pool = BlockPool::default();
            let block = pool.take(len, 3).remove(0).freeze();
            assert_eq!(free(&pool), made - 1);
            pool.rest();
            assert_eq!(pool.lock().of(len).capacity(), 0);
            assert_eq!(block.len(), len.bytes());
            drop(block);
            assert_eq!(free(&pool), 1);
            drop(pool.take(len, 2 * KEPT / len.bytes()));
            assert_eq!(free(&pool), KEPT / len.bytes());
        }
    }
}
