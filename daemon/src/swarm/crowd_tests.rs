//! Peers that want nothing good, and what they can take from us.
use std::net::SocketAddr;

use p2p_wire::peer::{ExtensionHandshake, Message};
use p2p_wire::{Bitfield, Block, PeerId};

use super::sim::start;
use super::{Action, BlockFate, NewPeer, Options, PeerKey, Swarm, Verified, Violation};

use super::hand::*;

/// The nth of a crowd that connects to us.
fn one_of_many(n: u64) -> NewPeer {
    let mut id = [9; 20];
    id[..8].copy_from_slice(&n.to_be_bytes());
    NewPeer {
        addr: SocketAddr::from(([10, 1, (n >> 8) as u8, n as u8], 40_000)),
        peer_id: PeerId(id),
        outgoing: false,
        ..peer(FAST)
    }
}

/// `count` of a crowd connect, each of which wants what we have and says that it has everything.
fn crowd(swarm: &mut Swarm, count: u64) {
    for n in 0..count {
        let key = PeerKey(1_000 + n);
        swarm.handle_connected(key, one_of_many(n), start());
        say(swarm, key, &[Message::HaveAll, Message::Interested]).unwrap();
        actions(swarm);
    }
}

#[test]
fn a_crowd_that_gives_and_takes_nothing_keeps_nobody_out() {
    let places = Options {
        max_peers: 16,
        ..options()
    };
    let mut swarm = swarm(Bitfield::new(PIECES), places);
    connect(&mut swarm, &[FAST]);
    say(&mut swarm, FAST, &[Message::HaveAll]).unwrap();
    crowd(&mut swarm, 200);
    let honest = PeerKey(5_000);
    swarm.handle_connected(honest, one_of_many(5_000), start());
    say(&mut swarm, honest, &[Message::Have(3), Message::Unchoke]).unwrap();
    let asked = requests(&mut swarm, honest);
    assert_eq!(asked.len(), 4, "it was let in");
    swarm.handle_block(honest, asked[0], start()).unwrap();
    for n in 6_000..6_200 {
        let key = PeerKey(n);
        swarm.handle_connected(key, one_of_many(n), start());
        actions(&mut swarm);
    }
    assert!(swarm.peers.contains_key(&honest), "it gave a block");
    assert!(swarm.peers.contains_key(&FAST), "whom we dialled stays");
    assert!(
        swarm.stats(start()).peers < 16,
        "a place is left to dial from"
    );
    let known = SocketAddr::from(([10, 0, 0, 77], 1));
    swarm.add_candidates(&[known], start());
    assert!(actions(&mut swarm).contains(&Action::Dial(known)));
}

#[test]
fn a_newcomer_has_one_piece_in_hand_until_it_is_good_and_then_more_and_more() {
    let mut swarm = leech();
    swarm.handle_connected(FAST, peer(FAST), start());
    say(&mut swarm, FAST, &[Message::HaveAll, Message::Unchoke]).unwrap();
    let mut rounds = Vec::new();
    loop {
        let asked = requests(&mut swarm, FAST);
        if asked.is_empty() {
            break;
        }
        rounds.push(asked.len() / 4);
        for block in asked {
            swarm.handle_block(FAST, block, start()).unwrap();
        }
        for action in actions(&mut swarm) {
            if let Action::Verify(piece) = action {
                swarm.handle_verified(piece, Verified::Good, start());
            }
        }
    }
    assert_eq!(rounds, [1, 2, 4, 3]);
}

#[test]
fn who_breaks_the_protocol_is_not_dialled_where_it_listens_either() {
    type Crime = fn(&mut Swarm) -> Result<(), Violation>;
    let message: Crime = |swarm| say(swarm, FAST, &[Message::Have(PIECES)]);
    let block: Crime = |swarm| {
        let outside = Block {
            piece: PIECES,
            ..block(0, 0)
        };
        swarm.handle_block(FAST, outside, start()).map(drop)
    };
    for crime in [message, block] {
        let mut swarm = leech();
        let came = NewPeer {
            addr: SocketAddr::from(([10, 0, 0, 1], 40_000)),
            outgoing: false,
            ..peer(FAST)
        };
        swarm.handle_connected(FAST, came, start());
        let hello = ExtensionHandshake {
            port: Some(7_000),
            ..ExtensionHandshake::default()
        };
        say(&mut swarm, FAST, &[Message::Extended(0, hello.to_bytes())]).unwrap();
        crime(&mut swarm).unwrap_err();
        swarm.handle_disconnected(FAST, start());
        let listens = SocketAddr::from(([10, 0, 0, 1], 7_000));
        swarm.add_candidates(&[listens], after(10_000));
        swarm.handle_timeout(after(10_000));
        assert!(!actions(&mut swarm).contains(&Action::Dial(listens)));
    }
}

