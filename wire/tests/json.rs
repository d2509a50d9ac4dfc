//! The JSON that scripts and other versions read: names and types of fields are only ever added, never changed.
#![allow(clippy::unwrap_used)] // a test may panic

use p2p_wire::api::Visibility;
use p2p_wire::control::{
    Each, ErrorKind, Event, HookRun, Item, Limits, LogLine, PathText, Share, State, Status,
    Tracker, Transfer,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

#[path = "json/answers.rs"]
mod answers;
#[path = "json/api.rs"]
mod api;
#[path = "json/detail.rs"]
mod detail;

const TIME: &str = "2026-01-02T03:04:05Z";
const HASH: &str = "3f2a0b6c9d1e4f7081a2b3c4d5e6f708192a3b4c";

/// `value` is written as `expected`, and `expected` is read as what is written so.
fn frozen<T: Serialize + DeserializeOwned>(value: &T, expected: Value) {
    assert_eq!(serde_json::to_value(value).unwrap(), expected);
    let read: T = serde_json::from_value(expected.clone()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), expected);
}

fn share() -> Share {
    Share {
        name: "Public".into(),
        path: PathText::Text("/home/ann/Public".into()),
        each: Each::Entry,
        state: "watching".into(),
        reason: None,
        items: 17,
        size: 2_576_980_377,
        published: 17,
        refused: 0,
        pending: 0,
        left_out: [("hidden".to_owned(), 2)].into(),
        tracker: Some("home".into()),
        visibility: Visibility::Members,
        owner_uid: 1_000,
    }
}

fn share_json() -> Value {
    json!({
        "name": "Public", "path": "/home/ann/Public", "each": "entry", "state": "watching", "reason": null, "items": 17,
        "size": 2_576_980_377_u64, "published": 17, "refused": 0, "pending": 0, "left_out": {"hidden": 2}, "tracker": "home",
        "visibility": "members", "owner_uid": 1_000,
    })
}

fn item() -> Item {
    Item {
        info_hash: HASH.parse().unwrap(),
        name: "big.iso".into(),
        state: State::Fetching,
        done: 1,
        size: 2,
        pieces_done: 3,
        pieces: 4,
        piece_len: 5,
        down_rate: 6,
        up_rate: 7,
        downloaded: 8,
        uploaded: 9,
        wasted: 10,
        peers: 11,
        seeds: 12,
        copies: 0.5,
        missing: Some(13),
        eta_s: Some(14),
        path: PathText::Raw {
            bytes: "L/8=".into(),
        },
        share: None,
        reason: Some("no peers".into()),
        error_kind: None,
        bad_pieces: None,
        added: "2026-01-02T03:04:05Z".into(),
        completed: None,
        private: true,
        owner_uid: 1_000,
    }
}

fn item_json() -> Value {
    json!({
        "info_hash": HASH, "name": "big.iso", "state": "fetching", "done": 1, "size": 2, "pieces_done": 3, "pieces": 4,
        "piece_len": 5, "down_rate": 6, "up_rate": 7, "downloaded": 8, "uploaded": 9, "wasted": 10, "peers": 11,
        "seeds": 12, "copies": 0.5, "missing": 13, "eta_s": 14, "path": {"bytes": "L/8="}, "share": null,
        "reason": "no peers", "added": "2026-01-02T03:04:05Z", "completed": null, "private": true, "owner_uid": 1_000,
    })
}

#[test]
fn an_item() {
    let mut item = item();
    frozen(&item, item_json());
    item.error_kind = Some(ErrorKind::Disk);
    let stopped = serde_json::to_value(&item).unwrap();
    assert_eq!(stopped["error_kind"], "disk");
}

