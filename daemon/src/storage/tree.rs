//! Where the files of one awake item are, and the descriptors that are open on them.

use std::collections::{BTreeSet, HashMap};
use std::fs::{File, Metadata};
use std::io;
use std::ops::Deref;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use nix::sys::statvfs::fstatvfs;
use p2p_wire::PieceIndex;
use p2p_wire::metainfo::Info;

use super::open::{Access, open_in, root_for};
use super::queue::Queue;
use super::seam::{self, Call};
use super::side_by_side::side_by_side;
use super::{Disk, StorageError, kernel, piece};
use crate::engine::FileStamp;
use crate::resume::Site;

/// By tree and file.
type Open = HashMap<(u64, usize), Kept>;

struct Kept {
    file: Arc<Opened>,
    /// When it was last used.
    used: u64,
    /// Of the threads that close it: those of its file system.
    queue: Arc<Queue>,
}

/// An open file, and on which file system it lies: that cannot change while it is open, and asking a network file system takes a round trip.
pub(super) struct Opened {
    file: File,
    file_system: u64,
    direct: OnceLock<Option<File>>,
}

impl Opened {
    pub(super) fn new(file: File) -> io::Result<Self> {
        let file_system = fstatvfs(&file)?.filesystem_id();
        Ok(Self {
            file,
            file_system,
            direct: OnceLock::new(),
        })
    }

    /// The same file, opened for direct writes, where they are worth it. It stays open as long as this.
    pub(super) fn direct(&self) -> Option<&File> {
        let open = || {
            let is_good = kernel::is_good_at_direct(&self.file);
            is_good.then(|| kernel::open_direct(&self.file)).flatten()
        };
        self.direct.get_or_init(open).as_ref()
    }

    pub(super) fn into_file(self) -> File {
        self.file
    }

    /// What the file is now.
    pub(super) fn stamp(&self) -> io::Result<FileStamp> {
        Ok(self.stamp_of(&self.file.metadata()?))
    }

    /// What the file was when `meta` was taken of it.
    pub(super) fn stamp_of(&self, meta: &Metadata) -> FileStamp {
        FileStamp::new(self.file_system, meta)
    }
}

impl Deref for Opened {
    type Target = File;

    fn deref(&self) -> &File {
        &self.file
    }
}

/// Open files, over all items and file systems. A file beyond the bound takes the place of those not used for longest.
pub(super) struct FileCache {
    open: Mutex<Open>,
    clock: AtomicU64,
    most: usize,
}

impl FileCache {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            open: Mutex::default(),
            clock: AtomicU64::new(0),
            most,
        })
    }

    fn get(
        &self,
        key: (u64, usize),
        queue: &Arc<Queue>,
        open: impl FnOnce() -> io::Result<Opened>,
    ) -> io::Result<Arc<Opened>> {
        let used = self.clock.fetch_add(1, Ordering::Relaxed);
        if let Some(kept) = self.lock().get_mut(&key) {
            kept.used = used;
            return Ok(kept.file.clone());
        }
        // Opened without the lock, as it is closed: a dead network file system must not stop the other items.
        let file = Arc::new(open()?);
        let kept = Kept {
            file: file.clone(),
            used,
            queue: queue.clone(),
        };
        let mut replaced = Vec::new();
        let mut files = self.lock();
        if files.len() >= self.most {
            replaced.extend(oldest(&mut files));
        }
        replaced.extend(files.insert(key, kept));
        drop(files);
        for kept in replaced {
            // Those of this file system are closed at once, by the thread that is here, so that there are never more than may be.
            if !Arc::ptr_eq(&kept.queue, queue) {
                kept.queue.close([kept.file]);
            }
        }
        Ok(file)
    }

    fn forget(&self, tree: u64, queue: &Queue) {
        let forgotten = self.lock().extract_if(|(of, _), _| *of == tree).collect();
        let forgotten: Vec<((u64, usize), Kept)> = forgotten;
        queue.close(forgotten.into_iter().map(|(_, kept)| kept.file));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes some of these files, at least one, of those not used for longest: to find them costs as much as there are files, and to close one on a
/// network file system as long as to write what was written to it.
fn oldest(files: &mut Open) -> Vec<Kept> {
    let mut uses: Vec<u64> = files.values().map(|kept| kept.used).collect();
    if uses.is_empty() {
        return Vec::new();
    }
    let some = uses.len() / 64;
    let (_, last, _) = uses.select_nth_unstable(some);
    let last = *last;
    let taken = files.extract_if(|_, kept| kept.used <= last);
    taken.map(|(_, kept)| kept).collect()
}

/// The files of an item at their place.
pub struct Tree {
    id: u64,
    disk: Disk,
    pub(super) info: Arc<Info>,
    /// What the files are below: those that are wanted, and parts of others.
    roots: [PathBuf; 2],
    files: Vec<Place>,
    /// What each file must still be for its bytes to be served; `None` where p2pd itself is writing.
    pub(super) known: Vec<Option<FileStamp>>,
    access: Access,
    /// Pieces of which something could not be written, with why. The item stops for that, and is another tree when it goes on.
    torn: Mutex<HashMap<u32, StorageError>>,
}

/// Which of the roots.
const TOP: usize = 0;
const ASIDE: usize = 1;

#[derive(Clone)]
struct Place {
    root: usize,
    /// Below the root.
    rel: PathBuf,
}

/// The roots of a tree, held while one job opens many files: each is looked up once.
#[derive(Default)]
pub(super) struct Held([OnceLock<OwnedFd>; 2]);

/// What [`Tree::new`] needs.
pub struct TreeSpec<'a> {
    /// The item's metadata.
    pub info: &'a Arc<Info>,
    /// Where it is.
    pub site: &'a Site,
    /// The stage of this item.
    pub stage: &'a Path,
    /// Files that are wanted, by index.
    pub wanted: &'a [bool],
    /// Whether pieces will be written.
    pub writable: bool,
    /// Identity of each file, to be compared at every read; empty for none.
    pub stamps: Vec<Option<FileStamp>>,
}

