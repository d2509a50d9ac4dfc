//! Group commit: the jobs that wait go into one transaction, so that a sync is paid once for all of them.
//!
//! Each job has a savepoint of its own: one that fails is undone alone. Every asker is answered after the commit, so that what it was told is
//! on disk; if the commit fails, nothing of the group is there and everyone is told.

use std::collections::VecDeque;

use rusqlite::{Connection, ffi};
use tokio::sync::{mpsc, oneshot};

use super::StateError;

/// Jobs in one transaction at most; the first of them waits for the last.
const TOGETHER: usize = 256;

/// Work on the database. It is given a connection inside a savepoint, or the reason why there is none.
pub(super) type Job = Box<dyn FnOnce(rusqlite::Result<&Connection>) -> Done + Send>;

/// A job that was done, and must be kept or undone.
pub(super) struct Done {
    failed: Option<rusqlite::Error>,
    /// Answers the asker, once it is known what became of the transaction.
    tell: Box<dyn FnOnce(rusqlite::Result<()>)>,
}

/// What an asker waits for.
pub(super) type Answer<T> = oneshot::Receiver<Result<T, StateError>>;

/// Makes a job, and what its asker waits for. The asker may go away; the work is done all the same.
pub(super) fn job<T: Send + 'static>(
    work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
) -> (Job, Answer<T>) {
    let (reply, answer) = oneshot::channel();
    let job: Job = Box::new(move |savepoint| {
        let done = savepoint.and_then(work);
        Done {
            failed: done.as_ref().err().map(same),
            tell: Box::new(move |committed| {
                let outcome = done.and_then(|value| committed.map(|()| value));
                let _ = reply.send(outcome.map_err(StateError::from));
            }),
        }
    });
    (job, answer)
}

/// Does the jobs of `queue` until nobody can send any more.
pub(super) fn serve(mut conn: Connection, mut queue: mpsc::Receiver<Job>) {
    let mut waiting = Vec::with_capacity(TOGETHER);
    while queue.blocking_recv_many(&mut waiting, TOGETHER) > 0 {
        let mut jobs: VecDeque<Job> = waiting.drain(..).collect();
        while !jobs.is_empty() {
            let mut done = Vec::with_capacity(jobs.len());
            let committed = commit(&mut conn, &mut jobs, &mut done);
            for tell in done {
                tell(committed.as_ref().copied().map_err(same));
            }
        }
    }
}

type Tell = Box<dyn FnOnce(rusqlite::Result<()>)>;

/// One transaction with as many of the jobs as it takes; at least one. `Err`: nothing of them is in the database.
fn commit(
    conn: &mut Connection,
    jobs: &mut VecDeque<Job>,
    done: &mut Vec<Tell>,
) -> rusqlite::Result<()> {
    let mut transaction = match conn.transaction() {
        Ok(transaction) => transaction,
        Err(error) => {
            let told = jobs.drain(..).map(|job| job(Err(same(&error))).tell);
            done.extend(told);
            return Err(error);
        }
    };
    while let Some(job) = jobs.pop_front() {
        let savepoint = match transaction.savepoint() {
            Ok(savepoint) => savepoint,
            Err(error) => {
                done.push(job(Err(same(&error))).tell);
                return Err(error);
            }
        };
        let Done { failed, tell } = job(Ok(&savepoint));
        done.push(tell);
        match failed {
            None => savepoint.commit()?,
            // On a full or failing disk SQLite gives up the whole transaction, and what came before is gone with it.
            Some(error) if savepoint.is_autocommit() => return Err(error),
            Some(_) => drop(savepoint),
        }
    }
    transaction.commit()
}

/// The same error once more: each asker gets it.
fn same(error: &rusqlite::Error) -> rusqlite::Error {
    match error {
        rusqlite::Error::SqliteFailure(code, text) => {
            rusqlite::Error::SqliteFailure(*code, text.clone())
        }
        other => rusqlite::Error::SqliteFailure(
            ffi::Error::new(ffi::SQLITE_ERROR),
            Some(other.to_string()),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database() -> Connection {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch("CREATE TABLE t (x INTEGER PRIMARY KEY)")
            .unwrap();
        conn
    }

    fn insert(x: i64) -> (Job, Answer<usize>) {
        job(move |db| db.execute("INSERT INTO t VALUES (?)", [x]))
    }

    /// Runs jobs as one group; afterwards what is in the table.
    fn run(conn: Connection, jobs: Vec<Job>) -> Vec<i64> {
        let (sender, queue) = mpsc::channel(300);
        for job in jobs {
            sender
                .try_send(job)
                .unwrap_or_else(|_| panic!("room for all"));
        }
        let (look, answer) = job(|db| {
            let mut query = db.prepare("SELECT x FROM t ORDER BY x")?;
            query.query_map([], |row| row.get(0))?.collect()
        });
        sender
            .try_send(look)
            .unwrap_or_else(|_| panic!("room for all"));
        drop(sender);
        serve(conn, queue);
        answer.blocking_recv().unwrap().unwrap()
    }

    #[test]
    fn a_job_that_fails_is_undone_alone() {
        let (first, ok) = insert(1);
        let (twice, failed) = job(|db| {
            db.execute("INSERT INTO t VALUES (2)", [])?;
            db.execute("INSERT INTO t VALUES (1)", [])
        });
        let (third, also_ok) = insert(3);
        assert_eq!(run(database(), vec![first, twice, third]), [1, 3]);
        assert_eq!(ok.blocking_recv().unwrap().unwrap(), 1);
        assert!(failed.blocking_recv().unwrap().is_err());
        assert_eq!(also_ok.blocking_recv().unwrap().unwrap(), 1);
    }

    #[test]
    fn an_asker_that_went_away_does_not_hold_up_the_others() {
        let (first, gone) = insert(1);
        drop(gone);
        let (second, answer) = insert(2);
        assert_eq!(run(database(), vec![first, second]), [1, 2]);
        assert!(answer.blocking_recv().unwrap().is_ok());
    }

    #[test]
    fn when_the_transaction_is_given_up_everybody_before_is_told_and_those_after_go_on() {
        let (first, lost) = insert(1);
        // What SQLite does by itself when the disk is full.
        let (full, failed) = job(|db| {
            db.execute_batch("ROLLBACK")?;
            Err::<(), _>(rusqlite::Error::SqliteFailure(
                ffi::Error::new(ffi::SQLITE_FULL),
                None,
            ))
        });
        let (third, ok) = insert(3);
        assert_eq!(run(database(), vec![first, full, third]), [3]);
        for told in [
            lost.blocking_recv().unwrap().map(drop),
            failed.blocking_recv().unwrap(),
        ] {
            let StateError::Database(error) = told.unwrap_err() else {
                panic!("not the database's error")
            };
            assert_eq!(
                error.sqlite_error_code(),
                Some(rusqlite::ErrorCode::DiskFull)
            );
        }
        assert!(ok.blocking_recv().unwrap().is_ok());
    }

    #[test]
    fn more_jobs_than_fit_together_are_all_done_in_order() {
        let jobs = (0..299).map(|x| insert(x).0).collect();
        assert_eq!(run(database(), jobs), (0..299).collect::<Vec<i64>>());
    }
}
