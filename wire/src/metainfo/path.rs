//! Names from torrents, made safe to create below a folder.
//!
//! What is unsafe is replaced and never dropped, so the same torrent gives the same paths everywhere, and a name that is safe is never touched.

use std::borrow::Cow;
use std::collections::{HashMap, hash_map};
use std::fmt::Write;

use super::MetainfoError;
use super::files::File;
use crate::text::is_harmless;

/// Longest component of a path in bytes: what Linux file systems allow.
const MAX_COMPONENT_LEN: usize = 255;

/// Longest path in bytes, separators counted: below the 4,096 of Linux with room for the download folder.
const MAX_PATH_LEN: usize = 3_072;

/// Room that a number takes at the most, as in ` (100000)`.
const NUMBER_LEN: usize = 12;

/// A component made safe. Separators (`/` and `\`) and what is not [harmless](is_harmless), NUL among it, become `_`; bytes that are not UTF-8 become `%XX`;
/// nothing, `.` and `..` become `_`; what is longer than 255 bytes loses the end of its stem.
#[must_use]
pub fn safe_component(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for part in bytes.utf8_chunks() {
        for c in part.valid().chars() {
            let unsafe_char = !is_harmless(c) || c == '/' || c == '\\';
            out.push(if unsafe_char { '_' } else { c });
        }
        for byte in part.invalid() {
            write!(out, "%{byte:02X}").expect("a String takes all that is written");
        }
    }
    if matches!(&*out, "" | "." | "..") {
        return "_".to_owned();
    }
    shortened(&out, MAX_COMPONENT_LEN)
}

/// `name` cut to `max_len` bytes at the end of its stem; an extension of up to 16 bytes stays.
fn shortened(name: &str, max_len: usize) -> String {
    if name.len() <= max_len {
        return name.to_owned();
    }
    let (stem, extension) = split_extension(name);
    let mut end = max_len.saturating_sub(extension.len()).min(stem.len());
    while !stem.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{extension}", &stem[..end])
}

/// Stem and extension with its dot; a dot in front makes no extension, nor do more than 16 bytes behind it.
fn split_extension(name: &str) -> (&str, &str) {
    match name.rfind('.') {
        Some(dot) if dot > 0 && name.len() - dot <= 16 => name.split_at(dot),
        _ => (name, ""),
    }
}

/// Renames the files that collide, earlier files keep their names: a file whose path another file took, or is the folder of another file,
/// is numbered as in `name (2).ext`. Padding files are left alone: they are never stored.
pub(super) fn make_unique(files: &mut [File]) {
    for (index, name) in renames(files) {
        if let Some(last) = files[index].path.last_mut() {
            *last = name;
        }
    }
}

/// The files to rename, as indices into `files`, with their new names.
fn renames(files: &[File]) -> Vec<(usize, String)> {
    let mut tree = Tree::default();
    // Folders come first, so a file never takes their place, whatever the order.
    let mut placed = Vec::with_capacity(files.len());
    for (index, file) in files.iter().enumerate().filter(|(_, file)| !file.padding) {
        if let Some((name, folders)) = file.path.split_last() {
            placed.push((index, tree.folder(folders), name));
        }
    }
    let mut renames = Vec::new();
    for (index, folder, name) in placed {
        if !tree.take(folder, Cow::Borrowed(name)) {
            renames.push((index, tree.numbered(folder, name)));
        }
    }
    renames
}

/// The names below the download folder. A folder is a number and a name is known by the number of its folder, so that memory grows with the
/// number of components and not with the length of paths.
#[derive(Default)]
struct Tree<'a> {
    entries: HashMap<(u32, Cow<'a, str>), Entry>,
    /// Numbers of folders given out; 0 is the root.
    folders: u32,
    /// For each folder and shortened name that collided, the number to try next. Each is tried once, so that a torrent made of collisions
    /// takes no longer than any other.
    numbers: HashMap<(u32, String), u32>,
}

enum Entry {
    Folder(u32),
    File,
}

impl<'a> Tree<'a> {
    /// The number of the folder with this path, made if need be. All folders are made before the first file.
    fn folder(&mut self, path: &'a [String]) -> u32 {
        let mut at = 0;
        for name in path {
            let next = self.folders + 1;
            let entry = self
                .entries
                .entry((at, Cow::Borrowed(name)))
                .or_insert(Entry::Folder(next));
            if let Entry::Folder(number) = entry {
                at = *number;
                self.folders = self.folders.max(at);
            }
        }
        at
    }

    /// Puts a file there; false if the name is taken.
    fn take(&mut self, folder: u32, name: Cow<'a, str>) -> bool {
        let entry = self.entries.entry((folder, name));
        let free = matches!(entry, hash_map::Entry::Vacant(_));
        entry.or_insert(Entry::File);
        free
    }

