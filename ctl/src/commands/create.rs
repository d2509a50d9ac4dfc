//! `create`: a .torrent of a file or folder, without a daemon.

use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use p2p_hash::{Digest, FileSpec, HashError, Options, Progress, hash_files};
use p2p_wire::control::ErrorKind;
use p2p_wire::metainfo::{Builder, Content, Metainfo, auto_piece_len};

use crate::commands::inspect::{Inspected, labels};
use crate::context::{Context, absolute};
use crate::error::Error;
use crate::files::{self, Overwrite};
use crate::follow::Bars;
use crate::human;
use crate::text;
use crate::units::{self, PieceSize};

/// Arguments of `create`.
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// A file, or a folder with all that is below it
    path: PathBuf,
    /// Write it here
    #[arg(short, long, value_name = "FILE.torrent")]
    output: PathBuf,
    /// Announce URL; each is a tier of its own, in order
    #[arg(long, value_name = "URL", value_parser = announce_url)]
    announce: Vec<String>,
    /// Bytes of a piece: auto, or a power of two such as 4MiB
    #[arg(long, value_name = "SIZE", default_value = "auto", value_parser = units::parse_piece_size)]
    piece_size: PieceSize,
    /// Peers come from the trackers alone (BEP 27)
    #[arg(long)]
    private: bool,
}

fn announce_url(text: &str) -> Result<String, String> {
    let rest = ["http://", "https://", "udp://"]
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme));
    match rest {
        Some(rest) if !rest.is_empty() && !text.contains(|c: char| c.is_control() || c == ' ') => {
            Ok(text.to_owned())
        }
        _ => Err(
            "it is no URL of a tracker; such a one begins with http://, https:// or udp://"
                .to_owned(),
        ),
    }
}

/// What is found below the path, in the order of the torrent.
struct Found {
    name: String,
    content: Content,
    specs: Vec<FileSpec>,
    size: u64,
    left_out: Vec<String>,
}

impl Create {
    /// Looks, hashes, writes the file whole or not at all, and says what is in it.
    pub(crate) fn run(self, context: &Context) -> Result<(), Error> {
        let overwrite = match context.globals().yes {
            true => Overwrite::Yes,
            false => Overwrite::No,
        };
        files::check_absent(&self.output, overwrite)?;
        let found = find(&self.path, &absolute(&self.output)?)?;
        for left_out in &found.left_out {
            context.out.talk(&format!("Left out: {left_out}"));
        }
        let auto = auto_piece_len(found.size);
        let piece_len = self.piece_size.bytes().unwrap_or(auto);
        let builder = Builder {
            name: found.name.clone(),
            content: found.content.clone(),
            piece_len,
            private: self.private,
            announce: self.announce.into_iter().map(|url| vec![url]).collect(),
            comment: None,
            created: None,
        };
        let shown = text::show_os(self.path.as_os_str());
        let refused = |error: &dyn std::fmt::Display| {
            Error::new(
                ErrorKind::Failed,
                format!("cannot make a torrent of {shown}"),
                error.to_string(),
                "Rename or leave out what is in the way, or choose another --piece-size.",
            )
        };
        builder.check().map_err(|error| refused(&error))?;
        let pieces = hash(context, &found, piece_len)?;
        let bytes = builder
            .build(&pieces)
            .map_err(|error| refused(&error))?
            .to_bytes();
        // Read back as any other program would read it.
        let metainfo = Metainfo::from_bytes(&bytes).map_err(|error| refused(&error))?;
        files::write_whole(&self.output, &bytes, 0o644)?;
        let inspected = Inspected::of(&metainfo);
        let mut lines = labels(&inspected, false);
        lines.push(("Written to", text::show_os(self.output.as_os_str())));
        context.out.record(&inspected, &lines)
    }
}

/// Looks at `path` and below it. Links, sockets and the like are left out; `output` is, too, should it lie inside.
fn find(path: &Path, output: &Path) -> Result<Found, Error> {
    let root = absolute(path)?;
    // `.` and `..` have no name of their own.
    let root = match root.file_name() {
        Some(_) => root,
        None => root
            .canonicalize()
            .map_err(|error| unreadable(path, &error))?,
    };
    let metadata = fs::metadata(&root).map_err(|error| unreadable(path, &error))?;
    let name = utf8(root.file_name().map_or(Path::new("/"), Path::new), path)?;
    if !metadata.is_dir() {
        // Links are opened by what they lead to.
        let real = root
            .canonicalize()
            .map_err(|error| unreadable(path, &error))?;
        return single(name, real, &metadata, path);
    }
    let mut walk = Walk {
        root: &root,
        output,
        files: Vec::new(),
        left_out: Vec::new(),
    };
    walk.folder(&mut Vec::new())?;
    let Walk {
        files, left_out, ..
    } = walk;
    let size: u64 = files.iter().map(|(_, len)| *len).sum();
    if size == 0 {
        return Err(empty(path));
    }
    let mut content = Content::Multi(files);
    content.sort();
    let specs = match &content {
        Content::Multi(files) => files
            .iter()
            .map(|(parts, len)| FileSpec::new(root.join(parts.iter().collect::<PathBuf>()), *len))
            .collect(),
        Content::Single(_) => Vec::new(),
    };
    Ok(Found {
        name,
        content,
        specs,
        size,
        left_out,
    })
}

