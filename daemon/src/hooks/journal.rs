//! What hooks must still be told, what plugins want to hear, and how the last runs went, in the state database.
//!
//! An event is written down before any hook of it runs and crossed off for a hook when that has run. So a hook hears of each event at least
//! once, with the same event id each time, and never again after it was crossed off.

use p2p_wire::InfoHash;
use p2p_wire::control::{HookRun, PluginManifest};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::event::Body;
use crate::state::{State, StateError};

/// Runs that are kept.
const RUNS: u32 = 100;

/// The hooks' tables.
#[derive(Clone)]
pub(super) struct Journal(pub(super) State);

/// Something that a hook must still be told; what is about no item is in one order of its own.
pub(super) type Due = p2p_hooks::Due<Option<InfoHash>>;

/// A row of the journal.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) hook: String,
    pub(super) body: Body,
}

/// An event that is written down together with the change it tells of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owed {
    /// About which item.
    pub item: InfoHash,
    /// The event.
    pub topic: &'static str,
    /// The item's name.
    pub name: String,
    /// The sentence for people.
    pub text: String,
}

/// Writes down what is owed, in the transaction that makes it true.
pub fn owe(tx: &Connection, owed: &[Owed]) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO hook_owed VALUES (?, ?, ?, ?)";
    for Owed {
        item,
        topic,
        name,
        text,
    } in owed
    {
        let row = params![item.0, topic, name, text];
        tx.prepare_cached(sql)?.execute(row)?;
    }
    Ok(())
}

impl Journal {
    pub(super) fn new(state: State) -> Self {
        Self(state)
    }

    /// Writes down that these hooks are to be told; it is on disk when this returns. What is written down already is left as it is.
    /// What was owed of `paid` is owed no more.
    pub(super) async fn add(
        &self,
        told: Vec<(Vec<String>, Body)>,
        paid: Vec<(InfoHash, String)>,
    ) -> Result<Vec<Due>, StateError> {
        self.0
            .call(move |tx| {
                let mut due = Vec::new();
                for (item, topic) in &paid {
                    let sql = "DELETE FROM hook_owed WHERE info_hash = ? AND topic = ?";
                    tx.execute(sql, params![item.0, topic])?;
                }
                for (hooks, body) in &told {
                    for hook in hooks {
                        due.extend(insert(tx, hook, body)?);
                    }
                }
                Ok(due)
            })
            .await
    }

    /// What a daemon before this one owed: item, event, its name, the sentence.
    pub(super) async fn owed(&self) -> Result<Vec<(InfoHash, String, String, String)>, StateError> {
        self.0
            .call(|tx| {
                let mut query = tx.prepare("SELECT info_hash, topic, name, text FROM hook_owed")?;
                let rows = query.query_map([], |row| {
                    let item = InfoHash(row.get(0)?);
                    Ok((item, row.get(1)?, row.get(2)?, row.get(3)?))
                })?;
                rows.collect()
            })
            .await
    }

    /// All that is still due, in order.
    pub(super) async fn due(&self) -> Result<Vec<Due>, StateError> {
        self.0
            .call(|tx| {
                let mut query =
                    tx.prepare("SELECT id, info_hash FROM hook_deliveries ORDER BY id")?;
                let rows = query.query_map([], |row| {
                    let item: Option<Vec<u8>> = row.get(1)?;
                    let item = item.and_then(|bytes| <[u8; 20]>::try_from(bytes).ok());
                    Ok(Due {
                        id: row.get(0)?,
                        key: item.map(InfoHash),
                    })
                })?;
                rows.collect()
            })
            .await
    }

    /// What is to be told; `None` if that cannot be read.
    pub(super) async fn delivery(&self, id: i64) -> Result<Option<Delivery>, StateError> {
        let row: Option<(String, String)> = self
            .0
            .call(move |tx| {
                let sql = "SELECT hook, body FROM hook_deliveries WHERE id = ?";
                let row = tx.query_row(sql, [id], |row| Ok((row.get(0)?, row.get(1)?)));
                row.optional()
            })
            .await?;
        Ok(row.and_then(|(hook, body)| {
            let body = serde_json::from_str(&body).ok()?;
            Some(Delivery { hook, body })
        }))
    }

    /// The hook has it: it is never told again. How that went is kept in the same transaction.
    pub(super) async fn cross_off(&self, id: i64, run: Option<&HookRun>) -> Result<(), StateError> {
        let run = run.cloned();
        self.0
            .call(move |tx| {
                tx.execute("DELETE FROM hook_deliveries WHERE id = ?", [id])?;
                run.map_or(Ok(()), |run| insert_run(tx, &run))
            })
            .await
    }

    /// Keeps how a run went; the oldest beyond [`RUNS`] are forgotten.
    pub(super) async fn ran(&self, run: &HookRun) -> Result<(), StateError> {
        let run = run.clone();
        self.0.call(move |tx| insert_run(tx, &run)).await
    }

    /// The last runs, the newest first.
    pub(super) async fn runs(&self, limit: u32) -> Result<Vec<HookRun>, StateError> {
        let rows: Vec<String> = self
            .0
            .call(move |tx| {
                let mut query = tx.prepare("SELECT run FROM hook_runs ORDER BY id DESC LIMIT ?")?;
                query.query_map([limit], |row| row.get(0))?.collect()
            })
            .await?;
        let runs = rows.iter().filter_map(|run| serde_json::from_str(run).ok());
        Ok(runs.collect())
    }

