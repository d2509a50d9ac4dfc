//! Blocks that came, until the disk threads have them.
//!
//! A short piece goes to the disk threads when it is whole. A long one goes part by part while it comes: a part is hashed and written
//! while it is hot in the cache, and memory holds parts instead of pieces. So the incomplete file may hold bytes that nobody
//! verified; they are claimed and served only once the last part has shown that the piece is good.

use std::collections::HashMap;

use bytes::Bytes;
use p2p_hash::Stream;
use p2p_wire::{BLOCK_LEN, Block};

/// Blocks in a part. A piece that is no longer than this goes whole.
const PART: usize = 1024 * 1024 / BLOCK_LEN as usize;

/// What goes to the disk threads: blocks in a row, and the hash of all that is before them.
pub(super) struct Part {
    /// Where in the piece they begin.
    pub(super) begin: u32,
    pub(super) blocks: Vec<Bytes>,
    pub(super) hash: Stream,
    /// The piece ends with them.
    pub(super) last: bool,
}

impl Part {
    /// Bytes.
    pub(super) fn len(&self) -> u64 {
        self.blocks.iter().map(|block| block.len() as u64).sum()
    }
}

/// What to do with a piece of which every block came.
pub(super) enum Whole {
    /// Hash and write its end.
    Part(Part),
    /// Its end follows when the part before it is hashed.
    Later,
    /// Some of it is not here.
    Lost,
}

/// The pieces that are not whole.
///
/// Invariant: of one piece the disk threads hash one part at most, so its parts are hashed in order; and as they write what they hashed in order,
/// bytes of a piece that was given up are written before those that come for it anew.
#[derive(Default)]
pub(super) struct Partials(HashMap<u32, Partial>);

struct Partial {
    /// Of a long block the first holds all, and the others nothing.
    blocks: Vec<Option<Bytes>>,
    /// Blocks that the disk threads got.
    given: usize,
    /// The hash of those; `None` while the last of them is being hashed.
    hash: Option<Stream>,
    /// Every block came.
    whole: bool,
    /// Given up while a part was being hashed: begins anew when that is done.
    stale: bool,
}

impl Partials {
    /// Keeps a block of a piece of so many, of the usual length or a long one. Gives the next part, if that is whole now. A block that is not one
    /// of ours in place and length is not kept, and the piece is lost.
    pub(super) fn keep(&mut self, blocks: u32, block: Block, data: Bytes) -> Option<Part> {
        let new = || Partial::new(blocks as usize);
        let partial = self.0.entry(block.piece).or_insert_with(new);
        if block.begin.is_multiple_of(BLOCK_LEN) && block.len as usize == data.len() {
            partial.put((block.begin / BLOCK_LEN) as usize, data);
        }
        self.take_next(block.piece)
    }

    /// Every block of a piece of `len` bytes came.
    pub(super) fn whole(&mut self, piece: u32, len: u32) -> Whole {
        let Some(partial) = self.0.get_mut(&piece) else {
            return Whole::Lost;
        };
        if partial.missing(len) {
            self.discard(piece);
            return Whole::Lost;
        }
        partial.whole = true;
        match self.take_next(piece) {
            Some(part) => Whole::Part(part),
            None => Whole::Later,
        }
    }

    /// A part that was not the last was hashed. Gives the next one, if that is whole already.
    pub(super) fn hashed(&mut self, piece: u32, hash: Stream) -> Option<Part> {
        let partial = self.0.get_mut(&piece)?;
        partial.hash = Some(if partial.stale { Stream::new() } else { hash });
        partial.stale = false;
        self.take_next(piece)
    }

    /// The piece is given up.
    pub(super) fn discard(&mut self, piece: u32) {
        if let Some(partial) = self.0.get_mut(&piece)
            && partial.hash.is_none()
        {
            let blocks = partial.blocks.len();
            *partial = Partial {
                hash: None,
                stale: true,
                ..Partial::new(blocks)
            };
        } else {
            self.0.remove(&piece);
        }
    }

