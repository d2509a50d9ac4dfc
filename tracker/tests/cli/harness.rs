//! A real tracker process with a state folder of its own, and a small HTTP client.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use data_encoding::BASE64;
use p2p_wire::metainfo::{Builder, Content, Metainfo};
use p2p_wire::points::{CONTENT_TYPE, Reply, Report};
use p2p_wire::{InfoHash, PeerId, announce};
use serde_json::{Value, json};

use crate::answers::{Answer, read_answer};

/// How long anything may take before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
pub(crate) const PASSWORD: &str = "correct horse";

/// A state folder and the tracker that runs on it.
pub(crate) struct Tracker {
    dir: tempfile::TempDir,
    child: Option<Child>,
}

impl Tracker {
    /// A running tracker; `config` is added to a file that listens on a free port.
    pub(crate) fn start(config: &str) -> Self {
        let mut tracker = Self::stopped(config);
        tracker.run();
        tracker
    }

    /// A state folder and a configuration, without a process.
    pub(crate) fn stopped(config: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listen = "[http]\nlisten = [\"127.0.0.1:0\"]\n";
        std::fs::write(dir.path().join("tracker.toml"), format!("{listen}{config}")).unwrap();
        Self { dir, child: None }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.path("state")
    }

    /// The program with this tracker's folders.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_p2p-tracker"));
        command
            .args(args)
            .arg("--config")
            .arg(self.path("tracker.toml"))
            .arg("--state-dir")
            .arg(self.state());
        command
            .env_remove("NOTIFY_SOCKET")
            .env_remove("JOURNAL_STREAM");
        command
    }

    /// Runs a command to its end; `input` is its standard input.
    pub(crate) fn cli(&self, args: &[&str], input: &str) -> Output {
        let mut command = self.command(args);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A command that does not read its input is fine.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    }

    /// Standard output of a command that must succeed.
    pub(crate) fn ok(&self, args: &[&str], input: &str) -> String {
        let output = self.cli(args, input);
        assert!(
            output.status.success(),
            "{args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// Starts the process and waits until it listens.
    pub(crate) fn run(&mut self) {
        let command = self.command(&["serve"]);
        self.run_as(command);
    }

    /// Starts it where no file can grow beyond so many KiB: the disk is full then.
    pub(crate) fn run_on_a_small_disk(&mut self, kib: u32) {
        let serve = self.command(&["serve"]);
        let mut command = Command::new("bash");
        // A write beyond the limit fails instead of ending the process.
        command
            .arg("-c")
            .arg(format!("trap '' XFSZ; ulimit -f {kib}; exec \"$@\""))
            .arg("bash");
        command.arg(serve.get_program()).args(serve.get_args());
        self.run_as(command);
    }

    /// Starts `command`, which is to be the tracker, and waits until it listens.
    pub(crate) fn run_as(&mut self, mut command: Command) {
        let _ = std::fs::remove_file(self.state().join("http.addr"));
        let stderr = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path("stderr"))
            .unwrap();
        let mut child = command.stdin(Stdio::null()).stderr(stderr).spawn().unwrap();
        wait_for("the tracker to listen", || {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("the tracker ended with {status}: {}", self.log());
            }
            self.state()
                .join("http.addr")
                .exists()
                .then_some(())
                .ok_or_else(|| self.log())
        });
        self.child = Some(child);
    }

    /// What it said on standard error.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("stderr")).unwrap_or_default()
    }

    pub(crate) fn pid(&self) -> nix::unistd::Pid {
        nix::unistd::Pid::from_raw(self.child.as_ref().unwrap().id().cast_signed())
    }

    /// Ends it with a signal and waits; answers its exit code.
    pub(crate) fn end(&mut self, signal: nix::sys::signal::Signal) -> Option<i32> {
        nix::sys::signal::kill(self.pid(), signal).unwrap();
        let mut child = self.child.take().unwrap();
        wait_for("the tracker to end", || {
            child.try_wait().unwrap().ok_or("still running".to_owned())
        })
        .code()
    }

    pub(crate) fn restart(&mut self) {
        assert_eq!(
            self.end(nix::sys::signal::SIGTERM),
            Some(0),
            "{}",
            self.log()
        );
        self.run();
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        std::fs::read_to_string(self.state().join("http.addr"))
            .unwrap()
            .lines()
            .next()
            .unwrap()
            .parse()
            .unwrap()
    }

    /// One request on a connection of its own.
    pub(crate) fn http(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        self.http_at(self.addr(), method, path, headers, body)
    }

    /// The same to another listener.
    pub(crate) fn http_at(
        &self,
        address: SocketAddr,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let mut socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut head =
            format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n");
        if !headers.iter().any(|(name, _)| *name == "content-length") {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        headers
            .iter()
            .for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
        head.push_str("\r\n");
        socket.write_all(head.as_bytes()).unwrap();
        // A refused body may not be read to its end.
        let _ = socket.write_all(body);
        read_answer(&mut socket)
    }

    /// A JSON request, with a token if there is one.
    pub(crate) fn api(&self, method: &str, path: &str, token: &str, body: &Value) -> Answer {
        let authorization = format!("Bearer {token}");
        let mut headers = vec![("content-type", "application/json")];
        if !token.is_empty() {
            headers.push(("authorization", &authorization));
        }
        let body = if body.is_null() {
            Vec::new()
        } else {
            serde_json::to_vec(body).unwrap()
        };
        self.http(method, path, &headers, &body)
    }

    pub(crate) fn get(&self, path: &str, token: &str) -> Answer {
        self.api("GET", path, token, &Value::Null)
    }

    /// Makes an account by the administration command.
    pub(crate) fn user(&self, name: &str) {
        self.ok(&["user", "add", name, "--password-file", "-"], PASSWORD);
    }

    /// Logs a machine in; answers the session.
    pub(crate) fn login(&self, name: &str, node: &str) -> Value {
        let body = json!({"username": name, "password": PASSWORD, "node_name": node});
        self.api("POST", "/v1/login", "", &body).expect(200)
    }

    /// Logs in and answers the token.
    pub(crate) fn token(&self, name: &str, node: &str) -> String {
        self.login(name, node)["token"].as_str().unwrap().to_owned()
    }

    /// Publishes under a name in a share; answers what the tracker says.
    pub(crate) fn publish(
        &self,
        token: &str,
        share: &str,
        name: &str,
        torrent: &Metainfo,
    ) -> Answer {
        let body =
            json!({"metainfo": BASE64.encode(&torrent.to_bytes()), "share": share, "name": name});
        self.api("POST", "/v1/files", token, &body)
    }

    /// Announces by a personal URL; `extra` is added to the query.
    pub(crate) fn announce(&self, url: &str, request: &announce::Request) -> announce::Reply {
        let path = url.splitn(4, '/').nth(3).unwrap();
        let answer = self.http("GET", &format!("/{path}?{}", request.to_query()), &[], b"");
        assert_eq!(answer.status, 200, "{answer:?}");
        announce::Reply::from_bytes(&answer.body).unwrap()
    }

    /// Sends a points report.
    pub(crate) fn report(&self, token: &str, report: &Report) -> Reply {
        let authorization = format!("Bearer {token}");
        let headers = [
            ("content-type", CONTENT_TYPE),
            ("authorization", &authorization),
        ];
        let answer = self.http("POST", "/v1/points", &headers, &report.to_bytes());
        assert_eq!(answer.status, 200, "{answer:?}");
        Reply::from_bytes(&answer.body).unwrap()
    }
}