    /// What each plugin wants to hear, as it said last.
    pub(super) async fn manifests(&self) -> Result<Vec<(String, PluginManifest)>, StateError> {
        let rows: Vec<(String, String)> = self
            .0
            .call(|tx| {
                let mut query = tx.prepare("SELECT name, manifest FROM hook_plugins")?;
                let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
                rows.collect()
            })
            .await?;
        let read = |(name, json): (String, String)| Some((name, serde_json::from_str(&json).ok()?));
        Ok(rows.into_iter().filter_map(read).collect())
    }

    /// Remembers what a plugin wants.
    pub(super) async fn keep_manifest(
        &self,
        name: &str,
        manifest: &PluginManifest,
    ) -> Result<(), StateError> {
        let json = serde_json::to_string(manifest).expect("texts are the only keys");
        let row = (name.to_owned(), json);
        let sql = "INSERT OR REPLACE INTO hook_plugins VALUES (?, ?)";
        self.0.call(move |tx| tx.execute(sql, row).map(drop)).await
    }

    /// The plugin is not there any more.
    pub(super) async fn forget_manifest(&self, name: &str) -> Result<(), StateError> {
        let name = name.to_owned();
        let sql = "DELETE FROM hook_plugins WHERE name = ?";
        self.0
            .call(move |tx| tx.execute(sql, [name]).map(drop))
            .await
    }
}

fn insert(tx: &Connection, hook: &str, body: &Body) -> rusqlite::Result<Option<Due>> {
    let sql = "INSERT OR IGNORE INTO hook_deliveries (hook, event, event_id, info_hash, body)
        VALUES (?, ?, ?, ?, ?)";
    let item = body.info_hash;
    let hash = item.map(|item| item.0);
    let row = params![hook, body.event, body.event_id, hash, body.to_json()];
    let added = tx.prepare_cached(sql)?.execute(row)? > 0;
    Ok(added.then(|| Due {
        id: tx.last_insert_rowid(),
        key: item,
    }))
}

fn insert_run(tx: &Connection, run: &HookRun) -> rusqlite::Result<()> {
    let json = serde_json::to_string(run).expect("texts are the only keys");
    tx.execute("INSERT INTO hook_runs (run) VALUES (?)", [json])?;
    let sql = "DELETE FROM hook_runs WHERE id <= (SELECT max(id) FROM hook_runs) - ?";
    tx.execute(sql, [RUNS]).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hooks::event::{About, Body};
    use p2p_wire::control::{Event, PathText};

    fn body(topic: &str) -> Body {
        let event = Event {
            seq: 1,
            time: "2026-01-01T00:00:00Z".into(),
            topic: topic.into(),
            info_hash: Some(InfoHash([7; 20])),
            name: Some("a".into()),
            text: "a is complete".into(),
            owner_uid: None,
        };
        let daemon = About {
            server: "p2pd".into(),
            mode: "user".into(),
            socket: PathText::Text("/s".into()),
        };
        Body::of_event(event, None, daemon)
    }

    #[tokio::test]
    async fn what_was_crossed_off_is_never_due_again_and_the_rest_keeps_its_id() {
        let dir = tempfile::tempdir().unwrap();
        let (state, lock) = State::open(dir.path()).unwrap();
        let journal = Journal::new(state);
        let told = body("item.finished");
        let id = told.event_id.clone();
        let hooks = vec!["10-a".to_owned(), "20-b".to_owned()];
        let due = journal
            .add(vec![(hooks.clone(), told.clone())], vec![])
            .await
            .unwrap();
        assert_eq!(due.len(), 2);
        journal.cross_off(due[0].id, None).await.unwrap();
        drop((journal, lock));

        let (state, _lock) = loop {
            // The thread of the closed database may still hold its lock.
            if let Ok(opened) = State::open(dir.path()) {
                break opened;
            }
        };
        let journal = Journal::new(state);
        assert_eq!(journal.due().await.unwrap(), due[1..]);
        let left = journal.delivery(due[1].id).await.unwrap().unwrap();
        assert_eq!((left.hook.as_str(), left.body.event_id), ("20-b", id));
        // The second telling of what waits is not a second row.
        let again = journal
            .add(vec![(vec!["20-b".into()], told)], vec![])
            .await
            .unwrap();
        assert!(again.is_empty());
    }

    #[tokio::test]
    async fn the_last_hundred_runs_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let (state, _lock) = State::open(dir.path()).unwrap();
        let journal = Journal::new(state);
        for took_ms in 0..130 {
            let run = HookRun {
                time: String::new(),
                event: "item.added".into(),
                event_id: String::new(),
                hook: "10-a".into(),
                info_hash: None,
                name: None,
                outcome: "ok".into(),
                exit: Some(0),
                took_ms,
                reason: None,
                tail: String::new(),
            };
            journal.ran(&run).await.unwrap();
        }
        let runs = journal.runs(1_000).await.unwrap();
        assert_eq!(runs.len(), 100);
        assert_eq!((runs[0].took_ms, runs[99].took_ms), (129, 30));
        assert_eq!(journal.runs(2).await.unwrap().len(), 2);
    }
}
