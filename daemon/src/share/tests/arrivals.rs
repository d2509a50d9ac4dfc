//! How files come, slowly or in disguise, and what is noticed of that.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::rig::Rig;
use crate::share::watch::tests::REFUSED;
use crate::tracker::testing::eventually;

/// What the item of this name is a torrent of.
fn content(rig: &Rig, name: &str) -> Option<Vec<[u8; 20]>> {
    let items = rig.fake.0.lock().unwrap();
    let (_, metainfo) = items.values().find(|(path, _)| path.ends_with(name))?;
    let layout = metainfo.info.layout();
    Some(
        layout
            .iter()
            .map(|piece| metainfo.info.piece_hash(piece))
            .collect(),
    )
}

fn hash_of(bytes: &[u8]) -> [u8; 20] {
    let mut digests = [[0; 20]];
    p2p_hash::sha1_many(&[bytes], &mut digests);
    digests[0]
}

#[tokio::test]
async fn what_is_still_being_written_is_no_item_however_it_comes() {
    let rig = Rig::new().await;
    rig.share().await;
    let outside = rig.dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    let whole = b"0123456789".repeat(1_000);
    let begun = |name: &str| File::create(rig.path(name)).unwrap();
    // As cp, curl and slow writers do: one file, open until the end. As rsync does: a hidden name, then the right one.
    let (mut slow, mut hidden) = (begun("slow"), begun(".rsync.Xy12"));
    for part in whole.chunks(2_500) {
        slow.write_all(part).unwrap();
        hidden.write_all(part).unwrap();
        // Longer than what is found must be quiet: only that it is open tells.
        tokio::time::sleep(Duration::from_millis(400)).await;
        assert!(rig.fake.names().is_empty(), "{:?}", rig.fake.names());
    }
    drop((slow, hidden));
    fs::rename(rig.path(".rsync.Xy12"), rig.path("synced")).unwrap();
    // As mv does, from the same disk, and ln.
    for name in ["moved", "linked"] {
        fs::write(outside.join(name), &whole[..name.len()]).unwrap();
    }
    fs::rename(outside.join("moved"), rig.path("moved")).unwrap();
    fs::hard_link(outside.join("linked"), rig.path("linked")).unwrap();
    eventually("all are held, as they are at the end", async || {
        let expect = [
            ("slow", &whole[..]),
            ("moved", &whole[..5]),
            ("linked", &whole[..6]),
        ];
        // One content is one item, under one of its names.
        let is_held = |(name, bytes): &(&str, &[u8])| {
            let found = content(&rig, name).or_else(|| match *name {
                "slow" => content(&rig, "synced"),
                _ => None,
            });
            found == Some(vec![hash_of(bytes)])
        };
        (expect.iter().all(is_held) && rig.hub.list(None)[0].items == 4).then_some(())
    })
    .await;
    let (events, _) = rig.events.subscribe(0);
    let withdrawn = events.iter().filter(|event| event.topic == "share.removed");
    assert_eq!(withdrawn.count(), 0, "nothing half-written was published");
}

#[tokio::test]
async fn a_clock_that_jumped_keeps_no_file_back() {
    let rig = Rig::new().await;
    rig.share().await;
    let year = Duration::from_secs(365 * 24 * 3_600);
    let times = [
        ("future", SystemTime::now() + 50 * year),
        ("past", SystemTime::UNIX_EPOCH),
        ("before", SystemTime::UNIX_EPOCH - 10 * year),
    ];
    for (name, time) in times {
        rig.write(name, name);
        let file = File::options().write(true).open(rig.path(name)).unwrap();
        file.set_modified(time).unwrap();
    }
    rig.until_held(&["before", "future", "past"]).await;
}

#[tokio::test]
async fn a_change_that_no_event_tells_of_is_found_by_the_next_scan() {
    let rig = Rig::scanning(Duration::from_secs(1)).await;
    rig.write("a", "one");
    rig.share().await;
    rig.until_held(&["a"]).await;
    // Another name of the file, in a folder that is not watched.
    let link = rig.dir.path().join("link");
    fs::hard_link(rig.path("a"), &link).unwrap();
    rig.until_done().await;
    fs::write(&link, "another").unwrap();
    eventually("the new content is held", async || {
        let found = content(&rig, "a")?;
        (found == [hash_of(b"another")]).then_some(())
    })
    .await;
}

#[tokio::test]
async fn where_no_more_can_be_watched_the_share_looks_now_and_then_and_says_why() {
    let rig = Rig::new().await;
    let public = rig.dir.path().join("Public").canonicalize().unwrap();
    REFUSED.lock().unwrap().push((public.clone(), 0));
    let asked = |folder: &Path| {
        let refused = REFUSED.lock().unwrap();
        refused
            .iter()
            .find(|(path, _)| path == folder)
            .map(|(_, asked)| *asked)
    };
    let share = rig.share().await;
    assert_eq!(share.state, "polling");
    let reason = share.reason.unwrap();
    assert!(reason.contains("fs.inotify.max_user_watches"), "{reason}");
    for name in ["a", "b", "c"] {
        rig.write(name, name);
        eventually("the file is held", async || {
            rig.fake.names().contains(&name.into()).then_some(())
        })
        .await;
    }
    assert_eq!(asked(&public), Some(1), "it does not try again and again");
}
