//! Where a share lies: whether it may be shared, and whether what is mounted there is still the same.

use std::fs;
use std::io::{self, ErrorKind as Io};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::statvfs::statvfs;
use p2p_wire::control::ErrorKind;

use crate::{Fault, storage};

/// How long a disk may take to tell what lies at a path, when somebody waits for that: longer than one that stood still takes to spin up.
const PATIENCE: Duration = Duration::from_secs(10);

/// Never shared whole without `--yes`.
const REFUSED: [&str; 12] = [
    "/", "/bin", "/boot", "/home", "/lib", "/opt", "/root", "/sbin", "/tmp", "/usr", "/var", "/srv",
];
/// Nor anything in these.
const REFUSED_TREES: [&str; 5] = ["/etc", "/proc", "/sys", "/dev", "/run"];

/// What tells one mounted folder from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(super) file_system: u64,
    pub(super) inode: u64,
}

/// The identity of `root`. `Err` when it is not there.
pub(crate) fn identity(root: &Path) -> io::Result<Identity> {
    storage::touch(root);
    let inode = fs::metadata(root)?.ino();
    let file_system = statvfs(root).map_err(io::Error::from)?.filesystem_id();
    Ok(Identity { file_system, inode })
}

/// Whether changes that other machines make there give no events here.
#[cfg(target_os = "linux")]
pub(crate) fn is_remote(path: &Path) -> bool {
    use nix::sys::statfs::{self, FsType};
    // SMB and CIFS have no name in nix: from linux/magic.h.
    const SMB2: i64 = 0xFE53_4D42;
    const CIFS: i64 = 0xFF53_4D42;
    let Ok(stat) = statfs::statfs(path) else {
        return false;
    };
    let kind = stat.filesystem_type();
    let known = [
        statfs::NFS_SUPER_MAGIC,
        statfs::SMB_SUPER_MAGIC,
        statfs::FUSE_SUPER_MAGIC,
        statfs::CODA_SUPER_MAGIC,
        FsType(SMB2 as _),
        FsType(CIFS as _),
    ];
    known.contains(&kind)
}

/// Whether changes that other machines make there give no events here.
#[cfg(not(target_os = "linux"))]
pub(crate) fn is_remote(path: &Path) -> bool {
    const LOCAL: [&str; 5] = ["apfs", "hfs", "exfat", "msdos", "tmpfs"];
    // What is not known to be a disk of this machine is looked through from time to time: that finds changes everywhere.
    nix::sys::statfs::statfs(path).is_ok_and(|stat| !LOCAL.contains(&stat.filesystem_type_name()))
}

/// The absolute path of what is to be shared, links resolved, and whether it is a file, if the user `owner` may share it.
pub(crate) fn check(
    path: &Path,
    refused: &[PathBuf],
    force: bool,
    owner: u32,
) -> Result<(PathBuf, bool), Fault> {
    let what = format!("cannot share {}", path.display());
    if !path.is_absolute() {
        return Err(Fault::new(
            ErrorKind::Usage,
            what,
            "It is not an absolute path.",
            "Give the whole path.",
        ));
    }
    storage::touch(path);
    let root = fs::canonicalize(path).map_err(|error| unreachable_fault(&what, path, &error))?;
    let meta = fs::metadata(&root).map_err(|error| unreachable_fault(&what, &root, &error))?;
    if meta.is_dir() {
        fs::read_dir(&root).map_err(|error| unreachable_fault(&what, &root, &error))?;
    } else if meta.is_file() {
        fs::File::open(&root).map_err(|error| unreachable_fault(&what, &root, &error))?;
    } else {
        return Err(Fault::new(
            ErrorKind::Usage,
            what,
            "It is neither a folder nor a regular file.",
            "Share a folder or a file.",
        ));
    }
    if let (Some(why), false) = (refusal(&root, refused, owner), force) {
        return Err(Fault::new(
            ErrorKind::Conflict,
            what,
            why,
            "Share a folder inside it, or insist with --yes.",
        ));
    }
    Ok((root, meta.is_file()))
}

/// What `look` says, on a blocking thread. `None` if the disk does not answer; the thread then waits for it alone.
pub(crate) async fn looked<T: Send + 'static>(
    look: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let looked = tokio::task::spawn_blocking(look);
    tokio::time::timeout(PATIENCE, looked).await.ok()?.ok()
}

/// `path` with links resolved. `None` if that cannot be done now.
pub(crate) async fn resolved(path: PathBuf) -> Option<PathBuf> {
    let resolve = move || {
        storage::touch(&path);
        path.canonicalize().ok()
    };
    looked(resolve).await.flatten()
}

