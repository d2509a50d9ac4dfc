//! Methods on items that are here: `item.*`, `history.list`.

use std::sync::Arc;

use data_encoding::BASE64;
use p2p_wire::InfoHash;
use p2p_wire::api::{Availability, FileEntry};
use p2p_wire::control::{
    ErrorKind, HistoryList, Item, ItemDetail, ItemList, ItemMove, ItemPage, ItemPieces, ItemRef,
    ItemRemove, ItemSet, ItemShow, ItemsRef, Link, State, Transfer,
};
use p2p_wire::magnet::Magnet;

use super::caller::Role;
use super::progress::Progress;
use super::{Daemon, paths};
use crate::Fault;
use crate::config::Limit;
use crate::engine::{self, ItemSetting};

/// Items on a page at most.
const PAGE: u32 = 1_000;
/// Shortest prefix of an info-hash that names an item.
pub(super) const MIN_PREFIX: usize = 4;

/// What can be done to several items at once.
#[derive(Clone, Copy)]
pub(super) enum Act {
    Pause,
    Resume,
    Announce,
    Verify,
}

/// The item that `name` means: its info-hash, a unique prefix of that, or its unique name.
pub(super) async fn find(daemon: &Arc<Daemon>, name: &str) -> Result<Item, Fault> {
    let items = daemon.engine.items().await;
    pick(items, name)?.ok_or_else(|| not_here(name))
}

/// As [`find`]; `None` if there is none, an error if there are several.
pub(super) fn pick(items: Vec<Item>, name: &str) -> Result<Option<Item>, Fault> {
    let is_hex = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    let prefix = (is_hex && name.len() >= MIN_PREFIX).then(|| name.to_ascii_lowercase());
    let by_hash = |item: &Item| {
        let hash = item.info_hash.to_string();
        prefix
            .as_ref()
            .is_some_and(|prefix| hash.starts_with(prefix))
    };
    // A name in full counts before a prefix of another's hash would: `cafe` may be a file.
    let (named, rest): (Vec<_>, Vec<_>) = items.into_iter().partition(|item| item.name == name);
    let mut found = if named.is_empty() {
        rest.into_iter().filter(by_hash).collect()
    } else {
        named
    };
    if found.len() > 1 {
        let mut rows: Vec<_> = found
            .iter()
            .take(10)
            .map(|item| format!("{} {}", item.info_hash, item.name))
            .collect();
        rows.sort();
        return Err(Fault::new(
            ErrorKind::Conflict,
            format!("`{name}` means {} items", found.len()),
            rows.join("\n"),
            "Give more digits of the hash",
        ));
    }
    Ok(found.pop())
}

fn not_here(name: &str) -> Fault {
    Fault::new(
        ErrorKind::NotFound,
        format!("there is no item `{name}` here"),
        "No item has that name, and no info-hash here begins with it",
        "See what there is:  p2pctl ls   or in the catalogue:  p2pctl search",
    )
}

/// `item.list`.
pub(super) async fn list(daemon: &Arc<Daemon>, list: ItemList) -> Result<ItemPage, Fault> {
    let mut items = daemon.engine.items().await;
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
    item: ItemRef,
    mut progress: Progress,
) -> Result<Item, Fault> {
    let found = find(daemon, &item.item).await?;
    let watch = daemon.engine.watch(found.info_hash).await;
    let mut watch = watch.ok_or_else(|| not_here(&item.item))?;
    loop {
        let now = watch.borrow_and_update().clone();
        if matches!(now.state, State::Seeding | State::Paused | State::Error) {
            return Ok(now);
        }
        progress.send(now).await;
        progress.ready().await;
        if watch.changed().await.is_err() {
            return Err(Fault::new(
                ErrorKind::NotFound,
                format!("{} was removed", found.name),
                "It was removed while it was waited for",
                "",
            ));
        }
    }
}

