//! What a user is told when a request cannot be done: one sentence and what to do.

use std::fmt;

use p2p_wire::api::ProblemType;

use crate::store::StoreError;

/// A refused request. The API sends it as a problem, the administration commands print it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Its stable name.
    pub kind: ProblemType,
    /// What and why.
    pub title: String,
    /// What to do.
    pub hint: String,
    /// Seconds to wait before the next try.
    pub retry_after: Option<u32>,
}

impl Refusal {
    /// What and why, and what to do.
    pub fn new(kind: ProblemType, title: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            kind,
            title: title.into(),
            hint: hint.into(),
            retry_after: None,
        }
    }

    /// Adds how long to wait, in seconds.
    pub fn retry_after(mut self, secs: u32) -> Self {
        self.retry_after = Some(secs);
        self
    }

    /// A value that is not allowed.
    pub fn invalid(title: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(ProblemType::Invalid, title, hint)
    }

    /// The tracker itself failed.
    pub fn internal(title: impl Into<String>) -> Self {
        Self::new(ProblemType::Internal, title, ASK)
    }

    /// Nothing of that name, or nothing that the caller may see.
    pub fn not_found(title: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(ProblemType::NotFound, title, hint)
    }
}

/// What to do where the user can do nothing.
const ASK: &str = "Its administrator finds the reason in the tracker's log.";

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.title)
    }
}

impl std::error::Error for Refusal {}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(why) => Self::new(
                ProblemType::Unavailable,
                format!("the tracker cannot use its disk: {why}"),
                "Nothing was changed. Its administrator must free space or mend the disk; try again then.",
            )
            .retry_after(30),
            StoreError::Busy => Self::new(
                ProblemType::Unavailable,
                "the tracker has too much to write",
                "Nothing was changed; try again shortly.",
            )
            .retry_after(2),
            StoreError::TooLong => Self::new(
                ProblemType::Unavailable,
                "the tracker's database took too long to answer",
                "Search for fewer or longer words, or try again when the tracker has less to do.",
            )
            .retry_after(10),
            StoreError::Stopped => Self::new(
                ProblemType::Unavailable,
                "the tracker is stopping, or its database has failed",
                "Try again when it is back; its administrator finds the reason in the tracker's log.",
            )
            .retry_after(5),
            StoreError::Refused(refusal) => *refusal,
            StoreError::Damaged(_) | StoreError::Database(_) => {
                Self::internal("the tracker's database failed")
            }
        }
    }
}
