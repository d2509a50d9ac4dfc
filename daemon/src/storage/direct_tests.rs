//! Long pieces and their parts on the way to the disk, on real files.

use std::time::Instant;

use p2p_hash::sha1_many;
use p2p_wire::metainfo::{Builder, Content, Info};

use super::queue::{Queue, Work};
use super::tests::{good, job, numbers, tree};
use super::*;

/// An item of files whose ends lie anywhere in a page, of pieces long enough for direct writes.
fn odd_item() -> (Arc<Info>, Vec<Bytes>) {
    let piece_len = 512 * 1024;
    let lens = [700_001, 3, 0, 2_000_000, 4_095, 262_144, 1_500_000, 5];
    let total: usize = lens.iter().sum();
    let all: Vec<u8> = (0..total).map(|n| (n / 3 + n / 4096) as u8).collect();
    let pieces: Vec<&[u8]> = all.chunks(piece_len).collect();
    let mut hashes = vec![[0; 20]; pieces.len()];
    sha1_many(&pieces, &mut hashes);
    let files = lens.iter().enumerate();
    let files = files.map(|(n, len)| (vec![n.to_string()], *len as u64));
    let builder = Builder {
        name: "odd".into(),
        content: Content::Multi(files.collect()),
        piece_len: piece_len as u32,
        private: false,
        announce: Vec::new(),
        comment: None,
        created: None,
    };
    let pieces = pieces.into_iter().map(Bytes::copy_from_slice).collect();
    (Arc::new(builder.build(&hashes).unwrap().info), pieces)
}

#[test]
fn whole_pages_and_what_is_at_their_ends_get_to_their_place_in_any_order() {
    let (info, pieces) = odd_item();
    let last = pieces.len() as u32 - 1;
    for stride in [1, 2, 5] {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::alone(1);
        let tree = tree(&disk, &info, dir.path());
        tree.prepare(&[], u64::MAX, 0).unwrap();
        let inbox = Arc::new(Inbox::default());
        let order = (0..=last).map(|n| n * stride % (last + 1));
        for group in order.collect::<Vec<u32>>().chunks(stride as usize) {
            let jobs = group.iter().map(|n| {
                let blocks = pieces[*n as usize].chunks(16 * 1024);
                let blocks = blocks.map(Bytes::copy_from_slice).collect();
                let job = job(&tree, *n, &Bytes::new(), &inbox);
                WriteJob { blocks, ..job }
            });
            threads::store(jobs.collect());
        }
        for n in 0..=last {
            let piece = info.layout().piece(n).unwrap();
            assert!(tree.is_good(piece).unwrap(), "{n}, stride {stride}");
        }
    }
}

#[test]
fn whichever_call_of_a_write_fails_what_is_told_as_written_is_there() {
    let (info, pieces) = odd_item();
    for fault in [Fault::Full, Fault::Broken, Fault::Short] {
        for call in 1.. {
            let dir = tempfile::tempdir().unwrap();
            let disk = Disk::alone(1);
            let tree = tree(&disk, &info, dir.path());
            tree.prepare(&[], u64::MAX, 0).unwrap();
            let inbox = Arc::new(Inbox::default());
            let faults = Faults::new(dir.path(), Some((call, fault)));
            for (n, bytes) in pieces.iter().enumerate().rev() {
                threads::store(vec![job(&tree, n as u32, bytes, &inbox)]);
            }
            let calls = faults.calls();
            drop(faults);
            let done = inbox.take();
            assert_eq!(done.len(), pieces.len());
            let mut good = 0;
            for done in done {
                let Done::Written(written) = done else {
                    panic!("nothing was read: {done:?}");
                };
                if matches!(written.outcome, Ok(Outcome::Good)) {
                    good += 1;
                    assert!(tree.is_good(written.piece).unwrap(), "{fault:?} at {call}");
                }
            }
            let none_failed = calls < call;
            let lost = usize::from(!none_failed && fault != Fault::Short);
            assert_eq!(good, pieces.len() - lost, "{fault:?} at {call}");
            if none_failed {
                break;
            }
        }
    }
}

/// A disk that direct writes go well on.
fn quick_disk() -> Disk {
    let disk = Disk::alone(1);
    disk.direct.took(Duration::from_millis(1), Instant::now());
    disk
}

