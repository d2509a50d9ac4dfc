//! A row of blocks as they come in, each read straight to a place of its own.
//!
//! A peer that sends what was asked for sends a head of thirteen bytes, a block, a head, a block of the same length, and so on. Who expects that can have
//! the kernel put each part where it belongs, in one call, and blocks lie as a disk takes them. When something else comes, all that is behind it
//! lies in the wrong place: [`Row::end`] puts it in a row again, to be cut into frames like everything else.

use std::collections::VecDeque;
use std::io::IoSliceMut;

use bytes::BytesMut;
use p2p_wire::peer::{Frame, Message, PieceHead};

use super::pool::{BlockPool, Place, PlaceLen};

/// Blocks that are expected. The first `there` bytes of them are there, and none was checked yet beyond the head of the first.
pub(super) struct Row {
    pool: BlockPool,
    len: PlaceLen,
    coming: VecDeque<Coming>,
    there: usize,
}

/// A block that is expected.
struct Coming {
    head: PieceHead,
    place: Place,
}

impl Row {
    /// Goes on with blocks of `len` from `buffer`, which begins with a frame and is emptied; `None` if that cannot be such a block, or holds one
    /// whole frame or more.
    pub(super) fn begin(pool: &BlockPool, len: PlaceLen, buffer: &mut BytesMut) -> Option<Self> {
        let mut row = Self {
            pool: pool.clone(),
            len,
            coming: VecDeque::new(),
            there: 0,
        };
        if buffer.len() >= row.frame() || !row.may_begin(buffer) {
            return None;
        }
        let begun = std::mem::take(buffer);
        let mut rest = &begun[..];
        if !rest.is_empty() {
            for mut slice in row.slices(begun.len()) {
                let (front, behind) = rest.split_at(slice.len());
                slice.copy_from_slice(front);
                rest = behind;
            }
            row.there = begun.len();
        }
        Some(row)
    }

    /// A block with its head, in bytes.
    fn frame(&self) -> usize {
        PieceHead::LEN + self.len.bytes()
    }

    fn may_begin(&self, bytes: &[u8]) -> bool {
        PieceHead::may_begin(bytes, self.len.bytes() as u32)
    }

    /// Where the next bytes belong, at most `most` of them and not nothing.
    pub(super) fn slices(&mut self, most: usize) -> Vec<IoSliceMut<'_>> {
        let most = most.max(1);
        let count = (self.there + most).div_ceil(self.frame());
        let more = count.saturating_sub(self.coming.len());
        if more > 0 {
            let places = self.pool.take(self.len, more).into_iter();
            let head = PieceHead::default();
            self.coming
                .extend(places.map(|place| Coming { head, place }));
        }
        let (mut skip, mut left) = (self.there, most);
        let mut slices = Vec::with_capacity(2 * count);
        for Coming { head, place } in &mut self.coming {
            for part in [&mut head.0[..], place.as_mut()] {
                let free = part.len() - skip.min(part.len());
                let from = part.len() - free;
                skip -= from;
                let len = free.min(left);
                left -= len;
                if len > 0 {
                    slices.push(IoSliceMut::new(&mut part[from..from + len]));
                }
            }
        }
        slices
    }

    /// So many more bytes are where [`Row::slices`] said. Gives the blocks that are whole, and whether the row goes on: not if something else came.
    pub(super) fn came(&mut self, count: usize, frames: &mut Vec<Frame>) -> bool {
        self.there += count;
        while let Some(next) = self.coming.front() {
            let head = &next.head.0[..self.there.min(PieceHead::LEN)];
            if !self.may_begin(head) {
                return false;
            }
            if self.there < self.frame() {
                break;
            }
            self.there -= self.frame();
            let whole = self.coming.pop_front();
            if let Some((block, place)) = whole.and_then(|it| Some((it.head.block()?, it.place))) {
                frames.push(Frame {
                    message: Message::Piece(block),
                    data: place.freeze(),
                });
            }
        }
        // Somebody else has a use for places into which nothing came.
        self.coming.truncate(self.there.div_ceil(self.frame()));
        true
    }

    /// Ends the row: what is there goes to the end of `buffer`, as it came.
    pub(super) fn end(mut self, buffer: &mut BytesMut) {
        buffer.reserve(self.there);
        for Coming { head, place } in &self.coming {
            for part in [&head.0[..], place.as_ref()] {
                let len = part.len().min(self.there);
                buffer.extend_from_slice(&part[..len]);
                self.there -= len;
            }
        }
    }
}
