//! One connection: reads become batches of frames, queued messages and blocks become vectored writes.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use p2p_wire::Block;
use p2p_wire::peer::{Frame, FrameDecoder, Handshake, Message};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::link::{Link, Out};
use super::{Slot, Throttle};
use crate::swarm::PeerKey;

/// Read at once at most.
const MAX_READ: usize = 256 * 1024;

/// Read at once at first and from quiet peers: what an idle connection costs.
const MIN_READ: usize = 4 * 1024;

/// Offered to the socket at once at most.
const MAX_WRITE: usize = 512 * 1024;

/// Slices in one write.
const MAX_SLICES: usize = 64;

/// A peer that takes nothing of what waits for it for this long is dropped.
const STALLED: Duration = Duration::from_secs(60);

/// A connection whose handshake arrived.
#[derive(Debug)]
pub struct Connection {
    /// The socket.
    pub stream: TcpStream,
    /// Remote address.
    pub addr: SocketAddr,
    /// What the peer said.
    pub handshake: Handshake,
    /// We dialled.
    pub outgoing: bool,
    /// Its place among the connections of the daemon.
    pub slot: Slot,
}

/// From a peer to its torrent.
#[derive(Debug)]
pub enum FromPeer {
    /// All frames of one read.
    Batch(Vec<Frame>),
    /// Blocks that went out.
    Sent(Vec<Block>),
    /// The connection ended; the last of this peer.
    Closed(String),
}

/// How a connection's task reports. When the channel is full the connection is neither read nor written, and the peer feels it through TCP.
pub type Reports = mpsc::Sender<(PeerKey, FromPeer)>;

/// The limits of one connection.
#[derive(Clone, Debug, Default)]
pub struct Throttles {
    /// What is read.
    pub down: Throttle,
    /// What is written.
    pub up: Throttle,
}

/// Serves a connection until it ends, then says so. `greeting` goes first, for a connection that was accepted.
pub fn spawn(
    key: PeerKey,
    connection: Connection,
    greeting: Option<Handshake>,
    link: Arc<Link>,
    throttles: Throttles,
    reports: Reports,
) {
    tokio::spawn(async move {
        let Connection {
            mut stream, slot, ..
        } = connection;
        let (reader, writer) = stream.split();
        let why = tokio::select! {
            end = read(key, reader, &link, &throttles.down, &reports) => end,
            end = write(key, writer, greeting, &link, &throttles.up, &reports) => end,
        };
        drop(slot);
        let why = why.map_or_else(|error| error.to_string(), |()| "closed".into());
        // The torrent may be gone.
        let _ = reports.send((key, FromPeer::Closed(why))).await;
    });
}

async fn read(
    key: PeerKey,
    stream: ReadHalf<'_>,
    link: &Link,
    throttle: &Throttle,
    reports: &Reports,
) -> io::Result<()> {
    let mut decoder = FrameDecoder::new(link.pieces());
    let mut buffer = BytesMut::new();
    let mut size = MIN_READ;
    loop {
        stream.readable().await?;
        link.hold(true);
        let allowed = throttle.take(size).await;
        link.hold(false);
        let need = decoder.need(&buffer).min(size);
        if buffer.capacity() - buffer.len() < need.max(MIN_READ) {
            buffer.reserve(size);
        }
        let read = match stream.try_read_buf(&mut (&mut buffer).limit(allowed)) {
            Ok(0) => return Ok(()),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        throttle.give_back(allowed.saturating_sub(read));
        if read == allowed {
            size = (size * 2).min(MAX_READ);
        } else if read < size / 8 {
            size = (size / 2).max(MIN_READ);
        }
        if let Some(pieces) = link.pieces() {
            decoder.set_pieces(pieces);
        }
        let mut frames = Vec::new();
        loop {
            let frame = decoder.decode(&mut buffer).map_err(io::Error::other)?;
            let Some(frame) = frame else { break };
            frames.push(frame);
        }
        if !frames.is_empty() && reports.send((key, FromPeer::Batch(frames))).await.is_err() {
            return Ok(());
        }
    }
}

async fn write(
    key: PeerKey,
    stream: WriteHalf<'_>,
    first: Option<Handshake>,
    link: &Link,
    throttle: &Throttle,
    reports: &Reports,
) -> io::Result<()> {
    let mut outbox = Outbox::default();
    if let Some(handshake) = first {
        outbox.push_bytes(Bytes::copy_from_slice(&handshake.to_bytes()));
    }
    let mut closing = false;
    loop {
        // Little by little, so that what waits in the link can still be cancelled.
        if outbox.len < MAX_WRITE && !closing {
            let (out, closed) = link.take();
            outbox.extend(out);
            closing = closed;
        }
        if outbox.len == 0 {
            if closing {
                return Ok(());
            }
            link.queued().await;
            continue;
        }
        let allowed = throttle.take(outbox.len.min(MAX_WRITE)).await;
        let ready = timeout(STALLED, stream.writable()).await;
        ready.map_err(|_| io::Error::other("takes nothing"))??;
        let written = match stream.try_write_vectored(&outbox.slices(allowed)) {
            Ok(written) => written,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        throttle.give_back(allowed - written);
        let sent = outbox.advance(written);
        if !sent.is_empty() && reports.send((key, FromPeer::Sent(sent))).await.is_err() {
            return Ok(());
        }
    }
}

/// Bytes on their way out, and where blocks end among them.
#[derive(Default)]
struct Outbox {
    chunks: VecDeque<Bytes>,
    len: usize,
    /// Bytes pushed and bytes written since the start.
    pushed: u64,
    written: u64,
    /// Each block with the value of `pushed` at its end.
    blocks: VecDeque<(Block, u64)>,
}

impl Outbox {
    fn extend(&mut self, out: VecDeque<Out>) {
        let mut heads = BytesMut::new();
        for out in out {
            match out {
                Out::Message(message) => message.encode(&mut heads),
                Out::Block(block, data) => {
                    Message::Piece(block).encode(&mut heads);
                    self.push_bytes(heads.split().freeze());
                    self.push_bytes(data);
                    self.blocks.push_back((block, self.pushed));
                }
            }
        }
        self.push_bytes(heads.freeze());
    }

    fn push_bytes(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.len += bytes.len();
            self.pushed += bytes.len() as u64;
            self.chunks.push_back(bytes);
        }
    }

    fn slices(&self, mut most: usize) -> Vec<IoSlice<'_>> {
        let mut slices = Vec::with_capacity(self.chunks.len().min(MAX_SLICES));
        for chunk in self.chunks.iter().take(MAX_SLICES) {
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
    fn advance(&mut self, mut written: usize) -> Vec<Block> {
        self.written += written as u64;
        self.len -= written;
        while written > 0
            && let Some(front) = self.chunks.front_mut()
        {
            if front.len() > written {
                front.advance(written);
                break;
            }
            written -= front.len();
            self.chunks.pop_front();
        }
        let whole = self
            .blocks
            .iter()
            .take_while(|(_, end)| *end <= self.written);
        let whole = whole.count();
        self.blocks.drain(..whole).map(|(block, _)| block).collect()
    }
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
