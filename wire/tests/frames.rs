//! Frames come out the same however the stream was cut.
#![allow(clippy::unwrap_used)] // a test may panic

use bytes::{Bytes, BytesMut};
use p2p_wire::Block;
use p2p_wire::MAX_BLOCK_LEN;
use p2p_wire::peer::{Frame, FrameDecoder, Message};
use proptest::collection::vec;
use proptest::prelude::*;

const PIECES: u32 = 4_096;

fn any_block() -> impl Strategy<Value = Block> {
    (any::<u32>(), any::<u32>(), any::<u32>()).prop_map(|(piece, begin, len)| Block {
        piece,
        begin,
        len,
    })
}

fn any_bytes(most: usize) -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..=most).prop_map(Bytes::from)
}

fn plain(message: impl Strategy<Value = Message>) -> impl Strategy<Value = Frame> {
    message.prop_map(|message| Frame {
        message,
        data: Bytes::new(),
    })
}

fn any_frame() -> impl Strategy<Value = Frame> {
    let bare = prop::sample::select(vec![
        Message::KeepAlive,
        Message::Choke,
        Message::Unchoke,
        Message::Interested,
        Message::NotInterested,
        Message::HaveAll,
        Message::HaveNone,
        Message::Unknown(99),
    ]);
    let piece = (any::<u32>(), any::<u32>(), any_bytes(600)).prop_map(|(piece, begin, data)| {
        let len = data.len() as u32;
        Frame {
            message: Message::Piece(Block { piece, begin, len }),
            data,
        }
    });
    prop_oneof![
        plain(bare),
        plain(any::<u32>().prop_map(Message::Have)),
        plain(any::<u32>().prop_map(Message::Suggest)),
        plain(any::<u32>().prop_map(Message::AllowedFast)),
        plain(any::<u16>().prop_map(Message::Port)),
        plain(any_block().prop_map(Message::Request)),
        plain(any_block().prop_map(Message::Cancel)),
        plain(any_block().prop_map(Message::Reject)),
        plain(any_bytes(PIECES as usize / 8).prop_map(Message::Bitfield)),
        plain((any::<u8>(), any_bytes(300)).prop_map(|(id, p)| Message::Extended(id, p))),
        piece,
    ]
}

fn encode(frames: &[Frame]) -> BytesMut {
    let mut out = BytesMut::new();
    for frame in frames {
        frame.message.encode(&mut out);
        out.extend_from_slice(&frame.data);
    }
    out
}

proptest! {
    #[test]
    fn any_split_gives_the_frames_that_were_sent(
        frames in vec(any_frame(), 0..30),
        cuts in vec(1..400usize, 1..50),
    ) {
        let stream = encode(&frames);
        let mut decoder = FrameDecoder::new(Some(PIECES));
        let (mut buffer, mut read) = (BytesMut::new(), Vec::new());
        let mut rest = &stream[..];
        for cut in cuts.into_iter().cycle() {
            let (now, later) = rest.split_at(cut.min(rest.len()));
            rest = later;
            buffer.extend_from_slice(now);
            while let Some(frame) = decoder.decode(&mut buffer).unwrap() {
                read.push(frame);
            }
            prop_assert!(decoder.need(&buffer) > 0);
            if rest.is_empty() {
                break;
            }
        }
        prop_assert!(buffer.is_empty());
        prop_assert_eq!(read, frames);
    }

    /// Reading no more than `need` says never reads beyond the frame, and gets there.
    #[test]
    fn what_it_needs_is_never_more_than_the_frame_has(frame in any_frame()) {
        let stream = encode(std::slice::from_ref(&frame));
        let mut decoder = FrameDecoder::new(Some(PIECES));
        let (mut buffer, mut at) = (BytesMut::new(), 0);
        loop {
            let need = decoder.need(&buffer);
            if need == 0 {
                break;
            }
            let end = (at + need).min(stream.len());
            prop_assert!(end > at || stream.len() < 5, "needs {need} of nothing");
            buffer.extend_from_slice(&stream[at..end]);
            at = end;
        }
        prop_assert_eq!(decoder.decode(&mut buffer), Ok(Some(frame)));
        prop_assert_eq!(at, stream.len());
    }

    /// A frame is refused by its first five bytes, or never asks for more than the largest block.
    #[test]
    fn no_length_makes_it_want_more_than_a_block(len: u32, id: u8, pieces in prop::option::of(0..100_000u32)) {
        let mut buffer = BytesMut::from(&len.to_be_bytes()[..]);
        buffer.extend_from_slice(&[id]);
        let mut decoder = FrameDecoder::new(pieces);
        let need = decoder.need(&buffer);
        prop_assert!(need <= MAX_BLOCK_LEN as usize + 8);
        match decoder.decode(&mut buffer) {
            Ok(None) => prop_assert!(need > 0),
            Ok(Some(_)) | Err(_) => prop_assert_eq!(need, 0),
        }
    }
}
