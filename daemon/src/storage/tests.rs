//! Jobs through the queue and the threads, on real files.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use p2p_hash::sha1_many;
use p2p_wire::metainfo::{Builder, Content, Info};

use super::queue::{Hashed, Queue, Work};
use super::*;
use crate::resume::Site;

const PIECE: u32 = 16 * 1024;

/// An item of `files` files of three pieces each, and the bytes of its pieces.
fn item(files: usize) -> (Arc<Info>, Vec<Bytes>) {
    let pieces: Vec<Bytes> = (0..files * 3)
        .map(|n| Bytes::from(vec![n as u8; PIECE as usize]))
        .collect();
    let all: Vec<&[u8]> = pieces.iter().map(|piece| &piece[..]).collect();
    let mut hashes = vec![[0; 20]; all.len()];
    sha1_many(&all, &mut hashes);
    let file = |n| (vec![format!("{n:04}")], u64::from(PIECE) * 3);
    let builder = Builder {
        name: "item".into(),
        content: Content::Multi((0..files).map(file).collect()),
        piece_len: PIECE,
        private: false,
        announce: Vec::new(),
        comment: None,
        created: None,
    };
    (Arc::new(builder.build(&hashes).unwrap().info), pieces)
}

pub(super) fn tree(disk: &Disk, info: &Arc<Info>, dir: &Path) -> Arc<Tree> {
    disk.tree(TreeSpec {
        info,
        site: &Site::Staged(dir.into()),
        stage: dir,
        wanted: &[],
        writable: true,
        stamps: Vec::new(),
    })
}

pub(super) fn job(tree: &Arc<Tree>, piece: u32, bytes: &Bytes, inbox: &Arc<Inbox>) -> WriteJob {
    WriteJob {
        tree: tree.clone(),
        log: None,
        piece: tree.info().layout().piece(piece).unwrap(),
        begin: 0,
        blocks: vec![bytes.clone()],
        hash: Stream::new(),
        last: true,
        inbox: inbox.clone(),
    }
}

fn read(tree: &Arc<Tree>, inbox: &Arc<Inbox>) -> ReadJob {
    ReadJob {
        once: false,
        tree: tree.clone(),
        offset: 0,
        len: 1,
        buffer: None,
        inbox: inbox.clone(),
    }
}

pub(super) fn good(to_write: Vec<WriteJob>) -> Hashed {
    Hashed {
        to_write,
        parts: Vec::new(),
    }
}

pub(super) fn numbers(jobs: &[WriteJob]) -> Vec<u32> {
    jobs.iter().map(|job| job.piece.get()).collect()
}

#[test]
fn one_item_is_stored_by_one_thread_while_its_next_pieces_gather() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::alone(1);
    let (info, pieces) = item(1);
    let [a, b, c] = ["a", "b", "c"].map(|name| tree(&disk, &info, &dir.path().join(name)));
    let inbox = Arc::new(Inbox::default());
    let queue = Queue::default();
    let new = |tree: &Arc<Tree>, piece: u32| job(tree, piece, &pieces[piece as usize], &inbox);
    queue.hashed(good(vec![new(&a, 0), new(&b, 1), new(&a, 2)]));
    queue.write(new(&a, 1));
    let Some(Work::Store(first)) = queue.next() else {
        panic!("the good pieces of the first item come first");
    };
    assert_eq!(numbers(&first), [0, 2]);
    queue.hashed(good(vec![new(&a, 1)]));
    let Some(Work::Store(second)) = queue.next() else {
        panic!("the other item can be stored beside it");
    };
    assert_eq!((numbers(&second), second[0].tree.id()), (vec![1], b.id()));
    for _ in 0..2 {
        queue.read(read(&a, &inbox));
    }
    for _ in 0..2 {
        let work = queue.next();
        assert!(matches!(work, Some(Work::Read(_))), "a is being stored");
    }
    queue.write(new(&c, 0));
    let Some(Work::Hash(together)) = queue.next() else {
        panic!("nobody works on the third item");
    };
    assert_eq!(numbers(&together), [1, 0]);
    queue.stored(&[(a.id(), 0), (a.id(), 2)]);
    assert!(matches!(queue.next(), Some(Work::Store(jobs)) if numbers(&jobs) == [1]));
    queue.end();
    assert!(queue.next().is_none());
}

