//! One swarm and hand-made peers: what it says to them, and what it does not let them do.

use p2p_wire::peer::Message;
use p2p_wire::{Bitfield, Block, Layout};

use super::sim::start;
use super::{Action, BlockFate, DropReason, Options, Swarm, Verified};

use super::hand::*;

#[test]
fn says_what_it_has_in_words_the_peer_knows() {
    let mut partial = Bitfield::new(PIECES);
    partial.set(3);
    let bits = Message::Bitfield(partial.to_bytes());
    let full = Message::Bitfield(Bitfield::full(PIECES).to_bytes());
    for (have, to_fast, to_plain) in [
        (Bitfield::new(PIECES), vec![Message::HaveNone], vec![]),
        (partial.clone(), vec![bits.clone()], vec![bits]),
        (Bitfield::full(PIECES), vec![Message::HaveAll], vec![full]),
    ] {
        for (key, expected) in [(FAST, to_fast), (PLAIN, to_plain)] {
            let mut swarm = swarm(have.clone(), options());
            connect(&mut swarm, &[key]);
            assert_eq!(sent(&mut swarm, key), expected);
        }
    }
}

#[test]
fn is_interested_exactly_while_the_peer_has_what_it_lacks() {
    let mut swarm = leech();
    connect(&mut swarm, &[FAST]);
    say(&mut swarm, FAST, &[Message::Have(3), Message::Have(3)]).unwrap();
    assert_eq!(
        sent(&mut swarm, FAST),
        [Message::HaveNone, Message::Interested]
    );
    let mut wanted = Bitfield::full(PIECES);
    wanted.clear(3);
    swarm.set_wanted(wanted, start());
    assert_eq!(sent(&mut swarm, FAST), [Message::NotInterested]);
    say(&mut swarm, FAST, &[Message::Have(4)]).unwrap();
    assert_eq!(sent(&mut swarm, FAST), [Message::Interested]);
}

#[test]
fn does_not_request_pieces_nobody_has_nor_while_choked() {
    let mut swarm = leech();
    connect(&mut swarm, &[FAST]);
    say(&mut swarm, FAST, &[Message::Have(2)]).unwrap();
    assert_eq!(requests(&mut swarm, FAST), []);
    say(&mut swarm, FAST, &[Message::Unchoke]).unwrap();
    let asked: Vec<Block> = (0..4).map(|n| block(2, n)).collect();
    assert_eq!(requests(&mut swarm, FAST), asked);
}

#[test]
fn accepts_messages_in_any_order_and_what_is_known_twice() {
    let mut swarm = leech();
    connect(&mut swarm, &[PLAIN]);
    let mut bits = Bitfield::new(PIECES);
    bits.set(0);
    bits.set(5);
    let messages = [
        Message::Unchoke,
        Message::Interested,
        Message::Have(5),
        Message::Bitfield(bits.to_bytes()),
        Message::Have(0),
        Message::Cancel(block(0, 0)),
        Message::Unknown(200),
        Message::Port(1),
    ];
    assert_eq!(say(&mut swarm, PLAIN, &messages), Ok(()));
    assert_eq!(requests(&mut swarm, PLAIN).len(), 8);
    assert_eq!(swarm.availability(), [1, 0, 0, 0, 0, 1, 0, 0, 0, 0]);
}

#[test]
fn a_later_bitfield_adds_to_what_the_peer_has() {
    let mut swarm = leech();
    connect(&mut swarm, &[FAST]);
    let bits = |pieces: &[u32]| {
        let mut bits = Bitfield::new(PIECES);
        for piece in pieces {
            bits.set(*piece);
        }
        Message::Bitfield(bits.to_bytes())
    };
    let messages = [Message::HaveNone, bits(&[2]), bits(&[2, 7])];
    assert_eq!(say(&mut swarm, FAST, &messages), Ok(()));
    assert_eq!(swarm.availability(), [0, 0, 1, 0, 0, 0, 0, 1, 0, 0]);
    let messages = [Message::HaveAll, Message::HaveAll, bits(&[2])];
    assert_eq!(say(&mut swarm, FAST, &messages), Ok(()));
    assert_eq!(swarm.availability(), [1; PIECES as usize]);
    swarm.check_invariants();
}

#[test]
fn a_piece_is_asked_for_verified_and_announced() {
    let mut swarm = leech();
    connect(&mut swarm, &[FAST, PLAIN]);
    say(&mut swarm, FAST, &[Message::Have(2), Message::Unchoke]).unwrap();
    let asked = requests(&mut swarm, FAST);
    for b in &asked {
        assert_eq!(swarm.handle_block(FAST, *b, start()), Ok(BlockFate::Keep));
        assert_eq!(swarm.handle_block(FAST, *b, start()), Ok(BlockFate::Waste));
    }
    let piece = Layout::new(655_360, 65_536).unwrap().piece(2).unwrap();
    assert_eq!(actions(&mut swarm), [Action::Verify(piece)]);
    assert!(!swarm.have().get(2));
    swarm.handle_verified(piece, Verified::Good, start());
    assert!(swarm.have().get(2));
    assert_eq!(sent(&mut swarm, PLAIN), [Message::Have(2)]);
    swarm.handle_verified(piece, Verified::Bad, start());
    assert!(swarm.have().get(2), "answered once");
}

