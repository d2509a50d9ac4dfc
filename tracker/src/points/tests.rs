use p2p_wire::Bitfield;
use p2p_wire::points::checksum;
use proptest::prelude::*;

use super::*;

const HASH: InfoHash = InfoHash([7; 20]);

fn reporter(node: u32) -> Reporter {
    Reporter {
        account: AccountId(node % 10 + 1),
        node: NodeId(node),
    }
}

/// The pieces that a drawing such as `*_**` has.
fn drawn(drawing: &str) -> Vec<u32> {
    (0u32..)
        .zip(drawing.bytes())
        .filter(|(_, byte)| *byte == b'*')
        .map(|(piece, _)| piece)
        .collect()
}

fn bitmap(pieces: &[u32], len: u32) -> Vec<u8> {
    let mut set = Bitfield::new(len);
    pieces.iter().for_each(|piece| {
        set.set(*piece);
    });
    set.as_bytes().to_vec()
}

/// One item whose holders, machine 1 and on, are drawn.
fn swarm(drawings: &[&str]) -> (Points, u32) {
    let len = drawings[0].len() as u32;
    let mut points = Points::new(1, 100);
    let handle = points.register(HASH, len).unwrap();
    for (node, drawing) in (1..).zip(drawings) {
        let applied = send(
            &mut points,
            handle,
            node,
            Op::Full(bitmap(&drawn(drawing), len)),
            &drawn(drawing),
            0,
        );
        assert!(matches!(applied, Applied::Ok(_)));
    }
    (points, handle)
}

/// Reports `op`, with `held` as the reporter's set after it.
fn send(points: &mut Points, handle: u32, node: u32, op: Op, held: &[u32], now: u32) -> Applied {
    points.hear(reporter(node), now);
    let update = Update {
        op: &op,
        held: held.len() as u32,
        checksum: checksum(held.iter().copied()),
    };
    let applied = points.apply(reporter(node), handle, update, now);
    points.check_invariants();
    applied
}

/// Takes a machine out of all its items, one by one.
fn leave(points: &mut Points, node: NodeId, now: u32) {
    while points.leave_one(node, now).is_some() {
        points.check_invariants();
    }
}

fn take_held(points: &mut Points, now: u32) -> Vec<(InfoHash, Vec<LastHeld>)> {
    let changed = points.changed();
    changed
        .into_iter()
        .filter_map(|handle| points.take_held(handle, now))
        .collect()
}

fn status(points: &Points, handle: u32, node: u32) -> p2p_wire::points::Swarm {
    match points.reply(handle, NodeId(node), Silent::default()).status {
        Status::Ok(swarm) => swarm,
        other => panic!("{other:?}"),
    }
}

#[test]
fn names_the_rarest_pieces_that_the_reporter_lacks() {
    let (points, handle) = swarm(&[
        "**______", //
        "_***____", //
        "*****___",
    ]);
    let told = status(&points, handle, 1);
    assert_eq!(told.rarest, [2, 3, 4]);
    assert_eq!(
        (told.seeds, told.partial, told.least, told.nobody),
        (0, 3, 0, 3)
    );
    // A peer that does not report may have what nobody is known to hold.
    let silent = Silent {
        seeds: 0,
        leeches: 1,
    };
    let Status::Ok(told) = points.reply(handle, NodeId(3), silent).status else {
        panic!()
    };
    assert_eq!((told.rarest, told.unknown), (vec![5, 6, 7], 1));
}

#[test]
fn a_seed_leaves_no_piece_without_a_holder() {
    let (mut points, handle) = swarm(&["**______"]);
    assert_eq!(
        send(&mut points, handle, 2, Op::Seed, &[], 0),
        Applied::Ok(Change::Seed(false))
    );
    let summary = points.item(&HASH).unwrap().summary(Silent::default());
    assert_eq!(
        (
            summary.seeds,
            summary.partial,
            summary.least,
            summary.most,
            summary.nobody
        ),
        (1, 1, 1, 2, 0)
    );
    assert!((summary.copies - 1.25).abs() < 1e-9);
    assert_eq!(
        points.item(&HASH).unwrap().counts(Silent::default()),
        [(2, 2), (6, 1)]
    );
}

#[test]
fn the_last_added_piece_makes_a_seed() {
    let (mut points, handle) = swarm(&["***_"]);
    assert_eq!(
        send(&mut points, handle, 1, Op::Add(vec![3]), &[0, 1, 2, 3], 0),
        Applied::Ok(Change::Seed(true))
    );
    assert_eq!(
        send(&mut points, handle, 1, Op::Keep, &[0, 1, 2, 3], 0),
        Applied::Ok(Change::None)
    );
    assert_eq!(
        send(&mut points, handle, 1, Op::Remove(vec![0]), &[1, 2, 3], 0),
        Applied::Ok(Change::None)
    );
    assert_eq!(status(&points, handle, 1).nobody, 1);
}

