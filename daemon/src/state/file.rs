//! The database file: opened, brought to this program's schema, and saved from if it is damaged.
//!
//! Only damage makes a file be set aside. A disk that is full, read-only or failing for a moment is an error to show: the rows are still
//! there. SQLite's check does not tell a read that fails from damage: what it finds must be found twice.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::StateError;

/// Each entry takes the schema from its index to the next. Entries are never changed once released.
const MIGRATIONS: &[&str] = &[include_str!("schema.sql")];

/// Up to this size the file is checked at every start, in milliseconds; a larger one after a crash alone.
const QUICK_TO_CHECK: u64 = 32 * 1024 * 1024;

/// From one look at a damaged file to the next, which decides: a disk that failed may answer again by then.
const SECOND_LOOK: Duration = Duration::from_secs(1);

/// What is being read of a damaged database, and all of that. While the second is there, it is to take the place of the database.
const UNFINISHED: &str = ".unfinished";
const SALVAGED: &str = ".salvaged";

/// Opens the database at `path` or makes a new one. One that is damaged is set aside as `state.db.damaged-N`, and what can still be
/// read of it is carried over.
pub(super) fn open(path: &Path, after_crash: bool) -> Result<Connection, StateError> {
    let at = |source| StateError::Io {
        path: path.to_owned(),
        source,
    };
    if beside(path, SALVAGED).try_exists().map_err(at)? {
        put_salvaged(path).map_err(at)?;
        tracing::warn!("a damaged database was replaced by what could be read of it, as was begun");
    }
    // Logins are in it; the files that SQLite puts beside it get the same mode.
    let mut private = File::options();
    let made = private.create(true).append(true).mode(0o600).open(path);
    let len = made.and_then(|file| file.metadata()).map_err(at)?.len();
    let opened = open_sound(path, after_crash || len <= QUICK_TO_CHECK);
    if !opened.as_ref().is_err_and(StateError::is_damage) {
        return opened;
    }
    std::thread::sleep(SECOND_LOOK);
    match open_sound(path, true) {
        Err(error) if error.is_damage() => replace(path, &error),
        other => other,
    }
}

/// Opens the database and brings its schema up to date; with `check`, looks for damage first.
fn open_sound(path: &Path, check: bool) -> Result<Connection, StateError> {
    let mut conn = connect(path)?;
    if check {
        look_for_damage(&conn)?;
    }
    migrate(&mut conn, MIGRATIONS)?;
    Ok(conn)
}

/// Makes a new database of what can be read of a damaged one, and puts it into its place. Whenever the end comes, the next start finds the
/// damaged one whole, or the new one.
fn replace(path: &Path, damage: &StateError) -> Result<Connection, StateError> {
    let at = |source| StateError::Io {
        path: path.to_owned(),
        source,
    };
    let unfinished = beside(path, UNFINISHED);
    remove(&unfinished).map_err(at)?;
    let mut private = File::options();
    let made = private.create_new(true).append(true).mode(0o600);
    made.open(&unfinished).map_err(at)?;
    let mut conn = connect(&unfinished)?;
    migrate(&mut conn, MIGRATIONS)?;
    let saved = salvage(path, &conn)?;
    // All of it in the one file, which is renamed alone.
    conn.pragma_update(None, "journal_mode", "DELETE")?;
    conn.close().map_err(|(_, error)| error)?;
    fs::rename(&unfinished, beside(path, SALVAGED)).map_err(at)?;
    sync_folder(path).map_err(at)?;
    let aside = put_salvaged(path).map_err(at)?;
    tracing::warn!(
        "{damage}. It was set aside as {}, and {saved} rows of it were carried over",
        aside.display()
    );
    connect(path)
}

/// Sets what is at `path` aside and puts what was salvaged of it there.
fn put_salvaged(path: &Path) -> io::Result<PathBuf> {
    let aside = set_aside(path)?;
    fs::rename(beside(path, SALVAGED), path)?;
    sync_folder(path)?;
    Ok(aside)
}

