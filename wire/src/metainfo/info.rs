//! The `info` dictionary.

use bytes::Bytes;
use sha1::{Digest, Sha1};

use super::MetainfoError;
use super::path::{Paths, check_len, safe_component};
use crate::bencode::{self, Value};
use crate::{InfoHash, Layout, PieceIndex};

/// Most files in one torrent.
pub const MAX_FILES: usize = 100_000;

/// Longest piece in bytes.
pub const MAX_PIECE_LEN: u32 = 64 * 1024 * 1024;

const HASH_LEN: usize = 20;

/// The `info` dictionary: what the info-hash covers.
#[derive(Clone, Debug)]
pub struct Info {
    raw: Bytes,
    info_hash: InfoHash,
    name: String,
    layout: Layout,
    /// The hashes of all pieces in a row, exactly as many as `layout` has: a slice of `raw`.
    pieces: Bytes,
    /// In content order, one behind the other, `layout.total_len()` bytes in all.
    files: Vec<File>,
    single_file: bool,
    private: bool,
}

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

/// A run of bytes in one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Index into [`Info::files`].
    pub file: usize,
    /// Offset in that file, in bytes.
    pub offset: u64,
    /// Length in bytes.
    pub len: u64,
}

impl Info {
    /// Reads the raw bytes of an `info` dictionary (from a .torrent file or from peers, BEP 9).
    pub fn from_bytes(raw: Bytes) -> Result<Self, MetainfoError> {
        let value = bencode::decode(&raw)?;
        Self::from_value(&value, raw.clone())
    }

    /// `raw` has the same bytes as [`Value::raw`].
    pub(super) fn from_value(value: &Value<'_>, raw: Bytes) -> Result<Self, MetainfoError> {
        if value.as_dict().is_none() {
            return Err(MetainfoError::Field("info"));
        }
        let Some(pieces) = value.get(b"pieces") else {
            let v2 = value.get(b"meta version").is_some() || value.get(b"file tree").is_some();
            return Err(if v2 {
                MetainfoError::V2Only
            } else {
                MetainfoError::Field("pieces")
            });
        };
        let name = name(value)?;
        let (files, single_file) = match (value.get(b"length"), value.get(b"files")) {
            (Some(len), None) => (single(&name, len)?, true),
            (None, Some(list)) => (several(&name, list)?, false),
            (Some(_), Some(_)) => {
                return Err(MetainfoError::Invalid(
                    "`info` has both `length` and `files`",
                ));
            }
            (None, None) => return Err(MetainfoError::Field("length")),
        };
        let layout = layout(value, &files)?;
        let pieces = pieces.as_bytes().ok_or(MetainfoError::Field("pieces"))?;
        if pieces.len() as u64 != u64::from(layout.pieces()) * HASH_LEN as u64 {
            return Err(MetainfoError::Invalid(
                "`pieces` does not have one hash for each piece",
            ));
        }
        // Both lie in the same buffer, so this is the distance between them.
        let at = pieces.as_ptr() as usize - value.raw().as_ptr() as usize;
        Ok(Self {
            info_hash: InfoHash(Sha1::digest(&raw).into()),
            name,
            layout,
            pieces: raw.slice(at..at + pieces.len()),
            raw,
            files,
            single_file,
            private: value.get(b"private").and_then(Value::as_int) == Some(1),
        })
    }

    /// The bytes as they were received.
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// SHA-1 of [`Info::raw`].
    pub fn info_hash(&self) -> InfoHash {
        self.info_hash
    }

    /// The suggested name, made safe: of the file, or of the folder that holds the files.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Lengths.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The SHA-1 that `piece`, which must be of this torrent's layout, must have.
    ///
    /// # Panics
    ///
    /// When `piece` was made by the layout of another, longer torrent.
    pub fn piece_hash(&self, piece: PieceIndex) -> [u8; 20] {
        self.pieces
            .chunks_exact(HASH_LEN)
            .nth(piece.index())
            .and_then(|hash| hash.try_into().ok())
            .expect("a piece of this layout has a hash")
    }

    /// The files, in content order.
    pub fn files(&self) -> &[File] {
        &self.files
    }

    /// True for the form with `length`, false for the form with `files`.
    pub fn single_file(&self) -> bool {
        self.single_file
    }

    /// BEP 27: no DHT, no PEX, no LSD.
    pub fn private(&self) -> bool {
        self.private
    }

    /// The parts of files that the `len` bytes from `offset` of the content cover, ascending, padding included, no empty ones.
    /// What lies beyond the end of the content is left out.
    pub fn spans(&self, offset: u64, len: u64) -> Vec<Span> {
        let end = offset.saturating_add(len).min(self.layout.total_len());
        let first = self
            .files
            .partition_point(|file| file.offset + file.len <= offset);
        self.files
            .iter()
            .enumerate()
            .skip(first)
            .take_while(|(_, file)| file.offset < end)
            .filter_map(|(index, file)| {
                let from = offset.max(file.offset);
                let to = end.min(file.offset + file.len);
                (from < to).then(|| Span {
                    file: index,
                    offset: from - file.offset,
                    len: to - from,
                })
            })
            .collect()
    }
}

/// The text under `utf8_key` if it is UTF-8, else what is under `key`: some programs wrote names twice.
fn preferred<'v, 'a>(
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

fn name(info: &Value<'_>) -> Result<String, MetainfoError> {
    let name = preferred(info, b"name.utf-8", b"name", |name| name.as_str().is_some());
    let name = name.and_then(Value::as_bytes);
    Ok(safe_component(name.ok_or(MetainfoError::Field("name"))?))
}

fn length(value: &Value<'_>) -> Result<u64, MetainfoError> {
    let len = value.as_int().ok_or(MetainfoError::Field("length"))?;
    u64::try_from(len).map_err(|_| MetainfoError::Invalid("a file of negative length"))
}

fn single(name: &str, len: &Value<'_>) -> Result<Vec<File>, MetainfoError> {
    Ok(vec![File {
        path: vec![name.to_owned()],
        len: length(len)?,
        offset: 0,
        padding: false,
    }])
}

fn several(name: &str, list: &Value<'_>) -> Result<Vec<File>, MetainfoError> {
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
    Paths::of(&files).make_unique(&mut files);
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

fn layout(info: &Value<'_>, files: &[File]) -> Result<Layout, MetainfoError> {
    let piece_len = info
        .get(b"piece length")
        .and_then(Value::as_int)
        .ok_or(MetainfoError::Field("piece length"))?;
    let piece_len = u32::try_from(piece_len)
        .ok()
        .filter(|len| (1..=MAX_PIECE_LEN).contains(len))
        .ok_or(MetainfoError::Invalid(
            "`piece length` is not between 1 byte and 64 MiB",
        ))?;
    let total = files.last().map_or(0, |last| last.offset + last.len);
    if total == 0 {
        return Err(MetainfoError::Invalid("a torrent without content"));
    }
    Layout::new(total, piece_len).ok_or(MetainfoError::Invalid("too many pieces"))
}
