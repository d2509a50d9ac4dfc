//! `daemon.doctor`: looks at what commonly goes wrong around the daemon, and says which command mends it.
//!
//! What is measured comes in as values, so that each check can be seen to fail.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use nix::unistd::{AccessFlags, access};
use p2p_wire::api::Reachable;
use p2p_wire::control::{Finding, Share, Tracker};
use p2p_wire::units::Size;

use super::caller::Caller;
use super::overview::free_bytes;
use super::{Daemon, paths};
use crate::Fault;
use crate::config::Mode;

/// Seconds that two clocks may differ: more disturbs who compares times, less is the way of networks.
const CLOCK_SKEW_S: i64 = 30;

/// Every check, of the caller's shares and logins.
pub(super) async fn examine(daemon: &Arc<Daemon>, caller: &Caller) -> Vec<Finding> {
    let known = daemon.trackers.of(caller.uid);
    let download = daemon.settings.download_dir();
    let min_free = daemon.settings.now().storage.min_free.0;
    let (mode, shared) = (daemon.mode, daemon.shares.list(caller.whose()).await);
    let on_disk = tokio::task::spawn_blocking(move || {
        let mut findings = folders(mode, &download, &shared);
        let free = nearest(&download).and_then(|there| free_bytes(&there));
        findings.extend(free.map(|free| disk(&download, free, min_free)));
        findings.push(inotify(watches(), watch_limit(), &shared));
        findings
    });
    // A check that panicked has nothing to say.
    let mut findings = on_disk.await.unwrap_or_default();
    let trackers = known.list().await;
    if trackers.is_empty() {
        findings.push(Finding::warning(
            "login",
            "No tracker is known: nothing is published, and peers are found by address alone.",
            "p2pctl tracker add home http://HOST:6969",
        ));
    }
    for tracker in &trackers {
        // What it says of itself is from its last call; this one is of now.
        let tested = known.test(Some(tracker.name.clone())).await;
        let safe = known.transport(&tracker.name).await;
        findings.push(login(tracker, tested));
        findings.push(transport(tracker, safe));
        if tracker.username.is_some() {
            let port = daemon.engine.port();
            let answer = known.reachable(&tracker.name, port).await;
            if let Ok(answer) = answer {
                findings.push(reachable(&tracker.name, port, &answer));
                findings.extend(clock(&tracker.name, &answer.time, Timestamp::now()));
            }
        }
    }
    findings
}

/// Whether the daemon may read what it shares and write where it fetches to.
fn folders(mode: Mode, download: &Path, shares: &[Share]) -> Vec<Finding> {
    let mut wrong = Vec::new();
    let enter = AccessFlags::X_OK;
    let writable = nearest(download).map(|there| access(&there, AccessFlags::W_OK | enter));
    if !matches!(writable, Some(Ok(()))) {
        let dir = download.display();
        let fix = match mode {
            Mode::User => format!("mkdir -p {dir} && chmod u+rwx {dir}"),
            Mode::System => format!("sudo install -d -m 2775 -g p2p {dir}"),
        };
        let text = format!("p2pd may not write to the download folder {dir}.");
        wrong.push(Finding::fault("folders", text, fix));
    }
    for share in shares {
        let Ok(path) = paths::any(&share.path) else {
            continue;
        };
        if let Err(errno) = access(&path, AccessFlags::R_OK | enter) {
            let shown = path.display();
            let fix = match mode {
                Mode::User => format!("chmod u+rX {shown}"),
                Mode::System => format!("sudo setfacl -R -m u:p2pd:rX {shown}"),
            };
            let text = format!(
                "p2pd cannot read the share {}: {}.",
                share.name,
                errno.desc()
            );
            wrong.push(Finding::fault("folders", text, fix));
        }
    }
    if wrong.is_empty() {
        let text = format!(
            "The download folder can be written to, and every shared folder ({}) can be read.",
            shares.len()
        );
        wrong.push(Finding::ok("folders", text));
    }
    wrong
}

fn disk(dir: &Path, free: u64, min_free: u64) -> Finding {
    let (dir, has) = (dir.display(), Size(free >> 20 << 20));
    if free < min_free {
        let min = Size(min_free);
        let text =
            format!("{has} free for {dir}, less than storage.min_free ({min}): fetches wait.");
        return Finding::fault("disk", text, "p2pctl config set daemon.download_dir FOLDER");
    }
    Finding::ok("disk", format!("{has} free for {dir}."))
}

