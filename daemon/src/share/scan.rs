//! Looking at a share without reading data: which entries there are, and what tells whether they changed.
//!
//! What is kept of an entry is a digest of the identity of its files ([`super::entry`] finds them), so that a share of 100,000 files stays
//! small in memory; the files of one entry are read again when it is hashed.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use p2p_wire::control::Each;

use super::entry::{allowed, is_gone};
use super::files::{FileSystems, FoundFile, Seen};
use super::held::Held;
use super::ignore::Rules;

/// Folders deeper than this are left out: nobody made them on purpose.
pub(super) const MAX_DEPTH: usize = 128;

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
    pub(super) fn reach(&self, root: &Held, folder: &Path) -> io::Result<Option<Held>> {
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

    pub(super) fn leave_out(&mut self, reason: &'static str) {
        *self.left_out.entry(reason).or_default() += 1;
    }

    pub(super) fn file(
        &mut self,
        names: Vec<String>,
        path: PathBuf,
        meta: &Metadata,
    ) -> Option<FoundFile> {
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
pub(super) mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt as _;
    use std::os::unix::fs::symlink;

    /// A folder with files in it.
    pub(in crate::share) struct Tree(pub(in crate::share) tempfile::TempDir);

    impl Tree {
        pub(in crate::share) fn new(files: &[&str]) -> Self {
            let tree = Self(tempfile::tempdir().unwrap());
            files.iter().for_each(|file| tree.write(file, "data"));
            tree
        }

        pub(in crate::share) fn path(&self, file: &str) -> PathBuf {
            self.0.path().join(file)
        }

        pub(in crate::share) fn write(&self, file: &str, text: &str) {
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
}
