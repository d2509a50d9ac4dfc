//! The daemon as a whole: `status`, `daemon.stop`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use p2p_wire::control::{Share, State, Status, Tracker};
use p2p_wire::units::Size;
use tokio::sync::{Notify, Semaphore};

use super::caller::Caller;
use super::{Daemon, SERVER, paths, settings};
use crate::Fault;
use crate::engine::{Engine, Glance, Tally};

/// Items that stand still and are named in a warning at most.
const FAILED: usize = 10;

/// Items in numbers.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) tally: Tally,
    /// Some that stand still: a sentence each.
    failed: Vec<String>,
}

impl Counts {
    /// Of the items that `whose` sees; nothing when the engine has stopped.
    pub(crate) async fn of(engine: &Engine, whose: Option<u32>) -> Self {
        let counts = engine.survey(move |all| {
            let stands_still = |one: Glance<'_>| {
                let item = one.item();
                let why = because(&item.reason);
                format!("{} stands still{why}", item.name)
            };
            Self {
                tally: all.tally(whose),
                failed: all.failed(whose).take(FAILED).map(stands_still).collect(),
            }
        });
        counts.await.unwrap_or_default()
    }

    /// Those that are fetched: their metadata, or they themselves.
    pub(crate) fn fetching(&self) -> u32 {
        self.tally.count(State::Fetching) + self.tally.count(State::Metadata)
    }
}

/// How long `status` waits for a disk.
const PATIENCE: Duration = Duration::from_secs(2);

/// `status`. Who sees only what is theirs is told only the sums of that.
pub(super) async fn status(daemon: &Arc<Daemon>, caller: &Caller) -> Status {
    let whose = caller.whose();
    let counts = Counts::of(&daemon.engine, whose).await;
    let (downloaded, uploaded) = match whose {
        None => daemon.engine.moved(),
        Some(_) => counts.tally.moved,
    };
    let shares = daemon.shares.list(whose).await;
    let trackers = daemon.trackers.of(caller.uid).list().await;
    let config = daemon.settings.now();
    let places = daemon.settings.places();
    let (fetching, tally) = (counts.fetching(), counts.tally);
    let mut warnings = warnings(daemon, counts.failed, &shares, &trackers);
    warnings.extend(disk_low(daemon).await);
    Status {
        server: SERVER.to_owned(),
        pid: std::process::id(),
        mode: daemon.mode.as_str().to_owned(),
        uptime_s: daemon.started.elapsed().as_secs(),
        port: daemon.engine.port(),
        items: tally.items(),
        seeding: tally.count(State::Seeding),
        fetching,
        paused: tally.count(State::Paused),
        held: tally.count(State::Held),
        errors: tally.count(State::Error),
        peers: tally.peers,
        down_rate: tally.rates.0,
        up_rate: tally.rates.1,
        downloaded,
        uploaded,
        shares,
        trackers,
        download_dir: paths::text(&daemon.settings.download_dir()),
        limits: settings::limits_of(&config),
        config: places.config_named.then(|| paths::text(&places.config)),
        state_dir: Some(paths::text(&places.state)),
        warnings,
    }
}

fn because(reason: &Option<String>) -> String {
    match reason {
        Some(reason) => format!(": {reason}"),
        None => String::new(),
    }
}

/// What needs attention, each a sentence.
fn warnings(
    daemon: &Daemon,
    failed: Vec<String>,
    shares: &[Share],
    trackers: &[Tracker],
) -> Vec<String> {
    let mut warnings = Vec::new();
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
    warnings.extend(failed);
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
    // What is 64 bits wide on Linux need not be elsewhere.
    let (blocks, size) = (disk.blocks_available() as u64, disk.fragment_size() as u64);
    Some(blocks.saturating_mul(size))
}

/// `daemon.stop`: answers first, then the daemon ends.
pub(super) fn stop(stop: &Notify, caller: &Caller) -> Result<(), Fault> {
    caller.admin("stop p2pd")?;
    stop.notify_one();
    Ok(())
}
