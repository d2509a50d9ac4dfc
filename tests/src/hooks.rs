//! Hooks of a lab's peers: putting them there, and how they ran.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::content::generate;
use crate::lab::{Lab, Peer, Programs, wait_for};

/// How long a test waits for anything.
pub const LIMIT: Duration = Duration::from_secs(60);
/// Quick to settle, so that tests do not wait for quiet times made for people.
pub const QUICK: &str = "[shares]\nsettle = \"1s\"\n";

/// Puts a shell script into a peer's hook folders, e.g. at `item.added.d/10-x`.
pub fn hook(peer: &Peer, at: &str, script: &str) -> Result<PathBuf> {
    let path = peer.dir().join("hooks.d").join(at);
    fs::create_dir_all(path.parent().context("a folder")?)?;
    // A file that is being written cannot be run.
    let new = path.with_extension("new~");
    fs::write(&new, format!("#!/bin/sh\n{script}\n"))?;
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755))?;
    fs::rename(new, &path)?;
    Ok(path)
}

/// The last runs of a hook, oldest first.
pub fn runs(peer: &Peer, name: &str) -> Result<Vec<Value>> {
    let all = peer.json(&["hooks", "log"])?;
    let all = all.as_array().context("a list of runs")?.iter();
    let mut runs: Vec<Value> = all.filter(|run| run["hook"] == name).cloned().collect();
    runs.reverse();
    Ok(runs)
}

/// Waits until a hook has run so often; its runs, oldest first.
pub fn wait_runs(peer: &Peer, name: &str, count: usize) -> Result<Vec<Value>> {
    wait_for(&format!("{count} runs of {name}"), LIMIT, || {
        let runs = runs(peer, name)?;
        ensure!(runs.len() >= count, "{runs:#?}");
        Ok(Some(runs))
    })
}

/// A tracker, ann who shares `a.bin`, and bob; `settings` are bob's.
pub fn two(dir: &Path, settings: &str) -> Result<(Lab, Peer, Peer)> {
    let lab = Lab::start(dir, Programs::beside_this()?, "")?;
    let ann = lab.member("ann", QUICK)?;
    let share = ann.dir().join("Public");
    fs::create_dir(&share)?;
    generate(&share.join("a.bin"), 300_000, 1)?;
    ann.ctl(&["share", &share.display().to_string()])?;
    ann.wait_published("a.bin", LIMIT)?;
    let bob = lab.member("bob", settings)?;
    Ok((lab, ann, bob))
}
