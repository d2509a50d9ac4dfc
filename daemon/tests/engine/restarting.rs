//! What is kept over a stop, a kill and an absence.

use std::fs;
use std::time::{Duration, Instant};

use p2p_wire::control::{Item, Limits, State as ItemState};
use p2pd::engine::{ItemSetting, NewItem};
use p2pd::resume::Store;

use super::node::{Node, eventually, file, noise};

#[tokio::test]
async fn a_restart_fetches_nothing_twice() {
    let (a, mut b) = (Node::start().await, Node::start().await);
    let source = file(a.dir.path(), "r.bin", 5, 12_000_000);
    let metainfo = a.seed(&source, 65_536).await;
    let slow = Limits {
        down: None,
        up: Some(6_000_000),
    };
    a.engine().set_limits(slow);
    let item = b.fetch(&metainfo, &[&a]).await;
    let part = |i: &Item| i.pieces_done > 40;
    let before = b.becomes(item, "partly there", part).await;
    assert!(before.pieces_done < before.pieces, "too fast for this test");
    b.engine().stop().await;
    b.restart().await;
    let again = b.becomes(item, "back", |i| i.pieces_done > 0).await;
    assert!(again.pieces_done >= before.pieces_done, "{again:?}");
    b.complete(item).await;
    assert_eq!(
        fs::read(b.downloads().join("r.bin")).unwrap(),
        noise(5, 12_000_000)
    );
    let shown = b.item(item).await;
    // What came of pieces that were not whole yet.
    let under_way = 4 * 65_536;
    let downloaded = shown.downloaded;
    assert!(
        (12_000_000..12_000_000 + under_way).contains(&downloaded),
        "{downloaded}"
    );
    b.engine().stop().await;
    b.restart().await;
    let third = b.item(item).await;
    assert_eq!(
        (third.state, third.pieces_done),
        (ItemState::Seeding, third.pieces)
    );
}

#[tokio::test]
async fn what_was_written_is_durable_soon_and_not_at_the_end_alone() {
    let (a, b) = (Node::start().await, Node::start().await);
    let source = file(a.dir.path(), "s.bin", 6, 12_000_000);
    let metainfo = a.seed(&source, 65_536).await;
    let slow = Limits {
        down: None,
        up: Some(500_000),
    };
    a.engine().set_limits(slow);
    let item = b.fetch(&metainfo, &[&a]).await;
    let written = b.becomes(item, "written", |i| i.pieces_done > 0).await;
    let since = Instant::now();
    let store = Store::new(b.run().state.clone());
    eventually("pieces are recorded", || async {
        let record = store.load().await.unwrap().remove(0).record;
        (record.have.count(written.pieces) > 0).then_some(())
    })
    .await;
    // A second, the sync and what a busy machine takes.
    assert!(since.elapsed() < Duration::from_secs(8), "{since:?}");
    assert!(b.item(item).await.pieces_done < written.pieces);
}

#[test]
fn after_a_kill_written_pieces_are_kept() {
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().build().unwrap()
    };
    let (tx, rx) = std::sync::mpsc::channel();
    let (done, end) = tokio::sync::oneshot::channel::<()>();
    let seed = std::thread::spawn(move || {
        runtime().block_on(async {
            let a = Node::start().await;
            let source = file(a.dir.path(), "k.bin", 6, 12_000_000);
            let metainfo = a.seed(&source, 65_536).await;
            let up = Some(6_000_000);
            a.engine().set_limits(Limits { down: None, up });
            tx.send((a.addr(), metainfo)).unwrap();
            let _ = end.await;
        });
    });
    let (addr, metainfo) = rx.recv().unwrap();
    let item = metainfo.info.info_hash();
    let first = runtime();
    let mut b = first.block_on(Node::start());
    let before = first.block_on(async {
        let new = NewItem {
            peers: vec![addr],
            ..b.new_item(&metainfo)
        };
        b.engine().add(new).await.unwrap();
        b.becomes(item, "partly there", |i| i.pieces_done > 40)
            .await
    });
    // All tasks end where they stand: nothing more is synced or recorded.
    drop(first);
    b.run = None;
    runtime().block_on(async {
        b.restart().await;
        let again = b.becomes(item, "back", |i| i.pieces_done > 0).await;
        assert!(again.pieces_done >= before.pieces_done, "{again:?}");
        let already = again.done;
        b.complete(item).await;
        let bytes = fs::read(b.downloads().join("k.bin")).unwrap();
        assert_eq!(bytes, noise(6, 12_000_000));
        let received = b.engine().moved().0;
        assert!(
            received <= 12_000_000 - already + 500_000,
            "{received} {already}"
        );
    });
    drop(done);
    seed.join().unwrap();
}

