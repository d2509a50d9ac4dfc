//! `daemon.doctor`: looks at what commonly goes wrong around the daemon, and says which command mends it.
//!
//! What is measured comes in as values, so that each check can be seen to fail.

mod trackers;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use nix::unistd::{AccessFlags, access};
use p2p_wire::control::{Finding, Share};
use p2p_wire::units::Size;

use super::caller::Caller;
use super::overview::free_bytes;
use super::{Daemon, paths};
use crate::config::Mode;

/// A certificate is renewed earlier than so long before its end by whatever renews it by itself.
const CERTIFICATE_MUST_LAST: Duration = Duration::from_secs(14 * 86_400);

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
        // Other systems watch by other means, without such a limit.
        if cfg!(target_os = "linux") {
            findings.push(inotify(watches(), watch_limit(), &shared));
        }
        findings
    });
    // A check that panicked has nothing to say.
    let mut findings = on_disk.await.unwrap_or_default();
    let listed = known.list().await;
    if listed.is_empty() {
        findings.push(Finding::warning(
            "login",
            "No tracker is known: nothing is published, and peers are found by address alone.",
            "p2pctl tracker add home http://HOST:6969",
        ));
    }
    for tracker in &listed {
        // What it says of itself is from its last call; this one is of now.
        let tested = known.test(Some(tracker.name.clone())).await;
        let safe = known.transport(&tracker.name).await;
        let ends = match &tested {
            Ok(_) => {
                let known = known.certificate_ends(&tracker.name, CERTIFICATE_MUST_LAST);
                known.await
            }
            // What is wrong with its certificate is said there.
            Err(_) => None,
        };
        findings.push(trackers::login(tracker, tested));
        findings.push(trackers::transport(tracker, safe, ends));
        if tracker.username.is_some() {
            let port = daemon.engine.port();
            let answer = known.reachable(&tracker.name, port).await;
            if let Ok(answer) = answer {
                findings.push(trackers::reachable(&tracker.name, port, &answer));
                findings.extend(trackers::clock(
                    &tracker.name,
                    &answer.time,
                    Timestamp::now(),
                ));
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

    use p2p_wire::control::Level;

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

    #[track_caller]
    pub(super) fn mends(finding: &Finding, level: Level, fix: &str) {
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
}