/// Returns when the names in the folder of `path` are on the disk.
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}

fn remove(path: &Path) -> io::Result<()> {
    for suffix in ["-wal", "-shm", "-journal", ""] {
        match fs::remove_file(beside(path, suffix)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn connect(path: &Path) -> Result<Connection, StateError> {
    let conn = Connection::open(path)?;
    conn.pragma_update(None, "journal_mode", "WAL")?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    if cfg!(target_os = "macos") {
        // There fsync(2) leaves it to the disk when to write.
        conn.pragma_update(None, "fullfsync", true)?;
        conn.pragma_update(None, "checkpoint_fullfsync", true)?;
    }
    conn.pragma_update(None, "foreign_keys", true)?;
    // KiB. The file is in the page cache; twice is once too often.
    conn.pragma_update(None, "cache_size", -512)?;
    // What could not be opened for writing, if only at that moment, SQLite opens for reading, and refuses every write from then on. Of the
    // database it says so; of its WAL who begins to write hears it.
    if conn.is_readonly(rusqlite::MAIN_DB)? {
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_READONLY);
        return Err(rusqlite::Error::SqliteFailure(code, None).into());
    }
    conn.execute_batch("BEGIN IMMEDIATE; ROLLBACK")?;
    Ok(conn)
}

fn look_for_damage(conn: &Connection) -> rusqlite::Result<()> {
    let found: String = conn.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    match found.as_str() {
        "ok" => Ok(()),
        _ => Err(rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT),
            Some(found),
        )),
    }
}

impl StateError {
    fn is_damage(&self) -> bool {
        let Self::Database(error) = self else {
            return false;
        };
        matches!(
            error.sqlite_error_code(),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
        )
    }
}

/// Brings the schema up to `scripts`, all steps in one transaction. [`StateError::Newer`] for a file of a later program.
fn migrate(conn: &mut Connection, scripts: &[&str]) -> Result<(), StateError> {
    let found: u32 = conn.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let known = scripts.len() as u32;
    if found > known {
        return Err(StateError::Newer { found, known });
    }
    if found < known {
        let transaction = conn.transaction()?;
        for script in &scripts[found as usize..] {
            transaction.execute_batch(script)?;
        }
        transaction.pragma_update(None, "user_version", known)?;
        transaction.commit()?;
    }
    Ok(())
}

