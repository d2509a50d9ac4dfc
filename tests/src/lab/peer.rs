//! One peer of a lab.

use std::ffi::OsString;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::process::{self, stdout_of};
use super::{Control, Process, Programs, wait_for};

/// A daemon with its own state, and `p2pctl` to talk to it.
#[derive(Debug)]
pub struct Peer {
    pub(super) name: String,
    pub(super) dir: PathBuf,
    pub(super) address: Ipv4Addr,
    pub(super) programs: Programs,
    /// What the daemon is started through; usually nothing.
    pub(super) wrapper: Vec<String>,
    pub(super) environment: Vec<(&'static str, OsString)>,
    pub(super) process: Option<Process>,
}

impl Peer {
    /// Its name, which is its account's too.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The address it listens on and dials from: each peer of a lab has its own.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where it fetches to.
    pub fn downloads(&self) -> PathBuf {
        self.dir.join("downloads")
    }

    /// A file with its password, 0600.
    pub fn password_file(&self) -> String {
        self.dir.join("password").display().to_string()
    }

    /// Process id of the daemon; 0 while it is not running.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().map_or(0, Process::pid)
    }

    /// Bytes that the daemon has read from files and sockets since its start.
    pub fn bytes_read(&self) -> Result<u64> {
        let io = fs::read_to_string(format!("/proc/{}/io", self.pid()))?;
        let read = io.lines().find_map(|line| line.strip_prefix("rchar: "));
        Ok(read.context("no rchar")?.parse()?)
    }

    /// Memory of its own that the daemon holds, in bytes, and its open descriptors.
    pub fn holds(&self) -> Result<(u64, usize)> {
        process::holds(self.pid())
    }

    /// What the daemon printed so far.
    pub fn output(&self) -> String {
        fs::read_to_string(self.dir.join("p2pd.log")).unwrap_or_default()
    }

    fn socket(&self) -> PathBuf {
        self.dir.join("run/control.sock")
    }

    /// What the daemon has in its environment from its next start on, besides what is in ours.
    pub fn set_environment(&mut self, variables: Vec<(&'static str, OsString)>) {
        self.environment = variables;
    }

    /// Starts the daemon and waits until it answers.
    pub fn start(&mut self) -> Result<()> {
        self.launch()?;
        let what = format!("{} to answer", self.name);
        let answered = wait_for(&what, Duration::from_secs(15), || {
            self.ensure_alive()?;
            self.ctl(&["status"]).map(Some)
        });
        if answered.is_err() {
            self.process = None;
        }
        answered.map(drop)
    }

    /// Starts the daemon.
    pub fn launch(&mut self) -> Result<()> {
        let mut command = match self.wrapper.split_first() {
            Some((program, args)) => {
                let mut command = Command::new(program);
                command.args(args).arg(&self.programs.daemon);
                command
            }
            None => Command::new(&self.programs.daemon),
        };
        command
            .envs(self.environment.iter().cloned())
            .arg("--user")
            .arg("--config")
            .arg(self.dir.join("p2pd.toml"))
            .arg("--state-dir")
            .arg(self.dir.join("state"))
            .arg("--socket")
            .arg(self.socket());
        self.process = Some(Process::start(&mut command, &self.dir.join("p2pd.log"))?);
        Ok(())
    }

    /// An error, with all it printed, if the daemon is not running any more.
    pub fn ensure_alive(&mut self) -> Result<()> {
        let process = self.process.as_mut().context("it is not running")?;
        process.ensure_alive()
    }

    /// kill -9.
    pub fn kill(&mut self) -> Result<()> {
        self.process.take().map_or(Ok(()), Process::kill)
    }

    /// SIGTERM.
    pub fn stop(&mut self) -> Result<()> {
        self.process.take().map_or(Ok(()), Process::stop)
    }

    /// A `p2pctl` command for this daemon, not started yet.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.programs.ctl);
        command
            .arg("--socket")
            .arg(self.socket())
            .args(args)
            .stdin(Stdio::null());
        command
    }

    /// Runs `p2pctl` and gives its standard output; an error with all it printed when it fails.
    pub fn ctl(&self, args: &[&str]) -> Result<String> {
        let output = self.command(args).output()?;
        stdout_of(
            &format!("{}: p2pctl {}", self.name, args.join(" ")),
            &output,
        )
    }

    /// Runs `p2pctl` and gives its exit code and standard error.
    pub fn refused(&self, args: &[&str]) -> Result<(i32, String)> {
        let output = self.command(args).output()?;
        let code = output.status.code().context("ended by a signal")?;
        Ok((code, String::from_utf8_lossy(&output.stderr).into_owned()))
    }

    /// Runs `p2pctl --json`.
    pub fn json(&self, args: &[&str]) -> Result<Value> {
        let mut all = vec!["--json"];
        all.extend(args);
        let text = self.ctl(&all)?;
        serde_json::from_str(&text).with_context(|| format!("read the JSON of {args:?}: {text}"))
    }

    /// The rows that a command prints as JSON.
    pub fn rows(&self, args: &[&str]) -> Result<Vec<Value>> {
        rows(self.json(args)?)
    }

    /// A connection to its control socket.
    pub fn control(&self) -> Result<Control> {
        Control::connect(&self.socket())
    }

    /// The items it holds.
    pub fn items(&self) -> Result<Vec<Value>> {
        self.rows(&["ls"])
    }

    /// The item called `name`, if it holds one.
    pub fn item(&self, name: &str) -> Result<Option<Value>> {
        Ok(self.items()?.into_iter().find(|item| item["name"] == name))
    }

    /// Waits until the item called `name` is complete and seeded here.
    pub fn wait_seeding(&self, name: &str, limit: Duration) -> Result<Value> {
        wait_for(&format!("{} to seed {name}", self.name), limit, || {
            let item = self
                .item(name)?
                .with_context(|| format!("no item {name}"))?;
            if item["state"] == "seeding" {
                return Ok(Some(item));
            }
            bail!("{name} is {item}")
        })
    }

    /// Waits until `path` can be found in the catalogue, and gives its entry.
    pub fn wait_published(&self, text: &str, limit: Duration) -> Result<Value> {
        wait_for(&format!("{text} in the catalogue"), limit, || {
            let rows = self.rows(&["search", text])?;
            Ok(rows.into_iter().next())
        })
    }
}

/// The rows of a list; anything else is no answer.
pub(crate) fn rows(list: Value) -> Result<Vec<Value>> {
    match list {
        Value::Array(rows) => Ok(rows),
        other => bail!("no list: {other}"),
    }
}
