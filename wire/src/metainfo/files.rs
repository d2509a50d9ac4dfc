//! The files of a torrent, as the `info` dictionary lists them.

use super::MetainfoError;
use super::path::{check_len, make_unique, safe_component};
use crate::bencode::Value;

/// Most files in one torrent.
pub const MAX_FILES: usize = 100_000;

/// One file of a torrent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Safe path components below the download folder, the torrent's name first when it has several files. Never empty, never
    /// `..`, absolute, colliding, or too long for a file system. (The path of a padding file is never used and may collide.)
    pub path: Vec<String>,
    /// Length in bytes.
    pub len: u64,
    /// Where it begins in the torrent's content, in bytes.
    pub offset: u64,
    /// A padding file (BEP 47): zeros that are never stored.
    pub padding: bool,
}

/// The only file, of the form with `length`.
pub(super) fn single(name: &str, len: &Value<'_>) -> Result<Vec<File>, MetainfoError> {
    Ok(vec![File {
        path: vec![name.to_owned()],
        len: length(len)?,
        offset: 0,
        padding: false,
    }])
}

/// The files of the form with `files`.
pub(super) fn several(name: &str, list: &Value<'_>) -> Result<Vec<File>, MetainfoError> {
    let list = list.as_list().ok_or(MetainfoError::Field("files"))?;
    if list.len() > MAX_FILES {
        return Err(MetainfoError::Invalid("more than 100,000 files"));
    }
    let mut files = Vec::with_capacity(list.len());
    let mut offset = 0u64;
    for entry in list {
        let len = length(entry.get(b"length").ok_or(MetainfoError::Field("length"))?)?;
        let attributes = entry.get(b"attr").and_then(Value::as_bytes);
        files.push(File {
            path: path(name, entry)?,
            len,
            offset,
            padding: attributes.is_some_and(|attributes| attributes.contains(&b'p')),
        });
        offset = offset
            .checked_add(len)
            .ok_or(MetainfoError::Invalid("the lengths add up to too much"))?;
    }
    make_unique(&mut files);
    Ok(files)
}

/// The safe path of a file below `name`.
fn path(name: &str, entry: &Value<'_>) -> Result<Vec<String>, MetainfoError> {
    let is_text = |path: &Value<'_>| {
        let parts = path.as_list().unwrap_or_default();
        !parts.is_empty() && parts.iter().all(|part| part.as_str().is_some())
    };
    let parts = preferred(entry, b"path.utf-8", b"path", is_text)
        .and_then(Value::as_list)
        .filter(|parts| !parts.is_empty())
        .ok_or(MetainfoError::Field("path"))?;
    let mut path = Vec::with_capacity(parts.len() + 1);
    path.push(name.to_owned());
    for part in parts {
        let part = part.as_bytes().ok_or(MetainfoError::Field("path"))?;
        path.push(safe_component(part));
    }
    check_len(&path)?;
    Ok(path)
}

/// The text under `utf8_key` if it is UTF-8, else what is under `key`: some programs wrote names twice.
pub(super) fn preferred<'v, 'a>(
    value: &'v Value<'a>,
    utf8_key: &[u8],
    key: &[u8],
    good: impl Fn(&Value<'a>) -> bool,
) -> Option<&'v Value<'a>> {
    value
        .get(utf8_key)
        .filter(|v| good(v))
        .or_else(|| value.get(key))
}

fn length(value: &Value<'_>) -> Result<u64, MetainfoError> {
    let len = value.as_int().ok_or(MetainfoError::Field("length"))?;
    u64::try_from(len).map_err(|_| MetainfoError::Invalid("a file of negative length"))
}
