//! A day in the life: from an invitation to a log line, over real sockets.

use data_encoding::BASE64;
use p2p_wire::announce::Event;
use p2p_wire::bencode;
use p2p_wire::metainfo::Metainfo;
use serde_json::{Value, json};

use crate::answers::peers;
use crate::harness::{PASSWORD, Tracker, announce_of, open_files, torrent, wait_for};

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
            .filter(|path| !path.ends_with("http.addr") && !path.ends_with("https.fingerprint"))
            .count(),
        0
    );
    assert!(
        !tracker.log().contains(bob_url.rsplit('/').nth(1).unwrap()),
        "no passkey in the log"
    );
}
