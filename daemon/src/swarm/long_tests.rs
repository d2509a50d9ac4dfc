//! Long blocks: who is asked for them, and what becomes of one of which a part is here already.
use std::time::Duration;

use p2p_wire::peer::{ExtensionHandshake, Message};
use p2p_wire::{BLOCK_LEN, Bitfield, Block, Layout, MAX_BLOCK_LEN};

use super::hand::{FAST, after, connect, options, requests, say, sent};
use super::sim::start;
use super::{BlockFate, Options, PeerKey, Swarm};

const OTHER: PeerKey = PeerKey(3);

/// A leech of two pieces, of 328 KiB and 1 byte, and of 120 KiB.
fn leech() -> Swarm {
    let piece_len = 20 * BLOCK_LEN + 8193;
    let layout = Layout::new(u64::from(piece_len) + 122_880, piece_len).unwrap();
    let wanted = Bitfield::full(2);
    let options = Options {
        wanted,
        ..options()
    };
    Swarm::new(layout, Bitfield::new(2), options, start())
}

/// `key` has all and answers, says that it serves blocks so long, and gave so many of the usual length at once.
fn seed(swarm: &mut Swarm, key: PeerKey, longest: Option<u32>, gave: u32) {
    connect(swarm, &[key]);
    let hello = ExtensionHandshake {
        longest_block: longest,
        ..ExtensionHandshake::default()
    };
    let hello = Message::Extended(0, hello.to_bytes());
    say(swarm, key, &[hello, Message::HaveAll, Message::Unchoke]).unwrap();
    if let Some(peer) = swarm.peers.get_mut(&key) {
        (peer.window).received(gave, Duration::ZERO, 0, start());
    }
}

fn block(piece: u32, first: u32, len: u32) -> Block {
    let begin = first * BLOCK_LEN;
    Block { piece, begin, len }
}

/// Every block of the usual length.
fn usual() -> Vec<Block> {
    let len_of = |piece, n| match (piece, n) {
        (0, 20) => 8193,
        (1, 7) => 8192,
        _ => BLOCK_LEN,
    };
    let all = [(0, 21), (1, 8)].into_iter();
    all.flat_map(|(piece, count)| (0..count).map(move |n| block(piece, n, len_of(piece, n))))
        .collect()
}

#[test]
fn who_serves_them_and_gives_much_is_asked_for_long_blocks_and_the_ends_of_pieces() {
    let mut swarm = leech();
    seed(&mut swarm, FAST, Some(MAX_BLOCK_LEN), 200);
    let long = [0, 8].map(|first| block(0, first, MAX_BLOCK_LEN));
    let rest = usual()
        .into_iter()
        .filter(|b| b.piece == 1 || b.begin >= 16 * BLOCK_LEN);
    let expected: Vec<Block> = long.into_iter().chain(rest).collect();
    assert_eq!(requests(&mut swarm, FAST), expected);
    assert_eq!(swarm.peers(start())[0].requests, 29);
}

#[test]
fn others_are_asked_for_blocks_of_the_usual_length() {
    for (longest, gave) in [
        (None, 200),
        (Some(0), 200),
        (Some(MAX_BLOCK_LEN - 1), 200),
        (Some(MAX_BLOCK_LEN), 100),
    ] {
        let mut swarm = leech();
        seed(&mut swarm, FAST, longest, gave);
        assert_eq!(requests(&mut swarm, FAST), usual(), "{longest:?} {gave}");
    }
}

#[test]
fn we_serve_them_and_say_so() {
    let hello = leech().extension_handshake();
    let hello = ExtensionHandshake::from_bytes(&hello).unwrap();
    assert_eq!(hello.longest_block, Some(MAX_BLOCK_LEN));
}

/// A leech that asked [`FAST`] for two long blocks and the rest. The first it gets; the second is kept back, and [`OTHER`] is asked for all that.
fn late() -> Swarm {
    let mut swarm = leech();
    seed(&mut swarm, FAST, Some(MAX_BLOCK_LEN), 200);
    let asked = requests(&mut swarm, FAST);
    for block in asked
        .iter()
        .filter(|b| b.begin != 8 * BLOCK_LEN || b.piece == 1)
    {
        let fate = swarm.handle_block(FAST, *block, start());
        assert_eq!(fate, Ok(BlockFate::Keep));
    }
    seed(&mut swarm, OTHER, None, 200);
    assert_eq!(requests(&mut swarm, OTHER), []);
    swarm.handle_timeout(after(3));
    let again: Vec<Block> = (8..16).map(|n| block(0, n, BLOCK_LEN)).collect();
    assert_eq!(requests(&mut swarm, OTHER), again);
    swarm
}

#[test]
fn a_part_that_another_gave_is_waste_and_the_rest_is_kept() {
    let mut swarm = late();
    for n in [9, 15] {
        let fate = swarm.handle_block(OTHER, block(0, n, BLOCK_LEN), after(3));
        assert_eq!(fate, Ok(BlockFate::Keep));
    }
    // What is missing is still to come: it is not taken back.
    assert_eq!(sent(&mut swarm, FAST), []);
    let before = swarm.stats(after(3)).wasted;
    let fate = swarm.handle_block(FAST, block(0, 8, MAX_BLOCK_LEN), after(3));
    assert_eq!(fate, Ok(BlockFate::Keep));
    let wasted = swarm.stats(after(3)).wasted - before;
    assert_eq!(wasted, u64::from(2 * BLOCK_LEN));
    let rest = [8, 10, 11, 12, 13, 14].map(|n| Message::Cancel(block(0, n, BLOCK_LEN)));
    assert_eq!(sent(&mut swarm, OTHER), rest);
}

#[test]
fn a_long_block_that_others_gave_is_taken_back() {
    let mut swarm = late();
    for n in 8..16 {
        assert_eq!(sent(&mut swarm, FAST), []);
        let fate = swarm.handle_block(OTHER, block(0, n, BLOCK_LEN), after(3));
        assert_eq!(fate, Ok(BlockFate::Keep));
    }
    let cancel = Message::Cancel(block(0, 8, MAX_BLOCK_LEN));
    assert_eq!(sent(&mut swarm, FAST), [cancel]);
}

#[test]
fn a_long_block_that_is_refused_is_asked_from_others() {
    let mut swarm = leech();
    seed(&mut swarm, FAST, Some(MAX_BLOCK_LEN), 200);
    requests(&mut swarm, FAST);
    let refused = Message::Reject(block(0, 8, MAX_BLOCK_LEN));
    say(&mut swarm, FAST, &[refused]).unwrap();
    assert_eq!(swarm.peers(start())[0].requests, 21);
    seed(&mut swarm, OTHER, None, 200);
    let again: Vec<Block> = (8..16).map(|n| block(0, n, BLOCK_LEN)).collect();
    assert_eq!(requests(&mut swarm, OTHER), again);
}
