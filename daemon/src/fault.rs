//! What a user is told when a command cannot be done.

use p2p_wire::control::ErrorKind;

/// An error of a command: three lines, what, why and what to do, and a kind that decides the exit code of p2pctl.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {why}")]
pub struct Fault {
    /// The class of the error.
    pub kind: ErrorKind,
    /// What could not be done.
    pub what: String,
    /// Why.
    pub why: String,
    /// What the user can do about it.
    pub fix: String,
}

impl Fault {
    /// An error with its three lines.
    pub fn new(
        kind: ErrorKind,
        what: impl Into<String>,
        why: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            what: what.into(),
            why: why.into(),
            fix: fix.into(),
        }
    }
}