/// Renames the database and what SQLite keeps beside it. Returns where it is then.
fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let free = (1..).map(|n| path.with_extension(format!("db.damaged-{n}")));
    let aside = free
        .into_iter()
        .find(|path| !path.exists())
        .unwrap_or_else(|| path.to_owned());
    for suffix in ["-wal", "-shm", ""] {
        if suffix.is_empty() {
            // Never a new database beside an old WAL: SQLite would write the one into the other.
            sync_folder(path)?;
        }
        match fs::rename(beside(path, suffix), beside(&aside, suffix)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(aside)
}

/// What SQLite keeps beside the database.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Copies every row of the database at `from` that can be read; how many there were. Fails where `to` cannot be written.
fn salvage(from: &Path, to: &Connection) -> rusqlite::Result<u64> {
    // Writable, because a WAL is read through a file beside it.
    let from = match Connection::open_with_flags(from, OpenFlags::SQLITE_OPEN_READ_WRITE) {
        Ok(from) => from,
        Err(error) => {
            tracing::warn!("nothing of the damaged database can be read: {error}");
            return Ok(0);
        }
    };
    let mut tables = to.prepare("SELECT name FROM sqlite_master WHERE type = 'table'")?;
    let tables: Vec<String> = tables
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    to.pragma_update(None, "foreign_keys", false)?;
    let transaction = to.unchecked_transaction()?;
    let mut saved = 0;
    for table in tables {
        // From both ends: a damaged page stops each of them, and what lies between is lost.
        for order in ["ASC", "DESC"] {
            saved += copy(&from, &transaction, &table, order)?;
        }
    }
    // An entry whose share is lost belongs to nothing.
    transaction
        .execute_batch("DELETE FROM share_entries WHERE share NOT IN (SELECT id FROM shares)")?;
    transaction.commit()?;
    to.pragma_update(None, "foreign_keys", true)?;
    Ok(saved)
}

/// Copies the rows of one table as far as they can be read in this order; those that are there already are left alone.
fn copy(from: &Connection, to: &Connection, table: &str, order: &str) -> rusqlite::Result<u64> {
    let columns: Vec<String> = to
        .prepare(&format!("SELECT * FROM {table} LIMIT 0"))?
        .column_names()
        .into_iter()
        .map(str::to_owned)
        .collect();
    let names = columns.join(", ");
    let marks = vec!["?"; columns.len()].join(", ");
    let insert = format!("INSERT OR IGNORE INTO {table} ({names}) VALUES ({marks})");
    let mut insert = to.prepare(&insert)?;
    // The first column is or leads the primary key of every table.
    let select = format!("SELECT {names} FROM {table} ORDER BY 1 {order}");
    let Ok(mut query) = from.prepare(&select) else {
        return Ok(0);
    };
    let Ok(mut rows) = query.query([]) else {
        return Ok(0);
    };
    let mut saved = 0;
    while let Ok(Some(row)) = rows.next() {
        let values = (0..columns.len()).map(|column| row.get(column));
        let Ok(values) = values.collect::<Result<Vec<rusqlite::types::Value>, _>>() else {
            break;
        };
        match insert.execute(rusqlite::params_from_iter(values)) {
            Ok(inserted) => saved += inserted as u64,
            // What was read is no such row.
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(saved)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(path: &Path, rows: u32) {
        let conn = open(path, false).unwrap();
        for n in 0..rows {
            let (key, record) = (format!("{n:020}"), vec![7u8; 500]);
            conn.execute(
                "INSERT INTO items (info_hash, record) VALUES (?, ?)",
                (key.as_bytes(), record),
            )
            .unwrap();
        }
        conn.pragma_update(None, "wal_checkpoint", "TRUNCATE")
            .unwrap();
    }

    fn count(conn: &Connection) -> u32 {
        conn.query_row("SELECT count(*) FROM items", [], |row| row.get(0))
            .unwrap()
    }

    #[test]
    fn a_damaged_page_costs_the_rows_on_it_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.db");
        fill(&path, 1_000);
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2 / 4096 * 4096;
        bytes[middle..middle + 4096].fill(0xff);
        fs::write(&path, bytes).unwrap();
        let conn = open(&path, false).unwrap();
        let kept = count(&conn);
        assert!((900..1_000).contains(&kept), "{kept} of 1,000 rows");
        assert!(dir.path().join("state.db.damaged-1").exists());
        drop(conn);
        assert_eq!(count(&open(&path, true).unwrap()), kept);
    }

    #[test]
    fn the_end_at_any_moment_of_a_replacement_leaves_the_damaged_one_or_what_was_read_of_it() {
        // So far it had come: a part of the new one, all of it, the WAL of the damaged one set aside, and that itself.
        for stage in 0..4 {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("state.db");
            fill(&path, 1_000);
            fs::copy(&path, dir.path().join("sound")).unwrap();
            let mut bytes = fs::read(&path).unwrap();
            let middle = bytes.len() / 2 / 4096 * 4096;
            bytes[middle..middle + 4096].fill(0xff);
            fs::write(&path, bytes).unwrap();
            let [sound, unfinished, salvaged, aside] = [
                "sound",
                "state.db.unfinished",
                "state.db.salvaged",
                "state.db.damaged-1",
            ]
            .map(|name| dir.path().join(name));
            match stage {
                0 => fs::write(&unfinished, b"half").unwrap(),
                _ => fs::rename(&sound, &salvaged).unwrap(),
            }
            if stage >= 2 {
                fs::write(beside(&aside, "-wal"), b"").unwrap();
            }
            if stage == 3 {
                fs::rename(&path, &aside).unwrap();
            }
            let kept = count(&open(&path, true).unwrap());
            match stage {
                0 => assert!((900..1_000).contains(&kept), "{kept} rows"),
                _ => assert_eq!(kept, 1_000, "stage {stage}"),
            }
            assert!(aside.exists(), "stage {stage}");
            assert!(!unfinished.exists() && !salvaged.exists(), "stage {stage}");
        }
    }

    #[test]
    fn a_new_database_that_cannot_be_written_does_not_take_the_place_of_the_damaged_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.db");
        fill(&path, 1_000);
        let mut new = Connection::open_in_memory().unwrap();
        migrate(&mut new, MIGRATIONS).unwrap();
        // As a disk that has room for some of it.
        new.pragma_update(None, "max_page_count", 60).unwrap();
        let error = salvage(&path, &new).unwrap_err();
        assert_eq!(error.sqlite_error_code(), Some(ErrorCode::DiskFull));
        new.pragma_update(None, "max_page_count", 1_000_000)
            .unwrap();
        assert_eq!(count(&new), 0, "some of it");
        assert!(salvage(&path, &new).unwrap() >= 1_000);
        assert_eq!(count(&new), 1_000);
    }

    #[test]
    fn a_file_that_is_no_database_or_is_empty_does_not_keep_the_daemon_from_starting() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.db");
        for content in [&b""[..], b"x", &[0; 10_000], &[0xff; 10_000]] {
            fs::write(&path, content).unwrap();
            assert_eq!(count(&open(&path, false).unwrap()), 0);
            for left in ["-wal", "-shm"] {
                let _ = fs::remove_file(dir.path().join(format!("state.db{left}")));
            }
        }
    }

    #[test]
    fn a_database_that_cannot_be_written_is_not_called_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.db");
        fill(&path, 10);
        let busy = Connection::open(&path).unwrap();
        busy.pragma_update(None, "locking_mode", "EXCLUSIVE")
            .unwrap();
        busy.execute("DELETE FROM items WHERE 0", []).unwrap();
        let held = busy.execute_batch("BEGIN EXCLUSIVE");
        held.unwrap();
        assert!(matches!(open(&path, false), Err(StateError::Database(_))));
        drop(busy);
        assert!(!dir.path().join("state.db.damaged-1").exists());
        assert_eq!(count(&open(&path, false).unwrap()), 10);
    }

    #[test]
    fn steps_of_the_schema_are_taken_in_one_transaction_and_a_newer_file_is_refused() {
        let mut conn = Connection::open_in_memory().unwrap();
        let version = |conn: &Connection| -> u32 {
            conn.pragma_query_value(None, "user_version", |row| row.get(0))
                .unwrap()
        };
        let first = "CREATE TABLE a (x); INSERT INTO a VALUES (1);";
        let second = "ALTER TABLE a ADD COLUMN y;";
        migrate(&mut conn, &[first]).unwrap();
        assert!(migrate(&mut conn, &[first, second, "CREATE nonsense"]).is_err());
        assert_eq!(version(&conn), 1);
        assert!(conn.prepare("SELECT y FROM a").is_err(), "half a migration");
        migrate(&mut conn, &[first, second]).unwrap();
        assert_eq!(version(&conn), 2);
        let kept: u32 = conn
            .query_row("SELECT count(*) FROM a WHERE y IS NULL", [], |r| r.get(0))
            .unwrap();
        assert_eq!(kept, 1);
        let newer = migrate(&mut conn, &[first]).unwrap_err();
        assert!(matches!(newer, StateError::Newer { found: 2, known: 1 }));
    }
}