fn inotify(used: u64, limit: Option<u64>, shares: &[Share]) -> Finding {
    let polled = shares
        .iter()
        .filter(|share| share.state == "polling")
        .count();
    let Some(limit) = limit else {
        return Finding::ok("inotify", format!("{used} folders are watched."));
    };
    let raise = || {
        let more = limit.max(used).saturating_mul(4).max(524_288);
        format!(
            "echo fs.inotify.max_user_watches={more} | sudo tee /etc/sysctl.d/60-p2p.conf && sudo sysctl --system"
        )
    };
    if polled > 0 {
        let text = format!(
            "{polled} shares are looked through from time to time rather than watched: the kernel's limit is {limit} watches."
        );
        return Finding::warning("inotify", text, raise());
    }
    if used.saturating_mul(10) > limit.saturating_mul(9) {
        let text = format!("{used} of {limit} watches of the kernel are in use.");
        return Finding::warning("inotify", text, raise());
    }
    Finding::ok(
        "inotify",
        format!("{used} of {limit} watches of the kernel are in use."),
    )
}

fn login(tracker: &Tracker, tested: Result<Tracker, Fault>) -> Finding {
    let name = &tracker.name;
    match (&tracker.username, tested) {
        (None, Ok(_)) => {
            let text = format!("Tracker {name} answers, but nobody is logged in to it.");
            Finding::fault("login", text, format!("p2pctl login {name}"))
        }
        (Some(user), Ok(_)) => {
            Finding::ok("login", format!("Logged in to tracker {name} as {user}."))
        }
        (_, Err(fault)) => Finding::fault("login", fault.to_string(), fault.fix),
    }
}

fn transport(tracker: &Tracker, safe: Result<(), Fault>) -> Finding {
    let (name, url) = (&tracker.name, &tracker.url);
    match safe {
        Ok(()) if url.starts_with("https:") => {
            let text = format!("Tracker {name} is reached by TLS.");
            Finding::ok("transport", text)
        }
        Ok(()) => {
            let text = format!("Tracker {name} is reached without TLS, inside a private network.");
            Finding::ok("transport", text)
        }
        Err(fault) => {
            let secure = url.replacen("http:", "https:", 1);
            let fix = format!("p2pctl tracker rm {name} && p2pctl tracker add {name} {secure}");
            Finding::fault("transport", fault.why, fix)
        }
    }
}

fn reachable(tracker: &str, port: u16, answer: &Reachable) -> Finding {
    let address = &answer.address;
    if answer.reachable {
        let text = format!("Tracker {tracker} can connect to this machine at {address}.");
        return Finding::ok("port", text);
    }
    let why = answer.why.as_deref().unwrap_or("no reason given");
    let text = format!(
        "Tracker {tracker} cannot connect to {address}: {why}. Others can be connected to from here, but cannot connect to here."
    );
    Finding::warning("port", text, format!("sudo ufw allow {port}/tcp"))
}

/// Nothing where the time there cannot be read.
fn clock(tracker: &str, there: &str, here: Timestamp) -> Option<Finding> {
    let there: Timestamp = there.parse().ok()?;
    let ahead = here.as_second().saturating_sub(there.as_second());
    if ahead.abs() > CLOCK_SKEW_S {
        let way = if ahead > 0 { "ahead of" } else { "behind" };
        let text = format!(
            "The clock here is {} s {way} that of tracker {tracker}.",
            ahead.abs()
        );
        return Some(Finding::warning(
            "clock",
            text,
            "sudo timedatectl set-ntp true",
        ));
    }
    let text = format!("The clock agrees with that of tracker {tracker}.");
    Some(Finding::ok("clock", text))
}

/// The folder itself, or the nearest above it that is there.
fn nearest(dir: &Path) -> Option<PathBuf> {
    let there = dir.ancestors().find(|path| path.exists())?;
    Some(there.to_owned())
}

/// Watches that this process has, by the kernel's word.
fn watches() -> u64 {
    let Ok(open) = std::fs::read_dir("/proc/self/fdinfo") else {
        return 0;
    };
    let lines = |path: PathBuf| {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines()
            .filter(|line| line.starts_with("inotify "))
            .count() as u64
    };
    open.flatten().map(|entry| lines(entry.path())).sum()
}

