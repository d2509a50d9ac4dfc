//! Other programs that p2pctl runs: p2pd and systemctl.

use std::ffi::OsStr;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Output, Stdio};

use p2p_wire::control::ErrorKind;

use crate::error::Error;

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
    let signal = || status.signal().map(|signal| 128 + signal);
    let code = status.code().or_else(signal).unwrap_or(1);
    u8::try_from(code).unwrap_or(1)
}

fn cannot_run(command: &Command, error: &io::Error) -> Error {
    let program = crate::text::show_os(command.get_program());
    Error::file(format!("cannot run {program}"), error)
}
