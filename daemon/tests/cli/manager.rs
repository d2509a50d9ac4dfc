//! What a service manager is told.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::Command;

use serde_json::json;

use crate::home::{Client, DEADLINE, Home, Running, text};

/// Starts a daemon that a service manager waits for; what it tells, message by message.
fn managed(home: &Home) -> (Running, impl Fn() -> String) {
    let path = home.path("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(DEADLINE)).unwrap();
    let told = move || {
        let mut message = [0; 4_096];
        let len = manager.recv(&mut message).unwrap();
        text(&message[..len])
    };
    let mut command = home.command();
    let running = home.spawn(command.env("NOTIFY_SOCKET", &path));
    (running, told)
}

#[test]
fn the_service_manager_is_told_of_a_state_folder_that_cannot_be_used() {
    let home = Home::new();
    fs::write(home.path("state"), "not a folder").unwrap();
    let (mut running, told) = managed(&home);
    let ready = told();
    assert!(
        ready.starts_with("READY=1\nSTATUS=Does not work: state folder "),
        "{ready}"
    );
    let mut client = Client::connect(&home.socket());
    let welcome = client.call("hello", json!({"proto": [1, 1], "client": "test"}));
    assert!(welcome.unwrap()["unhealthy"].is_string());
    running.signal("-TERM");
    assert_eq!(running.wait().0.code(), Some(1));
}

#[test]
fn the_service_manager_is_told_of_start_items_reload_and_stop() {
    let home = Home::new();
    let (mut running, told) = managed(&home);
    let ready = told();
    assert!(
        ready.starts_with("READY=1\nSTATUS=Listening for peers on port "),
        "{ready}"
    );
    let mut client = home.client();
    let hash = "3f2a0b6c9d1e4f7081a2b3c4d5e6f708192a3b4c";
    let target = format!("magnet:?xt=urn:btih:{hash}");
    let fetch = json!({"target": target, "peers": ["127.0.0.1:9"]});
    client.call("fetch.add", fetch).unwrap();
    let fetching = told();
    let status = fetching.trim_end().strip_prefix("STATUS=").unwrap();
    assert!(status.ends_with(": 1 fetching"), "{status}");
    running.signal("-HUP");
    let reloading = told();
    assert!(
        reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="),
        "{reloading}"
    );
    assert_eq!(told(), "READY=1\n");
    running.signal("-TERM");
    assert!(told().starts_with("STOPPING=1\n"));
    assert!(running.wait().0.success());
}

#[test]
fn the_watchdog_is_fed_while_it_runs() {
    let home = Home::new();
    let path = home.path("watchdog.sock");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(DEADLINE)).unwrap();
    let told = || {
        let mut message = [0; 4_096];
        let len = manager.recv(&mut message)?;
        Ok::<_, std::io::Error>(text(&message[..len]))
    };
    let mut command = home.command();
    command.env("NOTIFY_SOCKET", &path);
    let mut running = home.spawn(command.env("WATCHDOG_USEC", "300000"));
    assert!(told().unwrap().starts_with("READY=1"));
    for _ in 0..3 {
        assert_eq!(told().unwrap(), "WATCHDOG=1\n");
    }
    running.signal("-TERM");
    assert!(running.wait().0.success());
}

#[test]
fn a_socket_of_the_service_manager_is_used_and_left_to_it() {
    let home = Home::new();
    let path = home.path("given.sock");
    let socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let p2pd = home.command();
    let mut shell = Command::new("sh");
    shell
        .args([
            "-c",
            "LISTEN_FDS=1 LISTEN_PID=$$ exec \"$@\" 3<&0 </dev/null",
            "sh",
        ])
        .arg(p2pd.get_program())
        .args(p2pd.get_args())
        .env_remove("NOTIFY_SOCKET")
        .stdin(std::os::fd::OwnedFd::from(socket));
    let mut running = home.spawn(&mut shell);
    // Who connects before it answers waits.
    let mut client = Client::connect(&path);
    let hello = json!({"proto": [1, 1], "client": "test"});
    assert_eq!(client.call("hello", hello).unwrap()["proto"], 1);
    assert!(!home.socket().exists());
    running.signal("-TERM");
    assert!(running.wait().0.success());
    assert!(path.exists());
}
