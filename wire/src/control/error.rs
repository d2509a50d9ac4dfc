//! Errors as they cross the socket.

use serde::{Deserialize, Serialize};

/// A JSON-RPC error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RpcError {
    /// An exit code of p2pctl, or a standard JSON-RPC code.
    pub code: i32,
    /// What failed.
    pub message: String,
    /// Why, and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<ErrorData>,
}

/// The second and third line of an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorData {
    /// The class of the error.
    pub kind: ErrorKind,
    /// Why.
    #[serde(default)]
    pub why: String,
    /// What to do.
    #[serde(default)]
    pub fix: String,
}

/// Classes of errors; the number is the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// Anything else.
    Failed = 1,
    /// The request is malformed.
    Usage = 2,
    /// The daemon cannot be reached.
    Unreachable = 3,
    /// No such item, share, file or name.
    NotFound = 4,
    /// The caller may not do that, or the daemon may not read or write there.
    Permission = 5,
    /// It exists, or something stands against it.
    Conflict = 6,
    /// Took too long.
    TimedOut = 7,
    /// Waiting ended, the work goes on.
    StillRunning = 8,
    /// A gate said no.
    Refused = 9,
    /// Verification found bad data.
    BadData = 10,
    /// Disk full or I/O error.
    Disk = 11,
    /// Versions do not match.
    Incompatible = 12,
    /// The tracker refused, cannot be reached, or wants a login.
    Tracker = 13,
}

impl RpcError {
    /// What failed, why, and what to do; the code is that of `kind`.
    #[must_use]
    pub fn new(
        kind: ErrorKind,
        what: impl Into<String>,
        why: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self {
            code: i32::from(kind.exit_code()),
            message: what.into(),
            data: Some(ErrorData {
                kind,
                why: why.into(),
                fix: fix.into(),
            }),
        }
    }
}

impl ErrorKind {
    /// What p2pctl exits with.
    pub fn exit_code(self) -> u8 {
        self as u8
    }
}
