//! A daemon of a test's own, and its clients.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// A place for one daemon.
pub(crate) struct Home {
    pub(crate) dir: TempDir,
}

impl Home {
    pub(crate) fn new() -> Self {
        let home = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        home.configure("");
        home
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.path("run/control.sock")
    }

    pub(crate) fn configure(&self, text: &str) {
        let downloads = self.path("downloads");
        let daemon = format!("[daemon]\ndownload_dir = \"{}\"\n", downloads.display());
        let text = if text.contains("[daemon]") {
            text.to_owned()
        } else {
            daemon + text
        };
        fs::write(self.path("p2pd.toml"), text).unwrap();
    }

    pub(crate) fn command(&self) -> Command {
        self.command_at(&self.socket())
    }

    pub(crate) fn command_at(&self, socket: &Path) -> Command {
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
    pub(crate) fn start(&self) -> Running {
        let mut running = self.spawn(&mut self.command());
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

    /// Starts `command`, which is or becomes a daemon; what it logs goes to a file, as nobody empties a pipe meanwhile.
    pub(crate) fn spawn(&self, command: &mut Command) -> Running {
        let log = self.path("stderr");
        let stderr = fs::File::create(&log).unwrap();
        let child = command.stdout(Stdio::null()).stderr(stderr).spawn();
        Running {
            child: child.unwrap(),
            log,
        }
    }

    /// Runs to the end.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command().args(args).output().unwrap()
    }

    pub(crate) fn client(&self) -> Client {
        let mut client = Client::connect(&self.socket());
        let welcome = client
            .call("hello", json!({"proto": [1, 1], "client": "test"}))
            .unwrap();
        assert_eq!(welcome["proto"], 1);
        client
    }
}

pub(crate) struct Running {
    pub(crate) child: Child,
    log: PathBuf,
}

impl Running {
    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for the end, and how long that took.
    pub(crate) fn wait(&mut self) -> (std::process::ExitStatus, Duration) {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status, start.elapsed());
            }
            assert!(start.elapsed() < DEADLINE, "p2pd does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn stderr(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) struct Client {
    pub(crate) reader: BufReader<UnixStream>,
    pub(crate) last_id: u64,
}

impl Client {
    pub(crate) fn connect(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        Self {
            reader: BufReader::new(stream),
            last_id: 0,
        }
    }

    pub(crate) fn send(&mut self, line: &str) {
        let stream = self.reader.get_mut();
        // A daemon that refuses a line may close before it has read the whole.
        let _ = stream.write_all(format!("{line}\n").as_bytes());
    }

    /// The next line; `None` at the end.
    pub(crate) fn line(&mut self) -> Option<Value> {
        let mut line = String::new();
        match self.reader.read_line(&mut line) {
            Ok(0) => None,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => None,
            Err(error) => panic!("no line: {error}"),
            Ok(_) => Some(serde_json::from_str(&line).unwrap()),
        }
    }

    pub(crate) fn start(&mut self, method: &str, params: Value) -> u64 {
        self.last_id += 1;
        let call =
            json!({"jsonrpc": "2.0", "id": self.last_id, "method": method, "params": params});
        self.send(&call.to_string());
        self.last_id
    }

    /// Asks and waits; notifications are dropped.
    pub(crate) fn call(&mut self, method: &str, params: Value) -> Result<Value, Value> {
        let id = self.start(method, params);
        self.answer(id)
    }

    pub(crate) fn answer(&mut self, id: u64) -> Result<Value, Value> {
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

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
