//! Fetching metadata from honest peers, liars and the mute.
use p2p_wire::BLOCK_LEN;
use p2p_wire::metainfo::{Builder, Content};

use super::*;
use crate::swarm::sim::start;
use crate::swarm::{Options, Swarm};

/// An `info` dictionary of several parts.
fn info(name: &str) -> Info {
    let builder = Builder {
        name: name.to_owned(),
        content: Content::Single(4000 * 16_384),
        piece_len: 16_384,
        private: false,
        announce: Vec::new(),
        comment: None,
        created: None,
    };
    builder.build(&vec![[7; 20]; 4000]).unwrap().info
}

fn peer(n: u8) -> NewPeer {
    NewPeer {
        addr: SocketAddr::from(([10, 0, 0, n], 6881)),
        peer_id: PeerId([n; 20]),
        outgoing: true,
        fast: true,
        extended: true,
    }
}

fn options(info: &Info) -> MetadataOptions {
    MetadataOptions {
        info_hash: info.info_hash(),
        our_id: PeerId([100; 20]),
        port: 6881,
        only_peers: Vec::new(),
    }
}

fn fetch(info: &Info) -> MetadataFetch {
    MetadataFetch::new(options(info), start())
}

/// What a peer says that has the metadata.
fn offer(info: &Info) -> Message {
    let offer = ExtensionHandshake {
        ut_metadata: Some(9),
        metadata_size: Some(info.raw().len() as u32),
        ..ExtensionHandshake::default()
    };
    Message::Extended(0, offer.to_bytes())
}

/// The peers that were asked for parts since the last look.
fn asked(fetch: &mut MetadataFetch) -> BTreeSet<PeerKey> {
    let actions = std::iter::from_fn(|| fetch.poll_action());
    let asked = actions.filter_map(|action| match action {
        Action::Send(key, Message::Extended(9, _)) => Some(key),
        _ => None,
    });
    asked.collect()
}

/// A seed of `info` that the fetch knows as peer `n`.
fn seed(info: &Info) -> Swarm {
    let pieces = info.layout().pieces();
    let options = Options {
        info: info.raw().clone(),
        our_id: PeerId([99; 20]),
        port: 6881,
        wanted: p2p_wire::Bitfield::full(pieces),
        sequential: false,
        in_flight: 1 << 20,
        upload_slots: 4,
        max_peers: 10,
        only_peers: Vec::new(),
        seed: 1,
    };
    let have = p2p_wire::Bitfield::full(pieces);
    Swarm::new(*info.layout(), have, options, start())
}

/// Lets the fetch and the seeds talk until nobody has anything to say; gives what was found and who was dropped.
fn talk(
    fetch: &mut MetadataFetch,
    seeds: &mut [Swarm],
) -> (Option<Info>, Vec<(PeerKey, DropReason)>) {
    let (mut found, mut dropped) = (None, Vec::new());
    for (n, seed) in seeds.iter_mut().enumerate() {
        fetch.handle_connected(PeerKey(n as u64), peer(n as u8), start());
        seed.handle_connected(PeerKey(0), peer(50), start());
    }
    loop {
        let mut quiet = true;
        while let Some(action) = fetch.poll_action() {
            quiet = false;
            match action {
                Action::Send(key, message) => seeds[key.0 as usize]
                    .handle_message(PeerKey(0), message, start())
                    .unwrap(),
                Action::Drop(key, reason) => {
                    dropped.push((key, reason));
                    fetch.handle_disconnected(key, start());
                }
                other => panic!("{other:?}"),
            }
        }
        for (n, seed) in seeds.iter_mut().enumerate() {
            while let Some(action) = seed.poll_action() {
                quiet = false;
                if let Action::Send(_, message) = action {
                    let answer = fetch.handle_message(PeerKey(n as u64), message, start());
                    found = answer.unwrap().or(found);
                }
            }
        }
        if quiet {
            return (found, dropped);
        }
    }
}

#[test]
fn gets_the_metadata_of_several_parts_from_a_seed() {
    let info = info("disk.img");
    assert!(info.raw().len() > 4 * 16_384);
    let mut fetch = fetch(&info);
    let (found, dropped) = talk(&mut fetch, &mut [seed(&info)]);
    assert_eq!(found.unwrap().raw(), info.raw());
    assert_eq!(dropped, []);
}

