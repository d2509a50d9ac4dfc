//! Arguments, exit codes, starting and stopping.

use std::fs;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::home::{Client, DEADLINE, Home, text};

#[test]
fn the_defaults_are_a_configuration_that_checks() {
    let home = Home::new();
    let defaults = home.run(&["config", "defaults"]);
    assert!(defaults.status.success());
    assert!(text(&defaults.stdout).contains("\n# download = \"none\"\n"));
    fs::write(home.path("p2pd.toml"), &defaults.stdout).unwrap();
    let check = home.run(&["config", "check"]);
    assert!(check.status.success(), "{}", text(&check.stderr));
    let path = home.run(&["config", "path"]);
    assert_eq!(
        text(&path.stdout),
        format!("{}\n", home.path("p2pd.toml").display())
    );
}

#[test]
fn a_bad_configuration_ends_with_78_and_its_place() {
    let home = Home::new();
    fs::write(home.path("p2pd.toml"), "[limits]\nuplaod = \"1MiB/s\"\n").unwrap();
    for args in [&["config", "check"][..], &[], &["--daemonize"]] {
        let output = home.run(args);
        assert_eq!(output.status.code(), Some(78), "{args:?}");
        let file = home.path("p2pd.toml");
        assert_eq!(
            text(&output.stderr),
            format!(
                "p2pd: {}:2:1: there is no key `limits.uplaod`; the nearest is `limits.upload`\n",
                file.display()
            )
        );
    }
    assert!(!home.socket().exists());
    fs::remove_file(home.path("p2pd.toml")).unwrap();
    let output = home.run(&["config", "check"]);
    assert_eq!(output.status.code(), Some(78));
    assert!(text(&output.stderr).contains("cannot read"), "{output:?}");
}

#[test]
fn wrong_arguments_end_with_2() {
    let home = Home::new();
    for args in [
        &["--nonsense"][..],
        &["--user", "--system"],
        &["config", "eat"],
    ] {
        assert_eq!(home.run(args).status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn a_second_daemon_on_the_same_state_says_who_holds_it() {
    let home = Home::new();
    let first = home.start();
    for args in [&[][..], &["--daemonize"]] {
        let second = home.run(args);
        assert_eq!(second.status.code(), Some(1));
        let said = text(&second.stderr);
        assert!(
            said.contains(&format!("is in use by process {}", first.child.id())),
            "{said}"
        );
    }
    assert!(home.client().call("status", Value::Null).is_ok());
}

#[test]
fn the_socket_of_another_daemon_is_not_taken() {
    let (home, other) = (Home::new(), Home::new());
    let _first = home.start();
    let output = other.command_at(&home.socket()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("is in use by another program"),
        "{output:?}"
    );

    fs::create_dir(other.path("run")).unwrap();
    fs::write(other.socket(), "mine").unwrap();
    let output = other.run(&[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("is no socket"), "{output:?}");
    assert_eq!(fs::read(other.socket()).unwrap(), b"mine");
    assert!(home.client().call("status", Value::Null).is_ok());
}

#[test]
fn signals_and_clients_stop_it_within_5_s_and_the_socket_goes() {
    for how in ["-TERM", "-INT", "daemon.stop"] {
        let home = Home::new();
        let mut running = home.start();
        match how {
            "daemon.stop" => {
                let mut client = home.client();
                assert_eq!(client.call(how, Value::Null), Ok(Value::Null));
            }
            signal => running.signal(signal),
        }
        let (status, took) = running.wait();
        assert!(status.success(), "{how}: {status} {}", running.stderr());
        assert!(took < Duration::from_secs(5), "{how} took {took:?}");
        assert!(!home.socket().exists(), "{how}");
    }
}

#[test]
fn in_the_background_it_answers_when_the_parent_ends() {
    let home = Home::new();
    let output = home.run(&["--daemonize"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let mut client = home.client();
    let status = client.call("status", Value::Null).unwrap();
    assert_ne!(status["pid"], std::process::id());
    client.call("daemon.stop", Value::Null).unwrap();
    let deadline = Instant::now() + DEADLINE;
    while home.socket().exists() {
        assert!(Instant::now() < deadline, "it does not stop");
        std::thread::sleep(Duration::from_millis(20));
    }
    let log = fs::read_to_string(home.path("state/p2pd.log")).unwrap();
    assert!(log.contains("is ready"), "{log}");
    assert!(!log.contains('\u{1b}'), "colours in a file: {log}");
}

#[test]
fn a_daemon_that_cannot_start_still_says_why() {
    let home = Home::new();
    home.start().signal("-TERM");
    let database = rusqlite::Connection::open(home.path("state/state.db")).unwrap();
    database.pragma_update(None, "user_version", 999).unwrap();
    drop(database);
    let deadline = Instant::now() + DEADLINE;
    while UnixStream::connect(home.socket()).is_ok() {
        assert!(Instant::now() < deadline, "it does not stop");
    }
    // What a crash left in the way is not removed without the lock, so nothing may be there.
    let _ = fs::remove_file(home.socket());

    let mut running = home.start();
    let mut client = Client::connect(&home.socket());
    let welcome = client
        .call("hello", json!({"proto": [1, 1], "client": "test"}))
        .unwrap();
    let reason = welcome["unhealthy"].as_str().unwrap();
    assert!(reason.contains("schema 999"), "{reason}");
    let error = client.call("status", Value::Null).unwrap_err();
    assert_eq!(error["code"], 1);
    assert!(
        error["data"]["why"]
            .as_str()
            .unwrap()
            .contains("schema 999")
    );
    client.call("daemon.stop", Value::Null).unwrap();
    let (status, _) = running.wait();
    assert_eq!(status.code(), Some(1));
    assert!(running.stderr().contains("schema 999"));

    let output = home.run(&["--daemonize"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("schema 999"), "{output:?}");
}
