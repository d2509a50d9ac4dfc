//! Names, shares and versions, between machines of one account and between accounts.

use data_encoding::BASE64;
use p2p_wire::metainfo::Metainfo;
use serde_json::{Value, json};

use crate::harness::{Tracker, torrent};

fn publish(
    tracker: &Tracker,
    token: &str,
    torrent: &Metainfo,
    more: &Value,
) -> crate::harness::Answer {
    let mut body = json!({"metainfo": BASE64.encode(&torrent.to_bytes()), "share": "Public", "name": "big.iso"});
    for (key, value) in more.as_object().unwrap() {
        body[key] = value.clone();
    }
    tracker.api("POST", "/v1/files", token, &body)
}

fn delete(tracker: &Tracker, token: &str, torrent: &Metainfo) {
    tracker
        .api(
            "DELETE",
            &format!("/v1/files/{}", torrent.info.info_hash()),
            token,
            &Value::Null,
        )
        .expect(204);
}

#[test]
fn two_machines_share_a_name_only_when_they_join() {
    let tracker = Tracker::start("");
    tracker.user("ann");
    let (nas, pc) = (tracker.token("ann", "nas"), tracker.token("ann", "pc"));
    let (old, new) = (torrent("big.iso", 4, 1), torrent("big.iso", 4, 2));
    publish(&tracker, &nas, &old, &json!({})).expect(201);
    let refused = publish(&tracker, &pc, &new, &json!({}));
    refused.expect_problem(409, "share-taken");
    assert!(refused.json()["title"].as_str().unwrap().contains("`nas`"));
    let join = json!({"join": true});
    assert_eq!(
        publish(&tracker, &pc, &new, &join).expect(201)["file"]["version"],
        2
    );
    // The machine with the older content says so at each start: no ping-pong of versions.
    let again = publish(&tracker, &nas, &old, &json!({})).expect(200);
    assert_eq!(
        (
            again["file"]["version"].as_u64(),
            again["file"]["newest"].as_bool()
        ),
        (Some(1), Some(false))
    );
    // The machine that made the newest version goes back to the older content: a change.
    assert_eq!(
        publish(&tracker, &pc, &old, &json!({})).expect(201)["file"]["version"],
        3
    );
    // What was published alone is no share.
    for token in [&nas, &pc] {
        publish(
            &tracker,
            token,
            &new,
            &json!({"share": null, "name": "alone"}),
        );
    }
    assert_eq!(
        tracker.get("/v1/names/ann/files/alone", &nas).expect(200)["version"],
        1
    );
}

#[test]
fn an_entry_goes_with_its_last_machine_and_frees_the_share() {
    let tracker = Tracker::start("");
    tracker.user("ann");
    let (nas, pc) = (tracker.token("ann", "nas"), tracker.token("ann", "pc"));
    let content = torrent("big.iso", 4, 1);
    publish(&tracker, &nas, &content, &json!({})).expect(201);
    publish(&tracker, &pc, &content, &json!({"join": true})).expect(200);
    delete(&tracker, &nas, &content);
    tracker
        .get("/v1/names/ann/Public/big.iso", &nas)
        .expect(200);
    delete(&tracker, &pc, &content);
    tracker
        .get("/v1/names/ann/Public/big.iso", &nas)
        .expect_problem(404, "not-found");
    publish(&tracker, &nas, &content, &json!({})).expect(201);
    // From a machine that does not publish it, the owner means the entry itself.
    delete(&tracker, &pc, &content);
    tracker
        .get("/v1/names/ann/Public/big.iso", &nas)
        .expect_problem(404, "not-found");
}

#[test]
fn accounts_publish_the_same_content_each_under_its_own_name() {
    let tracker = Tracker::start("");
    ["ann", "bob"].iter().for_each(|name| tracker.user(name));
    let (ann, bob) = (tracker.token("ann", "nas"), tracker.token("bob", "pc"));
    let content = torrent("big.iso", 4, 1);
    publish(&tracker, &ann, &content, &json!({"tags": ["iso"]})).expect(201);
    publish(
        &tracker,
        &bob,
        &content,
        &json!({"name": "mine.iso", "visibility": "own"}),
    )
    .expect(201);
    let path = format!("/v1/files/{}", content.info.info_hash());
    assert_eq!(tracker.get(&path, &ann).expect(200)["entry"], "big.iso");
    assert_eq!(
        tracker.get(&path, &bob).expect(200)["entry"],
        "mine.iso",
        "one's own first"
    );
    let patched = tracker
        .api("PATCH", &path, &ann, &json!({"visibility": "unlisted"}))
        .expect(200);
    assert_eq!(
        (patched["visibility"].as_str(), patched["tags"].clone()),
        (Some("unlisted"), json!(["iso"]))
    );
    assert_eq!(
        tracker.get("/v1/files", &bob).expect(200)["items"]
            .as_array()
            .unwrap()
            .len(),
        1,
        "unlisted is not listed"
    );
    tracker
        .get("/v1/names/ann/Public/big.iso", &bob)
        .expect(200);
    delete(&tracker, &ann, &content);
    tracker.get(&path, &ann).expect_problem(404, "not-found");
    assert_eq!(
        tracker.get(&path, &bob).expect(200)["entry"],
        "mine.iso",
        "others' entries stay"
    );
}

#[test]
fn pages_show_everything_once_in_every_order() {
    let tracker = Tracker::start("");
    tracker.user("ann");
    let token = tracker.token("ann", "nas");
    for number in 0..7u8 {
        let content = torrent(
            &format!("inside{number}"),
            u32::from(number % 3) + 1,
            number,
        );
        publish(
            &tracker,
            &token,
            &content,
            &json!({"name": format!("dir/{}", 9 - number)}),
        )
        .expect(201);
    }
    let mut pages = Vec::new();
    for sort in ["new", "name", "size"] {
        let (mut seen, mut after) = (Vec::new(), String::new());
        loop {
            let page = tracker
                .get(&format!("/v1/files?sort={sort}&limit=3{after}"), &token)
                .expect(200);
            let items = page["items"].as_array().unwrap();
            seen.extend(
                items
                    .iter()
                    .map(|item| item["entry"].as_str().unwrap().to_owned()),
            );
            let Some(next) = page["next"].as_str() else {
                break;
            };
            after = format!("&after={next}");
        }
        pages.push(seen.join(" "));
    }
    assert_eq!(pages[0], "dir/3 dir/4 dir/5 dir/6 dir/7 dir/8 dir/9");
    assert_eq!(pages[1], "dir/3 dir/4 dir/5 dir/6 dir/7 dir/8 dir/9");
    assert_eq!(pages[2], "dir/4 dir/7 dir/5 dir/8 dir/3 dir/6 dir/9");
    let found = tracker.get("/v1/files?q=INSIDE5", &token).expect(200);
    assert_eq!(found["items"].as_array().unwrap().len(), 1, "{found}");
    assert_eq!(
        found["items"][0]["entry"], "dir/4",
        "found by a path inside"
    );
}
