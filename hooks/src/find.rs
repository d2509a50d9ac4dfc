//! Which programs are hooks: `EVENT.d/NN-name` in the hook folders, by name, and whether each may be run.
//!
//! What runs with a daemon's rights must be in the hands of nobody else: a hook, what it links to, and every folder above must belong
//! to root or to the daemon's user and be writable by no other. It is looked at anew before each run, so that a change counts at once.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Metadata};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Group, Uid, User, geteuid};

/// The hook folders of a daemon, and the names that hooks may have there.
#[derive(Clone, Debug)]
pub struct Folders {
    /// A name in an earlier one hides the same in a later one.
    pub dirs: Vec<PathBuf>,
    /// Events, gates and whatever else has hooks.
    pub names: Vec<&'static str>,
}

/// A file in a hook folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// One of [`Folders::names`], or what somebody took for one.
    pub event: String,
    /// Its file name.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// Whether it is run.
    pub standing: Standing,
}

/// Whether a hook is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is.
    Ready,
    /// A link to `/dev/null`.
    Masked,
    /// With the reason.
    Refused(String),
}

impl Folders {
    /// The hooks of one event in the order they are run in.
    pub fn of_event(&self, event: &str) -> Vec<Found> {
        let mut by_name: BTreeMap<String, Found> = BTreeMap::new();
        for dir in &self.dirs {
            let Ok(entries) = fs::read_dir(dir.join(format!("{event}.d"))) else {
                continue;
            };
            for entry in entries.flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                if is_leftover(&name) || by_name.contains_key(&name) {
                    continue;
                }
                let found = Found {
                    event: event.to_owned(),
                    standing: self.standing(event, &entry.path()),
                    path: entry.path(),
                    name: name.clone(),
                };
                by_name.insert(name, found);
            }
        }
        by_name.into_values().collect()
    }

    /// All that lies in the hook folders, by event.
    pub fn all(&self) -> Vec<Found> {
        let folders = self.dirs.iter().filter_map(|dir| fs::read_dir(dir).ok());
        let names = folders.flatten().flatten().filter_map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            name.strip_suffix(".d").map(str::to_owned)
        });
        let events: BTreeSet<String> = names.collect();
        (events.iter())
            .flat_map(|event| self.of_event(event))
            .collect()
    }

    /// The name that one that does not exist was perhaps meant to be.
    pub fn nearest(&self, name: &str) -> Option<&'static str> {
        let likeness = |known: &&'static str| (strsim::jaro_winkler(name, known), *known);
        let best = (self.names.iter().map(likeness)).max_by(|a, b| a.0.total_cmp(&b.0))?;
        (best.0 > 0.7).then_some(best.1)
    }

    fn standing(&self, event: &str, path: &Path) -> Standing {
        if fs::read_link(path).is_ok_and(|to| to == Path::new("/dev/null")) {
            return Standing::Masked;
        }
        match self.check_event(event).and_then(|()| check_file(path)) {
            Ok(()) => Standing::Ready,
            Err(why) => Standing::Refused(why),
        }
    }

    fn check_event(&self, event: &str) -> Result<(), String> {
        if self.names.contains(&event) {
            return Ok(());
        }
        Err(match self.nearest(event) {
            Some(meant) => format!("there is no event `{event}`; the nearest is `{meant}`"),
            None => format!("there is no event `{event}`"),
        })
    }
}

/// Files that editors and package managers leave behind are no hooks.
fn is_leftover(name: &str) -> bool {
    name.starts_with('.') || name.ends_with('~') || name.contains(".dpkg-") || name.contains(".rpm")
}

