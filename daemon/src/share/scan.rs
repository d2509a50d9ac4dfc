//! Looking at a share without reading data: which entries there are, and what tells whether they changed.
//!
//! Symbolic links are not followed, FIFOs, sockets and devices never opened. What is kept of an entry is a digest of the identity of its
//! files, so that a share of 100,000 files stays small in memory; the files of one entry are read again when it is hashed.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use p2p_wire::control::Each;
use p2p_wire::metainfo::safe_component;

use super::files::{FileSystems, Files, FoundFile, Seen, joined};
use super::hashing::path_of;
use super::held::Held;
use super::ignore::Rules;

/// Folders deeper than this are left out: nobody made them on purpose.
const MAX_DEPTH: usize = 128;

/// What is shared, and how.
#[derive(Debug)]
pub(crate) struct View<'a> {
    pub(crate) root: &'a Path,
    pub(crate) each: Each,
    pub(crate) rules: &'a Rules,
    /// The user for whom p2pd, which has other rights, reads: only what is that user's, or may be read by everybody, is looked at.
    pub(crate) reader: Option<u32>,
}

/// What a scan found.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// By path below the share; the empty path is the share itself.
    pub(crate) entries: HashMap<PathBuf, Seen>,
    /// Entries, and folders of entries, of which the disk does not tell what they are now.
    pub(crate) unknown: HashSet<PathBuf>,
    /// The first reason for that.
    pub(crate) why: Option<String>,
    /// What was left out, by reason.
    pub(crate) left_out: LeftOut,
    /// Folders, each of which would need a watch.
    pub(crate) folders: u32,
    pub(super) file_systems: FileSystems,
}

/// Counts by reason: `hidden`, `excluded`, `not-utf8`, `empty`, `link`, `special`, `unreadable`, `too-deep`.
pub(crate) type LeftOut = BTreeMap<&'static str, u32>;

