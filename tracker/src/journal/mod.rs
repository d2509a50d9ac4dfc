//! The log of what happens to files and accounts.
//!
//! Writing to it never waits: lines go into a bounded queue, a task stores them in batches and hands them to those who follow. When the
//! queue is full lines are dropped and counted, and the count is written when there is room again: announces go before the log.

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
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
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
                Err(error) => tracing::warn!("the log was not written: {error}"),
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
