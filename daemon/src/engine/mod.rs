//! The engine: every item that p2pd holds, dormant or awake.
//!
//! [`Engine`] is a handle; the [`registry`] task behind it owns a row for each item, and a [`torrent`] task owns each item that is awake.
//! One owner for each mutable thing: everything else sends commands.

mod add;
mod announces;
mod asker;
mod changes;
#[cfg(test)]
mod chosen_tests;
mod events;
#[cfg(test)]
mod fault_tests;
mod full;
mod gates;
pub mod history;
mod lives;
mod moving;
mod ops;
mod port;
mod queries;
mod registry;
mod row;
mod rows;
#[cfg(test)]
mod stall_tests;
mod standing;
#[cfg(test)]
mod standing_tests;
mod survey;
mod tally;
mod torrent;
mod types;
mod view;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use p2p_wire::control::{ErrorKind, Item, ItemFile, ItemPeer, ItemPieces, Limits};
use p2p_wire::metainfo::Metainfo;
use p2p_wire::{InfoHash, PeerId};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

pub use self::events::Events;
pub use self::history::history;
use self::ops::Op;
pub(crate) use self::registry::no_such;
use self::registry::{Command, Inputs, Registry};
use self::survey::Survey;
pub use self::survey::{Glance, Glances};
pub use self::tally::Tally;
use self::torrent::{Ask, Report};
pub use self::types::{
    AnnounceCommand, Change, Config, Content, Counters, FileStamp, Holding, ItemSetting, Links,
    NewItem, Place,
};
use crate::Fault;
use crate::descriptors;
use crate::hooks::Hooks;
use crate::net::{self, BlockPool, Bucket, Listeners, Slots};
use crate::resume::Store;
use crate::state::State;
use crate::storage::Disks;

/// A handle on the engine; cheap to clone.
#[derive(Clone)]
pub struct Engine {
    commands: mpsc::Sender<Command>,
    ctx: Arc<Ctx>,
    listeners: Arc<Listeners>,
}

/// What the registry and all torrents share.
struct Ctx {
    config: Config,
    port: u16,
    peer_id: PeerId,
    disks: Disks,
    store: Store,
    events: Events,
    hooks: Option<Hooks>,
    slots: Slots,
    pool: BlockPool,
    /// Dials under way.
    dials: Semaphore,
    /// Limits of the daemon.
    down: Arc<Bucket>,
    up: Arc<Bucket>,
    /// Block bytes since the start.
    downloaded: AtomicU64,
    uploaded: AtomicU64,
    reports: mpsc::Sender<Report>,
    /// Back to the registry; weak, so that it ends with the last handle.
    commands: mpsc::WeakSender<Command>,
}

/// Dials under way at once, over all items.
const DIALS: usize = 64;

impl Engine {
    /// Opens the listening sockets, reads the resume records and starts the engine's tasks on the current runtime. Items are served
    /// when this returns. `Err` when no address can be listened on.
    pub async fn start(config: Config, state: State, links: Links) -> Result<Self, Fault> {
        let failed = |why: String| {
            let fix = "see the log; `p2pctl config` shows the settings";
            Fault::new(ErrorKind::Failed, "the engine cannot start", why, fix)
        };
        let preferred = port::kept(&state);
        let room = descriptors::shares().peers;
        if room < config.max_peers {
            tracing::warn!(
                "{room} peers at most instead of the {} of max_peers: the limit of open files is low",
                config.max_peers
            );
        }
        let slots = Slots::new(config.max_peers.min(room));
        let (arrived_tx, arrived) = mpsc::channel(64);
        let listeners = net::listen(&config.listen, preferred, &slots, &arrived_tx)
            .map_err(|error| failed(format!("cannot listen for peers: {error}")))?;
        let port = listeners.port;
        if preferred != Some(port) {
            port::keep(&state, port);
        }
        let store = Store::new(state);
        let loaded = store.load().await;
        let loaded = loaded.map_err(|error| failed(error.to_string()))?;
        let (commands_tx, commands) = mpsc::channel(256);
        let (reports_tx, reports) = mpsc::channel(256);
        let ctx = Arc::new(Ctx {
            down: Bucket::new(config.limits.down),
            up: Bucket::new(config.limits.up),
            disks: Disks::new(config.disk_threads),
            config,
            port,
            peer_id: new_peer_id(),
            store,
            events: links.events,
            hooks: links.hooks,
            slots,
            pool: BlockPool::default(),
            dials: Semaphore::new(DIALS),
            downloaded: AtomicU64::new(0),
            uploaded: AtomicU64::new(0),
            reports: reports_tx,
            commands: commands_tx.downgrade(),
        });
        let mut registry = Registry::new(ctx.clone());
        let mut holds = HashMap::new();
        if let Some(hooks) = &ctx.hooks {
            let known = hooks.holds().await;
            holds.extend(known.map_err(|error| failed(error.to_string()))?);
        }
        for row in loaded {
            let hold = holds.remove(&row.info_hash);
            registry.insert(row.info_hash, row.record, hold);
        }
        for item in holds.into_keys() {
            gates::release(&ctx, item);
        }
        tokio::spawn(registry.run(Inputs {
            commands,
            reports,
            arrived,
            peers: links.peers,
            announce: links.announce,
        }));
        Ok(Self {
            commands: commands_tx,
            ctx,
            listeners: Arc::new(listeners),
        })
    }

