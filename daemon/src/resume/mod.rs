//! What is known to be on disk, kept in the state database.
//!
//! [`Store`] owns the table `items`. Invariant: a piece stands in a record only after every file it touches was synced; nothing else
//! than the torrent task's sync batch puts it there. Records are written by one task, the newest of each item, several in one
//! transaction; who must know that a record is on disk waits with [`Store::flush`].

mod codec;
mod have;
mod record;
mod site;
pub mod written;

use std::collections::HashMap;
use std::mem;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use p2p_wire::InfoHash;
use p2p_wire::metainfo::Metainfo;
use rusqlite::types::Value;
use tokio::sync::{Notify, watch};

pub use self::codec::Damaged;
pub use self::have::Have;
#[cfg(test)]
pub(crate) use self::record::tests::sample;
pub use self::record::{Check, Record};
pub use self::site::Site;
use crate::engine::history::{self, Session};
use crate::hooks::{self, Owed};
use crate::state::{State, StateError};

/// A handle on the records; cheap to clone.
#[derive(Clone)]
pub struct Store {
    state: State,
    shared: Arc<Shared>,
}

struct Shared {
    pending: Mutex<Pending>,
    wake: Notify,
    /// Something is to be written that can wait.
    later: Notify,
    /// The number of the last batch that is on disk.
    done: watch::Sender<u64>,
    /// The number of the last batch that the database refused, and why.
    refused: watch::Sender<(u64, Option<Arc<StateError>>)>,
}

/// What the next transaction writes. Bounded by the number of items: the newest record of each.
#[derive(Default)]
struct Pending {
    batch: u64,
    records: HashMap<InfoHash, Vec<u8>>,
    sessions: Vec<Session>,
    owed: Vec<Owed>,
}

/// Sessions that are kept while the database does not answer; later ones are dropped.
const MAX_SESSIONS: usize = 10_000;

/// How long what can wait waits for something that cannot, to be written with it.
const LATER: Duration = Duration::from_secs(60);

/// Between two attempts to write what the database refused, a full disk mostly.
const RETRY: Duration = Duration::from_secs(1);

/// One row of the table.
pub struct Loaded {
    /// Which item.
    pub info_hash: InfoHash,
    /// Its record.
    pub record: Box<Record>,
}

impl Store {
    /// A store over the state database; starts the task that writes.
    pub fn new(state: State) -> Self {
        let shared = Arc::new(Shared {
            pending: Mutex::default(),
            wake: Notify::new(),
            later: Notify::new(),
            done: watch::Sender::new(0),
            refused: watch::Sender::new((0, None)),
        });
        let store = Self { state, shared };
        tokio::spawn(write_task(store.state.clone(), store.shared.clone()));
        store
    }

    /// The state folder.
    pub fn dir(&self) -> &Path {
        self.state.dir()
    }

    /// All records, in one pass. A damaged one is moved to the table `items_damaged` with a warning.
    pub async fn load(&self) -> Result<Vec<Loaded>, StateError> {
        let (loaded, damaged) = self.state.call(read_all).await?;
        if !damaged.is_empty() {
            self.state.call(move |tx| set_aside(tx, &damaged)).await?;
        }
        Ok(loaded)
    }

    /// Adds an item; it is on disk when this returns.
    pub async fn insert(
        &self,
        item: InfoHash,
        record: &Record,
        metainfo: Option<Vec<u8>>,
    ) -> Result<(), StateError> {
        let record = record.to_bytes();
        let job = move |tx: &rusqlite::Connection| {
            let sql = "INSERT OR REPLACE INTO items (info_hash, record, metainfo) VALUES (?, ?, ?)";
            tx.execute(sql, (&item.0[..], record, metainfo)).map(drop)
        };
        self.state.call(job).await
    }

    /// The metainfo became known.
    pub async fn set_metainfo(&self, item: InfoHash, metainfo: Vec<u8>) -> Result<(), StateError> {
        let sql = "UPDATE items SET metainfo = ? WHERE info_hash = ?";
        let job =
            move |tx: &rusqlite::Connection| tx.execute(sql, (metainfo, &item.0[..])).map(drop);
        self.state.call(job).await
    }

