//! What is set over the socket, and what is read again.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::home::{Client, DEADLINE, Home};

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

#[test]
fn a_reload_takes_over_the_shares_and_trackers_of_the_file() {
    let home = Home::new();
    let _running = home.start();
    let mut client = home.client();
    let folder = |name: &str| {
        let path = home.path(name);
        fs::create_dir(&path).unwrap();
        path.display().to_string()
    };
    let (one, two, by_command) = (folder("one"), folder("two"), folder("by-command"));
    let added = client.call("share.add", json!({"path": by_command}));
    added.unwrap();
    let share = |path: &str, more: &str| format!("[[share]]\npath = \"{path}\"\n{more}\n");
    let tracker = |port: u16| format!("[trackers.home]\nurl = \"http://127.0.0.1:{port}\"\n");
    let mut reload = |text: String| {
        home.configure(&text);
        let reload = client.call("daemon.reload", Value::Null).unwrap();
        let names = |method: &str, key: &str, client: &mut Client| {
            let rows = client.call(method, Value::Null).unwrap();
            let rows = rows.as_array().unwrap().iter();
            let mut names: Vec<String> = rows
                .map(|row| row[key].as_str().unwrap().to_owned())
                .collect();
            names.sort();
            names
        };
        let shares = names("share.list", "name", &mut client);
        (reload, shares, names("tracker.list", "url", &mut client))
    };

    let (told, shares, trackers) = reload(share(&one, "") + &tracker(1));
    assert_eq!(
        told,
        json!({"applied": ["share", "trackers"], "needs_restart": []})
    );
    assert_eq!(shares, ["by-command", "one"]);
    assert_eq!(trackers, ["http://127.0.0.1:1"]);

    let named = share(&one, "name = \"uno\"") + &share(&two, "tracker = \"home\"");
    let (_, shares, trackers) = reload(named + &tracker(2));
    assert_eq!(shares, ["by-command", "two", "uno"]);
    assert_eq!(trackers, ["http://127.0.0.1:2"]);

    let missing = home.path("missing").display().to_string();
    let (told, shares, trackers) = reload(share(&missing, ""));
    let problem = told["problems"][0].as_str().unwrap();
    assert!(problem.contains("missing does not exist"), "{problem}");
    assert_eq!(shares, ["by-command"]);
    assert!(trackers.is_empty());
}
