//! Files with content that compresses to nothing and can be made again from a seed.

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::Path;

use anyhow::{Context, Result};
use sha1::{Digest, Sha1};

/// Writes `len` bytes that depend on `seed` alone to a new file at `path`.
pub fn generate(path: &Path, len: u64, seed: u64) -> Result<()> {
    let file = File::create_new(path).with_context(|| format!("create {}", path.display()))?;
    let mut out = BufWriter::with_capacity(1 << 20, file);
    let mut state = seed ^ 0x9e37_79b9_7f4a_7c15;
    let mut block = [0u8; 64 * 1024];
    let mut left = len;
    while left > 0 {
        for word in block.chunks_exact_mut(8) {
            // SplitMix64.
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            word.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes());
        }
        let part = left.min(block.len() as u64) as usize;
        out.write_all(&block[..part])
            .with_context(|| format!("write {}", path.display()))?;
        left -= part as u64;
    }
    out.flush()
        .with_context(|| format!("write {}", path.display()))
}

/// SHA-1 of a file, in lower-case hex, by the `sha1` crate alone: independent of what the programs hash with.
pub fn sha1_of(path: &Path) -> Result<String> {
    let mut file = File::open(path).with_context(|| format!("open {}", path.display()))?;
    let mut hasher = Sha1::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = file
            .read(&mut buffer)
            .with_context(|| format!("read {}", path.display()))?;
        if read == 0 {
            return Ok(hasher
                .finalize()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect());
        }
        hasher.update(&buffer[..read]);
    }
}
