//! The administration commands: `user`, `invite`, `log`, `backup`.
//!
//! A running tracker takes them on a Unix socket in its state folder, which its owner and root alone can open: whoever can connect may do
//! everything. Without a running tracker the commands open the database themselves, under the lock. Both ways end in [`execute()`].
//!
//! Protocol: one JSON [`Request`] on a line, then JSON [`Answer`]s, one a line, until the connection closes. A backup is followed by its bytes.

mod client;
mod execute;
mod server;

use serde::{Deserialize, Serialize};

use crate::store::LogQuery;

pub use client::{AdminError, call};
pub use execute::execute;
pub use server::serve;

/// What is to be done.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Makes an account.
    UserAdd {
        /// Name.
        username: String,
        /// Password.
        password: String,
        /// Administrator.
        admin: bool,
    },
    /// Lists accounts.
    UserList,
    /// Sets a password; ends all sessions.
    UserPassword {
        /// Whose.
        username: String,
        /// The new one.
        password: String,
    },
    /// Disables or enables.
    UserDisable {
        /// Whom.
        username: String,
        /// Or enable.
        disabled: bool,
    },
    /// Removes an account and all it published.
    UserRemove {
        /// Whom.
        username: String,
    },
    /// Makes invitations.
    Invite {
        /// How many.
        count: u32,
    },
    /// Reads the log, oldest line first.
    Log {
        /// Which lines.
        query: LogQuery,
        /// Goes on with what happens.
        follow: bool,
    },
    /// Copies the database.
    Backup,
}

/// A piece of the answer. Invitations are secrets: it has no `Debug`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It is done.
    Done,
    /// An account.
    User(User),
    /// An invitation.
    Code(String),
    /// A line of the log.
    Line(p2p_wire::api::LogEvent),
    /// So many bytes of a database follow.
    Database(u64),
    /// It was refused.
    Refused {
        /// [`p2p_wire::api::ProblemType`].
        kind: String,
        /// What and why.
        title: String,
        /// What to do.
        hint: String,
    },
}

/// An account as `user ls` shows it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct User {
    /// Name.
    pub username: String,
    /// Administrator.
    pub admin: bool,
    /// May not log in.
    pub disabled: bool,
    /// When it was made.
    pub created: String,
}