/// `item.pause`, `item.resume`, `item.announce`, `item.verify`.
pub(super) async fn each(
    daemon: &Arc<Daemon>,
    act: Act,
    which: ItemsRef,
) -> Result<Vec<Item>, Fault> {
    let hashes = resolve(daemon, which).await?;
    let mut done = Vec::with_capacity(hashes.len());
    for hash in hashes {
        done.push(match act {
            Act::Pause => daemon.engine.pause(hash).await?,
            Act::Resume => daemon.engine.resume(hash).await?,
            Act::Announce => daemon.engine.announce(hash).await?,
            Act::Verify => daemon.engine.verify(hash).await?,
        });
    }
    Ok(done)
}

/// All that are named are found before anything is done to one.
async fn resolve(daemon: &Arc<Daemon>, which: ItemsRef) -> Result<Vec<InfoHash>, Fault> {
    let items = daemon.engine.items().await;
    if which.all {
        return Ok(items.into_iter().map(|item| item.info_hash).collect());
    }
    if which.items.is_empty() {
        return Err(Fault::new(
            ErrorKind::Usage,
            "which items?",
            "None is named, and not `all` either",
            "Give hashes or names, or --all",
        ));
    }
    let mut hashes = Vec::with_capacity(which.items.len());
    for name in &which.items {
        let item = pick(items.clone(), name)?.ok_or_else(|| not_here(name))?;
        if !hashes.contains(&item.info_hash) {
            hashes.push(item.info_hash);
        }
    }
    Ok(hashes)
}

/// `item.set`.
pub(super) async fn set(daemon: &Arc<Daemon>, role: Role, set: ItemSet) -> Result<Item, Fault> {
    role.admin("change an item's settings")?;
    let setting = setting(&set.key, &set.value)?;
    let item = find(daemon, &set.item).await?;
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
    role: Role,
    request: ItemMove,
) -> Result<Item, Fault> {
    role.may_name_paths("a folder")?;
    let dir = paths::absolute(&request.dir)?;
    let item = find(daemon, &request.item).await?;
    daemon.engine.move_to(item.info_hash, dir).await
}

/// `item.remove`.
pub(super) async fn remove(
    daemon: &Arc<Daemon>,
    role: Role,
    request: ItemRemove,
) -> Result<Vec<Item>, Fault> {
    role.admin("remove items")?;
    let which = ItemsRef {
        items: request.items,
        all: false,
    };
    let mut removed = Vec::new();
    for hash in resolve(daemon, which).await? {
        removed.push(daemon.engine.remove(hash, request.delete_data).await?);
    }
    Ok(removed)
}

