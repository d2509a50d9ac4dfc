//! What must still reach a tracker's catalogue: publishes and withdrawals, kept in the state database until the tracker took or refused them.
//!
//! Requests about one item keep their order; different items go side by side, a bounded number at once. Each is idempotent at the tracker,
//! so one that was sent but not crossed off is sent again after a restart. A tracker that cannot be reached is left alone for a growing,
//! jittered time; one that wants a login waits for the login.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use p2p_wire::InfoHash;
use p2p_wire::api::{DEFAULT_SHARE, Publish};
use rusqlite::{Connection, params};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::backoff::backoff;
use super::counts::{Counts, deleted, many};
use super::registry::Entry;
use crate::state::{State, StateError};

/// Requests to one tracker at once.
const AT_ONCE: usize = 16;
/// Bytes of requests in memory for one tracker, about: one may be of 14 MB.
const AT_ONCE_BYTES: usize = 16 * 1024 * 1024;
const FIRST_WAIT: Duration = Duration::from_secs(4);
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// The queue; its rows are in the table `publishes`.
pub(crate) struct Queue {
    state: State,
    /// Something was added, or a tracker is worth trying again.
    changed: Notify,
    /// By tracker and user.
    waits: Mutex<HashMap<(String, u32), Wait>>,
    counts: Counts,
}

#[derive(Clone, Copy)]
struct Wait {
    failures: u32,
    until: Instant,
}

/// A request that waits.
pub(super) struct Row {
    pub(super) id: i64,
    pub(super) item: InfoHash,
    pub(super) job: Job,
}

/// What is asked of the catalogue.
pub(super) enum Job {
    Publish(Box<Publish>),
    Withdraw,
    /// A row that cannot be read: crossed off.
    Damaged,
}

impl Queue {
    /// Counts what waits.
    pub(crate) async fn open(state: State) -> Result<Self, StateError> {
        Ok(Self {
            counts: Counts::open(state.clone()).await?,
            state,
            changed: Notify::new(),
            waits: Mutex::default(),
        })
    }

    /// Adds a publish for `tracker` (`""` for the first one) with the login of `user`; it takes the place of one of the same item under the same name.
    pub(crate) async fn publish(
        &self,
        tracker: &str,
        user: u32,
        item: InfoHash,
        request: &Publish,
    ) -> Result<(), StateError> {
        let entry = entry_key(request);
        let json = serde_json::to_string(request).expect("a publish has text keys");
        let tracker = tracker.to_owned();
        self.counts
            .change(move |db| {
                let replaced = db.execute(REPLACED, params![item.0, tracker, user, entry])?;
                db.execute(
                    "INSERT INTO publishes (tracker, owner, info_hash, entry, request)
                     VALUES (?1, ?2, ?3, ?4, ?5)",
                    params![tracker, user, item.0, entry, json],
                )?;
                Ok(vec![((tracker, user), 1 - many(replaced))])
            })
            .await?;
        self.changed.notify_one();
        Ok(())
    }

    /// Adds a withdrawal; whatever waited for the same item is pointless now.
    pub(crate) async fn withdraw(
        &self,
        tracker: &str,
        user: u32,
        item: InfoHash,
    ) -> Result<(), StateError> {
        let tracker = tracker.to_owned();
        self.counts
            .change(move |db| {
                let pointless = db.execute(
                    "DELETE FROM publishes WHERE info_hash = ?1 AND tracker = ?2 AND owner = ?3",
                    params![item.0, tracker, user],
                )?;
                db.execute(
                    "INSERT INTO publishes (tracker, owner, info_hash) VALUES (?1, ?2, ?3)",
                    params![tracker, user, item.0],
                )?;
                Ok(vec![((tracker, user), 1 - many(pointless))])
            })
            .await?;
        self.changed.notify_one();
        Ok(())
    }

    /// Drops what waits for a tracker that is forgotten.
    pub(crate) async fn forget(&self, tracker: &str) -> Result<(), StateError> {
        let tracker = tracker.to_owned();
        self.counts
            .change(move |db| {
                deleted(
                    db,
                    "DELETE FROM publishes WHERE tracker = ?1 RETURNING tracker, owner",
                    &[&tracker],
                )
            })
            .await
    }

