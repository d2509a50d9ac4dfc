//! Metainfo (.torrent files), version 1: reading and building (BEP 3, BEP 12, BEP 27).
use crate::{InfoHash, Layout, PieceIndex};
use bytes::Bytes;

/// Largest .torrent file that is read, in bytes.
pub const MAX_METAINFO_LEN: usize = 10 * 1024 * 1024;

/// A parsed .torrent file.
#[derive(Clone, Debug)]
pub struct Metainfo {
    /// The `info` dictionary.
    pub info: Info,
    /// Announce URLs in tiers (BEP 12); a lone `announce` is one tier of one.
    pub announce: Vec<Vec<String>>,
    /// `comment`, if any.
    pub comment: Option<String>,
    /// `created by`, if any.
    pub created_by: Option<String>,
    /// `creation date`, seconds since 1970.
    pub created: Option<i64>,
}

/// The `info` dictionary: what the info-hash covers.
#[derive(Clone, Debug)]
pub struct Info {
    raw: Bytes,
    info_hash: InfoHash,
    name: String,
    layout: Layout,
    pieces: Bytes,
    files: Vec<File>,
    single_file: bool,
    private: bool,
}

/// One file of a torrent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Safe path components below the download folder, the torrent's name first when it has several files. Never empty, never
    /// `..`, absolute, colliding, or too long for a file system.
    pub path: Vec<String>,
    /// Length in bytes.
    pub len: u64,
    /// Where it begins in the torrent's content, in bytes.
    pub offset: u64,
    /// A padding file (BEP 47): zeros that are never stored.
    pub padding: bool,
}

/// Why bytes are not a torrent that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetainfoError {
    /// Not bencode.
    #[error("not bencode: {0}")]
    Bencode(#[from] crate::bencode::Error),
    /// A field is missing or has another type.
    #[error("`{0}` is missing or of the wrong type")]
    Field(&'static str),
    /// The lengths do not fit together.
    #[error("{0}")]
    Invalid(&'static str),
    /// Version 2 only (BEP 52).
    #[error(
        "a version 2 torrent without version 1 data; only version 1 and hybrid torrents can be used"
    )]
    V2Only,
}

impl Metainfo {
    /// Reads a .torrent file.
    pub fn from_bytes(_bytes: &[u8]) -> Result<Self, MetainfoError> {
        todo!()
    }
    /// Canonical bytes of a .torrent file: `info` byte for byte as it was received.
    pub fn to_bytes(&self) -> Vec<u8> {
        todo!()
    }
}

impl Info {
    /// Reads the raw bytes of an `info` dictionary (from a .torrent file or from peers, BEP 9).
    pub fn from_bytes(_raw: Bytes) -> Result<Self, MetainfoError> {
        todo!()
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
    /// The SHA-1 that `piece` must have.
    pub fn piece_hash(&self, _piece: PieceIndex) -> [u8; 20] {
        todo!()
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
    /// The parts of files that `range` of the content covers: (index of the file, offset in it, length), ascending, padding included, no empty ones.
    pub fn spans(&self, _offset: u64, _len: u64) -> Vec<Span> {
        let _ = &self.pieces;
        todo!()
    }
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

/// Builds a torrent: say what is in it, hash it, [`Builder::build`].
#[derive(Clone, Debug)]
pub struct Builder {
    /// Name of the file, or of the folder.
    pub name: String,
    /// `None`: one file of this length named `name`. Otherwise see `files`.
    pub content: Content,
    /// Length of a piece in bytes: a power of two of at least 16 KiB, see [`auto_piece_len`].
    pub piece_len: u32,
    /// BEP 27.
    pub private: bool,
    /// Announce URLs in tiers.
    pub announce: Vec<Vec<String>>,
    /// `comment`.
    pub comment: Option<String>,
    /// `creation date`; absent makes the file depend on its content alone.
    pub created: Option<i64>,
}

/// What a built torrent holds.
#[derive(Clone, Debug)]
pub enum Content {
    /// One file of so many bytes.
    Single(u64),
    /// Files below the folder `name`: path components and length; they are sorted by path bytes.
    Multi(Vec<(Vec<String>, u64)>),
}

impl Builder {
    /// Makes the torrent; `pieces` are the SHA-1 of all pieces over the files in sorted order.
    /// Errors when the lengths and the number of hashes do not fit, or a name is not one that [`Info::from_bytes`] would keep.
    pub fn build(&self, _pieces: &[[u8; 20]]) -> Result<Metainfo, MetainfoError> {
        todo!()
    }
}

/// The smallest power of two of at least `total_len`/4096, from 16 KiB to 16 MiB.
pub fn auto_piece_len(_total_len: u64) -> u32 {
    todo!()
}
