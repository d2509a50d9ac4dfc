//! Announce and scrape over UDP (BEP 15, BEP 41): packets, both sides. All numbers are big-endian.
//!
//! A client first asks for a connection id, which proves that it gets what is sent to its address, and puts it into every request. What an
//! id is made of is the tracker's own matter.

mod reply;
mod request;

pub use reply::{MAX_PEERS_V4, MAX_PEERS_V6, Reply};
pub use request::{Body, MAX_SCRAPE, Request};

/// What makes a packet a connect request rather than noise.
const PROTOCOL: u64 = 0x0417_2710_1980;

/// What a packet is about, at the same offset in requests after the id and at the start of replies.
mod action {
    pub(super) const CONNECT: u32 = 0;
    pub(super) const ANNOUNCE: u32 = 1;
    pub(super) const SCRAPE: u32 = 2;
    pub(super) const ERROR: u32 = 3;
}

/// Why bytes are no packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no packet of the UDP tracker protocol")]
pub struct BadPacket;

/// Reads numbers off the front of a packet.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], BadPacket> {
        let (first, rest) = self.0.split_first_chunk().ok_or(BadPacket)?;
        self.0 = rest;
        Ok(*first)
    }

    fn bytes(&mut self, count: usize) -> Result<&'a [u8], BadPacket> {
        let (first, rest) = self.0.split_at_checked(count).ok_or(BadPacket)?;
        self.0 = rest;
        Ok(first)
    }

    fn u8(&mut self) -> Result<u8, BadPacket> {
        self.array().map(u8::from_be_bytes)
    }

    fn u16(&mut self) -> Result<u16, BadPacket> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, BadPacket> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, BadPacket> {
        self.array().map(u64::from_be_bytes)
    }
}