#[test]
fn the_status() {
    let status = Status {
        server: "p2pd 0.1.0".into(),
        pid: 1,
        mode: "user".into(),
        uptime_s: 2,
        port: 3,
        items: 4,
        seeding: 5,
        fetching: 6,
        held: 1,
        paused: 7,
        errors: 8,
        peers: 9,
        down_rate: 10,
        up_rate: 11,
        downloaded: 12,
        uploaded: 13,
        shares: vec![share()],
        trackers: vec![Tracker {
            name: "home".into(),
            url: "http://nas:6969".into(),
            username: Some("ann".into()),
            node: None,
            fingerprint: None,
            state: "ok".into(),
            reason: None,
            queued: 0,
        }],
        download_dir: PathText::Text("/d".into()),
        limits: Limits {
            down: None,
            up: Some(14),
        },
        config: Some(PathText::Text("/c".into())),
        state_dir: Some(PathText::Text("/s".into())),
        warnings: vec!["w".into()],
    };
    frozen(
        &status,
        json!({
            "server": "p2pd 0.1.0", "pid": 1, "mode": "user", "uptime_s": 2, "port": 3, "items": 4, "seeding": 5, "fetching": 6,
            "held": 1, "paused": 7, "errors": 8, "peers": 9, "down_rate": 10, "up_rate": 11, "downloaded": 12, "uploaded": 13,
            "shares": [share_json()],
            "trackers": [{"name": "home", "url": "http://nas:6969", "username": "ann", "node": null, "fingerprint": null, "state": "ok",
                "reason": null, "queued": 0}],
            "download_dir": "/d", "limits": {"down": null, "up": 14}, "config": "/c", "state_dir": "/s", "warnings": ["w"],
        }),
    );
}

#[test]
fn an_event() {
    let event = Event {
        seq: 1,
        time: "2026-01-02T03:04:05Z".into(),
        topic: "item.finished".into(),
        info_hash: Some(HASH.parse().unwrap()),
        name: None,
        text: "done".into(),
        owner_uid: Some(1_000),
    };
    frozen(
        &event,
        json!({
            "seq": 1, "time": "2026-01-02T03:04:05Z", "topic": "item.finished", "info_hash": HASH, "name": null, "text": "done",
            "owner_uid": 1_000,
        }),
    );
}

#[test]
fn what_happened() {
    let line = LogLine {
        time: TIME.into(),
        level: "info".into(),
        text: "t".into(),
        info_hash: None,
    };
    frozen(
        &line,
        json!({"time": TIME, "level": "info", "text": "t", "info_hash": null}),
    );
    let transfer = Transfer {
        info_hash: HASH.parse().unwrap(),
        name: "n".into(),
        peer: "10.0.0.1:1".into(),
        client: "c".into(),
        downloaded: 1,
        uploaded: 2,
        started: TIME.into(),
        ended: TIME.into(),
    };
    frozen(
        &transfer,
        json!({
            "info_hash": HASH, "name": "n", "peer": "10.0.0.1:1", "client": "c", "downloaded": 1, "uploaded": 2, "started": TIME,
            "ended": TIME,
        }),
    );
    let run = HookRun {
        time: TIME.into(),
        event: "item.finished".into(),
        event_id: "e".into(),
        hook: "10-a".into(),
        info_hash: None,
        name: Some("n".into()),
        outcome: "ok".into(),
        exit: Some(0),
        took_ms: 3,
        reason: None,
        tail: "done".into(),
    };
    frozen(
        &run,
        json!({
            "time": TIME, "event": "item.finished", "event_id": "e", "hook": "10-a", "info_hash": null, "name": "n", "outcome": "ok",
            "exit": 0, "took_ms": 3, "reason": null, "tail": "done",
        }),
    );
}

#[test]
fn states_and_kinds_of_errors_have_stable_names_and_exit_codes() {
    for (state, name) in [
        (State::Metadata, "metadata"),
        (State::Verifying, "verifying"),
        (State::Fetching, "fetching"),
        (State::Seeding, "seeding"),
        (State::Paused, "paused"),
        (State::Held, "held"),
        (State::Error, "error"),
    ] {
        frozen(&state, json!(name));
    }
    for (kind, name, code) in [
        (ErrorKind::Failed, "failed", 1),
        (ErrorKind::Usage, "usage", 2),
        (ErrorKind::Unreachable, "unreachable", 3),
        (ErrorKind::NotFound, "not_found", 4),
        (ErrorKind::Permission, "permission", 5),
        (ErrorKind::Conflict, "conflict", 6),
        (ErrorKind::TimedOut, "timed_out", 7),
        (ErrorKind::StillRunning, "still_running", 8),
        (ErrorKind::Refused, "refused", 9),
        (ErrorKind::BadData, "bad_data", 10),
        (ErrorKind::Disk, "disk", 11),
        (ErrorKind::Incompatible, "incompatible", 12),
        (ErrorKind::Tracker, "tracker", 13),
    ] {
        frozen(&kind, json!(name));
        assert_eq!(kind.exit_code(), code);
    }
}