    /// The next part; the last one takes the piece with it.
    fn take_next(&mut self, piece: u32) -> Option<Part> {
        let part = self.0.get_mut(&piece)?.next()?;
        if part.last {
            self.0.remove(&piece);
        }
        Some(part)
    }
}

impl Partial {
    fn new(blocks: usize) -> Self {
        Self {
            blocks: vec![None; blocks],
            given: 0,
            hash: Some(Stream::new()),
            whole: false,
            stale: false,
        }
    }

    /// Puts what came into the blocks from `first` on. What is here already stays.
    fn put(&mut self, first: usize, mut data: Bytes) {
        let count = data.len().div_ceil(BLOCK_LEN as usize);
        let Some(blocks) = self.blocks.get_mut(first..first + count) else {
            return;
        };
        if first >= self.given && blocks.iter().all(Option::is_none) {
            blocks.fill(Some(Bytes::new()));
            if let Some(first) = blocks.first_mut() {
                *first = Some(data);
            }
            return;
        }
        for (number, block) in (first..).zip(blocks) {
            let part = data.split_to(data.len().min(BLOCK_LEN as usize));
            if number >= self.given && block.is_none() {
                *block = Some(Bytes::copy_from_slice(&part));
            }
        }
    }

    /// Whether bytes lack of a piece of `len`.
    fn missing(&self, len: u32) -> bool {
        let given = self.given as u64 * u64::from(BLOCK_LEN);
        let here = self.blocks.iter().flatten().map(|b| b.len() as u64);
        given + here.sum::<u64>() != u64::from(len)
    }

    fn next(&mut self) -> Option<Part> {
        // One part at a time.
        self.hash.as_ref()?;
        let rest = self.blocks.get(self.given..)?;
        let last = self.whole;
        if !last && (rest.len() <= PART || rest.iter().take(PART).any(Option::is_none)) {
            return None;
        }
        let count = if last { rest.len() } else { PART };
        let begin = self.given as u32 * BLOCK_LEN;
        let taken = self.blocks.iter_mut().skip(self.given).take(count);
        let blocks = taken.filter_map(Option::take);
        let blocks = blocks.filter(|block| !block.is_empty()).collect();
        self.given += count;
        Some(Part {
            begin,
            blocks,
            hash: self.hash.take()?,
            last,
        })
    }
}

#[cfg(test)]
mod tests {
    use p2p_wire::MAX_BLOCK_LEN;

    use super::*;

    const LEN: u32 = 3 * 1024 * 1024 + 5;
    const BLOCKS: u32 = LEN.div_ceil(BLOCK_LEN);
    const LONG: u32 = MAX_BLOCK_LEN / BLOCK_LEN;

    fn block(number: u32) -> (Block, Bytes) {
        let begin = number * BLOCK_LEN;
        let block = Block {
            piece: 7,
            begin,
            len: BLOCK_LEN.min(LEN - begin),
        };
        (block, vec![number as u8; block.len as usize].into())
    }

    fn keep(partials: &mut Partials, number: u32) -> Option<Part> {
        let (block, data) = block(number);
        partials.keep(BLOCKS, block, data)
    }

    fn whole(partials: &mut Partials) -> Option<Part> {
        match partials.whole(7, LEN) {
            Whole::Part(part) => Some(part),
            Whole::Later => None,
            Whole::Lost => panic!("every block came"),
        }
    }

    /// The disk threads: the hash of the part they have, and all parts they got.
    #[derive(Default)]
    struct Threads {
        at_work: Option<Stream>,
        parts: Vec<Part>,
    }

    impl Threads {
        fn get(&mut self, part: Option<Part>) {
            let Some(part) = part else { return };
            assert!(self.at_work.is_none(), "one part at a time");
            self.at_work = (!part.last).then(|| part.hash.clone());
            self.parts.push(part);
        }
    }

