//! How fast frames are cut out of a stream and bencode is read.
//!
//! `cargo bench -p p2p-wire --bench codec`
#![allow(missing_docs)] // criterion_group! makes public functions without documentation

use std::hint::black_box;

use bytes::BytesMut;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use p2p_wire::bencode::{self, Encode};
use p2p_wire::metainfo::Metainfo;
use p2p_wire::peer::{FrameDecoder, Message};
use p2p_wire::{BLOCK_LEN, Block};

/// What the daemon reads at once.
const CHUNK: usize = 256 * 1024;

/// `count` frames of 16 KiB blocks.
fn blocks(count: u32) -> BytesMut {
    let mut out = BytesMut::new();
    for number in 0..count {
        let block = Block {
            piece: number / 64,
            begin: number % 64 * BLOCK_LEN,
            len: BLOCK_LEN,
        };
        Message::Piece(block).encode(&mut out);
        out.resize(out.len() + BLOCK_LEN as usize, 0);
    }
    out
}

fn haves(count: u32) -> BytesMut {
    let mut out = BytesMut::new();
    for piece in 0..count {
        Message::Have(piece).encode(&mut out);
    }
    out
}

/// Cuts a stream that was received in chunks into frames; the chunks are given as the buffers they were read into, so that what is timed is
/// the decoder and the copy of the frames that lie across two chunks.
fn decode(chunks: Vec<BytesMut>) -> u64 {
    let mut decoder = FrameDecoder::new(Some(1_000_000));
    let mut buffer = BytesMut::new();
    let mut frames = 0;
    for chunk in chunks {
        if buffer.is_empty() {
            buffer = chunk;
        } else {
            let need = decoder.need(&buffer).min(chunk.len());
            let mut chunk = chunk;
            buffer.unsplit(chunk.split_to(need));
            frames += drain(&mut decoder, &mut buffer);
            if buffer.is_empty() {
                buffer = chunk;
            } else {
                buffer.unsplit(chunk);
            }
        }
        frames += drain(&mut decoder, &mut buffer);
    }
    frames
}

fn drain(decoder: &mut FrameDecoder, buffer: &mut BytesMut) -> u64 {
    let mut frames = 0;
    while let Ok(Some(frame)) = decoder.decode(buffer) {
        black_box(&frame);
        frames += 1;
    }
    frames
}

fn frames(c: &mut Criterion) {
    for (name, stream, count) in [
        ("blocks", blocks(1_024), 1_024u64),
        ("haves", haves(100_000), 100_000),
    ] {
        let mut group = c.benchmark_group("frames");
        let chunks = || stream.chunks(CHUNK).map(BytesMut::from).collect();
        assert_eq!(decode(chunks()), count);
        group.throughput(Throughput::Elements(count));
        group.bench_function(name, |b| {
            b.iter_batched(chunks, decode, BatchSize::LargeInput);
        });
        group.finish();
    }
}

/// A torrent of 10,000 files in 100 folders.
fn torrent() -> Vec<u8> {
    let file = |number: usize| {
        let path = [
            format!("folder-{:03}", number / 100),
            format!("{number:05}.bin"),
        ];
        Encode::dict([
            ("length", Encode::Int(1_048_576)),
            ("path", Encode::List(path.map(Encode::bytes).into())),
        ])
    };
    let info = Encode::dict([
        ("name", Encode::bytes("dataset")),
        ("piece length", Encode::Int(4_194_304)),
        ("pieces", Encode::bytes(vec![7; 2_500 * 20])),
        ("files", Encode::List((0..10_000).map(file).collect())),
    ]);
    Encode::dict([
        ("announce", Encode::bytes("http://t/announce")),
        ("info", info),
    ])
    .to_vec()
}

fn torrents(c: &mut Criterion) {
    let bytes = torrent();
    let mut group = c.benchmark_group("torrent of 10,000 files");
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("bencode", |b| b.iter(|| bencode::decode(black_box(&bytes))));
    group.bench_function("metainfo", |b| {
        b.iter(|| Metainfo::from_bytes(black_box(&bytes)));
    });
    group.finish();
}

criterion_group!(benches, frames, torrents);
criterion_main!(benches);
