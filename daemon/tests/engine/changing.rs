//! Files that change while they are seeded.

use std::fs;
use std::time::{Duration, Instant};

use p2p_wire::control::State as ItemState;
use p2pd::engine::{Change, NewItem, Place};

use super::node::{Node, file, noise, torrent, within};

#[tokio::test]
async fn a_file_rewritten_while_seeded_is_not_served() {
    let (a, b) = (Node::start().await, Node::start().await);
    let source = file(a.dir.path(), "w.bin", 10, 3_000_000);
    let (metainfo, stamps) = torrent(&source, 65_536);
    let new = NewItem {
        place: Place::Hashed(source.clone(), stamps),
        share: Some("docs".into()),
        ..a.new_item(&metainfo)
    };
    a.engine().add(new).await.unwrap();
    let mtime = fs::metadata(&source).unwrap().modified().unwrap();
    let edited = fs::File::options().write(true).open(&source).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&edited, b"edited", 1_000_000).unwrap();
    edited.set_modified(mtime).unwrap();
    let item = b.fetch(&metainfo, &[&a]).await;
    let shown = a
        .becomes(item, "stopped", |i| i.state == ItemState::Error)
        .await;
    assert!(shown.reason.unwrap().contains("changed on disk"));
    assert!(a.events().contains(&"item.changed".to_owned()));
    assert_eq!(b.item(item).await.downloaded, 0);
    let gone = a.engine().take_changes().await;
    assert!(
        gone.iter()
            .any(|change| matches!(change, Change::Gone(i) if *i == item)),
        "{gone:?}"
    );
}

#[tokio::test]
async fn a_fetched_file_that_was_only_touched_is_verified_and_seeded_on() {
    let (a, b, c) = (
        Node::start().await,
        Node::start().await,
        Node::start().await,
    );
    let source = file(a.dir.path(), "t.bin", 11, 1_000_000);
    let metainfo = a.seed(&source, 65_536).await;
    let item = b.fetch(&metainfo, &[&a]).await;
    b.complete(item).await;
    let placed = fs::File::options()
        .write(true)
        .open(b.downloads().join("t.bin"))
        .unwrap();
    placed
        .set_modified(std::time::SystemTime::UNIX_EPOCH)
        .unwrap();
    c.fetch(&metainfo, &[&b]).await;
    c.complete(item).await;
    assert!(b.events().contains(&"item.verified".to_owned()));
}

#[tokio::test]
async fn an_edit_with_its_time_restored_is_never_served() {
    let (a, b, c) = (
        Node::start().await,
        Node::start().await,
        Node::start().await,
    );
    let source = file(a.dir.path(), "sly.bin", 32, 1_000_000);
    let metainfo = a.seed(&source, 65_536).await;
    let item = b.fetch(&metainfo, &[&a]).await;
    b.complete(item).await;
    let placed = b.downloads().join("sly.bin");
    let edited = fs::File::options().write(true).open(&placed).unwrap();
    let then = edited.metadata().unwrap().modified().unwrap();
    std::os::unix::fs::FileExt::write_all_at(&edited, b"an edit", 500_000).unwrap();
    edited.set_modified(then).unwrap();
    c.fetch(&metainfo, &[&b]).await;
    let shown = b
        .becomes(item, "stopped", |i| i.state == ItemState::Error)
        .await;
    assert!(shown.reason.unwrap().contains("changed on disk"));
    let got = c.item(item).await;
    assert_eq!(got.wasted, 0, "{got:?}");
    assert!(got.pieces_done < got.pieces);
    // What differs is fetched again when the user says so.
    b.engine().verify(item).await.unwrap();
    b.engine().add_peers(item, vec![a.addr()]).await;
    b.complete(item).await;
    assert_eq!(fs::read(&placed).unwrap(), noise(32, 1_000_000));
}

#[test]
fn a_file_that_is_truncated_again_and_again_while_it_is_served_harms_nobody() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let seconds = std::env::var("P2P_STORM_SECONDS").map_or(3, |s| s.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (a, b) = (Node::start().await, Node::start().await);
        let source = file(a.dir.path(), "storm.bin", 33, 4_000_000);
        let metainfo = a.seed(&source, 65_536).await;
        let item = metainfo.info.info_hash();
        let content = noise(33, 4_000_000);
        let over = std::sync::Arc::new(AtomicBool::new(false));
        let (ended, path, bytes) = (over.clone(), source.clone(), content.clone());
        let storm = std::thread::spawn(move || {
            let file = fs::File::options().write(true).open(&path).unwrap();
            let mut rounds = 0u64;
            while !ended.load(Ordering::Relaxed) {
                let keep = (rounds * 7_919 * 4_096) % bytes.len() as u64;
                file.set_len(keep).unwrap();
                let rest = &bytes[keep as usize..];
                std::os::unix::fs::FileExt::write_all_at(&file, rest, keep).unwrap();
                rounds += 1;
                std::thread::sleep(Duration::from_millis(10)); // 100 Hz
            }
            rounds
        });
        b.fetch(&metainfo, &[&a]).await;
        // A file that keeps changing is left alone for longer and longer: again and again the user has it served at once.
        let serve = || async {
            a.engine().pause(item).await.unwrap();
            a.engine().resume(item).await.unwrap();
        };
        let end = Instant::now() + Duration::from_secs(seconds);
        while Instant::now() < end {
            serve().await;
            b.engine().add_peers(item, vec![a.addr()]).await;
            tokio::time::sleep(Duration::from_millis(100)).await; // the storm goes on
        }
        over.store(true, Ordering::Relaxed);
        let rounds = storm.join().unwrap();
        let got = b.item(item).await;
        eprintln!(
            "{rounds} truncations; {} of {} pieces, {} bytes wasted",
            got.pieces_done, got.pieces, got.wasted
        );
        assert_eq!(got.wasted, 0, "{got:?}");
        assert_eq!(fs::read(&source).unwrap(), content);
        serve().await;
        // Nobody tells b.
        within(Duration::from_secs(60), "b is whole", || async {
            (b.item(item).await.state == ItemState::Seeding).then_some(())
        })
        .await;
        assert_eq!(fs::read(b.downloads().join("storm.bin")).unwrap(), content);
    });
}
