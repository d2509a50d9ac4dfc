//! How many requests one peer should have outstanding.
use std::time::{Duration, Instant};

use p2p_wire::BLOCK_LEN;

/// Requests a peer queues if it does not say (libtorrent's default for `reqq`).
const DEFAULT_REQQ: u32 = 250;
/// What we ask for at most, whatever the peer says: 32 MiB outstanding to one peer is more than any path we know needs.
const MAX_WINDOW: u32 = 2000;
const FIRST: u32 = 16;
const SMALLEST: u32 = 2;
/// Work queued at the peer beyond what the path itself holds, so that its disk and our batches do not leave gaps.
const QUEUE: Duration = Duration::from_millis(500);
/// Of that, no more than this: it bridges such gaps at any rate.
const MOST_QUEUED: u64 = 8 << 20;
const EPOCH: Duration = Duration::from_millis(500);

/// The request window of one peer.
///
/// It doubles with every round trip until the rate stops growing, then follows rate times twice the latency, and 500 ms' worth but no
/// more than 8 MiB, up and down. Twice, because a window of exactly one bandwidth-delay product could never discover that the path became faster.
///
/// The latency is the least since the start: that of the first requests, which found nothing queued before them. Later ones wait
/// behind our own; a window that followed what they take would grow because it is large.
#[derive(Debug)]
pub(super) struct Window {
    size: u32,
    limit: u32,
    ramping: bool,
    epoch: Instant,
    epoch_rate: u64,
    latency: Duration,
}

impl Window {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            size: FIRST,
            limit: DEFAULT_REQQ,
            ramping: true,
            epoch: now,
            epoch_rate: 0,
            latency: Duration::MAX,
        }
    }

    /// Blocks of the usual length that may be asked for at a time.
    pub(super) fn size(&self) -> u32 {
        self.size
    }

    /// The peer said how many requests it queues.
    pub(super) fn set_reqq(&mut self, reqq: u32) {
        self.limit = reqq.clamp(1, MAX_WINDOW);
        self.size = self.size.min(self.limit);
    }

    /// The peer answers again after a choke or a stall: what was measured before says nothing about now.
    pub(super) fn restart(&mut self, now: Instant) {
        self.size = FIRST.min(self.limit);
        self.ramping = true;
        self.epoch = now;
        self.epoch_rate = 0;
        self.latency = Duration::MAX;
    }

    /// Nothing was read for `time`: what came in it says nothing of the rate.
    pub(super) fn held_back(&mut self, time: Duration, now: Instant) {
        self.epoch = (self.epoch + time).min(now);
    }

    /// So many blocks came `latency` after their request, the peer's rate being `rate` bytes/s.
    pub(super) fn received(&mut self, blocks: u32, latency: Duration, rate: u64, now: Instant) {
        self.latency = self.latency.min(latency);
        if self.ramping {
            self.size = (self.size + blocks).min(self.limit);
            if now.saturating_duration_since(self.epoch) >= EPOCH {
                let growing = rate > self.epoch_rate + self.epoch_rate / 8;
                self.ramping = growing && self.size < self.limit;
                self.epoch = now;
                self.epoch_rate = rate;
            }
        } else {
            self.size = self.target(rate);
        }
    }

    fn target(&self, rate: u64) -> u32 {
        let during = |span: Duration| u128::from(rate) * span.as_millis() / 1000;
        let path = during(self.latency.min(Duration::from_secs(5)) * 2);
        let bytes = path + during(QUEUE).min(u128::from(MOST_QUEUED));
        let blocks = (bytes / u128::from(BLOCK_LEN)).min(u128::from(MAX_WINDOW)) as u32;
        (blocks + SMALLEST).min(self.limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swarm::rate::RateMeter;
    use crate::swarm::sim::start;

    /// Feeds a window from a path of `rate` bytes/s and `latency` for `ms` milliseconds; gives the window reached.
    fn run(window: &mut Window, rate: u64, latency: u64, from: u64, ms: u64) -> u32 {
        let (t, mut meter) = (start(), RateMeter::new(start()));
        let mut credit = 0;
        for ms in from..from + ms {
            let now = t + Duration::from_millis(ms);
            // What the path carries in a millisecond, and what the window lets through.
            credit += rate.min(u64::from(window.size() * BLOCK_LEN) * 1000 / latency) / 1000;
            while credit >= u64::from(BLOCK_LEN) {
                credit -= u64::from(BLOCK_LEN);
                meter.add(u64::from(BLOCK_LEN), now);
                window.received(1, Duration::from_millis(latency), meter.rate(now), now);
            }
        }
        window.size()
    }

    #[test]
    fn a_lan_is_full_within_the_first_second() {
        let mut window = Window::new(start());
        window.set_reqq(500);
        // 100 MB/s at 1 ms needs 7 requests in flight; a second later the queue is deep as well.
        assert!(run(&mut window, 100_000_000, 1, 0, 1000) >= 250);
    }

    #[test]
    fn a_long_path_gets_what_it_needs_and_gives_it_back() {
        let mut window = Window::new(start());
        window.set_reqq(2000);
        // 10 MB/s at 200 ms holds 122 blocks.
        let wide = run(&mut window, 10_000_000, 200, 0, 5000);
        assert!((123..=700).contains(&wide), "{wide}");
        let narrow = run(&mut window, 100_000, 200, 5000, 5000);
        assert!(narrow <= 10, "{narrow}");
    }

    #[test]
    fn never_more_than_the_peer_queues() {
        let mut window = Window::new(start());
        window.set_reqq(50);
        assert_eq!(run(&mut window, 1_000_000_000, 1, 0, 2000), 50);
        window.set_reqq(0);
        assert_eq!(window.size(), 1);
    }
}