#[test]
fn a_liar_is_dropped_and_the_metadata_comes_from_another() {
    let (right, wrong) = (info("disk.img"), info("evil.img"));
    let mut fetch = fetch(&right);
    let mut seeds = [
        seed(&wrong),
        seed(&wrong),
        seed(&wrong),
        seed(&wrong),
        seed(&right),
    ];
    let (found, dropped) = talk(&mut fetch, &mut seeds);
    assert_eq!(found.unwrap().info_hash(), right.info_hash());
    assert!(
        !dropped.is_empty()
            && dropped
                .iter()
                .all(|(key, reason)| { key.0 < 4 && *reason == DropReason::BadData })
    );
}

#[test]
fn what_peers_said_meanwhile_is_handed_over() {
    let info = info("disk.img");
    let mut fetch = fetch(&info);
    let t = start();
    fetch.add_candidates(&[peer(7).addr, peer(1).addr], t);
    fetch.handle_connected(PeerKey(1), peer(1), t);
    for message in [
        Message::HaveNone,
        Message::Have(3),
        Message::Have(3),
        Message::Unchoke,
    ] {
        assert_eq!(
            fetch
                .handle_message(PeerKey(1), message, t)
                .unwrap()
                .map(|_| ()),
            None
        );
    }
    let (peers, candidates) = fetch.into_peers();
    let [(key, _, messages)] = &peers[..] else {
        panic!("{peers:?}");
    };
    assert_eq!(*key, PeerKey(1));
    assert_eq!(
        messages,
        &[Message::HaveNone, Message::Have(3), Message::Unchoke]
    );
    assert_eq!(candidates, [peer(7).addr]);
}

#[test]
fn a_mute_peer_gives_way_to_another() {
    let info = info("disk.img");
    let mut fetch = fetch(&info);
    for n in 1..=4 {
        fetch.handle_connected(PeerKey(n), peer(n as u8), start());
        fetch
            .handle_message(PeerKey(n), offer(&info), start())
            .unwrap();
    }
    assert_eq!(asked(&mut fetch).len(), ATTEMPTS);
    let later = fetch.poll_timeout().unwrap();
    assert_eq!(later, start() + PATIENCE);
    fetch.handle_timeout(later);
    assert_eq!(asked(&mut fetch), [PeerKey(4)].into());
}

#[test]
fn hostile_offers_and_parts_lead_to_nothing() {
    let info = info("disk.img");
    let mut fetch = fetch(&info);
    fetch.handle_connected(PeerKey(1), peer(1), start());
    let part = |n, len| {
        let data = MetadataMessage::Data(n, u32::MAX, Bytes::from(vec![0; len]));
        Message::Extended(UT_METADATA, data.to_bytes())
    };
    for size in [0, u32::MAX, 20_000] {
        let offer = ExtensionHandshake {
            ut_metadata: Some(9),
            metadata_size: Some(size),
            ..ExtensionHandshake::default()
        };
        let mut messages = vec![Message::Extended(0, offer.to_bytes())];
        messages.extend([part(0, 10), part(u32::MAX, 10), part(1, 16_384), part(0, 0)]);
        messages.push(Message::Extended(
            UT_METADATA,
            Bytes::from_static(b"d8:msg_type"),
        ));
        messages.push(Message::Extended(0, Bytes::from_static(b"i")));
        for message in messages {
            let found = fetch.handle_message(PeerKey(1), message, start()).unwrap();
            assert!(found.is_none());
        }
    }
}

#[test]
fn a_second_bitfield_is_no_reason_to_drop_a_peer() {
    let info = info("disk.img");
    let mut fetch = fetch(&info);
    fetch.handle_connected(PeerKey(1), peer(1), start());
    for byte in [0x80, 0x40] {
        let bits = Message::Bitfield(vec![byte; 500].into());
        assert!(fetch.handle_message(PeerKey(1), bits, start()).is_ok());
    }
    let (peers, _) = fetch.into_peers();
    let expected = Message::Bitfield(vec![0xc0; 500].into());
    assert_eq!(peers[0].2, [expected]);
}