impl View<'_> {
    /// Holds the root, for [`View::scan`].
    pub(crate) fn hold(&self) -> io::Result<Held> {
        Held::root(self.root, self.reader.is_none())
    }

    /// Looks at everything in the root. `Err` when that itself cannot be read.
    pub(crate) fn scan(&self, root: &Held) -> io::Result<Scan> {
        let mut scan = Scan::default();
        let meta = root.metadata()?;
        if self.each == Each::Whole || meta.is_file() {
            if meta.is_dir() {
                fs::read_dir(root.path())?;
            }
            self.look(root, PathBuf::new(), &mut scan);
            return Ok(scan);
        }
        scan.folders += 1;
        for child in fs::read_dir(root.path())? {
            let child = child?;
            let entry = PathBuf::from(child.file_name());
            match self.each {
                Each::File if child.file_type()?.is_dir() => {
                    self.each_file(root, entry, &mut scan, 1);
                }
                _ => self.look(root, entry, &mut scan),
            }
        }
        Ok(scan)
    }

    /// Looks at one entry. `None` when there is nothing to share, `Err` when the disk does not tell.
    pub(crate) fn look_at(&self, entry: &Path) -> io::Result<Option<Seen>> {
        let files = self.files_of(entry)?;
        Ok(files.map(|files| files.seen()))
    }

    /// The files of one entry. `None` when there is nothing to share, `Err` when the disk does not tell.
    pub(crate) fn files_of(&self, entry: &Path) -> io::Result<Option<Files>> {
        self.files(&self.hold()?, entry, &mut Scan::default())
    }

    fn look(&self, root: &Held, entry: PathBuf, scan: &mut Scan) {
        match self.files(root, &entry, scan) {
            Ok(Some(files)) => drop(scan.entries.insert(entry, files.seen())),
            Ok(None) => {}
            Err(error) => scan.unknown(entry, &error),
        }
    }

    /// Every file below the folder `entry` is an entry.
    fn each_file(&self, root: &Held, folder: PathBuf, scan: &mut Scan, depth: usize) {
        if !self.is_wanted(&folder, true, scan) {
            return;
        }
        if depth > MAX_DEPTH {
            return scan.leave_out("too-deep");
        }
        match allowed(self.list(root, &folder)).map(Option::flatten) {
            Ok(None) => scan.leave_out("unreadable"),
            Ok(Some(children)) => {
                scan.folders += 1;
                for (path, is_folder) in children {
                    if is_folder {
                        self.each_file(root, path, scan, depth + 1);
                    } else {
                        self.look(root, path, scan);
                    }
                }
            }
            Err(error) if is_gone(&error) => {}
            Err(error) => scan.unknown(folder, &error),
        }
    }

    /// What is in `folder`, with whether that is a folder. `None` if it may not be read.
    fn list(&self, root: &Held, folder: &Path) -> io::Result<Option<Vec<(PathBuf, bool)>>> {
        let Some(held) = self.reach(root, folder)? else {
            return Ok(None);
        };
        let Some(children) = allowed(fs::read_dir(held.path()))? else {
            return Ok(None);
        };
        let child = |child: io::Result<fs::DirEntry>| {
            let child = child?;
            Ok((folder.join(child.file_name()), child.file_type()?.is_dir()))
        };
        children.map(child).collect::<io::Result<_>>().map(Some)
    }

    /// Holds `folder`, below the root, by way of all that hold it. `None` if one of them may not be read.
    fn reach(&self, root: &Held, folder: &Path) -> io::Result<Option<Held>> {
        if self.reader.is_none() {
            let held = root.folder(folder.as_os_str())?;
            return Ok(self.may_read(&held.metadata()?).then_some(held));
        }
        let mut held = None;
        for name in folder {
            let next = held.as_ref().unwrap_or(root).folder(name)?;
            if !self.may_read(&next.metadata()?) {
                return Ok(None);
            }
            held = Some(next);
        }
        held.map_or_else(|| self.hold(), Ok).map(Some)
    }

    fn files(&self, root: &Held, entry: &Path, scan: &mut Scan) -> io::Result<Option<Files>> {
        match allowed(self.files_at(root, entry, scan)) {
            Ok(Some(found)) => Ok(found),
            Ok(None) => {
                scan.leave_out("unreadable");
                Ok(None)
            }
            // What went since its folder was listed is no concern.
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn files_at(&self, root: &Held, entry: &Path, scan: &mut Scan) -> io::Result<Option<Files>> {
        let path = path_of(self.root, entry);
        let parent = match entry.parent() {
            Some(parent) if self.reader.is_some() && !parent.as_os_str().is_empty() => {
                let Some(parent) = self.reach(root, parent)? else {
                    scan.leave_out("unreadable");
                    return Ok(None);
                };
                Some(parent)
            }
            _ => None,
        };
        let (holder, name) = match (&parent, entry.file_name()) {
            (Some(parent), Some(name)) => (parent, name),
            _ => (root, entry.as_os_str()),
        };
        let meta = if name.is_empty() {
            holder.metadata()?
        } else {
            fs::symlink_metadata(holder.path().join(name))?
        };
        if !self.may_read(&meta) {
            scan.leave_out("unreadable");
            return Ok(None);
        }
        let ancestors = entry.ancestors().skip(1);
        if ancestors
            .filter(|path| !path.as_os_str().is_empty())
            .any(|path| !self.is_wanted(path, true, scan))
        {
            return Ok(None);
        }
        if !entry.as_os_str().is_empty() && !self.is_wanted(entry, meta.is_dir(), scan) {
            return Ok(None);
        }
        let mut found = Files {
            is_folder: meta.is_dir(),
            files: Vec::new(),
        };
        if meta.is_dir() {
            let inner = match name.is_empty() {
                true => None,
                false => Some(holder.folder(name)?),
            };
            let held = inner.as_ref().unwrap_or(holder);
            self.walk(held, &path, entry, &mut Vec::new(), &mut found, scan)?;
            // Lengths lie end to end: a torrent of nothing has no pieces.
            if found.files.iter().all(|file| file.stamp.size == 0) {
                scan.leave_out("empty");
                return Ok(None);
            }
            found
                .files
                .sort_by(|a, b| joined(&a.names).cmp(joined(&b.names)));
        } else if let Some(file) = scan.file(Vec::new(), path, &meta) {
            if file.stamp.size == 0 {
                scan.leave_out("empty");
                return Ok(None);
            }
            found.files.push(file);
        }
        Ok((!found.files.is_empty()).then_some(found))
    }

    /// Only what is not there, or may not be read, is left out: an item with a part of its files is another item.
    fn walk(
        &self,
        folder: &Held,
        path: &Path,
        below: &Path,
        names: &mut Vec<String>,
        found: &mut Files,
        scan: &mut Scan,
    ) -> io::Result<()> {
        // What it was before it was held may have been another folder.
        let may_read = self.reader.is_none() || self.may_read(&folder.metadata()?);
        let Some(children) = allowed(fs::read_dir(folder.path()))?.filter(|_| may_read) else {
            scan.leave_out("unreadable");
            return Ok(());
        };
        scan.folders += 1;
        for child in children {
            let raw = child?.file_name();
            let (path, below) = (path.join(&raw), below.join(&raw));
            let meta = match allowed(fs::symlink_metadata(folder.path().join(&raw))) {
                Ok(Some(meta)) => meta,
                Ok(None) => {
                    scan.leave_out("unreadable");
                    continue;
                }
                Err(error) if is_gone(&error) => continue,
                Err(error) => return Err(error),
            };
            if !self.is_wanted(&below, meta.is_dir(), scan) {
                continue;
            }
            if !self.may_read(&meta) {
                scan.leave_out("unreadable");
                continue;
            }
            let name = safe_component(raw.as_bytes());
            // The name in the torrent must be the one on disk: it is how the file is found when it is served.
            if name.as_bytes() != raw.as_bytes() {
                scan.leave_out("not-utf8");
                continue;
            }
            names.push(name);
            if !meta.is_dir() {
                found.files.extend(scan.file(names.clone(), path, &meta));
            } else if names.len() < MAX_DEPTH {
                let inner = folder.folder(&raw);
                let walked =
                    inner.and_then(|inner| self.walk(&inner, &path, &below, names, found, scan));
                match allowed(walked) {
                    Ok(Some(())) => {}
                    Ok(None) => scan.leave_out("unreadable"),
                    Err(error) if is_gone(&error) => {}
                    Err(error) => return Err(error),
                }
            } else {
                scan.leave_out("too-deep");
            }
            names.pop();
        }
        Ok(())
    }

    /// Whether it is right to read this for [`View::reader`]. Groups and access lists do not count: those of the file may be there for
    /// p2pd, or for somebody else.
    fn may_read(&self, meta: &Metadata) -> bool {
        let all = if meta.is_dir() { 0o005 } else { 0o004 };
        self.reader
            .is_none_or(|reader| meta.uid() == reader || meta.mode() & all == all)
    }

    /// Counts what is not wanted.
    fn is_wanted(&self, below: &Path, is_folder: bool, scan: &mut Scan) -> bool {
        let at_top = below.components().count() == 1;
        let name = below.file_name().unwrap_or_default().as_bytes();
        if at_top && name.starts_with(b".") {
            scan.leave_out("hidden");
            return false;
        }
        if self.rules.excludes(below, is_folder) {
            scan.leave_out("excluded");
            return false;
        }
        true
    }
}

/// Whether there is no such file; any other error tells nothing of what there is.
fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// `None` where the permissions of a file forbid it: that is its owner's will, as it lasts.
fn allowed<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(None),
        other => other.map(Some),
    }
}