    /// The first numbered form of `name` in `folder` that is free, taken.
    fn numbered(&mut self, folder: u32, name: &str) -> String {
        let short = shortened(name, MAX_COMPONENT_LEN - NUMBER_LEN);
        let (stem, extension) = split_extension(&short);
        let key = (folder, short.clone());
        let mut number = self.numbers.get(&key).copied().unwrap_or(2);
        loop {
            let candidate = format!("{stem} ({number}){extension}");
            number += 1;
            if self.take(folder, Cow::Owned(candidate.clone())) {
                self.numbers.insert(key, number);
                return candidate;
            }
        }
    }
}

/// Refuses paths that no system call takes whole.
pub(super) fn check_len(path: &[String]) -> Result<(), MetainfoError> {
    let len: usize = path.iter().map(|component| component.len() + 1).sum();
    if len > MAX_PATH_LEN {
        return Err(MetainfoError::Invalid(
            "the path of a file is longer than 3,072 bytes",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unique(paths: &[&str]) -> Vec<String> {
        let file = |path: &&str| File {
            path: path.split('/').map(str::to_owned).collect(),
            len: 1,
            offset: 0,
            padding: path.contains("/.pad/"),
        };
        let mut files: Vec<File> = paths.iter().map(file).collect();
        make_unique(&mut files);
        files.iter().map(|file| file.path.join("/")).collect()
    }

    #[test]
    fn a_safe_name_is_not_touched() {
        for name in [
            "a",
            "a b.iso",
            "...",
            "..a",
            "\u{e9}t\u{e9}.txt",
            "100%FF",
            ".hidden",
        ] {
            assert_eq!(safe_component(name.as_bytes()), name);
        }
    }

    #[test]
    fn unsafe_names_are_replaced() {
        for (name, safe) in [
            (&b""[..], "_"),
            (b".", "_"),
            (b"..", "_"),
            (b"/etc/passwd", "_etc_passwd"),
            (b"..\\..\\x", ".._.._x"),
            (b"a\0b\x1b[31m\x7f", "a_b_[31m_"),
            ("a\u{9b}b".as_bytes(), "a_b"),
            ("report\u{202e}gpj.exe".as_bytes(), "report_gpj.exe"),
            (b"caf\xe9.txt", "caf%E9.txt"),
            (b"\xff\xfe", "%FF%FE"),
        ] {
            assert_eq!(safe_component(name), safe);
        }
    }

    #[test]
    fn long_names_lose_the_end_of_their_stem() {
        let long = safe_component(format!("{}.tar.gz", "\u{e9}".repeat(200)).as_bytes());
        assert_eq!(long, format!("{}.gz", "\u{e9}".repeat(126)));
        assert_eq!(safe_component(&[b'x'; 300]).len(), MAX_COMPONENT_LEN);
        assert_eq!(safe_component(&[0xff; 300]).len(), MAX_COMPONENT_LEN);
        let no_extension = format!(".{}", "x".repeat(300));
        assert_eq!(
            safe_component(no_extension.as_bytes()).len(),
            MAX_COMPONENT_LEN
        );
    }

    #[test]
    fn colliding_files_are_numbered_and_the_first_keeps_its_name() {
        assert_eq!(
            unique(&[
                "t/a.iso",
                "t/a.iso",
                "t/a (2).iso",
                "t/a.iso",
                "t/.x",
                "t/.x"
            ]),
            [
                "t/a.iso",
                "t/a (2).iso",
                "t/a (2) (2).iso",
                "t/a (3).iso",
                "t/.x",
                "t/.x (2)"
            ]
        );
        assert_eq!(unique(&["t/b/a", "t/c/a"]), ["t/b/a", "t/c/a"]);
    }

    #[test]
    fn a_file_never_takes_the_place_of_a_folder() {
        assert_eq!(
            unique(&["t/a", "t/a/b", "t/a/b/c"]),
            ["t/a (2)", "t/a/b (2)", "t/a/b/c"]
        );
        assert_eq!(
            unique(&["t/a/b/c", "t/a/b", "t/a"]),
            ["t/a/b/c", "t/a/b (2)", "t/a (2)"]
        );
    }

    #[test]
    fn padding_files_take_no_names() {
        let paths = ["t/.pad/9", "t/.pad/9", "t/.pad"];
        assert_eq!(unique(&paths), paths);
    }

    #[test]
    fn long_names_that_differ_at_the_end_get_different_numbers_quickly() {
        let name = |i: usize| format!("t/{}{:05}", "x".repeat(250), i / 2);
        let paths: Vec<String> = (0..20_000).map(name).collect();
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        let unique: std::collections::HashSet<String> = unique(&paths).into_iter().collect();
        assert_eq!(unique.len(), 20_000);
        assert!(
            unique
                .iter()
                .all(|path| path.len() <= 2 + MAX_COMPONENT_LEN)
        );
    }
}
