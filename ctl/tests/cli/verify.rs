//! `verify`: reading, waiting, and what is said of bad data; answers that come in parts.

use p2p_wire::control::Call;
use serde_json::{Value, json};

use crate::fake::{Fake, Peer, item};
use crate::run::{interrupted, piped, terminal};

const HASH: &str = "3f2a000000000000000000000000000000000000";

/// Begins to verify one item, and leaves the waiting to `ended`.
fn verifying(ended: impl Fn(&Call, &mut Peer) + Send + Sync + 'static) -> Fake {
    Fake::scripted(move |call, peer| match call.method.as_str() {
        "item.verify" => {
            let began = json!({"state": "verifying", "done": 0});
            peer.answer(call, json!({"items": [item("3f2a", "big.iso", began)]}));
        }
        "verify.wait" => ended(call, peer),
        _ => peer.answer(call, Value::Null),
    })
}

fn ends_as(change: Value) -> Fake {
    verifying(move |call, peer| {
        let half = item(
            "3f2a",
            "big.iso",
            json!({"state": "verifying", "done": 500}),
        );
        peer.progress(call, json!({"item": half, "ended": 0, "of": 1}));
        peer.answer(call, json!([item("3f2a", "big.iso", change.clone())]));
    })
}

#[test]
fn verify_waits_and_says_that_all_is_well() {
    let fake = ends_as(json!({"bad_pieces": 0}));
    let ran = terminal(&fake, &["verify", "3f2a"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert_eq!(
        ran.out,
        "Verified: /srv/big.iso, 1000 B, every piece is good\n"
    );
    assert_eq!(fake.heard("verify.wait"), [json!({"items": [HASH]})]);
    let ran = piped(&fake, &["verify", "3f2a"]);
    assert_eq!(
        ran.out,
        format!("{HASH}\tbig.iso\tseeding\t0\t1\t/srv/big.iso\n")
    );
    let ran = piped(&fake, &["verify", "3f2a", "--json"]);
    let items: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(items[0]["bad_pieces"], 0);
}

#[test]
fn bad_pieces_are_named_with_what_becomes_of_them_and_the_code_is_10() {
    let cases = [
        (
            json!({"state": "fetching", "bad_pieces": 3, "pieces": 2899}),
            "p2pctl: big.iso (3f2a0000): 3 pieces of 2,899 bad\n  They are fetched again from peers.\n  Follow that:  p2pctl fetch 3f2a0000\n",
        ),
        (
            json!({"state": "paused", "bad_pieces": 1, "pieces": 2}),
            "p2pctl: big.iso (3f2a0000): 1 piece of 2 bad\n  They are fetched again when the item goes on.\n  Go on:  p2pctl resume 3f2a0000\n",
        ),
    ];
    for (change, said) in cases {
        let ran = terminal(&ends_as(change), &["verify", "3f2a"]);
        assert_eq!(
            (ran.code, ran.out.as_str(), ran.err.as_str()),
            (10, "", said)
        );
    }
    let shared = json!({"state": "error", "bad_pieces": 1, "share": "Public", "reason": "1 of 1 pieces differ from what was shared"});
    let ran = terminal(&ends_as(shared), &["verify", "3f2a"]);
    assert_eq!(ran.code, 10);
    assert!(
        ran.err.contains("p2pd writes nothing into share Public"),
        "{}",
        ran.err
    );
}

#[test]
fn what_was_not_read_to_the_end_is_no_success() {
    let ran = terminal(&ends_as(json!({"state": "paused"})), &["verify", "3f2a"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("is paused"), "{}", ran.err);
    let failed = json!({"state": "error", "reason": "the disk failed", "error_kind": "disk"});
    let ran = terminal(&ends_as(failed), &["verify", "3f2a"]);
    assert_eq!(ran.code, 11);
    assert!(ran.err.contains("The disk failed."), "{}", ran.err);
}

#[test]
fn verify_can_leave_the_reading_to_the_daemon() {
    let fake = verifying(|_, _| {});
    let ran = terminal(&fake, &["verify", "--all", "--detach"]);
    assert_eq!(ran.out, "Verifying big.iso (3f2a0000)\n");
    assert!(fake.heard("verify.wait").is_empty());

    let ran = interrupted(&fake, &["verify", "3f2a"], "verify.wait");
    assert_eq!(ran.code, 8, "{}", ran.err);
    assert!(
        ran.err.starts_with("Verifying goes on in p2pd."),
        "{}",
        ran.err
    );
    fake.wait_for("cancel", 1);
}

#[test]
fn all_items_come_in_batches_and_are_told_of_together() {
    let fake = Fake::scripted(|call, peer| match call.method.as_str() {
        "item.pause" => {
            let first = call.params["after"].is_null();
            let (hash, name) = if first { ("3f2a", "a") } else { ("91c0", "b") };
            let next = first.then_some(HASH);
            let items = [item(hash, name, json!({"state": "paused"}))];
            peer.answer(call, json!({"items": items, "next": next}));
        }
        _ => peer.answer(call, Value::Null),
    });
    let ran = terminal(&fake, &["pause", "--all"]);
    assert_eq!(
        ran.out, "Paused a (3f2a0000)\nPaused b (91c00000)\n",
        "{}",
        ran.err
    );
    let asked = fake.heard("item.pause");
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[1]["after"], HASH);
}

#[test]
fn the_files_of_an_item_come_in_parts_and_are_shown_together() {
    let fake = Fake::scripted(|call, peer| match call.method.as_str() {
        "item.show" => {
            let first = call.params["files_after"].is_null();
            let path = if first { "a" } else { "b" };
            let file = json!({"path": path, "size": 1, "done": 1, "wanted": true});
            let mut detail = json!({"item": item("3f2a", "set", json!({})), "files": [file]});
            if first {
                detail["files_next"] = json!(1);
            }
            peer.answer(call, detail);
        }
        _ => peer.answer(call, Value::Null),
    });
    let ran = piped(&fake, &["show", "3f2a", "--files", "--json"]);
    let detail: Value = serde_json::from_str(&ran.out).unwrap();
    let paths: Vec<&str> = detail["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| file["path"].as_str().unwrap())
        .collect();
    assert_eq!(paths, ["a", "b"]);
}
