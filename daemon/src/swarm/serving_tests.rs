//! What a swarm gives to its peers.

use bytes::Bytes;
use p2p_wire::peer::{ExtensionHandshake, Message, MetadataMessage};
use p2p_wire::{BLOCK_LEN, Block};

use super::Action;
use super::sim::start;

use super::hand::*;

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