impl Tree {
    /// Finds the place of every file.
    pub(super) fn new(disk: &Disk, spec: TreeSpec<'_>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let info = spec.info;
        let (root, skip) = match spec.site.placed() {
            None => (spec.stage, 0),
            Some(path) if info.single_file() => (path.parent().unwrap_or(path), 0),
            Some(path) => (path, 1),
        };
        let files = info.files().iter().enumerate().map(|(index, file)| {
            if !spec.wanted.get(index).copied().unwrap_or(true)
                && !matches!(spec.site, Site::Foreign(_))
            {
                return Place {
                    root: ASIDE,
                    rel: index.to_string().into(),
                };
            }
            let rel = match spec.site.placed() {
                Some(path) if info.single_file() => path.file_name().unwrap_or_default().into(),
                _ => file.path.iter().skip(skip).collect(),
            };
            Place { root: TOP, rel }
        });
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            disk: disk.clone(),
            roots: [root.to_owned(), aside(spec.stage)],
            files: files.collect(),
            info: info.clone(),
            known: spec.stamps,
            access: if spec.writable {
                Access::Write
            } else {
                Access::Read
            },
            torn: Mutex::default(),
        }
    }

    /// Names this tree among all there ever were.
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// What was written of a piece; an error too if something else of it could not be.
    pub(super) fn wrote(
        &self,
        piece: PieceIndex,
        written: Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        let mut torn = self.torn.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = written {
            torn.insert(piece.get(), error);
        }
        torn.get(&piece.get()).cloned().map_or(Ok(()), Err)
    }

    /// The threads that work on it.
    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    /// The item's metadata.
    pub fn info(&self) -> &Arc<Info> {
        &self.info
    }

    /// The files that hold bytes of `pieces`; padding is held nowhere.
    pub fn files_of(&self, pieces: &[u32]) -> BTreeSet<usize> {
        let layout = self.info.layout();
        let mut files = BTreeSet::new();
        for piece in pieces.iter().filter_map(|piece| layout.piece(*piece)) {
            let len = u64::from(layout.len_of(piece));
            let spans = self.info.spans(layout.offset(piece), len);
            files.extend(spans.iter().map(|span| span.file));
        }
        files.retain(|file| self.info.files().get(*file).is_some_and(|f| !f.padding));
        files
    }

    /// The path of a file, to show.
    pub fn path(&self, file: usize) -> PathBuf {
        let place = self.files.get(file);
        place.map_or_else(PathBuf::new, |place| {
            self.roots[place.root].join(&place.rel)
        })
    }

    /// The folder that all files of its kind are below, and the one that a file is in.
    pub(super) fn folder(&self, file: usize) -> Option<(&Path, PathBuf)> {
        let place = self.files.get(file)?;
        let inner = place.rel.parent().unwrap_or(Path::new(""));
        let root = &self.roots[place.root];
        Some((root, root.join(inner)))
    }

    /// The open file; made if it is not there and the tree is writable.
    pub(super) fn file(&self, file: usize) -> io::Result<Arc<Opened>> {
        self.file_among(&Held::default(), file)
    }

    /// The same for one of many files.
    pub(super) fn file_among(&self, held: &Held, file: usize) -> io::Result<Arc<Opened>> {
        let open = || self.open(held, file, self.access);
        let (cache, queue) = (&self.disk.cache, &self.disk.queue);
        cache.get((self.id, file), queue, open)
    }

    /// Opens a file to read it, past the cache.
    pub(super) fn open_to_read(&self, held: &Held, file: usize) -> io::Result<Opened> {
        self.open(held, file, Access::Read)
    }

    fn open(&self, held: &Held, file: usize, access: Access) -> io::Result<Opened> {
        let place = self.files.get(file).ok_or(io::ErrorKind::NotFound)?;
        let path = &self.roots[place.root];
        seam::allow(Call::Open, || path.join(&place.rel))?;
        let root = match held.0[place.root].get() {
            Some(root) => root,
            None => {
                let root = root_for(path, access)?;
                held.0[place.root].get_or_init(|| root)
            }
        };
        let file = open_in(root, &place.rel, access)?;
        if access == Access::Write {
            // What is read of a file that is being fetched is what peers ask for, in no order, and much of the rest is not there yet.
            kernel::read_no_further(&file);
        }
        Opened::new(file)
    }

    /// Whether a piece has its hash; see [`piece::is_good`].
    pub fn is_good(&self, piece: PieceIndex) -> Result<bool, StorageError> {
        piece::is_good(self, piece)
    }

    /// What each file is now; `None` for one that is not there, and for padding.
    pub fn stamps(&self) -> Vec<Option<FileStamp>> {
        let mut stamps = vec![None; self.files.len()];
        let files = self.info.files().iter().enumerate();
        let held: Vec<usize> = files.filter(|(_, f)| !f.padding).map(|(n, _)| n).collect();
        let roots = Held::default();
        let look = |file: &usize| {
            let opened = self.open_to_read(&roots, *file);
            let stamp = opened.and_then(|open| open.stamp());
            Ok((*file, stamp.ok()))
        };
        for (file, stamp) in side_by_side(&held, look).into_iter().flatten() {
            stamps[file] = stamp;
        }
        stamps
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        // Not here: it may be the engine's thread.
        self.disk.cache.forget(self.id, &self.disk.queue);
    }
}

/// Where the unwanted parts of wanted pieces are.
pub(super) fn aside(stage: &Path) -> PathBuf {
    stage.join(".unwanted")
}
