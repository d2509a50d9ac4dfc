//! Notifications that tell who waits for a request how it goes.

use std::time::Duration;

use p2p_wire::control::Progress as Notification;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::answer;

/// Time between two notifications of one request.
const INTERVAL: Duration = Duration::from_millis(100);

/// Sends the progress of one request, at most ten times a second.
///
/// Before each [`Progress::send`] wait for [`Progress::ready`] and only then look at the newest state: so what is sent is the latest, and
/// what came between is left out.
pub(super) struct Progress {
    id: u64,
    /// Weak: a request whose client has gone must not keep the connection.
    lines: mpsc::WeakSender<String>,
    next: Instant,
}

impl Progress {
    /// Of the request `id`; `lines` go to the client.
    pub(super) fn new(id: u64, lines: &mpsc::Sender<String>) -> Self {
        Self {
            id,
            lines: lines.downgrade(),
            next: Instant::now(),
        }
    }

    /// Waits until the next notification may go.
    pub(super) async fn ready(&self) {
        tokio::time::sleep_until(self.next).await;
    }

    /// Sends one. Waits while the client does not read; a client that is gone is no error here.
    pub(super) async fn send(&mut self, progress: impl Serialize) {
        let id = self.id;
        let line = answer::notification("progress", Notification { id, progress });
        if let Some(lines) = self.lines.upgrade() {
            let _ = lines.send(line).await;
        }
        self.next = Instant::now() + INTERVAL;
    }
}