#[test]
fn room_that_was_taken_for_some_files_is_given_back_when_the_disk_is_full() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::alone(1);
    let (info, _) = item(3);
    let tree = tree(&disk, &info, dir.path());
    // Each file is opened, then allocated: the last call is that of the third.
    let faults = Faults::new(dir.path(), None);
    tree.prepare(&[], u64::MAX, 0).unwrap();
    let calls = faults.calls();
    drop(faults);
    (0..3).for_each(|file| std::fs::remove_file(tree.path(file)).unwrap());
    let tree = self::tree(&disk, &info, dir.path());
    let _faults = Faults::new(dir.path(), Some((calls, Fault::Full)));
    assert!(matches!(
        tree.prepare(&[], u64::MAX, 0),
        Err(StorageError::Full(_))
    ));
    assert_eq!(allocated(dir.path()), 0);
}

#[test]
fn pieces_in_a_row_are_written_together_and_each_to_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::alone(1);
    let (info, pieces) = item(2);
    let tree = tree(&disk, &info, dir.path());
    let inbox = Arc::new(Inbox::default());
    // Two rows, one in each file.
    let jobs = [4, 2, 5, 1].map(|n: u32| job(&tree, n, &pieces[n as usize], &inbox));
    threads::store(Vec::from(jobs));
    assert_eq!(inbox.take().len(), 4);
    for n in [1, 2, 4, 5] {
        assert!(
            tree.is_good(info.layout().piece(n).unwrap()).unwrap(),
            "{n}"
        );
    }
    assert!(!tree.is_good(info.layout().piece(3).unwrap()).unwrap());
}

#[test]
fn small_pieces_are_hashed_in_large_batches_and_reads_take_turns() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::alone(1);
    let (info, pieces) = item(100);
    let tree = tree(&disk, &info, dir.path());
    let inbox = Arc::new(Inbox::default());
    let queue = Queue::default();
    for (number, bytes) in pieces.iter().enumerate() {
        queue.write(job(&tree, number as u32, bytes, &inbox));
    }
    let mut batches = Vec::new();
    for offset in 0..2 {
        let job = read(&tree, &inbox);
        queue.read(ReadJob { offset, ..job });
    }
    for _ in 0..4 {
        batches.push(match queue.next() {
            Some(Work::Hash(jobs)) => jobs.len(),
            Some(Work::Read(_)) => 0,
            _ => panic!("nothing was good yet"),
        });
    }
    // 4 MiB at once, then the rest.
    assert_eq!(batches, [0, 256, 0, 44]);
}

#[tokio::test]
async fn good_pieces_are_written_whole_and_others_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::alone(3);
    let (info, pieces) = item(40);
    let tree = tree(&disk, &info, dir.path());
    let inbox = Arc::new(Inbox::default());
    for (number, bytes) in pieces.iter().enumerate() {
        let other = Bytes::from(vec![0xee; PIECE as usize]);
        let bytes = if number % 10 == 7 { &other } else { bytes };
        disk.write(job(&tree, number as u32, bytes, &inbox));
    }
    let mut outcomes = std::collections::BTreeMap::new();
    while outcomes.len() < pieces.len() {
        let ready = tokio::time::timeout(Duration::from_secs(20), inbox.ready()).await;
        ready.unwrap_or_else(|_| panic!("{} of {} done", outcomes.len(), pieces.len()));
        for done in inbox.take() {
            let Done::Written(written) = done else {
                panic!("nothing was read: {done:?}");
            };
            let good = matches!(written.outcome, Ok(Outcome::Good));
            outcomes.insert(written.piece.get(), good);
        }
    }
    assert!(
        outcomes
            .iter()
            .all(|(piece, good)| *good == (piece % 10 != 7))
    );
    for file in 0..40usize {
        let bytes = std::fs::read(tree.path(file)).unwrap();
        for (at, part) in bytes.chunks(PIECE as usize).enumerate() {
            let number = file * 3 + at;
            let expected = if number % 10 == 7 { 0 } else { number as u8 };
            assert!(part.iter().all(|byte| *byte == expected), "piece {number}");
        }
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn what_goes_to_one_peer_stays_in_the_page_cache_where_one_file_holds_it_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::alone(1);
    let (info, _) = item(2);
    let writable = tree(&disk, &info, dir.path());
    let known = writable.prepare(&[], u64::MAX, 0).unwrap();
    let known = Arc::new(Tree::new(
        &disk,
        TreeSpec {
            info: &info,
            site: &Site::Staged(dir.path().to_owned()),
            stage: dir.path(),
            wanted: &[],
            writable: false,
            stamps: known,
        },
    ));
    let inbox = Arc::new(Inbox::default());
    let mut reads = Vec::new();
    // Within the first file, and into the second.
    for (offset, len) in [(0, PIECE), (u64::from(PIECE), 3 * PIECE)] {
        let job = read(&known, &inbox);
        disk.read(ReadJob {
            offset,
            len,
            once: true,
            ..job
        });
        inbox.ready().await;
        reads.extend(inbox.take());
    }
    assert!(
        matches!(&reads[0], Done::Read(0, Ok(data @ Data::Pages(_))) if data.len() == PIECE as usize)
    );
    assert!(
        matches!(&reads[1], Done::Read(_, Ok(data @ Data::Bytes(_))) if data.len() == 3 * PIECE as usize)
    );
    std::fs::write(known.path(0), "changed").unwrap();
    disk.read(ReadJob {
        len: PIECE,
        once: true,
        ..read(&known, &inbox)
    });
    inbox.ready().await;
    let told = inbox.take();
    assert!(
        matches!(&told[..], [Done::Read(0, Err(StorageError::Changed(_)))]),
        "{told:?}"
    );
}

