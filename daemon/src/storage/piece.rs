//! Pieces to and from files.

use std::fs::File;
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use bytes::Bytes;
use nix::sys::uio::pwritev;
use p2p_hash::{Digest, Hasher, Stream};
use p2p_wire::{Layout, PieceIndex};

use super::direct::whole_pages;
use super::pages::Pages;
use super::seam::{self, Call};
use super::tree::{Opened, Tree};
use super::{StorageError, kernel};

/// Bytes in one `pwritev`, unless one block is longer. A longer write makes the kernel take larger pages for its cache, which come not from
/// what was used last but from what lies free: in a virtual machine that gives free memory back, each has to be asked of the host.
const PORTION: usize = 32 * 1024;

/// Buffers in one `pwritev`: what Linux takes at most.
const MAX_SLICES: usize = 1024;

/// Read from the disk at once for who asks for a piece block by block: a disk takes hardly longer for that than for one block.
const PART: u64 = 1024 * 1024;

/// Advances each hash by its blocks, all side by side: a vector unit hashes 16 pieces as fast as one.
pub(super) fn advance(hasher: &Hasher, hashes: &mut [Stream], blocks: &[&[Bytes]]) {
    let rounds = blocks.iter().map(|blocks| blocks.len()).max().unwrap_or(0);
    for round in 0..rounds {
        let mut feeds: Vec<(&mut Stream, &[u8])> = (hashes.iter_mut().zip(blocks))
            .filter_map(|(hash, blocks)| Some((hash, &blocks.get(round)?[..])))
            .collect();
        hasher.update(&mut feeds);
    }
}

/// Writes blocks, in order from `offset` of the content on, to the files they belong to; padding is left out.
pub(super) fn write(tree: &Tree, offset: u64, blocks: &[Bytes]) -> Result<(), StorageError> {
    let len = blocks.iter().map(|block| block.len() as u64).sum();
    let mut rest = Cut::new(blocks);
    for span in tree.info.spans(offset, len) {
        let len = span.len as usize;
        if tree.info.files().get(span.file).is_some_and(|f| f.padding) {
            rest.take(len);
            continue;
        }
        let (before, pages) = whole_pages(span.offset, len);
        let path = || tree.path(span.file);
        let fault = |error: io::Error| StorageError::at(path(), &error);
        let file = tree.file(span.file).map_err(fault)?;
        let mut at = span.offset;
        write_all(&file, path, &mut rest.take(before), at).map_err(fault)?;
        at += before as u64;
        let mut slices = rest.take(pages);
        let direct = &tree.disk().direct;
        let done = direct.write(&file, path, &slices, at);
        let done = done.map_err(fault)?;
        at += done as u64;
        let mut slices = &mut slices[..];
        IoSlice::advance_slices(&mut slices, done);
        write_all(&file, path, slices, at).map_err(fault)?;
        at += (pages - done) as u64;
        let after = len - before - pages;
        write_all(&file, path, &mut rest.take(after), at).map_err(fault)?;
    }
    Ok(())
}

/// Takes bytes off the front of a list of blocks.
struct Cut<'a> {
    blocks: &'a [Bytes],
    at: usize,
}

impl<'a> Cut<'a> {
    fn new(blocks: &'a [Bytes]) -> Self {
        Self { blocks, at: 0 }
    }

    fn take(&mut self, mut len: usize) -> Vec<IoSlice<'a>> {
        let mut slices = Vec::new();
        while len > 0
            && let Some((block, rest)) = self.blocks.split_first()
        {
            let left = &block[self.at..];
            let part = &left[..left.len().min(len)];
            slices.push(IoSlice::new(part));
            len -= part.len();
            self.at += part.len();
            if self.at == block.len() {
                (self.blocks, self.at) = (rest, 0);
            }
        }
        slices
    }
}

fn write_all(
    file: &File,
    path: impl Fn() -> PathBuf,
    mut slices: &mut [IoSlice<'_>],
    mut offset: u64,
) -> io::Result<()> {
    while !slices.is_empty() {
        let most = seam::allow(Call::Write, &path)?;
        let front = portion(slices);
        let short = [IoSlice::new(&front[0][..front[0].len().min(most)])];
        let front = if most == usize::MAX { front } else { &short };
        let at = i64::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge)?;
        match pwritev(file, front, at) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                offset += written as u64;
                IoSlice::advance_slices(&mut slices, written);
            }
            Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// As many slices from the front as one call writes, at least one.
fn portion<'a, 'b>(slices: &'b [IoSlice<'a>]) -> &'b [IoSlice<'a>] {
    let mut len = 0;
    let fit = slices.iter().take(MAX_SLICES).take_while(|slice| {
        len += slice.len();
        len <= PORTION
    });
    let count = fit.count().max(1);
    &slices[..count]
}

