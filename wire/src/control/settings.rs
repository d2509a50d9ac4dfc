//! Limits, and the configuration in force.

use serde::{Deserialize, Serialize};

/// Rate limits in bytes/s; `None` in an answer is no limit, in a request no change; 0 in a request lifts the limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Receiving.
    #[serde(default)]
    pub down: Option<u64>,
    /// Sending.
    #[serde(default)]
    pub up: Option<u64>,
}

/// A key such as `limits.download`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ConfigKey {
    /// Dotted.
    pub key: String,
}

/// `config.set`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ConfigSet {
    /// Dotted.
    pub key: String,
    /// As it would stand in the file; a text may be bare.
    pub value: String,
}

/// A setting in force.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ConfigValue {
    /// Dotted.
    pub key: String,
    /// As TOML.
    pub value: String,
    /// `default`, `file` or `set`.
    pub origin: String,
    /// Takes effect at the next start.
    #[serde(default)]
    pub restart: bool,
}

/// Answer to `daemon.reload`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Reload {
    /// Keys that changed and took effect.
    pub applied: Vec<String>,
    /// Keys that changed and need a restart.
    pub needs_restart: Vec<String>,
    /// Shares of the file that cannot be used, each with the reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}
