//! What all shares use, and the way to each: adding, removing, finding them; handing them what trackers answer.

use std::collections::HashSet;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use p2p_wire::control::{ErrorKind, Share, ShareAdd, ShareProgress};
use p2p_wire::metainfo::safe_component;
use tokio::sync::{mpsc, oneshot, watch as watching};

use super::Config;
use super::admission::check_globs;
use super::folder::{Command, Folder};
use super::hashing::{Activity, Hashing};
use super::holder::Holder;
use super::mail::Mailbox;
use super::mounts::Mounts;
use super::place;
use super::store::{Known, NewShare, Row, Store};
use crate::Fault;
use crate::engine::Events;
use crate::hooks::Hooks;
use crate::state::{State, StateError};
use crate::tracker::{Outcome, OutcomeKind, Trackers};

/// What all shares use, and the way to each.
pub(super) struct Hub<H> {
    pub(super) config: Config,
    pub(super) store: Store,
    pub(super) holder: H,
    pub(super) trackers: Trackers,
    pub(super) events: Events,
    pub(super) hashing: Hashing,
    folders: Mutex<Vec<Handle>>,
    /// Held while a share is added or removed: whether it may be depends on the others.
    changing: tokio::sync::Mutex<()>,
}

/// The way to a share's task.
#[derive(Clone)]
pub(super) struct Handle {
    id: i64,
    pub(super) name: String,
    pub(super) owner: u32,
    pub(super) configured: bool,
    pub(super) options: ShareAdd,
    pub(super) path: PathBuf,
    /// When full, the sender waits.
    commands: mpsc::Sender<Command>,
    mail: Mailbox,
    activity: Activity,
    pub(super) progress: watching::Receiver<ShareProgress>,
}

impl Handle {
    async fn rescan(self) -> Share {
        let (reply, done) = oneshot::channel();
        if self.commands.send(Command::Rescan(reply)).await.is_ok() {
            let _ = done.await;
        }
        self.progress.borrow().share.clone()
    }
}

impl<H: Holder> Hub<H> {
    pub(super) async fn start(
        config: Config,
        configured: Vec<NewShare>,
        state: State,
        holder: H,
        trackers: Trackers,
        events: Events,
    ) -> Result<Arc<Self>, Fault> {
        check_globs(&config.exclude)?;
        let hub = Arc::new(Self {
            hashing: Hashing::new(config.threads, config.io),
            config,
            store: Store::new(state),
            holder,
            trackers,
            events,
            folders: Mutex::default(),
            changing: tokio::sync::Mutex::default(),
        });
        let (sender, outcomes) = mpsc::channel(256);
        hub.trackers.listen(sender);
        tokio::spawn(hub.clone().route(outcomes));
        let rows = hub.store.shares().await;
        let mut shares = Vec::new();
        for row in rows.map_err(|error| hub.state_fault(&error))? {
            let entries = hub.store.entries(row.id).await;
            shares.push((row, entries.map_err(|error| hub.state_fault(&error))?));
        }
        hub.release_strays(&shares).await;
        for (row, entries) in shares {
            let folder = Folder::new(hub.clone(), row.clone(), entries);
            hub.spawn(row, folder, false);
        }
        hub.follow_file(configured).await;
        Ok(hub)
    }

    /// A kill between the moment an item is served and that in which its entry is kept leaves an item that no change of its file would
    /// withdraw. Its share finds the file again and makes it an item as if it were new.
    async fn release_strays(&self, shares: &[(Row, Vec<(PathBuf, Known)>)]) {
        let entries = shares.iter().flat_map(|(row, entries)| {
            let of = move |(_, known): &(PathBuf, Known)| (known.info_hash, &*row.name, row.owner);
            entries.iter().map(of)
        });
        let entries: HashSet<_> = entries.collect();
        for (item, share) in self.holder.held().await {
            if let Some((name, owner)) = share
                && !entries.contains(&(item, &*name, owner))
            {
                tracing::info!("{item} is no entry of the share {name} and is released");
                self.holder.release(item, &name, owner).await;
            }
        }
    }

    pub(super) async fn add(self: &Arc<Self>, new: NewShare) -> Result<Share, Fault> {
        let (handle, begun) = self.begin(new).await?;
        // Until the first scan is over nobody knows what there is.
        let _ = begun.await;
        Ok(handle.progress.borrow().share.clone())
    }

