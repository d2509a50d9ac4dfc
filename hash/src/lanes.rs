//! Many messages over the lanes of one backend.
//!
//! A backend advances all its lanes by the same number of blocks. Messages differ in length, so the lanes run until the
//! shortest piece of work among them ends; that lane takes the next message and all go on. Padding is a lane's own
//! affair: its last one or two blocks are built aside and are just more work. Nothing falls to one stream because a
//! neighbour is shorter. Lanes with nothing left repeat a neighbour's bytes and their result is dropped.

use crate::Digest;

/// The five words of a SHA-1 state.
pub(crate) type State = [u32; 5];

/// The state before the first block (FIPS 180-4, 5.3.1).
pub(crate) const INITIAL: State = [
    0x6745_2301,
    0xefcd_ab89,
    0x98ba_dcfe,
    0x1032_5476,
    0xc3d2_e1f0,
];

pub(crate) const BLOCK: usize = 64;

/// `L` states, transposed: word by word, so that a vector load takes one word of every state.
#[repr(align(64))]
pub(crate) struct Words<const L: usize>(pub(crate) [[u32; L]; 5]);

/// Advances `L` states by a number of blocks, each from the front of its own slice.
///
/// Unsafe to call: the CPU must have what the function uses, and every slice must hold that many blocks.
pub(crate) type Compress<const L: usize> =
    unsafe fn(state: &mut Words<L>, data: &[&[u8]; L], blocks: usize);

/// One message, or a part of one, that waits for a lane.
pub(crate) struct Job<'a> {
    /// Where the message stands; advanced over `data`.
    pub(crate) state: &'a mut State,
    /// The next bytes. Whole blocks, unless the message ends here.
    pub(crate) data: &'a [u8],
    /// The length in bytes of the whole message if it ends with `data`: then padding follows.
    pub(crate) end: Option<u64>,
}

/// The bytes of a finished state.
pub(crate) fn digest(state: &State) -> Digest {
    let mut out = [0; 20];
    for (bytes, word) in out.chunks_exact_mut(4).zip(state) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    out
}

/// A lane at work: whole blocks of the message first, then the padded tail.
struct Lane<'a> {
    job: Job<'a>,
    body: &'a [u8],
    tail: [u8; 2 * BLOCK],
    tail_len: usize,
    tail_done: usize,
}

impl<'a> Lane<'a> {
    /// `None` if there is nothing to do.
    fn new(job: Job<'a>) -> Option<Self> {
        let (body, rest) = job.data.split_at(job.data.len() / BLOCK * BLOCK);
        let mut tail = [0; 2 * BLOCK];
        let mut tail_len = 0;
        if let Some(len) = job.end {
            // The rest, one bit, zeros, and the length in bits as the last 8 bytes of a block.
            tail_len = if rest.len() < BLOCK - 8 {
                BLOCK
            } else {
                2 * BLOCK
            };
            tail[..rest.len()].copy_from_slice(rest);
            tail[rest.len()] = 0x80;
            tail[tail_len - 8..tail_len].copy_from_slice(&(len.wrapping_mul(8)).to_be_bytes());
        } else {
            debug_assert!(rest.is_empty(), "only the end of a message may be ragged");
        }
        (body.len() + tail_len > 0).then_some(Self {
            job,
            body,
            tail,
            tail_len,
            tail_done: 0,
        })
    }

    /// The bytes that come next and lie in one place.
    fn ready(&self) -> &[u8] {
        if self.body.is_empty() {
            &self.tail[self.tail_done..self.tail_len]
        } else {
            self.body
        }
    }

    fn advance(&mut self, bytes: usize) {
        if self.body.is_empty() {
            self.tail_done += bytes;
        } else {
            self.body = &self.body[bytes..];
        }
    }

    fn is_done(&self) -> bool {
        self.body.is_empty() && self.tail_done == self.tail_len
    }

    /// What is left to do, for another backend.
    fn into_job(self) -> Job<'a> {
        let done = self.job.data.len() / BLOCK * BLOCK - self.body.len();
        Job {
            data: &self.job.data[done..],
            ..self.job
        }
    }
}

/// Works `jobs` off on `L` lanes, until fewer than `min_active` lanes have work; what is left then is returned.
///
/// # Safety
///
/// The CPU has what `compress` uses.
#[allow(unsafe_code, reason = "calls a function that needs CPU features")]
pub(crate) unsafe fn run<'a, const L: usize>(
    compress: Compress<L>,
    jobs: impl IntoIterator<Item = Job<'a>>,
    min_active: usize,
) -> Vec<Job<'a>> {
    let mut waiting = jobs.into_iter().filter_map(Lane::new);
    let mut lanes: [Option<Lane<'a>>; L] = [const { None }; L];
    let mut words = Words([[0; L]; 5]);
    loop {
        for (l, lane) in lanes.iter_mut().enumerate() {
            if lane.is_none()
                && let Some(next) = waiting.next()
            {
                for (word, value) in words.0.iter_mut().zip(next.job.state.iter()) {
                    word[l] = *value;
                }
                *lane = Some(next);
            }
        }
        let mut active = lanes.iter().flatten();
        let Some(first) = active.next().map(Lane::ready) else {
            return Vec::new();
        };
        let bytes = active.fold(first.len(), |min, lane| min.min(lane.ready().len()));
        // A tail that is half done cannot move; one more step ends it.
        if lanes.iter().flatten().count() < min_active
            && lanes.iter().flatten().all(|lane| lane.tail_done == 0)
        {
            break;
        }
        let data = lanes
            .each_ref()
            .map(|lane| &lane.as_ref().map_or(first, Lane::ready)[..bytes]);
        // SAFETY: the caller answers for the CPU; each slice is `bytes` long, and work comes in whole blocks.
        unsafe { compress(&mut words, &data, bytes / BLOCK) };
        for (l, slot) in lanes.iter_mut().enumerate() {
            let Some(lane) = slot else { continue };
            lane.advance(bytes);
            if lane.is_done() {
                store(&words, l, lane.job.state);
                *slot = None;
            }
        }
    }
    let mut left = Vec::new();
    for (l, lane) in lanes.into_iter().enumerate() {
        if let Some(lane) = lane {
            store(&words, l, lane.job.state);
            left.push(lane.into_job());
        }
    }
    left
}

fn store<const L: usize>(words: &Words<L>, lane: usize, state: &mut State) {
    for (value, word) in state.iter_mut().zip(&words.0) {
        *value = word[lane];
    }
}
