//! The log of what happens to files and accounts.
//!
//! Writing to it never waits: lines go into a bounded queue, a task stores them in batches and hands them to those who follow. When the
//! queue is full, the database does not take them, or one account writes too many, lines are dropped and counted, and the count is written
//! when there is room again: announces go before the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, oneshot};

use crate::store::{LogLine, NewLine, Store};
use crate::time::unix_millis;

const QUEUE: usize = 8_192;
const BATCH: usize = 512;
/// Lines that a slow follower may be behind before it misses some.
const FOLLOW: usize = 1_024;
/// How long lines wait for company.
const GATHER: Duration = Duration::from_millis(100);

enum Entry {
    Line(NewLine),
    Flush(oneshot::Sender<()>),
}

/// Takes lines.
pub struct Journal {
    queue: mpsc::Sender<Entry>,
    live: broadcast::Sender<LogLine>,
    dropped: Arc<AtomicU64>,
}

impl Journal {
    /// Starts the task that stores the lines; it ends when the journal is dropped.
    pub fn start(store: Arc<dyn Store>) -> Self {
        let (queue, lines) = mpsc::channel(QUEUE);
        let live = broadcast::channel(FOLLOW).0;
        let dropped = Arc::new(AtomicU64::new(0));
        tokio::spawn(journal_task(
            store,
            lines,
            live.clone(),
            Arc::clone(&dropped),
        ));
        Self {
            queue,
            live,
            dropped,
        }
    }

    /// Adds a line; its time is set here.
    pub fn record(&self, line: NewLine) {
        tracing::debug!(
            event = line.event,
            account = line.account,
            node = line.node,
            item = line.info_hash.map(tracing::field::display),
            file = line.name,
            "{}",
            line.text
        );
        let line = NewLine {
            time: unix_millis(),
            ..line
        };
        if self.queue.try_send(Entry::Line(line)).is_err() {
            self.miss();
        }
    }

    /// Counts a line that is left out.
    pub fn miss(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits until all that was recorded before is stored.
    pub async fn flush(&self) {
        let (done, stored) = oneshot::channel();
        if self.queue.send(Entry::Flush(done)).await.is_ok() {
            // The task answers or is gone; there is nothing left to wait for in either case.
            let _ = stored.await;
        }
    }

    /// The lines that are stored from now on.
    pub fn follow(&self) -> broadcast::Receiver<LogLine> {
        self.live.subscribe()
    }
}

async fn journal_task(
    store: Arc<dyn Store>,
    mut queue: mpsc::Receiver<Entry>,
    live: broadcast::Sender<LogLine>,
    dropped: Arc<AtomicU64>,
) {
    let mut entries = Vec::with_capacity(BATCH);
    while queue.recv_many(&mut entries, BATCH).await > 0 {
        let (mut lines, mut flushes) = (Vec::new(), Vec::new());
        for entry in entries.drain(..) {
            match entry {
                Entry::Line(line) => lines.push(line),
                Entry::Flush(done) => flushes.push(done),
            }
        }
        let news = lines.len() as u64;
        let missed = dropped.swap(0, Ordering::Relaxed);
        if missed > 0 {
            let text =
                format!("{missed} lines are missing here: more happened than could be written");
            lines.push(NewLine {
                time: unix_millis(),
                event: "dropped",
                text,
                ..NewLine::default()
            });
        }
        if !lines.is_empty() {
            match store.append_log(lines).await {
                // Nobody may be following.
                Ok(lines) => lines.into_iter().for_each(|line| drop(live.send(line))),
                Err(error) => {
                    tracing::warn!("the log was not written: {error}");
                    dropped.fetch_add(missed + news, Ordering::Relaxed);
                }
            }
        }
        if flushes.is_empty() {
            tokio::time::sleep(GATHER).await;
        }
        for done in flushes {
            let _ = done.send(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::SecretHash;
    use crate::store::sqlite::SqliteStore;
    use crate::store::{Change, LogQuery, Mirror, NewAccount, StoreError};

    /// Keeps the store's writer busy, once it says so, until told to go on.
    struct Stuck {
        says: mpsc::UnboundedSender<()>,
        wait: std::sync::Mutex<std::sync::mpsc::Receiver<()>>,
    }

    impl Mirror for Stuck {
        fn apply(&self, _change: Change) {
            let _ = self.says.send(());
            let _ = self.wait.lock().unwrap().recv();
        }
    }

    #[tokio::test]
    async fn lines_that_the_store_does_not_take_are_counted_and_told() {
        let dir = tempfile::tempdir().unwrap();
        let (go, wait) = std::sync::mpsc::channel();
        let (says, mut busy) = mpsc::unbounded_channel();
        let wait = std::sync::Mutex::new(wait);
        let stuck = Arc::new(Stuck { says, wait });
        let store = SqliteStore::open(&dir.path().join("t.db"), stuck).unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        let waiting = store.create_account(NewAccount {
            username: "ann".into(),
            password_hash: String::new(),
            admin: false,
            invite: None,
            now: 1,
        });
        // Until then it may still take others out of its queue.
        busy.recv().await.unwrap();
        let mut others = Vec::new();
        loop {
            let mut write = store.logout(SecretHash([0; 32]));
            let now = std::future::poll_fn(|cx| std::task::Poll::Ready(write.as_mut().poll(cx)));
            if let std::task::Poll::Ready(result) = now.await {
                assert!(matches!(result, Err(StoreError::Busy)), "{result:?}");
                break;
            }
            others.push(write);
        }
        let journal = Journal::start(Arc::clone(&store));
        let line = |event| NewLine {
            event,
            ..NewLine::default()
        };
        journal.record(line("lost"));
        journal.record(line("lost"));
        journal.flush().await;
        drop(go);
        waiting.await.unwrap();
        // Only when they are written has its queue room again.
        for other in others {
            other.await.unwrap();
        }
        journal.record(line("kept"));
        journal.flush().await;
        let query = LogQuery {
            limit: 9,
            ..LogQuery::default()
        };
        let lines = store.log(query).await.unwrap();
        let events: Vec<&str> = lines.iter().map(|line| line.event.as_str()).collect();
        assert_eq!(events, ["dropped", "kept"]);
        assert!(
            lines[0].text.starts_with("2 lines are missing"),
            "{lines:?}"
        );
    }
}
