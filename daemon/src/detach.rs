//! `--daemonize`: the daemon in the background, and a parent that ends only when it is known how the start went.
//!
//! The parent starts this program again with its standard output as a pipe and its standard error as a log file; the child leaves the
//! terminal's session, starts, and writes one line to the pipe: [`READY`], or why it ends. So no process is ever forked while it
//! has threads, and the exit code of the parent is the truth.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::config::{Mode, Places};

/// The line that tells the parent that all is well.
const READY: &str = "ready";
/// A log larger than this, in bytes, is put aside at the start.
const MAX_LOG: u64 = 16 * 1024 * 1024;
/// Option that makes a child of this program the daemon.
pub const CHILD_OPTION: &str = "--detached";

/// Starts the daemon in the background and waits until it answers. `Err` has its words.
pub fn start(places: &Places) -> Result<(), String> {
    let log_path = places.state.join("p2pd.log");
    let log = open_log(&places.state, &log_path)
        .map_err(|error| format!("cannot write {}: {error}", log_path.display()))?;
    let mut child = child(places, log).map_err(|error| format!("cannot start p2pd: {error}"))?;
    let mut said = String::new();
    if let Some(mut pipe) = child.stdout.take() {
        // What is no text is no `ready`.
        let _ = pipe.read_to_string(&mut said);
    }
    if said.trim() == READY {
        return Ok(());
    }
    let ended = child
        .wait()
        .map_or_else(|error| error.to_string(), |status| status.to_string());
    Err(match said.trim() {
        "" => format!("p2pd ended ({ended}); see {}", log_path.display()),
        said => said.to_owned(),
    })
}

fn child(places: &Places, log: File) -> io::Result<std::process::Child> {
    let mode = match places.mode {
        Mode::User => "--user",
        Mode::System => "--system",
    };
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(CHILD_OPTION).arg(mode);
    command.arg("--state-dir").arg(&places.state);
    command.arg("--socket").arg(&places.socket);
    if places.config_named {
        command.arg("--config").arg(&places.config);
    }
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
}

fn open_log(dir: &Path, path: &Path) -> io::Result<File> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    if fs::metadata(path).is_ok_and(|meta| meta.len() > MAX_LOG) {
        let mut aside = PathBuf::from(path).into_os_string();
        aside.push(".1");
        fs::rename(path, aside)?;
    }
    File::options()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
}

/// In the child: leaves the terminal and the folder it was started from. Before any thread.
pub fn leave() -> io::Result<()> {
    nix::unistd::setsid()?;
    std::env::set_current_dir("/")
}

/// In the child: lets the parent end.
pub fn report_ready() {
    tell_parent(READY);
}

/// In the child: gives the parent the reason why there is no daemon.
pub fn report_failure(reason: &str) {
    tell_parent(reason);
}

fn tell_parent(line: &str) {
    let mut pipe = io::stdout();
    // A parent that was killed is not told.
    let _ = writeln!(pipe, "{line}").and_then(|()| pipe.flush());
    if let Ok(null) = File::options().write(true).open("/dev/null") {
        let _ = nix::unistd::dup2_stdout(null);
    }
}
