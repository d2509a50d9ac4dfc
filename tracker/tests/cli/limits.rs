//! What is bounded: bodies, torrents, guesses, invitations.

use std::io::Write;
use std::net::TcpStream;

use p2p_wire::points::CONTENT_TYPE;
use serde_json::json;

use crate::answers::read_answer;
use crate::harness::{PASSWORD, PATIENCE, Tracker, torrent};

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
fn an_account_stores_only_so_much_until_it_withdraws_some() {
    let tracker = Tracker::start("[limits]\nstored_per_account = \"20KiB\"\n");
    ["ann", "bob"].iter().for_each(|name| tracker.user(name));
    let [ann, bob] = ["ann", "bob"].map(|name| tracker.token(name, "nas"));
    let contents: Vec<_> = (0..5).map(|seed| torrent("a", 4, seed)).collect();
    for (at, content) in contents.iter().enumerate() {
        let answer = tracker.publish(&ann, "s", &at.to_string(), content);
        if at < 4 {
            answer.expect(201);
        } else {
            answer.expect_problem(403, "forbidden");
        }
    }
    tracker.publish(&bob, "s", "4", &contents[4]).expect(201);
    tracker.publish(&ann, "s", "0", &contents[0]).expect(200);
    let path = format!("/v1/files/{}", contents[0].info.info_hash());
    let gone = tracker.api("DELETE", &path, &ann, &serde_json::Value::Null);
    gone.expect(204);
    tracker.publish(&ann, "s", "4", &contents[4]).expect(201);
}

#[test]
fn every_listening_address_serves_however_few_connections_there_may_be() {
    let mut tracker = Tracker::stopped("");
    let config = "[http]\nlisten = [\"127.0.0.1:0\", \"127.0.0.1:0\"]\n[limits]\nconnections = 1\n";
    std::fs::write(tracker.path("tracker.toml"), config).unwrap();
    tracker.run();
    let addresses = std::fs::read_to_string(tracker.state().join("http.addr")).unwrap();
    assert_eq!(addresses.lines().count(), 2);
    for address in addresses.lines().chain(addresses.lines()) {
        let mut socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = "GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        socket.write_all(head.as_bytes()).unwrap();
        assert_eq!(read_answer(&mut socket).status, 200, "{address}");
    }
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
fn guessing_side_by_side_is_no_faster() {
    let tracker = Tracker::start("[limits]\nfailures_per_minute = 3\nlogins_per_minute = 1000\n");
    tracker.user("ann");
    let body = json!({"username": "ann", "password": "wrong password", "node_name": "x"});
    let guess = || tracker.api("POST", "/v1/login", "", &body).status;
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..16).map(|_| scope.spawn(guess)).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let count = |status| statuses.iter().filter(|one| **one == status).count();
    // One more may have come in meanwhile, 20 s after the first.
    assert!((3..=4).contains(&count(401)), "{statuses:?}");
    assert_eq!(count(401) + count(429), 16, "{statuses:?}");
}

#[test]
fn nobody_is_locked_out_by_strangers() {
    let config = "trusted_proxies = [\"127.0.0.1\"]\n[limits]\nfailures_per_minute = 2\n";
    let tracker = Tracker::start(config);
    tracker.user("ann");
    let from = |address: &str, method: &str, path: &str, token: &str, body: serde_json::Value| {
        let bearer = format!("Bearer {token}");
        let mut headers = vec![JSON, ("x-forwarded-for", address)];
        if !token.is_empty() {
            headers.push(("authorization", &bearer));
        }
        let body = serde_json::to_vec(&body).unwrap();
        tracker.http(method, path, &headers, &body)
    };
    let login = |address: &str, password: &str| {
        let body = json!({"username": "ann", "password": password, "node_name": "x"});
        from(address, "POST", "/v1/login", "", body)
    };
    let session = login("10.0.0.1", PASSWORD).expect(200);
    for _ in 0..2 {
        login("10.0.0.2", "wrong password").expect_problem(401, "bad-credentials");
    }
    login("10.0.0.2", PASSWORD).expect_problem(429, "slow-down");
    login("10.0.0.1", PASSWORD).expect(200);
    // Nor is who is logged in, where the stranger sits.
    let token = session["token"].as_str().unwrap();
    let change = |old: &str| {
        let body = json!({"old": old, "new": "another good password"});
        from("10.0.0.2", "POST", "/v1/me/password", token, body)
    };
    change("wrong password").expect_problem(401, "bad-credentials");
    change(PASSWORD).expect(204);
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
