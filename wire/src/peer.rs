//! The peer protocol: handshake, messages and frames (BEP 3, BEP 6, BEP 10), extension messages (BEP 9, BEP 10, BEP 21).
use crate::{Block, InfoHash, PeerId};
use bytes::{Bytes, BytesMut};

/// Length of a handshake in bytes.
pub const HANDSHAKE_LEN: usize = 68;

/// The first 68 bytes on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// What the sender can do.
    pub reserved: Reserved,
    /// Which torrent.
    pub info_hash: InfoHash,
    /// Who.
    pub peer_id: PeerId,
}

/// The eight reserved bytes; unknown bits are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Reserved(pub [u8; 8]);
impl Reserved {
    /// What p2p sets: fast (BEP 6) and the extension protocol (BEP 10).
    pub fn ours() -> Self {
        todo!()
    }
    /// BEP 6.
    pub fn fast(&self) -> bool {
        todo!()
    }
    /// BEP 10.
    pub fn extended(&self) -> bool {
        todo!()
    }
}
impl Handshake {
    /// The bytes to send.
    pub fn to_bytes(&self) -> [u8; HANDSHAKE_LEN] {
        todo!()
    }
    /// Reads a handshake; `None` if it does not begin with the protocol's name.
    pub fn from_bytes(_bytes: &[u8; HANDSHAKE_LEN]) -> Option<Self> {
        todo!()
    }
}

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

impl Message {
    /// Appends the frame to `out`. For [`Message::Piece`] only the 13 bytes before the block: the block follows on the socket.
    pub fn encode(&self, _out: &mut BytesMut) {
        todo!()
    }
}

/// A message with the bytes of its block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it says.
    pub message: Message,
    /// The block of a [`Message::Piece`], a refcounted slice of the receive buffer; else empty.
    pub data: Bytes,
}

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
#[derive(Debug)]
pub struct FrameDecoder {
    #[allow(dead_code)]
    bitfield_len: u32,
}
impl FrameDecoder {
    /// `pieces`: how many pieces the torrent has, for the bound on a bitfield; `None` before the metadata is known.
    pub fn new(_pieces: Option<u32>) -> Self {
        todo!()
    }
    /// The bound on a bitfield, once the metadata is known.
    pub fn set_pieces(&mut self, _pieces: u32) {
        todo!()
    }
    /// Takes the next whole frame from the front of `buffer`; `Ok(None)` means more bytes are needed. Payloads are split off, not copied.
    pub fn decode(&mut self, _buffer: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        todo!()
    }
}

/// The extension handshake (BEP 10), with the fields we know.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ExtensionHandshake {
    /// `m.ut_metadata` (BEP 9): the id the sender wants these under; 0 or absent is off.
    pub ut_metadata: Option<u8>,
    /// `m.ut_pex` (BEP 11).
    pub ut_pex: Option<u8>,
    /// `metadata_size` in bytes (BEP 9).
    pub metadata_size: Option<u32>,
    /// `reqq`: how many requests the sender queues.
    pub reqq: Option<u32>,
    /// `p`: the sender's listen port.
    pub port: Option<u16>,
    /// `v`: client and version, cut to 64 bytes of printable text.
    pub client: Option<String>,
    /// `upload_only` (BEP 21).
    pub upload_only: bool,
}
impl ExtensionHandshake {
    /// Bencoded payload.
    pub fn to_bytes(&self) -> Bytes {
        todo!()
    }
    /// Reads a payload; wrong types of single fields count as absent.
    pub fn from_bytes(_payload: &[u8]) -> Result<Self, crate::bencode::Error> {
        todo!()
    }
}

/// A `ut_metadata` message (BEP 9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetadataMessage {
    /// Asks for a 16 KiB part.
    Request(u32),
    /// A part, with the size of the whole in bytes.
    Data(u32, u32, Bytes),
    /// The sender does not give that part.
    Reject(u32),
}
impl MetadataMessage {
    /// Payload to send.
    pub fn to_bytes(&self) -> Bytes {
        todo!()
    }
    /// Reads a payload; unknown message types are `Ok(None)`.
    pub fn from_bytes(_payload: Bytes) -> Result<Option<Self>, crate::bencode::Error> {
        todo!()
    }
}
