//! From an entry at rest to a torrent: look, hash, look again.
//!
//! One thread hashes for all shares on a file system, an entry at a time: the hashing itself takes all cores, and a disk that does not answer
//! holds up no other. What is thrown away when the entry changed meanwhile is the work, never a wrong hash.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use p2p_hash::{FileSpec, HashError, Io, Options, Progress};
use p2p_wire::control::Each;
use p2p_wire::metainfo::{Builder, Content, Metainfo, auto_piece_len};
use tokio::sync::{mpsc, oneshot, watch};

use super::files::{Files, Seen};
use super::ignore::Rules;
use super::lease;
use super::scan::View;
use crate::engine::FileStamp;

/// The hashing threads; they end with the last handle.
#[derive(Clone)]
pub(crate) struct Hashing(Arc<Threads>);

struct Threads {
    /// That one entry is hashed with; 0: one per core.
    threads: usize,
    io: Io,
    /// The way to the thread of each device. When full, shares wait: there is nothing else for them to do.
    lanes: Mutex<HashMap<u64, mpsc::Sender<Waiting>>>,
}

/// A job, and who waits for it.
type Waiting = (Job, oneshot::Sender<Result<Hashed, Unhashed>>);

/// What to hash.
pub(crate) struct Job {
    pub(crate) root: PathBuf,
    /// Of the file system that it lies on.
    pub(crate) device: u64,
    pub(crate) each: Each,
    pub(crate) rules: Arc<Rules>,
    /// See [`View::reader`].
    pub(crate) reader: Option<u32>,
    pub(crate) entry: PathBuf,
    /// What the entry looked like when it had settled.
    pub(crate) stamp: [u8; 20],
    /// Name of the torrent.
    pub(crate) name: String,
    pub(crate) piece_len: Option<u32>,
    pub(crate) private: bool,
    pub(crate) activity: Activity,
}

/// A torrent of an entry.
pub(crate) struct Hashed {
    pub(crate) metainfo: Metainfo,
    pub(crate) path: PathBuf,
    pub(crate) stamps: Vec<FileStamp>,
    pub(crate) seen: Seen,
}

/// Why there is none.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unhashed {
    /// It changed, or somebody is writing to it: not at rest after all.
    Restless,
    /// It is gone.
    Gone,
    /// It may not be read, or makes no torrent, as long as it is as it is: with the reason.
    Unfit(String),
    /// The disk, or the machine, failed: with the reason. Another time it may not.
    Unread(String),
    /// The daemon stops, or the share ends.
    Stopped,
}

/// What a share is hashing now, for its progress, and whether the share ends.
#[derive(Clone, Default)]
pub(crate) struct Activity(Arc<Inner>);

#[derive(Default)]
struct Inner {
    current: Mutex<Option<Current>>,
    ended: watch::Sender<bool>,
}

/// See [`Activity`].
#[derive(Clone)]
pub(crate) struct Current {
    pub(crate) name: String,
    pub(crate) size: u64,
    pub(crate) progress: Arc<Progress>,
    pub(crate) since: Instant,
}

impl Activity {
    pub(crate) fn get(&self) -> Option<Current> {
        self.current().clone()
    }

    /// The share ends: what is hashed for it ends soon, what waits for that is not begun, and nobody waits for a disk on its account.
    pub(crate) fn end(&self) {
        self.0.ended.send_replace(true);
        if let Some(current) = &*self.current() {
            current.progress.cancel();
        }
    }

    /// Until the share ends.
    pub(crate) async fn ended(&self) {
        let mut ended = self.0.ended.subscribe();
        // The sender lives as long as `self`.
        let _ = ended.wait_for(|ended| *ended).await;
    }

    /// False if the share ends: then there is nothing to begin.
    fn begin(&self, current: Current) -> bool {
        // In this order, so that an end that comes now finds what it has to cancel.
        *self.current() = Some(current);
        !*self.0.ended.borrow()
    }

