//! Opening a database file: made whole or not at all, checked before use.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::functions::FunctionFlags;
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use crate::store::StoreError;

const SCHEMA: &str = include_str!("schema.sql");
/// `PRAGMA user_version` of [`SCHEMA`].
const SCHEMA_VERSION: i64 = 1;
const SECRET_KEY: &str = "passkey_secret";

/// The connection that writes.
pub(super) fn writer(path: &Path) -> Result<Connection, StoreError> {
    if !path.exists() {
        create(path)?;
    }
    // A file that was cut to nothing would pass for a new database: never start empty where there was one.
    if std::fs::metadata(path).map_err(io_error)?.len() == 0 {
        return Err(StoreError::Damaged("the file is empty".to_owned()));
    }
    let db = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    // A damaged file is left as it is: without this, closing it would write the log into it.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    check(&db)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", "FULL")?;
    if cfg!(target_os = "macos") {
        // There fsync(2) leaves it to the disk when to write.
        db.pragma_update(None, "fullfsync", true)?;
        db.pragma_update(None, "checkpoint_fullfsync", true)?;
    }
    db.pragma_update(None, "foreign_keys", true)?;
    db.busy_timeout(std::time::Duration::from_secs(5))?;
    db.set_prepared_statement_cache_capacity(128);
    Ok(db)
}

/// A connection that reads.
pub(super) fn reader(path: &Path) -> Result<Connection, StoreError> {
    let db = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    db.busy_timeout(std::time::Duration::from_secs(5))?;
    db.set_prepared_statement_cache_capacity(128);
    // SQLite's own knows the letters of ASCII alone; the index of names, and those who follow the log, know all.
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    db.create_scalar_function("lower", 1, flags, |call| {
        Ok(call
            .get::<Option<String>>(0)?
            .map(|text| text.to_lowercase()))
    })?;
    Ok(db)
}

/// The key of the passkeys, made with the database.
pub(super) fn passkey_secret(db: &Connection) -> Result<[u8; 32], StoreError> {
    let secret: Option<Vec<u8>> = db
        .query_row(
            "SELECT value FROM meta WHERE key = ?1",
            [SECRET_KEY],
            |row| row.get(0),
        )
        .optional()?;
    secret
        .and_then(|secret| secret.try_into().ok())
        .ok_or_else(|| StoreError::Damaged("the key of the passkeys is missing".to_owned()))
}

fn check(db: &Connection) -> Result<(), StoreError> {
    let version: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if version > SCHEMA_VERSION {
        return Err(StoreError::Database(format!(
            "it was made by a newer p2p-tracker (format {version}, this one knows {SCHEMA_VERSION}); install that version"
        )));
    }
    let verdict: String = db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if verdict != "ok" {
        return Err(StoreError::Damaged(verdict));
    }
    if version != SCHEMA_VERSION {
        return Err(StoreError::Damaged(
            "it has no tables of a tracker".to_owned(),
        ));
    }
    Ok(())
}

/// Makes the file under another name and renames it, so that a crash leaves no half-made database behind.
fn create(path: &Path) -> Result<(), StoreError> {
    let wal = with_suffix(path, "-wal");
    if wal.exists() {
        return Err(StoreError::Damaged(format!(
            "the file is gone, but {} is still there",
            wal.display()
        )));
    }
    let new = with_suffix(path, ".new");
    let _ = std::fs::remove_file(&new);
    // Nobody but the tracker's user may read password hashes and the key of the passkeys.
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)
        .map_err(io_error)?;
    let db = Connection::open(&new)?;
    db.execute_batch(SCHEMA)?;
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(|error| StoreError::Unavailable(error.to_string()))?;
    db.execute(
        "INSERT INTO meta VALUES (?1, ?2)",
        (SECRET_KEY, &secret[..]),
    )?;
    db.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    db.close().map_err(|(_, error)| error)?;
    file.sync_all().map_err(io_error)?;
    std::fs::rename(&new, path).map_err(io_error)?;
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    std::fs::File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(io_error)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn io_error(error: std::io::Error) -> StoreError {
    StoreError::Unavailable(error.to_string())
}
