//! What is printed for those who look for a fault holds no passwords and no personal announce URLs.
#![allow(clippy::unwrap_used)] // a test may panic

use std::fmt::Debug;

use p2p_wire::InfoHash;
use p2p_wire::announce::udp::Request;
use p2p_wire::api::Publish;
use p2p_wire::control::{Answer, Call, TorrentData, TorrentPart};
use p2p_wire::magnet::Magnet;
use p2p_wire::metainfo::Metainfo;
use serde_json::json;

const SECRET: &str = "s3cr3t";

fn hides(value: impl Debug) {
    for text in [format!("{value:?}"), format!("{value:#?}")] {
        assert!(!text.contains(SECRET), "{text}");
    }
}

#[test]
fn secrets_are_not_printed() {
    let url = format!("http://t/announce/{SECRET}/announce");
    let announce = format!("8:announce{}:{url}", url.len());
    let info = "d6:lengthi1e4:name1:n12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaae";
    let torrent = Metainfo::from_bytes(format!("d{announce}4:info{info}e").as_bytes()).unwrap();
    assert!(torrent.announce[0][0].contains(SECRET));
    hides(torrent);
    let magnet = format!("magnet:?xt=urn:btih:{}&tr={url}", "a".repeat(40));
    let magnet: Magnet = magnet.parse().unwrap();
    assert!(magnet.trackers[0].contains(SECRET));
    hides(magnet);

    let rpc = json!({"jsonrpc": "2.0", "id": 1, "method": "account.login", "params": {"password": SECRET}});
    hides(serde_json::from_value::<Call>(rpc).unwrap());
    let answer = json!({"jsonrpc": "2.0", "id": 1, "result": {"data": SECRET}});
    hides(serde_json::from_value::<Answer>(answer).unwrap());
    hides(serde_json::from_value::<TorrentPart>(json!({"data": SECRET})).unwrap());
    hides(serde_json::from_value::<TorrentData>(json!({"data": SECRET, "size": 1})).unwrap());
    hides(serde_json::from_value::<Publish>(json!({"metainfo": SECRET})).unwrap());

    // An announce over UDP is 98 bytes, then the options: URL data is number 2.
    let mut packet = [&[0; 8][..], &[0, 0, 0, 1], &[0; 4], &[0; 82]].concat();
    packet.extend([2, SECRET.len() as u8]);
    packet.extend(SECRET.as_bytes());
    let request = Request::from_bytes(&packet).unwrap();
    assert_eq!(request.to_bytes(), packet, "the URL is in it");
    hides(request);
    hides(InfoHash([0; 20]));
}