#[test]
fn what_is_remembered_of_peers_is_bounded() {
    let mut swarm = leech();
    connect(&mut swarm, &[FAST]);
    for n in 0..200_000u32 {
        let key = swarm.peers.get_mut(&FAST).unwrap();
        key.may_be_asked_again(Block {
            piece: n,
            ..block(0, 0)
        });
    }
    assert!(swarm.peers[&FAST].refused.len() <= 1_024);
    for n in 0..10_000u32 {
        let [_, a, b, c] = n.to_be_bytes();
        swarm.ban(SocketAddr::from(([20, a, b, c], 1)));
    }
    assert!(swarm.candidates.banned_len() <= 2_000);
}

#[test]
fn bitfields_that_say_nothing_new_cost_little_and_those_without_end_are_a_violation() {
    let mut swarm = leech();
    connect(&mut swarm, &[FAST]);
    let mut bits = Bitfield::new(PIECES);
    bits.set(3);
    let again = Message::Bitfield(bits.to_bytes());
    say(&mut swarm, FAST, std::slice::from_ref(&again)).unwrap();
    swarm
        .picker
        .pick(&bits, super::picker::Mode::Rarest, &mut swarm.rng);
    say(&mut swarm, FAST, &vec![again.clone(); 500]).unwrap();
    assert!(!swarm.picker.is_stale(), "the order is sorted again");
    assert!(say(&mut swarm, FAST, &vec![again; 1_000]).is_err());
}

#[test]
fn what_nobody_asked_for_never_reaches_the_disk() {
    let mut swarm = leech();
    connect(&mut swarm, &[FAST, PLAIN]);
    say(&mut swarm, FAST, &[Message::Have(2), Message::Unchoke]).unwrap();
    let asked = requests(&mut swarm, FAST);
    let waste = |swarm: &mut Swarm, key, block| swarm.handle_block(key, block, start());
    // Of another piece, from another peer, of another length, and once more.
    assert_eq!(waste(&mut swarm, FAST, block(3, 0)), Ok(BlockFate::Waste));
    assert_eq!(waste(&mut swarm, PLAIN, asked[0]), Ok(BlockFate::Waste));
    let shorter = Block {
        len: 100,
        ..asked[0]
    };
    assert_eq!(waste(&mut swarm, FAST, shorter), Ok(BlockFate::Waste));
    assert_eq!(waste(&mut swarm, FAST, asked[0]), Ok(BlockFate::Keep));
    assert_eq!(waste(&mut swarm, FAST, asked[0]), Ok(BlockFate::Waste));
    let mut dropped = Ok(BlockFate::Waste);
    for _ in 0..100 {
        dropped = waste(&mut swarm, FAST, block(3, 0));
        if dropped.is_err() {
            break;
        }
    }
    assert!(dropped.is_err(), "a peer may go on with it");
}

#[test]
fn a_bad_bitfield_or_a_have_out_of_range_ends_the_connection() {
    for crime in [
        Message::Have(PIECES),
        Message::Have(u32::MAX),
        Message::Bitfield(vec![0xff, 0xff].into()),
        Message::Bitfield(vec![0xff].into()),
        Message::Bitfield(vec![0, 0, 0].into()),
    ] {
        let mut swarm = leech();
        connect(&mut swarm, &[FAST]);
        assert!(
            say(&mut swarm, FAST, std::slice::from_ref(&crime)).is_err(),
            "{crime:?}"
        );
        assert_eq!(swarm.availability(), [0; PIECES as usize]);
    }
}
