//! What comes in on one connection: bytes of the socket become frames.
//!
//! Frames are cut out of the buffer they were read into. While a peer sends fast and nothing but blocks, they are expected, and each is read to a
//! place of its own (see [`Row`]), until something else comes.

use std::io;

use bytes::{BufMut, Bytes, BytesMut};
use p2p_wire::peer::{Frame, FrameDecoder, FrameError, Message};
use tokio::net::tcp::ReadHalf;

use super::pool::{BlockPool, PlaceLen};
use super::row::Row;

/// Read at once at most.
const MAX_READ: usize = 256 * 1024;

/// Read at once at first and from quiet peers: what an idle connection costs.
const MIN_READ: usize = 4 * 1024;

/// Who is read so much of at once is fast.
const FAST: usize = MAX_READ / 2;

/// Blocks are taken out of the buffer they were read into when they are a smaller part of it than this: else each would hold all of it as
/// long as it waits for its piece.
const DENSE: usize = 4;

/// The way of one connection from bytes to frames: [`Intake::read`], then [`Intake::frames`], and again.
pub(super) struct Intake {
    decoder: FrameDecoder,
    /// What was read and is no whole frame yet, unless there is a row.
    buffer: BytesMut,
    /// How long the buffer was when it was made, with what has been cut out of it since.
    allocated: usize,
    /// Bytes to read at once.
    size: usize,
    pool: BlockPool,
    row: Option<Row>,
    /// The last read gave blocks of this length and nothing else: what is left of it begins with a frame, and is nothing to be skipped.
    only_blocks: Option<PlaceLen>,
}

impl Intake {
    /// For a connection that was just made. `pieces`: how many the item has, where that is known.
    pub(super) fn new(pieces: Option<u32>, pool: BlockPool) -> Self {
        Self {
            decoder: FrameDecoder::new(pieces),
            buffer: BytesMut::new(),
            allocated: 0,
            size: MIN_READ,
            pool,
            row: None,
            only_blocks: None,
        }
    }

    /// How many bytes the next read is for.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Reads at most `most` bytes, once, and says how many: 0 at the end of the stream. `WouldBlock` if there is nothing to read.
    pub(super) fn read(&mut self, stream: &ReadHalf<'_>, most: usize) -> io::Result<usize> {
        if let Some(len) = self.only_blocks
            && self.size >= FAST
            && self.row.is_none()
        {
            self.row = Row::begin(&self.pool, len, &mut self.buffer);
        }
        if let Some(row) = &mut self.row {
            return stream.try_read_vectored(&mut row.slices(most));
        }
        let need = self.decoder.need(&self.buffer).min(self.size);
        if self.buffer.capacity() - self.buffer.len() < need.max(MIN_READ) {
            self.buffer.reserve(self.size);
            self.allocated = self.buffer.capacity();
        }
        stream.try_read_buf(&mut (&mut self.buffer).limit(most))
    }

    /// The frames that are whole now that `read` bytes of `most` came. `pieces` as for [`Intake::new`].
    pub(super) fn frames(
        &mut self,
        read: usize,
        most: usize,
        pieces: Option<u32>,
    ) -> Result<Vec<Frame>, FrameError> {
        if read == most {
            self.size = (self.size * 2).min(MAX_READ);
        } else if read < self.size / 8 {
            self.size = (self.size / 2).max(MIN_READ);
        }
        if let Some(pieces) = pieces {
            self.decoder.set_pieces(pieces);
        }
        let mut frames = Vec::new();
        if let Some(mut row) = self.row.take() {
            if row.came(read, &mut frames) && self.size >= FAST {
                self.row = Some(row);
            } else {
                row.end(&mut self.buffer);
                self.allocated = self.buffer.capacity();
            }
        }
        let placed = frames.len();
        if self.row.is_none() {
            while let Some(frame) = self.decoder.decode(&mut self.buffer)? {
                frames.push(frame);
            }
        }
        unpin(&mut frames[placed..], self.allocated);
        let len = frames.first().map_or(0, |frame| frame.data.len());
        self.only_blocks = PlaceLen::of(len).filter(|_| frames.iter().all(|f| f.data.len() == len));
        Ok(frames)
    }
}

/// Copies what the frames hold out of a buffer of so many bytes, unless they are a good part of it.
fn unpin(frames: &mut [Frame], allocated: usize) {
    let held: usize = frames.iter_mut().map(|frame| payload(frame).len()).sum();
    if held >= allocated / DENSE {
        return;
    }
    for frame in frames {
        let payload = payload(frame);
        if !payload.is_empty() {
            *payload = Bytes::copy_from_slice(payload);
        }
    }
}

/// The bytes of a frame that lie in the buffer they were read into.
fn payload(frame: &mut Frame) -> &mut Bytes {
    match &mut frame.message {
        Message::Bitfield(bytes) | Message::Extended(_, bytes) => bytes,
        _ => &mut frame.data,
    }
}