    /// How many requests of `user` wait, by tracker; `""` for those that wait for the first tracker there will be.
    pub(crate) fn counts(&self, user: u32) -> HashMap<String, u32> {
        self.counts.of(user)
    }

    /// Items that something of `user` waits for.
    pub(crate) async fn items(&self, user: u32) -> Result<HashSet<InfoHash>, StateError> {
        self.state
            .call(move |db| {
                let mut query =
                    db.prepare("SELECT DISTINCT info_hash FROM publishes WHERE owner = ?1")?;
                query
                    .query_map([user], |row| Ok(InfoHash(row.get(0)?)))?
                    .collect()
            })
            .await
    }

    /// The tracker is worth trying now, for everybody: a call went well.
    pub(crate) fn retry_now(&self, tracker: &str) {
        let mut waits = self.waits();
        let before = waits.len();
        waits.retain(|(name, _), _| name != tracker);
        if waits.len() < before {
            self.changed.notify_one();
        }
    }

    /// A login came: what waited for it can go.
    pub(crate) fn wake(&self, tracker: &str) {
        self.retry_now(tracker);
        self.changed.notify_one();
    }

    fn waits(&self) -> std::sync::MutexGuard<'_, HashMap<(String, u32), Wait>> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When the tracker may be tried; at any time if it answered when it was asked last.
    pub(super) fn ready_at(&self, entry: &Entry) -> Option<Instant> {
        self.waits().get(&key(entry)).map(|wait| wait.until)
    }

    /// The tracker could not be asked; it wants `asked` of quiet.
    pub(super) fn failed(&self, entry: &Entry, asked: Option<Duration>) {
        let mut waits = self.waits();
        let failures = waits.get(&key(entry)).map_or(0, |wait| wait.failures) + 1;
        let wait = backoff(FIRST_WAIT, LONGEST_WAIT, failures)
            .max(asked.unwrap_or_default().min(LONGEST_WAIT));
        let until = Instant::now() + wait;
        waits.insert(key(entry), Wait { failures, until });
    }

    /// The tracker answered.
    pub(super) fn answered(&self, entry: &Entry) {
        self.waits().remove(&key(entry));
    }

    /// Until something was added, or a tracker is worth trying again.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// The oldest requests for a tracker with one user's login, at most one for each item.
    pub(super) async fn oldest(&self, entry: &Entry) -> Result<Vec<Row>, StateError> {
        let entry = entry.clone();
        self.state.call(move |db| read_oldest(db, &entry)).await
    }

    /// Forgets requests that are over.
    pub(super) async fn cross_off(&self, ids: Vec<i64>) -> Result<(), StateError> {
        self.counts
            .change(move |db| {
                let mut change = Vec::with_capacity(ids.len());
                for id in ids {
                    let sql = "DELETE FROM publishes WHERE id = ?1 RETURNING tracker, owner";
                    change.extend(deleted(db, sql, &[&id])?);
                }
                Ok(change)
            })
            .await
    }
}

/// A tracker, with the user whose login is used.
pub(super) fn key(entry: &Entry) -> (String, u32) {
    (entry.name.clone(), entry.user)
}

/// What waits for a tracker, and with `?2` what waits for the first one. Each half comes in order from an index, so that the oldest are found
/// without looking at the others.
const OLDEST: &str =
    "SELECT id, info_hash, request FROM publishes WHERE tracker = ?1 AND owner = ?3
     UNION ALL
     SELECT id, info_hash, request FROM publishes WHERE ?2 AND tracker = '' AND owner = ?3
     ORDER BY id";

/// What a publish takes the place of.
const REPLACED: &str = "DELETE FROM publishes
     WHERE info_hash = ?1 AND tracker = ?2 AND owner = ?3 AND entry = ?4";

