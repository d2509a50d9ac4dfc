//! What a service manager is told.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::Stdio;

use serde_json::{Value, json};

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
    let child = command.env("NOTIFY_SOCKET", &path).stderr(Stdio::null());
    let running = Running {
        child: child.spawn().unwrap(),
    };
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
fn the_service_manager_is_told_of_start_reload_and_stop() {
    let home = Home::new();
    let (mut running, told) = managed(&home);
    let ready = told();
    assert!(
        ready.starts_with("READY=1\nSTATUS=Listening for peers on port "),
        "{ready}"
    );
    assert!(home.client().call("status", Value::Null).is_ok());
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
