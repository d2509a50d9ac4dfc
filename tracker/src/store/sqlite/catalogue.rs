//! Changing entries, their versions and the content behind them.

use p2p_wire::InfoHash;
use p2p_wire::api::{DEFAULT_SHARE, ProblemType, Visibility};
use rusqlite::{Connection, OptionalExtension};

use super::Changes;
use super::listing::{SELECT, entries_of, file_row};
use crate::ids::{AccountId, NodeId};
use crate::refusal::Refusal;
use crate::store::{Change, FileRow, ListingRow, NewFile, StoreError};

/// What is published of every content.
pub(super) fn load(db: &Connection, changes: &mut Changes) -> Result<(), StoreError> {
    let mut select = db.prepare(&format!("{SELECT} ORDER BY f.info_hash, f.id DESC"))?;
    let mut same: Vec<FileRow> = Vec::new();
    for row in select.query_map([], file_row)? {
        let row = row?;
        if same
            .first()
            .is_some_and(|first| first.info_hash != row.info_hash)
        {
            push_listing(changes, &same);
            same.clear();
        }
        same.push(row);
    }
    push_listing(changes, &same);
    Ok(())
}

fn push_listing(changes: &mut Changes, same: &[FileRow]) {
    if let Some(first) = same.first() {
        changes.push(Change::Listing(first.info_hash, Some(listing_of(same))));
    }
}

pub(super) fn publish(
    db: &Connection,
    changes: &mut Changes,
    new: &NewFile,
) -> Result<(FileRow, bool), StoreError> {
    enter_share(db, new)?;
    db.prepare_cached(
        "INSERT INTO entries (account, share, entry) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
    )?
    .execute((new.account.0, &new.share, &new.entry))?;
    let entry: i64 = db
        .prepare_cached("SELECT id FROM entries WHERE account = ?1 AND share = ?2 AND entry = ?3")?
        .query_row((new.account.0, &new.share, &new.entry), |row| row.get(0))?;
    let (file, created) = match same_content(db, new, entry)? {
        Some(file) => {
            // Who sees it, and its tags, are as it was said last.
            say(db, file, &new.tags, new.visibility)?;
            (file, false)
        }
        None => (insert(db, new, entry)?, true),
    };
    db.prepare_cached(
        "INSERT INTO file_nodes (file, node) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
    )?
    .execute((file, new.node.0))?;
    changed(db, changes, new.info_hash)?;
    let row = db
        .prepare_cached(&format!("{SELECT} WHERE f.id = ?1"))?
        .query_row([file], file_row)?;
    Ok((row, created))
}

/// Notes that the machine has the share, unless others have it and it did not ask to join them.
fn enter_share(db: &Connection, new: &NewFile) -> Result<(), StoreError> {
    if new.share == DEFAULT_SHARE {
        return Ok(()); // what was published alone; every machine has it
    }
    let mut select = db.prepare_cached(
        "SELECT n.id, n.name FROM share_nodes s JOIN nodes n ON n.id = s.node WHERE s.account = ?1 AND s.share = ?2",
    )?;
    let rows = select.query_map((new.account.0, &new.share), |row| {
        Ok((row.get(0)?, row.get(1)?))
    })?;
    let holders: Vec<(u32, String)> = rows.collect::<Result<_, _>>()?;
    if holders.iter().any(|(id, _)| *id == new.node.0) {
        return Ok(());
    }
    if let Some((_, name)) = holders.first()
        && !new.join
    {
        return Err(Refusal::new(
            ProblemType::ShareTaken,
            format!(
                "your machine `{name}` has a share named `{}` already",
                new.share
            ),
            "Share it under another name (--name), or join the two (--join).",
        )
        .into());
    }
    db.execute(
        "INSERT INTO share_nodes VALUES (?1, ?2, ?3)",
        (new.account.0, &new.share, new.node.0),
    )?;
    Ok(())
}