/// `item.link`.
pub(super) async fn link(daemon: &Arc<Daemon>, item: ItemRef) -> Result<Link, Fault> {
    let item = find(daemon, &item.item).await?;
    let magnet = Magnet {
        info_hash: item.info_hash,
        name: Some(item.name.clone()),
        trackers: Vec::new(),
        peers: Vec::new(),
    };
    let entry = daemon
        .trackers
        .find(None, &item.info_hash.to_string())
        .await;
    let own = daemon.trackers.announce_url(None).await;
    let torrent = daemon.engine.metainfo(item.info_hash).await;
    let torrent = torrent.map(|mut metainfo| {
        if let Some(own) = own {
            metainfo.announce = vec![vec![own]];
        }
        BASE64.encode(&metainfo.to_bytes())
    });
    Ok(Link {
        magnet: magnet.to_string(),
        name: entry.ok().map(|entry| entry_name(&entry)),
        torrent,
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

/// `item.show`: an item that is here, or else an entry of the catalogue.
pub(super) async fn show(daemon: &Arc<Daemon>, show: ItemShow) -> Result<ItemDetail, Fault> {
    const PARTS: [&str; 6] = ["files", "peers", "trackers", "pieces", "events", "versions"];
    if let Some(unknown) = show
        .parts
        .iter()
        .find(|part| !PARTS.contains(&part.as_str()))
    {
        return Err(Fault::new(
            ErrorKind::Usage,
            format!("an item has no part `{unknown}`"),
            format!("There are {}", PARTS.join(", ")),
            "",
        ));
    }
    let item = pick(daemon.engine.items().await, &show.item)?;
    let catalogue = match &item {
        Some(item) => {
            daemon
                .trackers
                .find(None, &item.info_hash.to_string())
                .await
        }
        None => daemon.trackers.find(None, &show.item).await,
    };
    let (hash, entry) = match (&item, catalogue) {
        (Some(item), entry) => (item.info_hash, entry.ok()),
        (None, Ok(entry)) => (entry.info_hash, Some(entry)),
        // A catalogue that cannot be asked must not hide that the item is not here.
        (None, Err(fault)) if fault.kind == ErrorKind::NotFound => {
            return Err(not_here(&show.item));
        }
        (None, Err(fault)) => return Err(fault),
    };
    let wants = |part: &str| show.parts.iter().any(|wanted| wanted == part);
    let engine = &daemon.engine;
    let mut detail = ItemDetail {
        item,
        catalogue: None,
        files: None,
        peers: None,
        trackers: None,
        pieces: None,
        events: None,
        versions: None,
    };
    if wants("files") {
        detail.files = match engine.files(hash).await {
            Some(files) => Some(files),
            None => catalogue_files(daemon, hash).await,
        };
    }
    if wants("peers") {
        detail.peers = engine.peers(hash).await;
    }
    if wants("trackers") && detail.item.is_some() {
        detail.trackers = Some(daemon.announcer.rows(hash).await);
    }
    if wants("pieces") {
        detail.pieces = pieces(daemon, hash, entry.as_ref()).await;
    }
    if wants("events") {
        detail.events = Some(daemon.events.of_item(hash));
    }
    if wants("versions")
        && let Some(entry) = &entry
    {
        detail.versions = Some(daemon.trackers.versions(None, entry).await?);
    }
    detail.catalogue = entry;
    Ok(detail)
}

/// The files of an entry that is not here, from its metainfo.
async fn catalogue_files(
    daemon: &Arc<Daemon>,
    hash: InfoHash,
) -> Option<Vec<p2p_wire::control::ItemFile>> {
    let fetch = daemon.trackers.fetch(None, hash).await.ok()?;
    let bytes = BASE64.decode(fetch.metainfo.as_bytes()).ok()?;
    let metainfo = p2p_wire::metainfo::Metainfo::from_bytes(&bytes).ok()?;
    let files = metainfo.info.files().iter().filter(|file| !file.padding);
    let rows = files.map(|file| p2p_wire::control::ItemFile {
        path: file.path.join("/"),
        size: file.len,
        done: 0,
        wanted: true,
    });
    Some(rows.collect())
}

/// What the tracker knows of the pieces counts before what is seen among the connected peers.
async fn pieces(
    daemon: &Arc<Daemon>,
    hash: InfoHash,
    entry: Option<&FileEntry>,
) -> Option<ItemPieces> {
    let here = daemon.engine.pieces(hash).await;
    let known: Option<Availability> = match entry {
        Some(_) => daemon.trackers.availability(None, hash).await.ok(),
        None => None,
    };
    let Some(known) = known else { return here };
    let (pieces, piece_len, held) = match (here, entry) {
        (Some(here), _) => (here.pieces, here.piece_len, here.here),
        (None, Some(entry)) => (entry.pieces, entry.piece_len, Vec::new()),
        (None, None) => return None,
    };
    Some(ItemPieces {
        pieces,
        piece_len,
        here: held,
        holders: known.counts,
        unknown: known.summary.unknown,
        missing: known.missing,
        source: "tracker".to_owned(),
    })
}

/// `history.list`. What names no item here may be the hash of one that was removed.
pub(super) async fn history(
    daemon: &Arc<Daemon>,
    mut list: HistoryList,
) -> Result<Vec<Transfer>, Fault> {
    if let Some(name) = &list.item
        && name.parse::<InfoHash>().is_err()
    {
        list.item = Some(find(daemon, name).await?.info_hash.to_string());
    }
    let rows = engine::history(&daemon.state, list).await;
    rows.map_err(|error| super::settings::state_fault("read the history", &error))
}
