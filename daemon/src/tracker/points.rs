//! PURE: what is held here, and what each tracker was told of it: the deltas of piece points.
//!
//! [`Holdings`] is the truth, shared by all trackers. A [`Ledger`] belongs to one tracker and remembers, for each item that it may know of,
//! the handle it gave and what it has not been told. An ADD that was sent without an answer is sent again: it is a union.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use p2p_wire::InfoHash;
use p2p_wire::points::{
    ItemRef, MAX_ITEMS, Op, Reply, ReplyItem, Report, ReportItem, Status, Swarm,
};

use super::holdings::{Held, Holdings};

/// Bytes of sets in one report, about.
const MAX_BYTES: usize = 512 * 1024;
/// Until an item that the tracker does not want is offered again.
const UNKNOWN_WAIT: Duration = Duration::from_secs(300);

/// What one tracker was told.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Of the last reply; 0 before the first.
    epoch: u64,
    links: HashMap<InfoHash, Link>,
    /// Items with something to tell.
    dirty: BTreeSet<InfoHash>,
    /// The items of the report that is out, with what was told.
    out: Vec<(InfoHash, Untold)>,
}

#[derive(Debug)]
struct Link {
    /// 0 while the tracker gave none.
    handle: u32,
    untold: Untold,
    /// Not to be named before: the tracker does not want it.
    not_before: Option<Instant>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Untold {
    Nothing,
    Added(Vec<u32>),
    /// All of it.
    Whole,
    /// That it is gone.
    Leave,
}

/// What a reply asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    /// What the tracker knows of swarms.
    pub(crate) swarms: Vec<(InfoHash, Swarm)>,
    /// The tracker was restarted: everything must be told again.
    pub(crate) restarted: bool,
}

impl Ledger {
    /// The tracker may know of `item`, and is to be told all of it.
    pub(crate) fn register(&mut self, item: InfoHash) {
        let link = self.links.entry(item).or_insert(Link {
            handle: 0,
            untold: Untold::Whole,
            not_before: None,
        });
        link.untold = Untold::Whole;
        self.dirty.insert(item);
    }

    /// Pieces came.
    pub(crate) fn added(&mut self, item: InfoHash, pieces: &[u32]) {
        if let Some(link) = self.links.get_mut(&item)
            && !pieces.is_empty()
        {
            link.untold.merge(Untold::Added(pieces.to_vec()));
            self.dirty.insert(item);
        }
    }

    /// The set changed in another way than by additions.
    pub(crate) fn whole(&mut self, item: InfoHash) {
        if self.links.contains_key(&item) {
            self.register(item);
        }
    }

    /// The item is gone.
    pub(crate) fn gone(&mut self, item: InfoHash) {
        if let Some(link) = self.links.get_mut(&item) {
            if link.handle == 0 && !self.out.iter().any(|(out, _)| *out == item) {
                // The tracker never heard of it.
                self.links.remove(&item);
                self.dirty.remove(&item);
            } else {
                link.untold = Untold::Leave;
                self.dirty.insert(item);
            }
        }
    }

    /// Whether it knows of `item`.
    pub(crate) fn knows(&self, item: InfoHash) -> bool {
        self.links
            .get(&item)
            .is_some_and(|link| link.untold != Untold::Leave)
    }

    /// Whether there is something to tell at `now`.
    pub(crate) fn has_news(&self, now: Instant) -> bool {
        self.dirty.iter().any(|item| self.may_name(*item, now))
    }

    /// Forgets everything: another account, or a restarted tracker.
    pub(crate) fn reset(&mut self) {
        self.epoch = 0;
        self.restart();
    }

    fn may_name(&self, item: InfoHash, now: Instant) -> bool {
        let link = self.links.get(&item);
        link.is_some_and(|link| link.not_before.is_none_or(|at| at <= now))
    }

