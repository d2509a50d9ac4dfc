//! Any order of events and messages, most of them hostile, read from any bytes: nothing panics, the invariants hold, the budget is kept.
//!
//! Bytes rather than a list of events, so that one reader serves the property test below and the fuzzer.
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use p2p_wire::peer::{ExtensionHandshake, Message, MetadataMessage};
use p2p_wire::{BLOCK_LEN, Bitfield, Block, Layout, MAX_BLOCK_LEN, PeerId, PieceIndex};

use super::{Action, NewPeer, Options, PeerKey, Swarm, Verified};

const PIECES: u32 = 12;

/// Lets the events that `bytes` stand for happen to a swarm, from `start` on, looking at its invariants after each. Panics when one does
/// not hold.
pub fn run(bytes: &[u8], start: Instant) {
    let mut input = Input(bytes);
    let kind = input.u8();
    let have = if kind & 1 == 1 { input.u16() } else { 0 };
    let mut world = World::new(have, kind & 2 == 2, input.u8().into(), start);
    world.settle();
    while !input.0.is_empty() {
        let op = input.op();
        world.apply(op);
        world.settle();
    }
}

/// Bytes that are read as events; zeros when they end.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn u8(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    fn u16(&mut self) -> u16 {
        u16::from_le_bytes([self.u8(), self.u8()])
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes([self.u8(), self.u8(), self.u8(), self.u8()])
    }

    fn flag(&mut self) -> bool {
        self.u8() & 1 == 1
    }

    /// Less than `bound`.
    fn below(&mut self, bound: u8) -> u8 {
        self.u8() % bound
    }

    fn piece(&mut self) -> u32 {
        u32::from(self.u8()) % (PIECES + 1)
    }

    fn bytes(&mut self, most: u8) -> Bytes {
        let len = self.below(most + 1);
        (0..len).map(|_| self.u8()).collect()
    }

    /// Mostly a block as it should be.
    fn block(&mut self) -> Block {
        let kind = self.u8();
        let begin = match kind & 7 {
            0 => self.u32(),
            _ => u32::from(kind >> 6) * BLOCK_LEN,
        };
        let len = match (kind >> 3) & 7 {
            0 => self.u32(),
            1 => self.u32() % 200_000,
            2 => MAX_BLOCK_LEN,
            _ => BLOCK_LEN,
        };
        Block {
            piece: self.piece(),
            begin,
            len,
        }
    }

    fn message(&mut self) -> Message {
        match self.below(24) {
            0 => Message::KeepAlive,
            1 => Message::Choke,
            2 | 3 => Message::Unchoke,
            4 | 5 => Message::Interested,
            6 => Message::NotInterested,
            7..=9 => Message::Have(self.piece()),
            10 => Message::Bitfield(self.bytes(3)),
            // Of the right length, the spare bits clear.
            11 => Message::Bitfield(Bytes::from(vec![self.u8(), self.u8() & 0xf0])),
            12 | 13 => Message::Request(self.block()),
            14 => Message::Cancel(self.block()),
            15 => Message::Reject(self.block()),
            16 => Message::Piece(self.block()),
            17 => Message::HaveAll,
            18 => Message::HaveNone,
            19 => Message::Suggest(self.u32()),
            20 => Message::AllowedFast(self.u32()),
            21 => Message::Port(self.u16()),
            22 => Message::Unknown(self.u8()),
            _ => self.extended(),
        }
    }

    fn extended(&mut self) -> Message {
        match self.below(3) {
            0 => {
                let handshake = ExtensionHandshake {
                    ut_metadata: Some(3),
                    reqq: self.flag().then(|| self.u32()),
                    longest_block: self.flag().then_some(MAX_BLOCK_LEN),
                    port: self.flag().then(|| self.u16()),
                    upload_only: self.flag(),
                    ..ExtensionHandshake::default()
                };
                Message::Extended(0, handshake.to_bytes())
            }
            1 => {
                let part = self.below(4).into();
                Message::Extended(1, MetadataMessage::Request(part).to_bytes())
            }
            _ => Message::Extended(self.u8(), self.bytes(20)),
        }
    }

    fn op(&mut self) -> Op {
        match self.below(64) {
            0..=3 => Op::Connect {
                n: self.below(8),
                outgoing: self.flag(),
                fast: self.flag(),
            },
            4 => Op::Disconnect(self.below(8)),
            5..=20 => Op::Message(self.below(8), self.message()),
            21..=36 => Op::Answer(self.below(8), self.below(4)),
            37 | 38 => Op::Block(self.below(8), self.block()),
            39 | 40 => Op::Reject(self.below(8), self.below(4)),
            41..=46 => Op::Verify(
                self.u8(),
                match self.below(5) {
                    0 => Verified::Bad,
                    1 => Verified::Lost,
                    _ => Verified::Good,
                },
            ),
            47..=50 => Op::Uploaded(self.u8(), self.flag()),
            51..=54 => Op::Wait(u32::from(self.u16()) % 20_000),
            55 | 56 => Op::Timeout,
            57 => Op::DialFailed(self.below(8)),
            58 => Op::Candidates(self.below(8)),
            59 => Op::Wanted(self.u16()),
            60 => {
                let count = self.below(4);
                Op::Rarest((0..count).map(|_| self.piece()).collect())
            }
            61 => Op::MaxPeers(1 + usize::from(self.below(6))),
            62 => Op::InFlight(self.u32() % 400_000),
            _ => Op::Sequential(self.flag()),
        }
    }
}

