//! Pieces that nobody may help with do not stay where nothing comes of them.
use p2p_wire::peer::Message;
use p2p_wire::{Bitfield, Block, Layout, PeerId};

use super::sim::start;
use super::{Action, DropReason, NewPeer, PeerKey, Swarm, Verified};

use super::hand::*;

const THIRD: PeerKey = PeerKey(3);

/// Holds all but the last pieces.
fn lacking(pieces: &[u32]) -> Swarm {
    let mut have = Bitfield::full(PIECES);
    for piece in pieces {
        have.clear(*piece);
    }
    swarm(have, options())
}

fn verified(swarm: &mut Swarm, piece: u32, outcome: Verified, secs: u64) {
    let layout = Layout::new(655_360, 65_536).unwrap();
    swarm.handle_verified(layout.piece(piece).unwrap(), outcome, after(secs));
}

/// The blocks that each of the two was asked for.
fn asked(swarm: &mut Swarm, of: [PeerKey; 2]) -> [Vec<Block>; 2] {
    let actions = actions(swarm);
    of.map(|peer| {
        let request = |action: &Action| match action {
            Action::Send(key, Message::Request(block)) if *key == peer => Some(*block),
            _ => None,
        };
        actions.iter().filter_map(request).collect()
    })
}

/// FAST and THIRD have what is missing, and FAST owns piece 8; THIRD gives the blocks of it that FAST gave up.
fn share_a_piece(swarm: &mut Swarm, pieces: &[u32]) {
    for key in [FAST, THIRD] {
        connect(swarm, &[key]);
        let have: Vec<Message> = pieces.iter().map(|piece| Message::Have(*piece)).collect();
        say(swarm, key, &have).unwrap();
    }
    say(swarm, FAST, &[Message::Unchoke]).unwrap();
    actions(swarm);
    for number in [0, 1] {
        swarm.handle_block(FAST, block(8, number), start()).unwrap();
    }
    for piece in pieces.iter().skip(1) {
        swarm.handle_block(FAST, block(*piece, 0), start()).unwrap();
    }
    say(swarm, FAST, &[Message::Choke]).unwrap();
    for piece in pieces {
        let rejects = (0..4).map(|n| Message::Reject(block(*piece, n)));
        say(swarm, FAST, &rejects.collect::<Vec<_>>()).unwrap();
    }
    say(swarm, THIRD, &[Message::Unchoke]).unwrap();
    actions(swarm);
    for number in [2, 3] {
        swarm
            .handle_block(THIRD, block(8, number), start())
            .unwrap();
    }
}

#[test]
fn a_piece_that_only_peers_on_parole_could_finish_goes_to_one_of_them_alone() {
    let mut swarm = lacking(&[8, 9]);
    share_a_piece(&mut swarm, &[8, 9]);
    // The liar is gone; the other is on parole for two pieces, and one of the two is in pieces of both.
    verified(&mut swarm, 8, Verified::Bad, 0);
    actions(&mut swarm);
    swarm.handle_disconnected(FAST, start());
    for b in [block(9, 1), block(9, 2)] {
        swarm.handle_block(THIRD, b, start()).unwrap();
    }
    let rejected = [Message::Choke, Message::Reject(block(9, 3))];
    say(&mut swarm, THIRD, &rejected).unwrap();
    say(&mut swarm, THIRD, &[Message::Unchoke]).unwrap();
    let [of_8, _] = asked(&mut swarm, [THIRD, FAST]);
    for b in of_8.iter().filter(|b| b.piece == 8) {
        swarm.handle_block(THIRD, *b, after(1)).unwrap();
    }
    verified(&mut swarm, 8, Verified::Good, 1);
    let mut seen = Vec::new();
    for secs in 1..4 {
        swarm.handle_timeout(after(secs));
        seen.extend(asked(&mut swarm, [THIRD, FAST])[0].iter().copied());
    }
    let whole: Vec<Block> = (0..4).map(|number| block(9, number)).collect();
    assert_eq!(seen, whole);
}

#[test]
fn a_peer_that_trickles_does_not_keep_a_piece_that_failed() {
    let mut swarm = lacking(&[8]);
    share_a_piece(&mut swarm, &[8]);
    verified(&mut swarm, 8, Verified::Bad, 0);
    say(&mut swarm, FAST, &[Message::Unchoke]).unwrap();
    let [of_fast, of_third] = asked(&mut swarm, [FAST, THIRD]);
    let (owner, other) = match of_fast.is_empty() {
        true => (THIRD, FAST),
        false => (FAST, THIRD),
    };
    assert_eq!(of_fast.len() + of_third.len(), 4, "from one peer alone");
    swarm.handle_block(owner, block(8, 0), after(3)).unwrap();
    let mut seen = Vec::new();
    for secs in 1..=6 {
        swarm.handle_timeout(after(secs));
        seen.extend(asked(&mut swarm, [other, owner])[0].iter().copied());
    }
    let whole: Vec<Block> = (0..4).map(|number| block(8, number)).collect();
    assert_eq!(seen, whole, "long before the owner is given up");
}

#[test]
fn the_end_is_near_when_nobody_who_answers_could_begin_anything() {
    let mut swarm = lacking(&[2, 3]);
    connect(&mut swarm, &[FAST, THIRD, PLAIN]);
    say(&mut swarm, PLAIN, &[Message::Have(3)]).unwrap();
    say(&mut swarm, FAST, &[Message::Have(2), Message::Unchoke]).unwrap();
    actions(&mut swarm);
    say(&mut swarm, THIRD, &[Message::Have(2), Message::Unchoke]).unwrap();
    assert_eq!(requests(&mut swarm, THIRD), []);
    swarm.handle_timeout(after(3));
    assert_eq!(requests(&mut swarm, THIRD).len(), 4);
}

#[test]
fn who_claims_the_id_of_another_takes_neither_its_place_nor_its_name() {
    let mut swarm = leech();
    let id = PeerId([77; 20]);
    let real = NewPeer {
        peer_id: id,
        ..peer(FAST)
    };
    let impostor = NewPeer {
        peer_id: id,
        outgoing: false,
        ..peer(THIRD)
    };
    swarm.handle_connected(THIRD, impostor, start());
    swarm.handle_connected(FAST, real, start());
    assert_eq!(swarm.stats(start()).peers, 2);
    swarm.handle_disconnected(FAST, start());
    say(&mut swarm, THIRD, &[Message::Have(2), Message::Unchoke]).unwrap();
    for b in requests(&mut swarm, THIRD) {
        swarm.handle_block(THIRD, b, start()).unwrap();
    }
    actions(&mut swarm);
    verified(&mut swarm, 2, Verified::Bad, 0);
    let liar = Action::Drop(THIRD, DropReason::BadData);
    assert!(actions(&mut swarm).contains(&liar));
    swarm.handle_connected(PeerKey(4), real, start());
    assert_eq!(swarm.stats(start()).peers, 1);
    // The liar itself does not come back, from whatever port.
    let mut again = impostor;
    again.addr.set_port(7000);
    swarm.handle_connected(PeerKey(5), again, start());
    assert_eq!(swarm.stats(start()).peers, 1);
}
