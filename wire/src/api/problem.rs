//! Errors.

use serde::{Deserialize, Serialize};

/// An error of the API (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Stable name, see [`ProblemType`].
    pub r#type: String,
    /// HTTP status.
    pub status: u16,
    /// A sentence: what and why.
    pub title: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

macro_rules! problem_types {
    ($($(#[$doc:meta])* $name:ident = $text:literal $status:literal,)*) => {
        /// The stable names of errors, each with its HTTP status.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum ProblemType { $($(#[$doc])* $name,)* }
        impl ProblemType {
            /// As it stands in [`Problem::type`](Problem).
            pub fn as_str(self) -> &'static str { match self { $(Self::$name => $text,)* } }
            /// HTTP status.
            pub fn status(self) -> u16 { match self { $(Self::$name => $status,)* } }
            /// Finds a name.
            pub fn from_name(name: &str) -> Option<Self> { match name { $($text => Some(Self::$name),)* _ => None } }
        }
    };
}

problem_types! {
    /// The request cannot be read.
    BadRequest = "bad-request" 400,
    /// User name or password is wrong.
    BadCredentials = "bad-credentials" 401,
    /// No session, or one that ended.
    LoginRequired = "login-required" 401,
    /// This account may not do that.
    Forbidden = "forbidden" 403,
    /// Registration is closed, or wants an invitation.
    RegistrationClosed = "registration-closed" 403,
    /// An invitation that does not exist or was used.
    BadInvite = "bad-invite" 403,
    /// No such file, name, account or route.
    NotFound = "not-found" 404,
    /// More than one file begins with that prefix.
    Ambiguous = "ambiguous" 409,
    /// The user name is taken.
    NameTaken = "name-taken" 409,
    /// Another machine of the account has a share of that name.
    ShareTaken = "share-taken" 409,
    /// The body is too large.
    TooLarge = "too-large" 413,
    /// The body has another content type.
    WrongType = "wrong-type" 415,
    /// A field has a value that is not allowed.
    Invalid = "invalid" 422,
    /// The metainfo is no torrent that can be published.
    BadMetainfo = "bad-metainfo" 422,
    /// Too many requests; `Retry-After` says how long to wait.
    SlowDown = "slow-down" 429,
    /// The tracker's fault.
    Internal = "internal" 500,
    /// The disk is full or failed, or the tracker stops.
    Unavailable = "unavailable" 503,
}
