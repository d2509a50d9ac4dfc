//! What a hook gives up before it runs: the right to gain rights, our descriptors, room to go wild, and the file system but for reading.
//!
//! The daemon starts itself with [`OPTION`]; that process confines itself and becomes the hook. So nothing runs between fork and exec in a
//! process that had threads, and the hook is the very process that the daemon watches.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// The first argument of a daemon that is to become a hook.
const OPTION: &str = "--become-hook";

/// Where the kernel lists what a process has open.
const OWN_DESCRIPTORS: &str = match cfg!(target_os = "linux") {
    true => "/proc/self/fd",
    false => "/dev/fd",
};
/// Open files at most: what programs expect, and those that use select(2) can stand.
const FILES: u64 = 1_024;

/// What a hook may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confines {
    /// Seconds of processor time of one process.
    pub cpu_seconds: u64,
    /// Folders it may write in.
    pub writable: Vec<PathBuf>,
}

impl Confines {
    /// The arguments that make a daemon the hook `program`, called with `args`.
    pub fn args(&self, program: &Path, args: &[&str]) -> Vec<OsString> {
        let mut all = vec![OsString::from(OPTION), self.cpu_seconds.to_string().into()];
        all.extend(self.writable.iter().map(OsString::from));
        all.extend([OsString::from("--"), program.into()]);
        all.extend(args.iter().map(OsString::from));
        all
    }

    fn from_args(mut args: impl Iterator<Item = OsString>) -> Option<(Self, Vec<OsString>)> {
        let cpu_seconds = args.next()?.to_str()?.parse().ok()?;
        let folders = args.by_ref().take_while(|arg| arg != "--");
        let writable = folders.map(PathBuf::from).collect();
        let confines = Self {
            cpu_seconds,
            writable,
        };
        Some((confines, args.collect()))
    }
}

/// If the arguments of this process say that it is to become a hook, becomes it, and then returns only with why that failed.
pub fn become_hook(mut args: impl Iterator<Item = OsString>) -> Option<io::Error> {
    args.next()?;
    if args.next()? != OsStr::new(OPTION) {
        return None;
    }
    let Some((confines, command)) = Confines::from_args(args) else {
        return Some(io::ErrorKind::InvalidInput.into());
    };
    let Some((program, args)) = command.split_first() else {
        return Some(io::ErrorKind::InvalidInput.into());
    };
    Some(match confines.enter() {
        Ok(()) => Command::new(program).args(args).exec(),
        Err(error) => error,
    })
}

impl Confines {
    fn enter(&self) -> io::Result<()> {
        kernel::renounce()?;
        limit(Resource::RLIMIT_CORE, 0)?;
        limit(Resource::RLIMIT_NOFILE, FILES)?;
        limit(Resource::RLIMIT_CPU, self.cpu_seconds)?;
        close_others();
        kernel::restrict_files(&self.writable)
    }
}

/// What Linux alone can take from a process.
#[cfg(target_os = "linux")]
mod kernel {
    use std::io;
    use std::path::{Path, PathBuf};

    use landlock::{
        ABI, Access as _, AccessFs, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _,
        RulesetError, path_beneath_rules,
    };
    use nix::sys::prctl::{set_no_new_privs, set_pdeathsig};
    use nix::sys::signal::Signal;

    /// The rights that a kernel must know to be asked for; older ones are asked for what they know.
    const LANDLOCK: ABI = ABI::V4;

    /// The right to gain rights, and to outlive the daemon.
    pub(super) fn renounce() -> io::Result<()> {
        set_no_new_privs()?;
        // A daemon that was killed tells the event again: the hook of its first telling is to end.
        Ok(set_pdeathsig(Signal::SIGTERM)?)
    }

    /// Reading everywhere, writing in a few places; a kernel without Landlock (before 5.13, or with it turned off) restricts nothing.
    pub(super) fn restrict_files(writable: &[PathBuf]) -> io::Result<()> {
        landlock(writable).map_err(io::Error::other)
    }

    fn landlock(writable: &[PathBuf]) -> Result<(), RulesetError> {
        let all = AccessFs::from_all(LANDLOCK);
        let devices = ["/dev/null", "/dev/zero", "/dev/full", "/dev/tty"];
        let own = writable.iter().map(PathBuf::as_path);
        let own = own.chain([Path::new("/dev/shm")]);
        Ruleset::default()
            .handle_access(all)?
            .create()?
            .add_rules(path_beneath_rules(["/"], AccessFs::from_read(LANDLOCK)))?
            .add_rules(path_beneath_rules(devices, AccessFs::from_file(LANDLOCK)))?
            .add_rules(path_beneath_rules(own, all))?
            .restrict_self()?;
        Ok(())
    }
}

/// Elsewhere a hook keeps the rights of the daemon's user, may write where that may, and outlives a daemon that was killed.
#[cfg(not(target_os = "linux"))]
mod kernel {
    use std::io;
    use std::path::PathBuf;

    pub(super) fn renounce() -> io::Result<()> {
        Ok(())
    }

    pub(super) fn restrict_files(_: &[PathBuf]) -> io::Result<()> {
        Ok(())
    }
}

/// Sets a limit for good, or leaves one that is lower.
fn limit(resource: Resource, most: u64) -> io::Result<()> {
    let (_, hard) = getrlimit(resource)?;
    let most = most.min(hard);
    Ok(setrlimit(resource, most, most)?)
}

/// Closes whatever is open besides the three streams. Ours are closed by exec; this is about what the daemon itself was started with.
fn close_others() {
    let open = std::fs::read_dir(OWN_DESCRIPTORS).into_iter().flatten();
    let open: Vec<i32> = open
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    for fd in open.into_iter().filter(|fd| *fd > 2) {
        // The descriptor of the listing itself is closed already.
        let _ = nix::unistd::close(fd);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_over_the_command_line_comes_back() {
        let confines = Confines {
            cpu_seconds: 30,
            writable: vec!["/a b".into(), "/c".into()],
        };
        let args = confines.args(Path::new("/hook"), &["pre-release", "--"]);
        assert_eq!(args[0], OPTION);
        let back = Confines::from_args(args.into_iter().skip(1)).unwrap();
        let expected: Vec<OsString> = ["/hook", "pre-release", "--"].map(Into::into).to_vec();
        assert_eq!(back, (confines, expected));
    }

    #[test]
    fn other_programs_are_left_alone() {
        for args in [vec![], vec!["p2pd"], vec!["p2pd", "--user", OPTION]] {
            let args = args.into_iter().map(OsString::from);
            assert!(become_hook(args).is_none());
        }
    }
}
