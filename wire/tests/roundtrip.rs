//! What one side writes the other reads.
#![allow(clippy::unwrap_used)] // a test may panic

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use p2p_wire::announce::{self, Event, Peer, Peers, Reply, Request, ScrapeEntry, udp};
use p2p_wire::bencode::{self, Encode, Kind, Value};
use p2p_wire::magnet::Magnet;
use p2p_wire::metainfo::{Builder, Content, Metainfo};
use p2p_wire::peer::{ExtensionHandshake, MetadataMessage};
use p2p_wire::points::{self, ItemRef, Op, ReplyItem, Report, ReportItem, Status, Swarm};
use p2p_wire::{Bitfield, InfoHash, PeerId};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option::of;
use proptest::prelude::*;

fn any_bencode() -> impl Strategy<Value = Encode> {
    let bytes = vec(any::<u8>(), 0..20);
    let leaf = prop_oneof![
        any::<i64>().prop_map(Encode::Int),
        bytes.clone().prop_map(Encode::Bytes),
    ];
    leaf.prop_recursive(5, 60, 8, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..8).prop_map(Encode::List),
            btree_map(bytes.clone(), inner, 0..8).prop_map(Encode::Dict),
        ]
    })
}

fn to_encode(value: &Value<'_>) -> Encode {
    match value.kind() {
        Kind::Int(int) => Encode::Int(*int),
        Kind::Bytes(bytes) => Encode::bytes(*bytes),
        Kind::List(list) => Encode::List(list.iter().map(to_encode).collect()),
        Kind::Dict(dict) => Encode::dict(dict.iter().map(|(k, v)| (*k, to_encode(v)))),
    }
}

fn any_ip() -> impl Strategy<Value = IpAddr> {
    any::<IpAddr>().prop_map(|ip| ip.to_canonical())
}

fn any_request() -> impl Strategy<Value = Request> {
    let event = prop::sample::select(vec![
        Event::None,
        Event::Started,
        Event::Completed,
        Event::Stopped,
        Event::Paused,
    ]);
    (
        (any::<[u8; 20]>(), any::<[u8; 20]>(), any::<u16>()),
        (any::<u64>(), any::<u64>(), any::<u64>(), event),
        (
            of(any::<u32>()),
            of("[^\\pC\\p{Zl}\\p{Zp}]{1,20}"),
            of("[^\\pC\\p{Zl}\\p{Zp}]{1,20}"),
        ),
        (any::<bool>(), any::<bool>(), of(any_ip())),
    )
        .prop_map(|(who, counts, wants, form)| Request {
            info_hash: InfoHash(who.0),
            peer_id: PeerId(who.1),
            port: who.2,
            uploaded: counts.0,
            downloaded: counts.1,
            left: counts.2,
            event: counts.3,
            numwant: wants.0,
            key: wants.1,
            tracker_id: wants.2,
            compact: form.0,
            no_peer_id: form.1,
            ip: form.2,
        })
}

fn any_peers() -> impl Strategy<Value = Peers> {
    let peer = (any_ip(), 1..=u16::MAX, of(any::<[u8; 20]>())).prop_map(|(ip, port, id)| Peer {
        addr: SocketAddr::new(ip, port),
        peer_id: id.map(PeerId),
    });
    (
        (1..=u32::MAX, of(any::<u32>()), of(any::<u32>())),
        (of(any::<u32>()), of(any::<u32>()), of(any_ip())),
        (
            of("[^\\pC\\p{Zl}\\p{Zp}]{0,20}"),
            of("[^\\pC\\p{Zl}\\p{Zp}]{0,20}"),
            vec(peer, 0..20),
        ),
    )
        .prop_map(|(times, counts, rest)| Peers {
            interval: times.0,
            min_interval: times.1,
            complete: times.2,
            incomplete: counts.0,
            downloaded: counts.1,
            external_ip: counts.2,
            tracker_id: rest.0,
            warning: rest.1,
            peers: rest.2,
        })
}

fn any_pieces(pieces: u32) -> impl Strategy<Value = Vec<u32>> {
    btree_set(0..pieces, 0..40).prop_map(|set| set.into_iter().collect())
}

fn any_op(pieces: u32) -> impl Strategy<Value = Op> {
    let full = any_pieces(pieces).prop_map(move |set| {
        let mut bits = Bitfield::new(pieces);
        for piece in set {
            bits.set(piece);
        }
        Op::Full(bits.as_bytes().to_vec())
    });
    prop_oneof![
        Just(Op::Keep),
        Just(Op::Seed),
        Just(Op::Leave),
        full,
        any_pieces(pieces).prop_map(Op::Add),
        any_pieces(pieces).prop_map(Op::Remove),
    ]
}