fn read_oldest(db: &Connection, entry: &Entry) -> rusqlite::Result<Vec<Row>> {
    let mut query = db.prepare(OLDEST)?;
    let mut found = query.query(params![entry.name, entry.is_first, entry.user])?;
    let (mut rows, mut items, mut bytes) = (Vec::new(), HashSet::new(), 0);
    while rows.len() < AT_ONCE
        && bytes < AT_ONCE_BYTES
        && let Some(row) = found.next()?
    {
        let item = InfoHash(row.get(1)?);
        if !items.insert(item) {
            break;
        }
        let request: Option<String> = row.get(2)?;
        bytes += request.as_ref().map_or(0, String::len);
        let job = match request.as_deref().map(serde_json::from_str) {
            None => Job::Withdraw,
            Some(Ok(request)) => Job::Publish(Box::new(request)),
            Some(Err(_)) => Job::Damaged,
        };
        let id = row.get(0)?;
        rows.push(Row { id, item, job });
    }
    Ok(rows)
}

fn entry_key(request: &Publish) -> String {
    let share = request.share.as_deref().unwrap_or(DEFAULT_SHARE);
    format!("{share}/{}", request.name.as_deref().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Op {
        Publish(u32, u8, &'static str),
        Withdraw(u32, u8),
        CrossOff(i64),
        Forget(&'static str),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            4 => (0..2u32, 0..3u8, prop_oneof![Just("a"), Just("b")])
                .prop_map(|(user, item, name)| Op::Publish(user, item, name)),
            1 => (0..2u32, 0..3u8).prop_map(|(user, item)| Op::Withdraw(user, item)),
            2 => (1..30i64).prop_map(Op::CrossOff),
            1 => prop_oneof![Just("home"), Just("other")].prop_map(Op::Forget),
        ]
    }

    async fn act(queue: &Queue, op: Op) -> Result<(), StateError> {
        let tracker = |user| if user == 0 { "home" } else { "" };
        match op {
            Op::Publish(user, item, name) => {
                let request = serde_json::json!({ "metainfo": "", "name": name });
                let request: Publish = serde_json::from_value(request).unwrap();
                let item = InfoHash([item; 20]);
                queue.publish(tracker(user), user, item, &request).await
            }
            Op::Withdraw(user, item) => {
                let item = InfoHash([item; 20]);
                queue.withdraw(tracker(user), user, item).await
            }
            // Of those, some are not there.
            Op::CrossOff(id) => queue.cross_off(vec![id, id + 1]).await,
            Op::Forget(tracker) => queue.forget(tracker).await,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn the_counts_are_those_of_the_database(ops in prop::collection::vec(op(), 0..40)) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let dir = tempfile::tempdir().unwrap();
            let (kept, counted) = runtime.block_on(async {
                let (state, _lock) = State::open(dir.path()).unwrap();
                let queue = Queue::open(state.clone()).await.unwrap();
                for op in ops {
                    act(&queue, op).await.unwrap();
                }
                let counted = Counts::open(state).await.unwrap();
                let sums = |counts: &Counts| counts.locked().clone();
                (sums(&queue.counts), sums(&counted))
            });
            prop_assert_eq!(kept, counted);
        }
    }

    #[tokio::test]
    async fn what_waits_is_found_by_an_index_however_much_waits() {
        let dir = tempfile::tempdir().unwrap();
        let (state, _lock) = State::open(dir.path()).unwrap();
        let steps = state.call(|db| {
            let mut steps = Vec::new();
            for sql in [OLDEST, REPLACED] {
                let mut query = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
                let mut rows = query.raw_query();
                while let Some(row) = rows.next()? {
                    steps.push(row.get::<_, String>("detail")?);
                }
            }
            Ok(steps)
        });
        let steps = steps.await.unwrap();
        let slow = |step: &&String| step.starts_with("SCAN") || step.contains("TEMP B-TREE");
        assert_eq!(steps.iter().find(slow), None, "{steps:?}");
        let by_hash = "publishes_by_hash (info_hash=? AND tracker=? AND owner=?)";
        assert!(
            steps.iter().any(|step| step.ends_with(by_hash)),
            "{steps:?}"
        );
    }
}