    /// The port that peers connect to.
    pub fn port(&self) -> u16 {
        self.ctx.port
    }

    /// Our peer id, new at every start.
    pub fn peer_id(&self) -> PeerId {
        self.ctx.peer_id
    }

    /// Holds a new item. False if it was there already (then its trackers and peers are joined).
    pub async fn add(&self, new: NewItem) -> Result<bool, Fault> {
        let item = new.info_hash();
        let answer = self.call(|reply| Command::Add(Box::new(new), reply)).await;
        answer.unwrap_or_else(|| Err(stopped(item)))
    }

    /// Forgets an item; deletes what was fetched if asked to, never what a share holds.
    pub async fn remove(&self, item: InfoHash, delete_data: bool) -> Result<Item, Fault> {
        self.op(item, |reply| Op::Remove(delete_data, reply)).await
    }

    /// Stops an item until it is resumed, over restarts.
    pub async fn pause(&self, item: InfoHash) -> Result<Item, Fault> {
        self.op(item, Op::Pause).await
    }

    /// Goes on with an item that was paused or in error.
    pub async fn resume(&self, item: InfoHash) -> Result<Item, Fault> {
        self.op(item, Op::Resume).await
    }

    /// Reads all its data again; pieces that are not good are fetched again. Answers when the reading has begun.
    pub async fn verify(&self, item: InfoHash) -> Result<Item, Fault> {
        self.op(item, Op::Verify).await
    }

    /// Announces as soon as allowed.
    pub async fn announce(&self, item: InfoHash) -> Result<Item, Fault> {
        let answer = self.call(|reply| Command::Announce(item, reply)).await;
        answer.unwrap_or_else(|| Err(stopped(item)))
    }

    /// Changes a setting of an item, over restarts.
    pub async fn set(&self, item: InfoHash, setting: ItemSetting) -> Result<Item, Fault> {
        let answer = self.call(|reply| Command::Set(item, setting, reply)).await;
        answer.unwrap_or_else(|| Err(stopped(item)))
    }

    /// Moves an item's data into an existing folder.
    pub async fn move_to(&self, item: InfoHash, dir: PathBuf) -> Result<Item, Fault> {
        self.op(item, |reply| Op::MoveTo(dir, reply)).await
    }

    /// The files of a shared item were renamed: same content, new path.
    pub async fn relocate(
        &self,
        item: InfoHash,
        path: PathBuf,
        stamps: Vec<FileStamp>,
    ) -> Result<(), Fault> {
        let op = |reply| Command::Op(item, Op::Relocate(path, stamps, reply));
        self.call(op).await.unwrap_or_else(|| Err(stopped(item)))
    }

    /// One item.
    pub async fn item(&self, item: InfoHash) -> Option<Item> {
        self.call(|reply| Command::Ask(item, Ask::Item(reply)))
            .await
    }

