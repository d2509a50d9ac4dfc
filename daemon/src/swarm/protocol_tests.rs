//! One swarm and hand-made peers: what it says to them, and what it does not let them do.
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use p2p_wire::peer::{ExtensionHandshake, Message, MetadataMessage};
use p2p_wire::{BLOCK_LEN, Bitfield, Block, Layout, PeerId};

use super::sim::start;
use super::{Action, BlockFate, DropReason, NewPeer, Options, PeerKey, Swarm, Verified, Violation};

const PIECES: u32 = 10;
const FAST: PeerKey = PeerKey(1);
const PLAIN: PeerKey = PeerKey(2);

fn options() -> Options {
    Options {
        info: Bytes::from(vec![7; 20_000]),
        our_id: PeerId([100; 20]),
        port: 6881,
        wanted: Bitfield::full(PIECES),
        sequential: true,
        in_flight: 16 << 20,
        upload_slots: 4,
        max_peers: 10,
        only_peers: Vec::new(),
        seed: 1,
    }
}

fn peer(key: PeerKey) -> NewPeer {
    NewPeer {
        addr: SocketAddr::from(([10, 0, 0, key.0 as u8], 6881)),
        peer_id: PeerId([key.0 as u8; 20]),
        outgoing: true,
        fast: key != PLAIN,
        extended: key != PLAIN,
    }
}

/// Ten pieces of four blocks; `have` held from the start.
fn swarm(have: Bitfield, options: Options) -> Swarm {
    let layout = Layout::new(u64::from(PIECES) * 65_536, 65_536).unwrap();
    Swarm::new(layout, have, options, start())
}

fn leech() -> Swarm {
    swarm(Bitfield::new(PIECES), options())
}

fn seed() -> Swarm {
    swarm(Bitfield::full(PIECES), options())
}

fn connect(swarm: &mut Swarm, keys: &[PeerKey]) {
    for key in keys {
        swarm.handle_connected(*key, peer(*key), start());
    }
}

fn say(swarm: &mut Swarm, key: PeerKey, messages: &[Message]) -> Result<(), Violation> {
    for message in messages {
        swarm.handle_message(key, message.clone(), start())?;
    }
    Ok(())
}

fn actions(swarm: &mut Swarm) -> Vec<Action> {
    let actions = std::iter::from_fn(|| swarm.poll_action()).collect();
    swarm.check_invariants();
    actions
}

/// What was sent to `key` since the last look; extension messages left out.
fn sent(swarm: &mut Swarm, to: PeerKey) -> Vec<Message> {
    actions(swarm)
        .into_iter()
        .filter_map(|action| match action {
            Action::Send(_, Message::Extended(..)) => None,
            Action::Send(key, message) if key == to => Some(message),
            _ => None,
        })
        .collect()
}

fn requests(swarm: &mut Swarm, to: PeerKey) -> Vec<Block> {
    let request = |message| match message {
        Message::Request(block) => Some(block),
        _ => None,
    };
    sent(swarm, to).into_iter().filter_map(request).collect()
}

fn block(piece: u32, number: u32) -> Block {
    Block {
        piece,
        begin: number * BLOCK_LEN,
        len: BLOCK_LEN,
    }
}

