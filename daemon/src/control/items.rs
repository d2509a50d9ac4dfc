//! Methods on items that are here: `item.*`, `history.list`.

use std::sync::Arc;

use p2p_wire::InfoHash;
use p2p_wire::control::{
    ErrorKind, HistoryList, Item, ItemBatch, ItemMove, ItemRef, ItemRemove, ItemSet, ItemsRef,
    State, Transfer,
};

use super::caller::Caller;
use super::lookup::{find, not_here, resolve};
use super::progress::Progress;
use super::{Daemon, paths};
use crate::Fault;
use crate::config::Limit;
use crate::engine::{self, ItemSetting};
use crate::rights::Purpose;

/// What can be done to several items at once.
#[derive(Clone, Copy)]
pub(super) enum Act {
    Pause,
    Resume,
    Announce,
    Verify,
}

/// `item.wait`: until the item is complete, or stopped for good; its progress meanwhile.
pub(super) async fn wait(
    daemon: &Arc<Daemon>,
    caller: &Caller,
    item: ItemRef,
    mut progress: Progress,
) -> Result<Item, Fault> {
    let found = find(daemon, caller, &item.item).await?;
    let watch = daemon.engine.watch(found.info_hash).await;
    let mut watch = watch.ok_or_else(|| not_here(&item.item))?;
    let mut told = false;
    loop {
        let now = watch.borrow_and_update().clone();
        let refused = now.state == State::Held && now.error_kind.is_some();
        if refused || matches!(now.state, State::Seeding | State::Paused | State::Error) {
            return Ok(now);
        }
        // The end is told at once, what is before it now and then.
        tokio::select! {
            changed = watch.changed() => {
                changed.map_err(|_| removed(&found.name))?;
                told = false;
            }
            () = progress.ready(), if !told => {
                progress.send(now).await;
                told = true;
            }
        }
    }
}

fn removed(name: &str) -> Fault {
    Fault::new(
        ErrorKind::NotFound,
        format!("{name} was removed"),
        "It was removed while it was waited for",
        "",
    )
}

/// `item.pause`, `item.resume`, `item.announce`, `item.verify`.
pub(super) async fn each(
    daemon: &Arc<Daemon>,
    caller: &Caller,
    act: Act,
    which: ItemsRef,
) -> Result<ItemBatch, Fault> {
    let all = which.all;
    let batch = resolve(daemon, caller, which).await?;
    let mut done = Vec::with_capacity(batch.hashes.len());
    let mut failed = None;
    for hash in batch.hashes {
        let item = match act {
            Act::Pause => daemon.engine.pause(hash).await,
            Act::Resume => daemon.engine.resume(hash).await,
            Act::Announce => daemon.engine.announce(hash).await,
            Act::Verify => daemon.engine.verify(hash).await,
        };
        match item {
            // Of all items, those that have no metadata yet have nothing to verify, and some may just have gone.
            Err(Fault {
                kind: ErrorKind::Conflict | ErrorKind::NotFound,
                ..
            }) if all => {}
            Ok(item) => done.push(item),
            // Of one alone: the others may lie on other disks.
            Err(fault) if fault.kind == ErrorKind::Disk => {
                failed.get_or_insert(fault);
            }
            Err(fault) => return Err(fault),
        }
    }
    match failed {
        Some(fault) => Err(fault),
        None => Ok(ItemBatch {
            items: done,
            next: batch.next,
        }),
    }
}

/// `item.set`.
pub(super) async fn set(
    daemon: &Arc<Daemon>,
    caller: &Caller,
    set: ItemSet,
) -> Result<Item, Fault> {
    let setting = setting(&set.key, &set.value)?;
    let item = find(daemon, caller, &set.item).await?;
    daemon.engine.set(item.info_hash, setting).await
}

fn setting(key: &str, value: &str) -> Result<ItemSetting, Fault> {
    let wrong = |why: String| {
        Fault::new(
            ErrorKind::Usage,
            format!("cannot set {key} to `{value}`"),
            why,
            "An item has down and up (rates, or none), sequential (true or false) and max_peers (a number).",
        )
    };
    match key {
        "down" => Ok(ItemSetting::Down(value.parse::<Limit>().map_err(wrong)?.0)),
        "up" => Ok(ItemSetting::Up(value.parse::<Limit>().map_err(wrong)?.0)),
        "sequential" => match value {
            "true" => Ok(ItemSetting::Sequential(true)),
            "false" => Ok(ItemSetting::Sequential(false)),
            _ => Err(wrong("it is true or false".into())),
        },
        "max_peers" => match value.parse() {
            Ok(0) | Err(_) => Err(wrong("it is a number from 1".into())),
            Ok(peers) => Ok(ItemSetting::MaxPeers(peers)),
        },
        _ => Err(wrong("there is no such setting".into())),
    }
}

/// `item.move`.
pub(super) async fn move_to(
    daemon: &Arc<Daemon>,
    caller: &Caller,
    request: ItemMove,
) -> Result<Item, Fault> {
    let dir = paths::opened(caller, Purpose::Receive, &request.dir).await?;
    let item = find(daemon, caller, &request.item).await?;
    daemon.engine.move_to(item.info_hash, dir).await
}

/// `item.remove`.
pub(super) async fn remove(
    daemon: &Arc<Daemon>,
    caller: &Caller,
    request: ItemRemove,
) -> Result<Vec<Item>, Fault> {
    let which = ItemsRef {
        items: request.items,
        ..ItemsRef::default()
    };
    let hashes = resolve(daemon, caller, which).await?.hashes;
    for hash in &hashes {
        if daemon.shares.holds(*hash).await? {
            let item = daemon.engine.item(*hash).await;
            let name = item.map_or_else(|| hash.to_string(), |item| item.name);
            return Err(Fault::new(
                ErrorKind::Conflict,
                format!("cannot remove {name}"),
                "It belongs to a share, which would share it again",
                "Take the file out of the share, name it in its .p2pignore, or end the share:  p2pctl unshare",
            ));
        }
    }
    let (mut removed, mut failed) = (Vec::new(), None);
    for hash in hashes {
        match daemon.engine.remove(hash, request.delete_data).await {
            Ok(item) => removed.push(item),
            // The others may lie on other disks.
            Err(fault) if fault.kind == ErrorKind::Disk => {
                failed.get_or_insert(fault);
            }
            Err(fault) => return Err(fault),
        }
    }
    match failed {
        Some(fault) => Err(fault),
        None => Ok(removed),
    }
}

/// `history.list`. What names no item here may be the hash of one that was removed.
pub(super) async fn history(
    daemon: &Arc<Daemon>,
    caller: &Caller,
    mut list: HistoryList,
) -> Result<Vec<Transfer>, Fault> {
    if let Some(name) = &list.item
        && name.parse::<InfoHash>().is_err()
    {
        list.item = Some(find(daemon, caller, name).await?.info_hash.to_string());
    }
    let rows = engine::history(&daemon.state, list, caller.whose()).await;
    rows.map_err(|error| super::settings::state_fault("read the history", &error))
}