    /// Looks at all items at one moment. `look` is called on the engine's thread, which does nothing else meanwhile: it must be quick.
    /// `None` when the engine has stopped.
    pub async fn survey<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Glances<'_>) -> T + Send + 'static,
    ) -> Option<T> {
        let survey = |reply: oneshot::Sender<T>| {
            Command::Survey(Survey::new(move |all| drop(reply.send(look(all)))))
        };
        self.call(survey).await
    }

    /// All items, in no order. Of many that is much: [`Engine::survey`] looks at them where they are.
    pub async fn items(&self) -> Vec<Item> {
        let items = self.survey(|all| all.iter().map(|one| one.item()).collect());
        items.await.unwrap_or_default()
    }

    /// An item as it changes, at most ten times a second; the channel closes when the item is removed.
    pub async fn watch(&self, item: InfoHash) -> Option<watch::Receiver<Item>> {
        let watching = self.call(|reply| Command::Watch(item, reply)).await;
        watching.flatten()
    }

    /// An item's metainfo, once it is known, with the item's announce URLs.
    pub async fn metainfo(&self, item: InfoHash) -> Option<Metainfo> {
        match self.ctx.store.metainfo(item).await {
            Ok(metainfo) => metainfo,
            Err(error) => {
                tracing::warn!("the metainfo of {item} cannot be read: {error}");
                None
            }
        }
    }

    /// Its announce URLs in tiers; passkeys are in them.
    pub async fn trackers(&self, item: InfoHash) -> Option<Vec<Vec<String>>> {
        self.call(|reply| Command::Ask(item, Ask::Trackers(reply)))
            .await
    }

    /// Patterns of the files of it that are wanted; all when empty.
    pub async fn only(&self, item: InfoHash) -> Option<Vec<String>> {
        self.call(|reply| Command::Ask(item, Ask::Only(reply)))
            .await
    }

    /// Its files.
    pub async fn files(&self, item: InfoHash) -> Option<Vec<ItemFile>> {
        self.call(|reply| Command::Ask(item, Ask::Files(reply)))
            .await
    }

    /// Its connected peers.
    pub async fn peers(&self, item: InfoHash) -> Option<Vec<ItemPeer>> {
        self.call(|reply| Command::Ask(item, Ask::Peers(reply)))
            .await
    }

    /// Its pieces, holders counted among the connected peers and us.
    pub async fn pieces(&self, item: InfoHash) -> Option<ItemPieces> {
        self.call(|reply| Command::Ask(item, Ask::Pieces(reply)))
            .await
    }

    /// Block bytes received and sent since the start.
    pub fn moved(&self) -> (u64, u64) {
        let (down, up) = (&self.ctx.downloaded, &self.ctx.uploaded);
        (down.load(Ordering::Relaxed), up.load(Ordering::Relaxed))
    }

    /// Puts these rate limits of the whole daemon in force, in place of those before; `None` and 0 are no limit.
    pub fn set_limits(&self, limits: Limits) {
        self.ctx.down.set(limits.down);
        self.ctx.up.set(limits.up);
    }

    /// The rate limits in force; `None` is no limit.
    pub fn limits(&self) -> Limits {
        Limits {
            down: self.ctx.down.rate(),
            up: self.ctx.up.rate(),
        }
    }

    /// Further peers to dial.
    pub async fn add_peers(&self, item: InfoHash, peers: Vec<SocketAddr>) {
        self.tell(Command::Peers(item, peers)).await;
    }

    /// What is held of an item now.
    pub async fn holding(&self, item: InfoHash) -> Option<Holding> {
        self.call(|reply| Command::Ask(item, Ask::Holding(reply)))
            .await
    }

    /// All items that are served or fetched: to report them all after a tracker restart.
    pub async fn held_items(&self) -> Vec<InfoHash> {
        self.call(Command::Held).await.unwrap_or_default()
    }

    /// What changed since the last call, in order; nothing at the first, from which on it is kept. One caller: the piece points reporter. A
    /// piece that [`Engine::holding`] told of already may come again as an addition.
    pub async fn take_changes(&self) -> Vec<Change> {
        self.call(Command::Changes).await.unwrap_or_default()
    }

    /// What the tracker knows of a swarm, from piece points: a prior for rarest first, `copies` and `missing`.
    pub async fn set_points(&self, item: InfoHash, points: p2p_wire::points::Swarm) {
        self.tell(Command::Points(item, points)).await;
    }

    /// Why an announce failed, or that all is well again: shown as the item's reason while it has no peers.
    pub async fn set_tracker_state(&self, item: InfoHash, error: Option<String>) {
        self.tell(Command::Tracker(item, error)).await;
    }

    /// Who is asked at gates.
    pub fn hooks(&self) -> Option<&Hooks> {
        self.ctx.hooks.as_ref()
    }

    /// Takes no more peers, announces `stopped`, writes every record, ends the tasks. At most 3 s.
    pub async fn stop(&self) {
        self.listeners.close().await;
        let stop = self.call(Command::Stop);
        if tokio::time::timeout(Duration::from_secs(3), stop)
            .await
            .is_err()
        {
            tracing::warn!(
                "the engine did not come to rest in 3 s; what was not synced is verified at the next start"
            );
        }
    }

    async fn op(
        &self,
        item: InfoHash,
        op: impl FnOnce(oneshot::Sender<Result<Item, Fault>>) -> Op,
    ) -> Result<Item, Fault> {
        let answer = self.call(|reply| Command::Op(item, op(reply))).await;
        answer.unwrap_or_else(|| Err(stopped(item)))
    }

    /// Asks the registry; `None` when there is no such item, or the engine has stopped.
    async fn call<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.ok()?;
        answer.await.ok()
    }

    async fn tell(&self, command: Command) {
        // After the stop nobody is interested.
        let _ = self.commands.send(command).await;
    }
}

fn stopped(item: InfoHash) -> Fault {
    Fault {
        why: "p2pd is stopping, or the item has just gone".into(),
        ..no_such(item)
    }
}

/// `-PP0100-` and twelve random bytes (BEP 20).
fn new_peer_id() -> PeerId {
    let mut id = *b"-PP0100-............";
    id[8..].copy_from_slice(&rand::random::<[u8; 12]>());
    PeerId(id)
}
