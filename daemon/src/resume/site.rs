//! Where the data of an item is.

use std::path::{Path, PathBuf};

use super::codec::{Damaged, Reader, Writer};

/// Where an item's data is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Site {
    /// Being fetched into this folder, staged below its `.p2p-incomplete`.
    Staged(PathBuf),
    /// Fetched by p2pd and complete: the file or folder. p2pd may delete it if asked to. `aside` is the stage, where the
    /// unwanted parts of wanted pieces are.
    Fetched {
        /// The file or folder.
        path: PathBuf,
        /// The stage.
        aside: PathBuf,
    },
    /// Somebody else's file or folder: never deleted.
    Foreign(PathBuf),
}

impl Site {
    /// The file or folder if it has its place.
    pub fn placed(&self) -> Option<&Path> {
        match self {
            Self::Staged(_) => None,
            Self::Fetched { path, .. } | Self::Foreign(path) => Some(path),
        }
    }

    /// Appends it to a record.
    pub(super) fn put(&self, w: &mut Writer) {
        match self {
            Self::Staged(dir) => {
                w.0.push(0);
                w.path(dir);
            }
            Self::Fetched { path, aside } => {
                w.0.push(1);
                w.path(path);
                w.path(aside);
            }
            Self::Foreign(path) => {
                w.0.push(2);
                w.path(path);
            }
        }
    }

    /// Reads what [`Self::put`] wrote.
    pub(super) fn take(r: &mut Reader<'_>) -> Result<Self, Damaged> {
        Ok(match r.byte()? {
            0 => Self::Staged(r.path()?),
            1 => Self::Fetched {
                path: r.path()?,
                aside: r.path()?,
            },
            2 => Self::Foreign(r.path()?),
            _ => return Err(Damaged("an unknown kind of place")),
        })
    }
}
