use std::{fs, os::unix::fs::symlink, sync::Mutex};

use proptest::prelude::*;
use sha1::{Digest as _, Sha1};
use tempfile::TempDir;

use super::*;

/// Files with content that differs everywhere, and that content end to end.
fn files_of(dir: &TempDir, lens: &[usize]) -> (Vec<FileSpec>, Vec<u8>) {
    let mut whole = Vec::new();
    let mut files = Vec::new();
    for (n, len) in lens.iter().enumerate() {
        let content: Vec<u8> = (0..*len)
            .map(|i| (i * 31 + i / 251 + n * 7) as u8)
            .collect();
        let path = dir.path().join(format!("file{n}"));
        fs::write(&path, &content).unwrap();
        files.push(FileSpec::new(path, *len as u64));
        whole.extend(content);
    }
    (files, whole)
}

fn reference(whole: &[u8], piece_len: usize) -> Vec<Digest> {
    whole
        .chunks(piece_len)
        .map(|piece| Sha1::digest(piece).into())
        .collect()
}

fn each_io(mut test: impl FnMut(Options<'static>)) {
    for io in [Io::Auto, Io::Read, Io::Map] {
        for threads in [1, 3] {
            test(Options {
                io,
                threads,
                ..Options::default()
            });
        }
    }
}

/// The verdict on each piece, by number.
fn verify(
    files: &[FileSpec],
    piece_len: u32,
    expected: &[Digest],
    options: &Options<'_>,
) -> Result<Vec<bool>, HashError> {
    let verdicts = Mutex::new(vec![None; expected.len()]);
    verify_files(
        files,
        piece_len,
        expected,
        0..expected.len() as u32,
        options,
        &Progress::new(),
        |piece, good| {
            let before = verdicts.lock().unwrap()[piece as usize].replace(good);
            assert_eq!(before, None, "piece {piece} is told once");
        },
    )?;
    let verdicts = verdicts.into_inner().unwrap();
    Ok(verdicts
        .into_iter()
        .map(|verdict| verdict.unwrap())
        .collect())
}

#[test]
fn hashes_one_big_file_whose_last_piece_is_short() {
    let dir = TempDir::new().unwrap();
    let (files, whole) = files_of(&dir, &[5_000_003]);
    each_io(|options| {
        for piece_len in [16 * 1024, 100_001, 262_144, 8_000_000] {
            let progress = Progress::new();
            let hashes = hash_files(&files, piece_len, &options, &progress).unwrap();
            assert_eq!(hashes, reference(&whole, piece_len as usize));
            assert_eq!(progress.bytes_done(), 5_000_003);
        }
    });
}

#[test]
fn padding_counts_as_zeros_without_a_file() {
    let dir = TempDir::new().unwrap();
    let (mut files, mut whole) = files_of(&dir, &[1000]);
    files.push(FileSpec::zeros(70_000));
    whole.resize(71_000, 0);
    each_io(|options| {
        let hashes = hash_files(&files, 1024, &options, &Progress::new()).unwrap();
        assert_eq!(hashes, reference(&whole, 1024));
    });
}

#[test]
fn nothing_has_no_pieces() {
    let hashes = hash_files(&[], 16, &Options::default(), &Progress::new()).unwrap();
    assert!(hashes.is_empty());
}

#[test]
fn a_missing_file_is_named() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("gone");
    each_io(|options| {
        let error = hash_files(&[FileSpec::new(&path, 9)], 16, &options, &Progress::new());
        match error {
            Err(HashError::Io {
                path: named,
                source,
            }) => {
                assert_eq!(
                    (named, source.kind()),
                    (path.clone(), io::ErrorKind::NotFound)
                );
            }
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn a_file_of_another_length_than_said_has_changed() {
    let dir = TempDir::new().unwrap();
    let (mut files, _) = files_of(&dir, &[100_000]);
    each_io(|options| {
        for len in [99_999, 100_001] {
            files[0].len = len;
            let result = hash_files(&files, 1024, &options, &Progress::new());
            assert!(
                matches!(result, Err(HashError::Changed { .. })),
                "{result:?}"
            );
        }
    });
}

#[test]
fn links_folders_and_fifos_are_not_hashed() {
    let dir = TempDir::new().unwrap();
    let (files, _) = files_of(&dir, &[10]);
    let link = dir.path().join("link");
    symlink(files[0].path.as_ref().unwrap(), &link).unwrap();
    let fifo = dir.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    for path in [link, fifo, dir.path().to_owned()] {
        let spec = [FileSpec::new(path, 10)];
        let result = hash_files(&spec, 16, &Options::default(), &Progress::new());
        assert!(matches!(result, Err(HashError::Io { .. })), "{result:?}");
        assert_eq!(
            verify(&spec, 16, &[[0; 20]], &Options::default()).unwrap(),
            [false]
        );
    }
}

#[test]
fn a_cancelled_hash_ends() {
    let dir = TempDir::new().unwrap();
    let (files, _) = files_of(&dir, &[100_000]);
    let progress = Progress::new();
    progress.cancel();
    let result = hash_files(&files, 1024, &Options::default(), &progress);
    assert!(matches!(result, Err(HashError::Cancelled)), "{result:?}");
}

#[test]
fn files_are_opened_the_way_the_caller_says() {
    let dir = TempDir::new().unwrap();
    let (files, whole) = files_of(&dir, &[3000]);
    let elsewhere = [FileSpec::new("name", 3000)];
    let open = |path: &Path| {
        assert_eq!(path, Path::new("name"));
        File::open(files[0].path.as_ref().unwrap())
    };
    let options = Options {
        open: Some(&open),
        ..Options::default()
    };
    let hashes = hash_files(&elsewhere, 1024, &options, &Progress::new()).unwrap();
    assert_eq!(hashes, reference(&whole, 1024));
}

#[test]
fn verifying_finds_the_piece_that_was_altered_and_only_that() {
    let dir = TempDir::new().unwrap();
    let (files, mut whole) = files_of(&dir, &[200_000]);
    let expected = reference(&whole, 4096);
    whole[5 * 4096 + 17] ^= 1;
    fs::write(files[0].path.as_ref().unwrap(), &whole).unwrap();
    each_io(|options| {
        let good = verify(&files, 4096, &expected, &options).unwrap();
        let bad: Vec<_> = (0..good.len()).filter(|piece| !good[*piece]).collect();
        assert_eq!(bad, [5]);
    });
}

#[test]
fn verifying_a_short_and_a_missing_file_gives_bad_pieces() {
    let dir = TempDir::new().unwrap();
    let (files, whole) = files_of(&dir, &[10_000, 10_000, 10_000]);
    let expected = reference(&whole, 1000);
    fs::remove_file(files[0].path.as_ref().unwrap()).unwrap();
    File::options()
        .write(true)
        .open(files[1].path.as_ref().unwrap())
        .unwrap()
        .set_len(4_500)
        .unwrap();
    each_io(|options| {
        let good = verify(&files, 1000, &expected, &options).unwrap();
        let good: Vec<_> = (0..good.len()).filter(|piece| good[*piece]).collect();
        assert_eq!(
            good,
            [10, 11, 12, 13, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29]
        );
    });
}

#[test]
fn verifying_pieces_there_are_not_gives_bad_pieces() {
    let dir = TempDir::new().unwrap();
    let (files, whole) = files_of(&dir, &[2000]);
    let expected = reference(&whole, 1000);
    let mut told = Vec::new();
    verify_files(
        &files,
        1000,
        &expected[..1],
        [0, 1, 2, u32::MAX],
        &Options::default(),
        &Progress::new(),
        |piece, good| told.push((piece, good)),
    )
    .unwrap();
    told.sort_unstable();
    assert_eq!(told, [(0, true), (1, false), (2, false), (u32::MAX, false)]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn many_files_hash_as_if_they_were_one(
        lens in prop::collection::vec(prop_oneof![0usize..3, 0usize..5000, 30_000usize..70_000], 1..30),
        piece_len in prop_oneof![1usize..200, 4000usize..5000, Just(32_768), 60_000usize..70_000],
    ) {
        let dir = TempDir::new().unwrap();
        let (files, whole) = files_of(&dir, &lens);
        let expected = reference(&whole, piece_len);
        each_io(|options| {
            let hashes = hash_files(&files, piece_len as u32, &options, &Progress::new()).unwrap();
            assert_eq!(hashes, expected);
        });
    }
}
