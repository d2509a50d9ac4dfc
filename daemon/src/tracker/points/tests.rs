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
