//! Any stream of peer messages, cut anywhere: the frames are the same however it arrives, and little is held back.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use p2p_wire::peer::{Frame, FrameDecoder};

/// Larger than any legal frame that is kept whole; one of an unknown kind is thrown away as it comes.
const MOST_HELD: usize = 256 * 1024;

fuzz_target!(|input: (u16, Vec<u8>, Vec<u8>)| {
    let (pieces, cuts, stream) = input;
    let pieces = Some(u32::from(pieces) + 1);
    let whole = read(pieces, [&stream[..]]);
    let mut parts = Vec::new();
    let mut rest = &stream[..];
    for cut in cuts {
        let (part, after) = rest.split_at(rest.len().min(cut.into()));
        parts.push(part);
        rest = after;
    }
    parts.push(rest);
    assert_eq!(read(pieces, parts), whole);
});

/// The frames, and whether the stream broke the protocol.
fn read<'a>(pieces: Option<u32>, parts: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Frame>, bool) {
    let mut decoder = FrameDecoder::new(pieces);
    let mut buffer = BytesMut::new();
    let mut frames = Vec::new();
    for part in parts {
        buffer.extend_from_slice(part);
        loop {
            match decoder.decode(&mut buffer) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(_) => return (frames, true),
            }
        }
        assert!(buffer.len() < MOST_HELD);
    }
    (frames, false)
}
