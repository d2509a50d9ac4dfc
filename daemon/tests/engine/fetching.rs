//! Items are fetched: from one seed and several, whole and in part, by .torrent and by magnet link.

use std::fs;

use p2p_wire::control::{HistoryList, Limits};
use p2p_wire::magnet::Magnet;
use p2pd::engine::{Content, Holding, NewItem, history};

use super::node::{Node, eventually, file, noise};

#[tokio::test]
async fn a_file_is_fetched_and_seeded_on() {
    let (a, b, c) = (
        Node::start().await,
        Node::start().await,
        Node::start().await,
    );
    let source = file(a.dir.path(), "big.bin", 1, 5_000_001);
    let metainfo = a.seed(&source, 65_536).await;
    let item = b.fetch(&metainfo, &[&a]).await;
    let shown = b.complete(item).await;
    assert_eq!((shown.pieces_done, shown.done), (77, 5_000_001));
    assert_eq!(
        fs::read(b.downloads().join("big.bin")).unwrap(),
        noise(1, 5_000_001)
    );
    assert!(!b.downloads().join(".p2p-incomplete").exists());
    let told = [
        "item.added",
        "item.started",
        "file.finished",
        "item.finished",
    ];
    assert_eq!(b.events(), told);
    // From what was fetched, the source gone.
    a.engine().remove(item, true).await.unwrap();
    assert!(source.exists(), "what p2pd did not fetch is not deleted");
    c.fetch(&metainfo, &[&b]).await;
    c.complete(item).await;
    assert_eq!(
        fs::read(c.downloads().join("big.bin")).unwrap(),
        noise(1, 5_000_001)
    );
    let (received, sent) = b.engine().moved();
    assert!(
        received >= 5_000_001 && sent >= 5_000_001,
        "{received} {sent}"
    );
}

#[tokio::test]
async fn several_files_keep_their_folders_and_empty_ones_too() {
    let (a, b) = (Node::start().await, Node::start().await);
    let source = a.dir.path().join("album");
    for (name, seed, len) in [
        ("a.txt", 1, 10),
        ("b/c.bin", 2, 300_000),
        ("b/d.bin", 3, 99_999),
        ("e", 4, 0),
    ] {
        file(&source, name, seed, len);
    }
    let metainfo = a.seed(&source, 32_768).await;
    let item = b.fetch(&metainfo, &[&a]).await;
    b.complete(item).await;
    let placed = b.downloads().join("album");
    assert_eq!(fs::read(placed.join("b/d.bin")).unwrap(), noise(3, 99_999));
    assert_eq!(fs::read(placed.join("a.txt")).unwrap(), noise(1, 10));
    assert_eq!(fs::read(placed.join("e")).unwrap(), b"");
    let files = b.engine().files(item).await.unwrap();
    assert!(files.iter().all(|file| file.done == file.size), "{files:?}");
}

#[tokio::test]
async fn only_the_wanted_files_are_put_in_place() {
    let (a, b) = (Node::start().await, Node::start().await);
    let source = a.dir.path().join("set");
    for (name, seed) in [("1.bin", 1), ("2.iso", 2), ("3.bin", 3)] {
        file(&source, name, seed, 100_000);
    }
    let metainfo = a.seed(&source, 32_768).await;
    let new = NewItem {
        only: vec!["*.iso".into()],
        peers: vec![a.addr()],
        ..b.new_item(&metainfo)
    };
    b.engine().add(new).await.unwrap();
    let item = metainfo.info.info_hash();
    let shown = b.complete(item).await;
    assert!(shown.pieces_done < shown.pieces && shown.done == shown.size);
    let placed = b.downloads().join("set");
    assert_eq!(fs::read(placed.join("2.iso")).unwrap(), noise(2, 100_000));
    assert!(!placed.join("1.bin").exists());
    assert!(matches!(
        b.engine().holding(item).await,
        Some(Holding::Partial(_))
    ));
    b.engine().remove(item, true).await.unwrap();
    assert!(!placed.exists() && !b.downloads().join(".p2p-incomplete").exists());
}

#[tokio::test]
async fn several_seeds_share_the_work() {
    let (a, b, c) = (
        Node::start().await,
        Node::start().await,
        Node::start().await,
    );
    let source = file(a.dir.path(), "x", 7, 8_000_000);
    let metainfo = a.seed(&source, 65_536).await;
    let item = b.fetch(&metainfo, &[&a]).await;
    b.complete(item).await;
    for node in [&a, &b] {
        let limits = Limits {
            down: None,
            up: Some(4_000_000),
        };
        node.engine().set_limits(limits);
    }
    let before = (a.engine().moved().1, b.engine().moved().1);
    c.fetch(&metainfo, &[&a, &b]).await;
    c.complete(item).await;
    let from = |engine: u64, before: u64| engine - before;
    let from_a = from(a.engine().moved().1, before.0);
    let from_b = from(b.engine().moved().1, before.1);
    assert!(
        from_a > 1_000_000 && from_b > 1_000_000,
        "{from_a} {from_b}"
    );
    let list = HistoryList {
        item: Some(item.to_string()),
        limit: None,
    };
    let rows = eventually("both sessions are in the history", || async {
        let rows = history(&c.run().state, list.clone(), None).await.unwrap();
        (rows.len() == 2).then_some(rows)
    });
    let received: u64 = rows.await.iter().map(|row| row.downloaded).sum();
    assert!(received >= 8_000_000);
}

#[tokio::test]
async fn a_magnet_link_gets_its_metadata_from_a_peer() {
    let (a, b) = (Node::start().await, Node::start().await);
    let source = file(a.dir.path(), "m.bin", 3, 2_000_000);
    let metainfo = a.seed(&source, 16_384).await;
    let magnet = Magnet {
        info_hash: metainfo.info.info_hash(),
        name: Some("m".into()),
        trackers: vec![],
        peers: vec![],
    };
    let new = NewItem {
        content: Content::Magnet(magnet),
        peers: vec![a.addr()],
        ..b.new_item(&metainfo)
    };
    b.engine().add(new).await.unwrap();
    let item = metainfo.info.info_hash();
    b.complete(item).await;
    assert_eq!(
        fs::read(b.downloads().join("m.bin")).unwrap(),
        noise(3, 2_000_000)
    );
    let known = b.engine().metainfo(item).await.unwrap();
    assert_eq!(known.info.raw(), metainfo.info.raw());
}
