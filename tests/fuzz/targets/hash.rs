//! Any number of messages of any lengths, whole and bit by bit: every backend finds what the `sha1` crate finds.
#![no_main]

use libfuzzer_sys::fuzz_target;
use p2p_hash::{Backend, Digest, Hasher, Stream};
use sha1::Digest as _;

/// Twice the lanes of the widest backend, and a few.
const MOST: usize = 36;

fuzz_target!(|bytes: &[u8]| {
    let [count, part, rest @ ..] = bytes else {
        return;
    };
    let (lens, _) = rest.as_chunks::<2>();
    let lens = &lens[..lens.len().min(usize::from(*count) % MOST)];
    let content = &rest[2 * lens.len()..];
    let messages: Vec<&[u8]> = (lens.iter().enumerate())
        .map(|(n, len)| {
            let from = n.min(content.len());
            let len = usize::from(u16::from_le_bytes(*len)) % (content.len() - from + 1);
            &content[from..from + len]
        })
        .collect();
    let expected: Vec<Digest> = messages
        .iter()
        .map(|m| sha1::Sha1::digest(m).into())
        .collect();
    let hashers = Backend::ALL.into_iter().flat_map(Hasher::force);
    for hasher in hashers.chain([Hasher::auto()]) {
        let mut found = vec![[0; 20]; messages.len()];
        hasher.sha1_many(&messages, &mut found);
        assert_eq!(found, expected, "{} at once", hasher.backend());

        let mut streams = vec![Stream::new(); messages.len()];
        let part = usize::from(*part) + 1;
        for begin in (0..content.len()).step_by(part) {
            let parts = messages.iter().map(|m| {
                let from = begin.min(m.len());
                &m[from..(begin + part).min(m.len())]
            });
            let mut feeds: Vec<_> = streams.iter_mut().zip(parts).collect();
            hasher.update(&mut feeds);
        }
        hasher.finish(&mut streams, &mut found);
        assert_eq!(found, expected, "{} in parts", hasher.backend());
    }
});
