//! The control socket byte by byte.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::home::{Client, DEADLINE, Home};

#[test]
fn it_greets_and_tells_its_status() {
    let home = Home::new();
    let running = home.start();
    let mut client = Client::connect(&home.socket());
    let welcome = client
        .call("hello", json!({"proto": [0, 7], "client": "test"}))
        .unwrap();
    assert_eq!(welcome["mode"], "user");
    assert_eq!(welcome["role"], "admin");
    assert_eq!(welcome["unhealthy"], Value::Null);
    let status = client.call("status", Value::Null).unwrap();
    assert_eq!(status["pid"], running.child.id());
    assert_eq!(status["items"], 0);
    assert_ne!(status["port"], 0);
    let downloads = home.path("downloads");
    assert_eq!(status["download_dir"], downloads.to_str().unwrap());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&home.socket()), 0o600);
    assert_eq!(mode(&home.path("run")), 0o700);
    assert_eq!(mode(&home.path("state")), 0o700);
    for file in ["state.db", "state.db-wal"] {
        assert_eq!(mode(&home.path("state").join(file)), 0o600, "{file}");
    }
}

#[test]
fn the_system_daemons_socket_is_for_its_group_too() {
    let home = Home::new();
    let _running = home.spawn(home.command().arg("--system"));
    let deadline = Instant::now() + DEADLINE;
    while UnixStream::connect(home.socket()).is_err() {
        assert!(Instant::now() < deadline, "p2pd does not listen");
        std::thread::sleep(Duration::from_millis(10));
    }
    let mut client = Client::connect(&home.socket());
    let hello = json!({"proto": [1, 1], "client": "test"});
    assert_eq!(client.call("hello", hello).unwrap()["mode"], "system");
    let mode = fs::metadata(home.socket()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
}

#[test]
fn what_is_no_greeting_is_refused_and_ends_the_connection() {
    let home = Home::new();
    let _running = home.start();
    let hello = |proto: Value| {
        let params = json!({"proto": proto, "client": "test"});
        json!({"jsonrpc": "2.0", "id": 1, "method": "hello", "params": params}).to_string()
    };
    for (line, code, words) in [
        ("GET / HTTP/1.1".to_owned(), -32700, "no JSON"),
        ("[]".to_owned(), -32600, "no JSON-RPC"),
        (
            "{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"hello\"}".to_owned(),
            -32600,
            "no JSON-RPC",
        ),
        (
            "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"status\"}".to_owned(),
            -32600,
            "must be `hello`",
        ),
        (hello(json!("x")), -32602, "parameters"),
        (hello(json!([2, 9])), 12, "understand"),
        ("x".repeat(5 << 20), -32600, "too long"),
    ] {
        let mut client = Client::connect(&home.socket());
        client.send(&line);
        // What is refused unread may lose the answer to the reset of the connection.
        if let Some(answer) = client.line() {
            let error = &answer["error"];
            assert_eq!(error["code"], code, "{error}");
            assert!(
                error["message"].as_str().unwrap().contains(words),
                "{error}"
            );
            assert_eq!(client.line(), None);
        } else {
            assert!(line.len() > 4 << 20, "no answer");
        }
    }
}

#[test]
fn a_client_that_does_not_greet_within_5_s_is_closed() {
    let home = Home::new();
    let _running = home.start();
    let start = Instant::now();
    let mut client = Client::connect(&home.socket());
    let answer = client.line().unwrap();
    assert_eq!(answer["error"]["code"], -32600);
    assert_eq!(client.line(), None);
    let waited = start.elapsed();
    assert!((4..10).contains(&waited.as_secs()), "{waited:?}");
}

#[test]
fn after_the_greeting_wrong_lines_are_answered_and_the_connection_goes_on() {
    let home = Home::new();
    let _running = home.start();
    let mut client = home.client();
    client.send("what?");
    assert_eq!(client.line().unwrap()["error"]["code"], -32700);
    client.send("{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"method\":\"status\"}");
    assert_eq!(client.line().unwrap()["error"]["code"], -32600);
    let error = client.call("no.such", Value::Null).unwrap_err();
    assert_eq!(error["code"], -32601);
    assert_eq!(error["data"]["why"], "p2pd does not know `no.such`");
    client.send("{\"jsonrpc\":\"2.0\",\"method\":\"no.such\"}");
    client.send("");
    assert!(client.call("status", Value::Null).is_ok());
}

/// Each method with parameters that are wrong, and the error's code.

#[test]
fn every_method_refuses_wrong_parameters() {
    let home = Home::new();
    let _running = home.start();
    let mut client = home.client();
    let nobody = "00112233445566778899aabbccddeeff00112233";
    for (method, params, code) in [
        ("share.add", json!({}), -32602),
        ("share.add", json!({"path": "relative"}), 2),
        ("share.add", json!({"path": "/no/such/folder"}), 4),
        ("share.add", json!({"path": "/tmp", "each": "some"}), -32602),
        ("share.wait", json!({}), 2),
        ("share.wait", json!({"share": "nothing"}), 4),
        ("share.remove", json!({}), 2),
        ("share.remove", json!({"share": "nothing"}), 4),
        ("share.rescan", json!({"share": {"bytes": "?"}}), 2),
        ("share.rescan", json!({"share": "nothing"}), 4),
        ("fetch.add", json!({}), 2),
        ("fetch.add", json!({"target": "magnet:?x"}), 2),
        ("fetch.add", json!({"target": nobody}), 13),
        ("torrent.part", json!({"data": "?"}), 2),
        ("fetch.add", json!({"torrent": true}), 10),
        ("fetch.add", json!({"target": nobody, "dir": "here"}), 2),
        (
            "fetch.add",
            json!({"target": nobody, "dir": "/a", "data": "/b"}),
            2,
        ),
        (
            "fetch.add",
            json!({"target": nobody, "peers": ["nowhere"]}),
            2,
        ),
        ("item.wait", json!({}), -32602),
        ("item.wait", json!({"item": nobody}), 4),
        ("item.list", json!({"sort": "colour"}), 2),
        ("item.list", json!({"limit": -1}), -32602),
        ("item.show", json!({"item": nobody, "parts": ["soul"]}), 2),
        ("item.pause", json!({}), 2),
        ("item.pause", json!({"items": [nobody]}), 4),
        ("item.resume", json!({"items": [nobody]}), 4),
        ("item.announce", json!({"items": [nobody]}), 4),
        ("item.verify", json!({"items": "all"}), -32602),
        (
            "item.set",
            json!({"item": nobody, "key": "down", "value": "fast"}),
            2,
        ),
        (
            "item.set",
            json!({"item": nobody, "key": "colour", "value": "red"}),
            2,
        ),
        (
            "item.set",
            json!({"item": nobody, "key": "down", "value": "none"}),
            4,
        ),
        ("item.move", json!({"item": nobody, "dir": "here"}), 2),
        ("item.move", json!({"item": nobody, "dir": "/tmp"}), 4),
        ("item.remove", json!({}), -32602),
        ("item.remove", json!({"items": []}), 2),
        ("item.remove", json!({"items": [nobody]}), 4),
        ("item.link", json!({"item": nobody}), 4),
        ("tracker.add", json!({"name": "x"}), -32602),
        ("tracker.add", json!({"name": "x", "url": "ftp://x"}), 2),
        ("tracker.remove", json!({}), 2),
        ("tracker.remove", json!({"tracker": "x"}), 4),
        ("tracker.test", json!({"tracker": "x"}), 4),
        ("account.register", json!({"username": "x"}), -32602),
        (
            "account.login",
            json!({"username": "x", "password": "y", "tracker": "z"}),
            4,
        ),
        ("account.logout", json!({"tracker": 1}), -32602),
        ("account.whoami", json!({"tracker": "x"}), 4),
        ("catalogue.publish", json!({}), 2),
        ("catalogue.publish", json!({"item": nobody}), 4),
        ("catalogue.unpublish", json!({}), -32602),
        ("catalogue.search", json!({"tracker": "x"}), 4),
        ("catalogue.nodes", json!({"tracker": "x"}), 4),
        ("limits.set", json!({"down": "5MiB"}), -32602),
        ("config.get", json!({"key": "limits.downlaod"}), 4),
        (
            "config.set",
            json!({"key": "network.port", "value": "many"}),
            2,
        ),
        ("config.unset", json!({"key": "nothing"}), 4),
        ("history.list", json!({"item": "nothing"}), 4),
        ("log.tail", json!({"item": "nothing"}), 4),
        ("events.subscribe", json!({"topics": 1}), -32602),
        ("cancel", json!({}), -32602),
    ] {
        let error = match client.call(method, params.clone()) {
            Err(error) => error,
            Ok(value) => panic!("{method} {params} is taken: {value}"),
        };
        assert_eq!(error["code"], code, "{method} {params}: {error}");
        assert_ne!(error["message"], "", "{method} {params}");
        assert_ne!(error["data"]["why"], "", "{method} {params}: {error}");
    }
    assert!(client.call("status", Value::Null).is_ok());
}

#[test]
fn the_log_can_be_read_and_followed_until_cancelled() {
    let home = Home::new();
    let _running = home.start();
    let mut client = home.client();
    let lines = client.call("log.tail", json!({"lines": 1_000})).unwrap();
    let has = |lines: &Value, text: &str| lines.to_string().contains(text);
    assert!(has(&lines, "is ready: peers on port"), "{lines}");

    let follow = client.start("log.tail", json!({"lines": 0, "follow": true}));
    assert_eq!(client.line().unwrap()["method"], "progress");
    let reload = client.start("daemon.reload", Value::Null);
    let (mut answered, mut logged) = (false, false);
    while !(answered && logged) {
        let line = client.line().unwrap();
        answered |= line["id"] == reload;
        logged |= has(&line["params"]["progress"], "configuration reloaded");
    }
    client.call("cancel", json!({"id": follow})).unwrap();
    let ended = client.answer(follow).unwrap_err();
    assert_eq!(ended["code"], 8);
    // Its id is free again.
    assert!(client.call("cancel", json!({"id": follow})).is_ok());
}

#[test]
fn requests_of_one_client_run_side_by_side_and_clients_are_bounded() {
    let home = Home::new();
    let _running = home.start();
    let mut client = home.client();
    let slow = client.start("log.tail", json!({"follow": true}));
    assert!(client.call("status", Value::Null).is_ok());
    client.send(&json!({"jsonrpc": "2.0", "id": slow, "method": "status"}).to_string());
    let refused = client.answer(slow).unwrap_err();
    assert_eq!(refused["code"], -32600);

    let mut others: Vec<_> = (0..63).map(|_| home.client()).collect();
    let mut late = Client::connect(&home.socket());
    assert_eq!(late.line().unwrap()["error"]["code"], 6);
    assert_eq!(late.line(), None);
    others.pop();
    let deadline = Instant::now() + DEADLINE;
    loop {
        let mut again = Client::connect(&home.socket());
        again.start("hello", json!({"proto": [1, 1], "client": "test"}));
        if again
            .line()
            .is_some_and(|line| line.get("result").is_some())
        {
            break;
        }
        assert!(Instant::now() < deadline, "no room though one has gone");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_client_that_reads_nothing_is_dropped_and_others_are_served() {
    let home = Home::new();
    let _running = home.start();
    let mut deaf = home.client();
    let stream = deaf.reader.get_ref().try_clone().unwrap();
    let (dropped, is_dropped) = std::sync::mpsc::channel();
    let flood = std::thread::spawn(move || {
        let call =
            json!({"jsonrpc": "2.0", "id": 1, "method": "config.get", "params": {"key": ""}});
        let line = format!("{call}\n");
        while (&stream).write_all(line.as_bytes()).is_ok() {}
        dropped.send(()).unwrap();
    });
    let mut other = home.client();
    let deadline = Instant::now() + Duration::from_secs(40);
    while is_dropped.recv_timeout(Duration::from_millis(100)).is_err() {
        let asked = Instant::now();
        assert!(other.call("status", Value::Null).is_ok());
        assert!(asked.elapsed() < Duration::from_secs(3), "others wait");
        assert!(Instant::now() < deadline, "it is not dropped");
    }
    flood.join().unwrap();
    while deaf.line().is_some() {}
}

#[test]
fn what_a_client_began_is_done_whole_though_the_client_goes() {
    const FILES: usize = 200;
    let home = Home::new();
    let _running = home.start();
    let folder = home.path("Public");
    fs::create_dir(&folder).unwrap();
    for n in 0..FILES {
        fs::write(folder.join(n.to_string()), format!("content {n}")).unwrap();
    }
    let mut client = home.client();
    let add = json!({"path": folder, "once": true});
    client.call("share.add", add).unwrap();
    let waited = client.call("share.wait", json!({"share": folder}));
    assert_eq!(waited.unwrap()["items"], FILES);

    let mut hasty = home.client();
    hasty.start("share.remove", json!({"share": folder}));
    drop(hasty);
    let deadline = Instant::now() + DEADLINE;
    loop {
        let shares = client.call("share.list", Value::Null).unwrap();
        let items = client.call("item.list", json!({})).unwrap();
        if shares == json!([]) && items["items"] == json!([]) {
            break;
        }
        assert!(Instant::now() < deadline, "still there: {shares}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
