//! `daemon.doctor`: what is wrong, and how to mend it.

use serde::{Deserialize, Serialize};

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What was looked at: `socket`, `versions`, `daemon`, `folders`, `disk`, `inotify`, `login`, `transport`, `port`, `clock`.
    pub check: String,
    /// How bad it is.
    pub level: Level,
    /// What was found, a sentence.
    pub text: String,
    /// The command that mends it; none where all is well.
    #[serde(default)]
    pub fix: Option<String>,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// It works, but not as well as it could.
    Warning,
    /// Something does not work.
    Fault,
}

impl Finding {
    /// All is well.
    pub fn ok(check: &str, text: impl Into<String>) -> Self {
        Self {
            check: check.to_owned(),
            level: Level::Ok,
            text: text.into(),
            fix: None,
        }
    }

    /// It works, but not as well as after `fix`.
    pub fn warning(check: &str, text: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            level: Level::Warning,
            fix: Some(fix.into()),
            ..Self::ok(check, text)
        }
    }

    /// It does not work until `fix` is done.
    pub fn fault(check: &str, text: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            level: Level::Fault,
            ..Self::warning(check, text, fix)
        }
    }
}