    /// The metainfo, if it is known and can be read, with the announce URLs that the item has now.
    pub async fn metainfo(&self, item: InfoHash) -> Result<Option<Metainfo>, StateError> {
        // The record may be on its way: it can leave `pending` and reach the database after it is read here.
        let before = self.pending().records.get(&item).cloned();
        let row = self.state.call(move |tx| {
            let mut query =
                tx.prepare_cached("SELECT metainfo, record FROM items WHERE info_hash = ?")?;
            let mut rows = query.query([&item.0[..]])?;
            match rows.next()? {
                Some(row) => Ok((row.get::<_, Option<Vec<u8>>>(0)?, Some(row.get(1)?))),
                None => Ok((None, None)),
            }
        });
        let (Some(bytes), written) = row.await? else {
            return Ok(None);
        };
        let pending = self.pending().records.get(&item).cloned();
        let record: Option<Vec<u8>> = pending.or(before).or(written);
        let record = record.and_then(|bytes| Record::from_bytes(&bytes).ok());
        match Metainfo::from_bytes(&bytes) {
            Ok(mut metainfo) if metainfo.info.info_hash() == item => {
                if let Some(record) = record {
                    metainfo.announce = record.trackers;
                }
                Ok(Some(metainfo))
            }
            Ok(_) => {
                tracing::warn!("the metainfo kept of item {item} is another's");
                Ok(None)
            }
            Err(error) => {
                tracing::warn!("the metainfo kept of item {item} is damaged: {error}");
                Ok(None)
            }
        }
    }

    /// Writes the record soon; a later one of the same item takes its place.
    pub fn put(&self, item: InfoHash, record: &Record) {
        self.pending().records.insert(item, record.to_bytes());
        self.shared.wake.notify_one();
    }

    /// The same, together with what hooks must hear of it.
    pub fn put_owing(&self, item: InfoHash, record: &Record, owed: Owed) {
        let mut pending = self.pending();
        pending.records.insert(item, record.to_bytes());
        pending.owed.push(owed);
        drop(pending);
        self.shared.wake.notify_one();
    }

    /// Writes an exchange with a peer into the history soon.
    pub fn session(&self, session: Session) {
        self.add_session(session);
        self.shared.wake.notify_one();
    }

    /// The same, with whatever is written next, or in a minute.
    pub fn session_later(&self, session: Session) {
        self.add_session(session);
        self.shared.later.notify_one();
    }

    fn add_session(&self, session: Session) {
        let mut pending = self.pending();
        if pending.sessions.len() < MAX_SESSIONS {
            pending.sessions.push(session);
        }
    }

    /// Forgets an item; it is gone from the disk when this returns.
    pub async fn remove(&self, item: InfoHash) -> Result<(), StateError> {
        self.pending().records.remove(&item);
        // What is being written at this moment updates and never inserts, so it cannot bring the item back.
        let sql = "DELETE FROM items WHERE info_hash = ?";
        self.state
            .call(move |tx| tx.execute(sql, [&item.0[..]]).map(drop))
            .await
    }

    /// Returns when all that was put so far is on disk: not before there is space, should the database's own disk be full.
    pub async fn flush(&self) {
        let batch = self.next_batch();
        let mut done = self.shared.done.subscribe();
        // The sender lives as long as `self`.
        let _ = done.wait_for(|done| *done >= batch).await;
    }

    /// The same, but `Err` when it could not be written now: it will be, when that can be done.
    pub async fn try_flush(&self) -> Result<(), Arc<StateError>> {
        let batch = self.next_batch();
        let mut refused = self.shared.refused.subscribe();
        let mut done = self.shared.done.subscribe();
        tokio::select! {
            biased;
            _ = done.wait_for(|done| *done >= batch) => Ok(()),
            Ok(refused) = refused.wait_for(|(number, _)| *number >= batch) => {
                refused.1.clone().map_or(Ok(()), Err)
            }
        }
    }

