//! How many requests wait for which tracker.
//!
//! That is asked often, and not of the database, which may be busy with a hundred thousand of them. All changes of the queue's rows go
//! through [`Counts::change`]: each says what it added and took away, which is summed up once it is on the disk.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, ToSql};

use crate::state::{State, StateError};

/// A tracker's name, and the user whose login is used.
type Key = (String, u32);

/// What a change of the rows added or took away.
pub(super) type Change = Vec<(Key, i64)>;

/// The rows of the table `publishes` in numbers.
pub(super) struct Counts {
    state: State,
    /// Below zero for a moment where what was added is summed up after what was taken away.
    sums: Arc<Mutex<HashMap<Key, i64>>>,
}

impl Counts {
    /// Counts the rows there are.
    pub(super) async fn open(state: State) -> Result<Self, StateError> {
        let sums = state.call(count_all).await?;
        Ok(Self {
            state,
            sums: Arc::new(Mutex::new(sums)),
        })
    }

    /// What waits with the login of `user`, by tracker.
    pub(super) fn of(&self, user: u32) -> HashMap<String, u32> {
        let sums = self.locked();
        let own = sums.iter().filter(|((_, owner), _)| *owner == user);
        own.map(|((tracker, _), sum)| (tracker.clone(), u32::try_from(*sum).unwrap_or(0)))
            .collect()
    }

    /// Changes the rows; is done to the end, and summed up, even where nobody waits for it any more.
    pub(super) async fn change(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<Change> + Send + 'static,
    ) -> Result<(), StateError> {
        let (state, sums) = (self.state.clone(), self.sums.clone());
        let changed = tokio::spawn(async move {
            let change = state.call(work).await?;
            let mut sums = locked(&sums);
            for (key, more) in change {
                *sums.entry(key).or_default() += more;
            }
            sums.retain(|_, sum| *sum != 0);
            Ok(())
        });
        changed.await.unwrap_or(Err(StateError::Closed))
    }

    pub(super) fn locked(&self) -> MutexGuard<'_, HashMap<Key, i64>> {
        locked(&self.sums)
    }
}

/// Deletes with a statement that returns tracker and owner of each row.
pub(super) fn deleted(
    db: &Connection,
    sql: &str,
    params: &[&dyn ToSql],
) -> rusqlite::Result<Change> {
    let mut query = db.prepare_cached(sql)?;
    let rows = query.query_map(params, |row| Ok(((row.get(0)?, row.get(1)?), -1)))?;
    rows.collect()
}

/// A number of rows.
pub(super) fn many(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

fn locked(sums: &Mutex<HashMap<Key, i64>>) -> MutexGuard<'_, HashMap<Key, i64>> {
    sums.lock().unwrap_or_else(PoisonError::into_inner)
}

fn count_all(db: &Connection) -> rusqlite::Result<HashMap<Key, i64>> {
    let mut query = db.prepare("SELECT tracker, owner, COUNT(*) FROM publishes GROUP BY 1, 2")?;
    let rows = query.query_map([], |row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?)))?;
    let readable = rows.filter_map(|row| {
        row.inspect_err(|error| tracing::warn!("what waits for a tracker cannot be read: {error}"))
            .ok()
    });
    Ok(readable.collect())
}
