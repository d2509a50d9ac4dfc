//! SHA-1 of many pieces at once, and files to piece hashes.
#![deny(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))] // tests unwrap

mod backend;
mod files;
#[allow(unsafe_code, reason = "calls the vector backends")]
mod lanes;
mod many;
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code, reason = "vector loads and stores through pointers")]
mod x86;

pub use backend::{Backend, BackendError, Hasher};
pub use files::{FileSpec, HashError, Io, OpenFn, Options, Progress, hash_files, verify_files};
pub use many::{Stream, sha1_many};

/// A SHA-1: 20 bytes, the first byte of the first word first.
pub type Digest = [u8; 20];
