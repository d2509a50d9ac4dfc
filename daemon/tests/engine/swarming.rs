//! Announces, peers, and what is told of a swarm.

use std::fs;
use std::time::{Duration, Instant};

use p2p_wire::InfoHash;
use p2p_wire::control::{Item, State as ItemState};
use p2p_wire::metainfo::{Builder, Content as Files};
use p2pd::engine::{AnnounceCommand, Change, NewItem, Place};

use super::node::{Node, file, noise, torrent};

#[tokio::test]
async fn takes_part_with_the_announcer_from_start_to_stop() {
    let (a, mut b) = (Node::start().await, Node::start().await);
    let source = file(a.dir.path(), "s.bin", 17, 500_000);
    let metainfo = a.seed(&source, 65_536).await;
    let item = b.fetch(&metainfo, &[&a]).await;
    b.complete(item).await;
    b.engine().pause(item).await.unwrap();
    let mut seen = Vec::new();
    while seen.len() < 3 {
        let next = b.run.as_mut().unwrap().announces.recv();
        let command = tokio::time::timeout(Duration::from_secs(10), next).await;
        seen.push(command.unwrap().unwrap());
    }
    assert!(matches!(
        &seen[..],
        [
            AnnounceCommand::Start { .. },
            AnnounceCommand::Completed(_),
            AnnounceCommand::Stop(_)
        ]
    ));
    let changes = b.engine().take_changes().await;
    assert!(
        matches!(
            &changes[..],
            [Change::Reset(_), Change::Complete(_), Change::Gone(_)]
        ),
        "{changes:?}"
    );
}

#[tokio::test]
async fn a_seed_dials_the_leech_that_a_tracker_tells_it_of() {
    let (a, b) = (Node::start().await, Node::start().await);
    let source = file(a.dir.path(), "told.bin", 19, 200_000);
    let metainfo = a.seed(&source, 65_536).await;
    let item = b.fetch(&metainfo, &[]).await;
    let told = (item, vec![b.addr()]);
    a.run().peers.send(told).await.unwrap();
    b.complete(item).await;
}

#[tokio::test]
async fn a_leech_that_is_alone_asks_the_tracker_again() {
    let (a, mut b) = (Node::start().await, Node::start().await);
    let source = file(a.dir.path(), "alone.bin", 21, 200_000);
    let (metainfo, _) = torrent(&source, 65_536);
    b.fetch(&metainfo, &[]).await;
    let announces = &mut b.run.as_mut().unwrap().announces;
    let asked = async { while !matches!(announces.recv().await, Some(AnnounceCommand::Now(_))) {} };
    let within = tokio::time::timeout(Duration::from_secs(30), asked).await;
    within.expect("it never asked");
}

#[tokio::test]
async fn a_thousand_seeds_sleep() {
    let mut node = Node::start().await;
    let source = file(node.dir.path(), "one", 18, 20_000);
    let (_, stamps) = torrent(&source, 16_384);
    for n in 0..1_000 {
        let name = format!("item-{n}");
        let builder = Builder {
            name,
            content: Files::Single(20_000),
            piece_len: 16_384,
            private: false,
            announce: vec![],
            comment: None,
            created: None,
        };
        let metainfo = builder.build(&[[0; 20], [1; 20]]).unwrap();
        let new = NewItem {
            place: Place::Hashed(source.clone(), stamps.clone()),
            ..node.new_item(&metainfo)
        };
        node.engine().add(new).await.unwrap();
    }
    node.engine().stop().await;
    // What they seed is gone: a start that looked at files would notice.
    fs::remove_file(&source).unwrap();
    let started = Instant::now();
    node.restart().await;
    let items = node.engine().items().await;
    assert_eq!(items.len(), 1_000);
    assert!(items.iter().all(|item| item.state == ItemState::Seeding));
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn says_which_pieces_nobody_holds() {
    let (a, b) = (Node::start().await, Node::start().await);
    let source = file(a.dir.path(), "gap.bin", 20, 1_000_000);
    let (metainfo, _) = torrent(&source, 65_536);
    let item = metainfo.info.info_hash();
    let mut bytes = noise(20, 1_000_000);
    for piece in [4, 5, 9] {
        bytes[piece * 65_536] ^= 1;
    }
    fs::write(&source, bytes).unwrap();
    let new = NewItem {
        place: Place::Existing(source),
        ..a.new_item(&metainfo)
    };
    a.engine().add(new).await.unwrap();
    a.becomes(item, "verified", |i| i.pieces_done == 13).await;
    b.fetch(&metainfo, &[&a]).await;
    let told = |i: &Item| i.reason.as_ref().is_some_and(|why| why.contains("4-5, 9"));
    let shown = b.becomes(item, "told", told).await;
    assert_eq!(shown.missing, Some(3));
    assert!(b.events().contains(&"item.missing-pieces".to_owned()));
}

#[tokio::test]
async fn peers_that_break_the_protocol_are_dropped_and_others_served() {
    use p2p_wire::PeerId;
    use p2p_wire::peer::{Handshake, Reserved};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let (a, b) = (Node::start().await, Node::start().await);
    let source = file(a.dir.path(), "safe.bin", 25, 1_000_000);
    let metainfo = a.seed(&source, 65_536).await;
    let item = metainfo.info.info_hash();
    let bad: [(InfoHash, &[u8]); 5] = [
        (InfoHash([0; 20]), b""),
        (item, b"\xff\xff\xff\xff\x07"),
        (item, b"\0\0\0\x05\x04\0\0\xff\xff"),
        (item, b"\0\0\0\x02\x05\xff"),
        (item, b"\0\0\0\x0d\x06\0\0\0\0\0\0\0\0\x7f\xff\xff\xff"),
    ];
    for (n, (info_hash, message)) in bad.into_iter().enumerate() {
        let mut peer = tokio::net::TcpStream::connect(a.addr()).await.unwrap();
        let hello = Handshake {
            reserved: Reserved::ours(),
            info_hash,
            peer_id: PeerId([n as u8 + 1; 20]),
        };
        peer.write_all(&hello.to_bytes()).await.unwrap();
        peer.write_all(message).await.unwrap();
        let mut said = Vec::new();
        let end = tokio::time::timeout(Duration::from_secs(20), peer.read_to_end(&mut said));
        assert!(end.await.is_ok(), "peer {n} is still connected");
    }
    b.fetch(&metainfo, &[&a]).await;
    b.complete(item).await;
}