enum Op {
    Connect {
        n: u8,
        outgoing: bool,
        fast: bool,
    },
    Disconnect(u8),
    Message(u8, Message),
    /// Answers the nth open request of a peer, with its block.
    Answer(u8, u8),
    Block(u8, Block),
    Reject(u8, u8),
    Verify(u8, Verified),
    Uploaded(u8, bool),
    Wait(u32),
    Timeout,
    DialFailed(u8),
    Candidates(u8),
    Wanted(u16),
    Rarest(Vec<u32>),
    MaxPeers(usize),
    InFlight(u32),
    Sequential(bool),
}

/// A swarm with what its engine would keep for it.
struct World {
    swarm: Swarm,
    long: bool,
    now: Instant,
    next_key: u64,
    keys: [Option<PeerKey>; 8],
    requests: Vec<(PeerKey, Block)>,
    uploads: Vec<(PeerKey, Block)>,
    verify: Vec<PieceIndex>,
}

fn addr(n: u8) -> SocketAddr {
    // 6 and 7 are at the same place.
    SocketAddr::from(([10, 0, 0, n.min(6) + 1], 6881 + u16::from(n)))
}

fn set(bits: u16) -> Bitfield {
    let mut set = Bitfield::new(PIECES);
    (0..PIECES)
        .filter(|p| bits & (1 << p) != 0)
        .for_each(|piece| {
            set.set(piece);
        });
    set
}

impl World {
    /// `long`: with pieces that hold long blocks, peers that serve these, and windows that are wide from the start.
    fn new(have: u16, long: bool, seed: u64, start: Instant) -> Self {
        let (piece_len, in_flight) = if long {
            (3 * MAX_BLOCK_LEN, 1_500_000)
        } else {
            (65_536, 200_000)
        };
        let total = u64::from(PIECES) * u64::from(piece_len) - 20_000;
        let layout = Layout::new(total, piece_len).expect("neither is 0");
        let options = Options {
            info: Bytes::from(vec![1; 40_000]),
            our_id: PeerId([3; 20]),
            port: 6881,
            wanted: Bitfield::full(PIECES),
            sequential: false,
            in_flight,
            upload_slots: 2,
            max_peers: 6,
            only_peers: Vec::new(),
            seed,
        };
        Self {
            swarm: Swarm::new(layout, set(have), options, start),
            long,
            now: start,
            next_key: 0,
            keys: [None; 8],
            requests: Vec::new(),
            uploads: Vec::new(),
            verify: Vec::new(),
        }
    }

    /// The peer serves long blocks, and its window is as if it had given many.
    fn widen(&mut self, key: PeerKey) {
        let handshake = ExtensionHandshake {
            longest_block: Some(MAX_BLOCK_LEN),
            ..ExtensionHandshake::default()
        };
        if let Some(peer) = self.swarm.peers.get_mut(&key) {
            peer.extension = Some(handshake);
            (peer.window).received(200, Duration::ZERO, 0, self.now);
        }
    }

    fn close(&mut self, key: PeerKey) {
        self.keys
            .iter_mut()
            .filter(|k| **k == Some(key))
            .for_each(|k| *k = None);
        self.requests.retain(|(k, _)| *k != key);
        self.uploads.retain(|(k, _)| *k != key);
        self.swarm.handle_disconnected(key, self.now);
    }

    fn take_request(&mut self, n: u8, nth: u8) -> Option<(PeerKey, Block)> {
        let key = self.keys[n as usize]?;
        let mine = self
            .requests
            .iter()
            .enumerate()
            .filter(|(_, (k, _))| *k == key);
        let at = mine.map(|(i, _)| i).nth(nth as usize)?;
        Some(self.requests.remove(at))
    }

