//! PURE: when one item announces, where, and as what.
//!
//! Trackers come in tiers (BEP 12): shuffled within a tier at the start, the one that answered moves to the front of its tier, the next is
//! asked only when those before it failed. One request is out at a time. An event (`started`, `completed`) stays due until a tracker took
//! it. When all fail, the wait doubles up to a bound, jittered, or is what the tracker asks for (`retry in`, BEP 31).

use std::time::{Duration, Instant};

use p2p_wire::announce::{Event, Peers};
use rand::{Rng, RngExt as _, seq::SliceRandom as _};

/// The interval of a tracker that gives none, and the bounds on what one may ask for.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(1_800);
const LEAST_INTERVAL: Duration = Duration::from_secs(10);
const MOST_INTERVAL: Duration = Duration::from_secs(6 * 3_600);
/// Waits after every tracker failed.
const FIRST_WAIT: Duration = Duration::from_secs(10);
const LONGEST_WAIT: Duration = Duration::from_secs(1_800);
/// Between announces that the user asks for, at a tracker without `min interval`.
const NOW_INTERVAL: Duration = Duration::from_secs(10);

/// One announce URL with what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) url: String,
    pub(crate) tracker_id: Option<String>,
    pub(crate) seeds: Option<u32>,
    pub(crate) leeches: Option<u32>,
    /// Warning or error of the last answer.
    pub(crate) message: Option<String>,
    pub(crate) failed: bool,
    /// The scheme is not one that can be announced to: never asked.
    pub(crate) unsupported: bool,
}

/// A request to send now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attempt {
    pub(crate) url: String,
    pub(crate) tracker_id: Option<String>,
    pub(crate) event: Event,
}

/// How far an item is with its announces.
///
/// Order of calls: [`Schedule::attempt`] when [`Schedule::due`] is past, then exactly one of [`Schedule::answered`],
/// [`Schedule::failed`] and [`Schedule::postpone`], and so on.
#[derive(Debug)]
pub(crate) struct Schedule {
    tiers: Vec<Vec<Row>>,
    /// Which URL is next in this round: tier and place.
    at: (usize, usize),
    /// `Started` or `Completed` until a tracker took it, `Stopped` at the end.
    event: Event,
    /// Some tracker knows of us.
    started: bool,
    next: Instant,
    /// No regular announce before, as the tracker wants it.
    earliest: Instant,
    /// Whole rounds that failed in a row.
    failures: u32,
    /// The longest `retry in` of this round.
    asked: Option<Duration>,
    out: bool,
}

impl Schedule {
    /// A schedule whose first announce is at `first`. Duplicate URLs are dropped.
    pub(crate) fn new(tiers: Vec<Vec<String>>, first: Instant, rng: &mut impl Rng) -> Self {
        let mut seen = std::collections::HashSet::new();
        let mut rows: Vec<Vec<Row>> = tiers
            .into_iter()
            .map(|tier| {
                let mut tier: Vec<Row> = tier
                    .into_iter()
                    .filter(|url| seen.insert(url.clone()))
                    .map(Row::new)
                    .collect();
                // Made of what it filters, it would keep room for four.
                tier.shrink_to_fit();
                tier.shuffle(rng);
                tier
            })
            .collect();
        rows.retain(|tier| !tier.is_empty());
        let mut schedule = Self {
            tiers: rows,
            at: (0, 0),
            event: Event::Started,
            started: false,
            next: first,
            earliest: first,
            failures: 0,
            asked: None,
            out: false,
        };
        schedule.rewind();
        schedule
    }

    /// When the next request is due; `None` while one is out, and when no URL can be used.
    pub(crate) fn due(&self) -> Option<Instant> {
        (!self.out && self.current().is_some()).then_some(self.next)
    }

    /// The request to send now.
    pub(crate) fn attempt(&mut self) -> Option<Attempt> {
        let row = self.current()?;
        let attempt = Attempt {
            url: row.url.clone(),
            tracker_id: row.tracker_id.clone(),
            event: self.event,
        };
        self.out = true;
        Some(attempt)
    }

    /// The tracker took `event` and answered.
    pub(crate) fn answered(
        &mut self,
        event: Event,
        peers: &Peers,
        now: Instant,
        rng: &mut impl Rng,
    ) {
        self.out = false;
        self.failures = 0;
        self.asked = None;
        self.started = event != Event::Stopped;
        let (tier, place) = self.at;
        if let Some(tier) = self.tiers.get_mut(tier)
            && place < tier.len()
        {
            tier[..=place].rotate_right(1);
            let row = &mut tier[0];
            row.failed = false;
            row.message = peers.warning.clone();
            row.seeds = peers.complete.or(row.seeds);
            row.leeches = peers.incomplete.or(row.leeches);
            if peers.tracker_id.is_some() {
                row.tracker_id = peers.tracker_id.clone();
            }
        }
        self.rewind();
        let asked = match peers.interval {
            0 => DEFAULT_INTERVAL,
            seconds => Duration::from_secs(seconds.into()),
        };
        let interval = asked.clamp(LEAST_INTERVAL, MOST_INTERVAL);
        let least = peers.min_interval.map_or(NOW_INTERVAL, |seconds| {
            Duration::from_secs(seconds.into()).min(interval)
        });
        self.earliest = now + least;
        if self.event == event {
            self.event = Event::None;
            // A little early and never twice the same, so that items do not march in step.
            self.next = (now + interval.mul_f64(rng.random_range(0.9..=1.0))).max(self.earliest);
        } else {
            // It became complete, or stopped, while the request was out.
            self.next = now;
        }
    }