#[test]
fn the_last_piece_completes_and_seeds_part() {
    let mut have = Bitfield::full(PIECES);
    have.clear(7);
    let mut swarm = swarm(have, options());
    connect(&mut swarm, &[FAST, PLAIN]);
    say(&mut swarm, FAST, &[Message::HaveAll, Message::Unchoke]).unwrap();
    say(&mut swarm, PLAIN, &[Message::Have(1)]).unwrap();
    for b in requests(&mut swarm, FAST) {
        swarm.handle_block(FAST, b, start()).unwrap();
    }
    actions(&mut swarm);
    let piece = Layout::new(655_360, 65_536).unwrap().piece(7).unwrap();
    swarm.handle_verified(piece, Verified::Good, start());
    let done = actions(&mut swarm);
    assert!(done.contains(&Action::Complete));
    assert!(done.contains(&Action::Drop(FAST, DropReason::NotNeeded)));
    assert_eq!(swarm.stats(start()).peers, 1);
    assert!(swarm.is_complete());
}

#[test]
fn a_lost_piece_is_fetched_again_and_nobody_is_blamed() {
    let mut swarm = leech();
    connect(&mut swarm, &[FAST]);
    say(&mut swarm, FAST, &[Message::Have(2), Message::Unchoke]).unwrap();
    let asked = requests(&mut swarm, FAST);
    for b in &asked {
        swarm.handle_block(FAST, *b, start()).unwrap();
    }
    let piece = Layout::new(655_360, 65_536).unwrap().piece(2).unwrap();
    swarm.handle_verified(piece, Verified::Lost, start());
    assert_eq!(requests(&mut swarm, FAST), asked);
    assert_eq!(swarm.stats(start()).peers, 1);
}

#[test]
fn what_one_peer_rejects_or_drops_another_is_asked_for() {
    for drops in [
        |swarm: &mut Swarm| say(swarm, FAST, &[Message::Choke]).unwrap(),
        |swarm: &mut Swarm| swarm.handle_disconnected(FAST, start()),
        |swarm: &mut Swarm| {
            let rejects: Vec<Message> = (0..4).map(|n| Message::Reject(block(2, n))).collect();
            say(swarm, FAST, &rejects).unwrap();
        },
        |swarm: &mut Swarm| swarm.handle_timeout(after(15)),
    ] {
        let mut swarm = leech();
        connect(&mut swarm, &[FAST, PLAIN]);
        say(&mut swarm, FAST, &[Message::Have(2), Message::Unchoke]).unwrap();
        assert_eq!(requests(&mut swarm, FAST).len(), 4);
        say(&mut swarm, PLAIN, &[Message::Have(2), Message::Unchoke]).unwrap();
        assert_eq!(requests(&mut swarm, PLAIN), []);
        drops(&mut swarm);
        assert_eq!(requests(&mut swarm, PLAIN).len(), 4);
    }
}

#[test]
fn a_refused_block_is_asked_for_once_more() {
    let mut swarm = leech();
    connect(&mut swarm, &[FAST]);
    say(&mut swarm, FAST, &[Message::Have(2), Message::Unchoke]).unwrap();
    assert_eq!(requests(&mut swarm, FAST).len(), 4);
    let refusal = Message::Reject(block(2, 1));
    say(&mut swarm, FAST, std::slice::from_ref(&refusal)).unwrap();
    assert_eq!(requests(&mut swarm, FAST), []);
    swarm.handle_timeout(after(1));
    assert_eq!(requests(&mut swarm, FAST), [block(2, 1)]);
    say(&mut swarm, FAST, &[refusal]).unwrap();
    swarm.handle_timeout(after(2));
    assert_eq!(requests(&mut swarm, FAST), []);
}

#[test]
fn a_late_answer_is_taken_and_the_other_request_taken_back() {
    let mut swarm = leech();
    connect(&mut swarm, &[FAST, PLAIN]);
    say(&mut swarm, FAST, &[Message::Have(2), Message::Unchoke]).unwrap();
    requests(&mut swarm, FAST);
    say(&mut swarm, PLAIN, &[Message::Have(2), Message::Unchoke]).unwrap();
    swarm.handle_timeout(after(15));
    assert_eq!(requests(&mut swarm, PLAIN).len(), 4);
    let late = swarm.handle_block(FAST, block(2, 0), after(16));
    assert_eq!(late, Ok(BlockFate::Keep));
    assert_eq!(sent(&mut swarm, PLAIN), [Message::Cancel(block(2, 0))]);
}

