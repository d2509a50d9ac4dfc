//! The state database: all that p2pd must remember, in one SQLite file in the state folder.
//!
//! One thread owns the connection; others hand it closures through [`State::call`]. WAL with `synchronous=FULL`: what a
//! closure committed is on disk when `call` returns; those that wait are committed together. Each table belongs to one module, which alone reads and writes it.
//! A lock on `p2pd.lock` makes the folder this process's own; it is released when the process ends, however it ends.

mod file;
mod group;
mod lock;

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::thread;

use rusqlite::Connection;
use tokio::sync::mpsc;

use self::group::Job;
pub use self::lock::StateLock;

/// A handle on the state database.
#[derive(Clone)]
pub struct State {
    jobs: mpsc::Sender<Job>,
    dir: PathBuf,
}

/// Why the state folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Cannot be read or written.
    #[error("state folder {path}: {source}")]
    Io {
        /// The folder or a file in it.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another daemon holds it.
    #[error("state folder {path} is in use by process {holder}")]
    Locked {
        /// The folder.
        path: PathBuf,
        /// Process id, as that process wrote it.
        holder: String,
    },
    /// The database fails.
    #[error("state database: {0}")]
    Database(#[from] rusqlite::Error),
    /// Written by a newer p2pd.
    #[error(
        "the state database has schema {found}, this p2pd knows {known}: it was written by a newer p2pd; install that, or give another --state-dir"
    )]
    Newer {
        /// Schema in the file.
        found: u32,
        /// Schema of this program.
        known: u32,
    },
    /// The database thread ended.
    #[error("the state database is closed")]
    Closed,
}

impl State {
    /// Locks `dir` (made with mode 0700 if absent), opens or creates the database in it and brings its schema up to date.
    /// A damaged database is set aside as `state.db.damaged-N`, and what can be read of it goes on in a new one: the daemon always starts.
    pub fn open(dir: &Path) -> Result<(Self, StateLock), StateError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| StateError::Io { path, source }
        };
        let mut private = DirBuilder::new();
        private.recursive(true).mode(0o700);
        private.create(dir).map_err(at(dir))?;
        let lock = StateLock::take(dir)?;
        let conn = file::open(&dir.join("state.db"), lock.after_crash)?;
        // A full channel makes callers wait: the database is the slow side.
        let (jobs, queue) = mpsc::channel::<Job>(256);
        thread::Builder::new()
            .name("state".into())
            .spawn(move || group::serve(conn, queue))
            .map_err(at(dir))?;
        Ok((
            Self {
                jobs,
                dir: dir.to_owned(),
            },
            lock,
        ))
    }

    /// The state folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Runs `work` on the database thread, all or nothing; it is committed and synced when this returns `Ok`. It must not end the
    /// transaction that it runs in.
    pub async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StateError> {
        let (job, answer) = group::job(work);
        self.jobs.send(job).await.map_err(|_| StateError::Closed)?;
        answer.await.map_err(|_| StateError::Closed)?
    }
}