/// The version that has this content already, if this is no change.
///
/// An older version counts too: of two machines that joined a share one may still have it, and says so at each start. It is a change back
/// to the older content only when this machine published the newest version.
fn same_content(db: &Connection, new: &NewFile, entry: i64) -> Result<Option<i64>, StoreError> {
    let found: Option<(i64, bool)> = db
        .prepare_cached(
            "SELECT id, newest FROM files WHERE entry = ?1 AND info_hash = ?2 ORDER BY version DESC LIMIT 1",
        )?
        .query_row((entry, &new.info_hash.0[..]), |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((file, newest)) = found else {
        return Ok(None);
    };
    let published_newest = db
        .prepare_cached(
            "SELECT 1 FROM file_nodes n JOIN files f ON f.id = n.file WHERE f.entry = ?1 AND f.newest AND n.node = ?2",
        )?
        .exists((entry, new.node.0))?;
    Ok((newest || !published_newest).then_some(file))
}

/// Bytes that a version counts for beside its `info` dictionary: rows and indexes.
const OVERHEAD: i64 = 4_096;

fn insert(db: &Connection, new: &NewFile, entry: i64) -> Result<i64, StoreError> {
    let stored: i64 = db
        .prepare_cached("UPDATE accounts SET stored = stored + ?2 WHERE id = ?1 RETURNING stored")?
        .query_row((new.account.0, OVERHEAD + new.info.len() as i64), |row| {
            row.get(0)
        })?;
    if stored.unsigned_abs() > new.max_stored {
        return Err(Refusal::new(
            ProblemType::Forbidden,
            "your account has published too much",
            "Withdraw what is not needed; the tracker's administrator can raise limits.stored_per_account.",
        ).into());
    }
    db.prepare_cached(
        "INSERT INTO metainfo VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
    )?
    .execute((
        &new.info_hash.0[..],
        &new.info[..],
        i64::try_from(new.size).unwrap_or(i64::MAX),
        new.pieces,
        new.piece_len,
        new.files,
    ))?;
    db.execute("UPDATE files SET newest = 0 WHERE entry = ?1", [entry])?;
    let version: u32 = db
        .prepare_cached("UPDATE entries SET last_version = last_version + 1 WHERE id = ?1 RETURNING last_version")?
        .query_row([entry], |row| row.get(0))?;
    db.prepare_cached(
        "INSERT INTO files (entry, version, newest, info_hash, visibility, tags, published) VALUES (?1, ?2, 1, ?3, ?4, ?5, ?6)",
    )?
    .execute((
        entry,
        version,
        &new.info_hash.0[..],
        visibility_number(new.visibility),
        tags_text(&new.tags),
        new.now,
    ))?;
    let file = db.last_insert_rowid();
    let name = format!("{}/{}", new.share, new.entry);
    db.prepare_cached("INSERT INTO files_text (rowid, name, paths, tags) VALUES (?1, ?2, ?3, ?4)")?
        .execute((file, name, &new.paths, new.tags.join("\n")))?;
    Ok(file)
}

/// Removes all the account's entries of a content, whichever of its machines publish them.
pub(super) fn unpublish(
    db: &Connection,
    changes: &mut Changes,
    account: AccountId,
    info_hash: InfoHash,
) -> Result<Vec<FileRow>, StoreError> {
    let gone = own_entries(db, account, info_hash)?;
    for file in &gone {
        delete(db, file)?;
    }
    removed(db, changes, info_hash, &gone)?;
    Ok(gone)
}

/// Takes a machine's part of the account's entries of a content away. An entry goes with its last machine; those are answered.
///
/// Never more than that part: a machine asks by itself, and asks again when the answer was lost.
pub(super) fn withdraw(
    db: &Connection,
    changes: &mut Changes,
    account: AccountId,
    node: NodeId,
    info_hash: InfoHash,
) -> Result<Vec<FileRow>, StoreError> {
    let (mut parts, mut gone) = (Vec::new(), Vec::new());
    for file in own_entries(db, account, info_hash)? {
        let mine = db
            .prepare_cached("DELETE FROM file_nodes WHERE file = ?1 AND node = ?2")?
            .execute((file.id, node.0))?;
        if mine == 0 {
            continue;
        }
        let others = db
            .prepare_cached("SELECT 1 FROM file_nodes WHERE file = ?1")?
            .exists([file.id])?;
        if !others {
            delete(db, &file)?;
            gone.push(file.clone());
        }
        parts.push(file);
    }
    if parts.is_empty() {
        return Err(Refusal::not_found(
            format!("this machine publishes nothing under {info_hash}"),
            "There is nothing to withdraw. `p2pctl unpublish` removes an entry, whichever machine published it.",
        ).into());
    }
    removed(db, changes, info_hash, &parts)?;
    Ok(gone)
}

/// After parts of entries were taken away: frees the shares of machines that have nothing in them any more, and drops what nobody publishes.
fn removed(
    db: &Connection,
    changes: &mut Changes,
    info_hash: InfoHash,
    parts: &[FileRow],
) -> Result<(), StoreError> {
    for file in parts {
        db.prepare_cached(
            "DELETE FROM share_nodes WHERE account = ?1 AND share = ?2 AND NOT EXISTS (
                 SELECT 1 FROM file_nodes n JOIN files f ON f.id = n.file JOIN entries e ON e.id = f.entry
                 WHERE n.node = share_nodes.node AND e.account = ?1 AND e.share = ?2)",
        )?
        .execute((file.account.0, &file.share))?;
    }
    drop_content(db, info_hash)?;
    changed(db, changes, info_hash)
}