fn any_report() -> impl Strategy<Value = Report> {
    let item = (1..100_000u32).prop_flat_map(|pieces| {
        let by_hash = any::<[u8; 20]>().prop_map(move |h| ItemRef::Hash(InfoHash(h), pieces));
        let by_handle = (1..=u32::MAX).prop_map(ItemRef::Handle);
        let item = prop_oneof![by_hash, by_handle];
        (item, any_op(pieces), 0..=pieces, any::<u32>())
    });
    let item = item.prop_map(|(item, op, held, checksum)| ReportItem {
        item,
        op,
        held,
        checksum,
    });
    (any::<u64>(), any::<u16>(), vec(item, 0..20)).prop_map(|(epoch, port, items)| Report {
        epoch,
        port,
        items,
    })
}

fn any_reply() -> impl Strategy<Value = points::Reply> {
    let swarm = (any::<[u32; 5]>(), btree_set(0..i32::MAX as u32, 0..=32));
    let ok = swarm.prop_map(|(n, rarest): ([u32; 5], BTreeSet<u32>)| {
        Status::Ok(Swarm {
            seeds: n[0],
            partial: n[1],
            unknown: n[2],
            least: n[3],
            nobody: n[4],
            rarest: rarest.into_iter().collect(),
        })
    });
    let status = prop_oneof![ok, Just(Status::Resync), Just(Status::Unknown)];
    let item = (any::<u32>(), status).prop_map(|(handle, status)| ReplyItem { handle, status });
    (any::<u64>(), any::<u32>(), vec(item, 0..20)).prop_map(|(epoch, next, items)| points::Reply {
        epoch,
        next,
        items,
    })
}

