//! Any order of events and messages, most of them hostile: nothing panics, the invariants hold, the budget is kept.
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use p2p_wire::peer::{ExtensionHandshake, Message, MetadataMessage};
use p2p_wire::{BLOCK_LEN, Bitfield, Block, Layout, PeerId};
use proptest::prelude::*;

use super::sim::start;
use super::{Action, NewPeer, Options, PeerKey, Swarm, Verified};

const PIECES: u32 = 12;

#[derive(Clone, Debug)]
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

fn block() -> impl Strategy<Value = Block> {
    let begin = prop_oneof![4 => (0u32..4).prop_map(|n| n * BLOCK_LEN), 1 => any::<u32>()];
    let len = prop_oneof![4 => Just(BLOCK_LEN), 1 => 0..200_000u32, 1 => any::<u32>()];
    (0..PIECES + 1, begin, len).prop_map(|(piece, begin, len)| Block { piece, begin, len })
}

fn message() -> impl Strategy<Value = Message> {
    let bits = proptest::collection::vec(any::<u8>(), 1..3).prop_map(|mut bits| {
        if let Some(last) = bits.get_mut(1) {
            *last &= 0xf0;
        }
        Message::Bitfield(Bytes::from(bits))
    });
    let hello = (any::<Option<u32>>(), any::<bool>(), any::<Option<u16>>()).prop_map(
        |(reqq, upload_only, port)| {
            let handshake = ExtensionHandshake {
                ut_metadata: Some(3),
                reqq,
                port,
                upload_only,
                ..ExtensionHandshake::default()
            };
            Message::Extended(0, handshake.to_bytes())
        },
    );
    let metadata =
        (0..4u32).prop_map(|part| Message::Extended(1, MetadataMessage::Request(part).to_bytes()));
    let junk = proptest::collection::vec(any::<u8>(), 0..20);
    prop_oneof![
        1 => Just(Message::KeepAlive),
        1 => Just(Message::Choke),
        3 => Just(Message::Unchoke),
        2 => Just(Message::Interested),
        1 => Just(Message::NotInterested),
        4 => (0..PIECES + 1).prop_map(Message::Have),
        2 => bits,
        4 => block().prop_map(Message::Request),
        2 => block().prop_map(Message::Cancel),
        1 => block().prop_map(Message::Reject),
        1 => block().prop_map(Message::Piece),
        1 => Just(Message::HaveAll),
        1 => Just(Message::HaveNone),
        1 => any::<u32>().prop_map(Message::Suggest),
        1 => any::<u32>().prop_map(Message::AllowedFast),
        1 => any::<u16>().prop_map(Message::Port),
        1 => any::<u8>().prop_map(Message::Unknown),
        1 => hello,
        1 => metadata,
        1 => (any::<u8>(), junk).prop_map(|(id, junk)| Message::Extended(id, Bytes::from(junk))),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let verified = prop_oneof![
        3 => Just(Verified::Good),
        1 => Just(Verified::Bad),
        1 => Just(Verified::Lost)
    ];
    prop_oneof![
        4 => (0..8u8, any::<bool>(), any::<bool>())
            .prop_map(|(n, outgoing, fast)| Op::Connect { n, outgoing, fast }),
        1 => (0..8u8).prop_map(Op::Disconnect),
        16 => (0..8u8, message()).prop_map(|(n, message)| Op::Message(n, message)),
        16 => (0..8u8, 0..4u8).prop_map(|(n, nth)| Op::Answer(n, nth)),
        2 => (0..8u8, block()).prop_map(|(n, block)| Op::Block(n, block)),
        2 => (0..8u8, 0..4u8).prop_map(|(n, nth)| Op::Reject(n, nth)),
        6 => (any::<u8>(), verified).prop_map(|(nth, outcome)| Op::Verify(nth, outcome)),
        4 => (any::<u8>(), any::<bool>()).prop_map(|(nth, read)| Op::Uploaded(nth, read)),
        4 => (0..20_000u32).prop_map(Op::Wait),
        2 => Just(Op::Timeout),
        1 => (0..8u8).prop_map(Op::DialFailed),
        1 => (0..8u8).prop_map(Op::Candidates),
        1 => any::<u16>().prop_map(Op::Wanted),
        1 => proptest::collection::vec(0..PIECES + 2, 0..4).prop_map(Op::Rarest),
        1 => (1..7usize).prop_map(Op::MaxPeers),
        1 => (0..400_000u32).prop_map(Op::InFlight),
        1 => any::<bool>().prop_map(Op::Sequential),
    ]
}

/// A swarm with what its engine would keep for it.
struct World {
    swarm: Swarm,
    now: Instant,
    next_key: u64,
    keys: [Option<PeerKey>; 8],
    requests: Vec<(PeerKey, Block)>,
    uploads: Vec<(PeerKey, Block)>,
    verify: Vec<p2p_wire::PieceIndex>,
}

fn addr(n: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, n + 1], 6881))
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
    fn new(have: u16, seed: u64) -> Self {
        let layout = Layout::new(u64::from(PIECES) * 65_536 - 20_000, 65_536).unwrap();
        let options = Options {
            info: Bytes::from(vec![1; 40_000]),
            our_id: PeerId([3; 20]),
            port: 6881,
            wanted: Bitfield::full(PIECES),
            sequential: false,
            in_flight: 200_000,
            upload_slots: 2,
            max_peers: 6,
            only_peers: Vec::new(),
            seed,
        };
        Self {
            swarm: Swarm::new(layout, set(have), options, start()),
            now: start(),
            next_key: 0,
            keys: [None; 8],
            requests: Vec::new(),
            uploads: Vec::new(),
            verify: Vec::new(),
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

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]
    #[test]
    fn no_order_of_events_breaks_it(
        have in any::<u16>(),
        seed in any::<u64>(),
        ops in proptest::collection::vec(op(), 1..200),
    ) {
        let mut world = World::new(have & if seed % 2 == 0 { 0 } else { u16::MAX }, seed);
        world.settle();
        for op in ops {
            world.apply(op);
            world.settle();
        }
    }
}
