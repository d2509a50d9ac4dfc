use std::net::SocketAddr;

use p2p_wire::announce::udp::{Body, Reply, Request};
use p2p_wire::announce::{self, Event};
use p2p_wire::{InfoHash, PeerId};
use proptest::prelude::*;

use super::answer::answer;
use super::connection::ConnectionKey;
use crate::config::Config;
use crate::tracker::Tracker;

/// A tracker that anyone may announce to.
async fn open(dir: &std::path::Path) -> std::sync::Arc<Tracker> {
    let mut config = Config::default();
    config.tracker.mode = p2p_wire::api::Mode::Open;
    Tracker::open(config, &dir.join("tracker.db"))
        .await
        .unwrap()
}

fn from(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn announced(connection: u64, port: u16, numwant: Option<u32>, url: &str) -> Vec<u8> {
    said(connection, port, numwant, url, Event::Started)
}

fn said(connection: u64, port: u16, numwant: Option<u32>, url: &str, event: Event) -> Vec<u8> {
    let mut peer_id = [b'x'; 20];
    peer_id[..2].copy_from_slice(&port.to_be_bytes());
    let announce = announce::Request {
        info_hash: InfoHash([1; 20]),
        peer_id: PeerId(peer_id),
        port,
        uploaded: 0,
        downloaded: 0,
        left: 1,
        event,
        numwant,
        key: Some(format!("{:08x}", rand::random::<u32>())),
        compact: true,
        no_peer_id: true,
        ip: None,
        tracker_id: None,
    };
    let request = Request {
        transaction: 9,
        body: Body::Announce {
            connection,
            announce: Box::new(announce),
            url_data: url.to_owned(),
        },
    };
    request.to_bytes()
}

fn reply(bytes: &[u8], v6: bool) -> Reply {
    Reply::from_bytes(bytes, 9, v6, &[InfoHash([1; 20])])
        .unwrap()
        .expect("the transaction is ours")
}

fn connect(tracker: &Tracker, key: &ConnectionKey, from: SocketAddr) -> u64 {
    let request = Request {
        transaction: 9,
        body: Body::Connect,
    };
    let bytes = answer(tracker, key, &request.to_bytes(), from).unwrap();
    match reply(&bytes, from.is_ipv6()) {
        Reply::Connect { connection } => connection,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn peers_of_the_family_the_announce_came_by_are_given() {
    let dir = tempfile::tempdir().unwrap();
    let tracker = open(dir.path()).await;
    let key = ConnectionKey::new([1; 32]);
    let say = |addr: &str, port: u16| {
        let from = from(addr);
        let id = connect(&tracker, &key, from);
        let bytes = answer(&tracker, &key, &announced(id, port, None, ""), from).unwrap();
        // A client behind a socket of both families sees the family it sent by.
        match reply(&bytes, from.ip().to_canonical().is_ipv6()) {
            Reply::Announce(peers) => peers,
            other => panic!("{other:?}"),
        }
    };
    say("192.0.2.1:1000", 7001);
    say("[2001:db8::1]:1000", 7002);
    let v4 = say("[::ffff:192.0.2.2]:1000", 7003);
    assert_eq!(v4.peers.len(), 1);
    assert_eq!(v4.peers[0].addr, from("192.0.2.1:7001"));
    assert_eq!((v4.complete, v4.incomplete), (Some(0), Some(3)));
    let v6 = say("[2001:db8::2]:1000", 7004);
    assert_eq!(v6.peers[0].addr, from("[2001:db8::1]:7002"));
}

#[tokio::test]
async fn a_client_that_sends_another_key_each_time_can_still_leave() {
    let dir = tempfile::tempdir().unwrap();
    let tracker = open(dir.path()).await;
    let key = ConnectionKey::new([1; 32]);
    let here = from("192.0.2.1:1");
    let id = connect(&tracker, &key, here);
    for (event, places) in [(Event::Started, 1), (Event::None, 1), (Event::Stopped, 0)] {
        answer(&tracker, &key, &said(id, 7001, None, "", event), here).unwrap();
        assert_eq!(tracker.swarms.places(), places, "{event:?}");
    }
}

#[tokio::test]
async fn a_packet_without_a_good_connection_id_is_not_answered() {
    let dir = tempfile::tempdir().unwrap();
    let tracker = open(dir.path()).await;
    let key = ConnectionKey::new([1; 32]);
    let [here, there] = ["192.0.2.1:1", "192.0.2.2:1"].map(from);
    let id = connect(&tracker, &key, here);
    assert_eq!(
        answer(&tracker, &key, &announced(id, 1, None, ""), there),
        None
    );
    assert_eq!(
        answer(&tracker, &key, &announced(id ^ 1, 1, None, ""), here),
        None
    );
    assert_eq!(tracker.swarms.places(), 0);
    let other_port = from("192.0.2.1:2");
    assert!(answer(&tracker, &key, &announced(id, 1, None, ""), other_port).is_some());
}

#[tokio::test]
async fn a_passkey_comes_with_the_url_and_a_refusal_is_no_longer_than_what_was_asked() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config::default();
    let tracker = Tracker::open(config, &dir.path().join("tracker.db"))
        .await
        .unwrap();
    let accounts = &tracker.accounts;
    let ann = accounts.create("ann".into(), "correct horse".into(), false, None);
    let passkey = accounts.passkey(&ann.await.unwrap());
    let key = ConnectionKey::new([1; 32]);
    let here = from("192.0.2.1:1");
    let id = connect(&tracker, &key, here);

    let packet = announced(id, 7001, None, "");
    let bytes = answer(&tracker, &key, &packet, here).unwrap();
    assert!(bytes.len() <= packet.len());
    let Reply::Error(reason) = reply(&bytes, false) else {
        panic!("{bytes:?}");
    };
    assert!(
        reason.starts_with("this tracker needs a personal announce URL"),
        "{reason}"
    );

    let url = format!("/announce/{passkey}/announce?x=y");
    let bytes = answer(&tracker, &key, &announced(id, 7001, None, &url), here).unwrap();
    assert!(
        matches!(reply(&bytes, false), Reply::Announce(_)),
        "{bytes:?}"
    );
}

#[tokio::test]
async fn the_longest_answer_has_1200_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let tracker = open(dir.path()).await;
    let key = ConnectionKey::new([1; 32]);
    for (addr, most) in [("192.0.2.1:1", 196), ("[2001:db8::1]:1", 65)] {
        let here = from(addr);
        let id = connect(&tracker, &key, here);
        let mut last = Vec::new();
        for port in 1..=400 {
            last = answer(&tracker, &key, &announced(id, port, Some(1_000), ""), here).unwrap();
        }
        assert!(last.len() <= 1_200, "{}", last.len());
        let Reply::Announce(peers) = reply(&last, here.is_ipv6()) else {
            panic!("{last:?}");
        };
        assert!(peers.peers.len() > most / 3 && peers.peers.len() <= most);
    }
}

#[tokio::test]
async fn a_scrape_is_answered_in_its_order_with_zeros_for_what_is_unknown() {
    let dir = tempfile::tempdir().unwrap();
    let tracker = open(dir.path()).await;
    let key = ConnectionKey::new([1; 32]);
    let here = from("192.0.2.1:1");
    let id = connect(&tracker, &key, here);
    answer(&tracker, &key, &announced(id, 7001, None, ""), here).unwrap();
    let hashes = vec![InfoHash([2; 20]), InfoHash([1; 20])];
    let request = Request {
        transaction: 9,
        body: Body::Scrape {
            connection: id,
            hashes: hashes.clone(),
        },
    };
    let bytes = answer(&tracker, &key, &request.to_bytes(), here).unwrap();
    let Ok(Some(Reply::Scrape(entries))) = Reply::from_bytes(&bytes, 9, false, &hashes) else {
        panic!("{bytes:?}");
    };
    let leeches: Vec<u32> = entries.iter().map(|entry| entry.incomplete).collect();
    assert_eq!(leeches, [0, 1]);
}

#[tokio::test]
async fn a_scrape_where_a_passkey_is_needed_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let database = dir.path().join("tracker.db");
    let tracker = Tracker::open(Config::default(), &database).await.unwrap();
    let key = ConnectionKey::new([1; 32]);
    let here = from("192.0.2.1:1");
    let id = connect(&tracker, &key, here);
    let body = Body::Scrape {
        connection: id,
        hashes: vec![InfoHash([1; 20]); 5],
    };
    let request = Request {
        transaction: 9,
        body,
    };
    let bytes = answer(&tracker, &key, &request.to_bytes(), here).unwrap();
    let Reply::Error(reason) = reply(&bytes, false) else {
        panic!("{bytes:?}");
    };
    assert!(
        reason.starts_with("this tracker needs a personal"),
        "{reason}"
    );
}

#[test]
fn whatever_comes_unproven_is_answered_with_no_more_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let tracker = runtime.block_on(open(dir.path()));
    let key = ConnectionKey::new([1; 32]);
    let here = from("192.0.2.1:1");
    let mut runner = proptest::test_runner::TestRunner::default();
    // Mostly noise, and noise behind the heads of real packets.
    let head = prop_oneof![
        Just(Vec::new()),
        Just(vec![0, 0, 4, 0x17, 0x27, 0x10, 0x19, 0x80, 0, 0, 0, 0]),
        (0_u8..4).prop_map(|action| vec![0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, action]),
    ];
    let packets = (head, prop::collection::vec(any::<u8>(), 0..400));
    let check = |(mut packet, rest): (Vec<u8>, Vec<u8>)| {
        packet.extend(rest);
        let answer = answer(&tracker, &key, &packet, here);
        prop_assert!(answer.is_none_or(|answer| answer.len() <= packet.len()));
        Ok(())
    };
    runner.run(&packets, check).unwrap();
}
