//! What a command ends with when it does not succeed: three lines (what, why, what to do) and an exit code.
//!
//! The exit code is the number of the [`ErrorKind`], so that the daemon's errors and p2pctl's own have one table.

use std::error::Error as _;
use std::fmt::Write as _;
use std::io;
use std::num::ParseIntError;

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

    /// What the parser of arguments says, in our three lines; `command` is the one that was meant, if that is known.
    pub(crate) fn from_clap(error: &clap::Error, command: Option<&str>) -> Self {
        use clap::error::{ContextKind, ContextValue, ErrorKind as Kind};
        let listed = |kind| match error.get(kind) {
            Some(ContextValue::Strings(values)) => values.clone(),
            Some(ContextValue::String(value)) => vec![value.clone()],
            _ => Vec::new(),
        };
        let first = |kind| listed(kind).into_iter().next().unwrap_or_default();
        let (argument, value) = (
            first(ContextKind::InvalidArg),
            first(ContextKind::InvalidValue),
        );
        // The best comes last.
        let close = |kind| match listed(kind).last() {
            None => "There is nothing of that name.".to_owned(),
            Some(name) => format!("The nearest is `{name}`."),
        };
        let (what, why) = match error.kind() {
            Kind::InvalidValue if value.is_empty() => (
                format!("{argument} lacks its value"),
                "Nothing follows it.".to_owned(),
            ),
            Kind::InvalidValue => (
                format!("`{value}` is no value for {argument}"),
                format!(
                    "It takes one of {}.",
                    listed(ContextKind::ValidValue).join(", ")
                ),
            ),
            Kind::ValueValidation => (
                format!("`{value}` is no value for {argument}"),
                error.source().map_or_else(String::new, |source| {
                    match source.is::<ParseIntError>() {
                        true => "It is no number, or none that fits.".to_owned(),
                        false => source.to_string(),
                    }
                }),
            ),
            Kind::UnknownArgument => (
                format!("there is no {argument}"),
                close(ContextKind::SuggestedArg),
            ),
            Kind::InvalidSubcommand => (
                format!(
                    "there is no command `{}`",
                    first(ContextKind::InvalidSubcommand)
                ),
                close(ContextKind::SuggestedSubcommand),
            ),
            Kind::MissingRequiredArgument => (
                format!("{} is missing", listed(ContextKind::InvalidArg).join(" ")),
                "The command cannot do without.".to_owned(),
            ),
            Kind::ArgumentConflict => (
                format!(
                    "{argument} does not go together with {}",
                    listed(ContextKind::PriorArg).join(", ")
                ),
                "Each says something that the other contradicts.".to_owned(),
            ),
            _ => {
                // As `error: unexpected value ...`, followed by the usage.
                let text = error.to_string();
                let line = text.lines().next().unwrap_or_default();
                let line = line.trim_start_matches("error: ").trim_end_matches(':');
                (line.to_owned(), String::new())
            }
        };
        let fix = match command {
            Some(command) => format!("See what it takes:  p2pctl {command} --help"),
            None => "See the commands:  p2pctl --help".to_owned(),
        };
        Self::usage(what, why, fix)
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
        let why = sentence(&told.why);
        for line in why.lines().chain(told.fix.lines()) {
            let _infallible = writeln!(text, "  {}", text::escape(line));
        }
        Some(text)
    }
}

/// A reason as a sentence: reasons come from our own texts, from the operating system and from parsers, each with its own habits.
fn sentence(reason: &str) -> String {
    let reason = without_number(reason);
    let mut words = reason.split_whitespace();
    let (first, last) = (words.next().unwrap_or_default(), words.next_back());
    let mut out = match reason.chars().next() {
        // A key or a file name stays as it is.
        Some(c)
            if first
                .trim_end_matches([',', ';'])
                .chars()
                .all(char::is_alphabetic) =>
        {
            c.to_uppercase().chain(reason.chars().skip(1)).collect()
        }
        _ => reason.clone(),
    };
    // Nothing after a path or an address: it is to be copied.
    let is_place = last.is_some_and(|last| last.starts_with('/') || last.contains("://"));
    if out.ends_with(|c: char| c.is_alphanumeric() || "`'\")".contains(c)) && !is_place {
        out.push('.');
    }
    out
}

/// The operating system's words without Rust's `(os error 2)`.
pub(crate) fn plain_io(error: &io::Error) -> String {
    without_number(&error.to_string())
}

fn without_number(text: &str) -> String {
    let Some((before, rest)) = text.split_once(" (os error ") else {
        return text.to_owned();
    };
    let after = rest.split_once(')').map_or("", |(_, after)| after);
    format!("{before}{after}")
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
            "p2pctl: no \\x1b[31mx\n  Because\n  of two.\n  do\n"
        );
        assert_eq!(error.exit_code(), 4);
    }

    #[test]
    fn a_reason_is_a_sentence() {
        for (reason, told) in [
            ("", ""),
            (
                "No such file or directory (os error 2)",
                "No such file or directory.",
            ),
            ("expected `u16`, found `x`", "Expected `u16`, found `x`."),
            ("It lies at /srv/a", "It lies at /srv/a"),
            ("There is none.", "There is none."),
            ("Really?", "Really?"),
            (
                "limits.down: `x` is no rate like `1MiB/s`",
                "limits.down: `x` is no rate like `1MiB/s`.",
            ),
        ] {
            assert_eq!(sentence(reason), told);
        }
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
