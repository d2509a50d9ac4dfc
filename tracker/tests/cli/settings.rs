//! What an administrator sets is what happens.

use nix::sys::signal::SIGTERM;
use p2p_wire::InfoHash;
use p2p_wire::points::{ItemRef, Op, Report, ReportItem, Status};
use serde_json::{Value, json};

use crate::answers::peers;
use crate::harness::{PASSWORD, Tracker, announce_of, torrent, wait_for};

fn url_of(session: &Value) -> &str {
    session["announce_url"].as_str().unwrap()
}

fn token_of(session: &Value) -> &str {
    session["token"].as_str().unwrap()
}

#[test]
fn addresses_are_in_the_log_only_where_that_was_asked_for() {
    for (config, expected) in [("", false), ("[privacy]\nlog_ips = true\n", true)] {
        let tracker = Tracker::start(config);
        tracker.user("ann");
        let session = tracker.login("ann", "nas1");
        let content = torrent("a", 1, 1);
        let published = tracker.publish(token_of(&session), "s", "a", &content);
        published.expect(201);
        let announce = announce_of(content.info.info_hash(), 7001, 1);
        tracker.announce(url_of(&session), &announce);
        let log = tracker.ok(&["log"], "");
        assert!(log.contains("joined a as a leech"), "{log}");
        assert_eq!(log.contains("127.0.0.1"), expected, "{log}");
    }
}

#[test]
fn an_announced_address_is_believed_only_where_that_was_asked_for() {
    for (config, expected) in [
        ("", "127.0.0.1"),
        ("[announce]\ntrust_ip = true\n", "10.1.2.3"),
    ] {
        let tracker = Tracker::start(config);
        tracker.user("ann");
        let session = tracker.login("ann", "nas1");
        let hash = InfoHash([1; 20]);
        let mut first = announce_of(hash, 7001, 1);
        first.ip = Some("10.1.2.3".parse().unwrap());
        tracker.announce(url_of(&session), &first);
        let told = peers(tracker.announce(url_of(&session), &announce_of(hash, 7002, 1)));
        assert_eq!(told.peers[0].addr.ip().to_string(), expected);
    }
}

#[test]
fn replies_keep_to_the_interval_and_the_number_of_peers() {
    let tracker =
        Tracker::start("[announce]\ninterval = \"5m\"\nmin_interval = \"5m\"\nmax_numwant = 2\n");
    tracker.user("ann");
    let session = tracker.login("ann", "nas1");
    for port in 1..40 {
        let mut announce = announce_of(InfoHash([1; 20]), port, 1);
        announce.numwant = Some(50);
        let told = peers(tracker.announce(url_of(&session), &announce));
        assert_eq!((told.interval, told.min_interval), (300, Some(300)));
        assert!(told.peers.len() <= 2, "{}", told.peers.len());
    }
}

#[test]
fn where_administrators_publish_others_do_not() {
    let tracker = Tracker::start("[catalogue]\npublish = \"admins\"\n");
    tracker.user("ann");
    let args = ["user", "add", "root", "--admin", "--password-file", "-"];
    tracker.ok(&args, PASSWORD);
    let content = torrent("a", 1, 1);
    let [ann, root] = ["ann", "root"].map(|name| tracker.token(name, "nas1"));
    let refused = tracker.publish(&ann, "s", "a", &content);
    refused.expect_problem(403, "forbidden");
    tracker.publish(&root, "s", "a", &content).expect(201);
}

#[test]
fn urls_begin_with_the_public_one() {
    let tracker = Tracker::start("[tracker]\npublic_url = \"https://t.example.org/\"\n");
    tracker.user("ann");
    let session = tracker.login("ann", "nas1");
    let url = url_of(&session);
    assert!(url.starts_with("https://t.example.org/announce/"), "{url}");
    let content = torrent("a", 1, 1);
    let token = token_of(&session);
    tracker.publish(token, "s", "a", &content).expect(201);
    let path = format!("/v1/files/{}/torrent", content.info.info_hash());
    let torrent = String::from_utf8_lossy(&tracker.get(&path, token).body).into_owned();
    assert!(torrent.contains("https://t.example.org/announce/"));
}

