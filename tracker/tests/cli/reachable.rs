//! Whether others can connect to who asks.

use serde_json::json;

use crate::harness::Tracker;

#[test]
fn it_tells_a_caller_whether_others_can_connect() {
    let tracker = Tracker::start("");
    tracker.user("ann");
    let ann = tracker.token("ann", "nas1");
    let open = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = open.local_addr().unwrap().port();
    let asked = |token: &str, port: u16| {
        tracker.api("POST", "/v1/reachable", token, &json!({"port": port}))
    };
    let answer = asked(&ann, port).expect(200);
    assert_eq!(answer["reachable"], true, "{answer}");
    assert!(answer["time"].as_str().unwrap().ends_with('Z'), "{answer}");
    // Taken, so that no other program listens there, and nobody listens at it.
    let shut = tokio::net::TcpSocket::new_v4().unwrap();
    shut.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = shut.local_addr().unwrap().port();
    let answer = asked(&ann, port).expect(200);
    assert_eq!(answer["reachable"], false, "{answer}");
    assert!(answer["why"].is_string(), "{answer}");

    // Behind a proxy that nobody named, that address is the tracker's own.
    let bearer = format!("Bearer {ann}");
    let headers = [
        ("content-type", "application/json"),
        ("authorization", &bearer),
        ("x-forwarded-for", "192.0.2.1"),
    ];
    let body = json!({"port": 22}).to_string();
    let answer = tracker.http("POST", "/v1/reachable", &headers, body.as_bytes());
    answer.expect_problem(422, "invalid");

    asked("", port).expect_problem(401, "login-required");
    asked(&ann, 0).expect_problem(422, "invalid");
}
