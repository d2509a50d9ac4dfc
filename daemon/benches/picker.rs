//! What one `have`, one request and one received block cost the pure core, with 100,000 pieces and 200 peers.
//!
//! `cargo bench -p p2pd --bench picker`
#![allow(missing_docs)] // criterion_group! makes public functions without documentation
#![allow(clippy::unwrap_used)] // a failed unwrap is a failed benchmark
#![allow(clippy::disallowed_methods)] // measures with the real clock

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use p2p_wire::peer::Message;
use p2p_wire::{BLOCK_LEN, Bitfield, Block, Layout, PeerId};
use p2pd::swarm::{Action, NewPeer, Options, PeerKey, Swarm, Verified};

const PIECES: u32 = 100_000;
const PEERS: u64 = 200;
const BLOCKS: u32 = 32;

/// A leech of 100,000 pieces of 512 KiB with 200 peers, each of which said `bits`.
fn swarm(now: Instant, bits: impl Fn(u64) -> Bitfield) -> Swarm {
    let layout = Layout::new(
        u64::from(PIECES * BLOCKS) * u64::from(BLOCK_LEN),
        BLOCKS * BLOCK_LEN,
    );
    let options = Options {
        info: Bytes::new(),
        our_id: PeerId([0; 20]),
        port: 6881,
        wanted: Bitfield::full(PIECES),
        sequential: false,
        in_flight: 1 << 30,
        upload_slots: 8,
        // A part of the places is for connections that we make.
        max_peers: 2 * PEERS as usize,
        only_peers: Vec::new(),
        seed: 1,
    };
    let mut swarm = Swarm::new(layout.unwrap(), Bitfield::new(PIECES), options, now);
    for n in 0..PEERS {
        let mut peer_id = [1; 20];
        peer_id[..8].copy_from_slice(&n.to_be_bytes());
        let peer = NewPeer {
            addr: SocketAddr::from(([10, 0, 0, n as u8], 6881)),
            peer_id: PeerId(peer_id),
            outgoing: false,
            fast: true,
            extended: false,
        };
        swarm.handle_connected(PeerKey(n), peer, now);
        let bits = Message::Bitfield(bits(n).to_bytes());
        swarm.handle_message(PeerKey(n), bits, now).unwrap();
    }
    swarm
}

/// Half of the pieces, another half for each peer.
fn half(n: u64) -> Bitfield {
    let mut bits = Bitfield::new(PIECES);
    let mut x = n + 1;
    for piece in 0..PIECES {
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        if x >> 63 == 0 {
            bits.set(piece);
        }
    }
    bits
}

fn have(c: &mut Criterion) {
    let now = Instant::now();
    let mut swarm = swarm(now, |_| Bitfield::new(PIECES));
    // One pick, so that the order stands and every `have` has to keep it.
    swarm
        .handle_message(PeerKey(0), Message::Have(0), now)
        .unwrap();
    swarm
        .handle_message(PeerKey(0), Message::Unchoke, now)
        .unwrap();
    while swarm.poll_action().is_some() {}
    let mut next = 0u64;
    c.bench_function("have", |b| {
        b.iter(|| {
            let piece = (next.wrapping_mul(7919) % u64::from(PIECES)) as u32;
            let peer = PeerKey(next / u64::from(PIECES) % PEERS);
            next += 1;
            swarm
                .handle_message(peer, Message::Have(piece), now)
                .unwrap();
        });
    });
}

/// The core's time for requests and for blocks, for at least `blocks` of them; all peers answer in turn.
fn download(blocks: u64) -> (Duration, Duration) {
    let mut now = Instant::now();
    let mut swarm = swarm(now, half);
    for n in 0..PEERS {
        swarm
            .handle_message(PeerKey(n), Message::Unchoke, now)
            .unwrap();
    }
    let (mut asking, mut taking) = (Duration::ZERO, Duration::ZERO);
    let (mut asked, mut taken) = (0u64, 0u64);
    // Kept from round to round: what is measured is the core, not room for what it says.
    let mut requests: Vec<(PeerKey, Block)> = Vec::new();
    let mut first = true;
    let mut finished = 0;
    while taken < blocks && !swarm.is_complete() {
        // Good pieces are told to every peer; that is not what a request costs. What is left then is chosen by the next poll.
        let mut pieces = Vec::new();
        let mut told = 0;
        while told < finished * PEERS {
            match swarm.poll_action().unwrap() {
                Action::Send(_, Message::Have(_)) => told += 1,
                Action::Verify(piece) => pieces.push(piece),
                _ => {}
            }
        }
        requests.clear();
        let from = Instant::now();
        while let Some(action) = swarm.poll_action() {
            match action {
                Action::Send(peer, Message::Request(block)) => requests.push((peer, block)),
                Action::Verify(piece) => pieces.push(piece),
                _ => {}
            }
        }
        // The first time the whole order is sorted: once in a download, not once a block.
        let counts = !std::mem::take(&mut first);
        if counts {
            asking += from.elapsed();
        }
        asked += if counts { requests.len() as u64 } else { 0 };
        now += Duration::from_millis(20);
        let from = Instant::now();
        for (peer, block) in &requests {
            swarm.handle_block(*peer, *block, now).unwrap();
        }
        taking += from.elapsed();
        taken += requests.len() as u64;
        finished = pieces.len() as u64;
        for piece in pieces {
            swarm.handle_verified(piece, Verified::Good, now);
        }
        if requests.is_empty() {
            swarm.handle_timeout(now + Duration::from_secs(1));
            now += Duration::from_secs(1);
        }
    }
    let scale = |spent: Duration, done: u64| spent.mul_f64(blocks as f64 / done.max(1) as f64);
    (scale(asking, asked), scale(taking, taken))
}

fn blocks(c: &mut Criterion) {
    // A swarm of this size takes a while to build: many blocks for each.
    let least = 200_000;
    let part = |n: u64, time: Duration| time.mul_f64(n as f64 / n.max(least) as f64);
    c.bench_function("request", |b| {
        b.iter_custom(|n| part(n, download(n.max(least)).0))
    });
    c.bench_function("block", |b| {
        b.iter_custom(|n| part(n, download(n.max(least)).1))
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10).measurement_time(Duration::from_secs(3));
    targets = have, blocks
}
criterion_main!(benches);
