//! Who is connected, and who has to go.
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use p2p_wire::peer::Message;
use p2p_wire::{Bitfield, Block, MAX_BLOCK_LEN, PeerId};

use super::sim::start;
use super::{Action, BlockFate, DropReason, NewPeer, Options, PeerKey};

use super::hand::*;

#[test]
fn keeps_alive_and_drops_the_silent() {
    let mut swarm = leech();
    connect(&mut swarm, &[FAST]);
    actions(&mut swarm);
    let mut seen = Vec::new();
    for _ in 0..10 {
        let Some(at) = swarm.poll_timeout() else {
            break;
        };
        swarm.handle_timeout(at);
        for action in actions(&mut swarm) {
            seen.push((at.duration_since(start()).as_secs(), action));
        }
    }
    assert_eq!(
        seen[..2],
        [
            (120, Action::Send(FAST, Message::KeepAlive)),
            (180, Action::Drop(FAST, DropReason::TimedOut)),
        ]
    );
}

#[test]
fn a_peer_without_progress_for_a_minute_goes() {
    let mut swarm = leech();
    connect(&mut swarm, &[FAST]);
    say(&mut swarm, FAST, &[Message::Have(2), Message::Unchoke]).unwrap();
    actions(&mut swarm);
    for secs in 1..=60 {
        swarm
            .handle_message(FAST, Message::KeepAlive, after(secs))
            .unwrap();
        swarm.handle_timeout(after(secs));
    }
    assert!(actions(&mut swarm).contains(&Action::Drop(FAST, DropReason::TimedOut)));
}

#[test]
fn a_peer_that_we_do_not_read_is_not_judged() {
    let mut swarm = leech();
    let other = PeerKey(3);
    connect(&mut swarm, &[FAST, other]);
    say(&mut swarm, FAST, &[Message::Have(2), Message::Unchoke]).unwrap();
    assert_eq!(requests(&mut swarm, FAST).len(), 4);
    say(&mut swarm, other, &[Message::Have(2), Message::Unchoke]).unwrap();
    assert_eq!(requests(&mut swarm, other), []);
    for secs in 1..=200 {
        for key in [FAST, other] {
            swarm.handle_held_back(key, Duration::from_secs(1), after(secs));
        }
        swarm.handle_timeout(after(secs));
        let said = actions(&mut swarm);
        let keep_alives = |a: &Action| matches!(a, Action::Send(_, Message::KeepAlive));
        assert!(said.iter().all(keep_alives), "{said:?}");
    }
    let fate = swarm.handle_block(FAST, block(2, 0), after(200));
    assert_eq!(fate, Ok(BlockFate::Keep));
    assert_eq!(swarm.stats(after(200)).wasted, 0);
    // It is read again, and gives nothing.
    swarm.handle_timeout(after(220));
    assert_eq!(requests(&mut swarm, other).len(), 3);
}

#[test]
fn places_are_bounded_and_the_useless_make_room() {
    let mut swarm = leech();
    let keys: Vec<PeerKey> = (1..=11).map(PeerKey).collect();
    connect(&mut swarm, &keys);
    assert!(actions(&mut swarm).contains(&Action::Drop(PeerKey(11), DropReason::NoRoom)));
    swarm.handle_connected(PeerKey(12), peer(PeerKey(12)), after(61));
    assert!(actions(&mut swarm).contains(&Action::Drop(PeerKey(1), DropReason::NoRoom)));
    assert_eq!(swarm.stats(after(61)).peers, 10);
}

#[test]
fn fewer_places_take_effect_at_once_for_the_useless_and_the_youngest_first() {
    let mut swarm = leech();
    let keys: Vec<PeerKey> = (3..7).map(PeerKey).collect();
    for (secs, key) in (0..).zip(&keys) {
        swarm.handle_connected(*key, peer(*key), after(secs));
    }
    for key in &keys[1..] {
        swarm
            .handle_message(*key, Message::HaveAll, after(5))
            .unwrap();
    }
    actions(&mut swarm);
    swarm.set_max_peers(2, after(6));
    let dropped: Vec<PeerKey> = actions(&mut swarm)
        .into_iter()
        .filter_map(|action| match action {
            Action::Drop(key, DropReason::NoRoom) => Some(key),
            _ => None,
        })
        .collect();
    assert_eq!(
        dropped,
        [keys[0], keys[3]],
        "the useless, then the youngest"
    );
    swarm.add_candidates(&[SocketAddr::from(([10, 0, 0, 9], 1))], after(7));
    assert!(
        !actions(&mut swarm)
            .iter()
            .any(|a| matches!(a, Action::Dial(_)))
    );
    swarm.set_max_peers(3, after(8));
    assert!(
        actions(&mut swarm)
            .iter()
            .any(|a| matches!(a, Action::Dial(_)))
    );
}

