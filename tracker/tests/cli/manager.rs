//! What the tracker tells its service manager.

use std::os::unix::net::UnixDatagram;

use nix::sys::signal::SIGTERM;

use crate::harness::{PATIENCE, Tracker};

#[test]
fn the_service_manager_is_told_of_the_start_the_life_and_the_end() {
    let mut tracker = Tracker::stopped("");
    let path = tracker.path("manager.sock");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let told = || {
        let mut message = [0; 4_096];
        let len = manager.recv(&mut message).unwrap();
        String::from_utf8_lossy(&message[..len]).into_owned()
    };
    let mut command = tracker.command(&["serve"]);
    command.env("NOTIFY_SOCKET", &path);
    command.env("WATCHDOG_USEC", "300000");
    tracker.run_as(command);
    let ready = told();
    let port = tracker.addr().port().to_string();
    assert!(ready.starts_with("READY=1\n"), "{ready}");
    assert!(
        ready.contains("STATUS=") && ready.contains(&port),
        "{ready}"
    );
    for _ in 0..3 {
        assert_eq!(told(), "WATCHDOG=1\n");
    }
    assert_eq!(tracker.end(SIGTERM), Some(0));
    let mut last = told();
    while last == "WATCHDOG=1\n" {
        last = told();
    }
    assert!(last.starts_with("STOPPING=1\n"), "{last}");
}
