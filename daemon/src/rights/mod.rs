//! Looking at paths with the rights of who named them.
//!
//! The system's daemon runs as a user of its own. A path that a client names is opened first by a short-lived process that has taken on
//! the client's user, group and supplementary groups, so that nobody reaches through the daemon what they cannot reach themselves; the
//! kernel judges, not the daemon. What is found comes back as the path with links resolved and the identity of what lies there. The daemon
//! goes on only where it sees the same thing at that path itself, and says what it lacks where it does not.
//!
//! The process is this program again, told by [`HELPER`]. Question and answer are one JSON object each, on its standard input and output.
//!
//! The price is that the daemon, which faces the network, keeps CAP_SETUID and CAP_SETGID. Neither gives a right over files, but who took
//! the daemon over could become any user but root. What would need neither: p2pctl opens the path itself, with its user's own rights
//! (`O_PATH`), and passes the descriptor beside the request (SCM_RIGHTS); the daemon compares what the descriptor is with what it sees at
//! the path, as it does now with the helper's answer. Requests for a path that does not exist yet (a download folder) pass its
//! nearest folder that does. A small unit of its own that keeps the capabilities, reached by a socket of the daemon's user alone, would
//! only move them: who took the daemon over could still ask it to look at anything as anybody.

mod helper;

use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{AccessFlags, Pid, User, access};
use p2p_wire::control::ErrorKind;
use serde::{Deserialize, Serialize};

use self::helper::{Answer, At, Question, open};
pub use self::helper::{Purpose, help};
use crate::Fault;

/// The hidden subcommand that makes this program the helper.
pub const HELPER: &str = "as-caller";
/// A file system that does not answer must not hold up the client for ever.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Longest question or answer in bytes.
const MAX_LEN: u64 = 1024 * 1024;

/// A user as the kernel knows one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rights {
    /// User id; never 0.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
}

/// What lies at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The path with links resolved.
    pub path: PathBuf,
    /// Device and inode.
    pub identity: (u64, u64),
}

impl Rights {
    /// Those of the user `uid`, who is not here now, by the user database.
    pub async fn of(uid: u32) -> Result<Self, Fault> {
        let found = tokio::task::spawn_blocking(move || {
            let user = User::from_uid(uid.into()).ok().flatten()?;
            let groups = groups_of(&user);
            let gid = user.gid.as_raw();
            Some(Self { uid, gid, groups })
        });
        found.await.ok().flatten().ok_or_else(|| {
            Fault::new(
                ErrorKind::Permission,
                format!("cannot act for the user {uid}"),
                "The user database does not tell of that user",
                format!("Look at it:  getent passwd {uid}"),
            )
        })
    }

    /// Opens `path` with these rights, and gives it with links resolved if that could be done and the daemon itself can do the same.
    pub async fn look(&self, purpose: Purpose, path: &Path) -> Result<PathBuf, Fault> {
        self.find(purpose, path).await.map(|found| found.path)
    }

    /// The same, with what tells whether it is still there later.
    pub async fn find(&self, purpose: Purpose, path: &Path) -> Result<Found, Fault> {
        let what = format!("cannot use {}", path.display());
        let question = Question {
            rights: self.clone(),
            purpose,
            path: path.into(),
        };
        let broken = |why: String| {
            let fix = "Try again; if it stays so, report it with the daemon's log";
            Fault::new(ErrorKind::Failed, what.clone(), why, fix)
        };
        let child =
            start().map_err(|error| broken(format!("no process can be started: {error}")))?;
        let pid = Pid::from_raw(child.id().cast_signed());
        let asking = tokio::task::spawn_blocking(move || ask(child, &question));
        let answer = match tokio::time::timeout(TIMEOUT, asking).await {
            Ok(Ok(answer)) => answer.map_err(|error| broken(error.to_string()))?,
            Ok(Err(error)) => return Err(broken(error.to_string())),
            Err(_) => {
                // It has not been waited for, so the id is still its own.
                let _ = kill(pid, Signal::SIGKILL);
                return Err(Fault::new(
                    ErrorKind::TimedOut,
                    what,
                    format!("its file system did not answer for {} s", TIMEOUT.as_secs()),
                    "Look at the disk or the server that it lies on",
                ));
            }
        };
        match answer {
            Answer::Found {
                path: found,
                device,
                inode,
            } => {
                let found = found.to_path().ok_or_else(|| broken("no path".into()))?;
                let seen = tokio::task::spawn_blocking(move || {
                    see(purpose, found, (device, inode))
                        .map(|path| Found {
                            path,
                            identity: (device, inode),
                        })
                        .map_err(|(at, error)| lacking(purpose, &at, &error))
                });
                seen.await.map_err(|error| broken(error.to_string()))?
            }
            Answer::Refused { errno, at } => {
                let at = at.to_path().unwrap_or_else(|| path.to_owned());
                Err(refused(what, &at, &io::Error::from_raw_os_error(errno)))
            }
            Answer::Powerless { errno } => Err(Fault::new(
                ErrorKind::Permission,
                what,
                format!(
                    "p2pd cannot take on your rights to open it: {}",
                    io::Error::from_raw_os_error(errno)
                ),
                "Its unit must give it CAP_SETUID and CAP_SETGID (AmbientCapabilities=), as the one that comes with it does",
            )),
        }
    }
}