#[test]
fn a_retried_add_is_harmless_and_a_lost_one_asks_for_all() {
    let (mut points, handle) = swarm(&["*_____"]);
    assert_eq!(
        send(&mut points, handle, 1, Op::Add(vec![2]), &[0, 2], 0),
        Applied::Ok(Change::Pieces(vec![2]))
    );
    assert_eq!(
        send(&mut points, handle, 1, Op::Add(vec![2]), &[0, 2], 0),
        Applied::Ok(Change::None)
    );
    // The report that added 3 never arrived.
    assert_eq!(
        send(&mut points, handle, 1, Op::Add(vec![4]), &[0, 2, 3, 4], 0),
        Applied::Resync
    );
    let all = [0, 2, 3, 4];
    assert_eq!(
        send(&mut points, handle, 1, Op::Full(bitmap(&all, 6)), &all, 0),
        Applied::Ok(Change::Replaced(4))
    );
}

#[test]
fn sets_that_do_not_fit_the_item_ask_for_all() {
    let (mut points, handle) = swarm(&["*_____"]);
    assert_eq!(
        send(&mut points, handle, 1, Op::Add(vec![6]), &[0, 6], 0),
        Applied::Resync
    );
    assert_eq!(
        send(&mut points, handle, 1, Op::Full(vec![0xff]), &[], 0),
        Applied::Resync
    );
    assert_eq!(
        send(&mut points, handle, 1, Op::Full(vec![]), &[], 0),
        Applied::Resync
    );
    assert_eq!(
        send(&mut points, handle + 1, 1, Op::Keep, &[], 0),
        Applied::Unknown
    );
    assert_eq!(points.register(HASH, 7), None);
}

#[test]
fn the_machines_of_one_account_are_capped() {
    let mut points = Points::new(1, 2);
    let handle = points.register(HASH, 4).unwrap();
    let same = |node| Reporter {
        account: AccountId(1),
        node: NodeId(node),
    };
    let seed = Update {
        op: &Op::Seed,
        held: 4,
        checksum: 0,
    };
    for node in 1..=3 {
        points.hear(same(node), 0);
        let applied = points.apply(same(node), handle, seed, 0);
        assert_eq!(applied == Applied::Unknown, node == 3);
        assert_eq!(
            points.apply(same(1), handle, seed, 0),
            Applied::Ok(Change::None),
            "a machine counts once"
        );
        points.check_invariants();
    }
    assert_eq!(
        points.item(&HASH).unwrap().summary(Silent::default()).seeds,
        2
    );
}

#[test]
fn a_silent_machine_is_gone_from_all_its_items_and_remembered_as_the_last_holder() {
    let (mut points, handle) = swarm(&["**__", "_*__"]);
    points.hear(reporter(2), SILENCE);
    assert_eq!(points.silent(SILENCE), []);
    assert_eq!(points.silent(SILENCE + 1), [NodeId(1)]);
    let left = points.leave_one(NodeId(1), SILENCE + 1);
    assert_eq!(left, Some((reporter(1).account, HASH)));
    assert_eq!(points.leave_one(NodeId(1), SILENCE + 1), None);
    assert!(!points.is_online(NodeId(1)));
    points.check_invariants();
    assert_eq!(status(&points, handle, 2).nobody, 3);
    let lost: Vec<_> = points
        .item(&HASH)
        .unwrap()
        .lost()
        .iter()
        .map(|(a, b, (n, _))| (a, b, *n))
        .collect();
    assert_eq!(lost, [(0, 0, NodeId(1))]);
}

#[test]
fn a_machine_that_leaves_one_swarm_holds_none_of_it_and_stays_in_others() {
    let (mut points, handle) = swarm(&["****", "_*__"]);
    let other = InfoHash([8; 20]);
    let second = points.register(other, 4).unwrap();
    send(&mut points, second, 1, Op::Seed, &[0, 1, 2, 3], 0);
    points.leave(NodeId(1), &HASH, 5);
    points.leave(NodeId(1), &HASH, 5);
    points.leave(NodeId(9), &other, 5);
    points.check_invariants();
    assert_eq!(status(&points, handle, 2).nobody, 3);
    assert_eq!(points.contents_of(NodeId(1)), [other]);
    // What it says of it afterwards is asked for anew.
    let again = send(&mut points, handle, 1, Op::Keep, &[0, 1, 2, 3], 6);
    assert!(matches!(again, Applied::Resync), "{again:?}");
}

