//! SHA-1 of many messages: whole ones at once, or streams that advance together.

use crate::{
    Digest, Hasher,
    lanes::{BLOCK, INITIAL, Job, State, digest},
};

/// SHA-1 of each input (FIPS 180-4), with the fastest backend of this CPU; see [`Hasher::sha1_many`].
///
/// # Panics
///
/// If `inputs` and `out` differ in length.
pub fn sha1_many(inputs: &[&[u8]], out: &mut [Digest]) {
    Hasher::auto().sha1_many(inputs, out);
}

/// A SHA-1 in the making. It advances with others by [`Hasher::update`] and ends with [`Hasher::finish`].
#[derive(Clone, Debug)]
pub struct Stream {
    state: State,
    /// Bytes so far.
    len: u64,
    /// The last `len % 64` of them, which do not fill a block yet.
    partial: [u8; BLOCK],
}

impl Stream {
    /// One that has seen no byte.
    pub fn new() -> Self {
        Self {
            state: INITIAL,
            len: 0,
            partial: [0; BLOCK],
        }
    }

    /// How many bytes it has seen.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether it has seen none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn pending(&self) -> usize {
        (self.len % BLOCK as u64) as usize
    }
}

impl Default for Stream {
    fn default() -> Self {
        Self::new()
    }
}

impl Hasher {
    /// SHA-1 of each input. Inputs may be any number, of any lengths; a multiple of [`Hasher::lanes`] of similar length is quickest.
    ///
    /// # Panics
    ///
    /// If `inputs` and `out` differ in length.
    pub fn sha1_many(&self, inputs: &[&[u8]], out: &mut [Digest]) {
        assert_eq!(inputs.len(), out.len(), "one digest for each input");
        let mut states = vec![INITIAL; inputs.len()];
        let jobs = states.iter_mut().zip(inputs).map(|(state, data)| Job {
            state,
            data,
            end: Some(data.len() as u64),
        });
        self.run(jobs.collect());
        for (out, state) in out.iter_mut().zip(&states) {
            *out = digest(state);
        }
    }

    /// Advances each stream by its bytes. Bytes that fill blocks of 64 are hashed where they are; a ragged end is copied.
    pub fn update(&self, feeds: &mut [(&mut Stream, &[u8])]) {
        let mut jobs = Vec::with_capacity(feeds.len());
        for (stream, data) in feeds {
            let mut data = *data;
            let pending = stream.pending();
            stream.len += data.len() as u64;
            if pending > 0 {
                let (fill, rest) = data.split_at(data.len().min(BLOCK - pending));
                stream.partial[pending..pending + fill.len()].copy_from_slice(fill);
                if pending + fill.len() < BLOCK {
                    continue;
                }
                sha1::block_api::compress(&mut stream.state, &[stream.partial]);
                data = rest;
            }
            let (whole, rest) = data.split_at(data.len() / BLOCK * BLOCK);
            stream.partial[..rest.len()].copy_from_slice(rest);
            jobs.push(Job {
                state: &mut stream.state,
                data: whole,
                end: None,
            });
        }
        self.run(jobs);
    }

