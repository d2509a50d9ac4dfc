//! One share that hashes for long, or stands still, and the others.

use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use p2p_wire::InfoHash;
use p2p_wire::control::{PathText, ShareAdd};

use super::rig::{Rig, new};
use crate::share::NewShare;
use crate::storage::Mount;
use crate::tracker::OutcomeKind;
use crate::tracker::testing::eventually;

/// Shares a second folder, "Other", beside the first.
async fn share_other(rig: &Rig) {
    let add = ShareAdd {
        path: PathText::from(&*rig.dir.path().join("Other")),
        ..rig.options()
    };
    rig.hub.add(new(add)).await.unwrap();
}

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(Duration::from_secs(10), future).await;
    done.unwrap_or_else(|_| panic!("{what} still waits after 10 s"))
}

#[tokio::test]
async fn a_share_ends_while_another_one_hashes_for_an_hour() {
    let rig = Rig::new().await;
    // Of zeros that are nowhere.
    File::create(rig.path("large"))
        .and_then(|large| large.set_len(4 << 40))
        .unwrap();
    rig.share().await;
    eventually("the large file is being hashed", async || {
        let all = rig.hub.find(Path::new("Public"), None).await.unwrap();
        all.progress.borrow().current.clone()
    })
    .await;
    let other = rig.dir.path().join("Other");
    fs::create_dir(&other).unwrap();
    (0..80).for_each(|n| fs::write(other.join(format!("f{n}")), format!("{n}")).unwrap());
    share_other(&rig).await;
    eventually("its files wait for the thread that hashes", async || {
        let shares = rig.hub.list(None);
        (shares[1].state == "hashing").then_some(())
    })
    .await;
    within("unshare", rig.hub.remove(Path::new("Other"), None))
        .await
        .unwrap();
    assert_eq!(rig.hub.list(None)[0].state, "hashing", "the other goes on");
    // And of what is being hashed the share lets go at once.
    within("unshare", rig.hub.remove(Path::new("Public"), None))
        .await
        .unwrap();
    assert!(rig.fake.names().is_empty());
}

#[tokio::test]
async fn a_share_that_stands_still_keeps_no_publish_of_others_waiting() {
    let rig = Rig::new().await;
    rig.write("a", "one");
    rig.share().await;
    let other = rig.dir.path().join("Other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("b"), "two").unwrap();
    share_other(&rig).await;
    rig.until_held(&["a", "b"]).await;
    eventually("both are at rest", async || {
        let shares = rig.hub.list(None);
        shares.iter().all(|share| share.pending == 0).then_some(())
    })
    .await;
    rig.fake.stand_still("Public");
    fs::remove_file(rig.path("a")).unwrap();
    eventually("the share stands still", async || {
        rig.fake.is_standing().then_some(())
    })
    .await;
    for n in 0..200 {
        let told = rig.tell_of(InfoHash([n; 20]), OutcomeKind::Published);
        within("an outcome", told).await;
    }
    within("an outcome", rig.tell("b", OutcomeKind::Published)).await;
    eventually("the other hears that it is published", async || {
        (rig.hub.list(None)[1].published == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_refusal_is_counted_and_forgotten_when_the_entry_is_published_or_gone() {
    let rig = Rig::new().await;
    ["a", "b", "c"]
        .iter()
        .for_each(|name| rig.write(name, name));
    rig.share().await;
    rig.until_held(&["a", "b", "c"]).await;
    rig.until_done().await;
    let until = async |refused: u32| {
        eventually("so many are refused", async || {
            let share = rig.hub.list(None).remove(0);
            (share.refused == refused).then_some(share)
        })
        .await
    };
    for name in ["a", "b"] {
        rig.tell(name, OutcomeKind::Refused("the name is taken".into()))
            .await;
    }
    let share = until(2).await;
    let reason = "the tracker refuses to publish 2 of 3: the name is taken";
    assert_eq!(
        (&*share.state, share.reason.as_deref()),
        ("error", Some(reason))
    );
    rig.tell("a", OutcomeKind::Published).await;
    assert_eq!(until(1).await.published, 1);
    fs::remove_file(rig.path("b")).unwrap();
    assert_eq!(until(0).await.state, "watching");
}

#[tokio::test]
async fn what_becomes_of_a_publish_before_the_share_has_the_entry_is_not_lost() {
    let rig = Rig::new().await;
    rig.write("a", "one");
    rig.share().await;
    rig.until_done().await;
    rig.fake.answer_late(true);
    rig.write("b", "two");
    rig.write("c", "three");
    rig.until_held(&["a", "b", "c"]).await;
    let until = async |published: u32, refused: u32| {
        eventually("so many are published and refused", async || {
            let share = rig.hub.list(None).remove(0);
            ((share.published, share.refused) == (published, refused)).then_some(())
        })
        .await
    };
    rig.tell("b", OutcomeKind::Published).await;
    rig.tell("c", OutcomeKind::Refused("the name is taken".into()))
        .await;
    // When it knows of this, it has read what it was told before.
    rig.tell("a", OutcomeKind::Published).await;
    until(1, 0).await;
    rig.fake.answer_late(false);
    until(2, 1).await;
}

/// Shares two folders, the first of which stands still at a call; how many calls to it there were.
async fn stall(at: Option<u32>) -> u32 {
    let rig = Rig::new().await;
    let mount = Mount::new(&rig.dir.path().join("Public"));
    rig.write("a", "one");
    if let Some(at) = at {
        mount.hold_at(at);
    }
    let (hub, public) = (rig.hub.clone(), new(rig.options()));
    let adding = tokio::spawn(async move { hub.add(public).await });
    if at.is_some() {
        eventually("the disk is asked", async || {
            (mount.standing() > 0).then_some(())
        })
        .await;
    }
    let other = rig.dir.path().join("Other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("b"), "two").unwrap();
    within("the other share", share_other(&rig)).await;
    eventually("its file is held", async || {
        rig.fake.names().contains(&"b".into()).then_some(())
    })
    .await;
    assert!(at.is_none() || rig.fake.names() == ["b"], "{at:?}");
    fs::write(other.join("c"), "three").unwrap();
    eventually("so is the next", async || {
        rig.fake.names().contains(&"c".into()).then_some(())
    })
    .await;
    mount.release();
    adding.await.unwrap().unwrap();
    rig.until_held(&["a", "b", "c"]).await;
    mount.calls()
}

#[tokio::test]
async fn a_share_whose_disk_stalls_at_any_call_keeps_no_other_waiting() {
    let calls = stall(None).await;
    assert!(calls > 4, "{calls} calls: the seam is not asked");
    // What comes after the last of them is that its file is held.
    for at in 1..calls {
        stall(Some(at)).await;
    }
}

#[tokio::test]
async fn a_configured_share_whose_disk_does_not_answer_keeps_no_start_waiting() {
    let mut rig = Rig::new().await;
    rig.write("a", "one");
    let configured = NewShare {
        configured: true,
        ..new(rig.options())
    };
    rig.configured = vec![configured.clone()];
    rig.hub.follow_file(vec![configured]).await;
    rig.until_held(&["a"]).await;
    let mount = Mount::new(&rig.dir.path().join("Public"));
    mount.hold();
    let rig = tokio::time::timeout(Duration::from_secs(60), rig.restart()).await;
    let rig = rig.expect("it starts");
    assert_eq!(rig.hub.list(None)[0].state, "scanning");
    mount.release();
    eventually("it is watched again", async || {
        (rig.hub.list(None)[0].state == "watching").then_some(())
    })
    .await;
    assert_eq!(rig.fake.names(), ["a"]);
}
