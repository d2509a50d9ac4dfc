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
        let heartbeats = self
            .links
            .keys()
            .filter(|item| !self.dirty.contains(*item) && holdings.is_partial(**item));
        let chosen: Vec<InfoHash> = self
            .dirty
            .iter()
            .chain(heartbeats)
            .copied()
            .filter(|item| self.may_name(*item, now))
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
mod tests {
    use super::*;
    use crate::engine::Holding;
    use p2p_wire::Bitfield;
    use p2p_wire::points::checksum;

    const A: InfoHash = InfoHash([1; 20]);

    fn set(len: u32, pieces: &[u32]) -> Bitfield {
        let mut set = Bitfield::new(len);
        for piece in pieces {
            set.set(*piece);
        }
        set
    }

    fn partial(pieces: &[u32]) -> (Holdings, Ledger) {
        let mut holdings = Holdings::default();
        holdings.set(A, Holding::Partial(set(100, pieces)));
        let mut ledger = Ledger::default();
        ledger.register(A);
        (holdings, ledger)
    }

    fn reply(epoch: u64, statuses: Vec<(u32, Status)>) -> Reply {
        let items = statuses.into_iter();
        Reply {
            epoch,
            next: 10,
            items: items
                .map(|(handle, status)| ReplyItem { handle, status })
                .collect(),
        }
    }

    fn ok(epoch: u64) -> Reply {
        reply(epoch, vec![(7, Status::Ok(Swarm::default()))])
    }

    /// A tracker as the format describes it, to check sums against.
    fn applied(before: &Bitfield, item: &ReportItem) -> Bitfield {
        let mut after = before.clone();
        match &item.op {
            Op::Full(bytes) => after = Bitfield::from_bytes(bytes, before.len()).unwrap(),
            Op::Add(pieces) => {
                for piece in pieces {
                    after.set(*piece);
                }
            }
            Op::Seed => after = Bitfield::full(before.len()),
            other => assert_eq!(*other, Op::Keep),
        }
        assert_eq!(item.held, after.count());
        assert_eq!(item.checksum, checksum(after.iter()));
        after
    }

    #[test]
    fn tells_all_at_first_and_then_what_was_added() {
        let now = Instant::now();
        let (mut holdings, mut ledger) = partial(&[3]);
        let report = ledger.report(&holdings, 1, now);
        assert_eq!(report.items[0].item, ItemRef::Hash(A, 100));
        let known = applied(&Bitfield::new(100), &report.items[0]);
        ledger.taken(ok(5), now);
        assert!(!ledger.has_news(now));

        let news = holdings.add(A, &[9, 3, 4]);
        ledger.added(A, &news);
        let report = ledger.report(&holdings, 1, now);
        assert_eq!(
            (report.epoch, &report.items[0].item),
            (5, &ItemRef::Handle(7))
        );
        assert_eq!(report.items[0].op, Op::Add(vec![4, 9]));
        applied(&known, &report.items[0]);
    }

    #[test]
    fn what_was_not_answered_is_told_again_with_what_came_since() {
        let now = Instant::now();
        let (mut holdings, mut ledger) = partial(&[]);
        ledger.report(&holdings, 1, now);
        ledger.taken(ok(5), now);
        for piece in [2, 8] {
            ledger.added(A, &holdings.add(A, &[piece]));
            ledger.report(&holdings, 1, now);
            ledger.lost();
        }
        ledger.added(A, &holdings.add(A, &[1]));
        let report = ledger.report(&holdings, 1, now);
        assert_eq!(report.items[0].op, Op::Add(vec![1, 2, 8]));
    }

    #[test]
    fn a_seed_is_told_once_and_then_kept_silent() {
        let now = Instant::now();
        let (mut holdings, mut ledger) = partial(&[0]);
        ledger.report(&holdings, 1, now);
        ledger.taken(ok(5), now);
        assert!(holdings.complete(A));
        ledger.whole(A);
        let report = ledger.report(&holdings, 1, now);
        assert_eq!(
            (&report.items[0].op, report.items[0].held),
            (&Op::Seed, 100)
        );
        ledger.taken(ok(5), now);
        assert!(ledger.report(&holdings, 1, now).items.is_empty());
    }

    #[test]
    fn a_leech_sends_a_heartbeat_to_learn_of_its_swarm() {
        let now = Instant::now();
        let (holdings, mut ledger) = partial(&[0]);
        ledger.report(&holdings, 1, now);
        ledger.taken(ok(5), now);
        let report = ledger.report(&holdings, 1, now);
        assert_eq!(report.items[0].op, Op::Keep);
        assert_eq!(ledger.taken(ok(5), now).swarms.len(), 1);
    }

    #[test]
    fn a_restarted_tracker_is_told_everything_by_hash() {
        let now = Instant::now();
        let (holdings, mut ledger) = partial(&[3]);
        ledger.report(&holdings, 1, now);
        ledger.taken(ok(5), now);
        ledger.report(&holdings, 1, now);
        let taken = ledger.taken(reply(6, vec![(0, Status::Unknown)]), now);
        assert!(taken.restarted && ledger.has_news(now));
        let report = ledger.report(&holdings, 1, now);
        assert_eq!(report.items[0].item, ItemRef::Hash(A, 100));
        assert!(matches!(report.items[0].op, Op::Full(_)));
    }

    #[test]
    fn resync_sends_the_whole_set() {
        let now = Instant::now();
        let (mut holdings, mut ledger) = partial(&[3]);
        ledger.report(&holdings, 1, now);
        ledger.taken(ok(5), now);
        ledger.added(A, &holdings.add(A, &[4]));
        ledger.report(&holdings, 1, now);
        ledger.taken(reply(5, vec![(7, Status::Resync)]), now);
        let report = ledger.report(&holdings, 1, now);
        assert!(matches!(report.items[0].op, Op::Full(_)));
    }

    #[test]
    fn an_unwanted_item_is_left_alone_for_a_while() {
        let now = Instant::now();
        let (holdings, mut ledger) = partial(&[3]);
        ledger.report(&holdings, 1, now);
        ledger.taken(reply(5, vec![(0, Status::Unknown)]), now);
        assert!(!ledger.has_news(now));
        assert!(ledger.report(&holdings, 1, now).items.is_empty());
        assert!(ledger.has_news(now + UNKNOWN_WAIT));
    }

    #[test]
    fn leaving_is_told_and_then_forgotten() {
        let now = Instant::now();
        let (mut holdings, mut ledger) = partial(&[3]);
        ledger.report(&holdings, 1, now);
        ledger.taken(ok(5), now);
        holdings.remove(A);
        ledger.gone(A);
        let report = ledger.report(&holdings, 1, now);
        assert_eq!(report.items[0].op, Op::Leave);
        ledger.taken(ok(5), now);
        assert!(!ledger.knows(A) && !ledger.has_news(now));
    }

    #[test]
    fn an_item_that_comes_back_while_its_leaving_is_out_is_told_again() {
        let now = Instant::now();
        let (mut holdings, mut ledger) = partial(&[3]);
        ledger.report(&holdings, 1, now);
        ledger.taken(ok(5), now);
        holdings.remove(A);
        ledger.gone(A);
        ledger.report(&holdings, 1, now);
        holdings.set(A, Holding::Seed(100));
        ledger.register(A);
        ledger.taken(ok(5), now);
        assert_eq!(ledger.report(&holdings, 1, now).items[0].op, Op::Seed);
    }
}