    /// The digests of the streams, which are then as new.
    ///
    /// # Panics
    ///
    /// If `streams` and `out` differ in length.
    pub fn finish(&self, streams: &mut [Stream], out: &mut [Digest]) {
        assert_eq!(streams.len(), out.len(), "one digest for each stream");
        let jobs = streams.iter_mut().map(|stream| {
            let pending = stream.pending();
            Job {
                state: &mut stream.state,
                data: &stream.partial[..pending],
                end: Some(stream.len),
            }
        });
        self.run(jobs.collect());
        for (out, stream) in out.iter_mut().zip(streams) {
            *out = digest(&stream.state);
            *stream = Stream::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sha1::{Digest as _, Sha1};

    /// Runs `test` with every backend this CPU has, and with the automatic choice; says which are skipped.
    fn each_hasher(mut test: impl FnMut(Hasher)) {
        for backend in Backend::ALL {
            match Hasher::force(backend) {
                Ok(hasher) => test(hasher),
                Err(error) => eprintln!("skipped: {error}"),
            }
        }
        test(Hasher::auto());
    }

    use crate::Backend;

    fn reference(data: &[u8]) -> Digest {
        Sha1::digest(data).into()
    }

    /// Bytes that differ at every place and between seeds.
    fn bytes(seed: u64, len: usize) -> Vec<u8> {
        let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let next = || {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            x as u8
        };
        std::iter::repeat_with(next).take(len).collect()
    }

    fn check(hasher: Hasher, inputs: &[Vec<u8>]) {
        let slices: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
        let mut out = vec![[0; 20]; inputs.len()];
        hasher.sha1_many(&slices, &mut out);
        for (input, out) in inputs.iter().zip(out) {
            assert_eq!(out, reference(input), "{hasher:?}, {} bytes", input.len());
        }
    }

    #[test]
    fn agrees_with_the_published_examples() {
        each_hasher(|hasher| {
            let mut out = [[0; 20]; 2];
            hasher.sha1_many(&[b"abc", b""], &mut out);
            assert_eq!(out[0][..4], [0xa9, 0x99, 0x3e, 0x36]);
            assert_eq!(out[1][..4], [0xda, 0x39, 0xa3, 0xee]);
        });
    }

    #[test]
    fn hashes_every_length_up_to_300_alone_and_in_one_batch() {
        let inputs: Vec<_> = (0..=300).map(|len| bytes(len as u64, len)).collect();
        each_hasher(|hasher| {
            for input in &inputs {
                check(hasher, std::slice::from_ref(input));
            }
            check(hasher, &inputs);
        });
    }

    #[test]
    fn hashes_equal_lengths_on_any_number_of_lanes() {
        each_hasher(|hasher| {
            for count in 0..=hasher.lanes() + 5 {
                for len in [55, 56, 64, 1000, 4096] {
                    let inputs: Vec<_> = (0..count).map(|n| bytes(n as u64, len)).collect();
                    check(hasher, &inputs);
                }
            }
        });
    }

    #[test]
    fn one_long_message_among_short_ones_is_not_cut() {
        each_hasher(|hasher| {
            let mut inputs: Vec<_> = (0..40).map(|n| bytes(n, 100 + n as usize)).collect();
            inputs.insert(7, bytes(99, 100_001));
            check(hasher, &inputs);
        });
    }

    #[test]
    fn a_finished_stream_starts_anew() {
        each_hasher(|hasher| {
            let mut streams = [Stream::new()];
            let mut out = [[0; 20]];
            for text in [&b"first"[..], b"second"] {
                hasher.update(&mut [(&mut streams[0], text)]);
                hasher.finish(&mut streams, &mut out);
                assert_eq!(out[0], reference(text));
            }
        });
    }

    proptest! {
        #[test]
        fn hashes_random_batches(lens in prop::collection::vec(0usize..3000, 0..40), seed: u64) {
            let inputs: Vec<_> = lens.iter().enumerate().map(|(n, len)| bytes(seed ^ n as u64, *len)).collect();
            each_hasher(|hasher| check(hasher, &inputs));
        }

        #[test]
        fn streams_do_not_care_where_their_bytes_are_split(
            splits in prop::collection::vec(prop::collection::vec(0usize..300, 0..8), 1..20),
            seed: u64,
        ) {
            each_hasher(|hasher| {
                let whole: Vec<_> = splits.iter().enumerate()
                    .map(|(n, parts)| bytes(seed ^ n as u64, parts.iter().sum())).collect();
                let mut streams = vec![Stream::new(); splits.len()];
                let mut at = vec![0; splits.len()];
                for step in 0..8 {
                    let mut feeds: Vec<(&mut Stream, &[u8])> = Vec::new();
                    for (n, stream) in streams.iter_mut().enumerate() {
                        let len = splits[n].get(step).copied().unwrap_or(0);
                        feeds.push((stream, &whole[n][at[n]..at[n] + len]));
                        at[n] += len;
                    }
                    hasher.update(&mut feeds);
                }
                let mut out = vec![[0; 20]; splits.len()];
                hasher.finish(&mut streams, &mut out);
                for (whole, out) in whole.iter().zip(out) {
                    assert_eq!(out, reference(whole), "{hasher:?}");
                }
            });
        }
    }
}
