//! Starting, stopping, crashing.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal::{SIGHUP, SIGINT, SIGKILL, SIGTERM};
use serde_json::{Value, json};

use crate::answers::{read_answer, text};
use crate::harness::{PASSWORD, PATIENCE, Tracker, torrent, wait_for};

#[test]
fn a_restart_keeps_accounts_sessions_files_and_versions() {
    let mut tracker = Tracker::start("");
    tracker.user("ann");
    let session = tracker.login("ann", "nas1");
    let token = session["token"].as_str().unwrap();
    for seed in 1..=3 {
        tracker
            .publish(token, "Public", "big.iso", &torrent("big.iso", 4, seed))
            .expect(201);
    }
    tracker.restart();
    let newest = tracker
        .get("/v1/names/ann/Public/big.iso", token)
        .expect(200);
    assert_eq!(
        (newest["version"].as_u64(), newest["newest"].as_bool()),
        (Some(3), Some(true))
    );
    assert_eq!(
        tracker
            .get("/v1/names/ann/Public/big.iso@2", token)
            .expect(200)["newest"],
        false
    );
    assert_eq!(
        tracker.get("/v1/files?versions=1", token).expect(200)["items"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
    assert_eq!(
        tracker.get("/v1/files", token).expect(200)["items"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let me = tracker.get("/v1/me", token).expect(200);
    let passkey = |url: &Value| url.as_str().unwrap().rsplit('/').nth(1).unwrap().to_owned();
    assert_eq!(
        passkey(&me["announce_url"]),
        passkey(&session["announce_url"]),
        "passkeys outlive the process"
    );
    let again = json!({"username": "ann", "password": PASSWORD, "node_name": "nas1", "node_id": session["node_id"]});
    assert_eq!(
        tracker.api("POST", "/v1/login", "", &again).expect(200)["node_id"],
        session["node_id"]
    );
    assert_eq!(
        tracker.login("ann", "nas1")["node_name"],
        "nas1-2",
        "another machine of that name"
    );
}

#[test]
fn what_was_acknowledged_outlives_a_kill() {
    let mut tracker = Tracker::start("");
    tracker.user("ann");
    let token = tracker.token("ann", "nas1");
    for round in 0..3u8 {
        let content = torrent("big.iso", 4, round);
        tracker
            .publish(&token, "Public", &format!("{round}.iso"), &content)
            .expect(201);
        tracker.end(SIGKILL);
        tracker.run();
        let files = tracker.get("/v1/files", &token).expect(200);
        assert_eq!(
            files["items"].as_array().unwrap().len(),
            usize::from(round) + 1
        );
    }
}

#[test]
fn stops_within_five_seconds_whoever_is_connected() {
    for signal in [SIGTERM, SIGINT] {
        let mut tracker = Tracker::start("");
        let idle: Vec<TcpStream> = (0..5)
            .map(|_| TcpStream::connect(tracker.addr()).unwrap())
            .collect();
        let mut half = TcpStream::connect(tracker.addr()).unwrap();
        half.write_all(b"POST /v1/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{").unwrap();
        assert_eq!(tracker.get("/healthz", "").status, 200);
        let start = Instant::now();
        assert_eq!(tracker.end(signal), Some(0), "{}", tracker.log());
        assert!(
            start.elapsed() < Duration::from_secs(5),
            "took {:?}",
            start.elapsed()
        );
        assert!(
            !tracker.state().join("http.addr").exists()
                && !tracker.state().join("admin.sock").exists()
        );
        drop(idle);
    }
}

#[test]
fn a_second_one_says_who_has_the_state() {
    let tracker = Tracker::start("");
    let second = tracker.cli(&["serve"], "");
    let said = text(&second.stderr);
    assert_eq!(second.status.code(), Some(6), "{said}");
    assert!(
        said.contains(&format!("process {} (p2p-tracker serve)", tracker.pid())),
        "{said}"
    );
    assert_eq!(tracker.get("/readyz", "").status, 200, "the first goes on");
}

#[test]
fn a_damaged_database_is_named_and_left_alone() {
    let mut tracker = Tracker::start("");
    tracker.user("ann");
    let database = tracker.state().join("tracker.db");
    tracker.end(SIGTERM);
    let good = std::fs::read(&database).unwrap();
    let mut torn = good.clone();
    torn[4096..12_288].fill(0x5a);
    for bad in [b"".to_vec(), b"not a database at all".repeat(500), torn] {
        std::fs::write(&database, &bad).unwrap();
        let tried = tracker.cli(&["serve"], "");
        let said = text(&tried.stderr);
        assert_eq!(tried.status.code(), Some(11), "{said}");
        assert!(
            said.contains("is damaged") && said.contains("Restore a backup"),
            "{said}"
        );
        assert!(
            std::fs::read(&database).unwrap() == bad,
            "nothing was changed"
        );
    }
    std::fs::write(&database, &good).unwrap();
    tracker.run();
    tracker.token("ann", "nas1");
}

#[test]
fn a_backup_of_a_running_tracker_starts_another() {
    let tracker = Tracker::start("");
    tracker.user("ann");
    let token = tracker.token("ann", "nas1");
    tracker
        .publish(&token, "Public", "big.iso", &torrent("big.iso", 4, 1))
        .expect(201);
    let copy = tracker.path("copy.db");
    tracker.ok(&["backup", copy.to_str().unwrap()], "");
    let again = tracker.cli(&["backup", copy.to_str().unwrap()], "");
    assert_eq!(
        again.status.code(),
        Some(6),
        "an existing file is not overwritten: {}",
        text(&again.stderr)
    );

    let mut other = Tracker::stopped("");
    std::fs::create_dir(other.state()).unwrap();
    std::fs::copy(&copy, other.state().join("tracker.db")).unwrap();
    other.run();
    assert_eq!(
        other.get("/v1/files", &token).expect(200)["items"][0]["entry"],
        "big.iso"
    );
    // The same without a running tracker.
    other.end(SIGTERM);
    other.ok(&["backup", other.path("second.db").to_str().unwrap()], "");
    assert!(other.path("second.db").metadata().unwrap().len() > 4096);
}

#[test]
fn a_bad_configuration_ends_with_78_and_its_place() {
    let tracker = Tracker::stopped("[limits]\nlogins_per_minit = 3\n");
    for args in [&["serve"][..], &["config", "check"], &["user", "ls"]] {
        let output = tracker.cli(args, "");
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{said}");
        assert!(
            said.contains("tracker.toml:4:1: unknown key `logins_per_minit` in `[limits]`"),
            "{said}"
        );
        assert!(said.contains("Did you mean `logins_per_minute`?"), "{said}");
    }
    assert!(
        tracker
            .ok(&["config", "path"], "")
            .trim()
            .ends_with("tracker.toml")
    );
    let defaults = tracker.ok(&["config", "defaults"], "");
    std::fs::write(tracker.path("tracker.toml"), &defaults).unwrap();
    assert!(tracker.ok(&["config", "check"], "").contains("good"));
}

#[test]
fn a_hangup_reads_the_configuration_again() {
    let tracker = Tracker::start("[accounts]\nregistration = \"closed\"\n");
    let register = || {
        tracker.api(
            "POST",
            "/v1/register",
            "",
            &json!({"username": "ann", "password": PASSWORD}),
        )
    };
    register().expect_problem(403, "registration-closed");
    let file = tracker.path("tracker.toml");
    let config = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, "[acounts]").unwrap();
    nix::sys::signal::kill(tracker.pid(), SIGHUP).unwrap();
    wait_for("the refusal", || {
        tracker
            .log()
            .contains("was not taken")
            .then_some(())
            .ok_or(tracker.log())
    });
    register().expect_problem(403, "registration-closed");
    std::fs::write(&file, config.replace("closed", "open")).unwrap();
    nix::sys::signal::kill(tracker.pid(), SIGHUP).unwrap();
    wait_for("the reload", || {
        tracker
            .log()
            .contains("read again")
            .then_some(())
            .ok_or(tracker.log())
    });
    register().expect(201);
}

#[test]
fn a_body_that_does_not_come_is_not_waited_for() {
    let tracker = Tracker::start("[limits]\nrequest_time = \"1s\"\n");
    let mut socket = TcpStream::connect(tracker.addr()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.write_all(b"POST /v1/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{").unwrap();
    let answer = read_answer(&mut socket);
    answer.expect_problem(503, "unavailable");
    assert!(
        answer.head.to_lowercase().contains("retry-after: "),
        "{answer:?}"
    );
}

#[test]
fn a_full_disk_refuses_and_loses_nothing() {
    let mut tracker = Tracker::start("");
    tracker.user("ann");
    let token = tracker.token("ann", "nas1");
    tracker.end(SIGTERM);
    tracker.run_on_a_small_disk(1_000);
    let mut published = 0;
    let refused = loop {
        let content = torrent("big.iso", 5_000, published);
        let answer = tracker.publish(&token, "Public", &format!("{published}.iso"), &content);
        if answer.status != 201 {
            break answer;
        }
        published += 1;
        assert!(published < 100, "the disk never filled");
    };
    refused.expect_problem(503, "unavailable");
    assert!(refused.head.to_lowercase().contains("retry-after"));
    assert!(published > 0);
    let count = |tracker: &Tracker| {
        tracker.get("/v1/files?limit=500", &token).expect(200)["items"]
            .as_array()
            .unwrap()
            .len()
    };
    assert_eq!(
        count(&tracker),
        usize::from(published),
        "what was acknowledged is there, what was refused is not"
    );
    tracker.end(SIGTERM);
    tracker.run();
    assert_eq!(count(&tracker), usize::from(published));
    let content = torrent("big.iso", 5_000, published);
    tracker
        .publish(&token, "Public", &format!("{published}.iso"), &content)
        .expect(201);
}
