//! The disk threads of each file system.
//!
//! A file system that does not answer, a network mount whose server is gone mostly, keeps for good each thread that asks it something. So
//! those of one file system work for no other: each has its own from the first time that an item on it has work for them, and on a machine
//! with one there are as many as if all shared them. On which file system a path lies is a question that may wait for ever as well: a thread
//! is made for it, and one is enough for all who ask about the same path.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use super::direct::WRITERS;
use super::pages::Pipes;
use super::tree::FileCache;
use super::{Disk, MAX_OPEN, StorageError, lock, seam};
use crate::descriptors;

/// What a thread that asks for a file system needs, in bytes: as many may stand there as there are paths on dead mounts.
const SMALL_STACK: usize = 64 * 1024;

/// Work that takes longer makes one look whether its disk answers, and again after as long.
const LOOK: Duration = Duration::from_secs(2);

/// A disk that says nothing for so long does not answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// A handle on the disk threads of all file systems; the threads end when the last handle on them is dropped.
#[derive(Clone)]
pub struct Disks(Arc<Shared>);

struct Shared {
    threads: usize,
    cache: Arc<FileCache>,
    pipes: Arc<Pipes>,
    /// By the device of the file system, or the two of them between which is copied. One that is mounted again later mostly has the number
    /// that it had.
    disks: Mutex<HashMap<(u64, u64), Disk>>,
    /// Questions that were not answered yet.
    looks: Mutex<HashMap<PathBuf, Look>>,
}

/// The device of a path, when it is known.
type Look = watch::Receiver<Option<u64>>;

impl Disks {
    /// None yet; each will have `threads` threads for pieces (at least one), and as many more as wait for direct writes meanwhile.
    pub fn new(threads: usize) -> Self {
        Self(Arc::new(Shared {
            threads: threads.max(1) + WRITERS - 1,
            // One that is written directly is open twice.
            cache: FileCache::new(MAX_OPEN.min(descriptors::shares().files / 8 * 3).max(1)),
            pipes: Pipes::new(descriptors::shares().files / 8),
            disks: Mutex::default(),
            looks: Mutex::default(),
        }))
    }

    /// The threads of the file system that `path`, or its nearest parent that exists, lies on. Waits as long as that does not answer.
    pub async fn at(&self, path: &Path) -> Result<Disk, StorageError> {
        let device = self.device(path).await?;
        self.get((device, device), path)
    }

    /// The threads for what goes from one path to another: those of their file system, or others than those of both.
    pub async fn between(&self, from: &Path, to: &Path) -> Result<Disk, StorageError> {
        let devices = (self.device(from).await?, self.device(to).await?);
        self.get(devices, to)
    }

    /// What `work` gives; [`StorageError::Stands`] when the file system of one of `paths` is found not to answer before. One that is slow, or
    /// has other work to do first, is waited for.
    pub async fn while_answering<T>(
        &self,
        paths: &[&Path],
        work: impl Future<Output = T>,
    ) -> Result<T, StorageError> {
        tokio::pin!(work);
        loop {
            if let Ok(done) = timeout(LOOK, &mut work).await {
                return Ok(done);
            }
            for path in paths {
                tokio::select! {
                    biased;
                    done = &mut work => return Ok(done),
                    looked = timeout(PATIENCE, self.device(path)) => {
                        looked.map_err(|_| StorageError::Stands {
                            path: path.to_path_buf(),
                            why: "",
                        })??;
                    }
                }
            }
        }
    }

    /// Gives back memory that is kept for what comes next, as nothing comes.
    pub(crate) fn rest(&self) {
        for disk in lock(&self.0.disks).values() {
            disk.direct.rest();
        }
        self.0.pipes.rest();
    }

    fn get(&self, devices: (u64, u64), path: &Path) -> Result<Disk, StorageError> {
        let mut disks = lock(&self.0.disks);
        if let Some(disk) = disks.get(&devices) {
            return Ok(disk.clone());
        }
        let disk = Disk::start(self.0.threads, &self.0.cache, &self.0.pipes);
        let disk = disk.map_err(|error| StorageError::at(path, &error))?;
        disks.insert(devices, disk.clone());
        Ok(disk)
    }

    async fn device(&self, path: &Path) -> Result<u64, StorageError> {
        let mut look = self
            .look(path)
            .map_err(|error| StorageError::at(path, &error))?;
        let device = look.wait_for(Option::is_some).await;
        device
            .ok()
            .and_then(|device| *device)
            .ok_or(StorageError::Stopped)
    }

    fn look(&self, path: &Path) -> io::Result<Look> {
        let mut looks = lock(&self.0.looks);
        if let Some(look) = looks.get(path) {
            return Ok(look.clone());
        }
        let (tell, look) = watch::channel(None);
        let (asked, shared) = (path.to_owned(), Arc::downgrade(&self.0));
        let asking = move || {
            let device = seam::device(&asked);
            if let Some(shared) = shared.upgrade() {
                lock(&shared.looks).remove(&asked);
            }
            tell.send_replace(Some(device));
        };
        let thread = thread::Builder::new().name("disk-look".into());
        thread.stack_size(SMALL_STACK).spawn(asking)?;
        looks.insert(path.to_owned(), look.clone());
        Ok(look)
    }
}
