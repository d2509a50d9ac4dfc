//! Who may announce, and how.

use p2p_wire::announce::Reply;
use serde_json::Value;

use crate::answers::{failure, peers};
use crate::harness::{Tracker, announce_of, torrent};

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