proptest! {
    #[test]
    fn bencode(value in any_bencode(), rest in vec(any::<u8>(), 0..20)) {
        let bytes = value.to_vec();
        let read = bencode::decode(&bytes).unwrap();
        prop_assert_eq!(read.raw(), &bytes[..]);
        prop_assert_eq!(to_encode(&read), value);
        let all = [&bytes[..], &rest].concat();
        let (prefix, used) = bencode::decode_prefix(&all, Default::default()).unwrap();
        prop_assert_eq!((prefix, used), (read, bytes.len()));
    }

    #[test]
    fn announces(request in any_request()) {
        prop_assert_eq!(Request::from_query(&request.to_query()), Ok(request));
    }

    #[test]
    fn answers_with_dictionaries(peers in any_peers()) {
        let reply = Reply::Peers(peers);
        prop_assert_eq!(Reply::from_bytes(&reply.to_bytes(false, false)), Ok(reply));
    }

    #[test]
    fn compact_answers_keep_addresses_and_lose_ids(peers in any_peers()) {
        let bytes = Reply::Peers(peers.clone()).to_bytes(true, false);
        let Ok(Reply::Peers(read)) = Reply::from_bytes(&bytes) else {
            return Err(TestCaseError::fail("no peers"));
        };
        let addresses = |peers: &Peers| peers.peers.iter().map(|p| p.addr).collect::<Vec<_>>();
        let mut sent = addresses(&peers);
        sent.sort_by_key(SocketAddr::is_ipv6);
        prop_assert_eq!(addresses(&read), sent);
        let rest = |peers: Peers| Peers { peers: vec![], ..peers };
        prop_assert_eq!(rest(read), rest(peers));
    }

    #[test]
    fn scrapes(hashes in btree_set(any::<[u8; 20]>(), 0..20), counts: [u32; 3]) {
        let hashes: Vec<InfoHash> = hashes.into_iter().map(InfoHash).collect();
        let query = announce::scrape_to_query(&hashes);
        prop_assert_eq!(announce::scrape_from_query(&query), Ok(hashes.clone()));
        let entry = |info_hash| ScrapeEntry {
            info_hash,
            complete: counts[0],
            incomplete: counts[1],
            downloaded: counts[2],
        };
        let entries: Vec<_> = hashes.into_iter().map(entry).collect();
        let bytes = announce::scrape_to_bytes(&entries);
        prop_assert_eq!(announce::scrape_from_bytes(&bytes), Ok(entries));
    }

    #[test]
    fn announces_over_udp(
        request in any_request(), connection: u64, transaction: u32, key: u32, path in "(/[!-~]{0,600})?"
    ) {
        let announce = Request {
            event: if request.event == Event::Paused { Event::None } else { request.event },
            numwant: request.numwant.map(|want| want >> 1),
            key: Some(format!("{key:08x}")),
            compact: true,
            no_peer_id: true,
            ip: request.ip.filter(|ip| ip.is_ipv4() && !ip.is_unspecified()),
            tracker_id: None,
            ..request
        };
        let body = udp::Body::Announce {
            connection,
            announce: Box::new(announce),
            url_data: path,
        };
        let packet = udp::Request { transaction, body };
        prop_assert_eq!(udp::Request::from_bytes(&packet.to_bytes()), Ok(packet));
    }

    #[test]
    fn answers_over_udp(peers in any_peers(), transaction: u32, v6: bool) {
        let peers = Peers {
            interval: peers.interval,
            complete: Some(peers.complete.unwrap_or(0)),
            incomplete: Some(peers.incomplete.unwrap_or(0)),
            peers: peers
                .peers
                .into_iter()
                .filter(|peer| peer.addr.is_ipv6() == v6)
                .map(|peer| Peer { peer_id: None, ..peer })
                .collect(),
            ..Peers::default()
        };
        let reply = udp::Reply::Announce(peers);
        let read = udp::Reply::from_bytes(&reply.to_bytes(transaction), transaction, v6, &[]);
        prop_assert_eq!(read, Ok(Some(reply)));
    }

    #[test]
    fn point_reports(report in any_report()) {
        prop_assert_eq!(Report::from_bytes(&report.to_bytes()), Ok(report));
    }

    #[test]
    fn point_replies(reply in any_reply()) {
        prop_assert_eq!(points::Reply::from_bytes(&reply.to_bytes()), Ok(reply));
    }

    #[test]
    fn magnets(
        hash: [u8; 20],
        name in of("[^\\pC\\p{Zl}\\p{Zp}]{1,50}"),
        trackers in vec("(http|https|udp)://[!-~]{1,30}", 0..4),
        peers in vec("([a-z0-9.-]{1,20}|\\[::[0-9a-f]{1,4}\\]):[1-9][0-9]{0,3}", 0..4),
    ) {
        let magnet = Magnet { info_hash: InfoHash(hash), name, trackers, peers };
        prop_assert_eq!(magnet.to_string().parse(), Ok(magnet));
    }

    #[test]
    fn extension_handshakes(
        ids in (of(1..=u8::MAX), of(1..=u8::MAX)),
        numbers in (of(any::<u32>()), of(any::<u32>()), of(any::<u32>()), of(1..=u16::MAX)),
        client in of("[ -~]{1,64}"),
        upload_only: bool,
    ) {
        let handshake = ExtensionHandshake {
            ut_metadata: ids.0,
            ut_pex: ids.1,
            metadata_size: numbers.0,
            reqq: numbers.1,
            longest_block: numbers.2,
            port: numbers.3,
            client,
            upload_only,
        };
        let bytes = handshake.to_bytes();
        prop_assert_eq!(ExtensionHandshake::from_bytes(&bytes), Ok(handshake));
    }

    #[test]
    fn metadata_messages(part: u32, size: u32, data in vec(any::<u8>(), 0..200)) {
        for message in [
            MetadataMessage::Request(part),
            MetadataMessage::Data(part, size, Bytes::from(data)),
            MetadataMessage::Reject(part),
        ] {
            prop_assert_eq!(MetadataMessage::from_bytes(message.to_bytes()), Ok(Some(message)));
        }
    }

    #[test]
    fn built_torrents(
        files in btree_map(vec("[a-z0-9. -]{0,6}x", 1..4), 0..50_000u64, 1..20),
        private: bool,
        created in of(any::<i64>()),
        comment in of("[^\\pC\\p{Zl}\\p{Zp}]{0,40}"),
    ) {
        let total: u64 = files.values().sum();
        let pieces = vec![[3; 20]; total.div_ceil(32_768) as usize];
        let builder = Builder {
            name: "folder".into(),
            content: Content::Multi(files.into_iter().collect()),
            piece_len: 32_768,
            private,
            announce: vec![vec!["udp://a".into()], vec!["http://b/announce".into()]],
            comment,
            created,
        };
        let built = builder.build(&pieces);
        prop_assume!(built.is_ok(), "no content, or a file where a folder is");
        let built = built.unwrap();
        let read = Metainfo::from_bytes(&built.to_bytes()).unwrap();
        prop_assert_eq!(read.info.info_hash(), built.info.info_hash());
        prop_assert_eq!(read.info.files(), built.info.files());
        prop_assert_eq!(read.info.layout().total_len(), total);
        prop_assert_eq!(read.info.private(), private);
        prop_assert_eq!((read.announce, read.comment, read.created),
            (built.announce, built.comment, built.created));
    }
}
