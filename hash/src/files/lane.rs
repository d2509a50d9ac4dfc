//! One piece on its way through a hasher: where its bytes come from, and how far it is.

use std::{fs::File, io, sync::OnceLock};

use super::{
    FileSpec, HashError, Io, Options,
    concat::{Concat, Span},
    open::{Stamp, is_absent, open, read_exact_at},
    window::{Window, is_mappable},
};
use crate::Stream;

/// Bytes of each piece that are read and hashed at a time. Sixteen lanes of it fill half of a 1 MiB cache.
pub(super) const CHUNK: usize = 32 * 1024;

/// The length in bytes from which a file is worth a map.
const MAP_FROM: u64 = 1 << 20;

/// Why a piece could not be read.
#[derive(Debug)]
pub(super) enum Fault {
    /// The bytes are not there: the file is missing, too short, unreadable, no regular file, or changed under us.
    Bad(HashError),
    /// Something that has nothing to do with the piece.
    Fatal(HashError),
}

impl Fault {
    pub(super) fn into_error(self) -> HashError {
        match self {
            Self::Bad(error) | Self::Fatal(error) => error,
        }
    }
}

/// What all lanes of all threads have in common.
pub(super) struct Source<'a> {
    pub(super) concat: &'a Concat<'a>,
    pub(super) options: &'a Options<'a>,
    /// What each file was when it was first opened. Empty if files may differ from what was said.
    pub(super) stamps: Vec<OnceLock<Stamp>>,
}

/// A place for one piece after the other. It keeps its last file open from one to the next.
pub(super) struct Lane {
    pub(super) piece: u32,
    /// Where the piece goes on, in the whole.
    offset: u64,
    /// Bytes of the piece that are to be read.
    left: u32,
    pub(super) stream: Stream,
    /// Before the file, of which it is a map.
    window: Option<Window>,
    file: Option<Open>,
    buffer: Vec<u8>,
    chunk: Chunk,
}

/// The file of a lane.
struct Open {
    index: usize,
    file: File,
    map: bool,
}

/// Where the bytes lie that are hashed next.
#[derive(Clone, Copy)]
enum Chunk {
    /// At the start of the buffer, so many bytes.
    Buffer(usize),
    /// In the window.
    Window(Span),
}

impl Lane {
    pub(super) fn new() -> Self {
        Self {
            piece: 0,
            offset: 0,
            left: 0,
            stream: Stream::new(),
            window: None,
            file: None,
            buffer: vec![0; CHUNK],
            chunk: Chunk::Buffer(0),
        }
    }

    /// Takes up a piece of `len` bytes that begins at `offset` of the whole.
    pub(super) fn begin(&mut self, piece: u32, offset: u64, len: u32) {
        self.piece = piece;
        self.offset = offset;
        self.left = len;
        self.stream = Stream::new();
        self.chunk = Chunk::Buffer(0);
    }

    pub(super) fn is_done(&self) -> bool {
        self.left == 0
    }

    /// Gets the next chunk of the piece.
    pub(super) fn fill(&mut self, source: &Source<'_>) -> Result<(), Fault> {
        let len = self.left.min(CHUNK as u32) as usize;
        self.chunk = Chunk::Buffer(len);
        let mut at = 0;
        for span in source.concat.spans(self.offset, len) {
            if source.concat.file(span.file).path.is_none() {
                self.buffer[at..at + span.len].fill(0);
            } else {
                self.open(source, span.file)?;
                // What lies in several files must be gathered.
                if span.len < len || !self.map(source, span)? {
                    self.read(source, span, at)?;
                }
            }
            at += span.len;
        }
        self.offset += len as u64;
        self.left -= len as u32;
        Ok(())
    }

    /// The stream, and the chunk that goes into it next.
    pub(super) fn feed(&mut self) -> (&mut Stream, &[u8]) {
        let bytes = match self.chunk {
            Chunk::Buffer(len) => &self.buffer[..len],
            Chunk::Window(span) => self
                .window
                .as_ref()
                .and_then(|window| window.get(span.offset, span.len))
                .expect("a chunk is in the window until the next is filled"),
        };
        (&mut self.stream, bytes)
    }

    /// Ends the piece, after its last byte was hashed. An error if what was hashed was not in the file.
    pub(super) fn end(&mut self, source: &Source<'_>) -> Result<(), Fault> {
        match (self.window.take(), &self.file) {
            (Some(window), Some(open)) if !window.is_intact(&open.file) => {
                Err(Fault::Bad(changed(source.concat.file(open.index))))
            }
            _ => Ok(()),
        }
    }

    /// Gives the piece up, and says how many of its bytes were not read.
    pub(super) fn abandon(&mut self) -> u32 {
        self.window = None;
        std::mem::take(&mut self.left)
    }

    /// Lets go of the open file. An error if it is not what it was when it was opened.
    pub(super) fn close(&mut self, source: &Source<'_>) -> Result<(), Fault> {
        self.end(source)?;
        let Some(Open { index, file, .. }) = self.file.take() else {
            return Ok(());
        };
        let Some(before) = source.stamps.get(index).and_then(OnceLock::get) else {
            return Ok(());
        };
        let spec = source.concat.file(index);
        match Stamp::of(&file) {
            Ok(now) if now == *before => Ok(()),
            Ok(_) => Err(Fault::Bad(changed(spec))),
            Err(error) => Err(Fault::Bad(failed(spec, error))),
        }
    }

