//! Wrong calls, each with the exact answer.

use data_encoding::BASE64;
use serde_json::{Value, json};

use crate::harness::{PASSWORD, Tracker, torrent};

#[test]
fn every_endpoint_names_what_is_wrong() {
    let tracker = Tracker::start(
        "[limits]\nlogins_per_minute = 1000\nfailures_per_minute = 1000\nregistrations_per_minute = 1000\n",
    );
    ["ann", "bob"].iter().for_each(|name| tracker.user(name));
    let (ann, bob) = (tracker.token("ann", "nas1"), tracker.token("bob", "pc"));
    let content = torrent("a", 1, 1);
    let hash = content.info.info_hash();
    tracker.publish(&ann, "s", "a", &content).expect(201);
    let own = torrent("own", 1, 2);
    let body = json!({"metainfo": BASE64.encode(&own.to_bytes()), "visibility": "own"});
    tracker.api("POST", "/v1/files", &ann, &body).expect(201);
    let metainfo = BASE64.encode(&content.to_bytes());
    let truncated = BASE64.encode(&content.to_bytes()[..60]);
    let file = format!("/v1/files/{hash}");
    let nothing = "/v1/files/00000000000000000000".to_owned() + "00000000000000000000";
    let own_file = format!("/v1/files/{}", own.info.info_hash());
    let [all_of_it, my_part] = ["all", "mine"].map(|part| format!("{file}?part={part}"));
    let null = Value::Null;

    let table: Vec<(&str, &str, &str, Value, u16, &str)> = vec![
        (
            "POST",
            "/v1/register",
            "",
            json!({"username": "new", "password": PASSWORD}),
            403,
            "registration-closed",
        ),
        (
            "POST",
            "/v1/register",
            "",
            json!({"username": "new", "password": PASSWORD, "invite": "x"}),
            403,
            "bad-invite",
        ),
        (
            "POST",
            "/v1/register",
            "",
            json!({"username": "New", "password": PASSWORD, "invite": "x"}),
            422,
            "invalid",
        ),
        (
            "POST",
            "/v1/register",
            "",
            json!({"username": "new", "password": "short", "invite": "x"}),
            422,
            "invalid",
        ),
        (
            "POST",
            "/v1/register",
            "",
            json!({"username": "new"}),
            422,
            "invalid",
        ),
        (
            "POST",
            "/v1/login",
            "",
            json!({"username": "ann", "password": "wrong", "node_name": "x"}),
            401,
            "bad-credentials",
        ),
        (
            "POST",
            "/v1/login",
            "",
            json!({"username": "nobody", "password": PASSWORD, "node_name": "x"}),
            401,
            "bad-credentials",
        ),
        (
            "POST",
            "/v1/login",
            "",
            json!({"username": "ann", "password": PASSWORD, "node_name": "a/b"}),
            422,
            "invalid",
        ),
        (
            "POST",
            "/v1/login",
            "",
            json!({"username": "ann", "password": PASSWORD}),
            422,
            "invalid",
        ),
        (
            "POST",
            "/v1/logout",
            "",
            null.clone(),
            401,
            "login-required",
        ),
        (
            "POST",
            "/v1/logout-all",
            "nonsense",
            null.clone(),
            401,
            "login-required",
        ),
        ("GET", "/v1/me", "", null.clone(), 401, "login-required"),
        (
            "POST",
            "/v1/me/password",
            &ann,
            json!({"old": "wrong", "new": "long enough"}),
            401,
            "bad-credentials",
        ),
        (
            "POST",
            "/v1/me/password",
            &ann,
            json!({"old": PASSWORD, "new": "short"}),
            422,
            "invalid",
        ),
        (
            "POST",
            "/v1/me/passkey/rotate",
            "",
            null.clone(),
            401,
            "login-required",
        ),
        ("GET", "/v1/nodes", "", null.clone(), 401, "login-required"),
        (
            "POST",
            "/v1/files",
            "",
            json!({"metainfo": metainfo}),
            401,
            "login-required",
        ),
        (
            "POST",
            "/v1/files",
            &ann,
            json!({"metainfo": "%%%"}),
            422,
            "bad-metainfo",
        ),
        (
            "POST",
            "/v1/files",
            &ann,
            json!({"metainfo": truncated}),
            422,
            "bad-metainfo",
        ),
        (
            "POST",
            "/v1/files",
            &ann,
            json!({"metainfo": ""}),
            422,
            "bad-metainfo",
        ),
        (
            "POST",
            "/v1/files",
            &ann,
            json!({"metainfo": metainfo, "name": "../etc/passwd"}),
            422,
            "invalid",
        ),
        (
            "POST",
            "/v1/files",
            &ann,
            json!({"metainfo": metainfo, "name": "/etc"}),
            422,
            "invalid",
        ),
        (
            "POST",
            "/v1/files",
            &ann,
            json!({"metainfo": metainfo, "name": "a\u{1b}[31m"}),
            422,
            "invalid",
        ),
        (
            "POST",
            "/v1/files",
            &ann,
            json!({"metainfo": metainfo, "share": "a/b"}),
            422,
            "invalid",
        ),
        (
            "POST",
            "/v1/files",
            &ann,
            json!({"metainfo": metainfo, "share": ".."}),
            422,
            "invalid",
        ),
        (
            "POST",
            "/v1/files",
            &ann,
            json!({"metainfo": metainfo, "visibility": "world"}),
            422,
            "invalid",
        ),
        (
            "POST",
            "/v1/files",
            &ann,
            json!({"metainfo": metainfo, "tags": vec!["t"; 17]}),
            422,
            "invalid",
        ),
        (
            "POST",
            "/v1/files",
            &ann,
            json!({"name": "a"}),
            422,
            "invalid",
        ),
        ("GET", "/v1/files", "", null.clone(), 401, "login-required"),
        (
            "GET",
            "/v1/files?sort=colour",
            &ann,
            null.clone(),
            422,
            "invalid",
        ),
        (
            "GET",
            "/v1/files?limit=0",
            &ann,
            null.clone(),
            422,
            "invalid",
        ),
        (
            "GET",
            "/v1/files?limit=many",
            &ann,
            null.clone(),
            422,
            "invalid",
        ),
        (
            "GET",
            "/v1/files?after=zzz",
            &ann,
            null.clone(),
            422,
            "invalid",
        ),
        (
            "GET",
            "/v1/files?q=abc%00d",
            &ann,
            null.clone(),
            422,
            "invalid",
        ),
        ("DELETE", &all_of_it, &ann, null.clone(), 422, "invalid"),
        ("DELETE", &my_part, &bob, null.clone(), 404, "not-found"),
        ("GET", &nothing, &ann, null.clone(), 404, "not-found"),
        ("GET", &own_file, &bob, null.clone(), 404, "not-found"),
        ("GET", "/v1/files/xyz", &ann, null.clone(), 422, "invalid"),
        (
            "GET",
            "/v1/files/..%2f..%2fetc",
            &ann,
            null.clone(),
            422,
            "invalid",
        ),
        ("PATCH", &file, &bob, json!({"tags": []}), 403, "forbidden"),
        ("PATCH", &file, &ann, json!({"tags": "x"}), 422, "invalid"),
        ("PATCH", &nothing, &ann, json!({}), 404, "not-found"),
        ("DELETE", &file, &bob, null.clone(), 403, "forbidden"),
        ("DELETE", &own_file, &bob, null.clone(), 404, "not-found"),
        ("DELETE", &nothing, &ann, null.clone(), 404, "not-found"),
        (
            "GET",
            "/v1/names/ann/s/b",
            &ann,
            null.clone(),
            404,
            "not-found",
        ),
        (
            "GET",
            "/v1/names/ann/s/a@2",
            &ann,
            null.clone(),
            404,
            "not-found",
        ),
        (
            "GET",
            "/v1/names/ann/files/own",
            &bob,
            null.clone(),
            404,
            "not-found",
        ),
        ("GET", "/v1/names/ann", &ann, null.clone(), 404, "not-found"),
        ("GET", "/v2/me", &ann, null.clone(), 404, "not-found"),
        ("PUT", "/v1/me", &ann, null.clone(), 404, "not-found"),
        ("POST", "/announce", "", null.clone(), 404, "not-found"),
    ];
    for (method, path, token, body, status, kind) in &table {
        let answer = tracker.api(method, path, token, body);
        println!("{method} {path} {body}");
        answer.expect_problem(*status, kind);
    }
    for route in ["torrent", "fetch", "availability", "log"] {
        tracker
            .get(&format!("{file}/{route}"), "")
            .expect_problem(401, "login-required");
        tracker
            .get(&format!("{nothing}/{route}"), &ann)
            .expect_problem(404, "not-found");
        tracker
            .get(&format!("{own_file}/{route}"), &bob)
            .expect_problem(404, "not-found");
    }
    // All of that changed nothing.
    assert_eq!(
        tracker.get("/v1/files", &ann).expect(200)["items"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
}