#[test]
fn an_invitation_ends_with_its_time() {
    let config =
        "[accounts]\ninvite_lifetime = \"1s\"\n[limits]\nregistrations_per_minute = 1000\n";
    let tracker = Tracker::start(config);
    let codes = tracker.ok(&["invite", "-n", "900"], "");
    let mut codes = codes.lines().enumerate();
    // Each code is tried once.
    wait_for("the invitations to end", || {
        let (at, code) = codes.next().unwrap();
        let body = json!({"username": format!("u{at}"), "password": PASSWORD, "invite": code});
        let answer = tracker.api("POST", "/v1/register", "", &body);
        (answer.status == 403)
            .then_some(())
            .ok_or(format!("{answer:?}"))
    });
}

#[test]
fn one_machine_too_many_forgets_the_oldest() {
    let tracker = Tracker::start("[accounts]\nmax_nodes = 2\n");
    tracker.user("ann");
    let tokens = ["one", "two", "three"].map(|node| tracker.token("ann", node));
    let known = tokens.map(|token| tracker.get("/v1/me", &token).status);
    assert_eq!(known, [401, 200, 200]);
}

#[test]
fn a_new_password_and_logging_out_everywhere_end_the_other_logins() {
    let tracker = Tracker::start("");
    tracker.user("ann");
    let [here, there] = ["here", "there"].map(|node| tracker.token("ann", node));
    let body = json!({"old": PASSWORD, "new": "another good password"});
    let changed = tracker.api("POST", "/v1/me/password", &here, &body);
    changed.expect(204);
    let status = |token: &str| tracker.get("/v1/me", token).status;
    assert_eq!((status(&here), status(&there)), (200, 401));
    let login = |password: &str| {
        let body = json!({"username": "ann", "password": password, "node_name": "there"});
        tracker.api("POST", "/v1/login", "", &body)
    };
    login(PASSWORD).expect_problem(401, "bad-credentials");
    let there = login("another good password").expect(200);
    let out = tracker.api("POST", "/v1/logout-all", &here, &Value::Null);
    out.expect(204);
    assert_eq!((status(&here), status(token_of(&there))), (401, 401));
}

#[test]
fn what_is_ones_own_is_nothing_to_others() {
    let tracker = Tracker::start("[tracker]\nmode = \"listed\"\n");
    ["ann", "bob"].iter().for_each(|name| tracker.user(name));
    let [ann, bob] = ["ann", "bob"].map(|name| tracker.login(name, "nas"));
    let content = torrent("a", 4, 1);
    let hash = content.info.info_hash();
    let own = data_encoding::BASE64.encode(&content.to_bytes());
    let own = json!({"metainfo": own, "visibility": "own"});
    let published = tracker.api("POST", "/v1/files", token_of(&ann), &own);
    published.expect(201);
    let report = Report {
        epoch: 0,
        port: 7001,
        items: vec![ReportItem {
            item: ItemRef::Hash(hash, 4),
            op: Op::Seed,
            held: 4,
            checksum: p2p_wire::points::checksum(0..4),
        }],
    };
    let status = |session: &Value| {
        tracker.report(token_of(session), &report).items[0]
            .status
            .clone()
    };
    assert!(matches!(status(&ann), Status::Ok(_)));
    assert_eq!(status(&bob), Status::Unknown);
    let scraped = |session: &Value| {
        let path = url_of(session).splitn(4, '/').nth(3).unwrap();
        let path = path.strip_suffix("announce").unwrap();
        let query = p2p_wire::announce::scrape_to_query(&[hash]);
        let answer = tracker.http("GET", &format!("/{path}scrape?{query}"), &[], b"");
        p2p_wire::announce::scrape_from_bytes(&answer.body)
            .unwrap()
            .len()
    };
    assert_eq!((scraped(&ann), scraped(&bob)), (1, 0));
}