    /// Has this file open, and no other.
    fn open(&mut self, source: &Source<'_>, index: usize) -> Result<(), Fault> {
        if self.file.as_ref().is_some_and(|open| open.index == index) {
            return Ok(());
        }
        self.close(source)?;
        let file = open_checked(source, index)?;
        let map = source.options.io == Io::Map
            && source.concat.file(index).len >= MAP_FROM
            && is_mappable(&file);
        self.file = Some(Open { index, file, map });
        Ok(())
    }

    /// Lets the chunk be this part of the open file's map, if it is to be mapped.
    fn map(&mut self, source: &Source<'_>, span: Span) -> Result<bool, Fault> {
        let spec = source.concat.file(span.file);
        let Some(Open {
            file, map: true, ..
        }) = &self.file
        else {
            return Ok(false);
        };
        let is_shown = |window: &Window| window.get(span.offset, span.len).is_some();
        if !self.window.as_ref().is_some_and(is_shown) {
            // The old window goes before the new one comes.
            if let Some(window) = self.window.take()
                && !window.is_intact(file)
            {
                return Err(Fault::Bad(changed(spec)));
            }
            let end = span
                .offset
                .saturating_add(u64::from(self.left))
                .min(spec.len);
            self.window =
                Window::new(file, span.offset, end).map_err(|error| unread(spec, error))?;
        }
        if self.window.is_some() {
            self.chunk = Chunk::Window(span);
        }
        Ok(self.window.is_some())
    }

    /// Reads a part of the open file into the buffer.
    fn read(&mut self, source: &Source<'_>, span: Span, at: usize) -> Result<(), Fault> {
        let Some(Open { file, .. }) = &self.file else {
            return Ok(());
        };
        read_exact_at(file, &mut self.buffer[at..at + span.len], span.offset)
            .map_err(|error| unread(source.concat.file(span.file), error))
    }
}

/// The fault of a file whose bytes could not be had.
fn unread(spec: &FileSpec, error: io::Error) -> Fault {
    Fault::Bad(match error.kind() {
        io::ErrorKind::UnexpectedEof => changed(spec),
        _ => failed(spec, error),
    })
}

/// Opens a file and compares it with what was said of it, or with what it was before.
fn open_checked(source: &Source<'_>, index: usize) -> Result<File, Fault> {
    let spec = source.concat.file(index);
    let path = spec.path.as_deref().unwrap_or("".as_ref());
    let file = match source.options.open {
        Some(open) => open(path),
        None => open(path),
    };
    let file = file.map_err(|error| {
        let absent = is_absent(&error);
        let error = failed(spec, error);
        if absent {
            Fault::Bad(error)
        } else {
            Fault::Fatal(error)
        }
    })?;
    let stamp = Stamp::of(&file).map_err(|error| Fault::Bad(failed(spec, error)))?;
    if let Some(first) = source.stamps.get(index)
        && (stamp.len != spec.len || *first.get_or_init(|| stamp) != stamp)
    {
        return Err(Fault::Bad(changed(spec)));
    }
    Ok(file)
}

fn changed(spec: &FileSpec) -> HashError {
    HashError::Changed {
        path: spec.path.clone().unwrap_or_default(),
    }
}

fn failed(spec: &FileSpec, source: io::Error) -> HashError {
    HashError::Io {
        path: spec.path.clone().unwrap_or_default(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Hasher, Progress, hash_files};

    #[test]
    fn a_file_truncated_while_its_map_is_hashed_has_changed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, vec![1; 2 << 20]).unwrap();
        let files = [FileSpec::new(&path, 2 << 20)];
        let concat = Concat::new(&files, 1 << 20).unwrap();
        let options = Options {
            io: Io::Map,
            ..Options::default()
        };
        // Known and unknown stamps: hashing and verifying.
        for stamps in [1, 0] {
            let file = File::options().write(true).open(&path).unwrap();
            file.set_len(2 << 20).unwrap();
            let source = Source {
                concat: &concat,
                options: &options,
                stamps: (0..stamps).map(|_| OnceLock::new()).collect(),
            };
            let mut lane = Lane::new();
            lane.begin(1, 1 << 20, 1 << 20);
            lane.fill(&source).unwrap();
            if !matches!(lane.chunk, Chunk::Window(_)) {
                eprintln!("skipped: this file system is not mapped");
                return;
            }
            file.set_len(100).unwrap();
            Hasher::auto().update(&mut [lane.feed()]);
            let ended = lane.end(&source);
            assert!(
                matches!(ended, Err(Fault::Bad(HashError::Changed { .. }))),
                "{ended:?}"
            );
        }
    }

    #[test]
    fn a_file_written_between_two_reads_has_changed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, vec![1; 100_000]).unwrap();
        let spec = FileSpec::new(&path, 100_000);
        // The second lane opens the file anew, after it was replaced by one as long.
        let opened = std::sync::atomic::AtomicBool::new(false);
        let replace = |path: &std::path::Path| {
            if opened.swap(true, std::sync::atomic::Ordering::Relaxed) {
                std::fs::remove_file(path)?;
                std::fs::write(path, vec![2; 100_000])?;
            }
            File::open(path)
        };
        let options = Options {
            threads: 1,
            open: Some(&replace),
            ..Options::default()
        };
        let result = hash_files(&[spec], 50_000, &options, &Progress::new());
        assert!(
            matches!(result, Err(HashError::Changed { .. })),
            "{result:?}"
        );
    }
}
