//! Names, shares and versions, between machines of one account and between accounts.

use data_encoding::BASE64;
use p2p_wire::metainfo::Metainfo;
use serde_json::{Value, json};

use crate::harness::{Tracker, announce_of, torrent};

fn publish(
    tracker: &Tracker,
    token: &str,
    torrent: &Metainfo,
    more: &Value,
) -> crate::answers::Answer {
    let mut body = json!({"metainfo": BASE64.encode(&torrent.to_bytes()), "share": "Public", "name": "big.iso"});
    for (key, value) in more.as_object().unwrap() {
        body[key] = value.clone();
    }
    tracker.api("POST", "/v1/files", token, &body)
}

fn delete(tracker: &Tracker, token: &str, torrent: &Metainfo) {
    let path = format!("/v1/files/{}", torrent.info.info_hash());
    tracker
        .api("DELETE", &path, token, &Value::Null)
        .expect(204);
}

/// What a daemon sends by itself.
fn withdraw(tracker: &Tracker, token: &str, torrent: &Metainfo) -> crate::answers::Answer {
    let path = format!("/v1/files/{}?part=mine", torrent.info.info_hash());
    tracker.api("DELETE", &path, token, &Value::Null)
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
        let answer = publish(
            &tracker,
            token,
            &new,
            &json!({"share": null, "name": "alone"}),
        );
        answer.expect(if *token == nas { 201 } else { 200 });
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
    withdraw(&tracker, &nas, &content).expect(204);
    let name = "/v1/names/ann/Public/big.iso";
    tracker.get(name, &nas).expect(200);
    // The answer was lost: the same again takes no other machine's part.
    withdraw(&tracker, &nas, &content).expect_problem(404, "not-found");
    tracker.get(name, &nas).expect(200);
    withdraw(&tracker, &pc, &content).expect(204);
    tracker.get(name, &nas).expect_problem(404, "not-found");
    publish(&tracker, &nas, &content, &json!({})).expect(201);
}

#[test]
fn a_machine_that_publishes_nothing_takes_nothing_away() {
    let tracker = Tracker::start("[tracker]\nmode = \"listed\"\n");
    ["ann", "bob"].iter().for_each(|name| tracker.user(name));
    let (nas, pc) = (tracker.token("ann", "nas"), tracker.token("ann", "pc"));
    let content = torrent("big.iso", 4, 1);
    publish(&tracker, &nas, &content, &json!({})).expect(201);
    publish(&tracker, &pc, &content, &json!({})).expect_problem(409, "share-taken");
    // The file goes on the machine that was refused.
    withdraw(&tracker, &pc, &content).expect_problem(404, "not-found");
    let stranger = tracker.token("bob", "pc");
    withdraw(&tracker, &stranger, &content).expect_problem(404, "not-found");
    let name = "/v1/names/ann/Public/big.iso";
    tracker.get(name, &pc).expect(200);
    // The owner, from whichever machine, means the entry itself; it frees the share too.
    delete(&tracker, &pc, &content);
    tracker.get(name, &nas).expect_problem(404, "not-found");
    publish(&tracker, &pc, &content, &json!({})).expect(201);
}

#[test]
fn publishing_again_says_anew_who_sees_it_and_its_tags() {
    let tracker = Tracker::start("");
    ["ann", "bob"].iter().for_each(|name| tracker.user(name));
    let (ann, bob) = (tracker.token("ann", "nas"), tracker.token("bob", "pc"));
    let content = torrent("big.iso", 4, 1);
    let path = format!("/v1/files/{}", content.info.info_hash());
    publish(&tracker, &ann, &content, &json!({"tags": ["a"]})).expect(201);
    tracker.get(&path, &bob).expect(200);
    let more = json!({"tags": ["b"], "visibility": "own"});
    let again = publish(&tracker, &ann, &content, &more).expect(200);
    assert_eq!(
        (again["created"].as_bool(), &again["file"]["tags"]),
        (Some(false), &json!(["b"]))
    );
    tracker.get(&path, &bob).expect_problem(404, "not-found");
}

