//! A few messages at once with the SHA instructions.
//!
//! `sha1rnds4` does four rounds and the next four wait for its result, so one message leaves the unit idle most of the
//! time. Others whose instructions alternate with its own fill the gaps: four fill them all. They do not fit in sixteen registers, but the
//! loads and stores of what does not are done beside.

use std::arch::x86_64::*;

use crate::lanes::Words;

/// Advances all states by `blocks` blocks of 64 bytes, each from the front of its own slice.
///
/// # Safety
///
/// The CPU has SHA, SSSE3 and SSE4.1, and every slice of `data` holds at least `64 * blocks` bytes.
#[target_feature(enable = "sha,ssse3,sse4.1")]
pub(crate) unsafe fn compress<const L: usize>(
    state: &mut Words<L>,
    data: &[&[u8]; L],
    blocks: usize,
) {
    let swap = _mm_set_epi64x(0x0001_0203_0405_0607, 0x0809_0a0b_0c0d_0e0f);
    let mut abcd = [_mm_setzero_si128(); L];
    let mut e = abcd;
    for lane in 0..L {
        let word = |t: usize| state.0[t][lane] as i32;
        abcd[lane] = _mm_set_epi32(word(0), word(1), word(2), word(3));
        e[lane] = _mm_set_epi32(word(4), 0, 0, 0);
    }

    for block in 0..blocks {
        let mut w = [[_mm_setzero_si128(); L]; 4];
        for (t, four) in w.iter_mut().enumerate() {
            for (four, input) in four.iter_mut().zip(data) {
                // SAFETY: block < blocks and t < 4, so the 16 bytes end within the 64 * blocks the caller promises.
                let bytes =
                    unsafe { _mm_loadu_si128(input.as_ptr().add(64 * block + 16 * t).cast()) };
                *four = _mm_shuffle_epi8(bytes, swap);
            }
        }
        (abcd, e) = rounds(abcd, e, w);
    }

    for lane in 0..L {
        state.0[0][lane] = _mm_extract_epi32::<3>(abcd[lane]) as u32;
        state.0[1][lane] = _mm_extract_epi32::<2>(abcd[lane]) as u32;
        state.0[2][lane] = _mm_extract_epi32::<1>(abcd[lane]) as u32;
        state.0[3][lane] = _mm_extract_epi32::<0>(abcd[lane]) as u32;
        state.0[4][lane] = _mm_extract_epi32::<3>(e[lane]) as u32;
    }
}

/// The eighty rounds on one block of each message, four at a time.
#[inline]
#[target_feature(enable = "sha,ssse3,sse4.1")]
fn rounds<const L: usize>(
    abcd: [__m128i; L],
    e: [__m128i; L],
    mut w: [[__m128i; L]; 4],
) -> ([__m128i; L], [__m128i; L]) {
    let mut now = abcd;
    // The state four rounds ago: `sha1nexte` makes the next e of its a.
    let mut before = [_mm_setzero_si128(); L];

    macro_rules! four {
        ($f:literal, $t:literal) => {
            for lane in 0..L {
                let words = if $t < 4 {
                    w[$t % 4][lane]
                } else {
                    let first = _mm_sha1msg1_epu32(w[$t % 4][lane], w[($t + 1) % 4][lane]);
                    let xor = _mm_xor_si128(first, w[($t + 2) % 4][lane]);
                    w[$t % 4][lane] = _mm_sha1msg2_epu32(xor, w[($t + 3) % 4][lane]);
                    w[$t % 4][lane]
                };
                let sum = if $t == 0 {
                    _mm_add_epi32(e[lane], words)
                } else {
                    _mm_sha1nexte_epu32(before[lane], words)
                };
                before[lane] = now[lane];
                now[lane] = _mm_sha1rnds4_epu32::<$f>(now[lane], sum);
            }
        };
    }
    macro_rules! twenty {
        ($f:literal, $t0:literal $t1:literal $t2:literal $t3:literal $t4:literal) => {
            four!($f, $t0);
            four!($f, $t1);
            four!($f, $t2);
            four!($f, $t3);
            four!($f, $t4);
        };
    }
    twenty!(0, 0 1 2 3 4);
    twenty!(1, 5 6 7 8 9);
    twenty!(2, 10 11 12 13 14);
    twenty!(3, 15 16 17 18 19);

    let mut end = abcd;
    let mut end_e = e;
    for lane in 0..L {
        end[lane] = _mm_add_epi32(now[lane], abcd[lane]);
        end_e[lane] = _mm_sha1nexte_epu32(before[lane], e[lane]);
    }
    (end, end_e)
}
