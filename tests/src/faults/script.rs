//! What is published.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use p2p_wire::metainfo::{Builder, Content, Info};
use sha1::{Digest as _, Sha1};

use super::shim::Shim;
use crate::content::generate;

const PIECE_LEN: u32 = 16 * 1024;

/// What all lanes publish, and what makes it fail.
#[derive(Debug)]
pub struct Script {
    /// The library.
    pub shim: Shim,
    /// Published before anything fails.
    pub early: Dropped,
    /// Published while something fails.
    pub late: Dropped,
}

/// A file to be published.
#[derive(Debug)]
pub struct Dropped {
    /// Where it lies before it is dropped.
    pub(super) path: PathBuf,
    pub(super) name: &'static str,
    pub(super) bytes: Vec<u8>,
    pub(super) info: Info,
}

impl Dropped {
    /// A new file of `len` bytes in `dir`, and its torrent, made with other means than p2pd's.
    pub fn new(dir: &Path, name: &'static str, len: u64) -> Result<Self> {
        let path = dir.join(name);
        generate(&path, len, len)?;
        let bytes = fs::read(&path)?;
        let pieces = bytes.chunks(PIECE_LEN as usize);
        let pieces: Vec<[u8; 20]> = pieces.map(|piece| Sha1::digest(piece).into()).collect();
        let builder = Builder {
            name: name.to_owned(),
            content: Content::Single(len),
            piece_len: PIECE_LEN,
            private: true,
            announce: Vec::new(),
            comment: None,
            created: None,
        };
        let info = builder.build(&pieces)?.info;
        Ok(Self {
            path,
            name,
            bytes,
            info,
        })
    }

    pub(super) fn hash(&self) -> String {
        self.info.info_hash().to_string()
    }
}
