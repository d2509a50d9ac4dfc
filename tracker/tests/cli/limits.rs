//! What is bounded: bodies, torrents, guesses, invitations.

use std::io::Write;
use std::net::TcpStream;

use p2p_wire::points::CONTENT_TYPE;
use serde_json::json;

use crate::harness::{PASSWORD, PATIENCE, Tracker, read_answer, torrent};

const JSON: (&str, &str) = ("content-type", "application/json");

#[test]
fn bodies_are_checked_before_they_are_read() {
    let tracker = Tracker::start("");
    tracker.user("ann");
    let bearer = format!("Bearer {}", tracker.token("ann", "nas1"));
    let auth = ("authorization", bearer.as_str());
    let plain = ("content-type", "text/plain");
    tracker
        .http("POST", "/v1/login", &[plain], b"{}")
        .expect_problem(415, "wrong-type");
    tracker
        .http("POST", "/v1/files", &[auth], b"{}")
        .expect_problem(415, "wrong-type");
    tracker
        .http("POST", "/v1/points", &[auth, JSON], b"{}")
        .expect_problem(415, "wrong-type");
    tracker
        .http("POST", "/v1/login", &[JSON], b"{")
        .expect_problem(400, "bad-request");
    tracker
        .http("POST", "/v1/login", &[JSON], b"")
        .expect_problem(400, "bad-request");
    let points = ("content-type", CONTENT_TYPE);
    tracker
        .http("POST", "/v1/points", &[points], b"")
        .expect_problem(401, "login-required");
    for bad in [&b""[..], b"\x02", b"\x01\0\0\0", &[0xff; 64]] {
        tracker
            .http("POST", "/v1/points", &[auth, points], bad)
            .expect_problem(400, "bad-request");
    }
    tracker
        .http("POST", "/v1/login", &[JSON], &vec![b' '; 70_000])
        .expect_problem(413, "too-large");
    let huge = ("content-length", "99999999999");
    tracker
        .http("POST", "/v1/files", &[auth, JSON, huge], b"{")
        .expect_problem(413, "too-large");
    tracker
        .http("POST", "/v1/points", &[auth, points, huge], b"")
        .expect_problem(413, "too-large");
    // The same without saying so beforehand.
    let mut socket = TcpStream::connect(tracker.addr()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = "POST /v1/login HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    socket.write_all(head.as_bytes()).unwrap();
    for _ in 0..10 {
        // The answer may come before the end.
        let _ = socket.write_all(format!("2000\r\n{}\r\n", " ".repeat(0x2000)).as_bytes());
    }
    read_answer(&mut socket).expect_problem(413, "too-large");
}

#[test]
fn a_torrent_that_is_too_large_is_refused() {
    let tracker = Tracker::start("[catalogue]\nmax_torrent = \"1KiB\"\n");
    tracker.user("ann");
    let token = tracker.token("ann", "nas1");
    tracker
        .publish(&token, "s", "a", &torrent("a", 60, 1))
        .expect_problem(413, "too-large");
    tracker
        .publish(&token, "s", "a", &torrent("a", 3, 1))
        .expect(201);
}

#[test]
fn guessing_is_slowed_down() {
    let tracker = Tracker::start("[limits]\nfailures_per_minute = 3\nlogins_per_minute = 6\n");
    tracker.user("ann");
    let login = |name: &str, password: &str| {
        tracker.api(
            "POST",
            "/v1/login",
            "",
            &json!({"username": name, "password": password, "node_name": "x"}),
        )
    };
    for _ in 0..3 {
        login("ann", "wrong password").expect_problem(401, "bad-credentials");
    }
    let slowed = login("ann", PASSWORD);
    slowed.expect_problem(429, "slow-down");
    assert!(
        slowed.head.to_lowercase().contains("retry-after: "),
        "{slowed:?}"
    );
    login("bob", PASSWORD).expect_problem(401, "bad-credentials");
    login("bob", PASSWORD).expect_problem(401, "bad-credentials");
    login("carl", PASSWORD).expect_problem(429, "slow-down");
}

#[test]
fn an_invitation_is_good_once() {
    let tracker = Tracker::start("");
    let codes = tracker.ok(&["invite", "-n", "2"], "");
    let codes: Vec<&str> = codes.lines().collect();
    let register = |name: &str, code: &str| {
        tracker.api(
            "POST",
            "/v1/register",
            "",
            &json!({"username": name, "password": PASSWORD, "invite": code}),
        )
    };
    register("ann", codes[0]).expect(201);
    register("bob", codes[0]).expect_problem(403, "bad-invite");
    // A refused registration does not use the code up.
    register("ann", codes[1]).expect_problem(409, "name-taken");
    register("bob", &codes[1].to_uppercase()).expect(201);
}
