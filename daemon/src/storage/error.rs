//! Why the disk did not do what was asked.

use std::io;
use std::path::{Path, PathBuf};

/// Stops an item, not the daemon.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    /// No space, or less than must stay free. Goes away by itself.
    #[error("disk full: {0}")]
    Full(String),
    /// A file is not what it was when its pieces were verified.
    #[error("{} changed on disk", .0.display())]
    Changed(PathBuf),
    /// Anything else.
    #[error("{}: {why}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        why: String,
    },
    /// Its file system does not answer. Goes away when it does, or when it is unmounted.
    #[error("the disk of {} does not answer{why}", path.display())]
    Stands {
        /// What lies on it.
        path: PathBuf,
        /// How that shows where it does answer questions.
        why: &'static str,
    },
    /// A mistake of ours, in work that touched this item alone.
    #[error("a bug of p2pd: its log says where; please report it")]
    Bug,
    /// The disk threads have ended.
    #[error("the daemon is stopping")]
    Stopped,
}

impl StorageError {
    pub(super) fn at(path: impl Into<PathBuf>, error: &io::Error) -> Self {
        let path = path.into();
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::Full(format!("{}: {error}", path.display()))
            }
            _ => Self::Io {
                path,
                why: error.to_string(),
            },
        }
    }
}

/// `map_err` with the path at which it happened.
pub(super) fn at(path: &Path) -> impl Fn(io::Error) -> StorageError + '_ {
    move |error| StorageError::at(path, &error)
}
