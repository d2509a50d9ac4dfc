//! A fetch from one chosen peer.

use std::io::ErrorKind;
use std::net::TcpListener;

use p2p_wire::control::State as ItemState;
use p2p_wire::magnet::Magnet;

use super::fault_tests::{Node, Source, runtime};
use super::*;

#[test]
fn metadata_and_data_come_from_the_chosen_peer_and_nobody_else_is_asked() {
    let (seed, leech) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (source, _alive) = Source::start(seed.path().to_owned());
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    other.set_nonblocking(true).unwrap();
    let magnet = Magnet {
        info_hash: source.item(),
        name: None,
        trackers: vec![],
        peers: vec![],
    };
    runtime().block_on(async {
        let node = Node::start(leech.path()).await;
        let new = NewItem {
            content: Content::Magnet(magnet),
            place: Place::Download(leech.path().join("downloads")),
            trackers: vec![],
            share: None,
            owner: nix::unistd::geteuid().as_raw(),
            only: vec![],
            sequential: false,
            peers: vec![other.local_addr().unwrap()],
            only_peers: vec![source.addr],
        };
        assert!(node.engine.add(new).await.unwrap());
        let shown = node.rests(source.item(), || false).await.unwrap();
        assert_eq!(shown.state, ItemState::Seeding, "{shown:?}");
    });
    assert_eq!(other.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}
