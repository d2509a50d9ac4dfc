//! What a run means: its exit code as told in docs/hooks.md.

use crate::output::clean;
use crate::process::{End, Ran};

/// "Ask again later": EX_TEMPFAIL of sysexits.
const LATER: i32 = 75;
/// A reason is cut after this many characters.
const REASON: usize = 500;
/// What a program prints that was not let.
const DENIED: [&str; 3] = [
    "Permission denied",
    "Operation not permitted",
    "Read-only file system",
];

/// What a hook said by how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// It has heard; a gate allows.
    Ok,
    /// A gate refuses, with the reason.
    Refused(String),
    /// It wants to be asked again.
    Later(String),
    /// It did not do its work, with the reason.
    Failed(String),
    /// The daemon stops: it is told again.
    Stopped,
}

impl Ran {
    /// What it said; `gate` is whether it was asked rather than told.
    pub fn said(&self, gate: bool) -> Said {
        if self.output.is_too_much() {
            return Said::Failed("it printed more than 1 MiB and was cut off".into());
        }
        match &self.end {
            End::Exited(0) => Said::Ok,
            End::Exited(LATER) => Said::Later(self.reason_or("asks to be asked again later")),
            End::Exited(1) if gate => Said::Refused(self.reason_or("it gave no reason")),
            End::Exited(code) => {
                Said::Failed(format!("it ended with exit code {code}{}", self.hint()))
            }
            End::Killed(signal) => Said::Failed(format!("signal {signal} ended it")),
            End::TimedOut => Said::Failed("it took too long and was ended".into()),
            End::NotStarted(why) => Said::Failed(format!("it cannot be started: {why}")),
            End::Stopped => Said::Stopped,
        }
    }

    /// The first line that it printed.
    fn reason_or(&self, nothing: &str) -> String {
        let line = clean(&self.output.first_line());
        match line.is_empty() {
            true => nothing.to_owned(),
            false => line.chars().take(REASON).collect(),
        }
    }

    fn hint(&self) -> &'static str {
        let tail = self.output.tail();
        match DENIED.iter().any(|denied| tail.contains(denied)) {
            true => {
                "; perhaps the sandbox stopped it: docs/hooks.md says what it lets, and how to run a hook as a service of its own"
            }
            false => "",
        }
    }
}
