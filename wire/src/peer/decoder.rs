//! Cuts what was received into frames.

use bytes::{Buf, Bytes, BytesMut};

use super::message::id;
use super::{Frame, Message};
use crate::metainfo::MAX_METAINFO_LEN;
use crate::{Block, MAX_BLOCK_LEN};

/// Longest bitfield in bytes while the number of pieces is not known: as many pieces as the hashes of fit into a .torrent file that is read.
const MAX_BITFIELD_LEN: u32 = (MAX_METAINFO_LEN / 20).div_ceil(8) as u32;

/// Longest payload of an extended message in bytes. Parts of the metadata are 16 KiB long and nothing we ask for is longer, so this bounds no
/// client; it keeps what one connection can make us buffer at the length of a block.
const MAX_EXTENDED_LEN: u32 = 128 * 1024;

/// Longest payload of an unknown message in bytes; it is skipped and never buffered.
const MAX_UNKNOWN_LEN: u32 = 1024 * 1024;

/// Length of the length in front of each message.
const PREFIX: usize = 4;

/// A peer broke the framing: the connection ends.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Longer than its type may be.
    #[error("message {id} of {len} bytes is too long")]
    TooLong {
        /// Message id.
        id: u8,
        /// Length in bytes with the id.
        len: u32,
    },
    /// Of a length its type cannot have.
    #[error("message {id} of {len} bytes has the wrong length")]
    WrongLength {
        /// Message id.
        id: u8,
        /// Length in bytes with the id.
        len: u32,
    },
}

/// Cuts a stream of bytes into frames. Lengths are checked per message type before anything is buffered for it.
///
/// The caller reads into a [`BytesMut`], reserving [`FrameDecoder::need`] bytes or more, and calls [`FrameDecoder::decode`] until it returns
/// `Ok(None)`. At most one legal frame is ever left in the buffer; the payload of an unknown message never is.
#[derive(Debug)]
pub struct FrameDecoder {
    /// Longest bitfield in bytes.
    bitfield_len: u32,
    /// Bytes of an unknown message's payload still to be thrown away.
    skip: usize,
}

impl FrameDecoder {
    /// `pieces`: how many pieces the torrent has, for the bound on a bitfield; `None` before the metadata is known.
    #[must_use]
    pub fn new(pieces: Option<u32>) -> Self {
        Self {
            bitfield_len: pieces.map_or(MAX_BITFIELD_LEN, |pieces| pieces.div_ceil(8)),
            skip: 0,
        }
    }

    /// The bound on a bitfield, once the metadata is known.
    pub fn set_pieces(&mut self, pieces: u32) {
        self.bitfield_len = pieces.div_ceil(8);
    }