#[test]
fn an_account_that_is_disabled_is_given_to_nobody_any_more() {
    let tracker = Tracker::start("");
    ["ann", "bob"].iter().for_each(|name| tracker.user(name));
    let [ann, bob] = ["ann", "bob"].map(|name| tracker.login(name, "nas"));
    let content = torrent("a", 4, 1);
    let hash = content.info.info_hash();
    tracker
        .publish(token_of(&ann), "s", "a", &content)
        .expect(201);
    tracker.announce(url_of(&bob), &announce_of(hash, 7001, 1));
    let report = Report {
        epoch: 0,
        port: 7002,
        items: vec![ReportItem {
            item: ItemRef::Hash(hash, 4),
            op: Op::Seed,
            held: 4,
            checksum: p2p_wire::points::checksum(0..4),
        }],
    };
    tracker.report(token_of(&bob), &report);
    let told = || {
        let told = peers(tracker.announce(url_of(&ann), &announce_of(hash, 7003, 1)));
        let path = format!("/v1/files/{hash}/availability");
        let known = tracker.get(&path, token_of(&ann)).expect(200);
        (told.peers.len(), known["summary"]["seeds"].as_u64())
    };
    assert_eq!(told(), (2, Some(1)));
    tracker.ok(&["user", "disable", "bob"], "");
    assert_eq!(told(), (0, Some(0)));
}

#[test]
fn the_log_keeps_so_many_lines() {
    let mut tracker = Tracker::start("[log]\nmax_lines = 5\n");
    tracker.user("ann");
    for _ in 0..10 {
        tracker.token("ann", "nas1");
    }
    let lines = |tracker: &Tracker| tracker.ok(&["log", "-n", "100"], "").lines().count();
    assert!(lines(&tracker) > 10);
    // It is shortened at the start and each minute.
    tracker.restart();
    wait_for("a shorter log", || {
        let lines = lines(&tracker);
        (lines <= 5).then_some(()).ok_or(format!("{lines} lines"))
    });
}

/// Changes the database of a tracker between two runs, as if time had passed.
fn meanwhile(tracker: &mut Tracker, sql: &str) {
    tracker.end(SIGTERM);
    let db = rusqlite::Connection::open(tracker.state().join("tracker.db")).unwrap();
    assert!(db.execute(sql, []).unwrap() > 0);
    drop(db);
    tracker.run();
}

#[test]
fn a_login_ends_when_its_machine_was_not_heard_of_for_so_long() {
    let mut tracker = Tracker::start("[accounts]\nsession_idle = \"1h\"\n");
    tracker.user("ann");
    let [old, new] = ["old", "new"].map(|node| tracker.token("ann", node));
    meanwhile(
        &mut tracker,
        "UPDATE nodes SET last_seen = last_seen - iif(name = 'old', 3700, 3500)",
    );
    // It is looked at each minute and at the end.
    tracker.restart();
    let known = [old, new].map(|token| tracker.get("/v1/me", &token).status);
    assert_eq!(known, [401, 200]);
}

#[test]
fn the_log_keeps_its_lines_for_so_long() {
    let mut tracker = Tracker::start("[log]\nkeep = \"1h\"\n");
    ["ann", "bob"].iter().for_each(|name| tracker.user(name));
    meanwhile(
        &mut tracker,
        "UPDATE log SET time = time - iif(account = 'ann', 3700000, 3500000)",
    );
    wait_for("a shorter log", || {
        let log = tracker.ok(&["log"], "");
        assert!(log.contains("bob was added"), "{log}");
        (!log.contains("ann was added")).then_some(()).ok_or(log)
    });
}

#[test]
fn the_reason_of_a_database_error_is_in_the_programs_log() {
    let tracker = Tracker::start("");
    tracker.user("ann");
    let token = tracker.token("ann", "nas1");
    let db = rusqlite::Connection::open(tracker.state().join("tracker.db")).unwrap();
    db.execute_batch("DROP TABLE files_text").unwrap();
    let failed = tracker.get("/v1/files?q=abcd", &token);
    failed.expect_problem(500, "internal");
    assert!(tracker.log().contains("files_text"), "{}", tracker.log());
}
