//! Messages and their encoding (BEP 3, BEP 5, BEP 6, BEP 10).

use bytes::{BufMut, Bytes, BytesMut};

use super::PieceHead;
use crate::Block;

/// One message. Numbers are as the peer sent them: unchecked against any torrent. The bytes of a block are not in it, see [`Frame`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// An empty frame.
    KeepAlive,
    /// 0.
    Choke,
    /// 1.
    Unchoke,
    /// 2.
    Interested,
    /// 3.
    NotInterested,
    /// 4: the number of a piece.
    Have(u32),
    /// 5: packed as in [`crate::Bitfield`].
    Bitfield(Bytes),
    /// 6.
    Request(Block),
    /// 7: which block; its bytes are [`Frame::data`].
    Piece(Block),
    /// 8.
    Cancel(Block),
    /// 9 (BEP 5): UDP port of the peer's DHT node.
    Port(u16),
    /// 13 (BEP 6).
    Suggest(u32),
    /// 14 (BEP 6).
    HaveAll,
    /// 15 (BEP 6).
    HaveNone,
    /// 16 (BEP 6).
    Reject(Block),
    /// 17 (BEP 6).
    AllowedFast(u32),
    /// 20 (BEP 10): extended message id and payload; 0 is the extension handshake.
    Extended(u8, Bytes),
    /// A message id nobody here knows; its payload was skipped.
    Unknown(u8),
}

/// A message with the bytes of its block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it says.
    pub message: Message,
    /// The block of a [`Message::Piece`], a refcounted slice of the receive buffer; else empty.
    pub data: Bytes,
}

/// Message ids.
pub(super) mod id {
    pub(crate) const CHOKE: u8 = 0;
    pub(crate) const UNCHOKE: u8 = 1;
    pub(crate) const INTERESTED: u8 = 2;
    pub(crate) const NOT_INTERESTED: u8 = 3;
    pub(crate) const HAVE: u8 = 4;
    pub(crate) const BITFIELD: u8 = 5;
    pub(crate) const REQUEST: u8 = 6;
    pub(crate) const PIECE: u8 = 7;
    pub(crate) const CANCEL: u8 = 8;
    pub(crate) const PORT: u8 = 9;
    pub(crate) const SUGGEST: u8 = 13;
    pub(crate) const HAVE_ALL: u8 = 14;
    pub(crate) const HAVE_NONE: u8 = 15;
    pub(crate) const REJECT: u8 = 16;
    pub(crate) const ALLOWED_FAST: u8 = 17;
    pub(crate) const EXTENDED: u8 = 20;
}

impl Message {
    /// Appends the frame to `out`. For [`Message::Piece`] only the 13 bytes before the block: the block follows on the socket.
    pub fn encode(&self, out: &mut BytesMut) {
        match self {
            Self::KeepAlive => out.put_u32(0),
            Self::Choke => head(out, id::CHOKE, 0),
            Self::Unchoke => head(out, id::UNCHOKE, 0),
            Self::Interested => head(out, id::INTERESTED, 0),
            Self::NotInterested => head(out, id::NOT_INTERESTED, 0),
            Self::Have(piece) => number(out, id::HAVE, *piece),
            Self::Bitfield(bits) => {
                head(out, id::BITFIELD, bits.len());
                out.put_slice(bits);
            }
            Self::Request(block) => range(out, id::REQUEST, *block),
            Self::Piece(block) => out.put_slice(&PieceHead::of(*block).0),
            Self::Cancel(block) => range(out, id::CANCEL, *block),
            Self::Port(port) => {
                head(out, id::PORT, 2);
                out.put_u16(*port);
            }
            Self::Suggest(piece) => number(out, id::SUGGEST, *piece),
            Self::HaveAll => head(out, id::HAVE_ALL, 0),
            Self::HaveNone => head(out, id::HAVE_NONE, 0),
            Self::Reject(block) => range(out, id::REJECT, *block),
            Self::AllowedFast(piece) => number(out, id::ALLOWED_FAST, *piece),
            Self::Extended(extension, payload) => {
                head(out, id::EXTENDED, payload.len() + 1);
                out.put_u8(*extension);
                out.put_slice(payload);
            }
            Self::Unknown(id) => head(out, *id, 0),
        }
    }
}

/// Length and id of a message with `payload` bytes after the id.
fn head(out: &mut BytesMut, id: u8, payload: usize) {
    out.put_u32(u32::try_from(payload).map_or(u32::MAX, |len| len.saturating_add(1)));
    out.put_u8(id);
}

fn number(out: &mut BytesMut, id: u8, piece: u32) {
    head(out, id, 4);
    out.put_u32(piece);
}

fn range(out: &mut BytesMut, id: u8, block: Block) {
    head(out, id, 12);
    out.put_u32(block.piece);
    out.put_u32(block.begin);
    out.put_u32(block.len);
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: Block = Block {
        piece: 1,
        begin: 0x4000,
        len: 0x4000,
    };

    fn bytes(message: Message) -> Vec<u8> {
        let mut out = BytesMut::new();
        message.encode(&mut out);
        out.to_vec()
    }

    #[test]
    fn frames_are_the_bytes_of_the_beps() {
        assert_eq!(bytes(Message::KeepAlive), [0; 4]);
        assert_eq!(bytes(Message::Choke), b"\0\0\0\x01\0");
        assert_eq!(bytes(Message::Unchoke), b"\0\0\0\x01\x01");
        assert_eq!(bytes(Message::Interested), b"\0\0\0\x01\x02");
        assert_eq!(bytes(Message::NotInterested), b"\0\0\0\x01\x03");
        assert_eq!(bytes(Message::Have(258)), b"\0\0\0\x05\x04\0\0\x01\x02");
        assert_eq!(
            bytes(Message::Bitfield(Bytes::from_static(b"\xff\x80"))),
            b"\0\0\0\x03\x05\xff\x80"
        );
        assert_eq!(
            bytes(Message::Request(BLOCK)),
            b"\0\0\0\x0d\x06\0\0\0\x01\0\0\x40\0\0\0\x40\0"
        );
        assert_eq!(
            bytes(Message::Cancel(BLOCK)),
            b"\0\0\0\x0d\x08\0\0\0\x01\0\0\x40\0\0\0\x40\0"
        );
        assert_eq!(bytes(Message::Port(6881)), b"\0\0\0\x03\x09\x1a\xe1");
        assert_eq!(bytes(Message::Suggest(7)), b"\0\0\0\x05\x0d\0\0\0\x07");
        assert_eq!(bytes(Message::HaveAll), b"\0\0\0\x01\x0e");
        assert_eq!(bytes(Message::HaveNone), b"\0\0\0\x01\x0f");
        assert_eq!(
            bytes(Message::Reject(BLOCK)),
            b"\0\0\0\x0d\x10\0\0\0\x01\0\0\x40\0\0\0\x40\0"
        );
        assert_eq!(bytes(Message::AllowedFast(7)), b"\0\0\0\x05\x11\0\0\0\x07");
        assert_eq!(
            bytes(Message::Extended(0, Bytes::from_static(b"de"))),
            b"\0\0\0\x04\x14\0de"
        );
    }

    #[test]
    fn a_piece_frame_counts_the_block_that_follows_on_the_socket() {
        assert_eq!(
            bytes(Message::Piece(BLOCK)),
            b"\0\0\x40\x09\x07\0\0\0\x01\0\0\x40\0"
        );
    }
}
