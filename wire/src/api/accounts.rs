//! Accounts, their sessions, and the tracker as they see it.

use serde::{Deserialize, Serialize};

/// `POST /v1/register`.
#[derive(Clone, Serialize, Deserialize)]
pub struct Register {
    /// 1 to 32 of `a-z 0-9 - _ .`, beginning with a letter or digit.
    pub username: String,
    /// At least 8 characters.
    pub password: String,
    /// Invitation code, where registration is by invitation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invite: Option<String>,
}

/// An account, as others may see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Its name.
    pub username: String,
    /// May administer the tracker.
    pub admin: bool,
    /// When it was made.
    pub created: String,
}

/// `POST /v1/login`.
#[derive(Clone, Serialize, Deserialize)]
pub struct Login {
    /// Account name.
    pub username: String,
    /// Its password.
    pub password: String,
    /// The node id this machine was given at an earlier login, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_id: Option<String>,
    /// What to call this machine: its host name. A name another node of the account has gets a number.
    pub node_name: String,
}

/// A session. Secrets in it are shown once.
#[derive(Clone, Serialize, Deserialize)]
pub struct Session {
    /// Bearer token: 43 characters of base64url.
    pub token: String,
    /// Who logged in.
    pub account: Account,
    /// This machine's node id: 32 hex digits.
    pub node_id: String,
    /// This machine's name.
    pub node_name: String,
    /// The account's announce URL, passkey included.
    pub announce_url: String,
    /// Name and mode of the tracker.
    pub tracker: TrackerInfo,
}

/// `GET /v1/me`.
#[derive(Clone, Serialize, Deserialize)]
pub struct Me {
    /// Who the token belongs to.
    pub account: Account,
    /// Node id of the session.
    pub node_id: String,
    /// Node name of the session.
    pub node_name: String,
    /// The account's announce URL, passkey included.
    pub announce_url: String,
    /// Name and mode of the tracker.
    pub tracker: TrackerInfo,
}

/// `POST /v1/me/password`. Ends every other session of the account.
#[derive(Clone, Serialize, Deserialize)]
pub struct ChangePassword {
    /// Present password.
    pub old: String,
    /// At least 8 characters.
    pub new: String,
}

/// What a tracker says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackerInfo {
    /// Its configured name.
    pub name: String,
    /// `open`, `registered` or `listed`.
    pub mode: Mode,
    /// Program and version.
    pub server: String,
}

/// Who may announce what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Anyone, any hash.
    Open,
    /// A passkey, any hash.
    Registered,
    /// A passkey and a published hash.
    Listed,
}

impl Mode {
    /// As it stands in [`TrackerInfo`].
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Registered => "registered",
            Self::Listed => "listed",
        }
    }
}
