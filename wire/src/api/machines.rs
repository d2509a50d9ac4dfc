//! The machines of accounts, and whether they can be reached.

use serde::{Deserialize, Serialize};

/// A machine of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Account.
    pub account: String,
    /// Name of the machine.
    pub node: String,
    /// Reported within the last two minutes, or announces.
    pub online: bool,
    /// When it was last heard of.
    pub last_seen: String,
    /// Items it seeds.
    pub seeding: u32,
    /// Items it is fetching.
    pub fetching: u32,
}

/// `POST /v1/reachable`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PortTest {
    /// Port of the caller that the tracker tries to connect to.
    pub port: u16,
}

/// Whether others can connect to the caller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reachable {
    /// The address that was tried: the caller's, as the tracker sees it, and the port.
    pub address: String,
    /// Whether a connection came about.
    pub reachable: bool,
    /// Why not.
    #[serde(default)]
    pub why: Option<String>,
    /// The tracker's time.
    pub time: String,
}
