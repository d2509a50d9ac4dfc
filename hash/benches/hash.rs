//! Speed of the backends and of hashing files.
//!
//! - one core, each backend: `cargo bench -p p2p-hash -- sha1`
//! - files from the page cache, each way to read: `cargo bench -p p2p-hash -- files`

use std::{hint::black_box, io::Write};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use p2p_hash::{Backend, FileSpec, Hasher, Io, Options, Progress, hash_files};
use sha1::{Digest, Sha1};

const PIECE: usize = 512 * 1024;

fn noise(len: usize) -> Vec<u8> {
    let mut x = 0x9e37_79b9_7f4a_7c15u64;
    let words = std::iter::repeat_with(|| {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x.to_le_bytes()
    });
    words.take(len.div_ceil(8)).flatten().take(len).collect()
}

fn hashers() -> Vec<(String, Hasher)> {
    let mut hashers = vec![("auto".to_owned(), Hasher::auto())];
    for backend in Backend::ALL {
        match Hasher::force(backend) {
            Ok(hasher) => hashers.push((backend.to_string(), hasher)),
            Err(error) => eprintln!("skipped: {error}"),
        }
    }
    hashers
}

fn sha1(c: &mut Criterion) {
    let data = noise(16 * PIECE);
    let mut batch = |name: &str, inputs: &[&[u8]]| {
        let mut group = c.benchmark_group(format!("sha1/{name}"));
        let bytes: usize = inputs.iter().map(|input| input.len()).sum();
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function("sha1-crate", |b| {
            b.iter(|| {
                for input in inputs {
                    black_box(Sha1::digest(input));
                }
            });
        });
        for (name, hasher) in hashers() {
            let mut out = vec![[0; 20]; inputs.len()];
            group.bench_function(name, |b| b.iter(|| hasher.sha1_many(inputs, &mut out)));
        }
        group.finish();
    };
    let pieces: Vec<&[u8]> = data.chunks(PIECE).collect();
    batch("16 pieces of 512 KiB", &pieces);
    for streams in [1, 2, 3, 4, 6, 8, 10, 12] {
        let some: Vec<&[u8]> = pieces[..streams]
            .iter()
            .map(|piece| &piece[..32 * 1024])
            .collect();
        batch(&format!("{streams} of 32 KiB"), &some);
    }
    let some: Vec<&[u8]> = pieces.iter().map(|piece| &piece[..16 * 1024]).collect();
    batch("16 blocks of 16 KiB", &some);
    // Lengths from 20 to 200 KB in no order, as of small files.
    let ragged: Vec<&[u8]> = (0..60)
        .map(|n| &data[n * 100_000..][..20_000 + n * 7_919_777 % 180_000])
        .collect();
    batch("60 of 20 to 200 KB", &ragged);
}

fn files(c: &mut Criterion) {
    let mut big = tempfile::NamedTempFile::new().expect("a temporary file");
    let part = noise(64 << 20);
    for _ in 0..4 {
        big.write_all(&part).expect("room for 256 MiB");
    }
    let big_files = [FileSpec::new(big.path(), 256 << 20)];

    let dir = tempfile::tempdir().expect("a temporary directory");
    let small_files: Vec<FileSpec> = (0..2000)
        .map(|n| {
            let path = dir.path().join(n.to_string());
            let content = &part[n * 1000..][..20_000 + n * 7_919_777 % 180_000];
            std::fs::write(&path, content).expect("room for 220 MB");
            FileSpec::new(path, content.len() as u64)
        })
        .collect();

    for (name, files) in [
        ("one of 256 MiB", &big_files[..]),
        ("2000 of 20 to 200 KB", &small_files),
    ] {
        let mut group = c.benchmark_group(format!("files/{name}"));
        group.sample_size(20);
        group.throughput(Throughput::Bytes(files.iter().map(|file| file.len).sum()));
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
        for threads in [1, cores] {
            for io in [Io::Read, Io::Map] {
                let options = Options {
                    threads,
                    io,
                    ..Options::default()
                };
                let id = BenchmarkId::new(format!("{io:?}"), format!("{threads} threads"));
                group.bench_function(id, |b| {
                    b.iter(|| {
                        hash_files(files, PIECE as u32, &options, &Progress::new())
                            .expect("the files are there")
                    });
                });
            }
        }
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(std::time::Duration::from_millis(500))
        .measurement_time(std::time::Duration::from_secs(2));
    targets = sha1, files
}
criterion_main!(benches);