impl Drop for Tracker {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Waits until `check` gives a value; fails with what it said last.
pub(crate) fn wait_for<T>(what: &str, mut check: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match check() {
            Ok(value) => return value,
            Err(last) => assert!(
                Instant::now() < deadline,
                "waited in vain for {what}: {last}"
            ),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A torrent of one file of so many 16 KiB pieces; `seed` makes its content differ.
pub(crate) fn torrent(name: &str, pieces: u32, seed: u8) -> Metainfo {
    let builder = Builder {
        name: name.to_owned(),
        content: Content::Single(u64::from(pieces) * 16_384),
        piece_len: 16_384,
        private: true,
        announce: vec![vec!["http://elsewhere.example/secret/announce".to_owned()]],
        comment: Some("a secret comment".to_owned()),
        created: None,
    };
    builder.build(&vec![[seed; 20]; pieces as usize]).unwrap()
}

/// An announce of a client on `port`.
pub(crate) fn announce_of(hash: InfoHash, port: u16, left: u64) -> announce::Request {
    let mut id = [b'x'; 20];
    id[..2].copy_from_slice(&port.to_be_bytes());
    announce::Request {
        info_hash: hash,
        peer_id: PeerId(id),
        port,
        uploaded: 0,
        downloaded: 0,
        left,
        event: announce::Event::None,
        numwant: None,
        key: None,
        compact: true,
        no_peer_id: false,
        ip: None,
        tracker_id: None,
    }
}

/// Files below `path` that others than their owner may read.
pub(crate) fn open_files(path: &Path) -> Vec<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let entries = std::fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .filter(|path| path.metadata().unwrap().permissions().mode() & 0o077 != 0)
        .collect()
}