    /// Takes the next whole frame from the front of `buffer`; `Ok(None)` means more bytes are needed. Payloads are split off, not copied.
    /// After an error the stream cannot be read any further.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        self.drop_skipped(buffer);
        let Some((len, id)) = self.head(buffer)? else {
            return Ok(None);
        };
        let Some(id) = id else {
            buffer.advance(PREFIX);
            return Ok(Some(frame(Message::KeepAlive)));
        };
        if !is_known(id) {
            buffer.advance(PREFIX + 1);
            self.skip = len as usize - 1;
            self.drop_skipped(buffer);
            return Ok(Some(frame(Message::Unknown(id))));
        }
        if buffer.len() < PREFIX + len as usize {
            return Ok(None);
        }
        buffer.advance(PREFIX + 1);
        Ok(Some(payload(id, len - 1, buffer)))
    }

    /// How many bytes beyond those in `buffer` the next frame surely takes, at least 1; 0 if [`FrameDecoder::decode`] has something to return.
    /// Never more than a legal frame has: a hint for how much to reserve.
    pub fn need(&self, buffer: &BytesMut) -> usize {
        let Some(rest) = buffer.get(self.skip..) else {
            return self.skip - buffer.len() + PREFIX;
        };
        match self.head(rest) {
            Err(_) => 0,
            Ok(None) => (PREFIX + 1).saturating_sub(rest.len()).max(1),
            Ok(Some((_, Some(id)))) if !is_known(id) => 0,
            Ok(Some((len, _))) => (PREFIX + len as usize).saturating_sub(rest.len()),
        }
    }

    fn drop_skipped(&mut self, buffer: &mut BytesMut) {
        let dropped = self.skip.min(buffer.len());
        buffer.advance(dropped);
        self.skip -= dropped;
    }

    /// Length and id of the message at the front, once both are there and fit together; a keep-alive has no id.
    fn head(&self, buffer: &[u8]) -> Result<Option<(u32, Option<u8>)>, FrameError> {
        let Some((prefix, rest)) = buffer.split_first_chunk::<PREFIX>() else {
            return Ok(None);
        };
        let len = u32::from_be_bytes(*prefix);
        if len == 0 {
            return Ok(Some((0, None)));
        }
        let Some(&id) = rest.first() else {
            return Ok(None);
        };
        let (least, most) = self.bounds(id);
        // With the id counted; no bound comes near u32::MAX.
        if len > most + 1 {
            return Err(if least == most {
                FrameError::WrongLength { id, len }
            } else {
                FrameError::TooLong { id, len }
            });
        }
        if len < least + 1 {
            return Err(FrameError::WrongLength { id, len });
        }
        Ok(Some((len, Some(id))))
    }

    /// The least and the most bytes that may follow message id `id`.
    fn bounds(&self, id: u8) -> (u32, u32) {
        match id {
            id::CHOKE
            | id::UNCHOKE
            | id::INTERESTED
            | id::NOT_INTERESTED
            | id::HAVE_ALL
            | id::HAVE_NONE => (0, 0),
            id::HAVE | id::SUGGEST | id::ALLOWED_FAST => (4, 4),
            id::BITFIELD => (0, self.bitfield_len),
            id::REQUEST | id::CANCEL | id::REJECT => (12, 12),
            id::PIECE => (8, 8 + MAX_BLOCK_LEN),
            id::PORT => (2, 2),
            id::EXTENDED => (1, 1 + MAX_EXTENDED_LEN),
            _ => (0, MAX_UNKNOWN_LEN),
        }
    }
}

fn is_known(id: u8) -> bool {
    matches!(
        id,
        id::CHOKE..=id::PORT | id::SUGGEST..=id::ALLOWED_FAST | id::EXTENDED
    )
}

/// Takes the `len` bytes after message id `id` from the front of `buffer`: all there, and of a length that [`FrameDecoder::bounds`] allows.
fn payload(id: u8, len: u32, buffer: &mut BytesMut) -> Frame {
    let len = len as usize;
    frame(match id {
        id::CHOKE => Message::Choke,
        id::UNCHOKE => Message::Unchoke,
        id::INTERESTED => Message::Interested,
        id::NOT_INTERESTED => Message::NotInterested,
        id::HAVE => Message::Have(buffer.get_u32()),
        id::BITFIELD => Message::Bitfield(buffer.split_to(len).freeze()),
        id::REQUEST => Message::Request(block(buffer)),
        id::PIECE => return piece(len, buffer),
        id::CANCEL => Message::Cancel(block(buffer)),
        id::PORT => Message::Port(buffer.get_u16()),
        id::SUGGEST => Message::Suggest(buffer.get_u32()),
        id::HAVE_ALL => Message::HaveAll,
        id::HAVE_NONE => Message::HaveNone,
        id::REJECT => Message::Reject(block(buffer)),
        id::ALLOWED_FAST => Message::AllowedFast(buffer.get_u32()),
        id::EXTENDED => {
            let extension = buffer.get_u8();
            Message::Extended(extension, buffer.split_to(len - 1).freeze())
        }
        _ => Message::Unknown(id),
    })
}

fn piece(len: usize, buffer: &mut BytesMut) -> Frame {
    let (piece, begin) = (buffer.get_u32(), buffer.get_u32());
    let data = buffer.split_to(len - 8).freeze();
    Frame {
        message: Message::Piece(Block {
            piece,
            begin,
            len: data.len() as u32,
        }),
        data,
    }
}

fn block(buffer: &mut BytesMut) -> Block {
    Block {
        piece: buffer.get_u32(),
        begin: buffer.get_u32(),
        len: buffer.get_u32(),
    }
}

