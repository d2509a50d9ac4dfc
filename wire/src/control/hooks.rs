//! Hooks: the programs that are run at an event or asked at a gate, and how their last runs went.

use serde::{Deserialize, Serialize};

use super::PathText;
use crate::InfoHash;

/// A program that p2pd found in its hook folders, or a plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// The event or gate, such as `item.finished`; of a plugin `plugins`.
    pub event: String,
    /// Its file name, `NN-name`; of a plugin the name it gave itself.
    pub name: String,
    /// Where it is; absent for a plugin that connected by itself.
    #[serde(default)]
    pub path: Option<PathText>,
    /// `ready`, `masked`, `refused` (p2pd will not run it); of a plugin also `starting`, `connected`, `waiting`.
    pub state: String,
    /// Why it is not run.
    #[serde(default)]
    pub reason: Option<String>,
}

/// `hooks.run`: runs the hooks of an event now, as if it happened. What a gate answers changes nothing.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HooksRun {
    /// An event or gate.
    pub event: String,
    /// Hash, prefix or name of the item.
    pub item: String,
}

/// `hooks.log`
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct HooksLog {
    /// At most this many, the newest first; all that are kept (100) when absent.
    #[serde(default)]
    pub limit: Option<u32>,
}

/// One run of a hook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookRun {
    /// When it began, RFC 3339.
    pub time: String,
    /// The event or gate.
    pub event: String,
    /// The same for each run of the same hook at the same event.
    pub event_id: String,
    /// Which hook: its file name, or `plugin NAME`.
    pub hook: String,
    /// Item, if the event is about one.
    #[serde(default)]
    pub info_hash: Option<InfoHash>,
    /// Name of that item, or of the share or tracker.
    #[serde(default)]
    pub name: Option<String>,
    /// `ok`, `refused`, `later`, `failed`, `timed out` or `stopped`.
    pub outcome: String,
    /// Exit code; absent where there was none.
    #[serde(default)]
    pub exit: Option<i32>,
    /// How long it ran, in milliseconds.
    pub took_ms: u64,
    /// Why it failed or what it gave as the reason.
    #[serde(default)]
    pub reason: Option<String>,
    /// The end of what it printed, at most 4 KiB.
    pub tail: String,
}

/// What a plugin answers to `plugin.manifest`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginManifest {
    /// What it calls itself.
    pub name: String,
    /// Version of the plugin protocol that it speaks: 1.
    pub api: u32,
    /// Events it wants to hear of, or families such as `item`.
    #[serde(default)]
    pub events: Vec<String>,
    /// Gates it wants to be asked at.
    #[serde(default)]
    pub gates: Vec<String>,
}

/// What a plugin answers to `gate.NAME`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginAnswer {
    /// It may pass.
    pub allow: bool,
    /// It may not yet: ask again.
    #[serde(default)]
    pub later: bool,
    /// Why not.
    #[serde(default)]
    pub reason: Option<String>,
    /// `pre-add`: add it, but paused.
    #[serde(default)]
    pub pause: bool,
    /// `pre-add`: fetch it into this folder.
    #[serde(default)]
    pub dir: Option<std::path::PathBuf>,
    /// `pre-publish`: globs of files that are left out of a folder.
    #[serde(default)]
    pub leave_out: Vec<String>,
}