#[test]
fn a_seed_that_leaves_is_the_last_holder_of_what_nobody_else_has() {
    for (others, expected) in [(&[][..], (0, 3)), (&["**__"], (2, 3)), (&["____"], (0, 3))] {
        let mut points = Points::new(1, 100);
        let handle = points.register(HASH, 4).unwrap();
        for (node, drawing) in (2..).zip(others) {
            let op = Op::Full(bitmap(&drawn(drawing), 4));
            send(&mut points, handle, node, op, &drawn(drawing), 0);
        }
        send(&mut points, handle, 1, Op::Seed, &[0, 1, 2, 3], 0);
        send(&mut points, handle, 1, Op::Leave, &[], 5);
        let lost = points.item(&HASH).unwrap().lost().iter();
        let lost: Vec<_> = lost.map(|(a, b, (n, _))| (a, b, *n)).collect();
        assert_eq!(lost, [(expected.0, expected.1, NodeId(1))], "{others:?}");
    }
}

#[test]
fn held_names_a_machine_for_every_piece_that_was_ever_held() {
    let (mut points, handle) = swarm(&["**____", "_**___"]);
    send(&mut points, handle, 1, Op::Leave, &[], 50);
    let held = take_held(&mut points, 60);
    assert_eq!(
        held,
        [(HASH, vec![(0, 0, NodeId(1), 50), (1, 2, NodeId(2), 60)])]
    );
    assert_eq!(take_held(&mut points, 70), []);
    leave(&mut points, NodeId(2), 80);
    assert_eq!(take_held(&mut points, 90).len(), 1);
    assert!(
        points.item(&HASH).is_none(),
        "an item that nobody holds is dropped"
    );
    assert!(
        points.register(HASH, 6).unwrap() > handle,
        "a handle is never given twice"
    );
    points.check_invariants();
}

#[test]
fn ten_thousand_peers_of_ten_thousand_pieces_fit_in_16_mb() {
    let bitmap = 10_000usize.div_ceil(8) + 16; // and what the allocator adds
    let slots = (10_000usize * 8 / 7).next_power_of_two();
    let pieces = 10_000 * 3 * std::mem::size_of::<u32>() + 10_000 * std::mem::size_of::<u32>();
    let bytes = 10_000 * bitmap + slots * (item::HOLDER_LEN + 1) + pieces;
    assert!(bytes < 16_000_000, "{bytes} bytes");
}

#[derive(Clone, Debug)]
enum Step {
    Report(u32, u32, Op),
    Leave(u32),
    Forget(u32),
    Expire(u32),
    Flush,
}

fn step() -> impl Strategy<Value = Step> {
    let pieces = || {
        prop::collection::btree_set(0u32..14, 0..6)
            .prop_map(|set| set.into_iter().collect::<Vec<_>>())
    };
    let op = prop_oneof![
        Just(Op::Keep),
        Just(Op::Seed),
        Just(Op::Leave),
        pieces().prop_map(Op::Add),
        pieces().prop_map(Op::Remove),
        prop::collection::vec(any::<u8>(), 2).prop_map(|mut bytes| {
            bytes[1] &= 0xf0;
            Op::Full(bytes)
        }),
    ];
    prop_oneof![
        12 => (0u32..3, 0u32..25, op).prop_map(|(item, node, op)| Step::Report(item, node, op)),
        1 => (0u32..25).prop_map(Step::Leave),
        1 => (0u32..3).prop_map(Step::Forget),
        1 => (0u32..400).prop_map(Step::Expire),
        1 => Just(Step::Flush),
    ]
}

proptest! {
    #[test]
    fn keeps_its_invariants_whatever_is_reported(steps in prop::collection::vec(step(), 1..80)) {
        let mut points = Points::new(9, 2);
        let mut now = 0;
        for step in steps {
            match step {
                Step::Report(item, node, op) => {
                    points.hear(reporter(node), now);
                    let handle = points.register(InfoHash([item as u8; 20]), 12).unwrap();
                    points.apply(reporter(node), handle, Update { op: &op, held: 3, checksum: 5 }, now);
                    points.reply(handle, NodeId(node), Silent { seeds: 0, leeches: node % 2 });
                }
                Step::Leave(node) => leave(&mut points, NodeId(node), now),
                Step::Forget(item) => points.forget(&InfoHash([item as u8; 20])),
                Step::Expire(by) => {
                    now += by;
                    for node in points.silent(now) {
                        leave(&mut points, node, now);
                    }
                }
                Step::Flush => drop(take_held(&mut points, now)),
            }
            points.check_invariants();
        }
    }
}