#[test]
fn only_chosen_peers_are_asked() {
    let info = info("disk.img");
    let chosen = MetadataOptions {
        only_peers: vec![peer(1).addr],
        ..options(&info)
    };
    let mut fetch = MetadataFetch::new(chosen, start());
    fetch.add_candidates(&[peer(2).addr], start());
    assert_eq!(fetch.poll_action(), Some(Action::Dial(peer(1).addr)));
    assert_eq!(fetch.poll_action(), None);
    fetch.handle_connected(PeerKey(2), peer(2), start());
    let refused = Action::Drop(PeerKey(2), DropReason::NoRoom);
    assert_eq!(fetch.poll_action(), Some(refused));
    fetch.handle_connected(PeerKey(1), peer(1), start());
    fetch
        .handle_message(PeerKey(1), offer(&info), start())
        .unwrap();
    assert_eq!(asked(&mut fetch), [PeerKey(1)].into());
}

#[test]
fn trickling_peers_give_way_and_the_fastest_stays() {
    let info = info("disk.img");
    let mut fetch = fetch(&info);
    let at = |secs| start() + Duration::from_secs(secs);
    let part = |n: u32| {
        let data = vec![0; BLOCK_LEN as usize].into();
        let data = MetadataMessage::Data(n, info.raw().len() as u32, data);
        Message::Extended(UT_METADATA, data.to_bytes())
    };
    for n in 1..=4 {
        fetch.handle_connected(PeerKey(n), peer(n as u8), start());
        fetch
            .handle_message(PeerKey(n), offer(&info), start())
            .unwrap();
    }
    assert_eq!(asked(&mut fetch), [1, 2, 3].map(PeerKey).into());
    for n in 1..=3 {
        // Within its patience; the second is the fastest.
        for p in 0..=u32::from(n == 2) {
            fetch.handle_message(PeerKey(n), part(p), at(10)).unwrap();
        }
    }
    asked(&mut fetch);
    assert_eq!(fetch.poll_timeout(), Some(at(15)));
    fetch.handle_timeout(at(15));
    assert_eq!(asked(&mut fetch), [PeerKey(4)].into());
}

#[test]
fn peers_without_the_metadata_make_room_for_others() {
    let info = info("disk.img");
    let mut fetch = fetch(&info);
    for n in 1..=MAX_PEERS as u64 {
        fetch.handle_connected(PeerKey(n), peer(n as u8), start());
    }
    fetch.add_candidates(&[peer(99).addr], start());
    fetch.handle_connected(PeerKey(70), peer(70), start());
    let dropped = |fetch: &mut MetadataFetch| -> Vec<Action> {
        let actions = std::iter::from_fn(|| fetch.poll_action());
        let is_send = |action: &Action| matches!(action, Action::Send(..));
        actions.filter(|action| !is_send(action)).collect()
    };
    let refused = Action::Drop(PeerKey(70), DropReason::NoRoom);
    assert_eq!(dropped(&mut fetch), [refused]);
    let later = fetch.poll_timeout().unwrap();
    assert_eq!(later, start() + PATIENCE);
    fetch.handle_timeout(later);
    let evicted = Action::Drop(PeerKey(1), DropReason::NoRoom);
    assert_eq!(dropped(&mut fetch), [evicted, Action::Dial(peer(99).addr)]);
    fetch.handle_connected(PeerKey(99), peer(99), later);
    fetch.handle_connected(PeerKey(71), peer(71), later);
    let evicted = Action::Drop(PeerKey(2), DropReason::NoRoom);
    assert_eq!(dropped(&mut fetch), [evicted]);
}

#[test]
fn a_connection_to_oneself_is_closed_and_of_two_at_once_one_stays() {
    let info = info("disk.img");
    let mut fetch = fetch(&info);
    let us = NewPeer {
        peer_id: options(&info).our_id,
        ..peer(1)
    };
    fetch.handle_connected(PeerKey(1), us, start());
    let duplicate = |key| Action::Drop(PeerKey(key), DropReason::Duplicate);
    assert_eq!(fetch.poll_action(), Some(duplicate(1)));
    // The smaller id dialled the second connection: both sides keep that one.
    fetch.handle_connected(PeerKey(2), peer(2), start());
    let theirs = NewPeer {
        outgoing: false,
        ..peer(2)
    };
    fetch.handle_connected(PeerKey(3), theirs, start());
    let actions: Vec<Action> = std::iter::from_fn(|| fetch.poll_action()).collect();
    assert!(actions.contains(&duplicate(2)), "{actions:?}");
    assert!(!actions.contains(&duplicate(3)), "{actions:?}");
}
