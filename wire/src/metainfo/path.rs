//! Names from torrents, made safe to create below a folder.
//!
//! What is unsafe is replaced and never dropped, so the same torrent gives the same paths everywhere, and a name that is safe is never touched.

use std::collections::{HashMap, HashSet};
use std::fmt::Write;

use super::MetainfoError;
use super::info::File;

/// Longest component of a path in bytes: what Linux file systems allow.
pub const MAX_COMPONENT_LEN: usize = 255;

/// Longest path in bytes, separators counted: below the 4,096 of Linux with room for the download folder.
pub const MAX_PATH_LEN: usize = 3_072;

/// Room that a number takes at the most, as in ` (100000)`.
const NUMBER_LEN: usize = 12;

/// A component made safe. Separators (`/` and `\`) and control characters, NUL among them, become `_`; bytes that are not UTF-8 become `%XX`;
/// nothing, `.` and `..` become `_`; what is longer than [`MAX_COMPONENT_LEN`] loses the end of its stem.
#[must_use]
pub fn safe_component(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for part in bytes.utf8_chunks() {
        for c in part.valid().chars() {
            let unsafe_char = c.is_control() || c == '/' || c == '\\';
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

/// The paths of a torrent's files, while they are made unique.
///
/// A file whose path another file took, or is the folder of another file, is numbered: `name (2).ext`. Folders come first, so a file never
/// takes their place, whatever the order.
pub(super) struct Paths {
    /// Joined with `/`, which no component has.
    folders: HashSet<String>,
    files: HashSet<String>,
    /// For each folder and shortened name that collided, the number to try next. Each number is tried once, so that a torrent made of
    /// collisions takes no longer than any other.
    numbers: HashMap<(String, String), u32>,
}

impl Paths {
    /// Knows the folders of all `files` and none of the files yet.
    pub(super) fn of(files: &[File]) -> Self {
        let mut folders = HashSet::new();
        for file in files.iter().filter(|file| !file.padding) {
            let mut folder = file.path.split_last().map_or(&[][..], |(_, folder)| folder);
            // A folder that is known has known parents.
            while !folder.is_empty() && folders.insert(folder.join("/")) {
                folder = &folder[..folder.len() - 1];
            }
        }
        Self {
            folders,
            files: HashSet::with_capacity(files.len()),
            numbers: HashMap::new(),
        }
    }

    /// Renames the files that collide; earlier files keep their names. Padding files are left alone: they are never stored.
    pub(super) fn make_unique(mut self, files: &mut [File]) {
        for file in files.iter_mut().filter(|file| !file.padding) {
            if self.take(file.path.join("/")) {
                continue;
            }
            let Some((name, folder)) = file.path.split_last_mut() else {
                continue;
            };
            *name = self.numbered(&folder.join("/"), name);
        }
    }

    fn take(&mut self, path: String) -> bool {
        !self.folders.contains(&path) && self.files.insert(path)
    }

    /// The first numbered form of `name` in `folder` that is free, taken.
    fn numbered(&mut self, folder: &str, name: &str) -> String {
        let short = shortened(name, MAX_COMPONENT_LEN - NUMBER_LEN);
        let (stem, extension) = split_extension(&short);
        let key = (folder.to_owned(), short.clone());
        let mut number = self.numbers.get(&key).copied().unwrap_or(2);
        loop {
            let candidate = format!("{stem} ({number}){extension}");
            number += 1;
            if self.take(format!("{folder}/{candidate}")) {
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