    /// The number of the batch that holds all that was put so far.
    fn next_batch(&self) -> u64 {
        let batch = self.pending().batch + 1;
        self.shared.wake.notify_one();
        batch
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.shared.pending()
    }
}

impl Shared {
    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn write_task(state: State, shared: Arc<Shared>) {
    loop {
        tokio::select! {
            () = shared.wake.notified() => {}
            () = shared.later.notified() => {
                let _ = tokio::time::timeout(LATER, shared.wake.notified()).await;
            }
        }
        let (number, records, sessions, owed) = {
            let mut pending = shared.pending();
            pending.batch += 1;
            (
                pending.batch,
                mem::take(&mut pending.records),
                mem::take(&mut pending.sessions),
                mem::take(&mut pending.owed),
            )
        };
        if !(records.is_empty() && sessions.is_empty()) {
            let batch = Arc::new((records, sessions, owed));
            let rows = batch.clone();
            let written = state.call(move |tx| {
                let mut update =
                    tx.prepare_cached("UPDATE items SET record = ? WHERE info_hash = ?")?;
                for (item, record) in &rows.0 {
                    update.execute((record, &item.0[..]))?;
                }
                history::insert(tx, &rows.1)?;
                hooks::owe(tx, &rows.2)
            });
            match written.await {
                Ok(()) => {}
                Err(StateError::Closed) => return,
                Err(error) => {
                    tracing::error!("items cannot be recorded, trying again: {error}");
                    let refused = (number, Some(Arc::new(error)));
                    shared.refused.send_replace(refused);
                    tokio::time::sleep(RETRY).await;
                    let mut pending = shared.pending();
                    for (item, record) in &batch.0 {
                        let newest = pending.records.entry(*item);
                        newest.or_insert_with(|| record.clone());
                    }
                    pending.sessions.extend_from_slice(&batch.1);
                    pending.owed.extend_from_slice(&batch.2);
                    shared.wake.notify_one();
                    continue;
                }
            }
        }
        shared.done.send_replace(number);
    }
}

/// The records, read row by row so that the table is never in memory twice, and the keys of those that are damaged.
fn read_all(tx: &rusqlite::Connection) -> rusqlite::Result<(Vec<Loaded>, Vec<Value>)> {
    let mut query = tx.prepare("SELECT info_hash, record FROM items")?;
    let mut rows = query.query([])?;
    let (mut loaded, mut damaged) = (Vec::new(), Vec::new());
    while let Some(row) = rows.next()? {
        let (key, bytes) = (row.get::<_, Value>(0)?, row.get_ref(1)?);
        let info_hash = match &key {
            Value::Blob(key) => <[u8; 20]>::try_from(&key[..]).map(InfoHash).ok(),
            _ => None,
        };
        let bytes = bytes.as_blob().map_err(|_| Damaged("it is no blob"));
        match (info_hash, bytes.and_then(Record::from_bytes)) {
            (Some(info_hash), Ok(record)) => loaded.push(Loaded {
                info_hash,
                record: Box::new(record),
            }),
            (_, record) => {
                let why = record.err().unwrap_or(Damaged("its key is no info-hash"));
                let shown = match &key {
                    Value::Blob(key) => data_encoding::HEXLOWER.encode(key),
                    other => format!("{other:?}"),
                };
                tracing::warn!("the record of item {shown} is damaged ({why}) and set aside");
                damaged.push(key);
            }
        }
    }
    Ok((loaded, damaged))
}

fn set_aside(tx: &rusqlite::Connection, keys: &[Value]) -> rusqlite::Result<()> {
    tx.execute_batch("CREATE TABLE IF NOT EXISTS items_damaged AS SELECT * FROM items WHERE 0")?;
    for key in keys {
        tx.execute(
            "INSERT INTO items_damaged SELECT * FROM items WHERE info_hash = ?",
            [key],
        )?;
        tx.execute("DELETE FROM items WHERE info_hash = ?", [key])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_damaged_record_is_set_aside_and_the_others_are_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let (state, _lock) = State::open(dir.path()).unwrap();
        let store = Store::new(state.clone());
        for n in 0..4 {
            let item = InfoHash([n; 20]);
            store.insert(item, &sample(), None).await.unwrap();
        }
        let damage = |tx: &rusqlite::Connection| {
            let sql = "UPDATE items SET record = x'00' WHERE info_hash = ?";
            tx.execute(sql, [&[1u8; 20][..]])?;
            let sql = "UPDATE items SET record = 17 WHERE info_hash = ?";
            tx.execute(sql, [&[3u8; 20][..]])?;
            let sql = "INSERT INTO items (info_hash, record) VALUES ('text', x'00')";
            tx.execute(sql, [])
        };
        state.call(damage).await.unwrap();
        let kept: Vec<_> = store.load().await.unwrap();
        assert_eq!(kept.len(), 2);
        assert!(kept.iter().all(|row| row.info_hash.0[0] % 2 == 0));
        let aside = state.call(|tx| {
            tx.query_row("SELECT count(*) FROM items_damaged", [], |row| {
                row.get::<_, u32>(0)
            })
        });
        assert_eq!(aside.await.unwrap(), 3);
    }

    #[tokio::test]
    async fn the_newest_record_is_on_disk_after_a_flush() {
        let dir = tempfile::tempdir().unwrap();
        let (state, _lock) = State::open(dir.path()).unwrap();
        let store = Store::new(state.clone());
        let item = InfoHash([9; 20]);
        let mut record = sample();
        store.insert(item, &record, None).await.unwrap();
        for uploaded in 0..100 {
            record.uploaded = uploaded;
            store.put(item, &record);
        }
        store.flush().await;
        let loaded = store.load().await.unwrap();
        assert_eq!(loaded[0].record.uploaded, 99);
        store.put(item, &record);
        store.remove(item).await.unwrap();
        store.flush().await;
        assert!(store.load().await.unwrap().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn what_can_wait_is_written_within_a_minute() {
        let dir = tempfile::tempdir().unwrap();
        let (state, _lock) = State::open(dir.path()).unwrap();
        let store = Store::new(state.clone());
        store.session_later(Session {
            info_hash: InfoHash([9; 20]),
            owner: 0,
            name: "x".into(),
            peer: "10.0.0.1:1".into(),
            client: "p2p".into(),
            downloaded: 1,
            uploaded: 1,
            started: 1,
            ended: 2,
        });
        let mut done = store.shared.done.subscribe();
        let begin = tokio::time::Instant::now();
        done.wait_for(|done| *done == 1).await.unwrap();
        assert!(begin.elapsed() <= LATER, "{:?}", begin.elapsed());
        let rows = history::history(&state, Default::default(), None).await;
        assert_eq!(rows.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_metainfo_comes_with_the_announce_urls_that_the_item_has_now() {
        let dir = tempfile::tempdir().unwrap();
        let (state, _lock) = State::open(dir.path()).unwrap();
        let store = Store::new(state);
        let builder = p2p_wire::metainfo::Builder {
            name: "x".into(),
            content: p2p_wire::metainfo::Content::Single(1),
            piece_len: 16_384,
            private: true,
            announce: vec![vec!["http://old/announce".into()]],
            comment: None,
            created: None,
        };
        let metainfo = builder.build(&[[0; 20]]).unwrap();
        let item = metainfo.info.info_hash();
        let mut record = sample();
        let bytes = metainfo.to_bytes();
        store.insert(item, &record, Some(bytes)).await.unwrap();
        let kept = store.metainfo(item).await.unwrap().unwrap();
        assert_eq!(kept.announce, record.trackers);
        record.trackers = vec![vec!["http://new/announce".into()]];
        store.put(item, &record);
        let kept = store.metainfo(item).await.unwrap().unwrap();
        assert_eq!(kept.announce, record.trackers);
        store.flush().await;
        let kept = store.metainfo(item).await.unwrap().unwrap();
        assert_eq!(kept.announce, record.trackers);
    }
}