fn refusal(root: &Path, refused: &[PathBuf], owner: u32) -> Option<String> {
    if REFUSED.iter().any(|path| root == Path::new(path)) {
        return Some("That is a folder of the system, far more than one wants to publish.".into());
    }
    if let Some(tree) = REFUSED_TREES.iter().find(|tree| root.starts_with(tree)) {
        return Some(format!(
            "It lies in {tree}, which holds secrets and devices."
        ));
    }
    let home = nix::unistd::User::from_uid(owner.into()).ok().flatten();
    let homes = [
        std::env::var_os("HOME").map(PathBuf::from),
        home.map(|user| user.dir),
    ];
    if homes.into_iter().flatten().any(|home| is_same(&home, root)) {
        return Some("That is a whole home folder, with keys and private mail in it.".into());
    }
    refused.iter().find_map(|path| {
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.clone());
        if path.starts_with(root) {
            Some(format!(
                "{} lies in it, which must stay private.",
                path.display()
            ))
        } else if root.starts_with(&path) {
            Some(format!(
                "It lies in {}, which must stay private.",
                path.display()
            ))
        } else {
            None
        }
    })
}

fn is_same(a: &Path, b: &Path) -> bool {
    fs::canonicalize(a).is_ok_and(|a| a == b)
}

/// Says which part of the path stands in the way.
fn unreachable_fault(what: &str, path: &Path, error: &io::Error) -> Fault {
    match error.kind() {
        Io::NotFound => {
            let missing = path.ancestors().filter(|part| !part.exists()).last();
            let missing = missing.unwrap_or(path).display();
            Fault::new(
                ErrorKind::NotFound,
                what,
                format!("{missing} does not exist."),
                "Check the path.",
            )
        }
        Io::PermissionDenied => denied(what, path),
        _ => Fault::new(
            ErrorKind::Disk,
            what,
            format!("It cannot be read: {error}."),
            "Look at the disk it lies on.",
        ),
    }
}

fn denied(what: &str, path: &Path) -> Fault {
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid())
        .ok()
        .flatten();
    let user = user.map_or_else(|| nix::unistd::geteuid().to_string(), |user| user.name);
    let mut parts: Vec<&Path> = path.ancestors().collect();
    parts.reverse();
    // The first whose entries cannot be reached stands in the way; if there is none it is the path itself that cannot be read.
    let closed = parts.iter().find(|part| {
        part.is_dir()
            && fs::metadata(part.join(".")).is_err_and(|e| e.kind() == Io::PermissionDenied)
    });
    match closed {
        Some(part) if *part != path => Fault::new(
            ErrorKind::Permission,
            what,
            format!(
                "The daemon runs as {user}, who may not pass through {}.",
                part.display()
            ),
            format!("Let it pass:  setfacl -m u:{user}:x {}", part.display()),
        ),
        _ => Fault::new(
            ErrorKind::Permission,
            what,
            format!(
                "The daemon runs as {user}, who may not read {}.",
                path.display()
            ),
            format!("Let it read:  setfacl -R -m u:{user}:rX {}", path.display()),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(path: &str, refused: &[PathBuf], force: bool) -> Option<ErrorKind> {
        check(Path::new(path), refused, force, 0)
            .err()
            .map(|fault| fault.kind)
    }

    #[test]
    fn refuses_what_nobody_wants_to_publish_unless_forced() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        fs::create_dir_all(state.join("sub")).unwrap();
        fs::create_dir_all(dir.path().join("other")).unwrap();
        let refused = [state.clone()];
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let conflict = Some(ErrorKind::Conflict);
        for bad in ["/", "/etc", "/proc/self", "/usr"] {
            assert_eq!(kind(bad, &refused, false), conflict, "{bad}");
        }
        for bad in [dir.path(), &state, &state.join("sub")] {
            assert_eq!(kind(&text(bad), &refused, false), conflict, "{bad:?}");
            assert_eq!(kind(&text(bad), &refused, true), None);
        }
        assert_eq!(
            kind(&text(&dir.path().join("other")), &refused, false),
            None
        );
    }

    #[test]
    fn nobody_shares_a_whole_home_folder_without_insisting() {
        // Some user of this system with a home that is no folder of the system.
        let users = (1..2_000).filter_map(|uid| nix::unistd::User::from_uid(uid.into()).ok()?);
        let mut users = users.filter(|user| {
            let home = fs::canonicalize(&user.dir);
            home.is_ok_and(|home| home == user.dir && !REFUSED.iter().any(|p| home == Path::new(p)))
        });
        let Some(user) = users.find(|user| {
            let (dir, owner) = (&user.dir, user.uid.as_raw());
            dir.is_dir() && check(dir, &[], false, owner + 1).is_ok()
        }) else {
            eprintln!("skipped: no user has a home of their own");
            return;
        };
        let owner = user.uid.as_raw();
        let fault = check(&user.dir, &[], false, owner).unwrap_err();
        assert!(fault.why.contains("home folder"), "{fault:?}");
        check(&user.dir, &[], true, owner).unwrap();
    }

    #[test]
    fn says_which_part_of_a_path_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        let fault = check(&dir.path().join("no/such/folder"), &[], false, 0).unwrap_err();
        assert_eq!(fault.kind, ErrorKind::NotFound);
        let missing = dir.path().join("no");
        assert_eq!(fault.why, format!("{} does not exist.", missing.display()));
        assert_eq!(kind("relative", &[], false), Some(ErrorKind::Usage));
    }
}
