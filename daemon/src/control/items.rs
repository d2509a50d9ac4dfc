//! Methods on items that are here: `item.*`, `history.list`.

use std::sync::Arc;

use data_encoding::BASE64;
use p2p_wire::InfoHash;
use p2p_wire::api::FileEntry;
use p2p_wire::control::{
    ErrorKind, HistoryList, Item, ItemList, ItemMove, ItemPage, ItemRef, ItemRemove, ItemSet,
    ItemsRef, Link, State, TORRENT_PART, TorrentData, TorrentRef, Transfer,
};
use p2p_wire::magnet::Magnet;

use super::caller::Caller;
use super::lookup::{self, MIN_PREFIX, find, not_here, resolve};
use super::progress::Progress;
use super::{Daemon, paths};
use crate::Fault;
use crate::config::Limit;
use crate::engine::{self, ItemSetting};
use crate::rights::Purpose;

/// Items on a page at most.
const PAGE: u32 = 1_000;

/// What can be done to several items at once.
#[derive(Clone, Copy)]
pub(super) enum Act {
    Pause,
    Resume,
    Announce,
    Verify,
}

/// `item.list`.
pub(super) async fn list(
    daemon: &Arc<Daemon>,
    caller: &Caller,
    list: ItemList,
) -> Result<ItemPage, Fault> {
    let mut items = lookup::items(daemon, caller).await;
    if let Some(filter) = list.filter.as_deref().filter(|filter| !filter.is_empty()) {
        items.retain(|item| matches(item, filter));
    }
    sort(&mut items, list.sort.as_deref().unwrap_or("name"))?;
    let start = usize::try_from(list.after.unwrap_or(0)).unwrap_or(usize::MAX);
    let limit = list.limit.unwrap_or(PAGE).clamp(1, PAGE) as usize;
    let total = items.len();
    let page: Vec<_> = items.into_iter().skip(start).take(limit).collect();
    let end = start.saturating_add(page.len());
    Ok(ItemPage {
        items: page,
        next: (end < total).then_some(end as u64),
    })
}

/// A state's name, `share:NAME`, or a part of the name in any case, or the beginning of the hash.
fn matches(item: &Item, filter: &str) -> bool {
    if let Some(share) = filter.strip_prefix("share:") {
        return item.share.as_deref() == Some(share);
    }
    let filter = filter.to_lowercase();
    match state_named(&filter) {
        Some(state) => item.state == state,
        None => {
            item.name.to_lowercase().contains(&filter)
                || filter.len() >= MIN_PREFIX && item.info_hash.to_string().starts_with(&filter)
        }
    }
}

fn state_named(name: &str) -> Option<State> {
    serde_json::from_value(serde_json::Value::String(name.to_owned())).ok()
}

fn sort(items: &mut [Item], key: &str) -> Result<(), Fault> {
    let (reverse, name) = match key.strip_prefix('-') {
        Some(name) => (true, name),
        None => (false, key),
    };
    // Equal ones by name and hash, so that pages fit together.
    items.sort_by(|a, b| (&a.name, a.info_hash).cmp(&(&b.name, b.info_hash)));
    let share = |item: &Item| match item.size {
        0 => 0.0,
        size => item.done as f64 / size as f64,
    };
    match name {
        "name" => {}
        "size" => items.sort_by_key(|item| item.size),
        "done" => items.sort_by(|a, b| share(a).total_cmp(&share(b))),
        "down" => items.sort_by_key(|item| item.down_rate),
        "up" => items.sort_by_key(|item| item.up_rate),
        "added" => items.sort_by(|a, b| a.added.cmp(&b.added)),
        "state" => items.sort_by_key(|item| item.state as u8),
        _ => {
            return Err(Fault::new(
                ErrorKind::Usage,
                format!("items cannot be sorted by `{name}`"),
                "There are name, size, done, down, up, added and state",
                "",
            ));
        }
    }
    if reverse {
        items.reverse();
    }
    Ok(())
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
) -> Result<Vec<Item>, Fault> {
    let all = which.all;
    let hashes = resolve(daemon, caller, which).await?;
    let mut done = Vec::with_capacity(hashes.len());
    for hash in hashes {
        let item = match act {
            Act::Pause => daemon.engine.pause(hash).await,
            Act::Resume => daemon.engine.resume(hash).await,
            Act::Announce => daemon.engine.announce(hash).await,
            Act::Verify => daemon.engine.verify(hash).await,
        };
        match item {
            // Of all items, those that have no metadata yet have nothing to verify.
            Err(fault) if all && fault.kind == ErrorKind::Conflict => {}
            item => done.push(item?),
        }
    }
    Ok(done)
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
            "An item has down and up (rates, or none), sequential (true or false) and max_peers (a number)",
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
        all: false,
    };
    let hashes = resolve(daemon, caller, which).await?;
    for hash in &hashes {
        if daemon.shares.holds(*hash).await? {
            return Err(Fault::new(
                ErrorKind::Conflict,
                format!("cannot remove {hash}"),
                "It belongs to a share, which would share it again",
                "Take the file out of the share, name it in its .p2pignore, or end the share:  p2pctl unshare",
            ));
        }
    }
    let mut removed = Vec::new();
    for hash in hashes {
        removed.push(daemon.engine.remove(hash, request.delete_data).await?);
    }
    Ok(removed)
}

