//! The state database: all that p2pd must remember, in one SQLite file in the state folder.
//!
//! One thread owns the connection; others hand it closures through [`State::call`]. WAL with `synchronous=FULL`: what a
//! closure committed is on disk when `call` returns; those that wait are committed together. Each table belongs to one module, which alone reads and writes it.
//! A lock on `p2pd.lock` makes the folder this process's own; it is released when the process ends, however it ends.

mod group;

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::thread;

use nix::fcntl::{Flock, FlockArg};
use rusqlite::Connection;
use tokio::sync::mpsc;

use self::group::Job;

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
    #[error("state database has schema {found}, this p2pd knows {known}")]
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

/// The lock on the state folder; dropping it lets another daemon in.
#[derive(Debug)]
pub struct StateLock(#[expect(dead_code, reason = "held, never read")] Flock<File>);

impl State {
    /// Locks `dir` (made with mode 0700 if absent), opens or creates the database in it and brings its schema up to date.
    /// A database that SQLite cannot read is set aside as `state.db.damaged-N` and a new one is made: the daemon always starts.
    pub fn open(dir: &Path) -> Result<(Self, StateLock), StateError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| StateError::Io { path, source }
        };
        let mut private = DirBuilder::new();
        private.recursive(true).mode(0o700);
        private.create(dir).map_err(at(dir))?;
        let lock = lock(dir)?;
        let path = dir.join("state.db");
        // Logins are in it; the files that SQLite puts beside it get the same mode.
        let mut private = File::options();
        let made = private.create(true).append(true).mode(0o600).open(&path);
        made.map_err(at(&path))?;
        let conn = match open_database(&path) {
            Err(StateError::Database(error)) => {
                let aside = set_aside(&path).map_err(at(&path))?;
                tracing::warn!(
                    "state database unreadable ({error}), set aside as {}",
                    aside.display()
                );
                open_database(&path)?
            }
            other => other?,
        };
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

fn lock(dir: &Path) -> Result<StateLock, StateError> {
    let path = dir.join("p2pd.lock");
    let io = |source| StateError::Io {
        path: path.clone(),
        source,
    };
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(io)?;
    let mut holder = String::new();
    file.read_to_string(&mut holder).map_err(io)?;
    let mut lock =
        Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|_| StateError::Locked {
            path: dir.to_owned(),
            holder: holder.trim().to_owned(),
        })?;
    lock.set_len(0).map_err(io)?;
    lock.rewind().map_err(io)?;
    writeln!(lock, "{}", std::process::id()).map_err(io)?;
    Ok(StateLock(lock))
}

fn open_database(path: &Path) -> Result<Connection, StateError> {
    let conn = Connection::open(path)?;
    conn.pragma_update(None, "journal_mode", "WAL")?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "foreign_keys", true)?;
    // KiB. The file is in the page cache; twice is once too often.
    conn.pragma_update(None, "cache_size", -512)?;
    migrate(&conn)?;
    Ok(conn)
}

/// Each entry takes the schema from its index to the next. Entries are never changed once released.
const MIGRATIONS: &[&str] = &[include_str!("schema.sql")];

fn migrate(conn: &Connection) -> Result<(), StateError> {
    let found: u32 = conn.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let known = MIGRATIONS.len() as u32;
    if found > known {
        return Err(StateError::Newer { found, known });
    }
    for (index, script) in MIGRATIONS.iter().enumerate().skip(found as usize) {
        conn.execute_batch(&format!(
            "BEGIN IMMEDIATE;\n{script}\nPRAGMA user_version = {};\nCOMMIT;",
            index + 1
        ))?;
    }
    Ok(())
}

fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let free = (1..).map(|n| path.with_extension(format!("db.damaged-{n}")));
    let aside = free
        .into_iter()
        .find(|path| !path.exists())
        .unwrap_or_else(|| path.to_owned());
    fs::rename(path, &aside)?;
    for suffix in ["-wal", "-shm"] {
        let mut side = path.as_os_str().to_owned();
        side.push(suffix);
        match fs::remove_file(&side) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(aside)
}