    #[test]
    fn a_long_piece_goes_in_parts_and_in_order_however_its_blocks_come() {
        for (stride, pause) in [(1, 1), (1, 100), (5, 40), (76, 3), (192, 7)] {
            let mut partials = Partials::default();
            let mut threads = Threads::default();
            for n in 0..BLOCKS {
                threads.get(keep(&mut partials, n * stride % BLOCKS));
                if n % pause == 0
                    && let Some(hash) = threads.at_work.take()
                {
                    threads.get(partials.hashed(7, hash));
                }
            }
            threads.get(whole(&mut partials));
            while let Some(hash) = threads.at_work.take() {
                threads.get(partials.hashed(7, hash));
            }
            let mut next = 0;
            for part in &threads.parts {
                assert_eq!(part.begin, next, "stride {stride}");
                for bytes in &part.blocks {
                    assert_eq!(bytes[0], (next / BLOCK_LEN) as u8);
                    next += bytes.len() as u32;
                }
            }
            assert_eq!(next, LEN);
            assert!(partials.0.is_empty());
        }
    }

    #[test]
    fn long_blocks_come_into_parts_but_for_what_is_here_already() {
        let content: Vec<u8> = (0..BLOCKS).flat_map(|n| block(n).1).collect();
        for (here, parts) in [
            (vec![], vec![8, 8, 8, 1]),
            (vec![3, 70, 191, 192], vec![15, 15, 15, 1]),
            ((0..64).collect(), vec![64, 8, 8, 1]),
        ] {
            let mut partials = Partials::default();
            let mut threads = Threads::default();
            for n in here {
                threads.get(keep(&mut partials, n));
            }
            for n in (0..BLOCKS).step_by(LONG as usize) {
                let begin = (n * BLOCK_LEN) as usize;
                let end = content.len().min(begin + MAX_BLOCK_LEN as usize);
                let data = Bytes::copy_from_slice(&content[begin..end]);
                let (len, begin) = (data.len() as u32, begin as u32);
                let piece = 7;
                let block = Block { piece, begin, len };
                threads.get(partials.keep(BLOCKS, block, data));
                if let Some(hash) = threads.at_work.take() {
                    threads.get(partials.hashed(7, hash));
                }
            }
            threads.get(whole(&mut partials));
            while let Some(hash) = threads.at_work.take() {
                threads.get(partials.hashed(7, hash));
            }
            let counts: Vec<usize> = threads.parts.iter().map(|p| p.blocks.len()).collect();
            assert_eq!(counts, parts);
            let bytes: Vec<u8> = threads
                .parts
                .into_iter()
                .flat_map(|p| p.blocks)
                .flatten()
                .collect();
            assert!(bytes == content);
        }
    }

    #[test]
    fn a_short_piece_goes_whole() {
        let mut partials = Partials::default();
        let block = |begin| Block {
            piece: 0,
            begin,
            len: BLOCK_LEN,
        };
        let data = Bytes::from(vec![1; BLOCK_LEN as usize]);
        for n in 0..64 {
            let part = partials.keep(64, block(n * BLOCK_LEN), data.clone());
            assert!(part.is_none());
        }
        let Whole::Part(part) = partials.whole(0, 64 * BLOCK_LEN) else {
            panic!("every block came");
        };
        assert!(part.last && part.begin == 0 && part.len() == u64::from(64 * BLOCK_LEN));
    }

    #[test]
    fn a_piece_given_up_waits_for_its_part_before_it_begins_anew() {
        let mut partials = Partials::default();
        let part = (0..64).find_map(|n| keep(&mut partials, n));
        let hash = part.expect("the first part").hash;
        partials.discard(7);
        for n in 0..BLOCKS {
            assert!(keep(&mut partials, n).is_none(), "the disk has a part");
        }
        assert!(whole(&mut partials).is_none());
        let again = partials.hashed(7, hash).expect("all of it");
        assert!(again.last && again.begin == 0 && again.hash.is_empty());
        assert_eq!(again.len(), u64::from(LEN));
    }

    #[test]
    fn a_piece_that_lacks_a_block_is_lost() {
        let mut partials = Partials::default();
        assert!(matches!(partials.whole(7, LEN), Whole::Lost));
        for n in 1..BLOCKS {
            keep(&mut partials, n);
        }
        assert!(matches!(partials.whole(7, LEN), Whole::Lost));
        assert!(partials.0.is_empty());
    }
}