fn check_file(path: &Path) -> Result<(), String> {
    if path.to_str().is_none() {
        return Err("its name is not UTF-8".into());
    }
    let real = path.canonicalize();
    let real = real.map_err(|error| format!("it cannot be read: {error}"))?;
    let meta = fs::metadata(&real).map_err(|error| format!("it cannot be read: {error}"))?;
    if !meta.is_file() {
        return Err("it is no file".into());
    }
    if meta.permissions().mode() & 0o111 == 0 {
        let path = path.display();
        return Err(format!(
            "it is not executable; `chmod 755 {path}` makes it so"
        ));
    }
    for path in real.ancestors() {
        check_hands(path)?;
    }
    // A link must be in as good hands as what it leads to.
    let parent = path.parent().unwrap_or(path);
    let parent = parent.canonicalize();
    let parent = parent.map_err(|error| format!("its folder cannot be read: {error}"))?;
    parent.ancestors().try_for_each(check_hands)
}

/// Refuses what somebody else than root and the daemon's user could change.
fn check_hands(path: &Path) -> Result<(), String> {
    let shown = path.display();
    let meta =
        fs::metadata(path).map_err(|error| format!("{shown} cannot be looked at: {error}"))?;
    let (owner, us) = (Uid::from_raw(meta.uid()), geteuid());
    let mode = meta.permissions().mode();
    if !owner.is_root() && owner != us {
        return Err(format!(
            "{shown} belongs to {}, not to root or {}",
            user_name(owner),
            user_name(us)
        ));
    }
    // In a sticky folder such as /tmp nobody can take away or rename what belongs to another.
    let sticky = meta.is_dir() && mode & 0o1000 != 0;
    if mode & 0o002 != 0 && !sticky {
        return Err(format!("everybody may write to {shown}; `chmod o-w` it"));
    }
    if mode & 0o020 != 0 && !sticky && !is_private_group(&meta, us) {
        return Err(format!(
            "group {} may write to {shown}; `chmod g-w` it",
            group_name(Gid::from_raw(meta.gid()))
        ));
    }
    Ok(())
}

/// True for a group that only root or the daemon's user is in: root's own, or the one that is named after the user.
fn is_private_group(meta: &Metadata, us: Uid) -> bool {
    let Some(group) = Group::from_gid(Gid::from_raw(meta.gid())).ok().flatten() else {
        return false;
    };
    let user = User::from_uid(us).ok().flatten();
    let name = user.as_ref().map_or("root", |user| user.name.as_str());
    let own = user.as_ref().is_some_and(|user| user.gid == group.gid) && group.name == name;
    let root = group.gid.as_raw() == 0;
    (own || root)
        && group
            .mem
            .iter()
            .all(|member| member == name || member == "root")
}

fn user_name(uid: Uid) -> String {
    let user = User::from_uid(uid).ok().flatten();
    user.map_or_else(|| format!("user {uid}"), |user| user.name)
}

