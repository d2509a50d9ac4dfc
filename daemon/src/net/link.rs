//! The queue from a torrent task to one peer's I/O task.

use std::collections::VecDeque;
use std::mem;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use p2p_wire::Block;
use p2p_wire::peer::Message;
use tokio::sync::{Notify, watch};

use crate::storage::Data;

/// Messages that a peer which does not read may have waiting, before it is dropped.
const MAX_MESSAGES: usize = 20_000;

/// Something to send.
#[derive(Debug)]
pub(super) enum Out {
    Message(Message),
    Block(Block, Data),
}

/// What waits to be sent to one peer. Blocks are bounded by who puts them in, see [`Link::block_bytes`]; messages by [`Link::send`].
#[derive(Debug, Default)]
pub struct Link {
    queue: Mutex<Queue>,
    wake: Notify,
    closed: watch::Sender<bool>,
    pieces: AtomicU32,
    held: Mutex<Held>,
}

/// How long a limit kept the connection from being read.
#[derive(Debug, Default)]
struct Held {
    before: Duration,
    since: Option<Instant>,
}

#[derive(Debug, Default)]
struct Queue {
    out: VecDeque<Out>,
    block_bytes: usize,
    closed: bool,
}

impl Link {
    /// Queues a message; false if the peer has so many waiting that it should be dropped.
    pub fn send(&self, message: Message) -> bool {
        let mut queue = self.lock();
        if queue.out.len() >= MAX_MESSAGES {
            return false;
        }
        queue.out.push_back(Out::Message(message));
        drop(queue);
        self.wake.notify_one();
        true
    }

    /// Queues a block with its bytes.
    pub fn block(&self, block: Block, data: Data) {
        let mut queue = self.lock();
        queue.block_bytes += data.len();
        queue.out.push_back(Out::Block(block, data));
        drop(queue);
        self.wake.notify_one();
    }

    /// Takes a block out again; false if it has left already.
    pub fn cancel(&self, block: Block) -> bool {
        let mut queue = self.lock();
        let at = queue
            .out
            .iter()
            .position(|out| matches!(out, Out::Block(queued, _) if *queued == block));
        let Some(Out::Block(_, data)) = at.and_then(|at| queue.out.remove(at)) else {
            return false;
        };
        queue.block_bytes -= data.len();
        true
    }

    /// Bytes of blocks that wait.
    pub fn block_bytes(&self) -> usize {
        self.lock().block_bytes
    }

    /// Closes the connection once the messages that wait now were offered to the socket; blocks are not.
    pub fn close(&self) {
        let mut queue = self.lock();
        queue.closed = true;
        queue.out.retain(|out| matches!(out, Out::Message(_)));
        queue.block_bytes = 0;
        drop(queue);
        self.closed.send_replace(true);
        self.wake.notify_one();
    }

    /// Returns once [`Link::close`] was called.
    pub(super) async fn closed(&self) {
        // The sender lives as long as `self`.
        let _ = self.closed.subscribe().wait_for(|closed| *closed).await;
    }

    /// How many pieces the torrent has, once that is known: bounds the bitfield.
    pub fn set_pieces(&self, pieces: u32) {
        self.pieces.store(pieces, Ordering::Relaxed);
    }

    /// How long a limit kept the connection from being read, since this was asked last.
    pub fn take_held(&self) -> Duration {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let current = held.since.map(|since| now.duration_since(since));
        held.since = held.since.map(|_| now);
        mem::take(&mut held.before) + current.unwrap_or_default()
    }

    /// The connection is not read from now on, or is again.
    pub(super) fn hold(&self, holds: bool) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if let Some(since) = held.since.take() {
            held.before += now.duration_since(since);
        }
        held.since = holds.then_some(now);
    }

    pub(super) fn pieces(&self) -> Option<u32> {
        Some(self.pieces.load(Ordering::Relaxed)).filter(|pieces| *pieces > 0)
    }

    /// All that waits, and whether to close after it.
    pub(super) fn take(&self) -> (VecDeque<Out>, bool) {
        let mut queue = self.lock();
        queue.block_bytes = 0;
        (mem::take(&mut queue.out), queue.closed)
    }

    /// Waits for something to be queued since the last [`Link::take`].
    pub(super) async fn queued(&self) {
        self.wake.notified().await;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cancelled_block_does_not_leave() {
        let link = Link::default();
        let block = |begin| Block {
            piece: 1,
            begin,
            len: 4,
        };
        link.block(block(0), b"abcd"[..].into());
        link.block(block(4), b"efgh"[..].into());
        assert_eq!(link.block_bytes(), 8);
        assert!(link.cancel(block(0)) && !link.cancel(block(0)));
        assert_eq!(link.block_bytes(), 4);
        let (out, closed) = link.take();
        assert_eq!(out.len(), 1);
        assert!(!closed && !link.cancel(block(4)));
    }

    #[test]
    fn time_under_a_limit_is_counted_once_and_while_it_lasts() {
        let link = Link::default();
        assert_eq!(link.take_held(), Duration::ZERO);
        link.hold(true);
        let begin = Instant::now();
        let mut held = Duration::ZERO;
        while held.is_zero() {
            held = link.take_held();
        }
        link.hold(false);
        held += link.take_held();
        assert!(held <= begin.elapsed() + Duration::from_millis(1));
        assert_eq!(link.take_held(), Duration::ZERO);
    }

    #[test]
    fn a_peer_that_does_not_read_is_given_up() {
        let link = Link::default();
        let sent = (0..).take_while(|n| link.send(Message::Have(*n))).count();
        assert_eq!(sent, MAX_MESSAGES);
    }
}