/// Groups of a user as the user database has them now. It may be on another machine: to be called on a blocking thread.
#[cfg(target_os = "linux")]
pub fn groups_of(user: &User) -> Vec<u32> {
    use nix::unistd::{Gid, getgrouplist};
    let name = std::ffi::CString::new(user.name.as_str()).ok();
    let groups = name.and_then(|name| getgrouplist(&name, user.gid).ok());
    let groups = groups.unwrap_or_default();
    groups.into_iter().map(Gid::as_raw).collect()
}

/// The group of a user; nix does not ask for the others, which count for the machine's daemon alone.
#[cfg(not(target_os = "linux"))]
pub fn groups_of(user: &User) -> Vec<u32> {
    vec![user.gid.as_raw()]
}

fn start() -> io::Result<Child> {
    // Not the path it was started from: another release may lie there by now.
    Command::new("/proc/self/exe")
        .arg(HELPER)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
}

fn ask(mut child: Child, question: &Question) -> io::Result<Answer> {
    let asked = serde_json::to_vec(question)?;
    let mut stdin = child.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let written = stdin.write_all(&asked);
    drop(stdin);
    let mut text = Vec::new();
    let mut stdout = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let read = stdout.by_ref().take(MAX_LEN).read_to_end(&mut text);
    child.wait()?;
    written.and(read.map(drop))?;
    Ok(serde_json::from_slice(&text)?)
}

/// Whether the daemon itself can do the same with the same thing.
fn see(purpose: Purpose, path: PathBuf, identity: (u64, u64)) -> Result<PathBuf, At> {
    let (found, device, inode) = open(purpose, &path)?;
    if found == path && (device, inode) == identity {
        Ok(path)
    } else {
        Err((path, io::ErrorKind::NotFound.into()))
    }
}

/// The caller may not.
fn refused(what: String, at: &Path, error: &io::Error) -> Fault {
    let shown = at.display();
    let (kind, why, fix) = match error.kind() {
        io::ErrorKind::NotFound => (
            ErrorKind::NotFound,
            format!("{shown} does not exist"),
            "Check the path",
        ),
        io::ErrorKind::PermissionDenied => (
            ErrorKind::Permission,
            format!("You may not use {shown}"),
            "Choose what you may read, and write where something is to be written",
        ),
        io::ErrorKind::NotADirectory => (
            ErrorKind::Usage,
            format!("{shown} is no folder"),
            "Give a folder",
        ),
        _ => (
            ErrorKind::Disk,
            format!("{shown}: {error}"),
            "Look at the disk it lies on",
        ),
    };
    Fault::new(kind, what, why, fix)
}

/// The caller may, but the daemon may not.
fn lacking(purpose: Purpose, at: &Path, error: &io::Error) -> Fault {
    let user = User::from_uid(nix::unistd::geteuid());
    let user = user.ok().flatten();
    let user = user.map_or_else(|| nix::unistd::geteuid().to_string(), |user| user.name);
    let shown = at.display();
    let what = format!("cannot use {shown}");
    let own = "or do it with a daemon of your own:  p2pctl --user";
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            let grant = match purpose {
                Purpose::Share => format!("u:{user}:rX,d:u:{user}:rX"),
                Purpose::Receive | Purpose::Complete => format!("u:{user}:rwX,d:u:{user}:rwX"),
            };
            let closed: Vec<String> = (at.ancestors().skip(1))
                .filter(|part| access(*part, AccessFlags::X_OK).is_err())
                .map(|part| part.display().to_string())
                .collect();
            let pass = match closed.as_slice() {
                [] => String::new(),
                parts => format!("setfacl -m u:{user}:x {} && ", parts.join(" ")),
            };
            Fault::new(
                ErrorKind::Permission,
                what,
                format!("You may use it, but the system's daemon runs as {user}, who may not"),
                format!("Let it:  {pass}setfacl -R -m {grant} {shown}   {own}"),
            )
        }
        io::ErrorKind::ReadOnlyFilesystem => Fault::new(
            ErrorKind::Permission,
            what,
            "The service of the system's daemon may not write there",
            format!("Let it (ReadWritePaths={shown}):  systemctl edit p2pd   {own}"),
        ),
        io::ErrorKind::NotFound => Fault::new(
            ErrorKind::Conflict,
            what,
            "It is not the same for the system's daemon as it is for you: it was replaced just now, or the service does not see it",
            format!("Try again, {own}"),
        ),
        _ => refused(what, at, error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_replaced_meanwhile_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let (path, device, inode) = open(Purpose::Share, dir.path()).unwrap();
        assert!(see(Purpose::Share, path.clone(), (device, inode)).is_ok());
        assert!(see(Purpose::Share, path, (device, inode + 1)).is_err());
    }
}
