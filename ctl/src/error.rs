//! What a command ends with when it does not succeed: three lines (what, why, what to do) and an exit code.
//!
//! The exit code is the number of the [`ErrorKind`], so that the daemon's errors and p2pctl's own have one table.

use std::fmt::Write as _;
use std::io;

use p2p_wire::control::{ErrorKind, RpcError};

use crate::text;

/// A command that did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// To be told to the user.
    #[error("{}", .0.what)]
    Told(Box<Told>),
    /// The user knows already; only the exit code is left.
    #[error("exit {0}")]
    Quiet(u8),
    /// Nobody reads standard output any more, which is no fault.
    #[error("standard output was closed")]
    Closed,
}

/// The three lines.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    /// Decides the exit code.
    pub(crate) kind: ErrorKind,
    /// What failed.
    pub(crate) what: String,
    /// Why; may be empty.
    pub(crate) why: String,
    /// What to do; may be empty.
    pub(crate) fix: String,
}

/// Exit code of a command that Ctrl-C ended while nothing goes on.
pub(crate) const INTERRUPTED: u8 = 130;

impl Error {
    /// Three lines; `why` and `fix` may be empty.
    pub(crate) fn new(
        kind: ErrorKind,
        what: impl Into<String>,
        why: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self::Told(Box::new(Told {
            kind,
            what: what.into(),
            why: why.into(),
            fix: fix.into(),
        }))
    }

    /// A fault in what the user typed.
    pub(crate) fn usage(
        what: impl Into<String>,
        why: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self::new(ErrorKind::Usage, what, why, fix)
    }

    /// A fault of a file or folder: `what` says which and what was tried.
    pub(crate) fn file(what: impl Into<String>, error: &io::Error) -> Self {
        let (kind, fix) = match error.kind() {
            io::ErrorKind::NotFound => (ErrorKind::NotFound, "Check the path."),
            io::ErrorKind::PermissionDenied => (
                ErrorKind::Permission,
                "Check who may read and write there:  ls -ld PATH",
            ),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                (ErrorKind::Disk, "Free some space:  df -h")
            }
            _ => (
                ErrorKind::Disk,
                "Look what the system says of that disk:  sudo dmesg | tail",
            ),
        };
        Self::new(kind, what, plain_io(error), fix)
    }

    /// A fault of standard output.
    pub(crate) fn stdout(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::file("cannot write to standard output", &error),
        }
    }

    /// The daemon's answer to `method`.
    pub(crate) fn from_rpc(method: &str, error: RpcError) -> Self {
        const METHOD_NOT_FOUND: i32 = -32601;
        if error.code == METHOD_NOT_FOUND {
            return Self::new(
                ErrorKind::Incompatible,
                format!("p2pd cannot do that: it does not know {method}"),
                "The daemon and p2pctl are of different versions.",
                "Compare them:  p2pctl -V   and after an update:  p2pctl daemon restart",
            );
        }
        let (kind, why, fix) = match error.data {
            Some(data) => (data.kind, data.why, data.fix),
            None => (kind_of(error.code), String::new(), String::new()),
        };
        Self::new(kind, error.message, why, fix)
    }

    /// What the process ends with.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Told(told) => told.kind as u8,
            Self::Quiet(code) => *code,
            Self::Closed => 0,
        }
    }

    /// The text for the user, each line ended; `None` where there is nothing to say.
    pub(crate) fn text(&self) -> Option<String> {
        let Self::Told(told) = self else { return None };
        let mut text = format!("p2pctl: {}\n", text::escape(&told.what));
        for line in told.why.lines().chain(told.fix.lines()) {
            let _infallible = writeln!(text, "  {}", text::escape(line));
        }
        Some(text)
    }
}

/// The operating system's words without Rust's `(os error 2)`.
pub(crate) fn plain_io(error: &io::Error) -> String {
    let text = error.to_string();
    let end = text.find(" (os error").unwrap_or(text.len());
    text[..end].to_owned()
}

fn kind_of(code: i32) -> ErrorKind {
    const KINDS: [ErrorKind; 13] = [
        ErrorKind::Failed,
        ErrorKind::Usage,
        ErrorKind::Unreachable,
        ErrorKind::NotFound,
        ErrorKind::Permission,
        ErrorKind::Conflict,
        ErrorKind::TimedOut,
        ErrorKind::StillRunning,
        ErrorKind::Refused,
        ErrorKind::BadData,
        ErrorKind::Disk,
        ErrorKind::Incompatible,
        ErrorKind::Tracker,
    ];
    let found = KINDS.into_iter().find(|kind| *kind as i32 == code);
    found.unwrap_or(ErrorKind::Failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_three_lines_and_nothing_hostile_in_them() {
        let error = Error::new(
            ErrorKind::NotFound,
            "no \u{1b}[31mx",
            "because\nof two",
            "do",
        );
        assert_eq!(
            error.text().unwrap(),
            "p2pctl: no \\x1b[31mx\n  because\n  of two\n  do\n"
        );
        assert_eq!(error.exit_code(), 4);
    }

    #[test]
    fn a_code_without_data_is_the_exit_code_if_it_is_one() {
        let rpc = |code| RpcError {
            code,
            message: "m".into(),
            data: None,
        };
        assert_eq!(Error::from_rpc("x", rpc(13)).exit_code(), 13);
        assert_eq!(Error::from_rpc("x", rpc(77)).exit_code(), 1);
        assert_eq!(Error::from_rpc("x", rpc(-32603)).exit_code(), 1);
        assert_eq!(Error::from_rpc("x", rpc(-32601)).exit_code(), 12);
    }
}
