//! Data that is read again.

use std::fs;

use p2p_wire::control::{ErrorKind, Item, State as ItemState};
use p2pd::engine::{FileStamp, NewItem, Place};

use super::node::{Node, file, noise, torrent};

#[tokio::test]
async fn what_is_there_already_is_verified_and_completed_in_place() {
    let (a, b) = (Node::start().await, Node::start().await);
    let source = file(a.dir.path(), "e.bin", 12, 2_000_000);
    let metainfo = a.seed(&source, 65_536).await;
    let there = b.dir.path().join("mine.bin");
    let mut bytes = noise(12, 2_000_000);
    bytes[700_000] ^= 1;
    bytes.truncate(1_900_000);
    fs::write(&there, bytes).unwrap();
    let new = NewItem {
        place: Place::Existing(there.clone()),
        peers: vec![a.addr()],
        ..b.new_item(&metainfo)
    };
    b.engine().add(new).await.unwrap();
    let item = metainfo.info.info_hash();
    let shown = b.complete(item).await;
    assert_eq!(fs::read(&there).unwrap(), noise(12, 2_000_000));
    assert!(shown.downloaded < 400_000, "{}", shown.downloaded);
    b.engine().remove(item, true).await.unwrap();
    assert!(there.exists());
}

#[tokio::test]
async fn verify_finds_damage_and_fetches_it_again() {
    let (a, b) = (Node::start().await, Node::start().await);
    let source = file(a.dir.path(), "v.bin", 13, 1_000_000);
    let metainfo = a.seed(&source, 65_536).await;
    let item = b.fetch(&metainfo, &[&a]).await;
    b.complete(item).await;
    let placed = b.downloads().join("v.bin");
    let damaged = fs::File::options().write(true).open(&placed).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&damaged, b"oops", 500_000).unwrap();
    b.engine().verify(item).await.unwrap();
    let shown = b
        .becomes(item, "whole again", |i| {
            i.state == ItemState::Seeding && fs::read(&placed).unwrap() == noise(13, 1_000_000)
        })
        .await;
    assert_eq!(shown.bad_pieces, Some(1));
    b.engine().verify(item).await.unwrap();
    b.becomes(item, "verified", |i| i.bad_pieces == Some(0))
        .await;
}

#[tokio::test]
async fn a_paused_item_is_verified_and_stays_paused() {
    let (a, b) = (Node::start().await, Node::start().await);
    let source = file(a.dir.path(), "p.bin", 14, 1_000_000);
    let metainfo = a.seed(&source, 65_536).await;
    let item = b.fetch(&metainfo, &[&a]).await;
    b.complete(item).await;
    b.engine().pause(item).await.unwrap();
    let placed = b.downloads().join("p.bin");
    let damaged = fs::File::options().write(true).open(&placed).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&damaged, b"oops", 0).unwrap();
    let shown = b.engine().verify(item).await.unwrap();
    assert_eq!(shown.state, ItemState::Verifying);
    let paused = |i: &Item| i.state == ItemState::Paused && i.bad_pieces == Some(1);
    let shown = b.becomes(item, "verified and paused", paused).await;
    assert_eq!(shown.pieces_done, shown.pieces - 1);
    b.engine().resume(item).await.unwrap();
    b.complete(item).await;
}

#[tokio::test]
async fn what_is_bad_in_a_share_is_told_and_never_written_over() {
    let a = Node::start().await;
    let source = file(a.dir.path(), "s.bin", 15, 1_000_000);
    let (metainfo, mut stamps) = torrent(&source, 65_536);
    let damaged = fs::File::options().write(true).open(&source).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&damaged, b"oops", 0).unwrap();
    // As a disk does that changes bytes by itself: nothing else of the file is different.
    stamps[0] = FileStamp::of(&damaged).unwrap();
    let new = NewItem {
        place: Place::Hashed(source.clone(), stamps),
        share: Some("Public".into()),
        ..a.new_item(&metainfo)
    };
    a.engine().add(new).await.unwrap();
    let item = metainfo.info.info_hash();
    a.engine().verify(item).await.unwrap();
    let shown = a
        .becomes(item, "found bad", |i| i.state == ItemState::Error)
        .await;
    assert_eq!(
        (shown.bad_pieces, shown.error_kind),
        (Some(1), Some(ErrorKind::BadData))
    );
    assert_eq!(&fs::read(&source).unwrap()[..4], b"oops");
}
