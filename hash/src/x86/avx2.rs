//! Eight messages at once in AVX2.
//!
//! As with AVX-512, rows of 32 bytes are loaded and transposed 8x8, twice a block. There are only sixteen registers, so
//! the message schedule lives in a 512-byte array on the stack; there is no vector rotate, so a rotation is two
//! shifts and an or.

use std::arch::x86_64::*;

use super::K;
use crate::lanes::Words;

const LANES: usize = 8;

/// Advances eight states by `blocks` blocks of 64 bytes, each from the front of its own slice.
///
/// # Safety
///
/// The CPU has AVX2, and every slice of `data` holds at least `64 * blocks` bytes.
#[target_feature(enable = "avx2")]
pub(crate) unsafe fn compress(state: &mut Words<LANES>, data: &[&[u8]; LANES], blocks: usize) {
    let swap =
        _mm256_broadcastsi128_si256(_mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203));
    // SAFETY: each word of the state is 8 u32, 32 bytes.
    let mut h = state
        .0
        .each_ref()
        .map(|word| unsafe { _mm256_loadu_si256(word.as_ptr().cast()) });

    for block in 0..blocks {
        let mut w = [_mm256_setzero_si256(); 16];
        for (half, columns) in w.chunks_exact_mut(LANES).enumerate() {
            for (row, input) in columns.iter_mut().zip(data) {
                // SAFETY: block < blocks and half < 2, so the 32 bytes end within the 64 * blocks the caller promises.
                let bytes = unsafe {
                    _mm256_loadu_si256(input.as_ptr().add(64 * block + 32 * half).cast())
                };
                *row = _mm256_shuffle_epi8(bytes, swap);
            }
            transpose(columns);
        }
        h = rounds(h, w);
    }

    for (word, h) in state.0.iter_mut().zip(h) {
        // SAFETY: each word of the state is 8 u32, 32 bytes.
        unsafe { _mm256_storeu_si256(word.as_mut_ptr().cast(), h) };
    }
}

/// Turns eight rows of eight words into eight columns.
#[inline]
#[target_feature(enable = "avx2")]
fn transpose(w: &mut [__m256i]) {
    // Within each 128-bit half: groups of four rows become four columns of four rows.
    for g in [0, 4] {
        let t0 = _mm256_unpacklo_epi32(w[g], w[g + 1]);
        let t1 = _mm256_unpackhi_epi32(w[g], w[g + 1]);
        let t2 = _mm256_unpacklo_epi32(w[g + 2], w[g + 3]);
        let t3 = _mm256_unpackhi_epi32(w[g + 2], w[g + 3]);
        w[g] = _mm256_unpacklo_epi64(t0, t2);
        w[g + 1] = _mm256_unpackhi_epi64(t0, t2);
        w[g + 2] = _mm256_unpacklo_epi64(t1, t3);
        w[g + 3] = _mm256_unpackhi_epi64(t1, t3);
    }
    for j in 0..4 {
        let (first, second) = (w[j], w[4 + j]);
        w[j] = _mm256_permute2x128_si256::<0x20>(first, second);
        w[4 + j] = _mm256_permute2x128_si256::<0x31>(first, second);
    }
}

/// `x` rotated left by `L` bits; `R` is `32 - L`.
#[inline]
#[target_feature(enable = "avx2")]
fn rotate<const L: i32, const R: i32>(x: __m256i) -> __m256i {
    _mm256_or_si256(_mm256_slli_epi32::<L>(x), _mm256_srli_epi32::<R>(x))
}

/// The eighty rounds on one block of each message.
#[inline]
#[target_feature(enable = "avx2")]
fn rounds(h: [__m256i; 5], mut w: [__m256i; 16]) -> [__m256i; 5] {
    let [mut a, mut b, mut c, mut d, mut e] = h;

    macro_rules! ch {
        ($b:ident $c:ident $d:ident) => {
            _mm256_xor_si256($d, _mm256_and_si256($b, _mm256_xor_si256($c, $d)))
        };
    }
    macro_rules! parity {
        ($b:ident $c:ident $d:ident) => {
            _mm256_xor_si256($b, _mm256_xor_si256($c, $d))
        };
    }
    // The two terms share no bit, so their sum is their or; c ^ d and c & d do not wait for b.
    macro_rules! maj {
        ($b:ident $c:ident $d:ident) => {
            _mm256_add_epi32(
                _mm256_and_si256($c, $d),
                _mm256_and_si256($b, _mm256_xor_si256($c, $d)),
            )
        };
    }
    macro_rules! round {
        ($a:ident $b:ident $c:ident $d:ident $e:ident, $f:ident, $k:literal, $w:expr) => {
            $e = _mm256_add_epi32($e, _mm256_add_epi32($w, _mm256_set1_epi32(K[$k] as i32)));
            $e = _mm256_add_epi32($e, $f!($b $c $d));
            $e = _mm256_add_epi32($e, rotate::<5, 27>($a));
            $b = rotate::<30, 2>($b);
        };
    }
    // Word t of the schedule, made in the place of word t - 16.
    macro_rules! word {
        ($t:expr) => {{
            let xor = _mm256_xor_si256(
                _mm256_xor_si256(w[($t + 13) % 16], w[($t + 8) % 16]),
                _mm256_xor_si256(w[($t + 2) % 16], w[$t % 16]),
            );
            w[$t % 16] = rotate::<1, 31>(xor);
            w[$t % 16]
        }};
    }

    eighty_rounds!(round word w, [a b c d e], [ch parity maj]);

    [
        _mm256_add_epi32(h[0], a),
        _mm256_add_epi32(h[1], b),
        _mm256_add_epi32(h[2], c),
        _mm256_add_epi32(h[3], d),
        _mm256_add_epi32(h[4], e),
    ]
}
