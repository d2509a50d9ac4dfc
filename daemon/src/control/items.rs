//! Methods on items that are here: `item.*`, `history.list`.

use std::cmp::Ordering;
use std::sync::Arc;

use data_encoding::BASE64;
use p2p_wire::InfoHash;
use p2p_wire::api::FileEntry;
use p2p_wire::control::{
    EntryRef, ErrorKind, HistoryList, Item, ItemBatch, ItemList, ItemMove, ItemPage, ItemRef,
    ItemRemove, ItemSet, ItemsRef, Link, PathText, State, TORRENT_PART, TorrentData, TorrentRef,
    Transfer,
};
use p2p_wire::magnet::Magnet;

use super::caller::Caller;
use super::lookup::{self, MIN_PREFIX, find, not_here, resolve};
use super::progress::Progress;
use super::{Daemon, paths};
use crate::Fault;
use crate::config::Limit;
use crate::engine::{self, Glance, ItemSetting};
use crate::rights::Purpose;

/// Items on a page at most.
const PAGE: u32 = 1_000;

/// Bytes of names, paths and reasons on a page, about: a line has 4 MiB, and a byte may take six in JSON.
const PAGE_TEXT: usize = 512 * 1024;

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
    let whose = caller.whose();
    let listed = daemon
        .engine
        .survey(move |all| page(lookup::visible(all.iter(), whose), &list));
    let none = ItemPage {
        items: Vec::new(),
        next: None,
    };
    listed.await.unwrap_or(Ok(none))
}

/// A page: only what is on it is put in order, and made into items.
fn page<'a>(all: impl Iterator<Item = Glance<'a>>, list: &ItemList) -> Result<ItemPage, Fault> {
    let filter = list.filter.as_deref().filter(|filter| !filter.is_empty());
    let filter = filter.map(Filter::new);
    let mut items: Vec<Glance<'a>> = all
        .filter(|one| filter.as_ref().is_none_or(|filter| filter.lets(one)))
        .collect();
    let order = Order::new(list.sort.as_deref().unwrap_or("name"))?;
    let start = usize::try_from(list.after.unwrap_or(0)).unwrap_or(usize::MAX);
    let limit = list.limit.unwrap_or(PAGE).clamp(1, PAGE) as usize;
    let total = items.len();
    if start > 0 && start < total {
        items.select_nth_unstable_by(start, |a, b| order.compare(a, b));
    }
    items.drain(..start.min(total));
    if items.len() > limit {
        items.select_nth_unstable_by(limit, |a, b| order.compare(a, b));
        items.truncate(limit);
    }
    items.sort_unstable_by(|a, b| order.compare(a, b));
    let mut page = Vec::with_capacity(items.len());
    let mut text = 0;
    for one in items {
        let item = one.item();
        text += item.name.len() + path_len(&item.path) + item.reason.as_deref().map_or(0, str::len);
        if text > PAGE_TEXT && !page.is_empty() {
            break;
        }
        page.push(item);
    }
    let end = start.saturating_add(page.len());
    Ok(ItemPage {
        items: page,
        next: (end < total).then_some(end as u64),
    })
}

fn path_len(path: &PathText) -> usize {
    match path {
        PathText::Text(text) => text.len(),
        PathText::Raw { bytes } => bytes.len(),
    }
}

/// A state's name, `share:NAME`, or a part of the name in any case, or the beginning of the hash.
enum Filter {
    Share(String),
    State(State),
    Part(String),
}

impl Filter {
    fn new(text: &str) -> Self {
        if let Some(share) = text.strip_prefix("share:") {
            return Self::Share(share.to_owned());
        }
        let text = text.to_lowercase();
        match state_named(&text) {
            Some(state) => Self::State(state),
            None => Self::Part(text),
        }
    }

    fn lets(&self, one: &Glance<'_>) -> bool {
        match self {
            Self::Share(share) => one.share() == Some(share),
            Self::State(state) => one.state() == *state,
            Self::Part(text) => {
                one.name().to_lowercase().contains(text)
                    || text.len() >= MIN_PREFIX && one.info_hash.to_string().starts_with(text)
            }
        }
    }
}

fn state_named(name: &str) -> Option<State> {
    serde_json::from_value(serde_json::Value::String(name.to_owned())).ok()
}

/// The order of a list.
struct Order {
    key: Key,
    reverse: bool,
}

enum Key {
    Name,
    Size,
    Done,
    Down,
    Up,
    Added,
    State,
}

impl Order {
    fn new(text: &str) -> Result<Self, Fault> {
        let (reverse, name) = match text.strip_prefix('-') {
            Some(name) => (true, name),
            None => (false, text),
        };
        let key = match name {
            "name" => Key::Name,
            "size" => Key::Size,
            "done" => Key::Done,
            "down" => Key::Down,
            "up" => Key::Up,
            "added" => Key::Added,
            "state" => Key::State,
            _ => {
                return Err(Fault::new(
                    ErrorKind::Usage,
                    format!("items cannot be sorted by `{name}`"),
                    "There is no such key.",
                    "Take one of name, size, done, down, up, added and state; -KEY for the other way round.",
                ));
            }
        };
        Ok(Self { key, reverse })
    }

