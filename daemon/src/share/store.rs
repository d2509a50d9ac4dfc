//! The tables `shares` and `share_entries`.

use std::collections::HashSet;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use p2p_wire::InfoHash;
use p2p_wire::control::ShareAdd;
use rusqlite::{Connection, params};

use super::files::Seen;
use super::place::Identity;
use crate::state::{State, StateError};

/// A share as it is kept.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) id: i64,
    pub(crate) path: PathBuf,
    pub(crate) name: String,
    /// User id of whom it belongs to.
    pub(crate) owner: u32,
    /// It follows the configuration file.
    pub(crate) configured: bool,
    /// As they were asked for, the path as it was written.
    pub(crate) options: ShareAdd,
    /// It was a file when it was shared.
    pub(crate) is_file: bool,
    /// Globs of what gates want left out.
    pub(crate) left_out: Vec<String>,
    /// What was mounted there when it was last looked at.
    pub(crate) identity: Option<Identity>,
}

/// A share to be.
#[derive(Clone, Debug)]
pub struct NewShare {
    /// What to share, and how.
    pub add: ShareAdd,
    /// User id of whom it belongs to.
    pub owner: u32,
    /// It comes from the configuration file.
    pub configured: bool,
}

/// An entry that is an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) info_hash: InfoHash,
    pub(crate) stamp: [u8; 20],
    pub(crate) content: [u8; 20],
    pub(crate) size: u64,
    /// The tracker took it.
    pub(crate) published: bool,
}

impl Known {
    pub(crate) fn new(info_hash: InfoHash, seen: &Seen) -> Self {
        Self {
            info_hash,
            stamp: seen.stamp,
            content: seen.content,
            size: seen.size,
            published: false,
        }
    }
}

/// The tables.
#[derive(Clone)]
pub(crate) struct Store(State);

impl Store {
    pub(crate) fn new(state: State) -> Self {
        Self(state)
    }

    /// All shares, in the order in which they came. One whose options cannot be read is shared with the defaults.
    pub(crate) async fn shares(&self) -> Result<Vec<Row>, StateError> {
        let read = |row: &rusqlite::Row<'_>| {
            let path = path_from(row.get(1)?);
            let options: String = row.get(5)?;
            Ok(Row {
                id: row.get(0)?,
                name: row.get(2)?,
                owner: row.get(3)?,
                configured: row.get(4)?,
                options: serde_json::from_str(&options).unwrap_or_else(|_| plain(&path)),
                is_file: row.get(8)?,
                left_out: serde_json::from_str(&row.get::<_, String>(9)?).unwrap_or_default(),
                path,
                identity: match (row.get::<_, Option<i64>>(6)?, row.get::<_, Option<i64>>(7)?) {
                    (Some(file_system), Some(inode)) => Some(Identity {
                        file_system: file_system.cast_unsigned(),
                        inode: inode.cast_unsigned(),
                    }),
                    _ => None,
                },
            })
        };
        self.0
            .call(move |db| {
                let mut query = db.prepare(
                    "SELECT id, path, name, owner, configured, options, file_system, inode, is_file, left_out FROM shares ORDER BY id",
                )?;
                query.query_map([], read)?.collect()
            })
            .await
    }

    /// Keeps a new share and gives its row.
    pub(crate) async fn add_share(
        &self,
        path: &Path,
        is_file: bool,
        name: &str,
        new: &NewShare,
    ) -> Result<Row, StateError> {
        let json = serde_json::to_string(&new.add).expect("options have text keys");
        let (owner, configured) = (new.owner, new.configured);
        let row = (path.as_os_str().as_bytes().to_vec(), name.to_owned());
        let id = self
            .0
            .call(move |db| {
                db.execute(
                    "INSERT INTO shares (path, name, owner, configured, options, is_file) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                    params![row.0, row.1, owner, configured, json, is_file],
                )?;
                Ok(db.last_insert_rowid())
            })
            .await?;
        Ok(Row {
            id,
            path: path.to_owned(),
            name: name.to_owned(),
            owner,
            configured,
            options: new.add.clone(),
            is_file,
            left_out: Vec::new(),
            identity: None,
        })
    }

    /// Keeps what gates want left out of a share.
    pub(crate) async fn set_left_out(&self, row: &Row) -> Result<(), StateError> {
        let json = serde_json::to_string(&row.left_out).expect("a list of texts");
        let id = row.id;
        let sql = "UPDATE shares SET left_out = ?1 WHERE id = ?2";
        self.0
            .call(move |db| db.execute(sql, params![json, id]))
            .await
            .map(drop)
    }

    /// Keeps what is mounted at a share.
    pub(crate) async fn set_identity(&self, id: i64, now: Identity) -> Result<(), StateError> {
        let numbers = (now.file_system.cast_signed(), now.inode.cast_signed());
        self.0
            .call(move |db| {
                db.execute(
                    "UPDATE shares SET file_system = ?2, inode = ?3 WHERE id = ?1",
                    params![id, numbers.0, numbers.1],
                )
            })
            .await
            .map(drop)
    }

    /// Forgets a share; its entries must be gone already.
    pub(crate) async fn remove_share(&self, id: i64) -> Result<(), StateError> {
        self.0
            .call(move |db| db.execute("DELETE FROM shares WHERE id = ?1", [id]))
            .await
            .map(drop)
    }

    /// The entries of a share.
    pub(crate) async fn entries(&self, share: i64) -> Result<Vec<(PathBuf, Known)>, StateError> {
        self.0.call(move |db| read_entries(db, share)).await
    }

    /// Keeps an entry.
    pub(crate) async fn put(
        &self,
        share: i64,
        entry: &Path,
        known: Known,
    ) -> Result<(), StateError> {
        let entry = entry.as_os_str().as_bytes().to_vec();
        self.0
            .call(move |db| put_entry(db, share, &entry, known))
            .await
    }

    /// Whether an entry of any share is this item.
    pub(crate) async fn holds(&self, item: InfoHash) -> Result<bool, StateError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM share_entries WHERE info_hash = ?1)";
        self.0
            .call(move |db| db.query_row(sql, [item.0], |row| row.get(0)))
            .await
    }

    /// Forgets an entry, and gives the entries of any share with the same content.
    pub(crate) async fn remove(
        &self,
        share: i64,
        entry: &Path,
        item: InfoHash,
    ) -> Result<Vec<(i64, PathBuf)>, StateError> {
        let entry = entry.as_os_str().as_bytes().to_vec();
        self.0
            .call(move |db| {
                db.execute(
                    "DELETE FROM share_entries WHERE share = ?1 AND entry = ?2",
                    params![share, entry],
                )?;
                let mut query =
                    db.prepare("SELECT share, entry FROM share_entries WHERE info_hash = ?1")?;
                query
                    .query_map([item.0], |row| Ok((row.get(0)?, path_from(row.get(1)?))))?
                    .collect()
            })
            .await
    }

    /// Moves an entry to another name.
    pub(crate) async fn rename(
        &self,
        share: i64,
        from: &Path,
        to: &Path,
        known: Known,
    ) -> Result<(), StateError> {
        let from = from.as_os_str().as_bytes().to_vec();
        let to = to.as_os_str().as_bytes().to_vec();
        self.0
            .call(move |db| {
                db.execute(
                    "DELETE FROM share_entries WHERE share = ?1 AND entry = ?2",
                    params![share, from],
                )?;
                put_entry(db, share, &to, known)
            })
            .await
    }

    /// The tracker took these items with the logins of these users.
    pub(crate) async fn mark_published(
        &self,
        items: HashSet<(u32, InfoHash)>,
    ) -> Result<(), StateError> {
        self.0
            .call(move |db| {
                let mut query = db.prepare(
                    "UPDATE share_entries SET published = 1
                     WHERE info_hash = ?1 AND share IN (SELECT id FROM shares WHERE owner = ?2)",
                )?;
                items
                    .iter()
                    .try_for_each(|(owner, item)| query.execute(params![item.0, owner]).map(drop))
            })
            .await
    }
}

