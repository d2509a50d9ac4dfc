//! Hints from the file system: which paths of a share may have changed.
//!
//! `notify` runs its own thread, which does nothing but call the handler here; that puts paths into a bounded set and wakes the share. When
//! the set or the kernel's queue overflows, all that is known is that something changed: the share is scanned.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use notify::event::{AccessKind, AccessMode, ModifyKind, RenameMode};
use notify::{Config, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;

use super::settle::News;

/// Paths that are remembered before a scan is cheaper.
const MOST_PATHS: usize = 20_000;

/// A watched folder or file. Dropping it ends the watch.
pub(crate) struct Watch {
    hints: Arc<Hints>,
    _watcher: RecommendedWatcher,
}

/// What may have changed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Dirty {
    /// These paths, and how the news came.
    Paths(HashMap<PathBuf, News>),
    /// Too many to say.
    Everything,
    /// A folder that came later is beyond the kernel's limit on watches.
    Limit,
}

#[derive(Default)]
struct Hints {
    dirty: Mutex<State>,
    wake: Notify,
}

#[derive(Default)]
struct State {
    paths: HashMap<PathBuf, News>,
    overflow: bool,
    limit: bool,
}

/// Why there is no watch.
#[derive(Debug)]
pub(crate) enum Unwatched {
    /// The kernel's limit on watches is reached.
    Limit,
    /// Another reason.
    Other(String),
}

impl Watch {
    /// Watches `path` and, with `recursive`, all below it. Blocks while it walks the folders.
    pub(crate) fn start(path: &Path, recursive: bool) -> Result<Self, Unwatched> {
        #[cfg(test)]
        tests::refuse(path)?;
        let hints = Arc::new(Hints::default());
        let sink = hints.clone();
        let config = Config::default().with_follow_symlinks(false);
        let mut watcher = RecommendedWatcher::new(move |event| sink.take(event), config)
            .map_err(|error| unwatched(&error))?;
        // As it walks, `notify` skips in silence what it cannot look at, on Linux the root too.
        if recursive && cfg!(target_os = "linux") {
            let watched = watcher.watch(path, RecursiveMode::NonRecursive);
            watched.map_err(|error| unwatched(&error))?;
        }
        let mode = if recursive {
            RecursiveMode::Recursive
        } else {
            RecursiveMode::NonRecursive
        };
        watcher
            .watch(path, mode)
            .map_err(|error| unwatched(&error))?;
        Ok(Self {
            hints,
            _watcher: watcher,
        })
    }

    /// Waits until there is a hint; then [`Watch::take`] it.
    pub(crate) async fn changed(&self) {
        self.hints.wake.notified().await;
    }

    /// Takes the hints there are.
    pub(crate) fn take(&self) -> Dirty {
        let mut state = self.hints.lock();
        let paths = std::mem::take(&mut state.paths);
        if state.limit {
            Dirty::Limit
        } else if std::mem::take(&mut state.overflow) {
            Dirty::Everything
        } else {
            Dirty::Paths(paths)
        }
    }
}

/// The kernel's limit on watches of one user.
pub(crate) fn limit() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/sys/fs/inotify/max_user_watches").ok()?;
    text.trim().parse().ok()
}

impl Hints {
    fn take(&self, event: notify::Result<notify::Event>) {
        let mut state = self.lock();
        match event {
            Ok(event) if event.need_rescan() => state.overflow = true,
            Ok(event) => {
                let Some(news) = news(event.kind) else { return };
                for path in event.paths {
                    if state.paths.len() >= MOST_PATHS {
                        state.overflow = true;
                        break;
                    }
                    let known = state.paths.entry(path).or_insert(news);
                    *known = (*known).min(news);
                }
                if state.overflow {
                    state.paths.clear();
                }
            }
            // Such as a folder that could not be watched: what is in it must be looked for.
            Err(error) => match unwatched(&error) {
                Unwatched::Limit => state.limit = true,
                Unwatched::Other(_) => state.overflow = true,
            },
        }
        drop(state);
        self.wake.notify_one();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.dirty.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How an event speaks of a change; `None` if it does not.
fn news(kind: EventKind) -> Option<News> {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => Some(News::Closed),
        EventKind::Access(_) => None,
        EventKind::Modify(ModifyKind::Name(RenameMode::To | RenameMode::Both)) => Some(News::Moved),
        _ => Some(News::Found),
    }
}

fn unwatched(error: &notify::Error) -> Unwatched {
    match &error.kind {
        notify::ErrorKind::MaxFilesWatch => Unwatched::Limit,
        notify::ErrorKind::Io(io) if io.raw_os_error() == Some(nix::libc::ENOSPC) => {
            Unwatched::Limit
        }
        kind => Unwatched::Other(match kind {
            notify::ErrorKind::Io(io) => io.to_string(),
            _ => error.to_string(),
        }),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use notify::event::{CreateKind, Flag};

    /// Folders that the kernel refuses to watch, and how often it was asked to.
    pub(in crate::share) static REFUSED: Mutex<Vec<(PathBuf, u32)>> = Mutex::new(Vec::new());

    pub(super) fn refuse(path: &Path) -> Result<(), Unwatched> {
        let mut refused = REFUSED.lock().unwrap();
        let Some((_, asked)) = refused.iter_mut().find(|(folder, _)| folder == path) else {
            return Ok(());
        };
        *asked += 1;
        Err(Unwatched::Limit)
    }

    fn paths(dirty: Dirty) -> HashMap<PathBuf, News> {
        match dirty {
            Dirty::Paths(paths) => paths,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_file_written_and_closed_is_told_as_such() {
        let dir = tempfile::tempdir().unwrap();
        let watch = Watch::start(dir.path(), true).unwrap();
        let file = dir.path().join("f");
        std::fs::write(&file, "data").unwrap();
        let mut seen = HashMap::new();
        while seen.get(&file) != Some(&News::Closed) {
            let changed = tokio::time::timeout(std::time::Duration::from_secs(10), watch.changed());
            assert!(changed.await.is_ok(), "only {seen:?}");
            seen.extend(paths(watch.take()));
        }
    }

    #[test]
    fn too_many_paths_and_a_kernel_overflow_mean_everything() {
        let hints = Hints::default();
        let create = |n: usize| {
            Ok(notify::Event::new(EventKind::Create(CreateKind::File))
                .add_path(format!("/{n}").into()))
        };
        (0..MOST_PATHS + 5).for_each(|n| hints.take(create(n)));
        let state = std::mem::take(&mut *hints.lock());
        assert!(state.overflow && state.paths.len() < 10);

        hints.take(Ok(
            notify::Event::new(EventKind::Other).set_flag(Flag::Rescan)
        ));
        assert!(hints.lock().overflow && !hints.lock().limit);
        hints.take(Err(notify::Error::new(notify::ErrorKind::MaxFilesWatch)));
        assert!(hints.lock().limit);
    }
}
