//! What is set over the socket, and what is read again.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::home::{DEADLINE, Home};

#[test]
fn what_is_set_is_kept_and_wins_over_the_file() {
    let home = Home::new();
    home.configure("[limits]\nupload = \"1MiB/s\"\n");
    let mut running = home.start();
    let mut client = home.client();
    let limits = client.call("limits.set", json!({"down": 2048})).unwrap();
    assert_eq!(limits, json!({"down": 2048, "up": 1 << 20}));
    let set = json!({"key": "limits.upload", "value": "3MiB/s"});
    let value = client.call("config.set", set).unwrap();
    let expected =
        json!({"key": "limits.upload", "value": "\"3MiB/s\"", "origin": "set", "restart": false});
    assert_eq!(value, expected);
    let set = json!({"key": "network.max_peers", "value": "7"});
    assert_eq!(client.call("config.set", set).unwrap()["restart"], true);
    running.signal("-KILL");
    running.wait();

    // The socket file of the killed daemon is in the way, and goes.
    assert!(home.socket().exists());
    let _running = home.start();
    let mut client = home.client();
    let limits = client.call("limits.get", Value::Null).unwrap();
    assert_eq!(limits, json!({"down": 2048, "up": 3 << 20}));
    let rows = client
        .call("config.get", json!({"key": "network.max_peers"}))
        .unwrap();
    assert_eq!(rows[0]["restart"], false, "{rows}");
    let warnings = client.call("status", Value::Null).unwrap()["warnings"].to_string();
    assert!(warnings.contains("limits.upload"), "{warnings}");
    let unset = json!({"key": "limits.upload"});
    assert_eq!(
        client.call("config.unset", unset).unwrap()["origin"],
        "file"
    );
    let limits = client.call("limits.get", Value::Null).unwrap();
    assert_eq!(limits["up"], 1 << 20);
    let all = client.call("config.get", json!({"key": ""})).unwrap();
    assert!(all.as_array().unwrap().len() > 15);
}

#[test]
fn a_reload_applies_what_it_can_and_says_what_it_cannot() {
    let home = Home::new();
    let running = home.start();
    let mut client = home.client();
    home.configure("[limits]\nupload = \"1MiB/s\"\n[network]\nmax_peers = 9\n");
    let reload = client.call("daemon.reload", Value::Null).unwrap();
    assert_eq!(
        reload,
        json!({"applied": ["limits.upload"], "needs_restart": ["network.max_peers"]})
    );
    assert_eq!(
        client.call("limits.get", Value::Null).unwrap()["up"],
        1 << 20
    );

    home.configure("[limits]\nupload = \"fast\"\n");
    let error = client.call("daemon.reload", Value::Null).unwrap_err();
    assert!(
        error["data"]["why"]
            .as_str()
            .unwrap()
            .contains(":4:10: `fast`"),
        "{error}"
    );
    assert_eq!(
        client.call("limits.get", Value::Null).unwrap()["up"],
        1 << 20
    );

    home.configure("[limits]\nupload = \"2MiB/s\"\n");
    running.signal("-HUP");
    let deadline = Instant::now() + DEADLINE;
    loop {
        let limits = client.call("limits.get", Value::Null).unwrap();
        if limits["up"] == 2 << 20 {
            break;
        }
        assert!(
            Instant::now() < deadline,
            "SIGHUP changed nothing: {limits}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}