/// Options of a share that has none of its own.
fn plain(path: &Path) -> ShareAdd {
    let minimal = serde_json::json!({ "path": p2p_wire::control::PathText::from(path) });
    serde_json::from_value(minimal).expect("all fields but the path have defaults")
}

fn put_entry(db: &Connection, share: i64, entry: &[u8], known: Known) -> rusqlite::Result<()> {
    db.execute(
        "INSERT OR REPLACE INTO share_entries (share, entry, info_hash, published, stamp, size)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            share,
            entry,
            known.info_hash.0,
            known.published,
            [known.stamp, known.content].concat(),
            i64::try_from(known.size).unwrap_or(i64::MAX)
        ],
    )
    .map(drop)
}

fn read_entries(db: &Connection, share: i64) -> rusqlite::Result<Vec<(PathBuf, Known)>> {
    let mut query = db.prepare(
        "SELECT entry, info_hash, published, stamp, size FROM share_entries WHERE share = ?1",
    )?;
    let rows = query.query_map([share], |row| {
        let stamps: Vec<u8> = row.get(3)?;
        // Digests of another form match nothing: the entry is hashed anew.
        let half = |range: std::ops::Range<usize>| {
            let bytes = stamps.get(range).and_then(|bytes| bytes.try_into().ok());
            bytes.unwrap_or([0; 20])
        };
        let known = Known {
            info_hash: InfoHash(row.get(1)?),
            published: row.get(2)?,
            stamp: half(0..20),
            content: half(20..40),
            size: row.get::<_, i64>(4)?.try_into().unwrap_or(0),
        };
        Ok((path_from(row.get(0)?), known))
    })?;
    rows.collect()
}

fn path_from(bytes: Vec<u8>) -> PathBuf {
    OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_one_user_published_is_not_taken_for_published_by_another() {
        let dir = tempfile::tempdir().unwrap();
        let (state, _lock) = State::open(dir.path()).unwrap();
        let store = Store::new(state);
        let item = InfoHash([1; 20]);
        let known = Known {
            info_hash: item,
            stamp: [2; 20],
            content: [3; 20],
            size: 1,
            published: false,
        };
        let (ann, ben) = (1_000, 1_001);
        let mut shares = Vec::new();
        for owner in [ann, ben] {
            let path = PathBuf::from(format!("/{owner}"));
            let new = NewShare {
                add: plain(&path),
                owner,
                configured: false,
            };
            let row = store.add_share(&path, false, "Public", &new).await.unwrap();
            store.put(row.id, Path::new("a"), known).await.unwrap();
            shares.push(row.id);
        }
        let taken = HashSet::from([(ann, item)]);
        store.mark_published(taken).await.unwrap();
        let mut published = Vec::new();
        for share in shares {
            published.push(store.entries(share).await.unwrap()[0].1.published);
        }
        assert_eq!(published, [true, false]);
    }
}
