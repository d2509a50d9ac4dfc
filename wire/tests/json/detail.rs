//! What `p2pctl --json show` prints.

use p2p_wire::api::MissingRange;
use p2p_wire::control::{Event, ItemDetail, ItemFile, ItemPeer, ItemPieces, ItemTracker};
use serde_json::json;

use super::api::{entry, entry_json};
use super::{TIME, frozen, item, item_json};

#[test]
fn an_item_with_all_its_parts() {
    let detail = ItemDetail {
        item: Some(item()),
        catalogue: Some(entry()),
        files: Some(vec![ItemFile {
            path: "a/b.bin".into(),
            size: 1,
            done: 2,
            wanted: true,
        }]),
        files_next: Some(3),
        peers: Some(vec![ItemPeer {
            addr: "10.0.0.1:1".into(),
            client: "c".into(),
            direction: "in".into(),
            pieces: 4,
            down_rate: 5,
            up_rate: 6,
            downloaded: 7,
            uploaded: 8,
            choking_us: true,
            choked: false,
            interesting: true,
            interested: false,
            requests: 9,
            window: 10,
        }]),
        trackers: Some(vec![ItemTracker {
            url: "http://t/announce/***/announce".into(),
            state: "error".into(),
            message: Some("m".into()),
            seeds: Some(11),
            leeches: None,
            next_s: Some(12),
        }]),
        pieces: Some(ItemPieces {
            pieces: 13,
            piece_len: 14,
            here: vec![(0, 7)],
            holders: vec![(8, 1), (5, 0)],
            unknown: 15,
            missing: vec![MissingRange {
                first: 8,
                last: 12,
                last_held_by: Some("ann/nas1".into()),
                last_held: Some(TIME.into()),
            }],
            source: "tracker".into(),
        }),
        events: Some(vec![Event {
            seq: 16,
            time: TIME.into(),
            topic: "item.error".into(),
            info_hash: None,
            name: None,
            text: "t".into(),
            owner_uid: None,
        }]),
        versions: Some(vec![entry()]),
    };
    frozen(
        &detail,
        json!({
            "item": item_json(), "catalogue": entry_json(),
            "files": [{"path": "a/b.bin", "size": 1, "done": 2, "wanted": true}], "files_next": 3,
            "peers": [{
                "addr": "10.0.0.1:1", "client": "c", "direction": "in", "pieces": 4, "down_rate": 5, "up_rate": 6,
                "downloaded": 7, "uploaded": 8, "choking_us": true, "choked": false, "interesting": true,
                "interested": false, "requests": 9, "window": 10,
            }],
            "trackers": [{
                "url": "http://t/announce/***/announce", "state": "error", "message": "m", "seeds": 11, "leeches": null,
                "next_s": 12,
            }],
            "pieces": {
                "pieces": 13, "piece_len": 14, "here": [[0, 7]], "holders": [[8, 1], [5, 0]], "unknown": 15,
                "missing": [{"first": 8, "last": 12, "last_held_by": "ann/nas1", "last_held": TIME}], "source": "tracker",
            },
            "events": [{"seq": 16, "time": TIME, "topic": "item.error", "info_hash": null, "name": null, "text": "t"}],
            "versions": [entry_json()],
        }),
    );
}

#[test]
fn parts_that_were_not_asked_for_are_null() {
    let detail = ItemDetail {
        item: None,
        catalogue: None,
        files: None,
        files_next: None,
        peers: None,
        trackers: None,
        pieces: None,
        events: None,
        versions: None,
    };
    frozen(
        &detail,
        json!({
            "item": null, "catalogue": null, "files": null, "peers": null, "trackers": null, "pieces": null, "events": null,
            "versions": null,
        }),
    );
}