    fn apply(&mut self, op: Op) {
        let now = self.now;
        match op {
            Op::Connect { n, outgoing, fast } => {
                let key = PeerKey(self.next_key);
                self.next_key += 1;
                if let Some(old) = self.keys[n as usize].replace(key) {
                    self.requests.retain(|(k, _)| *k != old);
                    self.swarm.handle_disconnected(old, now);
                }
                let peer = NewPeer {
                    addr: addr(n),
                    // 3 is our own, and 6 and 7 are the same peer.
                    peer_id: PeerId([n.min(6); 20]),
                    outgoing,
                    fast,
                    extended: fast,
                };
                self.swarm.handle_connected(key, peer, now);
            }
            Op::Disconnect(n) => {
                if let Some(key) = self.keys[n as usize] {
                    self.close(key);
                }
            }
            Op::Message(n, message) => {
                if let Some(key) = self.keys[n as usize]
                    && self.swarm.handle_message(key, message, now).is_err()
                {
                    self.close(key);
                }
                if self.long
                    && let Some(key) = self.keys[n as usize]
                {
                    self.widen(key);
                }
            }
            Op::Answer(n, nth) => {
                if let Some((key, block)) = self.take_request(n, nth)
                    && self.swarm.handle_block(key, block, now).is_err()
                {
                    self.close(key);
                }
            }
            Op::Block(n, block) => {
                if let Some(key) = self.keys[n as usize]
                    && self.swarm.handle_block(key, block, now).is_err()
                {
                    self.close(key);
                }
            }
            Op::Reject(n, nth) => {
                if let Some((key, block)) = self.take_request(n, nth) {
                    let reject = Message::Reject(block);
                    if self.swarm.handle_message(key, reject, now).is_err() {
                        self.close(key);
                    }
                }
            }
            Op::Verify(nth, outcome) => {
                if !self.verify.is_empty() {
                    let piece = self.verify.remove(nth as usize % self.verify.len());
                    self.swarm.handle_verified(piece, outcome, now);
                }
            }
            Op::Uploaded(nth, read) => {
                if !self.uploads.is_empty() {
                    let (key, block) = self.uploads.remove(nth as usize % self.uploads.len());
                    if read {
                        self.swarm.handle_uploaded(key, block, now);
                    } else {
                        self.swarm.handle_read_failed(key, block, now);
                    }
                }
            }
            Op::Wait(ms) => self.now += Duration::from_millis(u64::from(ms)),
            Op::Timeout => self.swarm.handle_timeout(now),
            Op::DialFailed(n) => self.swarm.handle_dial_failed(addr(n), now),
            Op::Candidates(n) => self.swarm.add_candidates(&[addr(n), addr(7 - n)], now),
            Op::Wanted(bits) => self.swarm.set_wanted(set(bits), now),
            Op::Rarest(pieces) => self.swarm.set_rarest(&pieces),
            Op::MaxPeers(most) => self.swarm.set_max_peers(most, now),
            Op::InFlight(bytes) => self.swarm.set_in_flight(u64::from(bytes)),
            Op::Sequential(on) => self.swarm.set_sequential(on),
        }
    }

    fn settle(&mut self) {
        while let Some(action) = self.swarm.poll_action() {
            match action {
                Action::Send(key, Message::Request(block)) => self.requests.push((key, block)),
                Action::Send(key, Message::Cancel(block)) => {
                    self.requests.retain(|r| *r != (key, block));
                }
                Action::Send(..) | Action::Dial(_) | Action::Complete => {}
                Action::Discard(piece) => self.verify.retain(|p| *p != piece),
                Action::Upload(key, block) => {
                    assert!(self.swarm.have().get(block.piece), "uploads what it holds");
                    self.uploads.push((key, block));
                }
                Action::CancelUpload(key, block) => {
                    self.uploads.retain(|u| *u != (key, block));
                }
                Action::Verify(piece) => self.verify.push(piece),
                Action::Drop(key, _) => self.close(key),
            }
        }
        self.swarm.check_invariants();
        let _ = (self.swarm.poll_timeout(), self.swarm.is_idle());
        let _ = (self.swarm.stats(self.now), self.swarm.peers(self.now));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]
        #[test]
        fn no_order_of_events_breaks_it(bytes in proptest::collection::vec(any::<u8>(), 0..1_500)) {
            super::run(&bytes, crate::swarm::sim::start());
        }
    }
}
