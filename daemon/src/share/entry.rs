//! The files of one entry, found without reading them: which belong to it, and which are left out for what reason.
//!
//! Symbolic links are not followed, FIFOs, sockets and devices never opened.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use p2p_wire::metainfo::safe_component;

use super::files::{Files, Seen, joined};
use super::hashing::path_of;
use super::held::Held;
use super::scan::{MAX_DEPTH, Scan, View};

impl View<'_> {
    /// Looks at one entry. `None` when there is nothing to share, `Err` when the disk does not tell.
    pub(crate) fn look_at(&self, entry: &Path) -> io::Result<Option<Seen>> {
        let files = self.files_of(entry)?;
        Ok(files.map(|files| files.seen()))
    }

    /// The files of one entry. `None` when there is nothing to share, `Err` when the disk does not tell.
    pub(crate) fn files_of(&self, entry: &Path) -> io::Result<Option<Files>> {
        self.files(&self.hold()?, entry, &mut Scan::default())
    }

    /// The same as part of a scan, which is told what is left out.
    pub(super) fn files(
        &self,
        root: &Held,
        entry: &Path,
        scan: &mut Scan,
    ) -> io::Result<Option<Files>> {
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
    pub(super) fn may_read(&self, meta: &Metadata) -> bool {
        let all = if meta.is_dir() { 0o005 } else { 0o004 };
        self.reader
            .is_none_or(|reader| meta.uid() == reader || meta.mode() & all == all)
    }

    /// Counts what is not wanted.
    pub(super) fn is_wanted(&self, below: &Path, is_folder: bool, scan: &mut Scan) -> bool {
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
pub(super) fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// `None` where the permissions of a file forbid it: that is its owner's will, as it lasts.
pub(super) fn allowed<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(None),
        other => other.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use p2p_wire::control::Each;

    use super::super::ignore::Rules;
    use super::super::scan::tests::Tree;
    use super::*;

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