impl Scan {
    /// Whether the disk does not tell what `entry` is.
    pub(crate) fn is_unknown(&self, entry: &Path) -> bool {
        !self.unknown.is_empty() && entry.ancestors().any(|part| self.unknown.contains(part))
    }

    fn unknown(&mut self, entry: PathBuf, error: &io::Error) {
        let why = || format!("{} cannot be read: {error}", entry.display());
        self.why.get_or_insert_with(why);
        self.unknown.insert(entry);
    }

    fn leave_out(&mut self, reason: &'static str) {
        *self.left_out.entry(reason).or_default() += 1;
    }

    fn file(&mut self, names: Vec<String>, path: PathBuf, meta: &Metadata) -> Option<FoundFile> {
        let kind = meta.file_type();
        if kind.is_symlink() {
            self.leave_out("link");
            return None;
        }
        if kind.is_fifo() || kind.is_socket() || kind.is_block_device() || kind.is_char_device() {
            self.leave_out("special");
            return None;
        }
        Some(FoundFile {
            names,
            stamp: self.file_systems.stamp(&path, meta)?,
            path,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt as _;
    use std::os::unix::fs::symlink;

    struct Tree(tempfile::TempDir);

    impl Tree {
        fn new(files: &[&str]) -> Self {
            let tree = Self(tempfile::tempdir().unwrap());
            files.iter().for_each(|file| tree.write(file, "data"));
            tree
        }

        fn path(&self, file: &str) -> PathBuf {
            self.0.path().join(file)
        }

        fn write(&self, file: &str, text: &str) {
            fs::create_dir_all(self.path(file).parent().unwrap()).unwrap();
            fs::write(self.path(file), text).unwrap();
        }

        fn scan(&self, each: Each, exclude: &[&str]) -> Scan {
            let rules = Rules::new(exclude.iter().copied()).unwrap();
            let root = self.0.path();
            let view = View {
                root,
                each,
                rules: &rules,
                reader: None,
            };
            view.scan(&view.hold().unwrap()).unwrap()
        }

        fn entries(&self, each: Each, exclude: &[&str]) -> Vec<String> {
            let scan = self.scan(each, exclude);
            let mut names: Vec<String> = scan
                .entries
                .keys()
                .map(|path| path.to_str().unwrap().to_owned())
                .collect();
            names.sort();
            names
        }
    }

    #[test]
    fn each_decides_what_is_an_entry() {
        let tree = Tree::new(&["a", "d/b", "d/e/c", ".hidden", "d/.inside"]);
        assert_eq!(tree.entries(Each::Entry, &[]), ["a", "d"]);
        assert_eq!(
            tree.entries(Each::File, &[]),
            ["a", "d/.inside", "d/b", "d/e/c"]
        );
        assert_eq!(tree.entries(Each::Whole, &[]), [""]);
        assert_eq!(tree.entries(Each::File, &["e/", "a"]), ["d/.inside", "d/b"]);
    }

    #[test]
    fn links_special_files_and_empty_files_are_counted_and_left_out() {
        let tree = Tree::new(&["a", "d/b"]);
        tree.write("empty", "");
        tree.write("only-empty/x", "");
        symlink("/etc", tree.path("link")).unwrap();
        symlink(tree.path("a"), tree.path("d/link")).unwrap();
        nix::unistd::mkfifo(&tree.path("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let scan = tree.scan(Each::Entry, &[]);
        let counts: Vec<(&str, u32)> = scan.left_out.into_iter().collect();
        assert_eq!(counts, [("empty", 2), ("link", 2), ("special", 1)]);
        assert_eq!(tree.entries(Each::Entry, &[]), ["a", "d"]);
    }

    #[test]
    fn a_lone_file_of_any_name_is_shared_but_inside_a_folder_its_name_must_be_text() {
        let tree = Tree::new(&["d/good"]);
        let odd = std::ffi::OsString::from_vec(b"odd\xff".to_vec());
        fs::write(tree.0.path().join(&odd), "data").unwrap();
        fs::write(tree.path("d").join(&odd), "data").unwrap();
        let scan = tree.scan(Each::Entry, &[]);
        assert!(scan.entries.contains_key(Path::new(&odd)));
        assert_eq!(scan.left_out.get("not-utf8"), Some(&1));
    }

    #[test]
    fn a_change_of_any_file_changes_the_stamp_and_a_rename_of_the_entry_keeps_the_content() {
        let tree = Tree::new(&["d/a", "d/b"]);
        let seen = |name: &str| {
            let rules = Rules::default();
            let root = tree.0.path();
            let view = View {
                root,
                each: Each::Entry,
                rules: &rules,
                reader: None,
            };
            view.look_at(Path::new(name)).unwrap().unwrap()
        };
        let before = seen("d");
        fs::rename(tree.path("d"), tree.path("e")).unwrap();
        assert_eq!(seen("e").content, before.content);
        tree.write("e/b", "DATA and more");
        assert_ne!(seen("e").content, before.content);
        let before = seen("e");
        fs::rename(tree.path("e/a"), tree.path("e/z")).unwrap();
        assert_ne!(seen("e").stamp, before.stamp);
    }

    #[test]
    fn for_another_user_only_what_everybody_may_read_is_looked_at() {
        let tree = Tree::new(&["open/a", "closed/b", "mixed/open", "mixed/closed"]);
        let close = |path: &str, mode| {
            use std::os::unix::fs::PermissionsExt as _;
            fs::set_permissions(tree.path(path), fs::Permissions::from_mode(mode)).unwrap();
        };
        close("open", 0o755);
        close("open/a", 0o644);
        close("closed", 0o750);
        close("mixed", 0o755);
        close("mixed/open", 0o644);
        close("mixed/closed", 0o640);
        let rules = Rules::default();
        let files = |reader, entry: &str| {
            let view = View {
                root: &tree.0.path().canonicalize().unwrap(),
                each: Each::Entry,
                rules: &rules,
                reader,
            };
            let files = view.files_of(Path::new(entry)).unwrap();
            files.map_or(0, |f| f.files.len())
        };
        let me = tree.0.path().metadata().unwrap().uid();
        for (reader, expected) in [
            (None, [1, 1, 2]),
            (Some(me), [1, 1, 2]),
            (Some(me + 1), [1, 0, 1]),
        ] {
            let found = ["open", "closed", "mixed"].map(|entry| files(reader, entry));
            assert_eq!(found, expected, "{reader:?}");
        }
    }

    #[test]
    fn what_is_too_deep_is_counted_and_no_item() {
        let deep = format!("d/{}f", "x/".repeat(MAX_DEPTH));
        let tree = Tree::new(&["d/a", &deep]);
        for each in [Each::Entry, Each::File] {
            let scan = tree.scan(each, &[]);
            assert_eq!(scan.left_out.get("too-deep"), Some(&1), "{each:?}");
            assert_eq!(scan.entries.len(), 1, "{each:?}");
        }
    }

    #[test]
    fn a_name_that_the_disk_cannot_look_up_is_unknown_and_not_gone() {
        let tree = Tree::new(&["a"]);
        let rules = Rules::default();
        let view = View {
            root: tree.0.path(),
            each: Each::Entry,
            rules: &rules,
            reader: None,
        };
        assert_eq!(view.look_at(Path::new("gone")).unwrap(), None);
        assert_eq!(view.look_at(Path::new("a/below-a-file")).unwrap(), None);
        // ENAMETOOLONG stands for every error that does not say that there is nothing.
        let long = PathBuf::from("n".repeat(300));
        assert!(view.look_at(&long).is_err());
        let mut scan = Scan::default();
        view.look(&view.hold().unwrap(), long.clone(), &mut scan);
        assert!(scan.is_unknown(&long) && scan.is_unknown(&long.join("x")));
        assert!(!scan.is_unknown(Path::new("a")));
        assert!(scan.why.is_some_and(|why| why.contains("cannot be read")));
    }

    #[test]
    fn for_another_user_a_link_in_the_way_leads_nowhere() {
        let tree = Tree::new(&["share/d/a", "secret/d/a"]);
        let rules = Rules::default();
        let root = tree.path("share").canonicalize().unwrap();
        let view = View {
            root: &root,
            each: Each::File,
            rules: &rules,
            reader: Some(tree.0.path().metadata().unwrap().uid()),
        };
        assert!(view.look_at(Path::new("d/a")).unwrap().is_some());
        fs::remove_dir_all(root.join("d")).unwrap();
        symlink(tree.path("secret/d"), root.join("d")).unwrap();
        assert_eq!(view.look_at(Path::new("d/a")).unwrap(), None);
        fs::remove_dir_all(&root).unwrap();
        symlink(tree.path("secret"), &root).unwrap();
        assert!(view.hold().is_err() && view.look_at(Path::new("d/a")).is_err());
    }

    #[test]
    fn files_come_in_the_order_of_their_hashes() {
        let tree = Tree::new(&["d/a/x", "d/a-b", "d/a.c"]);
        let rules = Rules::default();
        let root = tree.0.path();
        let view = View {
            root,
            each: Each::Entry,
            rules: &rules,
            reader: None,
        };
        let files = view.files_of(Path::new("d")).unwrap().unwrap();
        let mut content = p2p_wire::metainfo::Content::Multi(
            files
                .files
                .iter()
                .rev()
                .map(|f| (f.names.clone(), f.stamp.size))
                .collect(),
        );
        content.sort();
        let p2p_wire::metainfo::Content::Multi(sorted) = content else {
            unreachable!("built as such")
        };
        let ours: Vec<_> = files.files.iter().map(|f| f.names.clone()).collect();
        let theirs: Vec<_> = sorted.into_iter().map(|(names, _)| names).collect();
        assert_eq!(ours, theirs);
    }
}
