//! The SHA-1 compression function on several messages at once, in x86-64 vector registers.
//!
//! Every function here advances `L` states by the same number of blocks. States lie transposed, word by word
//! ([`Words`](crate::lanes::Words)), so that one vector register holds one word of every state.

// Its macros are there for those that follow.
#[macro_use]
mod rounds;

pub(crate) mod avx2;
pub(crate) mod avx512;
pub(crate) mod sha_ni;

/// Round constants of FIPS 180-4, 4.2.1.
pub(crate) const K: [u32; 4] = [0x5a82_7999, 0x6ed9_eba1, 0x8f1b_bcdc, 0xca62_c1d6];
