//! The user who runs p2pctl, and other programs that it runs: p2pd, systemctl, launchctl.

use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Output, Stdio};

use p2p_wire::control::ErrorKind;

use crate::error::Error;

/// The number of the user who runs this.
#[cfg(unix)]
pub(crate) fn uid() -> u32 {
    nix::unistd::getuid().as_raw()
}

/// Users of Windows have no number; nothing there asks for one.
#[cfg(not(unix))]
pub(crate) fn uid() -> u32 {
    u32::MAX
}

/// Whether this runs with root's rights.
#[cfg(unix)]
pub(crate) fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// There is no root.
#[cfg(not(unix))]
pub(crate) fn is_root() -> bool {
    false
}

/// p2pd, as it lies beside p2pctl or else in the PATH.
pub(crate) fn p2pd() -> Result<Command, Error> {
    let beside = std::env::current_exe()
        .ok()
        .and_then(|own| Some(own.parent()?.join("p2pd")))
        .filter(|path| path.is_file());
    let found = beside.or_else(|| in_path(OsStr::new("p2pd")));
    match found {
        Some(path) => Ok(Command::new(path)),
        None => Err(Error::new(
            ErrorKind::NotFound,
            "cannot find p2pd",
            "It is neither beside p2pctl nor in the PATH.",
            "Install it, or add its folder to the PATH.",
        )),
    }
}

/// Runs a program with our own streams; an exit code that is not 0 becomes ours.
pub(crate) fn run_through(mut command: Command) -> Result<(), Error> {
    let status = command.status().map_err(|e| cannot_run(&command, &e))?;
    match status.success() {
        true => Ok(()),
        false => Err(Error::Quiet(code_of(status))),
    }
}

/// Runs a program and keeps what it says.
pub(crate) fn run_kept(mut command: Command) -> Result<Output, Error> {
    command.stdin(Stdio::null());
    command.output().map_err(|e| cannot_run(&command, &e))
}

/// The last line that a program said, which as a rule is the reason.
pub(crate) fn reason(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let last = text.lines().rev().find(|line| !line.trim().is_empty());
    match last {
        Some(line) => line.trim().to_owned(),
        None => format!("It ended with {}.", output.status),
    }
}

fn in_path(name: &OsStr) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
}

fn code_of(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| by_signal(status)).unwrap_or(1);
    u8::try_from(code).unwrap_or(1)
}

/// The code by which shells name the end by a signal.
#[cfg(unix)]
fn by_signal(status: ExitStatus) -> Option<i32> {
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    signal.map(|signal| 128 + signal)
}

/// Nothing ends by a signal there.
#[cfg(not(unix))]
fn by_signal(_: ExitStatus) -> Option<i32> {
    None
}

fn cannot_run(command: &Command, error: &io::Error) -> Error {
    let program = crate::text::show_os(command.get_program());
    Error::file(format!("cannot run {program}"), error)
}
