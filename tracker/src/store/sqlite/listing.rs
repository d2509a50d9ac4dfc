//! Reading the catalogue: lists, search, names.

use p2p_wire::InfoHash;
use p2p_wire::api::Visibility;
use rusqlite::types::ToSql;
use rusqlite::{Connection, OptionalExtension, Row, params_from_iter};

use crate::ids::AccountId;
use crate::store::{FileQuery, FileRow, Order, StoreError};

/// What [`file_row`] reads.
pub(super) const SELECT: &str = "SELECT f.id, f.info_hash, e.account, a.username, e.share, e.entry, f.version, f.newest, \
    m.size, m.pieces, m.piece_len, m.files, f.tags, f.visibility, f.published \
    FROM files f JOIN entries e ON e.id = f.entry JOIN accounts a ON a.id = e.account JOIN metainfo m USING (info_hash)";

pub(super) fn list(db: &Connection, query: &FileQuery) -> Result<Vec<FileRow>, StoreError> {
    let mut sql = format!("{SELECT} WHERE (f.visibility = 0 OR e.account = ?)");
    let mut values: Vec<Box<dyn ToSql>> = vec![Box::new(query.account.0)];
    if !query.versions {
        sql.push_str(" AND f.newest");
    }
    if let Some(owner) = &query.owner {
        sql.push_str(" AND a.username = ?");
        values.push(Box::new(owner.clone()));
    }
    if let Some(share) = &query.share {
        sql.push_str(" AND e.share = ?");
        values.push(Box::new(share.clone()));
    }
    // The trigram index knows words of three letters and more; shorter ones are looked for row by row, so in the names and among
    // the tags alone: the paths of one content may be many.
    let (long, short): (Vec<&String>, _) = query
        .words
        .iter()
        .partition(|word| word.chars().count() >= 3);
    if !long.is_empty() {
        let quoted: Vec<String> = long
            .iter()
            .map(|word| format!("\"{}\"", word.replace('"', "\"\"")))
            .collect();
        sql.push_str(" AND f.id IN (SELECT rowid FROM files_text WHERE files_text MATCH ?)");
        values.push(Box::new(quoted.join(" AND ")));
    }
    for word in short {
        sql.push_str(
            " AND (instr(lower(e.share || '/' || e.entry), lower(?)) > 0 \
             OR EXISTS (SELECT 1 FROM json_each(f.tags) WHERE lower(value) = lower(?)))",
        );
        values.extend([word, word].map(|word| Box::new(word.clone()) as Box<dyn ToSql>));
    }
    push_order(&mut sql, &mut values, &query.order);
    sql.push_str(" LIMIT ?");
    values.push(Box::new(query.limit));
    let mut statement = db.prepare_cached(&sql)?;
    let rows = statement.query_map(params_from_iter(values), file_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn push_order(sql: &mut String, values: &mut Vec<Box<dyn ToSql>>, order: &Order) {
    match order {
        Order::New(after) => {
            if let Some(id) = after {
                sql.push_str(" AND f.id < ?");
                values.push(Box::new(*id));
            }
            sql.push_str(" ORDER BY f.id DESC");
        }
        Order::Name(after) => {
            if let Some((owner, share, entry, id)) = after.clone() {
                sql.push_str(" AND (a.username, e.share, e.entry, f.id) > (?, ?, ?, ?)");
                values.extend([
                    Box::new(owner) as Box<dyn ToSql>,
                    Box::new(share),
                    Box::new(entry),
                    Box::new(id),
                ]);
            }
            sql.push_str(" ORDER BY a.username, e.share, e.entry, f.id");
        }
        Order::Size(after) => {
            if let Some((size, id)) = *after {
                sql.push_str(" AND (m.size, f.id) < (?, ?)");
                let size = i64::try_from(size).unwrap_or(i64::MAX);
                values.extend([Box::new(size) as Box<dyn ToSql>, Box::new(id)]);
            }
            sql.push_str(" ORDER BY m.size DESC, f.id DESC");
        }
    }
}

pub(super) fn entries_of(db: &Connection, info_hash: InfoHash) -> Result<Vec<FileRow>, StoreError> {
    let mut select = db.prepare_cached(&format!(
        "{SELECT} WHERE f.info_hash = ?1 ORDER BY f.id DESC"
    ))?;
    let rows = select.query_map([&info_hash.0[..]], file_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn named(
    db: &Connection,
    owner: &str,
    share: &str,
    entry: &str,
    version: Option<u32>,
) -> Result<Option<FileRow>, StoreError> {
    let mut select = db.prepare_cached(&format!(
        "{SELECT} WHERE a.username = ?1 AND e.share = ?2 AND e.entry = ?3 AND (f.version = ?4 OR (?4 IS NULL AND f.newest))"
    ))?;
    Ok(select
        .query_row((owner, share, entry, version), file_row)
        .optional()?)
}

pub(super) fn info(db: &Connection, info_hash: InfoHash) -> Result<Option<Vec<u8>>, StoreError> {
    let mut select = db.prepare_cached("SELECT info FROM metainfo WHERE info_hash = ?1")?;
    Ok(select
        .query_row([&info_hash.0[..]], |row| row.get(0))
        .optional()?)
}

pub(super) fn file_row(row: &Row<'_>) -> rusqlite::Result<FileRow> {
    let tags: String = row.get(12)?;
    Ok(FileRow {
        id: row.get(0)?,
        info_hash: InfoHash(row.get(1)?),
        account: AccountId(row.get(2)?),
        owner: row.get(3)?,
        share: row.get(4)?,
        entry: row.get(5)?,
        version: row.get(6)?,
        newest: row.get(7)?,
        size: row.get::<_, i64>(8)?.unsigned_abs(),
        pieces: row.get(9)?,
        piece_len: row.get(10)?,
        files: row.get(11)?,
        tags: serde_json::from_str(&tags).unwrap_or_default(),
        visibility: match row.get(13)? {
            0u8 => Visibility::Members,
            1 => Visibility::Unlisted,
            _ => Visibility::Own,
        },
        published: row.get(14)?,
    })
}
