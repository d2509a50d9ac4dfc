//! The head of a `piece` message, for a reader that puts each block where it is wanted (BEP 3).

use super::message::id;
use crate::{Block, MAX_BLOCK_LEN};

/// What is in front of the bytes of a block: length and id of the message, number of the piece, offset in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PieceHead(pub [u8; PieceHead::LEN]);

impl PieceHead {
    /// Its length in bytes.
    pub const LEN: usize = 13;

    /// Bytes of it that are the same for all blocks of one length.
    const SAME: usize = 5;

    /// The head of the message that brings `block`.
    #[must_use]
    pub fn of(block: Block) -> Self {
        let len = block.len.saturating_add(9).to_be_bytes();
        let (mut head, words) = ([id::PIECE; Self::LEN], [block.piece, block.begin]);
        head[..4].copy_from_slice(&len);
        for (to, word) in head[Self::SAME..].chunks_exact_mut(4).zip(words) {
            to.copy_from_slice(&word.to_be_bytes());
        }
        Self(head)
    }

    /// The block that it announces; `None` if it is the head of another message, or of a longer block than is ever sent.
    #[must_use]
    pub fn block(&self) -> Option<Block> {
        let word = |at: usize| Some(u32::from_be_bytes(*self.0.get(at..)?.first_chunk()?));
        let len = word(0)?.checked_sub(9)?;
        let block = Block {
            piece: word(Self::SAME)?,
            begin: word(Self::SAME + 4)?,
            len,
        };
        (self.0[4] == id::PIECE && len <= MAX_BLOCK_LEN).then_some(block)
    }

    /// Whether a message that begins with `bytes`, be they few or many, can be one that brings a block of `len` bytes. A message that cannot
    /// is told apart before it is whole.
    #[must_use]
    pub fn may_begin(bytes: &[u8], len: u32) -> bool {
        let head = Self::of(Block {
            piece: 0,
            begin: 0,
            len,
        });
        let same = bytes.iter().zip(&head.0[..Self::SAME]);
        same.into_iter().all(|(byte, expected)| byte == expected)
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use proptest::prelude::*;

    use super::super::{FrameDecoder, Message};
    use super::*;

    const LEN: u32 = 16_384;

    #[test]
    fn the_shortest_messages_do_not_look_like_a_block_when_they_are_whole() {
        let block = Block {
            piece: 0,
            begin: 0,
            len: LEN,
        };
        let short = [
            Message::KeepAlive,
            Message::Choke,
            Message::Have(0),
            Message::Port(0),
            Message::Request(block),
            Message::Piece(Block { len: 0, ..block }),
            Message::Piece(Block { len: 3, ..block }),
        ];
        for message in short {
            let mut bytes = BytesMut::new();
            message.encode(&mut bytes);
            assert!(!PieceHead::may_begin(&bytes, LEN), "{message:?}");
        }
        assert!(PieceHead::may_begin(b"", LEN) && PieceHead::may_begin(b"\0\0\x40", LEN));
        assert!(!PieceHead::may_begin(b"\0\0\x40\x08", LEN));
        assert!(!PieceHead::may_begin(b"\0\0\x40\x09\x14", LEN));
    }

    proptest! {
        #[test]
        fn says_what_the_decoder_says(bytes: [u8; 13], piece: u32, begin: u32, len in 0..2 * MAX_BLOCK_LEN, real: bool) {
            let block = Block { piece, begin, len };
            let head = if real { PieceHead::of(block) } else { PieceHead(bytes) };
            let mut buffer = BytesMut::from(&head.0[..]);
            buffer.resize(PieceHead::LEN + MAX_BLOCK_LEN as usize, 0);
            let decoded = FrameDecoder::new(None).decode(&mut buffer).ok().flatten();
            let decoded = decoded.and_then(|frame| match frame.message {
                Message::Piece(block) => Some(block),
                _ => None,
            });
            prop_assert_eq!(head.block(), decoded);
            prop_assert_eq!(PieceHead::may_begin(&head.0, LEN), decoded.is_some_and(|block| block.len == LEN));
        }
    }
}