    /// The tracker refused, or there was no answer; `retry_in` is what it asked for.
    pub(crate) fn failed(
        &mut self,
        error: String,
        retry_in: Option<Duration>,
        now: Instant,
        rng: &mut impl Rng,
    ) {
        self.out = false;
        self.asked = self.asked.max(retry_in);
        let (tier, place) = self.at;
        if let Some(row) = self
            .tiers
            .get_mut(tier)
            .and_then(|tier| tier.get_mut(place))
        {
            row.failed = true;
            row.message = Some(error);
        }
        if self.advance() {
            self.next = now;
            return;
        }
        self.rewind();
        self.failures = self.failures.saturating_add(1);
        let doublings = (self.failures - 1).min(12);
        let full = (FIRST_WAIT * (1 << doublings)).min(LONGEST_WAIT);
        let wait = full.mul_f64(rng.random_range(0.5..=1.0));
        self.next = now + wait.max(self.asked.take().unwrap_or_default().min(MOST_INTERVAL));
        self.earliest = now;
    }

    /// The host is known to be away: nothing was sent, try at `until`.
    pub(crate) fn postpone(&mut self, until: Instant) {
        self.out = false;
        self.next = until;
    }

    /// The item became complete: say so, now.
    pub(crate) fn completed(&mut self, now: Instant) {
        // `started` with nothing left says the same to a tracker that does not know us yet.
        if self.started || self.out {
            self.event = Event::Completed;
        }
        self.next = now;
    }

    /// Announce as soon as the tracker's minimum interval allows.
    pub(crate) fn hurry(&mut self, now: Instant) {
        self.next = self.next.min(now.max(self.earliest));
    }

    /// The item leaves: say so, now. False when no tracker knows of it, so that there is nothing to say.
    pub(crate) fn stop(&mut self, now: Instant) -> bool {
        self.event = Event::Stopped;
        self.next = now;
        self.started || self.out
    }

    /// True once stopping is over: it was said, or failed once.
    pub(crate) fn is_over(&self) -> bool {
        !self.out && (self.event == Event::None && !self.started)
    }

    /// What became of the last announce, for `set_tracker_state`: an error when every URL failed.
    pub(crate) fn error(&self) -> Option<&str> {
        let mut rows = self.tiers.iter().flatten().filter(|row| !row.unsupported);
        let all_failed = rows.clone().all(|row| row.failed) && rows.clone().next().is_some();
        if all_failed {
            rows.next().and_then(|row| row.message.as_deref())
        } else {
            None
        }
    }

    /// All URLs; the one that is asked next is marked.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (&Row, bool)> {
        let at = self.at;
        self.tiers.iter().enumerate().flat_map(move |(t, tier)| {
            tier.iter()
                .enumerate()
                .map(move |(p, row)| (row, (t, p) == at))
        })
    }

    fn current(&self) -> Option<&Row> {
        let (tier, place) = self.at;
        let row = self.tiers.get(tier)?.get(place)?;
        (!row.unsupported).then_some(row)
    }

    /// To the first URL that can be asked.
    fn rewind(&mut self) {
        self.at = (0, 0);
        if self.current().is_none() {
            self.advance();
        }
    }

    /// To the next URL that can be asked; false, and nowhere, after the last.
    fn advance(&mut self) -> bool {
        let (mut tier, mut place) = self.at;
        while let Some(rows) = self.tiers.get(tier) {
            place += 1;
            if place >= rows.len() {
                (tier, place) = (tier + 1, 0);
            }
            self.at = (tier, place);
            if self.current().is_some() {
                return true;
            }
        }
        false
    }
}

impl Row {
    fn new(url: String) -> Self {
        let supported = url.starts_with("http://") || url.starts_with("https://");
        Self {
            tracker_id: None,
            seeds: None,
            leeches: None,
            message: (!supported).then(|| {
                let scheme = url.split(':').next().unwrap_or_default().to_owned();
                format!("announces over {scheme} are not supported yet")
            }),
            failed: false,
            unsupported: !supported,
            url,
        }
    }
}

#[cfg(test)]
mod tests;
