//! What one direct write takes.
//!
//! The kernel hands memory to the disk as it lies, if it begins at a page and ends at one. Blocks that came in fast lie so (`net/pool.rs`); others
//! are gathered in a buffer first. Both lie in large pages where the system has any: of many small ones it looks up each, and a disk takes
//! so many parts in one request.

use std::io::{self, IoSlice};

use memmap2::MmapMut;

use crate::memory::{LARGE_PAGE, use_large_pages};

/// Direct writes begin at multiples of this, in the file and in memory: of the sectors of nearly every disk. Those of others refuse.
pub(super) const ALIGN: usize = 4096;

/// Bytes in one direct write at most.
pub(super) const MOST: usize = 1024 * 1024;

/// Where bytes are gathered for a direct write, at an address that it takes.
pub(super) struct Buffer {
    map: MmapMut,
    start: usize,
}

impl Buffer {
    pub(super) fn new() -> io::Result<Self> {
        // So that a whole large page lies in it, wherever it begins. Only that one is ever touched.
        let mut map = MmapMut::map_anon(2 * LARGE_PAGE)?;
        use_large_pages(&mut map);
        let start = map.as_ptr().align_offset(LARGE_PAGE).min(LARGE_PAGE);
        Ok(Self { map, start })
    }

    /// What the next direct write takes off the front of `pages`, nothing at their end: pages that lie where they may from there, the rest from
    /// here.
    pub(super) fn row<'a, 'b: 'a>(&'a mut self, pages: &mut Pages<'_, 'b>) -> Vec<IoSlice<'a>> {
        let (mut parts, mut len, mut gathered) = (Vec::new(), 0, 0);
        while let Some(bytes) = pages.take(MOST - len) {
            let is_page = |number: usize| number.is_multiple_of(ALIGN);
            len += bytes.len();
            if is_page(len) && is_page(bytes.len()) && is_page(bytes.as_ptr().addr()) {
                parts.push(Part::Lies(bytes));
                continue;
            }
            let at = self.start + gathered;
            self.map[at..at + bytes.len()].copy_from_slice(bytes);
            gathered += bytes.len();
            match parts.last_mut() {
                Some(Part::Gathered(len)) => *len += bytes.len(),
                _ => parts.push(Part::Gathered(bytes.len())),
            }
        }
        let mut gathered = &self.map[self.start..];
        let place = |part| match part {
            Part::Lies(bytes) => IoSlice::new(bytes),
            Part::Gathered(len) => {
                let (bytes, rest) = gathered.split_at(len);
                gathered = rest;
                IoSlice::new(bytes)
            }
        };
        parts.into_iter().map(place).collect()
    }
}

/// What is to be written, from the front on.
pub(super) struct Pages<'a, 'b> {
    slices: std::slice::Iter<'b, IoSlice<'a>>,
    /// The rest of the first.
    front: &'b [u8],
}

impl<'a, 'b> Pages<'a, 'b> {
    pub(super) fn new(slices: &'b [IoSlice<'a>]) -> Self {
        Self {
            slices: slices.iter(),
            front: &[],
        }
    }

    /// What lies in one place next, at most so many bytes; `None` at the end.
    fn take(&mut self, most: usize) -> Option<&'b [u8]> {
        while self.front.is_empty() {
            self.front = self.slices.next()?;
        }
        let (taken, rest) = self.front.split_at(self.front.len().min(most));
        self.front = rest;
        (!taken.is_empty()).then_some(taken)
    }
}

/// A part of a direct write.
enum Part<'a> {
    /// At an address that it takes.
    Lies(&'a [u8]),
    /// So many bytes more of the buffer.
    Gathered(usize),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::large_pages;

    #[test]
    fn pages_that_lie_right_are_written_from_where_they_are_and_others_beside_them() {
        let mut memory = large_pages(4 * MOST);
        let mut state = 1u64;
        for word in memory.chunks_exact_mut(8) {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            word.copy_from_slice(&state.to_be_bytes());
        }
        let page = ALIGN;
        let cuts: [&[usize]; 5] = [
            &[16_384; 170],
            &[10_240; 50],
            // Whole pages at the begin of a page, but not of the file, up to where both agree again.
            &[4 * page, 100, 4 * page, 4 * page - 100, 2 * page, 3 * page],
            &[page + 1, page - 1, page, MOST + page, page],
            &[MOST - page, 2 * page, page],
        ];
        for lens in cuts {
            let (mut slices, mut at) = (Vec::new(), 0);
            for len in lens {
                // Each at the begin of a page, with a page between.
                slices.push(IoSlice::new(&memory[at..at + len]));
                at += (len + page).next_multiple_of(page) % (2 * MOST);
            }
            let all: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
            let mut buffer = Buffer::new().unwrap();
            let (mut pages, mut found) = (Pages::new(&slices), Vec::new());
            let (mut moved, mut rows) = (0, 0);
            loop {
                let row = buffer.row(&mut pages);
                for part in &row {
                    assert!(part.len() % page == 0 && part.as_ptr().addr() % page == 0);
                    let inside = memory.as_ptr_range().contains(&part.as_ptr());
                    moved += if inside { 0 } else { part.len() };
                    found.extend_from_slice(part);
                }
                if row.is_empty() {
                    break;
                }
                rows += 1;
            }
            assert!(found == all, "{lens:?}");
            assert_eq!(rows, all.len().div_ceil(MOST));
            let odd = lens.iter().any(|len| len % page != 0);
            assert_eq!(moved > 0, odd, "{moved} bytes of {lens:?}");
            if lens.len() == 6 {
                assert_eq!(moved, 8 * page, "of {lens:?}");
            }
        }
    }
}
