//! A day in the life: from an invitation to a log line, over real sockets.

use data_encoding::BASE64;
use p2p_wire::announce::{Event, Peers, Reply};
use p2p_wire::bencode;
use p2p_wire::metainfo::Metainfo;
use p2p_wire::points::{ItemRef, Op, Report, ReportItem, Status, checksum};
use serde_json::{Value, json};

use crate::harness::{PASSWORD, Tracker, announce_of, open_files, torrent, wait_for};

fn peers(reply: Reply) -> Peers {
    match reply {
        Reply::Peers(peers) => peers,
        Reply::Failure { reason, .. } => panic!("{reason}"),
    }
}

fn failure(reply: Reply) -> String {
    match reply {
        Reply::Failure { reason, .. } => reason,
        Reply::Peers(peers) => panic!("{peers:?}"),
    }
}

fn item(item: ItemRef, op: Op, held: &[u32]) -> ReportItem {
    ReportItem {
        item,
        op,
        held: held.len() as u32,
        checksum: checksum(held.iter().copied()),
    }
}

#[test]
fn from_registration_to_a_fetch_and_back_out() {
    let tracker = Tracker::start("");
    let invite = tracker.ok(&["invite"], "");
    let body = json!({"username": "ann", "password": PASSWORD, "invite": invite.trim()});
    let account = tracker.api("POST", "/v1/register", "", &body).expect(201);
    assert_eq!(
        (account["username"].as_str(), account["admin"].as_bool()),
        (Some("ann"), Some(false))
    );
    tracker.user("bob");
    let ann = tracker.login("ann", "nas1");
    let (ann_url, ann) = (
        ann["announce_url"].as_str().unwrap().to_owned(),
        ann["token"].as_str().unwrap().to_owned(),
    );
    let bob = tracker.login("bob", "pc");
    let (bob_url, bob) = (
        bob["announce_url"].as_str().unwrap().to_owned(),
        bob["token"].as_str().unwrap().to_owned(),
    );

    let big = torrent("big.iso", 40, 1);
    let hash = big.info.info_hash();
    let published = tracker.publish(&ann, "Public", "big.iso", &big).expect(201);
    assert_eq!(
        (
            published["created"].as_bool(),
            published["file"]["version"].as_u64()
        ),
        (Some(true), Some(1))
    );
    assert_eq!(
        tracker.publish(&ann, "Public", "big.iso", &big).expect(200)["created"],
        false
    );

    // Found by list, search, name, hash and prefix.
    for path in [
        "/v1/files",
        "/v1/files?q=BIG",
        "/v1/files?q=big%20zz",
        "/v1/files?owner=ann&sort=name",
        "/v1/files?sort=size",
    ] {
        let expected = usize::from(!path.contains("zz"));
        let list = tracker.get(path, &bob).expect(200);
        assert_eq!(
            list["items"].as_array().unwrap().len(),
            expected,
            "{path}: {list}"
        );
    }
    for path in [
        "/v1/names/ann/Public/big.iso".to_owned(),
        "/v1/names/ann/Public/big.iso@1".to_owned(),
        format!("/v1/files/{hash}"),
        format!("/v1/files/{}", &hash.to_string()[..4]),
    ] {
        assert_eq!(
            tracker.get(&path, &bob).expect(200)["info_hash"],
            hash.to_string(),
            "{path}"
        );
    }

    // Ann seeds, Bob leeches.
    let seed = peers(tracker.announce(&ann_url, &announce_of(hash, 7001, 0)));
    assert_eq!(
        (seed.complete, seed.incomplete, seed.peers.len()),
        (Some(1), Some(0), 0)
    );
    let fetch = tracker
        .get(&format!("/v1/files/{hash}/fetch"), &bob)
        .expect(200);
    assert_eq!(fetch["peers"][0]["addr"], "127.0.0.1:7001");
    assert_eq!(fetch["availability"]["seeds"], 1);
    let personal = BASE64
        .decode(fetch["metainfo"].as_str().unwrap().as_bytes())
        .unwrap();
    let torrent_route = tracker.http(
        "GET",
        &format!("/v1/files/{hash}/torrent"),
        &[("authorization", &format!("Bearer {bob}"))],
        b"",
    );
    assert_eq!(torrent_route.body, personal);
    let read = Metainfo::from_bytes(&personal).unwrap();
    assert_eq!(
        (read.info.info_hash(), read.announce.as_slice()),
        (hash, &[vec![bob_url.clone()]][..])
    );
    assert_eq!(
        read.info.raw(),
        big.info.raw(),
        "the info dictionary is untouched"
    );
    let keys: Vec<_> = bencode::decode(&personal)
        .unwrap()
        .as_dict()
        .unwrap()
        .iter()
        .map(|(key, _)| key.to_vec())
        .collect();
    assert_eq!(
        keys,
        [b"announce".to_vec(), b"info".to_vec()],
        "nothing else of the publisher's file"
    );

    let leech = peers(tracker.announce(&bob_url, &announce_of(hash, 7002, 500)));
    assert_eq!(
        leech
            .peers
            .iter()
            .map(|peer| peer.addr.to_string())
            .collect::<Vec<_>>(),
        ["127.0.0.1:7001"]
    );
    let mut done = announce_of(hash, 7002, 0);
    done.event = Event::Completed;
    assert_eq!(peers(tracker.announce(&bob_url, &done)).downloaded, Some(1));

    // The log tells all of it.
    let log = wait_for("the log", || {
        let log = tracker
            .get(&format!("/v1/files/{hash}/log"), &bob)
            .expect(200);
        let texts: Vec<String> = log["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|line| line["text"].as_str().unwrap().to_owned())
            .collect();
        if texts.len() == 4 {
            Ok(texts)
        } else {
            Err(format!("{texts:?}"))
        }
    });
    assert_eq!(
        log,
        [
            "bob completed big.iso",
            "bob joined big.iso as a leech",
            "ann joined big.iso as a seed",
            "ann/nas1 published Public/big.iso"
        ]
    );

    tracker
        .api("DELETE", &format!("/v1/files/{hash}"), &bob, &Value::Null)
        .expect_problem(403, "forbidden");
    tracker
        .api("DELETE", &format!("/v1/files/{hash}"), &ann, &Value::Null)
        .expect(204);
    tracker
        .get(&format!("/v1/files/{hash}"), &bob)
        .expect_problem(404, "not-found");
    let again = tracker
        .publish(&ann, "Public", "big.iso", &torrent("big.iso", 40, 2))
        .expect(201);
    assert_eq!(
        again["file"]["version"], 2,
        "a version number is never given twice"
    );
    tracker
        .api("POST", "/v1/logout", &ann, &Value::Null)
        .expect(204);
    tracker
        .get("/v1/me", &ann)
        .expect_problem(401, "login-required");
    tracker.get("/v1/me", &bob).expect(200);
    assert_eq!(
        open_files(&tracker.state())
            .iter()
            .filter(|path| !path.ends_with("http.addr"))
            .count(),
        0
    );
    assert!(
        !tracker.log().contains(bob_url.rsplit('/').nth(1).unwrap()),
        "no passkey in the log"
    );
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

#[test]
fn modes_admit_whom_they_should_and_say_why_not() {
    for (mode, without, unknown_hash) in [
        ("open", true, true),
        ("registered", false, true),
        ("listed", false, false),
    ] {
        let tracker = Tracker::start(&format!("[tracker]\nmode = \"{mode}\"\n"));
        tracker.user("ann");
        let session = tracker.login("ann", "nas1");
        let (token, url) = (
            session["token"].as_str().unwrap(),
            session["announce_url"].as_str().unwrap(),
        );
        let (listed, other) = (torrent("a", 1, 1), torrent("b", 1, 2));
        tracker.publish(token, "s", "a", &listed).expect(201);
        let plain = format!("http://{}/announce", tracker.addr());
        let [listed, other] =
            [listed, other].map(|torrent| announce_of(torrent.info.info_hash(), 7001, 0));
        peers(tracker.announce(url, &listed));
        let tried = tracker.announce(&plain, &listed);
        assert_eq!(
            matches!(tried, Reply::Peers(_)),
            without,
            "{mode}: {tried:?}"
        );
        let tried = tracker.announce(url, &other);
        assert_eq!(
            matches!(tried, Reply::Peers(_)),
            unknown_hash,
            "{mode}: {tried:?}"
        );
        if mode == "listed" {
            assert!(failure(tried).contains("not published"));
        }
        if mode != "open" {
            let forged = url.replace("/announce/", "/announce/a");
            assert!(
                failure(tracker.announce(&forged, &listed)).contains("not one of this tracker")
            );
            let fresh = tracker
                .api("POST", "/v1/me/passkey/rotate", token, &Value::Null)
                .expect(200);
            assert!(failure(tracker.announce(url, &listed)).contains("replaced"));
            peers(tracker.announce(fresh["announce_url"].as_str().unwrap(), &listed));
            tracker.ok(&["user", "disable", "ann"], "");
            assert!(
                failure(tracker.announce(fresh["announce_url"].as_str().unwrap(), &listed))
                    .contains("disabled")
            );
        }
    }
}

#[test]
fn every_form_of_announce_and_scrape_is_understood() {
    let tracker = Tracker::start("");
    tracker.user("ann");
    let session = tracker.login("ann", "nas1");
    let passkey = session["announce_url"]
        .as_str()
        .unwrap()
        .rsplit('/')
        .nth(1)
        .unwrap()
        .to_owned();
    let hash = torrent("a", 1, 1).info.info_hash();
    for (port, path) in [
        (1, format!("announce/{passkey}/announce")),
        (2, format!("announce/{passkey}")),
        (3, format!("{passkey}/announce")),
    ] {
        peers(tracker.announce(&format!("http://x/{path}"), &announce_of(hash, port, 0)));
    }
    let query = p2p_wire::announce::scrape_to_query(&[hash]);
    for path in [
        "announce/K/scrape",
        "scrape/K/announce",
        "scrape/K",
        "K/scrape",
    ] {
        let answer = tracker.http(
            "GET",
            &format!("/{}?{query}", path.replace('K', &passkey)),
            &[],
            b"",
        );
        let entries = p2p_wire::announce::scrape_from_bytes(&answer.body).unwrap();
        assert_eq!((entries.len(), entries[0].complete), (1, 3), "{path}");
    }
    let answer = tracker.http(
        "GET",
        &format!("/{passkey}/announce?info_hash=short"),
        &[],
        b"",
    );
    assert!(failure(Reply::from_bytes(&answer.body).unwrap()).contains("no announce"));
}
