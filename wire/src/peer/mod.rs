//! The peer protocol: handshake, messages and frames (BEP 3, BEP 6, BEP 10), extension messages (BEP 9, BEP 10, BEP 21).
//!
//! A connection is [`HANDSHAKE_LEN`] bytes each way, then frames: a length of four bytes and a message. [`Message`] writes them,
//! [`FrameDecoder`] cuts them out of what was received.

mod decoder;
mod extension;
mod handshake;
mod message;
mod piece;

pub use decoder::{FrameDecoder, FrameError};
pub use extension::{ExtensionHandshake, METADATA_PART_LEN, MetadataMessage};
pub use handshake::{HANDSHAKE_LEN, Handshake, Reserved};
pub use message::{Frame, Message};
pub use piece::PieceHead;