    pub(super) async fn begin(
        self: &Arc<Self>,
        new: NewShare,
    ) -> Result<(Handle, oneshot::Receiver<()>), Fault> {
        let path = new.add.path.to_path().ok_or_else(|| {
            Fault::new(
                ErrorKind::Usage,
                "cannot share that",
                "The path cannot be read.",
                "Give an absolute path.",
            )
        })?;
        let (refused, force, owner) = (self.config.refused.clone(), new.add.force, new.owner);
        let shown = path.display().to_string();
        let check = move || place::check(&path, &refused, force, owner);
        let (path, is_file) = place::looked(check).await.unwrap_or_else(|| {
            Err(Fault::new(
                ErrorKind::Disk,
                format!("cannot share {shown}"),
                "The disk that it lies on does not answer.",
                "Look at the disk, or at the server that it is on, and try again.",
            ))
        })?;
        let _changing = self.changing.lock().await;
        self.check_options(&path, &new)?;
        let name = match &new.add.name {
            Some(name) => name.clone(),
            None => safe_component(path.file_name().unwrap_or_default().as_bytes()),
        };
        self.check_others(&path, &name, new.owner)?;
        let row = self.store.add_share(&path, is_file, &name, &new).await;
        let row = row.map_err(|error| self.state_fault(&error))?;
        let text = format!("sharing {} as {name}", path.display());
        self.events
            .emit_to(row.owner, "share.added", None, Some(&name), text);
        let folder = Folder::new(self.clone(), row.clone(), Vec::new());
        Ok(self.spawn(row, folder, true))
    }

    fn spawn(
        self: &Arc<Self>,
        row: Row,
        folder: Folder<H>,
        is_new: bool,
    ) -> (Handle, oneshot::Receiver<()>) {
        let (commands, queue) = mpsc::channel(64);
        let handle = Handle {
            id: row.id,
            name: row.name,
            owner: row.owner,
            configured: row.configured,
            options: row.options,
            path: row.path,
            commands,
            mail: folder.mail.clone(),
            activity: folder.activity.clone(),
            progress: folder.progress(),
        };
        let (begun, begins) = oneshot::channel();
        tokio::spawn(folder.run(queue, begun, is_new));
        self.folders().push(handle.clone());
        (handle, begins)
    }

    /// Ends a share; of `whose` alone if that is given.
    pub(super) async fn remove(&self, share: &Path, whose: Option<u32>) -> Result<Share, Fault> {
        let handle = self.find(share, whose).await?;
        if handle.configured {
            return Err(Fault::new(
                ErrorKind::Conflict,
                format!("cannot end the share {}", handle.name),
                "It is in the configuration file, which only you change.",
                "Remove its [[share]] there (p2pctl config path), then p2pctl daemon reload.",
            ));
        }
        self.end(&handle).await
    }

    pub(super) async fn end(&self, handle: &Handle) -> Result<Share, Fault> {
        let _changing = self.changing.lock().await;
        let view = handle.progress.borrow().share.clone();
        let (reply, done) = oneshot::channel();
        // First, so that it does not wait for a disk before it hears that it is to end.
        handle.activity.end();
        if handle.commands.send(Command::Remove(reply)).await.is_ok() {
            let _ = done.await;
        }
        let removed = self.store.remove_share(handle.id).await;
        removed.map_err(|error| self.state_fault(&error))?;
        self.folders().retain(|other| other.id != handle.id);
        let text = format!("{} is shared no more", handle.path.display());
        let (owner, name) = (handle.owner, Some(handle.name.as_str()));
        self.events
            .emit_to(owner, "share.removed", None, name, text);
        Ok(view)
    }

    pub(super) async fn rescan(
        &self,
        share: Option<&Path>,
        whose: Option<u32>,
    ) -> Result<Vec<Share>, Fault> {
        let handles = match share {
            Some(share) => vec![self.find(share, whose).await?],
            None => self.folders_of(whose),
        };
        // All begin at once: one whose disk does not answer keeps the caller waiting, and not the other shares.
        let scans: Vec<_> = handles
            .into_iter()
            .map(|handle| tokio::spawn(handle.rescan()))
            .collect();
        let mut views = Vec::with_capacity(scans.len());
        for scan in scans {
            views.extend(scan.await.ok());
        }
        Ok(views)
    }

    pub(super) fn list(&self, whose: Option<u32>) -> Vec<Share> {
        self.folders_of(whose)
            .iter()
            .map(|handle| handle.progress.borrow().share.clone())
            .collect()
    }