#[cfg(test)]
mod tests {
    use p2p_wire::peer::PieceHead;
    use p2p_wire::{BLOCK_LEN, Block, MAX_BLOCK_LEN};
    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// What came through an intake: its frames, and how many blocks were read to places of their own.
    async fn received(bytes: Vec<u8>, mut most: impl FnMut() -> usize) -> (Vec<Frame>, usize) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let far = TcpStream::connect(listener.local_addr().unwrap());
        let (near, far) = tokio::join!(listener.accept(), far);
        let (mut near, mut far) = (near.unwrap().0, far.unwrap());
        tokio::spawn(async move { far.write_all(&bytes).await.unwrap() });
        let (near, _) = near.split();
        let mut intake = Intake::new(None, BlockPool::default());
        let (mut frames, mut placed) = (Vec::new(), 0);
        loop {
            near.readable().await.unwrap();
            intake.size = MAX_READ;
            let most = most();
            let read = match intake.read(&near, most) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                Err(error) => panic!("{error}"),
            };
            let more = intake.frames(read, most, Some(2000)).unwrap();
            let lies = |frame: &&Frame| frame.data.as_ptr().addr().is_multiple_of(4096);
            let whole = more
                .iter()
                .filter(|frame| PlaceLen::of(frame.data.len()).is_some());
            placed += whole.filter(lies).count();
            frames.extend(more);
        }
        (frames, placed)
    }

    /// Numbers from `seed` on, each below its bound.
    fn numbers(seed: u64) -> impl FnMut(u64) -> u64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        move |below| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        }
    }

    /// `count` messages, of which one in `other` is no block of `len`.
    fn stream(count: u64, len: u32, other: u64, number: &mut impl FnMut(u64) -> u64) -> Vec<u8> {
        let mut bytes = BytesMut::new();
        for n in 0..count as u32 {
            let block = |len| Block {
                piece: n,
                begin: n * 7,
                len,
            };
            let kind = if number(other) == 0 { number(9) } else { 9 };
            let message = match kind {
                0 => Message::KeepAlive,
                1 => Message::Have(n),
                2 => Message::Request(block(BLOCK_LEN)),
                3 => Message::Piece(block(number(20_000) as u32)),
                4 => Message::Bitfield(vec![0; 250].into()),
                5 => Message::Extended(3, vec![n as u8; number(9_000) as usize].into()),
                6 => Message::Unknown(99),
                7 => Message::Piece(block(BLOCK_LEN)),
                8 => Message::Piece(block(MAX_BLOCK_LEN)),
                _ => Message::Piece(block(len)),
            };
            match &message {
                Message::Piece(block) => {
                    message.encode(&mut bytes);
                    bytes.put_bytes(n as u8, block.len as usize);
                }
                // With a payload that is skipped, and looks like the begin of blocks.
                Message::Unknown(id) => {
                    let head = &PieceHead::of(block(len)).0[..5];
                    let skipped = number(90_000) as usize;
                    bytes.put_u32(1 + skipped as u32);
                    bytes.put_u8(*id);
                    bytes.extend(head.iter().cycle().take(skipped));
                }
                other => other.encode(&mut bytes),
            }
        }
        bytes.to_vec()
    }

    #[tokio::test]
    async fn the_frames_are_those_of_the_bytes_however_they_are_read() {
        let mut in_places = 0;
        for seed in 0..60 {
            let mut number = numbers(seed);
            let other = [3, 20, 100, 100_000][seed as usize % 4];
            let len = [BLOCK_LEN, MAX_BLOCK_LEN][seed as usize / 4 % 2];
            let bytes = stream(150, len, other, &mut number);
            let mut all = BytesMut::from(&bytes[..]);
            let mut decoder = FrameDecoder::new(Some(2000));
            let expected = std::iter::from_fn(|| decoder.decode(&mut all).unwrap());
            let expected: Vec<Frame> = expected.collect();
            assert_eq!(expected.len(), 150);
            let longest = [300_000, 20_000, 1_000][seed as usize % 3];
            let most = || 1 + number(longest) as usize;
            let (frames, placed) = received(bytes, most).await;
            assert!(frames == expected, "seed {seed}");
            in_places += placed;
            if other == 100_000 {
                assert!(placed > 100, "{placed} of 150, seed {seed}");
            }
        }
        assert!(in_places < 60 * 120, "something else came now and then");
    }

    #[tokio::test]
    async fn a_block_among_rubbish_does_not_hold_the_rubbish() {
        let mut bytes = BytesMut::new();
        for piece in 0..40 {
            let block = Block {
                piece,
                begin: 0,
                len: BLOCK_LEN,
            };
            Message::Piece(block).encode(&mut bytes);
            bytes.put_bytes(7, BLOCK_LEN as usize);
            bytes.put_u32(240 * 1024 + 1);
            bytes.put_u8(200);
            bytes.put_bytes(0, 240 * 1024);
        }
        let (frames, _) = received(bytes.to_vec(), || MAX_READ).await;
        let blocks = frames.into_iter().map(|frame| frame.data);
        let blocks: Vec<Bytes> = blocks.filter(|data| !data.is_empty()).collect();
        assert_eq!(blocks.len(), 40);
        // What a block holds can be told once nobody else holds a part of it.
        let held = blocks.into_iter().map(|block| {
            let alone = block.try_into_mut();
            alone.map_or(MAX_READ, |buffer| buffer.capacity())
        });
        let held: usize = held.sum();
        assert!(held <= DENSE * 40 * 16_384, "{held} bytes are held");
    }

    #[tokio::test]
    async fn a_slow_peer_has_no_places() {
        let bytes = stream(100, BLOCK_LEN, 100_000, &mut numbers(1));
        let (mut near, mut far) = {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let far = TcpStream::connect(listener.local_addr().unwrap());
            let (near, far) = tokio::join!(listener.accept(), far);
            (near.unwrap().0, far.unwrap())
        };
        let (near, _) = near.split();
        let mut intake = Intake::new(None, BlockPool::default());
        let mut blocks = 0;
        for part in bytes.chunks(20_000) {
            far.write_all(part).await.unwrap();
            let mut left = part.len();
            while left > 0 {
                near.readable().await.unwrap();
                // A limit lets so much through.
                let most = intake.size().min(2_000);
                let Ok(read) = intake.read(&near, most) else {
                    continue;
                };
                left -= read;
                blocks += intake.frames(read, intake.size() + 1, None).unwrap().len();
                assert!(intake.row.is_none());
            }
        }
        assert_eq!(blocks, 100);
    }
}