fn frame(message: Message) -> Frame {
    Frame {
        message,
        data: Bytes::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: &[u8], pieces: Option<u32>) -> Result<Option<Frame>, FrameError> {
        FrameDecoder::new(pieces).decode(&mut BytesMut::from(bytes))
    }

    #[test]
    fn a_block_is_split_off_and_not_copied() {
        let mut buffer = BytesMut::from(&b"\0\0\0\x0c\x07\0\0\0\x01\0\0\x40\0abc\0\0"[..]);
        let at = buffer[13..].as_ptr();
        let frame = FrameDecoder::new(None)
            .decode(&mut buffer)
            .unwrap()
            .unwrap();
        let block = Block {
            piece: 1,
            begin: 0x4000,
            len: 3,
        };
        assert_eq!(frame.message, Message::Piece(block));
        assert_eq!((&frame.data[..], frame.data.as_ptr()), (&b"abc"[..], at));
        assert_eq!(&buffer[..], [0, 0]);
    }

    #[test]
    fn lengths_are_refused_when_five_bytes_are_there() {
        let refused: [(&[u8; 5], bool); 12] = [
            (b"\0\0\0\x02\0", false),
            (b"\0\0\0\x04\x04", false),
            (b"\0\0\0\x06\x04", false),
            (b"\0\0\0\x0c\x06", false),
            (b"\0\0\0\x0e\x08", false),
            (b"\0\0\0\x08\x07", false),
            (b"\0\x02\0\x0a\x07", true),
            (b"\xff\xff\xff\xff\x07", true),
            (b"\0\0\0\x01\x14", false),
            (b"\0\x02\0\x03\x14", true),
            (b"\0\x10\0\x02\x63", true),
            (b"\0\0\0\x04\x05", true),
        ];
        for (bytes, too_long) in refused {
            let id = bytes[4];
            let len = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            let error = if too_long {
                FrameError::TooLong { id, len }
            } else {
                FrameError::WrongLength { id, len }
            };
            assert_eq!(decode(bytes, Some(16)), Err(error.clone()), "{error}");
        }
    }

    #[test]
    fn the_largest_legal_lengths_wait_for_more() {
        for bytes in [b"\0\x02\0\x09\x07", b"\0\x02\0\x02\x14", b"\0\0\0\x03\x05"] {
            assert_eq!(decode(bytes, Some(16)), Ok(None));
        }
        assert_eq!(decode(b"\0\x01\0\x01\x05", None), Ok(None));
        assert!(decode(b"\0\x01\0\x02\x05", None).is_err());
    }

    #[test]
    fn the_bound_on_a_bitfield_follows_the_metadata() {
        let mut decoder = FrameDecoder::new(None);
        let mut buffer = BytesMut::from(&b"\0\0\0\x04\x05"[..]);
        assert_eq!(decoder.decode(&mut buffer), Ok(None));
        decoder.set_pieces(16);
        assert!(decoder.decode(&mut buffer).is_err());
    }

    #[test]
    fn an_unknown_message_is_skipped_without_being_buffered() {
        let mut decoder = FrameDecoder::new(Some(8));
        let mut buffer = BytesMut::from(&b"\0\x10\0\x01\x63"[..]);
        let unknown = decoder.decode(&mut buffer).unwrap().unwrap();
        assert_eq!(unknown.message, Message::Unknown(0x63));
        for _ in 0..1024 {
            assert!(decoder.need(&buffer) > 0);
            buffer.extend_from_slice(&[0; 1024]);
            assert_eq!(decoder.decode(&mut buffer), Ok(None));
            assert!(buffer.is_empty());
        }
        buffer.extend_from_slice(b"\0\0\0\x01\x01");
        assert_eq!(decoder.need(&buffer), 0);
        let next = decoder.decode(&mut buffer).unwrap().unwrap();
        assert_eq!(next.message, Message::Unchoke);
    }

    #[test]
    fn says_how_much_to_reserve_and_never_for_an_illegal_frame() {
        let decoder = FrameDecoder::new(Some(16));
        let need = |bytes: &[u8]| decoder.need(&BytesMut::from(bytes));
        assert_eq!(need(b""), 5);
        assert_eq!(need(b"\0\0\0\0"), 0);
        assert_eq!(need(b"\0\0\x40\x09"), 1);
        assert_eq!(need(b"\0\0\x40\x09\x07\0"), 0x4009 - 2);
        assert_eq!(need(b"\0\0\0\x05\x04\0\0\0\x01"), 0);
        assert_eq!(need(b"\xff\xff\xff\xff\x07"), 0);
        assert_eq!(need(b"\0\x10\0\x01\x63"), 0);
    }
}