/// Fills `buffer` with the bytes of the content from `offset`. Each file is compared with its stamp before and after it is read:
/// [`StorageError::Changed`] if it is not what was verified.
pub(super) fn read(tree: &Tree, offset: u64, buffer: &mut [u8]) -> Result<(), StorageError> {
    let spans = tree.info.spans(offset, buffer.len() as u64);
    let mut rest = &mut *buffer;
    for span in &spans {
        let (front, back) = std::mem::take(&mut rest).split_at_mut(span.len as usize);
        rest = back;
        if tree.info.files().get(span.file).is_some_and(|f| f.padding) {
            front.fill(0);
            continue;
        }
        let fault = |error| unread(tree, span.file, &error);
        let file = tree.file(span.file).map_err(fault)?;
        check(tree, span.file, &file)?;
        seam::allow(Call::Read, || tree.path(span.file)).map_err(fault)?;
        file.read_exact_at(front, span.offset).map_err(fault)?;
    }
    for span in &spans {
        if tree.known.get(span.file).is_some_and(Option::is_some) {
            let fault = |error: io::Error| StorageError::at(tree.path(span.file), &error);
            check(tree, span.file, &*tree.file(span.file).map_err(fault)?)?;
        }
    }
    Ok(())
}

/// The bytes of the content from `offset` in pages of the page cache, with the file compared as by [`read`]; `None` where they must be read.
pub(super) fn pages(tree: &Tree, offset: u64, len: u32) -> Result<Option<Pages>, StorageError> {
    let spans = tree.info.spans(offset, u64::from(len));
    let [span] = &spans[..] else { return Ok(None) };
    if tree.info.files().get(span.file).is_some_and(|f| f.padding) {
        return Ok(None);
    }
    let fault = |error| unread(tree, span.file, &error);
    let file = tree.file(span.file).map_err(fault)?;
    check(tree, span.file, &file)?;
    seam::allow(Call::Read, || tree.path(span.file)).map_err(fault)?;
    if let Some(part) = part_from(tree.info.layout(), offset) {
        kernel::read_soon(&file, span.offset, part);
    }
    let pipes = &tree.disk().pipes;
    let pages = pipes.fill(&file, span.offset, len as usize);
    check(tree, span.file, &file)?;
    Ok(pages)
}

/// The length of the part of a piece that begins at `offset`, of which the rest is asked for next; `None` if none begins there.
fn part_from(layout: &Layout, offset: u64) -> Option<u64> {
    let piece_len = u64::from(layout.piece_len());
    let into = offset % piece_len;
    let part = (piece_len - into).min(PART);
    let part = part.min(layout.total_len().saturating_sub(offset));
    (into.is_multiple_of(PART) && part > 0).then_some(part)
}

fn unread(tree: &Tree, file: usize, error: &io::Error) -> StorageError {
    match error.kind() {
        // Shorter than it was, or gone.
        io::ErrorKind::UnexpectedEof | io::ErrorKind::NotFound => {
            StorageError::Changed(tree.path(file))
        }
        _ => StorageError::at(tree.path(file), error),
    }
}

/// Whether a piece has its hash. [`StorageError::Changed`] if a file changed since the tree was made; one that is gone or too short has
/// no good piece.
pub(super) fn is_good(tree: &Tree, piece: PieceIndex) -> Result<bool, StorageError> {
    let layout = tree.info.layout();
    let mut bytes = vec![0; layout.len_of(piece) as usize];
    match read(tree, layout.offset(piece), &mut bytes) {
        Ok(()) => {}
        Err(StorageError::Changed(_)) if tree.known.is_empty() || tree.stamps() == tree.known => {
            return Ok(false);
        }
        Err(error) => return Err(error),
    }
    Ok(sha1(&bytes) == tree.info.piece_hash(piece))
}

/// The hash of these bytes.
pub(super) fn sha1(bytes: &[u8]) -> Digest {
    let mut digests = [Digest::default()];
    p2p_hash::sha1_many(&[bytes], &mut digests);
    digests[0]
}

fn check(tree: &Tree, index: usize, file: &Opened) -> Result<(), StorageError> {
    let Some(Some(expected)) = tree.known.get(index) else {
        return Ok(());
    };
    let found = file
        .stamp()
        .map_err(|error| StorageError::at(tree.path(index), &error))?;
    if found == *expected {
        Ok(())
    } else {
        Err(StorageError::Changed(tree.path(index)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_a_piece_or_a_mebibyte_of_a_long_one() {
        let parts = |total, piece_len, offsets: &[u64]| {
            let layout = Layout::new(total, piece_len).unwrap();
            let parts = offsets.iter().map(|offset| part_from(&layout, *offset));
            parts.collect::<Vec<_>>()
        };
        const KIB: u64 = 1024;
        let short = parts(
            1300 * KIB,
            512 * 1024,
            &[0, 128 * KIB, 512 * KIB, 1024 * KIB],
        );
        let piece = Some(512 * KIB);
        assert_eq!(short, [piece, None, piece, Some(276 * KIB)]);
        let long = parts(
            20_000 * KIB,
            4 << 20,
            &[PART, PART + 4096, 4 * PART, 19 * PART],
        );
        assert_eq!(long, [Some(PART), None, Some(PART), Some(544 * KIB)]);
    }
}