fn after(secs: u64) -> Instant {
    start() + Duration::from_secs(secs)
}

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
fn breaking_the_protocol_ends_the_connection() {
    let spare_bits = Message::Bitfield(Bytes::from_static(&[0, 0xff]));
    let short = Message::Bitfield(Bytes::from_static(&[0]));
    let beyond = Block {
        piece: 9,
        begin: 65_536,
        len: 1,
    };
    let huge = Block {
        len: 8 * BLOCK_LEN + 1,
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
fn serves_exactly_what_is_asked_while_unchoked() {
    let mut swarm = seed();
    connect(&mut swarm, &[FAST]);
    let large = Block {
        len: 2 * BLOCK_LEN,
        ..block(4, 1)
    };
    say(&mut swarm, FAST, &[Message::Request(large)]).unwrap();
    assert!(
        sent(&mut swarm, FAST).contains(&Message::Reject(large)),
        "choked"
    );
    say(
        &mut swarm,
        FAST,
        &[Message::Interested, Message::Request(large)],
    )
    .unwrap();
    let done = actions(&mut swarm);
    assert_eq!(
        done,
        [
            Action::Send(FAST, Message::Unchoke),
            Action::Upload(FAST, large)
        ]
    );
    swarm.handle_uploaded(FAST, large, start());
    assert_eq!(swarm.stats(start()).uploaded, u64::from(large.len));
    say(&mut swarm, FAST, &[Message::Cancel(large)]).unwrap();
    assert_eq!(actions(&mut swarm), []);
}

#[test]
fn requests_wait_in_a_bounded_queue_and_can_be_taken_back() {
    let all: Vec<Block> = (0..2500)
        .map(|n| Block {
            piece: n / 250,
            begin: n % 250 * 240,
            len: 16_000.min(65_536 - n % 250 * 240),
        })
        .collect();
    let flood: Vec<Message> = all.iter().map(|b| Message::Request(*b)).collect();
    let mut swarm = seed();
    connect(&mut swarm, &[FAST]);
    say(&mut swarm, FAST, &[Message::Interested]).unwrap();
    say(&mut swarm, FAST, &flood).unwrap();
    let done = actions(&mut swarm);
    let count = |f: fn(&Action) -> bool| done.iter().filter(|a| f(a)).count();
    assert_eq!(
        count(|a| matches!(a, Action::Send(_, Message::Reject(_)))),
        500
    );
    let handed_out = count(|a| matches!(a, Action::Upload(..)));
    assert!(handed_out < 40, "{handed_out}");
    say(
        &mut swarm,
        FAST,
        &[Message::Cancel(all[499]), Message::Cancel(all[0])],
    )
    .unwrap();
    assert_eq!(
        actions(&mut swarm)[..3],
        [
            Action::Send(FAST, Message::Reject(all[499])),
            Action::CancelUpload(FAST, all[0]),
            Action::Send(FAST, Message::Reject(all[0])),
        ]
    );
    let mut swarm = seed();
    connect(&mut swarm, &[PLAIN]);
    say(&mut swarm, PLAIN, &[Message::Interested]).unwrap();
    assert!(say(&mut swarm, PLAIN, &flood).is_err());
}

#[test]
fn a_piece_that_cannot_be_read_is_missing_again() {
    let mut swarm = seed();
    connect(&mut swarm, &[FAST, PLAIN]);
    say(
        &mut swarm,
        FAST,
        &[Message::Interested, Message::Request(block(4, 1))],
    )
    .unwrap();
    say(&mut swarm, PLAIN, &[Message::Have(4), Message::Unchoke]).unwrap();
    actions(&mut swarm);
    swarm.handle_read_failed(FAST, block(4, 1), start());
    assert!(!swarm.have().get(4) && !swarm.is_complete());
    let done = actions(&mut swarm);
    assert!(done.contains(&Action::Send(FAST, Message::Reject(block(4, 1)))));
    assert!(done.contains(&Action::Send(PLAIN, Message::Request(block(4, 0)))));
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
fn gives_metadata_but_not_without_end() {
    let mut swarm = leech();
    connect(&mut swarm, &[FAST]);
    let hello = ExtensionHandshake {
        ut_metadata: Some(9),
        ..ExtensionHandshake::default()
    };
    actions(&mut swarm);
    say(&mut swarm, FAST, &[Message::Extended(0, hello.to_bytes())]).unwrap();
    let mut ask = |part| {
        let request = MetadataMessage::Request(part).to_bytes();
        say(&mut swarm, FAST, &[Message::Extended(1, request)]).unwrap();
        match &actions(&mut swarm)[..] {
            [Action::Send(_, Message::Extended(9, payload))] => {
                MetadataMessage::from_bytes(payload.clone())
                    .unwrap()
                    .unwrap()
            }
            other => panic!("{other:?}"),
        }
    };
    let whole = Bytes::from(vec![7; 20_000]);
    assert_eq!(
        ask(0),
        MetadataMessage::Data(0, 20_000, whole.slice(..16_384))
    );
    assert_eq!(
        ask(1),
        MetadataMessage::Data(1, 20_000, whole.slice(16_384..))
    );
    assert_eq!(ask(2), MetadataMessage::Reject(2));
    assert_eq!(ask(u32::MAX), MetadataMessage::Reject(u32::MAX));
    assert!((0..10).any(|_| ask(0) == MetadataMessage::Reject(0)));
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
    assert!(done.contains(&Action::Send(PLAIN, Message::Request(block(5, 0)))));

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