fn group_name(gid: Gid) -> String {
    let group = Group::from_gid(gid).ok().flatten();
    group.map_or_else(|| gid.to_string(), |group| group.name)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    struct Dirs {
        dir: tempfile::TempDir,
    }

    impl Dirs {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            Self { dir }
        }

        /// Puts a hook there.
        fn hook(&self, path: &str, mode: u32) -> PathBuf {
            let path = self.dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "#!/bin/sh\n").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            path
        }

        fn mode(&self, path: &str, mode: u32) {
            let path = self.dir.path().join(path);
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }

        fn folders(&self) -> Folders {
            Folders {
                dirs: ["etc", "lib"].map(|dir| self.dir.path().join(dir)).into(),
                names: vec!["item.added", "item.finished", "pre-release"],
            }
        }

        fn shown(&self, event: &str) -> Vec<String> {
            let found = self.folders().of_event(event).into_iter();
            let base = self.dir.path().to_str().unwrap().to_owned();
            let shown = found.map(|hook| {
                let text = match hook.standing {
                    Standing::Ready => format!("{} runs", hook.path.display()),
                    Standing::Masked => format!("{} masked", hook.name),
                    Standing::Refused(why) => format!("{}: {why}", hook.name),
                };
                text.replace(&base, "")
            });
            shown.collect()
        }
    }

    #[test]
    fn hooks_are_run_in_order_of_their_names_and_the_first_folder_wins() {
        let dirs = Dirs::new();
        dirs.hook("lib/item.finished.d/50-mail", 0o755);
        dirs.hook("lib/item.finished.d/10-scan", 0o755);
        dirs.hook("etc/item.finished.d/50-mail", 0o755);
        dirs.hook("etc/item.finished.d/70-off", 0o755);
        dirs.hook("lib/item.finished.d/60-off", 0o755);
        dirs.hook("etc/item.finished.d/.hidden", 0o755);
        dirs.hook("etc/item.finished.d/50-mail~", 0o755);
        let off = dirs.dir.path().join("etc/item.finished.d/60-off");
        symlink("/dev/null", off).unwrap();
        assert_eq!(
            dirs.shown("item.finished"),
            [
                "/lib/item.finished.d/10-scan runs",
                "/etc/item.finished.d/50-mail runs",
                "60-off masked",
                "/etc/item.finished.d/70-off runs",
            ]
        );
        assert_eq!(dirs.folders().all().len(), 4);
        assert!(dirs.shown("item.added").is_empty());
    }

    #[test]
    fn a_hook_that_others_could_change_is_not_run() {
        let dirs = Dirs::new();
        dirs.hook("etc/item.added.d/1", 0o644);
        dirs.hook("etc/item.added.d/2", 0o757);
        dirs.hook("etc/item.added.d/3", 0o755);
        fs::create_dir(dirs.dir.path().join("etc/item.added.d/4")).unwrap();
        let shown = dirs.shown("item.added");
        assert!(shown[0].starts_with("1: it is not executable"), "{shown:?}");
        assert!(shown[1].starts_with("2: everybody may write to /etc/item.added.d/2"));
        assert_eq!(shown[2], "/etc/item.added.d/3 runs");
        assert_eq!(shown[3], "4: it is no file");

        dirs.mode("etc", 0o777);
        let shown = dirs.shown("item.added");
        assert!(
            shown[2].starts_with("3: everybody may write to /etc;"),
            "{shown:?}"
        );
        dirs.mode("etc", 0o1777);
        assert_eq!(dirs.shown("item.added")[2], "/etc/item.added.d/3 runs");
    }

    #[test]
    fn a_link_is_as_good_as_what_it_leads_to() {
        let dirs = Dirs::new();
        let target = dirs.hook("elsewhere/scan", 0o755);
        fs::create_dir_all(dirs.dir.path().join("etc/pre-release.d")).unwrap();
        symlink(target, dirs.dir.path().join("etc/pre-release.d/10-scan")).unwrap();
        assert_eq!(
            dirs.shown("pre-release"),
            ["/etc/pre-release.d/10-scan runs"]
        );
        dirs.mode("elsewhere", 0o777);
        let shown = dirs.shown("pre-release");
        assert!(shown[0].starts_with("10-scan: everybody may write to /elsewhere;"));
    }

    #[test]
    fn an_event_that_does_not_exist_is_said_so() {
        let dirs = Dirs::new();
        dirs.hook("etc/item.finshed.d/10-x", 0o755);
        assert_eq!(
            dirs.shown("item.finshed"),
            ["10-x: there is no event `item.finshed`; the nearest is `item.finished`"]
        );
        let folders = dirs.folders();
        assert_eq!(folders.nearest("prerelease"), Some("pre-release"));
        assert_eq!(folders.nearest("xyz"), None);
    }

    #[test]
    fn only_a_group_without_other_members_may_write() {
        let dirs = Dirs::new();
        let path = dirs.hook("etc/item.added.d/1", 0o775);
        let meta = fs::metadata(&path).unwrap();
        let private = is_private_group(&meta, geteuid());
        let runs = dirs.shown("item.added")[0].ends_with("runs");
        assert_eq!(private, runs);
        // A group that the user database does not know may have anybody in it.
        let shared = nix::unistd::chown(&path, None, Some(Gid::from_raw(4_000_123)));
        if shared.is_ok() {
            let shown = dirs.shown("item.added");
            assert!(
                shown[0].starts_with("1: group 4000123 may write"),
                "{shown:?}"
            );
        }
    }
}