/// `item.link`.
pub(super) async fn link(
    daemon: &Arc<Daemon>,
    caller: &Caller,
    item: ItemRef,
) -> Result<Link, Fault> {
    let item = find(daemon, caller, &item.item).await?;
    let magnet = Magnet {
        info_hash: item.info_hash,
        name: Some(item.name.clone()),
        trackers: Vec::new(),
        peers: Vec::new(),
    };
    let trackers = daemon.trackers.of(caller.uid);
    let entry = trackers.find(None, &item.info_hash.to_string()).await;
    Ok(Link {
        magnet: magnet.to_string(),
        name: entry.ok().map(|entry| entry_name(&entry)),
    })
}

/// `item.torrent`: a part of the item's .torrent, with the account's own announce URL where there is a login.
pub(super) async fn torrent(
    daemon: &Arc<Daemon>,
    caller: &Caller,
    request: TorrentRef,
) -> Result<TorrentData, Fault> {
    let item = find(daemon, caller, &request.item).await?;
    let trackers = daemon.trackers.of(caller.uid);
    let own = trackers.stock_announce_url(None).await;
    let metainfo = daemon.engine.metainfo(item.info_hash).await;
    let mut metainfo = metainfo.ok_or_else(|| {
        Fault::new(
            ErrorKind::Conflict,
            format!("there is no .torrent of {} yet", item.name),
            "Its metadata is not known yet: no peer has given it",
            "Wait until it is fetching:  p2pctl ls",
        )
    })?;
    if let Some(own) = own {
        metainfo.announce = vec![vec![own]];
    }
    let bytes = metainfo.to_bytes();
    let start = usize::try_from(request.offset).unwrap_or(usize::MAX);
    let rest = bytes.get(start..).unwrap_or_default();
    let part = rest.get(..TORRENT_PART).unwrap_or(rest);
    Ok(TorrentData {
        data: BASE64.encode(part),
        size: bytes.len() as u64,
    })
}

fn entry_name(entry: &FileEntry) -> String {
    let FileEntry {
        owner,
        share,
        entry,
        version,
        ..
    } = entry;
    format!("{owner}/{share}/{entry}@{version}")
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

#[cfg(test)]
mod tests {
    use super::super::lookup::sample as item;
    use super::*;

    #[test]
    fn lists_are_filtered_and_sorted() {
        let a = item(1, "Alpha", 5);
        for (filter, matching) in [
            ("seeding", true),
            ("fetching", false),
            ("share:Public", true),
            ("share:Other", false),
            ("LPH", true),
            ("0101", true),
            ("0202", false),
        ] {
            assert_eq!(matches(&a, filter), matching, "{filter}");
        }
        let sorted = |key: &str| {
            let mut items = vec![item(2, "b", 1), item(1, "b", 3), item(3, "a", 2)];
            sort(&mut items, key).map(|()| items.iter().map(|item| item.size).collect::<Vec<_>>())
        };
        assert_eq!(sorted("name"), Ok(vec![2, 3, 1]));
        assert_eq!(sorted("-name"), Ok(vec![1, 3, 2]));
        assert_eq!(sorted("size"), Ok(vec![1, 2, 3]));
        assert_eq!(sorted("-size"), Ok(vec![3, 2, 1]));
        assert_eq!(sorted("done"), Ok(vec![2, 3, 1]), "equal ones by name");
        assert!(sorted("colour").is_err());
    }
}
