//! Where the storage layer meets the disk: every call that writes, or that a claim rests on, asks here first. In tests call N can fail,
//! and a folder pass for a file system that does not answer.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// What is about to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Open,
    Allocate,
    Write,
    Read,
    Sync,
    Rename,
}

/// Whether a call on a path may go ahead, and how many bytes it may write at most.
#[cfg(not(test))]
#[inline]
pub(super) fn allow(_: Call, _: impl FnOnce() -> PathBuf) -> io::Result<usize> {
    Ok(usize::MAX)
}

#[cfg(test)]
pub(super) fn allow(call: Call, path: impl FnOnce() -> PathBuf) -> io::Result<usize> {
    let path = path();
    if call == Call::Write {
        super::stalls::before_write(&path);
    }
    touch(&path);
    faults::allow(call, &path)
}

/// The file system of a path is about to be asked something.
#[cfg(not(test))]
#[inline]
pub(crate) fn touch(_: &Path) {}

#[cfg(test)]
pub(crate) use super::stalls::touch;

/// The device of the file system that `path`, or its nearest parent that exists, lies on.
pub(crate) fn device(path: &Path) -> u64 {
    #[cfg(test)]
    if let Some(device) = super::stalls::device(path) {
        return device;
    }
    let there = (path.ancestors()).find_map(|path| path.metadata().ok());
    there.map_or(0, |meta| meta.dev())
}

#[cfg(test)]
pub(crate) use self::faults::{Fault, Faults};

/// A disk that fails on purpose. It fails as disks do: a sync that fails, and a power cut, lose what was not synced.
#[cfg(test)]
mod faults {
    use std::fs::File;
    use std::io;
    use std::os::unix::fs::FileExt as _;
    use std::path::{Path, PathBuf};
    use std::sync::{Mutex, PoisonError};

    use super::Call;

    /// What happens at call N.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Fault {
        /// No space.
        Full,
        /// An error of the device.
        Broken,
        /// A write takes one byte and says so.
        Short,
        /// Nothing reaches the disk from here on.
        PowerCut,
    }

    /// Faults below a folder, until this is dropped.
    pub(crate) struct Faults(PathBuf);

    struct Disk {
        root: PathBuf,
        /// Calls so far.
        calls: u32,
        syncs: u32,
        plan: Option<(u32, Fault)>,
        /// The number of the first rename.
        renamed: Option<u32>,
        is_dead: bool,
        /// Files written to since their last sync.
        unsynced: Vec<(PathBuf, Vec<u8>)>,
    }

    static DISKS: Mutex<Vec<Disk>> = Mutex::new(Vec::new());

    impl Faults {
        /// Counts the calls below `root`; with a plan, that call fails, counted from 1.
        pub(crate) fn new(root: &Path, plan: Option<(u32, Fault)>) -> Self {
            lock().push(Disk {
                root: root.to_owned(),
                calls: 0,
                syncs: 0,
                plan,
                renamed: None,
                is_dead: false,
                unsynced: Vec::new(),
            });
            Self(root.to_owned())
        }

        pub(crate) fn calls(&self) -> u32 {
            let disks = lock();
            let disk = disks.iter().find(|disk| disk.root == self.0);
            disk.map_or(0, |disk| disk.calls)
        }

        /// How many of them were syncs, of files and folders.
        pub(crate) fn syncs(&self) -> u32 {
            let disks = lock();
            let disk = disks.iter().find(|disk| disk.root == self.0);
            disk.map_or(0, |disk| disk.syncs)
        }

        /// The number of the first rename: before it, everything was synced.
        pub(crate) fn renamed(&self) -> Option<u32> {
            let disks = lock();
            let disk = disks.iter().find(|disk| disk.root == self.0);
            disk.and_then(|disk| disk.renamed)
        }

        /// Whether the power was cut.
        pub(crate) fn is_dead(&self) -> bool {
            lock()
                .iter()
                .any(|disk| disk.root == self.0 && disk.is_dead)
        }
    }

    impl Drop for Faults {
        fn drop(&mut self) {
            lock().retain(|disk| disk.root != self.0);
        }
    }

    pub(super) fn allow(call: Call, path: &Path) -> io::Result<usize> {
        let mut disks = lock();
        match disks.iter_mut().find(|disk| path.starts_with(&disk.root)) {
            Some(disk) => disk.allow(call, path),
            None => Ok(usize::MAX),
        }
    }

    impl Disk {
        fn allow(&mut self, call: Call, path: &Path) -> io::Result<usize> {
            self.calls += 1;
            self.syncs += u32::from(call == Call::Sync);
            if call == Call::Rename && !self.is_dead {
                self.renamed.get_or_insert(self.calls);
            }
            let fault = self.plan.filter(|(at, _)| *at == self.calls);
            if self.is_dead {
                return Err(io::Error::from_raw_os_error(nix::libc::EIO));
            }
            match (fault.map(|(_, fault)| fault), call) {
                (Some(Fault::PowerCut), _) => {
                    self.is_dead = true;
                    self.lose(|_| true);
                    Err(io::Error::from_raw_os_error(nix::libc::EIO))
                }
                (Some(Fault::Short), Call::Write) => {
                    self.keep(path);
                    Ok(1)
                }
                (Some(fault @ (Fault::Full | Fault::Broken)), _) => {
                    if call == Call::Sync {
                        self.lose(|file| file == path);
                    }
                    Err(io::Error::from_raw_os_error(match fault {
                        Fault::Full => nix::libc::ENOSPC,
                        _ => nix::libc::EIO,
                    }))
                }
                (_, Call::Write) => {
                    self.keep(path);
                    Ok(usize::MAX)
                }
                (_, Call::Sync) => {
                    self.unsynced.retain(|(file, _)| file != path);
                    Ok(usize::MAX)
                }
                _ => Ok(usize::MAX),
            }
        }

        /// What the disk has of a file before it is written to.
        fn keep(&mut self, path: &Path) {
            if !self.unsynced.iter().any(|(file, _)| file == path) {
                let bytes = std::fs::read(path).unwrap_or_default();
                self.unsynced.push((path.to_owned(), bytes));
            }
        }

        fn lose(&mut self, is_lost: impl Fn(&Path) -> bool) {
            let lost = self.unsynced.extract_if(.., |(path, _)| is_lost(path));
            for (path, bytes) in lost {
                // Gone meanwhile: then its bytes matter to nobody.
                let _ = File::options()
                    .write(true)
                    .open(&path)
                    .and_then(|file| file.write_all_at(&bytes, 0));
            }
        }
    }

    fn lock() -> std::sync::MutexGuard<'static, Vec<Disk>> {
        DISKS.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