#[test]
fn an_entry_is_found_by_its_tags_and_by_those_it_has_now_alone() {
    let tracker = Tracker::start("");
    tracker.user("ann");
    let ann = tracker.token("ann", "nas");
    let content = torrent("big.iso", 4, 1);
    let file = format!("/v1/files/{}", content.info.info_hash());
    let found = |text: &str| {
        let page = tracker.get(&format!("/v1/files?q={text}"), &ann);
        page.expect(200)["items"].as_array().unwrap().len()
    };
    publish(&tracker, &ann, &content, &json!({"tags": ["Genome", "v2"]})).expect(201);
    assert_eq!(["genome", "V2", "big%20geno"].map(found), [1, 1, 1]);
    assert_eq!(["v", "genomes", "v2%20zz"].map(found), [0, 0, 0]);
    let tags = json!({"tags": ["proteome"]});
    publish(&tracker, &ann, &content, &tags).expect(200);
    assert_eq!(["genome", "v2", "proteome"].map(found), [0, 0, 1]);
    let tags = json!({"tags": []});
    tracker.api("PATCH", &file, &ann, &tags).expect(200);
    assert_eq!(["proteome", "big"].map(found), [0, 1]);
}

#[test]
fn the_log_tells_nobody_what_others_keep_to_themselves() {
    let tracker = Tracker::start("");
    let names = ["ann", "bob", "carl"];
    names.iter().for_each(|name| tracker.user(name));
    let [ann, bob, carl] = names.map(|name| tracker.token(name, "nas"));
    let own = |name: &str| json!({"visibility": "own", "share": "secret", "name": name});
    let log_of = |token: &str, content: &Metainfo| {
        let path = format!("/v1/files/{}/log", content.info.info_hash());
        tracker.get(&path, token).expect(200).to_string()
    };
    let join = |token: &str, content: &Metainfo| {
        let me = tracker.get("/v1/me", token).expect(200);
        let url = me["announce_url"].as_str().unwrap().to_owned();
        let port = 1_000 + u16::from(token.as_bytes()[0]);
        tracker.announce(&url, &announce_of(content.info.info_hash(), port, 1));
    };
    // One whom all may see, and one of bob's own.
    let known = torrent("known", 4, 1);
    publish(&tracker, &ann, &known, &json!({})).expect(201);
    publish(&tracker, &bob, &known, &own("merger.iso")).expect(201);
    assert!(log_of(&bob, &known).contains("secret/merger.iso"));
    delete(&tracker, &bob, &known);
    assert!(log_of(&carl, &known).contains("ann/nas published Public/big.iso"));
    assert!(!log_of(&carl, &known).contains("merger"));
    // Two who keep the same content from each other.
    let hidden = torrent("hidden", 4, 2);
    publish(&tracker, &ann, &hidden, &own("plan-a")).expect(201);
    join(&ann, &hidden);
    publish(&tracker, &bob, &hidden, &own("plan-b")).expect(201);
    join(&bob, &hidden);
    let (to_ann, to_bob) = (log_of(&ann, &hidden), log_of(&bob, &hidden));
    assert!(
        to_ann.contains("plan-a") && !to_ann.contains("plan-b"),
        "{to_ann}"
    );
    assert!(
        to_bob.contains("plan-b") && !to_bob.contains("plan-a"),
        "{to_bob}"
    );
    assert!(to_bob.contains("bob joined"), "{to_bob}");
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

#[test]
fn names_are_found_whatever_the_case_of_their_letters() {
    let tracker = Tracker::start("");
    tracker.user("ann");
    let token = tracker.token("ann", "nas1");
    let content = torrent("a", 1, 1);
    tracker
        .publish(&token, "s", "\u{e4}bc.iso", &content)
        .expect(201);
    // Short words are looked for in another way than long ones.
    for word in ["%C3%84B", "%C3%84BC", "%C3%A4b", "B"] {
        let found = tracker.get(&format!("/v1/files?q={word}"), &token);
        let found = found.expect(200);
        assert_eq!(found["items"].as_array().unwrap().len(), 1, "{word}");
    }
    let log = tracker.ok(&["log", "--file", "\u{c4}BC"], "");
    assert!(log.contains("published"), "{log}");
}