    fn compare(&self, a: &Glance<'_>, b: &Glance<'_>) -> Ordering {
        let share = |one: &Glance<'_>| match one.size() {
            0 => 0.0,
            size => one.done() as f64 / size as f64,
        };
        let by_key = match self.key {
            Key::Name => Ordering::Equal,
            Key::Size => a.size().cmp(&b.size()),
            Key::Done => share(a).total_cmp(&share(b)),
            Key::Down => a.rates().0.cmp(&b.rates().0),
            Key::Up => a.rates().1.cmp(&b.rates().1),
            Key::Added => a.added().cmp(&b.added()),
            Key::State => (a.state() as u8).cmp(&(b.state() as u8)),
        };
        // Equal ones by name and hash, so that pages fit together.
        let order = by_key
            .then_with(|| a.name().cmp(b.name()))
            .then_with(|| a.info_hash.cmp(&b.info_hash));
        match self.reverse {
            true => order.reverse(),
            false => order,
        }
    }
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
            item => done.push(item?),
        }
    }
    Ok(ItemBatch {
        items: done,
        next: batch.next,
    })
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
    which: EntryRef,
) -> Result<Link, Fault> {
    let item = find(daemon, caller, &which.item).await?;
    let magnet = Magnet {
        info_hash: item.info_hash,
        name: Some(item.name.clone()),
        trackers: Vec::new(),
        peers: Vec::new(),
    };
    let trackers = daemon.trackers.of(caller.uid);
    let hash = item.info_hash.to_string();
    let entry = trackers.find(which.tracker.as_deref(), &hash).await;
    if let (Err(fault), Some(_)) = (&entry, &which.tracker)
        && fault.kind != ErrorKind::NotFound
    {
        return Err(fault.clone());
    }
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
    let tracker = request.tracker.as_deref();
    if tracker.is_some() {
        trackers.name_of(tracker)?;
    }
    let own = trackers.stock_announce_url(tracker).await;
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
            let lets = Filter::new(filter).lets(&Glance::from(&a));
            assert_eq!(lets, matching, "{filter}");
        }
        let items = [item(2, "b", 1), item(1, "b", 3), item(3, "a", 2)];
        let sorted = |key: &str| {
            let list = ItemList {
                sort: Some(key.into()),
                ..ItemList::default()
            };
            let page = page(items.iter().map(Glance::from), &list);
            page.map(|page| page.items.iter().map(|item| item.size).collect::<Vec<_>>())
        };
        assert_eq!(sorted("name"), Ok(vec![2, 3, 1]));
        assert_eq!(sorted("-name"), Ok(vec![1, 3, 2]));
        assert_eq!(sorted("size"), Ok(vec![1, 2, 3]));
        assert_eq!(sorted("-size"), Ok(vec![3, 2, 1]));
        assert_eq!(sorted("done"), Ok(vec![2, 3, 1]), "equal ones by name");
        assert!(sorted("colour").is_err());
    }

    /// The sizes on each page.
    fn pages(items: &[Item], limit: u32) -> Vec<Vec<u64>> {
        let mut list = ItemList {
            limit: Some(limit),
            ..ItemList::default()
        };
        let mut pages = Vec::new();
        loop {
            let page = page(items.iter().map(Glance::from), &list).unwrap();
            pages.push(page.items.iter().map(|item| item.size).collect());
            list.after = page.next;
            if list.after.is_none() {
                return pages;
            }
        }
    }

    #[test]
    fn pages_follow_each_other_in_order() {
        let name = |n: u8| format!("{:02}", 99 - n);
        let items: Vec<Item> = (0..7).map(|n| item(n, &name(n), n.into())).collect();
        assert_eq!(pages(&items, 3), [vec![6, 5, 4], vec![3, 2, 1], vec![0]]);
        assert_eq!(pages(&items, 7), [vec![6, 5, 4, 3, 2, 1, 0]]);
        assert_eq!(pages(&[], 3), [Vec::<u64>::new()]);
    }

    #[test]
    fn a_page_of_long_paths_fits_into_a_line() {
        let long = |n: u8| Item {
            path: PathText::Text("\u{1}".repeat(4_096)),
            ..item(n, &"\u{1}".repeat(255), n.into())
        };
        let items: Vec<Item> = (0..=255).map(long).collect();
        let list = ItemList::default();
        let first = page(items.iter().map(Glance::from), &list).unwrap();
        let line = serde_json::to_string(&first).unwrap();
        assert!(line.len() < p2p_wire::control::MAX_LINE, "{}", line.len());
        assert_eq!(pages(&items, 1_000).concat().len(), 256);
    }
}
