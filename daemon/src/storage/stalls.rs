//! Folders that are file systems of their own, and do not answer while they are held: dead network mounts, for tests.

use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// A folder that passes for a mounted file system, until this is dropped.
pub(crate) struct Mount(PathBuf);

struct Mounted {
    root: PathBuf,
    device: u64,
    is_held: bool,
    /// It says what it holds also while it is held.
    is_frozen: bool,
    /// Calls until it is held.
    countdown: Option<u32>,
    /// It is held at the first call that writes.
    takes_no_writes: bool,
    /// Calls so far.
    calls: u32,
    /// Threads that stand in a call to it.
    standing: usize,
    /// Threads that stood in a call in an earlier one do so for ever.
    era: u32,
}

static MOUNTED: Mutex<Vec<Mounted>> = Mutex::new(Vec::new());
static RELEASED: Condvar = Condvar::new();

impl Mount {
    /// Answers, until it is held.
    pub(crate) fn new(root: &Path) -> Self {
        let mut mounted = lock();
        // Beyond what the kernel gives.
        let last = mounted.iter().map(|mount| mount.device).max();
        mounted.push(Mounted {
            root: root.to_owned(),
            device: last.unwrap_or(1 << 60) + 1,
            is_held: false,
            is_frozen: false,
            countdown: None,
            takes_no_writes: false,
            calls: 0,
            standing: 0,
            era: 0,
        });
        Self(root.to_owned())
    }

    /// No call to it returns from now on.
    pub(crate) fn hold(&self) {
        self.with(|mount| mount.is_held = true);
    }

    /// Call `number` from now on, counted from 1, does not return, nor do those after it.
    pub(crate) fn hold_at(&self, number: u32) {
        self.with(|mount| mount.countdown = Some(number));
    }

    /// The first call that writes does not return, nor do those after it.
    pub(crate) fn hold_at_first_write(&self) {
        self.with(|mount| mount.takes_no_writes = true);
    }

    /// The same, but on which file system a path is can be asked all the time, and is no call.
    pub(crate) fn freeze_at_first_write(&self) {
        self.with(|mount| mount.is_frozen = true);
        self.hold_at_first_write();
    }

    /// Calls so far.
    pub(crate) fn calls(&self) -> u32 {
        self.with(|mount| mount.calls)
    }

    /// It answers again, and to those who wait.
    pub(crate) fn release(&self) {
        self.with(|mount| {
            (mount.is_held, mount.countdown, mount.takes_no_writes) = (false, None, false);
        });
        RELEASED.notify_all();
    }

    /// Those who stand in a call to it never return, as threads of a program that has ended.
    pub(crate) fn bury(&self) {
        self.with(|mount| (mount.era, mount.standing) = (mount.era + 1, 0));
    }

    /// Threads that stand in a call to it.
    pub(crate) fn standing(&self) -> usize {
        self.with(|mount| mount.standing)
    }

    fn with<T>(&self, what: impl FnOnce(&mut Mounted) -> T) -> T {
        let mut mounted = lock();
        let mount = mounted.iter_mut().find(|mount| mount.root == self.0);
        what(mount.expect("it is there until this is dropped"))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        lock().retain(|mount| mount.root != self.0);
        RELEASED.notify_all();
    }
}

/// What is called next on `path` writes.
pub(super) fn before_write(path: &Path) {
    if let Some(mount) = find(&mut lock(), path) {
        mount.is_held |= mount.takes_no_writes;
    }
}

/// Returns when the file system of `path` answers.
pub(crate) fn touch(path: &Path) {
    let mut mounted = lock();
    let Some(mount) = find(&mut mounted, path) else {
        return;
    };
    mount.calls += 1;
    if let Some(left) = &mut mount.countdown {
        *left = left.saturating_sub(1);
        mount.is_held |= *left == 0;
    }
    if !mount.is_held {
        return;
    }
    mount.standing += 1;
    let era = mount.era;
    while find(&mut mounted, path).is_some_and(|mount| mount.is_held || mount.era != era) {
        mounted = (RELEASED.wait(mounted)).unwrap_or_else(PoisonError::into_inner);
    }
    if let Some(mount) = find(&mut mounted, path) {
        mount.standing -= 1;
    }
}

/// The device of a folder that passes for a file system, when it answers.
pub(super) fn device(path: &Path) -> Option<u64> {
    let frozen = |mount: &mut Mounted| mount.is_frozen.then_some(mount.device);
    if let Some(device) = find(&mut lock(), path).and_then(frozen) {
        return Some(device);
    }
    touch(path);
    find(&mut lock(), path).map(|mount| mount.device)
}

fn find<'a>(mounted: &'a mut [Mounted], path: &Path) -> Option<&'a mut Mounted> {
    let mut mounted = mounted.iter_mut();
    mounted.find(|mount| path.starts_with(&mount.root))
}

fn lock() -> MutexGuard<'static, Vec<Mounted>> {
    MOUNTED.lock().unwrap_or_else(PoisonError::into_inner)
}
