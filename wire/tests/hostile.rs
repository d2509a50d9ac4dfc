//! No bytes make a decoder panic, whatever they are.
#![allow(clippy::unwrap_used)] // a test may panic

use bytes::{Bytes, BytesMut};
use p2p_wire::InfoHash;
use p2p_wire::announce::{self, Reply, Request};
use p2p_wire::bencode::{self, Encode, Limits};
use p2p_wire::control::{Answer, Call};
use p2p_wire::magnet::Magnet;
use p2p_wire::metainfo::{Info, Metainfo, safe_component};
use p2p_wire::peer::{ExtensionHandshake, FrameDecoder, MetadataMessage};
use p2p_wire::points;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

/// Feeds `bytes` to every decoder of bytes.
fn decode_all(bytes: &[u8]) {
    let _ = bencode::decode(bytes);
    let _ = bencode::decode_prefix(
        bytes,
        Limits {
            depth: u32::MAX,
            values: 50,
        },
    );
    let _ = Metainfo::from_bytes(bytes);
    let _ = Info::from_bytes(Bytes::copy_from_slice(bytes));
    let _ = ExtensionHandshake::from_bytes(bytes);
    let _ = MetadataMessage::from_bytes(Bytes::copy_from_slice(bytes));
    let _ = Reply::from_bytes(bytes);
    let _ = announce::scrape_from_bytes(bytes);
    let _ = announce::udp::Request::from_bytes(bytes);
    for v6 in [false, true] {
        let hashes = [InfoHash([0; 20]); 3];
        let _ = announce::udp::Reply::from_bytes(bytes, 0, v6, &hashes);
    }
    let _ = points::Report::from_bytes(bytes);
    let _ = points::Reply::from_bytes(bytes);
    let _ = serde_json::from_slice::<Call>(bytes);
    let _ = serde_json::from_slice::<Answer>(bytes);
    decode_text(&String::from_utf8_lossy(bytes));
    for pieces in [None, Some(0), Some(1_000)] {
        let mut decoder = FrameDecoder::new(pieces);
        let mut buffer = BytesMut::from(bytes);
        while let Ok(Some(_)) = decoder.decode(&mut buffer) {}
        let _ = decoder.need(&buffer);
    }
}

fn decode_text(text: &str) {
    let _ = text.parse::<Magnet>();
    let _ = format!("magnet:?{text}").parse::<Magnet>();
    let _ = Request::from_query(text);
    let _ = announce::scrape_from_query(text);
}

/// Any bencode, with the keys that decoders look for likely.
fn any_bencode() -> impl Strategy<Value = Encode> {
    let key = prop_oneof![
        prop::sample::select(
            &[
                "info",
                "name",
                "name.utf-8",
                "piece length",
                "pieces",
                "length",
                "files",
                "path",
                "attr",
                "announce",
                "announce-list",
                "m",
                "v",
                "p",
                "ut_pex",
                "msg_type",
                "piece",
                "total_size",
                "peers",
                "peers6",
                "ip",
                "port",
                "interval",
                "external ip",
                "failure reason",
                "retry in",
                "complete",
            ][..]
        )
        .prop_map(|key| key.as_bytes().to_vec()),
        vec(any::<u8>(), 0..21),
    ];
    let leaf = prop_oneof![
        any::<i64>().prop_map(Encode::Int),
        (0..100_000i64).prop_map(Encode::Int),
        vec(any::<u8>(), 0..60).prop_map(Encode::Bytes),
    ];
    leaf.prop_recursive(6, 200, 12, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..12).prop_map(Encode::List),
            btree_map(key.clone(), inner, 0..12).prop_map(Encode::Dict),
        ]
    })
}

