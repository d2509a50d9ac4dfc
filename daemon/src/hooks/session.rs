//! One life of a plugin: started, asked what it wants, told and asked until it ends.
//!
//! It speaks the control protocol with the parts exchanged: p2pd asks `plugin.manifest`, `plugin.init` and `gate.NAME`, and notifies of
//! `event`. What it writes to standard error goes to the log.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use p2p_hooks::{Confines, Folder, clean, signal, stops};
use p2p_wire::control::{Answer as Reply, MAX_LINE, PluginManifest};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout};
use tokio::time::{sleep, timeout};

use super::Inner;
use super::plugins::{Request, check};
use super::questions::Questions;

/// Until a plugin has said what it wants and is ready.
const GREETING: Duration = Duration::from_secs(10);
/// How long a plugin may take nothing of what it is sent.
const WRITING: Duration = Duration::from_secs(10);
/// Between two lines of its standard error: a plugin that prints without end waits for us.
const LINE_PAUSE: Duration = Duration::from_millis(10);
/// A line of its standard error is cut after this many bytes.
const LOGGED: u64 = 1_024;

/// Runs a plugin until it ends, breaks the protocol or p2pd stops; gives the reason.
pub(super) async fn run(inner: &Arc<Inner>, name: &str, path: &Path) -> String {
    match live(inner, name, path).await {
        Ok(why) => why,
        Err(error) => error.to_string(),
    }
}

async fn live(inner: &Arc<Inner>, name: &str, path: &Path) -> io::Result<String> {
    let folder = inner.runner.folder()?;
    let mut child = spawn(inner, path, &folder)?;
    let group = child.id().and_then(|pid| i32::try_from(pid).ok());
    let group = group.map(Pid::from_raw);
    let why = match Session::open(&mut child, name) {
        Some(mut session) => {
            let mut stopping = inner.stopping.subscribe();
            tokio::select! {
                ended = session.serve(inner, name) => ended.unwrap_or_else(|error| error.to_string()),
                () = stops(&mut stopping) => "p2pd stops".to_owned(),
            }
        }
        None => "it has no standard streams".to_owned(),
    };
    signal(group, Signal::SIGTERM);
    let ended = timeout(Duration::from_secs(1), child.wait()).await;
    signal(group, Signal::SIGKILL);
    let _ = child.wait().await;
    Ok(match ended {
        Ok(Ok(status)) => format!("{why} ({status})"),
        _ => why,
    })
}

fn spawn(inner: &Inner, path: &Path, folder: &Folder) -> io::Result<Child> {
    let confines = Confines {
        cpu_seconds: u64::MAX,
        writable: vec![folder.0.clone()],
    };
    let mut command = inner.runner.confined(&confines, path, &[], folder);
    if let Some(socket) = inner.about.socket.to_path() {
        command.env("P2PD_SOCKET", socket);
    }
    command.spawn()
}

struct Session {
    lines: Lines,
    stdin: ChildStdin,
    questions: Questions,
}

impl Session {
    fn open(child: &mut Child, name: &str) -> Option<Self> {
        let (stdin, stdout) = (child.stdin.take()?, child.stdout.take()?);
        tokio::spawn(log_lines(child.stderr.take()?, name.to_owned()));
        Some(Self {
            lines: Lines {
                stdout: BufReader::new(stdout),
                line: Vec::new(),
            },
            stdin,
            questions: Questions::default(),
        })
    }

    async fn serve(&mut self, inner: &Arc<Inner>, name: &str) -> io::Result<String> {
        let greeting = timeout(GREETING, self.greet(inner)).await;
        let manifest = match greeting {
            Ok(manifest) => manifest?,
            Err(_) => return Ok("it did not say what it wants in time".to_owned()),
        };
        let mut requests = inner.plugin_ready(name, manifest).await;
        tracing::info!("plugin {name} is ready");
        loop {
            tokio::select! {
                request = requests.recv() => match request {
                    Some(request) => self.take(request).await?,
                    None => return Ok("it was replaced".to_owned()),
                },
                reply = self.lines.next() => match reply? {
                    Some(reply) => self.questions.hear(reply),
                    None => return Ok("it closed its standard output".to_owned()),
                },
            }
        }
    }

    async fn greet(&mut self, inner: &Inner) -> io::Result<PluginManifest> {
        let params = json!({"api": super::plugins::API, "server": inner.about.server});
        let manifest = self.call("plugin.manifest", params).await?;
        let manifest: PluginManifest = serde_json::from_value(manifest)
            .map_err(|error| io::Error::other(format!("its manifest cannot be read: {error}")))?;
        check(&manifest).map_err(io::Error::other)?;
        let params = json!({"daemon": inner.about});
        self.call("plugin.init", params).await?;
        Ok(manifest)
    }

    /// Asks and waits for the answer; what else comes meanwhile is no answer to anything.
    async fn call(&mut self, method: &str, params: Value) -> io::Result<Value> {
        let (id, line) = self.questions.call(method, params);
        self.write(&line).await?;
        loop {
            let reply = self.lines.next().await?;
            let reply = reply.ok_or_else(|| io::Error::other("it ended before it was ready"))?;
            if reply.id == Some(id) {
                let error = reply.error.map(|error| error.message);
                return match error {
                    Some(error) => Err(io::Error::other(format!("{method}: {error}"))),
                    None => Ok(reply.result.unwrap_or_default()),
                };
            }
        }
    }

    async fn take(&mut self, request: Request) -> io::Result<()> {
        let (line, told) = self.questions.line(request);
        self.write(&line).await?;
        if let Some(told) = told {
            // Who told may have given up.
            let _ = told.send(());
        }
        Ok(())
    }

    async fn write(&mut self, line: &str) -> io::Result<()> {
        let written = timeout(WRITING, self.stdin.write_all(line.as_bytes())).await;
        written.map_err(|_| io::Error::other("it does not read"))?
    }
}

/// Answers on a plugin's standard output.
struct Lines {
    stdout: BufReader<ChildStdout>,
    /// What is read of the next line.
    line: Vec<u8>,
}

impl Lines {
    /// The next answer; lines that are none are passed over. May be dropped while it waits.
    async fn next(&mut self) -> io::Result<Option<Reply>> {
        loop {
            let room = (MAX_LINE + 1).saturating_sub(self.line.len()) as u64;
            let mut limited = (&mut self.stdout).take(room);
            limited.read_until(b'\n', &mut self.line).await?;
            if self.line.last() != Some(&b'\n') {
                return match self.line.len() > MAX_LINE {
                    true => Err(io::Error::other("its line is too long")),
                    false => Ok(None),
                };
            }
            let line = std::mem::take(&mut self.line);
            match serde_json::from_slice(&line) {
                Ok(reply) => return Ok(Some(reply)),
                Err(error) => tracing::warn!("a plugin wrote a line that is no answer: {error}"),
            }
        }
    }
}

async fn log_lines(stderr: ChildStderr, name: String) {
    let mut stderr = BufReader::new(stderr);
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut limited = (&mut stderr).take(LOGGED);
        match limited.read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let text = clean(String::from_utf8_lossy(&line).trim_end());
        tracing::info!("plugin {name}: {text}");
        sleep(LINE_PAUSE).await;
    }
}
