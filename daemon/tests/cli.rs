//! The program as its users meet it: arguments, exit codes, signals, and the control socket byte by byte.
#![allow(clippy::unwrap_used)] // a failed unwrap is a failed test
#![allow(clippy::disallowed_methods)] // tests drive the world

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

const DEADLINE: Duration = Duration::from_secs(20);

/// A place for one daemon.
struct Home {
    dir: TempDir,
}

impl Home {
    fn new() -> Self {
        let home = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        home.configure("");
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn socket(&self) -> PathBuf {
        self.path("run/control.sock")
    }

    fn configure(&self, text: &str) {
        let downloads = self.path("downloads");
        let daemon = format!("[daemon]\ndownload_dir = \"{}\"\n", downloads.display());
        let text = if text.contains("[daemon]") {
            text.to_owned()
        } else {
            daemon + text
        };
        fs::write(self.path("p2pd.toml"), text).unwrap();
    }

    fn command(&self) -> Command {
        self.command_at(&self.socket())
    }

    fn command_at(&self, socket: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_p2pd"));
        command
            .arg("--config")
            .arg(self.path("p2pd.toml"))
            .arg("--state-dir")
            .arg(self.path("state"))
            .arg("--socket")
            .arg(socket)
            .env_remove("NOTIFY_SOCKET")
            .stdin(Stdio::null());
        command
    }

    /// Starts a daemon and waits until it answers.
    fn start(&self) -> Running {
        let mut command = self.command();
        let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut running = Running {
            child: child.unwrap(),
        };
        let deadline = Instant::now() + DEADLINE;
        while UnixStream::connect(self.socket()).is_err() {
            if let Some(status) = running.child.try_wait().unwrap() {
                panic!("p2pd ended with {status}: {}", running.stderr());
            }
            assert!(Instant::now() < deadline, "p2pd does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        running
    }

    /// Runs to the end.
    fn run(&self, args: &[&str]) -> Output {
        self.command().args(args).output().unwrap()
    }

    fn client(&self) -> Client {
        let mut client = Client::connect(&self.socket());
        let welcome = client
            .call("hello", json!({"proto": [1, 1], "client": "test"}))
            .unwrap();
        assert_eq!(welcome["proto"], 1);
        client
    }
}

struct Running {
    child: Child,
}

impl Running {
    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for the end, and how long that took.
    fn wait(&mut self) -> (std::process::ExitStatus, Duration) {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status, start.elapsed());
            }
            assert!(start.elapsed() < DEADLINE, "p2pd does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn stderr(&mut self) -> String {
        let mut text = String::new();
        let mut pipe = self.child.stderr.take().unwrap();
        pipe.read_to_string(&mut text).unwrap();
        text
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Client {
    reader: BufReader<UnixStream>,
    last_id: u64,
}

impl Client {
    fn connect(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        Self {
            reader: BufReader::new(stream),
            last_id: 0,
        }
    }

    fn send(&mut self, line: &str) {
        let stream = self.reader.get_mut();
        // A daemon that refuses a line may close before it has read the whole.
        let _ = stream.write_all(format!("{line}\n").as_bytes());
    }

    /// The next line; `None` at the end.
    fn line(&mut self) -> Option<Value> {
        let mut line = String::new();
        match self.reader.read_line(&mut line) {
            Ok(0) => None,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => None,
            Err(error) => panic!("no line: {error}"),
            Ok(_) => Some(serde_json::from_str(&line).unwrap()),
        }
    }

    fn start(&mut self, method: &str, params: Value) -> u64 {
        self.last_id += 1;
        let call =
            json!({"jsonrpc": "2.0", "id": self.last_id, "method": method, "params": params});
        self.send(&call.to_string());
        self.last_id
    }

    /// Asks and waits; notifications are dropped.
    fn call(&mut self, method: &str, params: Value) -> Result<Value, Value> {
        let id = self.start(method, params);
        self.answer(id)
    }

    fn answer(&mut self, id: u64) -> Result<Value, Value> {
        loop {
            let line = self.line().expect("the connection ended");
            if line["id"] == id {
                return match line.get("error") {
                    Some(error) => Err(error.clone()),
                    None => Ok(line["result"].clone()),
                };
            }
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

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
fn it_greets_and_tells_its_status() {
    let home = Home::new();
    let running = home.start();
    let mut client = Client::connect(&home.socket());
    let welcome = client
        .call("hello", json!({"proto": [0, 7], "client": "test"}))
        .unwrap();
    assert_eq!(welcome["mode"], "user");
    assert_eq!(welcome["role"], "admin");
    assert_eq!(welcome["unhealthy"], Value::Null);
    let status = client.call("status", Value::Null).unwrap();
    assert_eq!(status["pid"], running.child.id());
    assert_eq!(status["items"], 0);
    assert_ne!(status["port"], 0);
    let downloads = home.path("downloads");
    assert_eq!(status["download_dir"], downloads.to_str().unwrap());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&home.socket()), 0o600);
    assert_eq!(mode(&home.path("run")), 0o700);
    assert_eq!(mode(&home.path("state")), 0o700);
    for file in ["state.db", "state.db-wal"] {
        assert_eq!(mode(&home.path("state").join(file)), 0o600, "{file}");
    }
}

#[test]
fn the_system_daemons_socket_is_for_its_group_too() {
    let home = Home::new();
    let mut command = home.command();
    let child = command.arg("--system").stderr(Stdio::null()).spawn();
    let _running = Running {
        child: child.unwrap(),
    };
    let deadline = Instant::now() + DEADLINE;
    while UnixStream::connect(home.socket()).is_err() {
        assert!(Instant::now() < deadline, "p2pd does not listen");
        std::thread::sleep(Duration::from_millis(10));
    }
    let mut client = Client::connect(&home.socket());
    let hello = json!({"proto": [1, 1], "client": "test"});
    assert_eq!(client.call("hello", hello).unwrap()["mode"], "system");
    let mode = fs::metadata(home.socket()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
}

#[test]
fn what_is_no_greeting_is_refused_and_ends_the_connection() {
    let home = Home::new();
    let _running = home.start();
    let hello = |proto: Value| {
        let params = json!({"proto": proto, "client": "test"});
        json!({"jsonrpc": "2.0", "id": 1, "method": "hello", "params": params}).to_string()
    };
    for (line, code, words) in [
        ("GET / HTTP/1.1".to_owned(), -32700, "no JSON"),
        ("[]".to_owned(), -32600, "no JSON-RPC"),
        (
            "{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"hello\"}".to_owned(),
            -32600,
            "no JSON-RPC",
        ),
        (
            "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"status\"}".to_owned(),
            -32600,
            "must be `hello`",
        ),
        (hello(json!("x")), -32602, "parameters"),
        (hello(json!([2, 9])), 12, "understand"),
        ("x".repeat(5 << 20), -32600, "too long"),
    ] {
        let mut client = Client::connect(&home.socket());
        client.send(&line);
        // What is refused unread may lose the answer to the reset of the connection.
        if let Some(answer) = client.line() {
            let error = &answer["error"];
            assert_eq!(error["code"], code, "{error}");
            assert!(
                error["message"].as_str().unwrap().contains(words),
                "{error}"
            );
            assert_eq!(client.line(), None);
        } else {
            assert!(line.len() > 4 << 20, "no answer");
        }
    }
}

#[test]
fn a_client_that_does_not_greet_within_5_s_is_closed() {
    let home = Home::new();
    let _running = home.start();
    let start = Instant::now();
    let mut client = Client::connect(&home.socket());
    let answer = client.line().unwrap();
    assert_eq!(answer["error"]["code"], -32600);
    assert_eq!(client.line(), None);
    let waited = start.elapsed();
    assert!((4..10).contains(&waited.as_secs()), "{waited:?}");
}

#[test]
fn after_the_greeting_wrong_lines_are_answered_and_the_connection_goes_on() {
    let home = Home::new();
    let _running = home.start();
    let mut client = home.client();
    client.send("what?");
    assert_eq!(client.line().unwrap()["error"]["code"], -32700);
    client.send("{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"method\":\"status\"}");
    assert_eq!(client.line().unwrap()["error"]["code"], -32600);
    let error = client.call("no.such", Value::Null).unwrap_err();
    assert_eq!(error["code"], -32601);
    assert_eq!(error["data"]["why"], "p2pd does not know `no.such`");
    client.send("{\"jsonrpc\":\"2.0\",\"method\":\"no.such\"}");
    client.send("");
    assert!(client.call("status", Value::Null).is_ok());
}

/// Each method with parameters that are wrong, and the error's code.
#[test]
fn every_method_refuses_wrong_parameters() {
    let home = Home::new();
    let _running = home.start();
    let mut client = home.client();
    let nobody = "00112233445566778899aabbccddeeff00112233";
    for (method, params, code) in [
        ("share.add", json!({}), -32602),
        ("share.add", json!({"path": "relative"}), 2),
        ("share.add", json!({"path": "/no/such/folder"}), 4),
        ("share.add", json!({"path": "/tmp", "each": "some"}), -32602),
        ("share.wait", json!({}), 2),
        ("share.wait", json!({"share": "nothing"}), 4),
        ("share.remove", json!({}), 2),
        ("share.remove", json!({"share": "nothing"}), 4),
        ("share.rescan", json!({"share": {"bytes": "?"}}), 2),
        ("share.rescan", json!({"share": "nothing"}), 4),
        ("fetch.add", json!({}), 2),
        ("fetch.add", json!({"target": "magnet:?x"}), 2),
        ("fetch.add", json!({"target": nobody}), 13),
        ("fetch.add", json!({"torrent": "?"}), 2),
        ("fetch.add", json!({"torrent": "ZGU="}), 10),
        ("fetch.add", json!({"target": nobody, "dir": "here"}), 2),
        (
            "fetch.add",
            json!({"target": nobody, "dir": "/a", "data": "/b"}),
            2,
        ),
        (
            "fetch.add",
            json!({"target": nobody, "peers": ["nowhere"]}),
            2,
        ),
        ("item.wait", json!({}), -32602),
        ("item.wait", json!({"item": nobody}), 4),
        ("item.list", json!({"sort": "colour"}), 2),
        ("item.list", json!({"limit": -1}), -32602),
        ("item.show", json!({"item": nobody, "parts": ["soul"]}), 2),
        ("item.pause", json!({}), 2),
        ("item.pause", json!({"items": [nobody]}), 4),
        ("item.resume", json!({"items": [nobody]}), 4),
        ("item.announce", json!({"items": [nobody]}), 4),
        ("item.verify", json!({"items": "all"}), -32602),
        (
            "item.set",
            json!({"item": nobody, "key": "down", "value": "fast"}),
            2,
        ),
        (
            "item.set",
            json!({"item": nobody, "key": "colour", "value": "red"}),
            2,
        ),
        (
            "item.set",
            json!({"item": nobody, "key": "down", "value": "none"}),
            4,
        ),
        ("item.move", json!({"item": nobody, "dir": "here"}), 2),
        ("item.move", json!({"item": nobody, "dir": "/tmp"}), 4),
        ("item.remove", json!({}), -32602),
        ("item.remove", json!({"items": []}), 2),
        ("item.remove", json!({"items": [nobody]}), 4),
        ("item.link", json!({"item": nobody}), 4),
        ("tracker.add", json!({"name": "x"}), -32602),
        ("tracker.add", json!({"name": "x", "url": "ftp://x"}), 2),
        ("tracker.remove", json!({}), 2),
        ("tracker.remove", json!({"tracker": "x"}), 4),
        ("tracker.test", json!({"tracker": "x"}), 4),
        ("account.register", json!({"username": "x"}), -32602),
        (
            "account.login",
            json!({"username": "x", "password": "y", "tracker": "z"}),
            4,
        ),
        ("account.logout", json!({"tracker": 1}), -32602),
        ("account.whoami", json!({"tracker": "x"}), 4),
        ("catalogue.publish", json!({}), 2),
        ("catalogue.publish", json!({"item": nobody}), 4),
        ("catalogue.unpublish", json!({}), -32602),
        ("catalogue.search", json!({"tracker": "x"}), 4),
        ("catalogue.nodes", json!({"tracker": "x"}), 4),
        ("limits.set", json!({"down": "5MiB"}), -32602),
        ("config.get", json!({"key": "limits.downlaod"}), 4),
        (
            "config.set",
            json!({"key": "network.port", "value": "many"}),
            2,
        ),
        ("config.unset", json!({"key": "nothing"}), 4),
        ("history.list", json!({"item": "nothing"}), 4),
        ("log.tail", json!({"item": "nothing"}), 4),
        ("events.subscribe", json!({"topics": 1}), -32602),
        ("cancel", json!({}), -32602),
    ] {
        let error = match client.call(method, params.clone()) {
            Err(error) => error,
            Ok(value) => panic!("{method} {params} is taken: {value}"),
        };
        assert_eq!(error["code"], code, "{method} {params}: {error}");
        assert_ne!(error["message"], "", "{method} {params}");
        assert_ne!(error["data"]["why"], "", "{method} {params}: {error}");
    }
    assert!(client.call("status", Value::Null).is_ok());
}

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
fn the_log_can_be_read_and_followed_until_cancelled() {
    let home = Home::new();
    let _running = home.start();
    let mut client = home.client();
    let lines = client.call("log.tail", json!({"lines": 1_000})).unwrap();
    let has = |lines: &Value, text: &str| lines.to_string().contains(text);
    assert!(has(&lines, "is ready: peers on port"), "{lines}");

    let follow = client.start("log.tail", json!({"lines": 0, "follow": true}));
    assert_eq!(client.line().unwrap()["method"], "progress");
    let reload = client.start("daemon.reload", Value::Null);
    let (mut answered, mut logged) = (false, false);
    while !(answered && logged) {
        let line = client.line().unwrap();
        answered |= line["id"] == reload;
        logged |= has(&line["params"]["progress"], "configuration reloaded");
    }
    client.call("cancel", json!({"id": follow})).unwrap();
    let ended = client.answer(follow).unwrap_err();
    assert_eq!(ended["code"], 8);
    // Its id is free again.
    assert!(client.call("cancel", json!({"id": follow})).is_ok());
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

#[test]
fn requests_of_one_client_run_side_by_side_and_clients_are_bounded() {
    let home = Home::new();
    let _running = home.start();
    let mut client = home.client();
    let slow = client.start("log.tail", json!({"follow": true}));
    assert!(client.call("status", Value::Null).is_ok());
    client.send(&json!({"jsonrpc": "2.0", "id": slow, "method": "status"}).to_string());
    let refused = client.answer(slow).unwrap_err();
    assert_eq!(refused["code"], -32600);

    let mut others: Vec<_> = (0..63).map(|_| home.client()).collect();
    let mut late = Client::connect(&home.socket());
    assert_eq!(late.line().unwrap()["error"]["code"], 6);
    assert_eq!(late.line(), None);
    others.pop();
    let deadline = Instant::now() + DEADLINE;
    loop {
        let mut again = Client::connect(&home.socket());
        again.start("hello", json!({"proto": [1, 1], "client": "test"}));
        if again
            .line()
            .is_some_and(|line| line.get("result").is_some())
        {
            break;
        }
        assert!(Instant::now() < deadline, "no room though one has gone");
        std::thread::sleep(Duration::from_millis(20));
    }
}

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

#[test]
fn a_client_that_reads_nothing_is_dropped_and_others_are_served() {
    let home = Home::new();
    let _running = home.start();
    let mut deaf = home.client();
    let stream = deaf.reader.get_ref().try_clone().unwrap();
    let (dropped, is_dropped) = std::sync::mpsc::channel();
    let flood = std::thread::spawn(move || {
        let call =
            json!({"jsonrpc": "2.0", "id": 1, "method": "config.get", "params": {"key": ""}});
        let line = format!("{call}\n");
        while (&stream).write_all(line.as_bytes()).is_ok() {}
        dropped.send(()).unwrap();
    });
    let mut other = home.client();
    let deadline = Instant::now() + Duration::from_secs(40);
    while is_dropped.recv_timeout(Duration::from_millis(100)).is_err() {
        let asked = Instant::now();
        assert!(other.call("status", Value::Null).is_ok());
        assert!(asked.elapsed() < Duration::from_secs(3), "others wait");
        assert!(Instant::now() < deadline, "it is not dropped");
    }
    flood.join().unwrap();
    while deaf.line().is_some() {}
}
