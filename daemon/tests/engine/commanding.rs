//! What a user tells an item: pause, limits, move, remove.

use std::fs;
use std::time::Instant;

use p2p_wire::InfoHash;
use p2p_wire::control::{Limits, State as ItemState};
use p2pd::engine::{ItemSetting, NewItem};
use p2pd::resume::Store;

use super::node::{Node, eventually, file, noise, torrent};

#[tokio::test]
async fn a_paused_item_stands_still_and_goes_on() {
    let (a, mut b) = (Node::start().await, Node::start().await);
    let source = file(a.dir.path(), "p.bin", 8, 6_000_000);
    let metainfo = a.seed(&source, 65_536).await;
    let slow = ItemSetting::Up(Some(3_000_000));
    let item = metainfo.info.info_hash();
    a.engine().set(item, slow).await.unwrap();
    b.fetch(&metainfo, &[&a]).await;
    b.becomes(item, "under way", |i| i.pieces_done > 5).await;
    let paused = b.engine().pause(item).await.unwrap();
    assert_eq!(paused.state, ItemState::Paused);
    b.engine().stop().await;
    b.restart().await;
    let still = b.item(item).await;
    assert_eq!(
        (still.state, still.pieces_done),
        (ItemState::Paused, paused.pieces_done)
    );
    assert!(b.engine().held_items().await.is_empty());
    b.engine().resume(item).await.unwrap();
    b.complete(item).await;
}

#[tokio::test]
async fn limits_hold() {
    let (a, b) = (Node::start().await, Node::start().await);
    let source = file(a.dir.path(), "l.bin", 9, 9_000_000);
    let metainfo = a.seed(&source, 65_536).await;
    let limit = Limits {
        down: Some(3_000_000),
        up: None,
    };
    b.engine().set_limits(limit);
    let started = Instant::now();
    let item = b.fetch(&metainfo, &[&a]).await;
    b.complete(item).await;
    let rate = 9_000_000.0 / started.elapsed().as_secs_f64();
    assert!((2_400_000.0..3_300_000.0).contains(&rate), "{rate}");
}

#[tokio::test]
async fn a_limit_that_is_lifted_holds_back_nothing_any_more() {
    let (a, b) = (Node::start().await, Node::start().await);
    let source = file(a.dir.path(), "n.bin", 10, 9_000_000);
    let metainfo = a.seed(&source, 65_536).await;
    let limit = |rate| Limits {
        down: rate,
        up: rate,
    };
    // Minutes for the file, which is given up sooner.
    for node in [&a, &b] {
        node.engine().set_limits(limit(Some(50_000)));
    }
    let item = b.fetch(&metainfo, &[&a]).await;
    b.becomes(item, "under way", |i| i.done > 0).await;
    for node in [&a, &b] {
        node.engine().set_limits(limit(None));
    }
    b.complete(item).await;
}

#[tokio::test]
async fn an_item_moves_and_is_served_from_its_new_place() {
    let (a, b, c) = (
        Node::start().await,
        Node::start().await,
        Node::start().await,
    );
    let source = file(a.dir.path(), "mv.bin", 14, 1_000_000);
    let metainfo = a.seed(&source, 65_536).await;
    let item = b.fetch(&metainfo, &[&a]).await;
    b.complete(item).await;
    let dir = b.dir.path().join("elsewhere");
    assert!(b.engine().move_to(item, dir.clone()).await.is_err());
    fs::create_dir(&dir).unwrap();
    b.engine().move_to(item, dir.clone()).await.unwrap();
    assert_eq!(fs::read(dir.join("mv.bin")).unwrap(), noise(14, 1_000_000));
    c.fetch(&metainfo, &[&b]).await;
    c.complete(item).await;
    assert!(b.events().contains(&"item.moved".to_owned()));
}

#[tokio::test]
async fn removing_with_data_deletes_what_was_fetched_even_half() {
    let (a, b) = (Node::start().await, Node::start().await);
    let source = file(a.dir.path(), "h.bin", 15, 4_000_000);
    let metainfo = a.seed(&source, 65_536).await;
    let item = metainfo.info.info_hash();
    a.engine()
        .set(item, ItemSetting::Up(Some(1_000_000)))
        .await
        .unwrap();
    b.fetch(&metainfo, &[&a]).await;
    let watch = b.engine().watch(item).await.unwrap();
    b.becomes(item, "under way", |i| i.pieces_done > 2).await;
    b.engine().remove(item, true).await.unwrap();
    assert!(b.engine().item(item).await.is_none());
    assert!(!b.downloads().join(".p2p-incomplete").exists());
    eventually("the watch ends", || async { watch.has_changed().err() }).await;
    assert!(source.exists());
}

#[tokio::test]
async fn a_taken_name_is_left_alone() {
    let (a, b) = (Node::start().await, Node::start().await);
    let source = file(a.dir.path(), "n.bin", 16, 100_000);
    let metainfo = a.seed(&source, 65_536).await;
    file(&b.downloads(), "n.bin", 99, 5);
    let item = b.fetch(&metainfo, &[&a]).await;
    b.complete(item).await;
    assert_eq!(fs::read(b.downloads().join("n.bin")).unwrap(), noise(99, 5));
    assert_eq!(
        fs::read(b.downloads().join("n.bin (2)")).unwrap(),
        noise(16, 100_000)
    );
}

#[tokio::test]
async fn what_is_set_while_an_item_is_being_moved_counts_afterwards() {
    let a = Node::start().await;
    let source = file(a.dir.path(), "set.bin", 33, 1_000_000);
    let metainfo = a.seed(&source, 65_536).await;
    let item = metainfo.info.info_hash();
    let dir = a.dir.path().join("elsewhere");
    fs::create_dir(&dir).unwrap();
    let trackers = vec![vec!["http://127.0.0.1:9/announce".to_owned()]];
    let joined = NewItem {
        trackers: trackers.clone(),
        ..a.new_item(&metainfo)
    };
    let (moved, set, added) = tokio::join!(
        a.engine().move_to(item, dir),
        a.engine().set(item, ItemSetting::MaxPeers(7)),
        a.engine().add(joined)
    );
    assert!(moved.is_ok() && set.is_ok() && !added.unwrap());
    assert_eq!(a.engine().trackers(item).await.unwrap(), trackers);
    max_peers_become(&a, item, 7).await;
}

#[tokio::test]
async fn no_setting_is_lost_however_many_come_at_once() {
    let a = Node::start().await;
    let source = file(a.dir.path(), "many.bin", 34, 100_000);
    let (metainfo, _) = torrent(&source, 65_536);
    // Awake for good: nobody has it.
    let item = a.fetch(&metainfo, &[]).await;
    let mut sets = tokio::task::JoinSet::new();
    for most in 1..=1_000 {
        let engine = a.engine().clone();
        sets.spawn(async move { engine.set(item, ItemSetting::MaxPeers(most)).await });
    }
    for answer in sets.join_all().await {
        answer.unwrap();
    }
    a.engine()
        .set(item, ItemSetting::MaxPeers(3))
        .await
        .unwrap();
    max_peers_become(&a, item, 3).await;
}

/// Waits until the item's record has this setting.
async fn max_peers_become(node: &Node, item: InfoHash, most: u32) {
    let store = Store::new(node.run().state.clone());
    eventually("the setting is recorded", || async {
        let rows = store.load().await.unwrap();
        let record = rows.into_iter().find(|row| row.info_hash == item)?.record;
        (record.max_peers == Some(most)).then_some(())
    })
    .await;
}