    fn current(&self) -> MutexGuard<'_, Option<Current>> {
        let current = self.0.current.lock();
        current.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hashing {
    /// An entry is hashed with `threads` (0: one per core) and read as `io` says.
    pub(crate) fn new(threads: usize, io: Io) -> Self {
        Self(Arc::new(Threads {
            threads,
            io,
            lanes: Mutex::default(),
        }))
    }

    /// The way to the thread of a device, which is started if there is none.
    fn lane(&self, device: u64) -> io::Result<mpsc::Sender<Waiting>> {
        let lanes = self.0.lanes.lock();
        let mut lanes = lanes.unwrap_or_else(PoisonError::into_inner);
        if let Some(jobs) = lanes.get(&device) {
            return Ok(jobs.clone());
        }
        let (jobs, mut queue) = mpsc::channel::<Waiting>(64);
        let (threads, io) = (self.0.threads, self.0.io);
        thread::Builder::new()
            .name("hashing".into())
            .spawn(move || {
                // What is shared can wait; what is sent and received meanwhile cannot.
                p2p_hash::stand_back();
                while let Some((job, reply)) = queue.blocking_recv() {
                    if !reply.is_closed() {
                        // A share that is gone wants no answer.
                        let _ = reply.send(job.run(threads, io));
                    }
                }
            })?;
        lanes.insert(device, jobs.clone());
        Ok(jobs)
    }

    /// Waits its turn, and no longer than its share lives: the file before it may take an hour.
    pub(crate) async fn hash(&self, job: Job) -> Result<Hashed, Unhashed> {
        let activity = job.activity.clone();
        let (reply, answer) = oneshot::channel();
        let hashed = async {
            let lane = self.lane(job.device);
            let lane = lane.map_err(|error| Unhashed::Unread(format!("no thread: {error}")))?;
            let queued = lane.send((job, reply)).await;
            queued.map_err(|_| Unhashed::Stopped)?;
            answer.await.unwrap_or(Err(Unhashed::Stopped))
        };
        tokio::select! {
            hashed = hashed => hashed,
            () = activity.ended() => Err(Unhashed::Stopped),
        }
    }
}

impl Job {
    fn run(&self, threads: usize, io: Io) -> Result<Hashed, Unhashed> {
        let view = View {
            root: &self.root,
            each: self.each,
            rules: &self.rules,
            reader: self.reader,
        };
        let files = view
            .files_of(&self.entry)
            .map_err(|error| Unhashed::Unread(error.to_string()))?
            .ok_or(Unhashed::Gone)?;
        let seen = files.seen();
        let root = view
            .hold()
            .map_err(|error| Unhashed::Unread(error.to_string()))?;
        let open = |path: &Path| {
            let below = path.strip_prefix(&self.root).unwrap_or(path);
            root.file(below)
        };
        if seen.stamp != self.stamp || is_written(&files, open) {
            return Err(Unhashed::Restless);
        }
        let specs: Vec<FileSpec> = files
            .files
            .iter()
            .map(|file| FileSpec::new(&file.path, file.stamp.size))
            .collect();
        let piece_len = self.piece_len.unwrap_or_else(|| auto_piece_len(seen.size));
        let progress = Arc::new(Progress::new());
        let goes_on = self.activity.begin(Current {
            name: self.name.clone(),
            size: seen.size,
            progress: progress.clone(),
            since: Instant::now(),
        });
        if !goes_on {
            return Err(Unhashed::Stopped);
        }
        let options = Options {
            threads,
            io,
            open: Some(&open),
            ..Options::default()
        };
        let pieces = p2p_hash::hash_files(&specs, piece_len, &options, &progress);
        *self.activity.current() = None;
        let pieces = pieces.map_err(unhashed)?;
        if view
            .look_at(&self.entry)
            .ok()
            .flatten()
            .is_none_or(|now| now.stamp != seen.stamp)
        {
            return Err(Unhashed::Restless);
        }
        let content = if files.is_folder {
            Content::Multi(
                files
                    .files
                    .iter()
                    .map(|file| (file.names.clone(), file.stamp.size))
                    .collect(),
            )
        } else {
            Content::Single(seen.size)
        };
        // No date and no announce URL: the same content gives the same torrent on every machine, and nobody gets our passkey.
        let builder = Builder {
            name: self.name.clone(),
            content,
            piece_len,
            private: self.private,
            announce: Vec::new(),
            comment: None,
            created: None,
        };
        let metainfo = builder
            .build(&pieces)
            .map_err(|error| Unhashed::Unfit(error.to_string()))?;
        Ok(Hashed {
            metainfo,
            path: path_of(&self.root, &self.entry),
            stamps: files.files.iter().map(|file| file.stamp).collect(),
            seen,
        })
    }
}

/// Where `entry` of the share at `root` lies.
pub(crate) fn path_of(root: &Path, entry: &Path) -> PathBuf {
    if entry.as_os_str().is_empty() {
        root.to_owned()
    } else {
        root.join(entry)
    }
}

/// Whether somebody has one of the files open for writing, where that can be told.
fn is_written(files: &Files, open: impl Fn(&Path) -> io::Result<File>) -> bool {
    files.files.iter().any(|file| {
        let opened = open(&file.path);
        opened.is_ok_and(|file| lease::has_writer(&file))
    })
}

fn unhashed(error: HashError) -> Unhashed {
    match error {
        HashError::Changed { .. } => Unhashed::Restless,
        HashError::Cancelled => Unhashed::Stopped,
        HashError::Io { ref source, .. } if source.kind() == io::ErrorKind::NotFound => {
            Unhashed::Restless
        }
        HashError::Io { ref source, .. } if source.kind() != io::ErrorKind::PermissionDenied => {
            Unhashed::Unread(error.to_string())
        }
        HashError::Io { .. } | HashError::TooLong => Unhashed::Unfit(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lasts_makes_an_entry_unfit() {
        let failed = |errno| {
            unhashed(HashError::Io {
                path: PathBuf::new(),
                source: io::Error::from_raw_os_error(errno),
            })
        };
        for errno in [nix::libc::EMFILE, nix::libc::ENOMEM, nix::libc::EIO] {
            let why = failed(errno);
            assert!(matches!(why, Unhashed::Unread(_)), "{why:?}");
        }
        assert!(matches!(failed(nix::libc::EACCES), Unhashed::Unfit(_)));
        assert_eq!(failed(nix::libc::ENOENT), Unhashed::Restless);
    }
}
