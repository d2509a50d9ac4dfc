//! The log, and the last known holders of pieces.

use p2p_wire::InfoHash;
use rusqlite::types::ToSql;
use rusqlite::{Connection, OptionalExtension, Row, params_from_iter};

use crate::points::Ranges;
use crate::store::{HeldRange, LogLine, LogQuery, NewLine, StoreError};

/// Lines that one write deletes at most, for one reason.
const SLICE: usize = 5_000;

pub(super) fn append(db: &Connection, lines: Vec<NewLine>) -> Result<Vec<LogLine>, StoreError> {
    let mut insert = db.prepare_cached(
        "INSERT INTO log (time, event, account, node, info_hash, name, text, reader) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    let mut out = Vec::with_capacity(lines.len());
    for line in lines {
        let hash = line.info_hash.map(|hash| hash.0.to_vec());
        insert.execute((
            line.time,
            line.event,
            &line.account,
            &line.node,
            hash,
            &line.name,
            &line.text,
            line.reader.map(|reader| reader.0),
        ))?;
        out.push(LogLine {
            seq: db.last_insert_rowid(),
            time: line.time,
            event: line.event.to_owned(),
            account: line.account,
            node: line.node,
            info_hash: line.info_hash,
            name: line.name,
            text: line.text,
        });
    }
    Ok(out)
}

pub(super) fn read(db: &Connection, query: &LogQuery) -> Result<Vec<LogLine>, StoreError> {
    let mut sql =
        "SELECT seq, time, event, account, node, info_hash, name, text FROM log WHERE 1".to_owned();
    let mut values: Vec<Box<dyn ToSql>> = Vec::new();
    if let Some(hash) = query.info_hash {
        sql.push_str(" AND info_hash = ?");
        values.push(Box::new(hash.0.to_vec()));
    }
    if let Some(reader) = query.reader {
        sql.push_str(" AND (reader IS NULL OR reader = ?)");
        values.push(Box::new(reader.0));
    }
    if let Some(file) = &query.file {
        sql.push_str(" AND instr(lower(name), lower(?)) > 0");
        values.push(Box::new(file.clone()));
    }
    if let Some(account) = &query.account {
        sql.push_str(" AND account = ?");
        values.push(Box::new(account.clone()));
    }
    if query.publishes {
        sql.push_str(" AND event IN ('published', 'unpublished')");
    }
    if let Some(before) = query.before {
        sql.push_str(" AND seq < ?");
        values.push(Box::new(before));
    }
    sql.push_str(" ORDER BY seq DESC LIMIT ?");
    values.push(Box::new(query.limit));
    let mut statement = db.prepare_cached(&sql)?;
    let rows = statement.query_map(params_from_iter(values), line_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Deletes up to [`SLICE`] lines for each reason; true when there may be more.
pub(super) fn prune(db: &Connection, before: i64, max_lines: u64) -> Result<bool, StoreError> {
    let old = db
        .prepare_cached(
            "DELETE FROM log WHERE seq IN (SELECT seq FROM log WHERE time < ?1 LIMIT ?2)",
        )?
        .execute((before, SLICE as i64))?;
    let max_lines = i64::try_from(max_lines).unwrap_or(i64::MAX);
    let many = db
        .prepare_cached(
            "DELETE FROM log WHERE seq <= min((SELECT max(seq) FROM log) - ?1, (SELECT min(seq) FROM log) + ?2 - 1)",
        )?
        .execute((max_lines, SLICE as i64))?;
    Ok(old == SLICE || many == SLICE)
}

pub(super) fn merge_held(
    db: &Connection,
    held: &[(InfoHash, Vec<HeldRange>)],
) -> Result<(), StoreError> {
    for (hash, fresh) in held {
        let mut ranges = Ranges::default();
        for range in self::held(db, *hash)?
            .into_iter()
            .chain(fresh.iter().cloned())
        {
            ranges.set(range.first, range.last, (range.holder, range.at));
        }
        let merged: Vec<HeldRange> = ranges
            .iter()
            .map(|(first, last, (holder, at))| HeldRange {
                first,
                last,
                holder: holder.clone(),
                at: *at,
            })
            .collect();
        let text = serde_json::to_string(&merged)
            .map_err(|error| StoreError::Database(error.to_string()))?;
        // Only what is published is remembered: it may have been withdrawn since.
        db.prepare_cached(
            "INSERT INTO held (info_hash, ranges) SELECT info_hash, ?2 FROM metainfo WHERE info_hash = ?1
             ON CONFLICT DO UPDATE SET ranges = excluded.ranges",
        )?
        .execute((&hash.0[..], text))?;
    }
    Ok(())
}

pub(super) fn held(db: &Connection, hash: InfoHash) -> Result<Vec<HeldRange>, StoreError> {
    let mut select = db.prepare_cached("SELECT ranges FROM held WHERE info_hash = ?1")?;
    let text: Option<String> = select
        .query_row([&hash.0[..]], |row| row.get(0))
        .optional()?;
    // It is telemetry: what cannot be read is not known.
    Ok(text
        .and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_default())
}

fn line_row(row: &Row<'_>) -> rusqlite::Result<LogLine> {
    let hash: Option<[u8; 20]> = row.get(5)?;
    Ok(LogLine {
        seq: row.get(0)?,
        time: row.get(1)?,
        event: row.get(2)?,
        account: row.get(3)?,
        node: row.get(4)?,
        info_hash: hash.map(InfoHash),
        name: row.get(6)?,
        text: row.get(7)?,
    })
}