#[test]
fn direct_writes_of_one_item_go_on_side_by_side_and_those_of_short_pieces_do_not() {
    let dir = tempfile::tempdir().unwrap();
    let disk = quick_disk();
    let (info, pieces) = odd_item();
    let [long, short] = ["long", "short"].map(|name| tree(&disk, &info, &dir.path().join(name)));
    let inbox = Arc::new(Inbox::default());
    let bytes = pieces[0].slice(..direct::LEAST);
    let jobs = |tree: &Arc<Tree>, bytes: &Bytes, count: usize| {
        let jobs = (0..count).map(|n| WriteJob {
            blocks: vec![bytes.clone(); if bytes.len() < 4096 { 1 } else { 8 }],
            ..job(tree, n as u32, bytes, &inbox)
        });
        good(jobs.collect())
    };
    let queue = Queue::default();
    queue.end();
    // Each batch has 4 MiB, two pieces of 2 MiB here.
    queue.hashed(jobs(&long, &bytes, 8));
    queue.hashed(jobs(&short, &bytes.slice(..9), 9));
    let batches = std::iter::from_fn(|| match queue.next()? {
        Work::Store(jobs) => Some((jobs[0].tree.id(), jobs.len())),
        _ => panic!("there is nothing else to do"),
    });
    let batches: Vec<(u64, usize)> = batches.collect();
    let [long, short] = [long.id(), short.id()];
    assert_eq!(batches, [(long, 2), (long, 2), (long, 2), (short, 9)]);
    queue.stored(&[(long, 0), (long, 1)]);
    let Some(Work::Store(last)) = queue.next() else {
        panic!("one thread is back");
    };
    assert_eq!(numbers(&last), [6, 7]);
}

#[test]
fn the_parts_of_a_piece_are_stored_in_order_and_never_side_by_side() {
    let dir = tempfile::tempdir().unwrap();
    let disk = quick_disk();
    let (info, pieces) = odd_item();
    let tree = tree(&disk, &info, dir.path());
    let inbox = Arc::new(Inbox::default());
    let queue = Queue::default();
    queue.end();
    let part = |piece: u32, begin: u32| WriteJob {
        begin,
        ..job(&tree, piece, &pieces[0], &inbox)
    };
    // The piece 1 was given up, and came anew.
    queue.hashed(good(vec![
        part(1, 4096),
        part(1, 8192),
        part(2, 0),
        part(1, 0),
    ]));
    let mut batches = Vec::new();
    while let Some(Work::Store(jobs)) = queue.next() {
        assert!(queue.next().is_none(), "what is left is of a piece at work");
        batches.push(jobs.iter().map(|j| (j.piece.get(), j.begin)).collect());
        let keys: Vec<(u64, u32)> = jobs.iter().map(WriteJob::key).collect();
        queue.stored(&keys);
    }
    let batches: Vec<Vec<(u32, u32)>> = batches;
    assert_eq!(
        batches,
        [vec![(1, 4096), (2, 0)], vec![(1, 8192)], vec![(1, 0)]]
    );
}

#[test]
fn a_piece_of_which_a_part_could_not_be_written_is_not_good_however_it_ends() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::alone(1);
    let (info, pieces) = odd_item();
    let tree = tree(&disk, &info, dir.path());
    tree.prepare(&[], u64::MAX, 0).unwrap();
    let inbox = Arc::new(Inbox::default());
    let half = pieces[0].len() / 2;
    let part = |begin: usize, end: usize| WriteJob {
        begin: begin as u32,
        last: end == pieces[0].len(),
        ..job(&tree, 0, &pieces[0].slice(begin..end), &inbox)
    };
    let faults = Faults::new(dir.path(), Some((1, Fault::Full)));
    threads::store(vec![part(0, half)]);
    drop(faults);
    threads::store(vec![part(half, pieces[0].len())]);
    threads::store(vec![job(&tree, 1, &pieces[1], &inbox)]);
    let outcomes = inbox.take().into_iter().map(|done| match done {
        Done::Written(written) => written.outcome.is_ok(),
        other => panic!("{other:?}"),
    });
    assert_eq!(outcomes.collect::<Vec<bool>>(), [false, false, true]);
}
