//! Piece points over real sockets.

use p2p_wire::points::{ItemRef, Op, Report, ReportItem, Status, checksum};
use serde_json::json;

use crate::answers::peers;
use crate::harness::{Tracker, announce_of, torrent, wait_for};

fn item(item: ItemRef, op: Op, held: &[u32]) -> ReportItem {
    ReportItem {
        item,
        op,
        held: held.len() as u32,
        checksum: checksum(held.iter().copied()),
    }
}

#[test]
fn piece_points_rise_are_missed_and_remembered() {
    let mut tracker = Tracker::start("");
    ["ann", "bob"].iter().for_each(|name| tracker.user(name));
    let (ann, bob) = (tracker.token("ann", "nas1"), tracker.token("bob", "pc"));
    let big = torrent("big.iso", 40, 1);
    let hash = big.info.info_hash();
    tracker.publish(&ann, "Public", "big.iso", &big).expect(201);
    let by_hash = ItemRef::Hash(hash, 40);

    // Ann has the first half, Bob gets a part of it.
    let half: Vec<u32> = (0..20).collect();
    let first = tracker.report(
        &ann,
        &Report {
            epoch: 0,
            port: 7001,
            items: vec![item(by_hash, Op::Add(half.clone()), &half)],
        },
    );
    let handle = ItemRef::Handle(first.items[0].handle);
    let epoch = first.epoch;
    tracker.report(
        &bob,
        &Report {
            epoch,
            port: 7002,
            items: vec![item(by_hash, Op::Add(vec![3, 4, 5]), &[3, 4, 5])],
        },
    );
    let told = tracker.report(
        &bob,
        &Report {
            epoch,
            port: 7002,
            items: vec![item(handle, Op::Add(vec![9]), &[3, 4, 5, 9])],
        },
    );
    let Status::Ok(swarm) = &told.items[0].status else {
        panic!("{told:?}")
    };
    assert_eq!(
        (swarm.seeds, swarm.partial, swarm.least, swarm.nobody),
        (0, 2, 0, 20)
    );
    assert_eq!(
        swarm.rarest,
        [0, 1, 2, 6, 7, 8]
            .into_iter()
            .chain(10..20)
            .collect::<Vec<_>>()
    );
    assert_eq!(told.next, 3, "scarce: report soon");
    // A report that was lost in between.
    let lost = tracker.report(
        &bob,
        &Report {
            epoch,
            port: 7002,
            items: vec![item(handle, Op::Add(vec![11]), &[3, 4, 5, 9, 10, 11])],
        },
    );
    assert_eq!(lost.items[0].status, Status::Resync);
    let nonsense = tracker.report(
        &bob,
        &Report {
            epoch,
            port: 7002,
            items: vec![item(ItemRef::Handle(999), Op::Keep, &[])],
        },
    );
    assert_eq!(nonsense.items[0].status, Status::Unknown);

    // They are peers of the swarm without an announce, and one peer each with one.
    let fetch = tracker
        .get(&format!("/v1/files/{hash}/fetch"), &bob)
        .expect(200);
    assert_eq!(
        fetch["peers"],
        json!([{"addr": "127.0.0.1:7001", "node": "ann/nas1", "seed": false}])
    );
    let me = tracker.get("/v1/me", &ann).expect(200);
    let told = peers(tracker.announce(
        me["announce_url"].as_str().unwrap(),
        &announce_of(hash, 7001, 5),
    ));
    assert_eq!((told.complete, told.incomplete), (Some(0), Some(2)));

    let path = format!("/v1/files/{hash}/availability");
    let available = tracker.get(&path, &bob).expect(200);
    assert_eq!(
        available["counts"],
        json!([
            [3, 1],
            [3, 2],
            [3, 1],
            [1, 2],
            [1, 1],
            [1, 2],
            [8, 1],
            [20, 0]
        ])
    );
    assert_eq!(available["missing"], json!([{"first": 20, "last": 39}]));

    // Ann goes; the pieces that only she had are missing, and who had them is known.
    tracker.report(
        &ann,
        &Report {
            epoch,
            port: 7001,
            items: vec![item(handle, Op::Leave, &[])],
        },
    );
    let missing = tracker.get(&format!("{path}?missing=1"), &bob).expect(200);
    assert_eq!(
        (
            missing["counts"].clone(),
            missing["missing"][0]["last_held_by"].as_str()
        ),
        (json!([]), Some("ann/nas1"))
    );
    assert_eq!(missing["missing"][0]["first"], 0);
    let log = tracker.ok(&["log", "--file", "big.iso"], "");
    for line in [
        "ann/nas1 reports pieces 0-19 of big.iso, now held by 1",
        "bob/pc reports piece 9 of big.iso, now held by 2",
    ] {
        wait_for(line, || {
            let log = tracker.ok(&["log", "--file", "big.iso"], "");
            log.contains(line).then_some(()).ok_or(log)
        });
    }
    assert!(log.contains("published Public/big.iso"));

    // A restart changes the epoch and voids the handles; the last holder is still known.
    tracker.restart();
    let told = tracker.report(
        &bob,
        &Report {
            epoch,
            port: 7002,
            items: vec![item(handle, Op::Keep, &[3])],
        },
    );
    assert_ne!(told.epoch, epoch);
    assert_eq!(told.items[0].status, Status::Unknown);
    tracker.report(
        &bob,
        &Report {
            epoch: told.epoch,
            port: 7002,
            items: vec![item(by_hash, Op::Add(vec![3]), &[3])],
        },
    );
    let missing = tracker.get(&format!("{path}?missing=1"), &bob).expect(200);
    assert_eq!(
        missing["missing"][0]["last_held_by"], "ann/nas1",
        "{missing}"
    );
    let nodes = tracker.get("/v1/nodes", &bob).expect(200);
    let names: Vec<_> = nodes["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| (node["node"].as_str().unwrap(), node["fetching"].as_u64()))
        .collect();
    assert_eq!(names, [("nas1", Some(0)), ("pc", Some(1))]);
}