#[test]
fn a_connection_to_oneself_is_closed_and_never_made_again() {
    let mut swarm = leech();
    let us = NewPeer {
        peer_id: options().our_id,
        ..peer(FAST)
    };
    swarm.add_candidates(&[us.addr], start());
    assert_eq!(actions(&mut swarm), [Action::Dial(us.addr)]);
    swarm.handle_connected(FAST, us, start());
    assert_eq!(
        actions(&mut swarm),
        [Action::Drop(FAST, DropReason::Duplicate)]
    );
    swarm.add_candidates(&[us.addr], after(10_000));
    swarm.handle_timeout(after(10_000));
    assert_eq!(actions(&mut swarm), []);
}

#[test]
fn of_two_connections_at_once_the_one_dialled_by_the_smaller_id_stays() {
    // Our id is 100.
    for (theirs, kept_outgoing) in [(50, false), (150, true)] {
        for first_outgoing in [true, false] {
            let mut swarm = leech();
            let of = |outgoing| NewPeer {
                peer_id: PeerId([theirs; 20]),
                outgoing,
                ..peer(FAST)
            };
            swarm.handle_connected(PeerKey(1), of(first_outgoing), start());
            swarm.handle_connected(PeerKey(2), of(!first_outgoing), after(1));
            let [only] = &swarm.peers(after(1))[..] else {
                panic!("not one connection");
            };
            assert_eq!(only.outgoing, kept_outgoing);
            // Much later a second one is just one too many.
            swarm.handle_connected(PeerKey(3), of(!kept_outgoing), after(60));
            assert_eq!(swarm.peers(after(60))[0].outgoing, kept_outgoing);
        }
    }
}

#[test]
fn only_chosen_peers_are_dialled_and_taken() {
    let mut swarm = swarm(
        Bitfield::new(PIECES),
        Options {
            only_peers: vec![peer(FAST).addr],
            ..options()
        },
    );
    swarm.add_candidates(&[peer(PLAIN).addr], start());
    assert_eq!(actions(&mut swarm), [Action::Dial(peer(FAST).addr)]);
    connect(&mut swarm, &[FAST, PLAIN]);
    assert!(actions(&mut swarm).contains(&Action::Drop(PLAIN, DropReason::NoRoom)));
    assert_eq!(swarm.stats(start()).peers, 1);
}

#[test]
fn peers_that_flood_with_blocks_nobody_asked_for_go() {
    let mut swarm = leech();
    connect(&mut swarm, &[FAST]);
    let mut fates = (0..200).map(|_| swarm.handle_block(FAST, block(1, 1), start()));
    assert_eq!(fates.next(), Some(Ok(BlockFate::Waste)));
    assert!(fates.any(|fate| fate.is_err()));
}

#[test]
fn breaking_the_protocol_ends_the_connection() {
    let spare_bits = Message::Bitfield(Bytes::from_static(&[0, 0xff]));
    let short = Message::Bitfield(Bytes::from_static(&[0]));
    let beyond = Block {
        piece: 9,
        begin: 65_536,
        len: 1,
    };
    let huge = Block {
        len: MAX_BLOCK_LEN + 1,
        ..block(0, 0)
    };
    for (key, messages) in [
        (FAST, vec![Message::Have(PIECES)]),
        (FAST, vec![spare_bits]),
        (FAST, vec![short]),
        (FAST, vec![Message::Request(block(PIECES, 0))]),
        (FAST, vec![Message::Request(beyond)]),
        (FAST, vec![Message::Request(huge)]),
        (FAST, vec![Message::Piece(block(0, 0))]),
        (PLAIN, vec![Message::HaveAll]),
        (PLAIN, vec![Message::HaveNone]),
        (PLAIN, vec![Message::Reject(block(0, 0))]),
        (PLAIN, vec![Message::Suggest(0)]),
        (PLAIN, vec![Message::AllowedFast(0)]),
    ] {
        let mut swarm = leech();
        connect(&mut swarm, &[key]);
        assert!(say(&mut swarm, key, &messages).is_err(), "{messages:?}");
        swarm.handle_disconnected(key, start());
        swarm.add_candidates(&[peer(key).addr], start());
        assert!(!actions(&mut swarm).contains(&Action::Dial(peer(key).addr)));
    }
}
