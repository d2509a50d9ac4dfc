//! How a torrent's bytes divide into pieces and blocks.

/// The usual length of a block in bytes; larger requests are legal, ours are larger only to peers that say they serve them (BEP 3).
pub const BLOCK_LEN: u32 = 16 * 1024;

/// Longest block in bytes that may be asked for and is read; clients ask for 16 or 32 KiB, more than 128 KiB nobody honours (BEP 3).
/// A multiple of [`BLOCK_LEN`].
pub const MAX_BLOCK_LEN: u32 = 128 * 1024;

/// A piece that exists: made only by [`Layout::piece`], where the bound is checked.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PieceIndex(u32);

impl PieceIndex {
    /// The number of the piece, from 0.
    pub fn get(self) -> u32 {
        self.0
    }

    /// The number of the piece as a slice index.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A range of bytes inside one piece, as `request`, `piece`, `cancel` and `reject` name it.
/// Unchecked: it is what a peer said until [`Layout::check_block`] agreed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Block {
    /// Number of the piece.
    pub piece: u32,
    /// Offset in the piece, in bytes.
    pub begin: u32,
    /// Length in bytes.
    pub len: u32,
}

/// Total length and piece length of one torrent, and the arithmetic between bytes, pieces and blocks.
///
/// Invariant: `piece_len` is not 0, `total_len` is not 0, and the number of pieces fits in 31 bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    total_len: u64,
    piece_len: u32,
}

impl Layout {
    /// `None` when a length is 0 or there would be more than `i32::MAX` pieces.
    pub fn new(total_len: u64, piece_len: u32) -> Option<Self> {
        if total_len == 0
            || piece_len == 0
            || total_len.div_ceil(u64::from(piece_len)) > i32::MAX as u64
        {
            return None;
        }
        Some(Self {
            total_len,
            piece_len,
        })
    }

    /// Length of the whole content in bytes.
    pub fn total_len(&self) -> u64 {
        self.total_len
    }

    /// Length of every piece but the last, in bytes.
    pub fn piece_len(&self) -> u32 {
        self.piece_len
    }

    /// How many pieces there are.
    pub fn pieces(&self) -> u32 {
        self.total_len.div_ceil(u64::from(self.piece_len)) as u32
    }

    /// The piece with this number, if there is one.
    pub fn piece(&self, number: u32) -> Option<PieceIndex> {
        (number < self.pieces()).then_some(PieceIndex(number))
    }

    /// All pieces, ascending.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = PieceIndex> + ExactSizeIterator + use<> {
        (0..self.pieces()).map(PieceIndex)
    }

    /// Where `piece` begins in the content, in bytes.
    pub fn offset(&self, piece: PieceIndex) -> u64 {
        u64::from(piece.0) * u64::from(self.piece_len)
    }

    /// Length of `piece` in bytes: the last one may be shorter.
    pub fn len_of(&self, piece: PieceIndex) -> u32 {
        (self.total_len - self.offset(piece)).min(u64::from(self.piece_len)) as u32
    }

    /// How many blocks of [`BLOCK_LEN`] `piece` has.
    pub fn blocks_of(&self, piece: PieceIndex) -> u32 {
        self.len_of(piece).div_ceil(BLOCK_LEN)
    }

    /// Block number `number` of `piece`, if there is one.
    pub fn block(&self, piece: PieceIndex, number: u32) -> Option<Block> {
        let begin = number.checked_mul(BLOCK_LEN)?;
        let left = self
            .len_of(piece)
            .checked_sub(begin)
            .filter(|left| *left > 0)?;
        Some(Block {
            piece: piece.0,
            begin,
            len: left.min(BLOCK_LEN),
        })
    }

    /// The piece of `block` if the block lies inside it, is not empty and no longer than [`MAX_BLOCK_LEN`].
    pub fn check_block(&self, block: Block) -> Option<PieceIndex> {
        let piece = self.piece(block.piece)?;
        let end = block.begin.checked_add(block.len)?;
        (block.len > 0 && block.len <= MAX_BLOCK_LEN && end <= self.len_of(piece)).then_some(piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_piece_and_the_last_block_are_short() {
        let layout = Layout::new(1_519_802_169, 512 * 1024).expect("valid");
        assert_eq!(layout.pieces(), 2_899);
        let last = layout.piece(2_898).expect("in range");
        assert_eq!(
            layout.len_of(last),
            (1_519_802_169u64 - 2_898 * 524_288) as u32
        );
        let short = layout
            .block(last, layout.blocks_of(last) - 1)
            .expect("in range");
        assert_eq!(short.begin + short.len, layout.len_of(last));
        assert_eq!(layout.block(last, layout.blocks_of(last)), None);
        assert_eq!(layout.piece(2_899), None);
    }

    #[test]
    fn refuses_blocks_outside_their_piece() {
        let layout = Layout::new(100_000, 65_536).expect("valid");
        let ok = |piece, begin, len| layout.check_block(Block { piece, begin, len }).is_some();
        assert!(ok(0, 0, BLOCK_LEN) && ok(1, 0, 34_464));
        assert!(!ok(1, 0, 34_465) && !ok(2, 0, 1) && !ok(0, u32::MAX, 2) && !ok(0, 0, 0));
    }
}
