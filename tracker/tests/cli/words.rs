//! The words that stand for hashes, secrets and bodies in the table of wrong calls.

use data_encoding::BASE64;
use p2p_wire::bencode::Encode;
use p2p_wire::metainfo::{Builder, Content, Metainfo};
use p2p_wire::points::{ItemRef, Op, Report, ReportItem, checksum};
use p2p_wire::{InfoHash, announce};

use crate::harness::{PASSWORD, Tracker, announce_of, torrent};

/// What each word stands for.
pub(crate) fn words(tracker: &Tracker, passkeys: &[String; 3]) -> Vec<(&'static str, Vec<u8>)> {
    let (a, own) = (torrent("a", 4, 1), torrent("own", 1, 2));
    let hash = a.info.info_hash();
    let base64 = |bytes: &[u8]| BASE64.encode(bytes).into_bytes();
    let info = |entries: Vec<(&'static str, Encode)>| {
        base64(&Encode::dict([("info", Encode::dict(entries))]).to_vec())
    };
    let dir = tracker
        .path("")
        .to_str()
        .unwrap()
        .trim_end_matches('/')
        .to_owned();
    let [passkey, old, disabled] = passkeys.clone();
    let query = |hash| announce_of(hash, 7001, 1).to_query().into_bytes();
    let mut words = vec![
        ("hash", hash.to_string().into()),
        ("own", own.info.info_hash().to_string().into()),
        ("nothing", "0".repeat(40).into()),
        ("dir", dir.into()),
        ("address", tracker.addr().to_string().into()),
        ("passkey", passkey.into()),
        ("old-passkey", old.into()),
        ("carl's-passkey", disabled.into()),
        ("password", PASSWORD.into()),
        ("announce", query(hash)),
        ("announce-of-nothing", query(InfoHash([0; 20]))),
        ("announce-of-own", query(own.info.info_hash())),
        ("scrape", announce::scrape_to_query(&[hash]).into()),
        ("torrent", base64(&a.to_bytes())),
        ("another-torrent", base64(&torrent("b", 1, 7).to_bytes())),
        ("large-torrent", base64(&torrent("b", 90, 7).to_bytes())),
        ("truncated-torrent", base64(&a.to_bytes()[..60])),
        ("web-page", base64(b"<!DOCTYPE html>")),
        ("torrent-without-info", base64(b"de")),
        (
            "torrent-without-pieces",
            info(vec![
                ("length", Encode::Int(1)),
                ("name", Encode::bytes("a")),
                ("piece length", Encode::Int(16_384)),
            ]),
        ),
        (
            "torrent-with-a-piece-too-few",
            info(vec![
                ("length", Encode::Int(16_385)),
                ("name", Encode::bytes("a")),
                ("piece length", Encode::Int(16_384)),
                ("pieces", Encode::bytes([0; 20])),
            ]),
        ),
        (
            "torrent-with-a-length-of-letters",
            info(vec![
                ("length", Encode::bytes("long")),
                ("name", Encode::bytes("a")),
                ("piece length", Encode::Int(16_384)),
                ("pieces", Encode::bytes([0; 20])),
            ]),
        ),
        (
            "torrent-of-version-2",
            info(vec![
                ("file tree", Encode::dict([("a", Encode::bytes(""))])),
                ("meta version", Encode::Int(2)),
                ("name", Encode::bytes("a")),
                ("piece length", Encode::Int(16_384)),
            ]),
        ),
        ("17-tags", serde_json::to_vec(&vec!["t"; 17]).unwrap()),
        ("1100-letters", vec![b'a'; 1_100]),
        ("70000-blanks", vec![b' '; 70_000]),
    ];
    words.extend(reports(hash));
    words
}

/// Reports of piece points, all of them wrong.
fn reports(hash: InfoHash) -> Vec<(&'static str, Vec<u8>)> {
    let item = |op, held, pieces| ReportItem {
        item: ItemRef::Hash(hash, pieces),
        op,
        held,
        checksum: checksum(0..held),
    };
    let report = |items| {
        Report {
            epoch: 0,
            port: 7001,
            items,
        }
        .to_bytes()
    };
    let good = report(vec![item(Op::Seed, 4, 4)]);
    let unknown = ReportItem {
        item: ItemRef::Hash(InfoHash([0; 20]), 4),
        ..item(Op::Seed, 4, 4)
    };
    let handle = ReportItem {
        item: ItemRef::Handle(9),
        ..item(Op::Seed, 4, 4)
    };
    let mut of_version_2 = good.clone();
    of_version_2[0] = 2;
    let longer = [&good[..], b"?"].concat();
    let mut odd = report(vec![item(Op::Keep, 0, 4)]);
    // Version, epoch, port, items, no handle, hash, pieces; then the operation.
    odd[1 + 8 + 2 + 1 + 1 + 20 + 1] = 9;
    let too_many = [
        &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0xff, 0x03][..],
        &[0; 70_000],
    ]
    .concat();
    vec![
        ("report-cut-off", good[..20].to_vec()),
        ("report-of-version-2", of_version_2),
        ("report-with-more-behind-it", longer),
        ("report-of-an-operation-that-is-none", odd),
        ("report-of-65535-items", too_many),
        (
            "report-of-5-pieces-of-4",
            report(vec![item(Op::Keep, 5, 4)]),
        ),
        (
            "report-of-a-bitmap-too-long",
            report(vec![item(Op::Full(vec![0xf0, 0, 0]), 4, 4)]),
        ),
        (
            "report-of-piece-4-of-0-to-3",
            report(vec![item(Op::Add(vec![4]), 1, 4)]),
        ),
        (
            "report-of-an-item-twice",
            report(vec![item(Op::Seed, 4, 4), item(Op::Seed, 4, 4)]),
        ),
        ("report-of-nothing-published", report(vec![unknown])),
        (
            "report-of-another-number-of-pieces",
            report(vec![item(Op::Seed, 3, 3)]),
        ),
        ("report-by-a-handle-that-is-none", report(vec![handle])),
        (
            "report-of-a-set-that-does-not-add-up",
            report(vec![item(Op::Add(vec![1]), 3, 4)]),
        ),
    ]
}

/// Two torrents whose hashes begin with the same four digits, and these.
pub(crate) fn alike() -> (String, [Metainfo; 2]) {
    let content = |number: u32| {
        let mut piece = [0; 20];
        piece[..4].copy_from_slice(&number.to_be_bytes());
        let builder = Builder {
            name: "alike".to_owned(),
            content: Content::Single(1),
            piece_len: 16_384,
            private: true,
            announce: Vec::new(),
            comment: None,
            created: None,
        };
        builder.build(&[piece]).unwrap()
    };
    let mut seen = std::collections::HashMap::new();
    for number in 0.. {
        let this = content(number);
        let prefix = this.info.info_hash().to_string()[..4].to_owned();
        if let Some(other) = seen.insert(prefix.clone(), number) {
            return (prefix, [content(other), this]);
        }
    }
    unreachable!("65,537 hashes have two that begin alike");
}