fn watch_limit() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/sys/fs/inotify/max_user_watches").ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use p2p_wire::control::{ErrorKind, Level};

    use super::*;

    fn share(path: &Path, state: &str) -> Share {
        Share {
            name: "Public".into(),
            path: paths::text(path),
            each: Default::default(),
            state: state.into(),
            reason: None,
            items: 0,
            size: 0,
            published: 0,
            refused: 0,
            pending: 0,
            left_out: BTreeMap::new(),
            tracker: None,
            visibility: Default::default(),
            owner_uid: 0,
        }
    }

    fn tracker(username: Option<&str>, url: &str) -> Tracker {
        Tracker {
            name: "home".into(),
            url: url.into(),
            username: username.map(str::to_owned),
            node: None,
            fingerprint: None,
            state: "ok".into(),
            reason: None,
            queued: 0,
        }
    }

    fn fault() -> Fault {
        Fault::new(
            ErrorKind::Tracker,
            "what",
            "why",
            "p2pctl tracker test home",
        )
    }

    #[track_caller]
    fn mends(finding: &Finding, level: Level, fix: &str) {
        assert_eq!(finding.level, level, "{finding:?}");
        let given = finding.fix.as_deref().unwrap_or_default();
        assert!(given.contains(fix), "{finding:?}");
    }

    #[test]
    fn folders_that_cannot_be_used_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let here = share(dir.path(), "watching");
        let well = folders(Mode::User, &dir.path().join("new/deeper"), &[here]);
        assert_eq!(well.len(), 1);
        assert_eq!(well[0].level, Level::Ok);
        let gone = share(&dir.path().join("gone"), "watching");
        mends(
            &folders(Mode::System, dir.path(), std::slice::from_ref(&gone))[0],
            Level::Fault,
            "setfacl",
        );
        mends(
            &folders(Mode::User, dir.path(), &[gone])[0],
            Level::Fault,
            "chmod",
        );
        // A file is no folder, not even for root.
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        mends(
            &folders(Mode::User, &file.join("below"), &[])[0],
            Level::Fault,
            "mkdir",
        );
    }

    #[test]
    fn a_full_disk_is_found() {
        let dir = Path::new("/srv/p2p");
        assert_eq!(disk(dir, 2 << 30, 1 << 30).level, Level::Ok);
        mends(&disk(dir, 1 << 20, 1 << 30), Level::Fault, "download_dir");
    }

    #[test]
    fn too_few_watches_are_found() {
        let at = Path::new("/x");
        assert_eq!(
            inotify(10, Some(100), &[share(at, "watching")]).level,
            Level::Ok
        );
        assert_eq!(inotify(10, None, &[]).level, Level::Ok);
        mends(
            &inotify(95, Some(100), &[]),
            Level::Warning,
            "max_user_watches",
        );
        mends(
            &inotify(10, Some(100), &[share(at, "polling")]),
            Level::Warning,
            "sysctl --system",
        );
    }

    #[test]
    fn a_missing_login_and_a_silent_tracker_are_found() {
        let known = tracker(Some("ann"), "http://nas:6969");
        assert_eq!(login(&known, Ok(known.clone())).level, Level::Ok);
        mends(&login(&known, Err(fault())), Level::Fault, "tracker test");
        let stranger = tracker(None, "http://nas:6969");
        mends(
            &login(&stranger, Ok(stranger.clone())),
            Level::Fault,
            "p2pctl login home",
        );
    }

    #[test]
    fn passwords_without_encryption_are_found() {
        assert_eq!(
            transport(&tracker(None, "https://x"), Ok(())).level,
            Level::Ok
        );
        let plain = tracker(None, "http://x");
        assert_eq!(transport(&plain, Ok(())).level, Level::Ok);
        mends(
            &transport(&plain, Err(fault())),
            Level::Fault,
            "tracker add home https://x",
        );
    }

    #[test]
    fn a_closed_port_is_found() {
        let answer = |why: Option<&str>| Reachable {
            address: "192.0.2.1:7".into(),
            reachable: why.is_none(),
            why: why.map(str::to_owned),
            time: String::new(),
        };
        assert_eq!(reachable("home", 7, &answer(None)).level, Level::Ok);
        mends(
            &reachable("home", 7, &answer(Some("refused"))),
            Level::Warning,
            "7/tcp",
        );
    }

    #[test]
    fn a_wrong_clock_is_found() {
        let now: Timestamp = "2026-01-31T12:00:00Z".parse().unwrap();
        let at = |there: &str| clock("home", there, now);
        assert_eq!(at("2026-01-31T12:00:20Z").unwrap().level, Level::Ok);
        for wrong in ["2026-01-31T12:01:00Z", "2025-01-31T12:00:00Z"] {
            mends(&at(wrong).unwrap(), Level::Warning, "timedatectl");
        }
        assert_eq!(at("soon"), None);
    }
}
