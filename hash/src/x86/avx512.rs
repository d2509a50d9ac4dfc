//! Sixteen messages at once in AVX-512 (F for the arithmetic, BW for the byte swap).
//!
//! A block of every message is one 64-byte register: sixteen loads and a 16x16 transpose put word `t` of all
//! messages into register `t` (gathers would cost several times as much). The message schedule never leaves the
//! registers: 16 words, 5 of state, 1 of scratch and the constants fit in 32. `vprold` rotates, `vpternlogd` is each of
//! Ch, Parity and Maj in one instruction, and three quarters of the schedule's xor.

use std::arch::x86_64::*;

use super::K;
use crate::lanes::Words;

const LANES: usize = 16;

const CH: i32 = 0xca;
const PARITY: i32 = 0x96;
const MAJ: i32 = 0xe8;

/// Advances sixteen states by `blocks` blocks of 64 bytes, each from the front of its own slice.
///
/// # Safety
///
/// The CPU has AVX-512 F and BW, and every slice of `data` holds at least `64 * blocks` bytes.
#[target_feature(enable = "avx512f,avx512bw")]
pub(crate) unsafe fn compress(state: &mut Words<LANES>, data: &[&[u8]; LANES], blocks: usize) {
    let swap = _mm512_broadcast_i32x4(_mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203));
    let k = K.map(|k| _mm512_set1_epi32(k as i32));
    // SAFETY: each word of the state is 16 u32, 64 bytes.
    let mut h = state
        .0
        .each_ref()
        .map(|word| unsafe { _mm512_loadu_si512(word.as_ptr().cast()) });

    for block in 0..blocks {
        let mut w = [_mm512_setzero_si512(); LANES];
        for (row, input) in w.iter_mut().zip(data) {
            // SAFETY: block < blocks, and the caller promises 64 * blocks bytes in each slice.
            let bytes = unsafe { _mm512_loadu_si512(input.as_ptr().add(64 * block).cast()) };
            *row = _mm512_shuffle_epi8(bytes, swap);
        }
        transpose(&mut w);
        h = rounds(h, w, &k);
    }

    for (word, h) in state.0.iter_mut().zip(h) {
        // SAFETY: each word of the state is 16 u32, 64 bytes.
        unsafe { _mm512_storeu_si512(word.as_mut_ptr().cast(), h) };
    }
}

/// Turns sixteen rows of sixteen words into sixteen columns.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn transpose(w: &mut [__m512i; LANES]) {
    // Within each 128-bit quarter: groups of four rows become four columns of four rows.
    for g in [0, 4, 8, 12] {
        let t0 = _mm512_unpacklo_epi32(w[g], w[g + 1]);
        let t1 = _mm512_unpackhi_epi32(w[g], w[g + 1]);
        let t2 = _mm512_unpacklo_epi32(w[g + 2], w[g + 3]);
        let t3 = _mm512_unpackhi_epi32(w[g + 2], w[g + 3]);
        w[g] = _mm512_unpacklo_epi64(t0, t2);
        w[g + 1] = _mm512_unpackhi_epi64(t0, t2);
        w[g + 2] = _mm512_unpacklo_epi64(t1, t3);
        w[g + 3] = _mm512_unpackhi_epi64(t1, t3);
    }
    // Across quarters: quarter q of group g goes to quarter g of column 4q + j.
    for j in 0..4 {
        let low0 = _mm512_shuffle_i32x4::<0x44>(w[j], w[4 + j]);
        let high0 = _mm512_shuffle_i32x4::<0xee>(w[j], w[4 + j]);
        let low1 = _mm512_shuffle_i32x4::<0x44>(w[8 + j], w[12 + j]);
        let high1 = _mm512_shuffle_i32x4::<0xee>(w[8 + j], w[12 + j]);
        w[j] = _mm512_shuffle_i32x4::<0x88>(low0, low1);
        w[4 + j] = _mm512_shuffle_i32x4::<0xdd>(low0, low1);
        w[8 + j] = _mm512_shuffle_i32x4::<0x88>(high0, high1);
        w[12 + j] = _mm512_shuffle_i32x4::<0xdd>(high0, high1);
    }
}

/// The eighty rounds on one block of each message.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn rounds(h: [__m512i; 5], mut w: [__m512i; LANES], k: &[__m512i; 4]) -> [__m512i; 5] {
    let [mut a, mut b, mut c, mut d, mut e] = h;

    // One round with the word in `$w`; the roles of a..e turn by the order of the arguments.
    macro_rules! round {
        ($a:ident $b:ident $c:ident $d:ident $e:ident, $f:ident, $k:literal, $w:expr) => {
            // e + k + w does not wait for the round before, so it is summed first.
            $e = _mm512_add_epi32($e, _mm512_add_epi32($w, k[$k]));
            $e = _mm512_add_epi32($e, _mm512_ternarylogic_epi32::<$f>($b, $c, $d));
            $e = _mm512_add_epi32($e, _mm512_rol_epi32::<5>($a));
            $b = _mm512_rol_epi32::<30>($b);
        };
    }
    // Word t of the schedule, made in the place of word t - 16.
    macro_rules! word {
        ($t:expr) => {{
            let three = _mm512_ternarylogic_epi32::<PARITY>(
                w[($t + 13) % 16],
                w[($t + 8) % 16],
                w[($t + 2) % 16],
            );
            w[$t % 16] = _mm512_rol_epi32::<1>(_mm512_xor_si512(three, w[$t % 16]));
            w[$t % 16]
        }};
    }

    eighty_rounds!(round word w, [a b c d e], [CH PARITY MAJ]);

    [
        _mm512_add_epi32(h[0], a),
        _mm512_add_epi32(h[1], b),
        _mm512_add_epi32(h[2], c),
        _mm512_add_epi32(h[3], d),
        _mm512_add_epi32(h[4], e),
    ]
}