/// A torrent that is valid but for what `path` and `len` may be.
fn any_torrent() -> impl Strategy<Value = Vec<u8>> {
    let component = prop_oneof![
        prop::sample::select(vec!["", ".", "..", "a", "b", "a (2)"]).prop_map(|part| part.into()),
        vec(any::<u8>(), 0..300),
    ];
    let file = (vec(component.clone(), 1..4), 0..5_000i64);
    (component, vec(file, 1..40)).prop_map(|(name, files)| {
        let total: i64 = files.iter().map(|(_, len)| len).sum();
        let pieces = usize::try_from(total).unwrap().div_ceil(16_384);
        let file = |(path, len): (Vec<Vec<u8>>, i64)| {
            let path = path.into_iter().map(Encode::Bytes).collect();
            Encode::dict([("length", Encode::Int(len)), ("path", Encode::List(path))])
        };
        Encode::dict([
            ("name", Encode::Bytes(name)),
            ("piece length", Encode::Int(16_384)),
            ("pieces", Encode::bytes(vec![0; pieces * 20])),
            ("files", Encode::List(files.into_iter().map(file).collect())),
        ])
        .to_vec()
    })
}

fn is_safe(component: &str) -> bool {
    !matches!(component, "" | "." | "..")
        && component.len() <= 255
        && !component
            .chars()
            .any(|c| c == '/' || c == '\\' || c.is_control())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..600)) {
        decode_all(&bytes);
    }

    #[test]
    fn bytes_that_look_like_bencode_never_panic(bytes in "[ilde0-9:a-]{0,80}") {
        decode_all(bytes.as_bytes());
    }

    #[test]
    fn well_formed_bencode_of_any_shape_never_panics(value in any_bencode()) {
        let bytes = value.to_vec();
        prop_assert!(bencode::decode(&bytes).is_ok());
        decode_all(&bytes);
        decode_all(&Encode::dict([("info", value)]).to_vec());
    }

    #[test]
    fn damaged_bencode_never_panics(value in any_bencode(), at: prop::sample::Index, byte: u8) {
        let mut bytes = value.to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        decode_all(&bytes);
        decode_all(&bytes[..at]);
    }

    #[test]
    fn points_that_begin_well_never_panic(rest in vec(prop_oneof![any::<u8>(), 0..6u8], 0..200)) {
        decode_all(&[&[1u8, 0, 0, 0, 0, 0, 0, 0, 1, 0][..], &rest].concat());
    }

    #[test]
    fn arbitrary_text_never_panics(text in "\\PC{0,200}", query in "[a-z_.=&%+0-9A-F:\\[\\]-]{0,200}") {
        decode_text(&text);
        decode_text(&query);
    }

    #[test]
    fn control_lines_never_panic(json in "[\\[\\]{}\":,a-z0-9 .-]{0,100}") {
        let _ = serde_json::from_str::<Call>(&json);
        let _ = serde_json::from_str::<Answer>(&json);
    }

    #[test]
    fn every_component_is_safe_and_safe_ones_stay(bytes in vec(any::<u8>(), 0..400)) {
        let safe = safe_component(&bytes);
        prop_assert!(is_safe(&safe), "{safe:?}");
        prop_assert_eq!(safe_component(safe.as_bytes()), safe);
    }

    #[test]
    fn the_files_of_any_torrent_can_be_created_side_by_side(torrent in any_torrent()) {
        let info = Info::from_bytes(torrent.into());
        prop_assume!(info.is_ok(), "nothing in it");
        let info = info.unwrap();
        let mut files = std::collections::HashSet::new();
        for file in info.files() {
            prop_assert!(file.path.len() >= 2 && file.path.iter().all(|part| is_safe(part)));
            prop_assert_eq!(&file.path[0], info.name());
            prop_assert!(files.insert(file.path.clone()), "twice: {:?}", file.path);
        }
        for file in &files {
            for folder in (1..file.len()).map(|len| &file[..len]) {
                prop_assert!(!files.contains(folder), "a file and a folder: {folder:?}");
            }
        }
    }

    #[test]
    fn spans_cover_exactly_what_was_asked(torrent in any_torrent(), offset in 0..250_000u64, len in 0..250_000u64) {
        let info = Info::from_bytes(torrent.into());
        prop_assume!(info.is_ok(), "nothing in it");
        let info = info.unwrap();
        let mut at = offset;
        for span in info.spans(offset, len) {
            let file = &info.files()[span.file];
            prop_assert_eq!(file.offset + span.offset, at);
            prop_assert!(span.len > 0 && span.offset + span.len <= file.len);
            at += span.len;
        }
        let end = (offset + len).min(info.layout().total_len()).max(offset);
        prop_assert_eq!(at, end);
    }
}