    /// By path or by name, among those of `whose`, or all.
    pub(super) async fn find(&self, share: &Path, whose: Option<u32>) -> Result<Handle, Fault> {
        let folders = self.folders_of(whose);
        let path = place::resolved(share.to_owned()).await;
        let path = path.unwrap_or_else(|| share.to_owned());
        let by_path = |handle: &&Handle| handle.path == path || handle.path == share;
        if let Some(found) = folders.iter().find(by_path) {
            return Ok(found.clone());
        }
        let mut named = folders.iter().filter(|h| Path::new(&h.name) == share);
        let found = named.next();
        if let (Some(one), Some(other)) = (found, named.next()) {
            return Err(Fault::new(
                ErrorKind::Conflict,
                format!("several users share under the name {}", share.display()),
                format!("{} and {}", one.path.display(), other.path.display()),
                "Give the path",
            ));
        }
        found.cloned().ok_or_else(|| {
            Fault::new(
                ErrorKind::NotFound,
                format!("{} is not shared", share.display()),
                "No share has that path or name.",
                "Look at those there are:  p2pctl status",
            )
        })
    }

    /// Hands what trackers answered and new logins to the shares.
    async fn route(self: Arc<Self>, mut outcomes: mpsc::Receiver<Outcome>) {
        let mut logins = self.trackers.logins();
        let mut passes = self.holder.hooks().map(Hooks::passes);
        let mounts = Mounts::watch();
        if let Err(error) = &mounts {
            tracing::warn!("a disk that is mounted at a share is noticed late: {error}");
        }
        loop {
            tokio::select! {
                outcome = outcomes.recv() => {
                    let Some(outcome) = outcome else { return };
                    let mut batch = vec![outcome];
                    while batch.len() < 256 && let Ok(more) = outcomes.try_recv() {
                        batch.push(more);
                    }
                    self.take_outcomes(batch).await;
                }
                changed = logins.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.folders().iter().for_each(|handle| handle.mail.logins());
                }
                () = mounted(&mounts) => {
                    self.folders().iter().for_each(|handle| handle.mail.mounts());
                }
                () = changed(&mut passes) => {
                    self.folders().iter().for_each(|handle| handle.mail.passed());
                }
            }
        }
    }

    pub(super) async fn take_outcomes(&self, batch: Vec<Outcome>) {
        let published: HashSet<_> = batch
            .iter()
            .filter(|outcome| outcome.kind == OutcomeKind::Published)
            .map(|outcome| (outcome.owner, outcome.item))
            .collect();
        if !published.is_empty() {
            let marked = self.store.mark_published(published).await;
            self.warn(marked.map_err(|error| self.state_fault(&error)));
        }
        for handle in self.folders().iter() {
            let own = batch.iter().filter(|one| one.owner == handle.owner);
            own.for_each(|outcome| handle.mail.outcome(outcome));
        }
    }

    /// Tells a share that the item of this entry is gone with another entry of the same content.
    pub(super) fn renew(&self, share: i64, entry: PathBuf) {
        if let Some(handle) = self.folders().iter().find(|handle| handle.id == share) {
            handle.mail.renew(entry);
        }
    }

    fn folders_of(&self, whose: Option<u32>) -> Vec<Handle> {
        let folders = self.folders();
        let wanted = |handle: &&Handle| whose.is_none_or(|uid| handle.owner == uid);
        folders.iter().filter(wanted).cloned().collect()
    }

    pub(super) fn folders(&self) -> std::sync::MutexGuard<'_, Vec<Handle>> {
        self.folders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn state_fault(&self, error: &StateError) -> Fault {
        Fault::new(
            ErrorKind::Disk,
            "cannot keep the shares",
            format!("The daemon's state cannot be read or written: {error}."),
            "Look at the disk that holds the state folder (full, read-only?), then try again.",
        )
    }

    pub(super) fn warn(&self, result: Result<(), Fault>) {
        if let Err(fault) = result {
            tracing::warn!("{fault}");
        }
    }
}

/// Until something is mounted or unmounted; for ever where that cannot be told.
async fn mounted(mounts: &io::Result<Mounts>) {
    match mounts {
        Ok(mounts) => mounts.changed().await,
        Err(_) => std::future::pending().await,
    }
}

/// Until the value changes; for ever without one, or when nobody changes it any more.
async fn changed(value: &mut Option<watching::Receiver<u64>>) {
    let changed = match value {
        Some(value) => value.changed().await.is_ok(),
        None => false,
    };
    if !changed {
        std::future::pending().await
    }
}