pub(super) fn remove_account(
    db: &Connection,
    changes: &mut Changes,
    account: AccountId,
) -> Result<(), StoreError> {
    let mut select = db.prepare(&format!("{SELECT} WHERE e.account = ?1"))?;
    let files = select
        .query_map([account.0], file_row)?
        .collect::<Result<Vec<_>, _>>()?;
    for file in files {
        delete(db, &file)?;
        drop_content(db, file.info_hash)?;
        changed(db, changes, file.info_hash)?;
    }
    Ok(())
}

pub(super) fn patch(
    db: &Connection,
    changes: &mut Changes,
    account: AccountId,
    info_hash: InfoHash,
    tags: Option<Vec<String>>,
    visibility: Option<Visibility>,
) -> Result<Vec<FileRow>, StoreError> {
    for file in own_entries(db, account, info_hash)? {
        let tags = tags.as_ref().unwrap_or(&file.tags);
        let visibility = visibility.unwrap_or(file.visibility);
        say(db, file.id, tags, visibility)?;
    }
    changed(db, changes, info_hash)?;
    own_entries(db, account, info_hash)
}

/// Puts other tags and visibility in place of those before.
fn say(
    db: &Connection,
    file: i64,
    tags: &[String],
    visibility: Visibility,
) -> Result<(), StoreError> {
    db.prepare_cached("UPDATE files SET tags = ?2, visibility = ?3 WHERE id = ?1")?
        .execute((file, tags_text(tags), visibility_number(visibility)))?;
    db.prepare_cached("UPDATE files_text SET tags = ?2 WHERE rowid = ?1")?
        .execute((file, tags.join("\n")))?;
    Ok(())
}

fn own_entries(
    db: &Connection,
    account: AccountId,
    info_hash: InfoHash,
) -> Result<Vec<FileRow>, StoreError> {
    Ok(entries_of(db, info_hash)?
        .into_iter()
        .filter(|file| file.account == account)
        .collect())
}

/// Removes a version; the one before it becomes the newest.
fn delete(db: &Connection, file: &FileRow) -> Result<(), StoreError> {
    db.prepare_cached(
        "UPDATE accounts SET stored = stored - ?2 - (SELECT length(info) FROM metainfo WHERE info_hash = ?3) WHERE id = ?1",
    )?
    .execute((file.account.0, OVERHEAD, &file.info_hash.0[..]))?;
    db.execute("DELETE FROM files_text WHERE rowid = ?1", [file.id])?;
    let entry: i64 = db.query_row(
        "DELETE FROM files WHERE id = ?1 RETURNING entry",
        [file.id],
        |row| row.get(0),
    )?;
    db.execute(
        "UPDATE files SET newest = 1 WHERE entry = ?1 AND version = (SELECT max(version) FROM files WHERE entry = ?1)",
        [entry],
    )?;
    Ok(())
}

/// Removes the content when nobody publishes it any more.
fn drop_content(db: &Connection, info_hash: InfoHash) -> Result<(), StoreError> {
    let hash = &info_hash.0[..];
    if !db
        .prepare_cached("SELECT 1 FROM files WHERE info_hash = ?1")?
        .exists([hash])?
    {
        db.execute("DELETE FROM metainfo WHERE info_hash = ?1", [hash])?;
        db.execute("DELETE FROM held WHERE info_hash = ?1", [hash])?;
    }
    Ok(())
}

/// Reports what is published of a content now.
fn changed(db: &Connection, changes: &mut Changes, info_hash: InfoHash) -> Result<(), StoreError> {
    let files = entries_of(db, info_hash)?;
    let listing = (!files.is_empty()).then(|| listing_of(&files));
    changes.push(Change::Listing(info_hash, listing));
    Ok(())
}

/// `files` are all of one content, newest first, at least one.
fn listing_of(files: &[FileRow]) -> ListingRow {
    // The name goes into logs that others read: one that all may see, where there is one.
    let shown = |most| files.iter().find(|file| file.visibility == most);
    let open = shown(Visibility::Members).or_else(|| shown(Visibility::Unlisted));
    let own = files
        .first()
        .filter(|first| files.iter().all(|file| file.account == first.account));
    let hash = || files.first().map(|file| file.info_hash.to_string());
    ListingRow {
        pieces: files.first().map_or(0, |file| file.pieces),
        name: open
            .or(own)
            .map(FileRow::name)
            .or_else(hash)
            .unwrap_or_default(),
        reader: own.filter(|_| open.is_none()).map(|file| file.account),
        entries: files
            .iter()
            .map(|file| (file.account, file.visibility))
            .collect(),
    }
}

fn tags_text(tags: &[String]) -> String {
    serde_json::to_string(tags).expect("a list of strings is JSON")
}

fn visibility_number(visibility: Visibility) -> u8 {
    match visibility {
        Visibility::Members => 0,
        Visibility::Unlisted => 1,
        Visibility::Own => 2,
    }
}
