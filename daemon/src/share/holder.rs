//! What shares ask of the engine: narrow, so that their logic is tested without sockets and disk threads.

use std::path::PathBuf;

use p2p_wire::InfoHash;
use p2p_wire::control::{Item, State};
use p2p_wire::metainfo::Metainfo;

use crate::Fault;
use crate::engine::{Engine, FileStamp, NewItem};
use crate::hooks::Hooks;

/// The share that an item belongs to: its name, and the user.
pub(crate) type Whose = Option<(String, u32)>;

/// Holds items.
pub(crate) trait Holder: Clone + Send + Sync + 'static {
    /// Serves a new item; false if it is there already, whose trackers are then joined.
    fn hold(&self, new: NewItem) -> impl Future<Output = Result<bool, Fault>> + Send;
    /// Why an item that was there already does not serve what the user `owner` shares; `None` if it does.
    fn lacks(&self, _item: InfoHash, _owner: u32) -> impl Future<Output = Option<String>> + Send {
        async { None }
    }
    /// Serves it no more, if it belongs to the user `owner`'s `share`; the files stay.
    fn release(&self, item: InfoHash, share: &str, owner: u32) -> impl Future<Output = ()> + Send;
    /// Its files were renamed.
    fn relocate(
        &self,
        item: InfoHash,
        path: PathBuf,
        stamps: Vec<FileStamp>,
    ) -> impl Future<Output = Result<(), Fault>> + Send;
    /// Its metainfo, with its announce URLs.
    fn metainfo(&self, item: InfoHash) -> impl Future<Output = Option<Metainfo>> + Send;
    /// All items that are held.
    fn held(&self) -> impl Future<Output = Vec<(InfoHash, Whose)>> + Send;
    /// Whether a gate holds it.
    fn is_held(&self, _item: InfoHash) -> impl Future<Output = bool> + Send {
        async { false }
    }
    /// Whose answers at the gate before publishing are taken from; nobody's without gates.
    fn hooks(&self) -> Option<&Hooks> {
        None
    }
    /// Goes on with it if a fault stopped it.
    fn revive(&self, item: InfoHash) -> impl Future<Output = ()> + Send;
}

impl Holder for Engine {
    async fn hold(&self, new: NewItem) -> Result<bool, Fault> {
        self.add(new).await
    }

    async fn lacks(&self, item: InfoHash, owner: u32) -> Option<String> {
        let item = self.item(item).await?;
        let name = &item.name;
        if item.owner_uid != owner {
            Some("another user has the same content here, and it is served as theirs".into())
        } else if item.state != State::Seeding && item.share.is_none() {
            Some(format!(
                "it is here already as {name}, which is not whole or stands still; p2pctl rm it, then p2pctl rescan"
            ))
        } else {
            None
        }
    }

    async fn release(&self, item: InfoHash, share: &str, owner: u32) {
        let held = self.item(item).await;
        let ours = |item: Item| item.share.as_deref() == Some(share) && item.owner_uid == owner;
        if held.is_some_and(ours)
            && let Err(fault) = self.remove(item, false).await
        {
            tracing::warn!("{item} cannot be withdrawn: {fault}");
        }
    }

    async fn relocate(
        &self,
        item: InfoHash,
        path: PathBuf,
        stamps: Vec<FileStamp>,
    ) -> Result<(), Fault> {
        Self::relocate(self, item, path, stamps).await
    }

    async fn metainfo(&self, item: InfoHash) -> Option<Metainfo> {
        Self::metainfo(self, item).await
    }

    async fn held(&self) -> Vec<(InfoHash, Whose)> {
        let items = self.items().await.into_iter();
        let held = items.map(|item| {
            (
                item.info_hash,
                item.share.map(|name| (name, item.owner_uid)),
            )
        });
        held.collect()
    }

    async fn is_held(&self, item: InfoHash) -> bool {
        let item = self.item(item).await;
        item.is_some_and(|item| item.state == State::Held)
    }

    fn hooks(&self) -> Option<&Hooks> {
        Self::hooks(self)
    }

    async fn revive(&self, item: InfoHash) {
        let stopped = self.item(item).await;
        if stopped.is_some_and(|item| item.state == State::Error) {
            // It says itself what is wrong with it.
            let _ = self.resume(item).await;
        }
    }
}
