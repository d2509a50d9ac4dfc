//! The daemon as a whole: `status`, `daemon.stop`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use p2p_wire::control::{Share, State, Status, Tracker};
use p2p_wire::units::Size;
use tokio::sync::{Notify, Semaphore};

use super::caller::Caller;
use super::{Daemon, SERVER, lookup, paths, settings};
use crate::Fault;
use crate::engine::{Engine, Glance};

/// Items that stand still and are named in a warning at most.
const FAILED: usize = 10;

/// Items in numbers.
#[derive(Default)]
pub(crate) struct Counts {
    items: u32,
    pub(crate) seeding: u32,
    pub(crate) fetching: u32,
    pub(crate) verifying: u32,
    pub(crate) paused: u32,
    pub(crate) held: u32,
    pub(crate) errors: u32,
    peers: u32,
    down_rate: u64,
    up_rate: u64,
    downloaded: u64,
    uploaded: u64,
    /// Some that stand still: a sentence each.
    failed: Vec<String>,
}

impl Counts {
    /// Of the items that `whose` sees; nothing when the engine has stopped.
    pub(crate) async fn of(engine: &Engine, whose: Option<u32>) -> Self {
        let counts = engine.survey(move |all| {
            let mut counts = Self::default();
            lookup::visible(all.iter(), whose).for_each(|one| counts.add(&one));
            counts
        });
        counts.await.unwrap_or_default()
    }

    fn add(&mut self, one: &Glance<'_>) {
        self.items += 1;
        match one.state() {
            State::Seeding => self.seeding += 1,
            State::Fetching | State::Metadata => self.fetching += 1,
            State::Paused => self.paused += 1,
            State::Held => self.held += 1,
            State::Error => {
                self.errors += 1;
                if self.failed.len() < FAILED {
                    let item = one.item();
                    let why = because(&item.reason);
                    self.failed.push(format!("{} stands still{why}", item.name));
                }
            }
            State::Verifying => self.verifying += 1,
        }
        let ((down_rate, up_rate), (downloaded, uploaded)) = (one.rates(), one.moved());
        self.peers += one.peers();
        self.down_rate += down_rate;
        self.up_rate += up_rate;
        self.downloaded += downloaded;
        self.uploaded += uploaded;
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
        Some(_) => (counts.downloaded, counts.uploaded),
    };
    let shares = daemon.shares.list(whose).await;
    let trackers = daemon.trackers.of(caller.uid).list().await;
    let config = daemon.settings.now();
    let places = daemon.settings.places();
    let mut warnings = warnings(daemon, counts.failed, &shares, &trackers);
    warnings.extend(disk_low(daemon).await);
    Status {
        server: SERVER.to_owned(),
        pid: std::process::id(),
        mode: daemon.mode.as_str().to_owned(),
        uptime_s: daemon.started.elapsed().as_secs(),
        port: daemon.engine.port(),
        items: counts.items,
        seeding: counts.seeding,
        fetching: counts.fetching,
        paused: counts.paused,
        held: counts.held,
        errors: counts.errors,
        peers: counts.peers,
        down_rate: counts.down_rate,
        up_rate: counts.up_rate,
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