#[tokio::test]
async fn data_that_was_left_behind_is_used_again() {
    let (a, b) = (Node::start().await, Node::start().await);
    let source = file(a.dir.path(), "left.bin", 23, 4_000_000);
    let metainfo = a.seed(&source, 65_536).await;
    let item = metainfo.info.info_hash();
    let slow = ItemSetting::Up(Some(2_000_000));
    a.engine().set(item, slow).await.unwrap();
    b.fetch(&metainfo, &[&a]).await;
    let part = b.becomes(item, "under way", |i| i.pieces_done > 10).await;
    b.engine().remove(item, false).await.unwrap();
    b.fetch(&metainfo, &[&a]).await;
    let shown = b.complete(item).await;
    assert!(
        shown.downloaded <= 4_000_000 - part.done,
        "{}",
        shown.downloaded
    );
}

#[tokio::test]
async fn a_kill_between_the_rename_and_its_record_costs_nothing() {
    let (a, mut b) = (Node::start().await, Node::start().await);
    let source = file(a.dir.path(), "gap.iso", 26, 4_000_000);
    let metainfo = a.seed(&source, 65_536).await;
    let item = metainfo.info.info_hash();
    let slow = ItemSetting::Up(Some(2_000_000));
    a.engine().set(item, slow).await.unwrap();
    b.fetch(&metainfo, &[&a]).await;
    b.becomes(item, "under way", |i| i.pieces_done > 5).await;
    b.engine().pause(item).await.unwrap();
    b.engine().stop().await;
    // What a kill leaves behind right after the rename.
    let stage = b.downloads().join(".p2p-incomplete");
    let staged = stage.join(item.to_string()).join("gap.iso");
    let whole = fs::File::options().write(true).open(&staged).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&whole, &noise(26, 4_000_000), 0).unwrap();
    fs::rename(&staged, b.downloads().join("gap.iso")).unwrap();
    fs::remove_dir_all(&stage).unwrap();
    b.restart().await;
    b.engine().resume(item).await.unwrap();
    let shown = b.complete(item).await;
    assert_eq!(b.engine().moved().0, 0);
    assert!(
        !stage.exists() && !b.downloads().join("gap.iso (2)").exists(),
        "{shown:?}"
    );
    assert!(b.events().contains(&"item.finished".to_owned()));
}

#[tokio::test]
async fn a_part_that_was_edited_while_p2pd_was_away_is_fetched_again_and_the_rest_is_not() {
    let (a, mut b) = (Node::start().await, Node::start().await);
    let source = file(a.dir.path(), "edit.bin", 31, 8_000_000);
    let metainfo = a.seed(&source, 65_536).await;
    let item = metainfo.info.info_hash();
    let slow = ItemSetting::Up(Some(8_000_000));
    a.engine().set(item, slow).await.unwrap();
    b.fetch(&metainfo, &[&a]).await;
    b.becomes(item, "half there", |i| i.pieces_done > 60).await;
    b.engine().pause(item).await.unwrap();
    let part = b.becomes(item, "paused", |i| i.state == ItemState::Paused);
    let part = part.await;
    let held = b.engine().pieces(item).await.unwrap().here[0].0;
    b.engine().stop().await;
    let staged = b.downloads().join(".p2p-incomplete");
    let staged = staged.join(item.to_string()).join("edit.bin");
    let edited = fs::File::options().write(true).open(&staged).unwrap();
    let at = u64::from(held) * 65_536 + 7;
    std::os::unix::fs::FileExt::write_all_at(&edited, b"an edit", at).unwrap();
    edited.sync_all().unwrap();
    b.restart().await;
    b.engine().resume(item).await.unwrap();
    b.complete(item).await;
    assert_eq!(
        fs::read(b.downloads().join("edit.bin")).unwrap(),
        noise(31, 8_000_000)
    );
    let fetched = b.engine().moved().0;
    assert!(
        fetched <= 8_000_000 - part.done + 2 * 65_536,
        "{fetched} fetched, {} were there",
        part.done
    );
    assert!(b.events().contains(&"item.verified".to_owned()));
}

#[tokio::test]
async fn a_moved_item_is_at_its_new_place_after_a_restart_and_what_lay_there_stays() {
    let (a, mut b) = (Node::start().await, Node::start().await);
    let source = file(a.dir.path(), "moved.bin", 36, 1_000_000);
    let metainfo = a.seed(&source, 65_536).await;
    let item = b.fetch(&metainfo, &[&a]).await;
    b.complete(item).await;
    let dir = b.dir.path().join("elsewhere");
    fs::create_dir(&dir).unwrap();
    // The name is taken: what was not ours stays.
    fs::write(dir.join("moved.bin"), "another").unwrap();
    b.engine().move_to(item, dir.clone()).await.unwrap();
    b.engine().stop().await;
    b.restart().await;
    let shown = b.becomes(item, "seeding", |i| i.state == ItemState::Seeding);
    assert_eq!(shown.await.pieces_done, 16);
    assert_eq!(
        fs::read(dir.join("moved.bin (2)")).unwrap(),
        noise(36, 1_000_000)
    );
    assert_eq!(fs::read(dir.join("moved.bin")).unwrap(), b"another");
}
