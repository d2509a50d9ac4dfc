//! Fetching metadata from honest peers, liars and the mute.
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
    let mut fetch = MetadataFetch::new(info.info_hash(), 6881, 1);
    let (found, dropped) = talk(&mut fetch, &mut [seed(&info)]);
    assert_eq!(found.unwrap().raw(), info.raw());
    assert_eq!(dropped, []);
}

#[test]
fn a_liar_is_dropped_and_the_metadata_comes_from_another() {
    let (right, wrong) = (info("disk.img"), info("evil.img"));
    let mut fetch = MetadataFetch::new(right.info_hash(), 6881, 1);
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
    let mut fetch = MetadataFetch::new(info.info_hash(), 6881, 1);
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
    let mut fetch = MetadataFetch::new(info.info_hash(), 6881, 1);
    let offer = ExtensionHandshake {
        ut_metadata: Some(9),
        metadata_size: Some(info.raw().len() as u32),
        ..ExtensionHandshake::default()
    };
    for n in 1..=4 {
        fetch.handle_connected(PeerKey(n), peer(n as u8), start());
        let hello = Message::Extended(0, offer.to_bytes());
        fetch.handle_message(PeerKey(n), hello, start()).unwrap();
    }
    let asked = |fetch: &mut MetadataFetch| -> BTreeSet<PeerKey> {
        let mut keys = BTreeSet::new();
        while let Some(action) = fetch.poll_action() {
            if let Action::Send(key, Message::Extended(9, _)) = action {
                keys.insert(key);
            }
        }
        keys
    };
    assert_eq!(asked(&mut fetch).len(), ATTEMPTS);
    let later = fetch.poll_timeout().unwrap();
    assert_eq!(later, start() + PATIENCE);
    fetch.handle_timeout(later);
    assert_eq!(asked(&mut fetch), [PeerKey(4)].into());
}

#[test]
fn hostile_offers_and_parts_lead_to_nothing() {
    let info = info("disk.img");
    let mut fetch = MetadataFetch::new(info.info_hash(), 6881, 1);
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
    let mut fetch = MetadataFetch::new(info.info_hash(), 6881, 1);
    fetch.handle_connected(PeerKey(1), peer(1), start());
    for byte in [0x80, 0x40] {
        let bits = Message::Bitfield(vec![byte; 500].into());
        assert!(fetch.handle_message(PeerKey(1), bits, start()).is_ok());
    }
    let (peers, _) = fetch.into_peers();
    let expected = Message::Bitfield(vec![0xc0; 500].into());
    assert_eq!(peers[0].2, [expected]);
}
