//! The first words, and the daemon at a glance.

use serde::{Deserialize, Serialize};

use super::{Limits, PathText, Share, Tracker};

/// `hello`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Hello {
    /// Lowest and highest version the client speaks.
    pub proto: [u32; 2],
    /// Program and version.
    pub client: String,
}

/// Answer to [`Hello`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Welcome {
    /// Version spoken from now on.
    pub proto: u32,
    /// Program and version.
    pub server: String,
    /// Differs after each start.
    pub instance: String,
    /// `user` or `system`.
    pub mode: String,
    /// What the caller may do: `use` or `admin`.
    pub role: String,
    /// Names of optional features.
    pub caps: Vec<String>,
    /// `None` when all is well, else the reason why only little works.
    #[serde(default)]
    pub unhealthy: Option<String>,
}

/// The daemon at a glance.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// Program and version.
    pub server: String,
    /// Process id.
    pub pid: u32,
    /// `user` or `system`.
    pub mode: String,
    /// Seconds since the start.
    pub uptime_s: u64,
    /// Port for peers.
    pub port: u16,
    /// Items in all.
    pub items: u32,
    /// Complete items being served.
    pub seeding: u32,
    /// Items being fetched.
    pub fetching: u32,
    /// Paused items.
    pub paused: u32,
    /// Items that a gate holds.
    #[serde(default)]
    pub held: u32,
    /// Items with an error.
    pub errors: u32,
    /// Connected peers.
    pub peers: u32,
    /// Bytes/s received, blocks only.
    pub down_rate: u64,
    /// Bytes/s sent, blocks only.
    pub up_rate: u64,
    /// Bytes received since the start.
    pub downloaded: u64,
    /// Bytes sent since the start.
    pub uploaded: u64,
    /// Shares.
    pub shares: Vec<Share>,
    /// Trackers.
    pub trackers: Vec<Tracker>,
    /// Where fetched items go.
    pub download_dir: PathText,
    /// Limits in force.
    pub limits: Limits,
    /// The configuration file, if it was named at the start; else it is the one of the mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<PathText>,
    /// The state folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_dir: Option<PathText>,
    /// What needs attention, each a sentence.
    pub warnings: Vec<String>,
}
