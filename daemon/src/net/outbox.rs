//! What is on its way out of a connection: bytes as they are offered to the socket, and which blocks have gone.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use bytes::{Bytes, BytesMut};
use p2p_wire::Block;
use p2p_wire::peer::Message;
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::link::Out;
use crate::storage::Data;

/// Slices in one write.
const MAX_SLICES: usize = 64;

/// Bytes on their way out, and where blocks end among them.
#[derive(Default)]
pub(super) struct Outbox {
    chunks: VecDeque<Data>,
    /// Bytes that wait.
    pub(super) len: usize,
    /// Bytes pushed and bytes written since the start.
    pushed: u64,
    written: u64,
    /// Each block with the value of `pushed` at its end.
    blocks: VecDeque<(Block, u64)>,
}

impl Outbox {
    /// Adds messages and blocks in their order.
    pub(super) fn extend(&mut self, out: VecDeque<Out>) {
        let mut heads = BytesMut::new();
        for out in out {
            match out {
                Out::Message(message) => message.encode(&mut heads),
                Out::Block(block, data) => {
                    Message::Piece(block).encode(&mut heads);
                    self.push_bytes(heads.split().freeze());
                    self.push(data);
                    self.blocks.push_back((block, self.pushed));
                }
            }
        }
        self.push_bytes(heads.freeze());
    }

    /// Adds bytes that are no block.
    pub(super) fn push_bytes(&mut self, bytes: Bytes) {
        self.push(bytes.into());
    }

    fn push(&mut self, data: Data) {
        if !data.is_empty() {
            self.len += data.len();
            self.pushed += data.len() as u64;
            self.chunks.push_back(data);
        }
    }

    /// Whether pages are next, or right behind what is next.
    pub(super) fn has_pages_next(&self) -> bool {
        let mut next = self.chunks.iter().take(2);
        next.any(|chunk| matches!(chunk, Data::Pages(_)))
    }

    /// Offers at most `most` bytes to a socket: as many as it takes now of what lies in memory, or of the pages of one block. Then
    /// [`Outbox::advance`].
    pub(super) fn write(&self, stream: &TcpStream, most: usize) -> io::Result<usize> {
        if let Some(Data::Pages(pages)) = self.chunks.front() {
            let more = self.chunks.len() > 1;
            return stream.try_io(Interest::WRITABLE, || pages.send(stream, most, more));
        }
        let slices = self.slices(most);
        match self.chunks.get(slices.len()) {
            Some(Data::Pages(_)) => {
                stream.try_io(Interest::WRITABLE, || write_before_more(stream, &slices))
            }
            _ => stream.try_write_vectored(&slices),
        }
    }

    /// What to offer to the socket of what lies in memory: at most so many bytes, in a bounded number of slices.
    fn slices(&self, mut most: usize) -> Vec<IoSlice<'_>> {
        let mut slices = Vec::with_capacity(self.chunks.len().min(MAX_SLICES));
        for chunk in self.chunks.iter().take(MAX_SLICES) {
            let Data::Bytes(chunk) = chunk else { break };
            let part = &chunk[..chunk.len().min(most)];
            if part.is_empty() {
                break;
            }
            slices.push(IoSlice::new(part));
            most -= part.len();
        }
        slices
    }

    /// `written` bytes went out; the blocks among them that are whole.
    pub(super) fn advance(&mut self, mut written: usize) -> Vec<Block> {
        self.written += written as u64;
        self.len -= written;
        while written > 0
            && let Some(front) = self.chunks.front_mut()
        {
            let part = front.len().min(written);
            front.advance(part);
            written -= part;
            if front.is_empty() {
                self.chunks.pop_front();
            }
        }
        let whole = self
            .blocks
            .iter()
            .take_while(|(_, end)| *end <= self.written);
        let whole = whole.count();
        self.blocks.drain(..whole).map(|(block, _)| block).collect()
    }
}

/// Writes what pages follow right after, so that both go in one segment.
#[cfg(target_os = "linux")]
fn write_before_more(stream: &TcpStream, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    use std::os::fd::AsRawFd;

    use nix::sys::socket::{MsgFlags, sendmsg};
    let more = MsgFlags::from_bits_retain(nix::libc::MSG_MORE);
    let flags = more | MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
    Ok(sendmsg::<()>(stream.as_raw_fd(), slices, &[], flags, None)?)
}

/// Writes what pages would follow: there are none.
#[cfg(not(target_os = "linux"))]
fn write_before_more(stream: &TcpStream, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    stream.try_write_vectored(slices)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn queue(blocks: &[u32]) -> VecDeque<Out> {
        let mut out = VecDeque::from([Out::Message(Message::Unchoke)]);
        for (n, len) in blocks.iter().enumerate() {
            let block = Block {
                piece: n as u32,
                begin: 0,
                len: *len,
            };
            out.push_back(Out::Message(Message::Have(7)));
            out.push_back(Out::Block(block, vec![n as u8; *len as usize].into()));
        }
        out.push_back(Out::Message(Message::Choke));
        out
    }

    proptest! {
        #[test]
        fn writes_of_any_length_send_every_byte_and_report_every_block_once(
            blocks in proptest::collection::vec(1u32..300, 0..100),
            lens in proptest::collection::vec(1usize..2_000, 1..50),
        ) {
            let mut expected = BytesMut::new();
            for out in queue(&blocks) {
                match out {
                    Out::Message(message) => message.encode(&mut expected),
                    Out::Block(block, data) => {
                        Message::Piece(block).encode(&mut expected);
                        let Data::Bytes(data) = data else { unreachable!() };
                        expected.extend_from_slice(&data);
                    }
                }
            }
            let mut outbox = Outbox::default();
            outbox.extend(queue(&blocks));
            let mut sent = Vec::new();
            let mut reported = Vec::new();
            for len in lens.iter().cycle() {
                if outbox.len == 0 {
                    break;
                }
                let slices = outbox.slices(*len);
                let written: usize = slices.iter().map(|s| s.len()).sum();
                prop_assert!(written > 0 && written <= *len);
                slices.iter().for_each(|s| sent.extend_from_slice(s));
                reported.extend(outbox.advance(written));
            }
            prop_assert_eq!(&sent[..], &expected[..]);
            let numbers: Vec<u32> = reported.iter().map(|b| b.piece).collect();
            prop_assert_eq!(numbers, (0..blocks.len() as u32).collect::<Vec<_>>());
        }
    }
}
