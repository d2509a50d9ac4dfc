//! Files laid end to end, and the pieces cut from them (BEP 3).

use super::{FileSpec, HashError};

/// Where each file begins in the whole, and how the whole is cut.
pub(super) struct Concat<'a> {
    files: &'a [FileSpec],
    /// Offset of each file, ascending; equal where a file is empty.
    starts: Vec<u64>,
    total: u64,
    piece_len: u32,
}

/// A range of bytes in one file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Span {
    pub(super) file: usize,
    /// From the start of the file, in bytes.
    pub(super) offset: u64,
    pub(super) len: usize,
}

impl<'a> Concat<'a> {
    pub(super) fn new(files: &'a [FileSpec], piece_len: u32) -> Result<Self, HashError> {
        assert!(piece_len > 0, "a piece has at least one byte");
        let mut starts = Vec::with_capacity(files.len());
        let mut total = 0u64;
        for file in files {
            starts.push(total);
            total = total.checked_add(file.len).ok_or(HashError::TooLong)?;
        }
        if total.div_ceil(u64::from(piece_len)) > i32::MAX as u64 {
            return Err(HashError::TooLong);
        }
        Ok(Self {
            files,
            starts,
            total,
            piece_len,
        })
    }

    pub(super) fn file(&self, file: usize) -> &'a FileSpec {
        &self.files[file]
    }

    /// How many files there are.
    pub(super) fn files(&self) -> usize {
        self.files.len()
    }

    pub(super) fn pieces(&self) -> u32 {
        self.total.div_ceil(u64::from(self.piece_len)) as u32
    }

    /// Offset and length of `piece` in the whole; nothing if there is no such piece.
    pub(super) fn piece(&self, piece: u32) -> Option<(u64, u32)> {
        let begin = u64::from(piece) * u64::from(self.piece_len);
        let left = self.total.checked_sub(begin).filter(|left| *left > 0)?;
        Some((begin, left.min(u64::from(self.piece_len)) as u32))
    }

    /// The parts of files that make up `len` bytes at `offset`, in order. The range lies within the whole.
    pub(super) fn spans(&self, mut offset: u64, mut len: usize) -> impl Iterator<Item = Span> {
        // The last file that begins at or before the offset; empty ones before it hold nothing.
        let mut file = self.starts.partition_point(|start| *start <= offset) - 1;
        std::iter::from_fn(move || {
            while len > 0 && offset == self.starts[file] + self.files[file].len {
                file += 1;
            }
            if len == 0 {
                return None;
            }
            let within = offset - self.starts[file];
            let left = self.files[file].len - within;
            let span = Span {
                file,
                offset: within,
                len: left.min(len as u64) as usize,
            };
            offset += span.len as u64;
            len -= span.len;
            Some(span)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(lens: &[u64]) -> Vec<FileSpec> {
        lens.iter().map(|len| FileSpec::zeros(*len)).collect()
    }

    #[test]
    fn a_range_is_cut_at_file_borders_and_passes_over_empty_files() {
        let files = files(&[0, 5, 0, 0, 10, 3, 0]);
        let concat = Concat::new(&files, 4).unwrap();
        let spans: Vec<_> = concat
            .spans(3, 14)
            .map(|s| (s.file, s.offset, s.len))
            .collect();
        assert_eq!(spans, [(1, 3, 2), (4, 0, 10), (5, 0, 2)]);
        assert_eq!(concat.spans(5, 1).next().unwrap().file, 4);
        assert_eq!(
            concat.spans(17, 1).map(|s| (s.file, s.offset)).next(),
            Some((5, 2))
        );
    }

    #[test]
    fn the_last_piece_is_short_and_there_is_none_after_it() {
        let files = files(&[6, 3]);
        let concat = Concat::new(&files, 4).unwrap();
        assert_eq!(concat.pieces(), 3);
        assert_eq!(concat.piece(2), Some((8, 1)));
        assert_eq!(concat.piece(3), None);
    }

    #[test]
    fn lengths_that_do_not_add_up_are_refused() {
        let files = files(&[u64::MAX, 1]);
        assert!(matches!(Concat::new(&files, 4), Err(HashError::TooLong)));
    }
}