#[test]
fn requests_stay_within_the_budget() {
    let mut swarm = swarm(
        Bitfield::new(PIECES),
        Options {
            in_flight: 2 * 65_536 + 1,
            ..options()
        },
    );
    connect(&mut swarm, &[FAST, PLAIN]);
    say(&mut swarm, FAST, &[Message::HaveAll, Message::Unchoke]).unwrap();
    let first = requests(&mut swarm, FAST);
    assert_eq!(first.len(), 8, "two pieces");
    let full = Message::Bitfield(Bitfield::full(PIECES).to_bytes());
    say(&mut swarm, PLAIN, &[full, Message::Unchoke]).unwrap();
    assert_eq!(requests(&mut swarm, PLAIN), []);
    for b in &first[..4] {
        swarm.handle_block(FAST, *b, start()).unwrap();
    }
    assert_eq!(requests(&mut swarm, PLAIN), [], "until it is verified");
    let piece = Layout::new(655_360, 65_536)
        .unwrap()
        .piece(first[0].piece)
        .unwrap();
    swarm.handle_verified(piece, Verified::Good, start());
    let both = actions(&mut swarm);
    let asked = both
        .iter()
        .filter(|a| matches!(a, Action::Send(_, Message::Request(_))));
    assert_eq!(asked.count(), 4);
}

#[test]
fn requests_go_out_in_batches() {
    let mut swarm = leech();
    connect(&mut swarm, &[FAST]);
    say(&mut swarm, FAST, &[Message::HaveAll, Message::Unchoke]).unwrap();
    let first = requests(&mut swarm, FAST);
    let mut batches = Vec::new();
    for b in &first[..12] {
        swarm.handle_block(FAST, *b, start()).unwrap();
        batches.push(requests(&mut swarm, FAST).len());
    }
    let sizes: Vec<usize> = batches.into_iter().filter(|n| *n > 0).collect();
    assert!(
        !sizes.is_empty() && sizes.iter().all(|n| *n >= 4),
        "{sizes:?}"
    );
}

#[test]
fn those_who_shared_a_bad_piece_share_none_until_they_gave_good_ones() {
    let mut swarm = leech();
    connect(&mut swarm, &[FAST, PLAIN]);
    say(&mut swarm, FAST, &[Message::Have(2), Message::Unchoke]).unwrap();
    actions(&mut swarm);
    say(&mut swarm, PLAIN, &[Message::Have(2), Message::Unchoke]).unwrap();
    for number in [0, 1] {
        swarm.handle_block(FAST, block(2, number), start()).unwrap();
    }
    say(&mut swarm, FAST, &[Message::Choke]).unwrap();
    for b in requests(&mut swarm, PLAIN) {
        swarm.handle_block(PLAIN, b, start()).unwrap();
    }
    actions(&mut swarm);
    let layout = Layout::new(655_360, 65_536).unwrap();
    swarm.handle_verified(layout.piece(2).unwrap(), Verified::Bad, start());
    let again = requests(&mut swarm, PLAIN);
    assert_eq!(again.len(), 4, "from one peer alone");
    assert_eq!(swarm.stats(start()).peers, 2, "nobody is accused yet");

    say(&mut swarm, FAST, &[Message::Have(5), Message::Unchoke]).unwrap();
    actions(&mut swarm);
    say(&mut swarm, PLAIN, &[Message::Have(5)]).unwrap();
    swarm.handle_block(FAST, block(5, 0), start()).unwrap();
    say(&mut swarm, FAST, &[Message::Choke]).unwrap();
    let done = actions(&mut swarm);
    assert!(done.contains(&Action::Discard(layout.piece(5).unwrap())));
    // The other one has its own piece to prove first.
    assert!(!done.contains(&Action::Send(PLAIN, Message::Request(block(5, 0)))));

    for b in again {
        swarm.handle_block(PLAIN, b, start()).unwrap();
    }
    actions(&mut swarm);
    swarm.handle_verified(layout.piece(2).unwrap(), Verified::Bad, start());
    assert!(actions(&mut swarm).contains(&Action::Drop(PLAIN, DropReason::BadData)));
}

#[test]
fn at_the_end_a_block_that_keeps_us_waiting_is_asked_from_another_and_taken_back() {
    let mut swarm = leech();
    let mut wanted = Bitfield::new(PIECES);
    wanted.set(2);
    swarm.set_wanted(wanted, start());
    connect(&mut swarm, &[FAST, PLAIN]);
    say(&mut swarm, FAST, &[Message::Have(2), Message::Unchoke]).unwrap();
    actions(&mut swarm);
    say(&mut swarm, PLAIN, &[Message::Have(2), Message::Unchoke]).unwrap();
    assert_eq!(requests(&mut swarm, PLAIN), [], "not at once");
    swarm.handle_timeout(after(3));
    assert_eq!(requests(&mut swarm, PLAIN).len(), 4);
    swarm.handle_block(PLAIN, block(2, 3), after(3)).unwrap();
    assert_eq!(sent(&mut swarm, FAST), [Message::Cancel(block(2, 3))]);
}