    /// The next report: what is not told, and a heartbeat for each item that is being fetched, so that its swarm is told. Answer with
    /// [`Ledger::taken`] or [`Ledger::lost`] before asking for the next.
    pub(crate) fn report(&mut self, holdings: &Holdings, port: u16, now: Instant) -> Report {
        let mut items = Vec::new();
        let mut bytes = 0;
        // Of a hundred thousand seeds none is looked at here.
        let heartbeats = holdings
            .partial()
            .filter(|item| !self.dirty.contains(*item) && self.links.contains_key(*item));
        let chosen: Vec<InfoHash> = self
            .dirty
            .iter()
            .chain(heartbeats)
            .copied()
            .filter(|item| self.may_name(*item, now))
            .take(MAX_ITEMS)
            .collect();
        for item in chosen {
            if items.len() >= MAX_ITEMS || bytes >= MAX_BYTES {
                break;
            }
            self.dirty.remove(&item);
            let Some(link) = self.links.get_mut(&item) else {
                continue;
            };
            let held = holdings.items.get(&item);
            if held.is_none() {
                link.untold = Untold::Leave;
            }
            let told = std::mem::replace(&mut link.untold, Untold::Nothing);
            let (count, sum) = match (held, &told) {
                (_, Untold::Leave) | (None, _) => (0, 0),
                (Some(held), _) => held.sum(),
            };
            let op = told.op(held);
            bytes += match &op {
                Op::Full(bitmap) => bitmap.len(),
                Op::Add(pieces) | Op::Remove(pieces) => pieces.len() * 2,
                _ => 16,
            };
            let name = match link.handle {
                0 => ItemRef::Hash(item, held.map_or(1, Held::pieces)),
                handle => ItemRef::Handle(handle),
            };
            items.push(ReportItem {
                item: name,
                op,
                held: count,
                checksum: sum,
            });
            self.out.push((item, told));
        }
        Report {
            epoch: self.epoch,
            port,
            items,
        }
    }

    /// The tracker answered the last report.
    pub(crate) fn taken(&mut self, reply: Reply, now: Instant) -> Taken {
        let out = std::mem::take(&mut self.out);
        let restarted = self.epoch != 0 && self.epoch != reply.epoch;
        self.epoch = reply.epoch;
        let mut taken = Taken {
            swarms: Vec::new(),
            restarted,
        };
        if restarted {
            self.restart();
        }
        for ((item, told), answer) in out.into_iter().zip(reply.items) {
            self.take_item(item, told, answer, now, &mut taken);
        }
        taken
    }

    fn take_item(
        &mut self,
        item: InfoHash,
        told: Untold,
        answer: ReplyItem,
        now: Instant,
        taken: &mut Taken,
    ) {
        let Some(link) = self.links.get_mut(&item) else {
            return;
        };
        if told == Untold::Leave && link.untold == Untold::Nothing {
            self.links.remove(&item);
            self.dirty.remove(&item);
            return;
        }
        let named_by_hash = link.handle == 0;
        match answer.status {
            Status::Ok(swarm) => {
                link.handle = answer.handle;
                link.not_before = None;
                taken.swarms.push((item, swarm));
            }
            Status::Resync => {
                link.handle = answer.handle;
                link.untold.merge(Untold::Whole);
                self.dirty.insert(item);
            }
            Status::Unknown => {
                link.handle = 0;
                link.untold.merge(Untold::Whole);
                if named_by_hash && !taken.restarted {
                    link.not_before = Some(now + UNKNOWN_WAIT);
                }
                self.dirty.insert(item);
            }
        }
    }

    /// There was no answer: what was told must be told again.
    pub(crate) fn lost(&mut self) {
        for (item, told) in std::mem::take(&mut self.out) {
            if let Some(link) = self.links.get_mut(&item)
                && told != Untold::Nothing
            {
                let later = std::mem::replace(&mut link.untold, told);
                link.untold.merge(later);
                self.dirty.insert(item);
            }
        }
    }

    /// Every handle is void.
    fn restart(&mut self) {
        self.links.retain(|_, link| link.untold != Untold::Leave);
        for (item, link) in &mut self.links {
            link.handle = 0;
            link.untold = Untold::Whole;
            link.not_before = None;
            self.dirty.insert(*item);
        }
        self.dirty.retain(|item| self.links.contains_key(item));
    }
}

impl Untold {
    /// What is to be told when `later` happened after `self`.
    fn merge(&mut self, later: Self) {
        match (&mut *self, later) {
            (_, Self::Nothing) | (Self::Whole | Self::Leave, Self::Added(_)) => {}
            (Self::Added(pieces), Self::Added(more)) => pieces.extend(more),
            (_, later) => *self = later,
        }
    }

    fn op(&self, held: Option<&Held>) -> Op {
        match (self, held) {
            (Self::Leave, _) | (_, None) => Op::Leave,
            (Self::Nothing, _) => Op::Keep,
            // Additions are moot once all is there.
            (Self::Whole | Self::Added(_), Some(Held::Seed { .. })) => Op::Seed,
            (Self::Whole, Some(Held::Partial { set, .. })) => Op::Full(set.as_bytes().to_vec()),
            (Self::Added(pieces), Some(Held::Partial { .. })) => {
                let mut pieces = pieces.clone();
                pieces.sort_unstable();
                pieces.dedup();
                Op::Add(pieces)
            }
        }
    }
}

#[cfg(test)]
mod tests;
