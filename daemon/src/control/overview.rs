//! The daemon as a whole: `status`, `daemon.stop`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use p2p_wire::control::{Item, Share, State, Status, Tracker};
use p2p_wire::units::Size;
use tokio::sync::{Notify, Semaphore};

use super::caller::Caller;
use super::{Daemon, SERVER, lookup, paths, settings};
use crate::Fault;
use crate::engine::Totals;

/// How long `status` waits for a disk.
const PATIENCE: Duration = Duration::from_secs(2);

/// `status`. Who sees only what is theirs is told only the sums of that.
pub(super) async fn status(daemon: &Arc<Daemon>, caller: &Caller) -> Status {
    let items = lookup::items(daemon, caller).await;
    let totals = match caller.whose() {
        None => daemon.engine.totals().await,
        Some(_) => sum(&items),
    };
    let shares = daemon.shares.list(caller.whose()).await;
    let trackers = daemon.trackers.of(caller.uid).list().await;
    let config = daemon.settings.now();
    let count = |state: State| items.iter().filter(|item| item.state == state).count() as u32;
    let mut warnings = warnings(daemon, &items, &shares, &trackers);
    warnings.extend(disk_low(daemon).await);
    Status {
        server: SERVER.to_owned(),
        pid: std::process::id(),
        mode: daemon.mode.as_str().to_owned(),
        uptime_s: daemon.started.elapsed().as_secs(),
        port: daemon.engine.port(),
        items: items.len() as u32,
        seeding: count(State::Seeding),
        fetching: count(State::Fetching) + count(State::Metadata),
        paused: count(State::Paused),
        held: count(State::Held),
        errors: count(State::Error),
        peers: totals.peers,
        down_rate: totals.down_rate,
        up_rate: totals.up_rate,
        downloaded: totals.downloaded,
        uploaded: totals.uploaded,
        shares,
        trackers,
        download_dir: paths::text(&daemon.settings.download_dir()),
        limits: settings::limits_of(&config),
        warnings,
    }
}

fn sum(items: &[Item]) -> Totals {
    let of = |number: fn(&Item) -> u64| items.iter().map(number).sum();
    Totals {
        peers: items.iter().map(|item| item.peers).sum(),
        down_rate: of(|item| item.down_rate),
        up_rate: of(|item| item.up_rate),
        downloaded: of(|item| item.downloaded),
        uploaded: of(|item| item.uploaded),
    }
}

/// What needs attention, each a sentence.
fn warnings(
    daemon: &Daemon,
    items: &[Item],
    shares: &[Share],
    trackers: &[Tracker],
) -> Vec<String> {
    let mut warnings = Vec::new();
    let because = |reason: &Option<String>| match reason {
        Some(reason) => format!(": {reason}"),
        None => String::new(),
    };
    for tracker in trackers {
        match tracker.state.as_str() {
            "login needed" => warnings.push(format!(
                "tracker {} wants a login: p2pctl login {}",
                tracker.name, tracker.name
            )),
            "unreachable" => warnings.push(format!(
                "tracker {} cannot be reached{}",
                tracker.name,
                because(&tracker.reason)
            )),
            _ => {}
        }
    }
    for share in shares {
        if matches!(share.state.as_str(), "unavailable" | "error" | "polling") {
            let (name, state) = (&share.name, &share.state);
            warnings.push(format!("share {name} is {state}{}", because(&share.reason)));
        }
    }
    let failed = items.iter().filter(|item| item.state == State::Error);
    for item in failed.take(10) {
        warnings.push(format!(
            "{} stands still{}",
            item.name,
            because(&item.reason)
        ));
    }
    for key in daemon.settings.overridden() {
        warnings.push(format!(
            "{key}: what was set by command wins over the file: p2pctl config unset {key} takes it back"
        ));
    }
    warnings
}

/// The download folder, or the nearest folder above it that is there, has less room than `storage.min_free`.
async fn disk_low(daemon: &Daemon) -> Option<String> {
    /// One look at a time: a disk that does not answer must not take up thread after thread.
    static LOOKING: Semaphore = Semaphore::const_new(1);
    let dir = daemon.settings.download_dir();
    let wanted = dir.clone();
    let look = async {
        let looking = LOOKING.acquire().await.ok()?;
        let free = tokio::task::spawn_blocking(move || {
            let there = wanted.ancestors().find(|path| path.exists());
            let free = there.and_then(free_bytes);
            drop(looking);
            free
        });
        free.await.ok().flatten()
    };
    let Ok(free) = tokio::time::timeout(PATIENCE, look).await else {
        return Some(format!("the disk of {} does not answer", dir.display()));
    };
    let free = free?;
    let min = daemon.settings.now().storage.min_free;
    (free < min.0).then(|| {
        let free = free >> 20;
        format!(
            "{} has {free} MiB free, less than storage.min_free ({}): nothing is fetched into it",
            dir.display(),
            Size(min.0)
        )
    })
}

/// What may still be written to the file system of `path`, in bytes.
pub(super) fn free_bytes(path: &Path) -> Option<u64> {
    let disk = nix::sys::statvfs::statvfs(path).ok()?;
    Some(disk.blocks_available().saturating_mul(disk.fragment_size()))
}

/// `daemon.stop`: answers first, then the daemon ends.
pub(super) fn stop(stop: &Notify, caller: &Caller) -> Result<(), Fault> {
    caller.admin("stop p2pd")?;
    stop.notify_one();
    Ok(())
}
