//! One piece on its way through a hasher: where its bytes come from, and how far it is.

use std::{fs::File, io, os::unix::fs::FileExt, sync::OnceLock};

use nix::libc;

use super::{
    FileSpec, HashError, Options,
    concat::{Concat, Span},
    open::{Stamp, open},
};
use crate::Stream;

/// Bytes of each piece that are read and hashed at a time. Sixteen lanes of it fill half of a 1 MiB cache.
pub(super) const CHUNK: usize = 32 * 1024;

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
    file: Option<(usize, File)>,
    buffer: Vec<u8>,
    /// Bytes of the buffer that are filled.
    filled: usize,
}

impl Lane {
    pub(super) fn new() -> Self {
        Self {
            piece: 0,
            offset: 0,
            left: 0,
            stream: Stream::new(),
            file: None,
            buffer: vec![0; CHUNK],
            filled: 0,
        }
    }

    /// Takes up a piece of `len` bytes that begins at `offset` of the whole.
    pub(super) fn begin(&mut self, piece: u32, offset: u64, len: u32) {
        self.piece = piece;
        self.offset = offset;
        self.left = len;
        self.stream = Stream::new();
    }

    pub(super) fn is_done(&self) -> bool {
        self.left == 0
    }

    /// Reads the next chunk of the piece.
    pub(super) fn fill(&mut self, source: &Source<'_>) -> Result<(), Fault> {
        self.filled = self.left.min(CHUNK as u32) as usize;
        let mut at = 0;
        for span in source.concat.spans(self.offset, self.filled) {
            self.read(source, span, at)?;
            at += span.len;
        }
        self.offset += self.filled as u64;
        self.left -= self.filled as u32;
        Ok(())
    }

    /// The stream, and the chunk that goes into it next.
    pub(super) fn feed(&mut self) -> (&mut Stream, &[u8]) {
        (&mut self.stream, &self.buffer[..self.filled])
    }

    /// Gives the piece up, and says how many of its bytes were not read.
    pub(super) fn abandon(&mut self) -> u32 {
        std::mem::take(&mut self.left)
    }

    /// Lets go of the open file. An error if it is not what it was when it was opened.
    pub(super) fn close(&mut self, source: &Source<'_>) -> Result<(), Fault> {
        let Some((index, file)) = self.file.take() else {
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

    fn read(&mut self, source: &Source<'_>, span: Span, at: usize) -> Result<(), Fault> {
        let spec = source.concat.file(span.file);
        if spec.path.is_none() {
            self.buffer[at..at + span.len].fill(0);
            return Ok(());
        }
        if self
            .file
            .as_ref()
            .is_none_or(|(index, _)| *index != span.file)
        {
            self.close(source)?;
            self.file = Some((span.file, open_checked(source, span.file)?));
        }
        let Some((_, file)) = &self.file else {
            unreachable!("opened above");
        };
        file.read_exact_at(&mut self.buffer[at..at + span.len], span.offset)
            .map_err(|error| {
                Fault::Bad(match error.kind() {
                    io::ErrorKind::UnexpectedEof => changed(spec),
                    _ => failed(spec, error),
                })
            })
    }
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
        let absent = matches!(
            error.raw_os_error(),
            Some(libc::ENOENT | libc::ENOTDIR | libc::ELOOP | libc::ENXIO)
        );
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