fn single(name: String, real: PathBuf, metadata: &Metadata, path: &Path) -> Result<Found, Error> {
    let size = metadata.len();
    if !metadata.is_file() {
        let shown = text::show_os(path.as_os_str());
        return Err(Error::usage(
            format!("{shown} is neither a file nor a folder"),
            "Only those have content that stays.",
            "Copy what it gives into a file, and take that.",
        ));
    }
    if size == 0 {
        return Err(empty(path));
    }
    Ok(Found {
        name,
        content: Content::Single(size),
        specs: vec![FileSpec::new(real, size)],
        size,
        left_out: Vec::new(),
    })
}

/// A walk through a folder: each file with the parts of its path below `root`.
struct Walk<'a> {
    root: &'a Path,
    output: &'a Path,
    files: Vec<(Vec<String>, u64)>,
    left_out: Vec<String>,
}

impl Walk<'_> {
    fn folder(&mut self, below: &mut Vec<String>) -> Result<(), Error> {
        let folder = self.root.join(below.iter().collect::<PathBuf>());
        let entries = fs::read_dir(&folder).map_err(|error| unreadable(&folder, &error))?;
        for entry in entries {
            let entry = entry.map_err(|error| unreadable(&folder, &error))?;
            let path = entry.path();
            if path == self.output {
                continue;
            }
            let metadata = entry
                .metadata()
                .map_err(|error| unreadable(&path, &error))?;
            below.push(utf8(Path::new(&entry.file_name()), &path)?);
            if metadata.is_dir() {
                self.folder(below)?;
            } else if metadata.is_file() {
                self.files.push((below.clone(), metadata.len()));
            } else {
                let kind = match metadata.is_symlink() {
                    true => "a link",
                    false => "no regular file",
                };
                let shown = text::show_os(path.as_os_str());
                self.left_out.push(format!("{shown} ({kind})"));
            }
            below.pop();
        }
        Ok(())
    }
}

/// Hashes with a progress line; the files must stay as they are meanwhile.
fn hash(context: &Context, found: &Found, piece_len: u32) -> Result<Vec<Digest>, Error> {
    let progress = Progress::new();
    let bars = Bars::one(context.out.progress());
    let hashes = std::thread::scope(|scope| {
        let (done, ended) = std::sync::mpsc::channel::<()>();
        let (bars, watched) = (&bars, &progress);
        scope.spawn(move || {
            let began = std::time::Instant::now();
            // Ends when the sender is dropped.
            while ended.recv_timeout(Duration::from_millis(100))
                == Err(std::sync::mpsc::RecvTimeoutError::Timeout)
            {
                let hashed = watched.bytes_done();
                let rate = hashed as f64 / began.elapsed().as_secs_f64();
                let name = format!("Hashing {}", found.name);
                bars.set(0, &name, hashed, found.size, &human::rate(rate as u64));
            }
        });
        let hashes = hash_files(&found.specs, piece_len, &Options::default(), &progress);
        drop(done);
        hashes
    });
    bars.clear();
    hashes.map_err(|error| match &error {
        HashError::Io { path, source } => unreadable(path, source),
        HashError::Changed { .. } => Error::new(
            ErrorKind::Conflict,
            error.to_string(),
            "Its hashes would be worth nothing.",
            "Try again when nothing writes to it any more.",
        ),
        HashError::TooLong => Error::usage(
            error.to_string(),
            "A torrent has room for so many pieces alone.",
            "Choose a larger --piece-size.",
        ),
        HashError::Cancelled => Error::new(ErrorKind::Failed, error.to_string(), "", ""),
    })
}

fn utf8(name: &Path, path: &Path) -> Result<String, Error> {
    match name.to_str() {
        Some(name) => Ok(name.to_owned()),
        None => Err(Error::new(
            ErrorKind::Failed,
            format!(
                "cannot put {} into a torrent",
                text::show_os(path.as_os_str())
            ),
            "Its name is not UTF-8, and names in a torrent are.",
            "Rename it.",
        )),
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    let shown = text::show_os(path.as_os_str());
    Error::file(format!("cannot read {shown}"), error)
}

fn empty(path: &Path) -> Error {
    let shown = text::show_os(path.as_os_str());
    Error::usage(
        format!("{shown} is empty"),
        "A torrent has at least one byte of content.",
        "Choose a file or folder with something in it.",
    )
}
