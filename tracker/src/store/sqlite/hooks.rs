//! What hooks must still be told. Triggers write it down, in the transaction that makes it true; see `hooks.sql`.

use rusqlite::{Connection, params};

use crate::store::{HookDue, HookFile, StoreError};

/// Makes the tables and triggers where they are not there yet.
pub(super) fn prepare(db: &Connection) -> Result<(), StoreError> {
    Ok(db.execute_batch(include_str!("hooks.sql"))?)
}

/// From now on these events are written down.
pub(super) fn want(db: &Connection, events: &[&str]) -> Result<(), StoreError> {
    db.execute("DELETE FROM hook_wanted", [])?;
    for event in events {
        db.execute("INSERT INTO hook_wanted VALUES (?1)", [event])?;
    }
    Ok(())
}

/// The oldest that are due behind the row `after`.
pub(super) fn due(db: &Connection, after: i64, limit: u32) -> Result<Vec<HookDue>, StoreError> {
    let mut select = db.prepare_cached(
        "SELECT id, event_id, event, time, account, share, entry, version, info_hash, size, told FROM hook_due WHERE id > ?1 ORDER BY id LIMIT ?2",
    )?;
    let rows = select.query_map(params![after, limit], |row| {
        let hash: Option<[u8; 20]> = row.get(8)?;
        let file = match hash {
            None => None,
            Some(hash) => Some(HookFile {
                share: row.get(5)?,
                entry: row.get(6)?,
                version: row.get(7)?,
                info_hash: p2p_wire::InfoHash(hash),
                size: u64::try_from(row.get::<_, i64>(9)?).unwrap_or(0),
            }),
        };
        Ok(HookDue {
            id: row.get(0)?,
            event_id: row.get(1)?,
            event: row.get(2)?,
            time: row.get(3)?,
            account: row.get(4)?,
            file,
            told: row
                .get::<_, String>(10)?
                .lines()
                .map(str::to_owned)
                .collect(),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// One hook has heard.
pub(super) fn told(db: &Connection, id: i64, hook: &str) -> Result<(), StoreError> {
    db.execute(
        "UPDATE hook_due SET told = told || ?2 || char(10) WHERE id = ?1",
        params![id, hook],
    )?;
    Ok(())
}

/// All have.
pub(super) fn done(db: &Connection, id: i64) -> Result<(), StoreError> {
    db.execute("DELETE FROM hook_due WHERE id = ?1", [id])?;
    Ok(())
}
