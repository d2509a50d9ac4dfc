//! What the tracker says.

use p2p_wire::api::{
    Account, Availability, AvailabilitySummary, Fetch, FetchPeer, FileEntry, LogEvent,
    MissingRange, Mode, Page, Problem, ProblemType, Published, Session, TrackerInfo, Visibility,
};
use serde_json::{Value, json};

use super::{HASH, TIME, frozen};

pub(super) fn entry() -> FileEntry {
    FileEntry {
        info_hash: HASH.parse().unwrap(),
        owner: "ann".into(),
        share: "Public".into(),
        entry: "big.iso".into(),
        version: 1,
        newest: true,
        size: 2,
        pieces: 3,
        piece_len: 4,
        files: 5,
        tags: vec!["t".into()],
        visibility: Visibility::Unlisted,
        published: TIME.into(),
        seeds: 6,
        leeches: 7,
        copies: 1.5,
    }
}

pub(super) fn entry_json() -> Value {
    json!({
        "info_hash": HASH, "owner": "ann", "share": "Public", "entry": "big.iso", "version": 1, "newest": true, "size": 2,
        "pieces": 3, "piece_len": 4, "files": 5, "tags": ["t"], "visibility": "unlisted",
        "published": TIME, "seeds": 6, "leeches": 7, "copies": 1.5,
    })
}

#[test]
fn an_entry_of_the_catalogue_and_a_page_of_them() {
    frozen(&entry(), entry_json());
    let created = Published {
        file: entry(),
        created: true,
    };
    frozen(&created, json!({"file": entry_json(), "created": true}));
    let mut page = Page {
        items: vec![entry()],
        next: Some("n".to_owned()),
    };
    frozen(&page, json!({"items": [entry_json()], "next": "n"}));
    page.next = None;
    frozen(&page, json!({"items": [entry_json()]}));
}

#[test]
fn a_session() {
    let session = Session {
        token: "t".into(),
        account: Account {
            username: "ann".into(),
            admin: true,
            created: TIME.into(),
        },
        node_id: "00".into(),
        node_name: "nas1".into(),
        announce_url: "http://t/announce/k/announce".into(),
        tracker: TrackerInfo {
            name: "p2p".into(),
            mode: Mode::Listed,
            server: "p2p-tracker/0.1.0".into(),
        },
    };
    frozen(
        &session,
        json!({
            "token": "t", "account": {"username": "ann", "admin": true, "created": TIME}, "node_id": "00", "node_name": "nas1",
            "announce_url": "http://t/announce/k/announce",
            "tracker": {"name": "p2p", "mode": "listed", "server": "p2p-tracker/0.1.0"},
        }),
    );
}

#[test]
fn what_is_known_of_pieces_and_what_a_fetch_begins_with() {
    let summary = AvailabilitySummary {
        seeds: 1,
        partial: 2,
        unknown: 3,
        least: 4,
        most: 5,
        nobody: 6,
        copies: 0.5,
    };
    let summary_json = json!({
        "seeds": 1, "partial": 2, "unknown": 3, "least": 4, "most": 5, "nobody": 6, "copies": 0.5,
    });
    let range = |last_held_by: Option<&str>| MissingRange {
        first: 8,
        last: 9,
        last_held_by: last_held_by.map(str::to_owned),
        last_held: last_held_by.map(|_| TIME.to_owned()),
    };
    let availability = Availability {
        summary: summary.clone(),
        counts: vec![(8, 1), (2, 0)],
        missing: vec![range(Some("ann/nas1")), range(None)],
    };
    frozen(
        &availability,
        json!({
            "summary": summary_json, "counts": [[8, 1], [2, 0]],
            "missing": [{"first": 8, "last": 9, "last_held_by": "ann/nas1", "last_held": TIME}, {"first": 8, "last": 9}],
        }),
    );
    let fetch = Fetch {
        file: entry(),
        metainfo: "ZGU=".into(),
        peers: vec![FetchPeer {
            addr: "10.0.0.1:1".into(),
            node: Some("ann/nas1".into()),
            seed: true,
        }],
        availability: summary,
    };
    frozen(
        &fetch,
        json!({
            "file": entry_json(), "metainfo": "ZGU=", "peers": [{"addr": "10.0.0.1:1", "node": "ann/nas1", "seed": true}],
            "availability": summary_json,
        }),
    );
}

#[test]
fn a_line_of_the_log() {
    let mut line = LogEvent {
        seq: 1,
        time: TIME.into(),
        event: "published".into(),
        account: Some("ann".into()),
        node: Some("nas1".into()),
        info_hash: Some(HASH.parse().unwrap()),
        name: Some("ann/s/a".into()),
        text: "t".into(),
    };
    frozen(
        &line,
        json!({
            "seq": 1, "time": TIME, "event": "published", "account": "ann", "node": "nas1", "info_hash": HASH, "name": "ann/s/a",
            "text": "t",
        }),
    );
    (line.account, line.node, line.info_hash, line.name) = (None, None, None, None);
    frozen(
        &line,
        json!({"seq": 1, "time": TIME, "event": "published", "text": "t"}),
    );
}

#[test]
fn a_problem() {
    let problem = Problem {
        r#type: ProblemType::SlowDown.as_str().into(),
        status: ProblemType::SlowDown.status(),
        title: "too many requests".into(),
        hint: None,
    };
    frozen(
        &problem,
        json!({"type": "slow-down", "status": 429, "title": "too many requests"}),
    );
    assert_eq!(
        ProblemType::from_name("slow-down"),
        Some(ProblemType::SlowDown)
    );
}
