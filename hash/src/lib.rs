//! SHA-1 of many pieces at once, and files to piece hashes.
//!
//! # Shape
//!
//! One SHA-1 is a chain: each step waits for the one before, and most of a core idles. Pieces do not depend on one another, so
//! a core can advance many of them side by side. The parts, from the inside out:
//!
//! - `x86`: "advance L states by N blocks", for 16 lanes of AVX-512, 8 of AVX2, 4 of SHA-NI. Elsewhere, and for a
//!   single message, the `sha1` crate does the same for one.
//! - `lanes`: messages of any lengths over such lanes. A lane that ends takes the next message; nobody waits for it.
//! - [`Hasher`]: which backends, for how many messages: measured, or forced by name.
//! - [`sha1_many`] for whole messages, [`Stream`] and [`Hasher::update`] for messages that advance together bit by bit.
//! - [`hash_files`] and [`verify_files`]: files laid end to end, on all cores.
//! - `guard`: reads of a map survive that its file is truncated.
//! - [`stand_back`]: hashing that can wait.
//!
//! # Measuring
//!
//! ```text
//! cargo bench -p p2p-hash -- sha1      # each backend, one core
//! cargo bench -p p2p-hash -- files     # files from the page cache, map and pread, one thread and all cores
//! ```
#![deny(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))] // tests unwrap

mod backend;
mod files;
#[cfg_attr(not(unix), path = "guard/none.rs")]
mod guard;
#[allow(unsafe_code, reason = "calls the vector backends")]
mod lanes;
mod many;
mod priority;
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code, reason = "vector loads and stores through pointers")]
mod x86;

pub use backend::{Backend, BackendError, Hasher};
pub use files::{FileSpec, HashError, Io, OpenFn, Options, Progress, hash_files, verify_files};
pub use many::{Stream, sha1_many};
pub use priority::stand_back;

/// A SHA-1: 20 bytes, the first byte of the first word first.
pub type Digest = [u8; 20];