#[test]
fn every_file_that_is_synced_is_told_with_what_it_is_then() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::alone(1);
    let (info, _) = item(100);
    let tree = tree(&disk, &info, dir.path());
    tree.prepare(&[], u64::MAX, 0).unwrap();
    let files: BTreeSet<usize> = (0..100).filter(|file| file % 7 != 0).collect();
    let mut synced = tree.sync(&files).unwrap();
    synced.sort_by_key(|(file, _)| *file);
    let now = tree.stamps();
    let expected = files.iter().map(|file| (*file, now[*file].unwrap()));
    assert_eq!(synced, expected.collect::<Vec<_>>());
    assert_eq!(tree.files_of(&[0, 5]), BTreeSet::from([0, 1]));
}

#[tokio::test]
async fn a_panic_in_a_job_fails_that_job_and_the_threads_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::alone(1);
    let ((info, pieces), (larger, _)) = (item(1), item(2));
    let (inbox, tree) = (Arc::new(Inbox::default()), tree(&disk, &info, dir.path()));
    let mut bad = job(&tree, 0, &pieces[0], &inbox);
    // A piece of another item, of which this one has no hash.
    bad.piece = larger.layout().piece(5).unwrap();
    disk.write(bad);
    inbox.ready().await;
    let done = inbox.take();
    let [Done::Written(written)] = &done[..] else {
        panic!("{done:?}");
    };
    assert!(
        matches!(written.outcome, Err(StorageError::Bug)),
        "{written:?}"
    );
    disk.write(job(&tree, 1, &pieces[1], &inbox));
    inbox.ready().await;
    let done = inbox.take();
    assert!(
        matches!(
            &done[..],
            [Done::Written(Written {
                outcome: Ok(Outcome::Good),
                ..
            })]
        ),
        "{done:?}"
    );
    for lane in [Lane::Sync, Lane::Check, Lane::Idle] {
        let failed = disk
            .run(lane, || -> Result<(), _> { panic!("on purpose") })
            .await;
        assert_eq!(failed, Err(StorageError::Bug));
        assert_eq!(disk.run(lane, || Ok(1)).await, Ok(1));
    }
}

/// Whether this process has a file open.
fn is_open(path: &Path) -> bool {
    let open = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    let mut links = open.filter_map(|entry| std::fs::read_link(entry.path()).ok());
    links.any(|link| link == path)
}

#[test]
fn who_lets_go_of_an_item_does_not_wait_for_its_disk_to_close_the_files() {
    let dir = tempfile::tempdir().unwrap();
    let top = dir.path().canonicalize().unwrap();
    let mount = Mount::new(&top.join("held"));
    let disk = Disk::alone(1);
    let (info, _) = item(1);
    let [held, kept] = ["held", "kept"].map(|name| tree(&disk, &info, &top.join(name)));
    let path = kept.path(0);
    kept.file(0).unwrap();
    mount.hold();
    // Its only thread stands.
    disk.read(read(&held, &Arc::default()));
    while mount.standing() == 0 {
        thread::yield_now();
    }
    drop(kept);
    assert!(is_open(&path));
    mount.release();
    let end = std::time::Instant::now() + Duration::from_secs(10);
    while is_open(&path) {
        assert!(std::time::Instant::now() < end, "it stays open");
        thread::yield_now();
    }
}
