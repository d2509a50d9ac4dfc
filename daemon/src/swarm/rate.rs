//! How fast bytes flow, from given times only.
use std::time::{Duration, Instant};

const SLOTS: usize = 8;
const SLOT: Duration = Duration::from_millis(250);

/// Bytes/s over the last two seconds, in slots of 250 ms.
///
/// Invariant: `slots[newest % SLOTS]` is the slot of the last `add`; older ones are overwritten before they are reused.
#[derive(Debug)]
pub(super) struct RateMeter {
    start: Instant,
    newest: u64,
    slots: [u64; SLOTS],
    total: u64,
}

impl RateMeter {
    /// Nothing has flown before `now`.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            start: now,
            newest: 0,
            slots: [0; SLOTS],
            total: 0,
        }
    }

    /// Counts `bytes` that flowed at `now`.
    pub(super) fn add(&mut self, bytes: u64, now: Instant) {
        let slot = self.slot_of(now).max(self.newest);
        let stale = (slot - self.newest).min(SLOTS as u64);
        for n in 0..stale {
            self.slots[((slot - n) % SLOTS as u64) as usize] = 0;
        }
        self.newest = slot;
        self.slots[(slot % SLOTS as u64) as usize] += bytes;
        self.total += bytes;
    }

    /// Bytes/s as of `now`.
    pub(super) fn rate(&self, now: Instant) -> u64 {
        let slot = self.slot_of(now).max(self.newest);
        let fresh = (SLOTS as u64).saturating_sub(slot - self.newest);
        let sum: u64 = (0..fresh.min(self.newest + 1))
            .map(|n| self.slots[((self.newest - n) % SLOTS as u64) as usize])
            .sum();
        let span = now
            .saturating_duration_since(self.start)
            .clamp(SLOT, SLOT * SLOTS as u32);
        (u128::from(sum) * 1000 / span.as_millis().max(1)) as u64
    }

    /// All bytes so far.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    fn slot_of(&self, now: Instant) -> u64 {
        (now.saturating_duration_since(self.start).as_millis() / SLOT.as_millis()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swarm::sim::start;

    #[test]
    fn a_steady_flow_is_measured_and_forgotten_after_two_seconds() {
        let t = start();
        let mut meter = RateMeter::new(t);
        for ms in (0..4000).step_by(10) {
            meter.add(1000, t + Duration::from_millis(ms));
        }
        let rate = meter.rate(t + Duration::from_millis(3999));
        assert!((90_000..=100_000).contains(&rate), "{rate}");
        assert_eq!(meter.rate(t + Duration::from_secs(7)), 0);
        assert_eq!(meter.total(), 400_000);
    }
}
