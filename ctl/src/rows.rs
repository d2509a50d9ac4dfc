//! The columns of what the daemon lists, and how it is named in sentences.

use std::collections::HashMap;

use jiff::Timestamp;
use p2p_wire::InfoHash;
use p2p_wire::api::{FileEntry, Node};
use p2p_wire::control::{
    ConfigValue, Event, Item, ItemFile, ItemPeer, ItemTracker, LogLine, Share, State, Tracker,
    Transfer,
};

use crate::human;
use crate::table::{Columns, Paint};
use crate::text;

/// Digits of a hash in sentences and in lists of the catalogue: enough to be unique in practice.
const SHORT: usize = 8;
/// Fewest digits that the daemon takes for a hash.
const SHORTEST: usize = 4;

/// The first digits of a hash.
pub(crate) fn short(hash: &InfoHash) -> String {
    hash.to_string().chars().take(SHORT).collect()
}

/// The shortest prefixes, of at least 4 digits, that tell these hashes apart.
pub(crate) fn unique_prefixes(hashes: &[InfoHash]) -> HashMap<InfoHash, String> {
    let mut sorted: Vec<(InfoHash, String)> = hashes.iter().map(|h| (*h, h.to_string())).collect();
    sorted.sort();
    sorted.dedup();
    let common = |a: &str, b: &str| a.bytes().zip(b.bytes()).take_while(|(x, y)| x == y).count();
    let with = |i: usize, other: Option<usize>| {
        let other = other.and_then(|other| sorted.get(other));
        other.map_or(0, |(_, text)| common(&sorted[i].1, text) + 1)
    };
    let prefix = |i: usize| {
        let digits = with(i, i.checked_sub(1)).max(with(i, Some(i + 1)));
        let text = &sorted[i].1;
        let digits = digits.clamp(SHORTEST, text.len());
        (sorted[i].0, text[..digits].to_owned())
    };
    (0..sorted.len()).map(prefix).collect()
}

/// An item in a sentence: `big.iso (3f2a0b6c)`.
pub(crate) fn item_name(item: &Item) -> String {
    format!("{} ({})", item.name, short(&item.info_hash))
}

/// A state as it is written in JSON.
pub(crate) fn state(state: State) -> &'static str {
    match state {
        State::Metadata => "metadata",
        State::Verifying => "verifying",
        State::Fetching => "fetching",
        State::Seeding => "seeding",
        State::Held => "held",
        State::Paused => "paused",
        State::Error => "error",
    }
}

/// Items, with hashes shortened as `prefixes` says, or to 8 digits.
pub(crate) fn items(prefixes: &HashMap<InfoHash, String>) -> Columns<'_, Item> {
    Columns::new()
        .left("info_hash", "HASH", |i: &Item| {
            let known = prefixes.get(&i.info_hash).cloned();
            known.unwrap_or_else(|| short(&i.info_hash))
        })
        .left("name", "NAME", |i| i.name.clone())
        .left("state", "STATE", |i| state(i.state).to_owned())
        .right("done", "DONE", |i| human::percent(i.done, i.size))
        .right("size", "SIZE", |i| known_size(i.size))
        .right("down_rate", "DOWN", |i| human::rate(i.down_rate))
        .right("up_rate", "UP", |i| human::rate(i.up_rate))
        .right("peers", "PEERS", |i| i.peers.to_string())
        .right("copies", "COPIES", |i| human::copies(i.copies))
        .paint(|i| match i.state {
            State::Error | State::Held => Paint::Bad,
            State::Paused => Paint::Dim,
            _ => Paint::Plain,
        })
}

/// Items that are or were being fetched.
pub(crate) fn fetched() -> Columns<'static, Item> {
    Columns::new()
        .left("info_hash", "HASH", |i: &Item| short(&i.info_hash))
        .left("name", "NAME", |i| i.name.clone())
        .left("state", "STATE", |i| state(i.state).to_owned())
        .right("done", "DONE", |i| human::percent(i.done, i.size))
        .right("size", "SIZE", |i| known_size(i.size))
        .left("path", "PATH", |i| text::show_path_short(&i.path))
}

/// Items that were verified.
pub(crate) fn verified() -> Columns<'static, Item> {
    Columns::new()
        .left("info_hash", "HASH", |i: &Item| short(&i.info_hash))
        .left("name", "NAME", |i| i.name.clone())
        .left("state", "STATE", |i| state(i.state).to_owned())
        .right("bad_pieces", "BAD", |i| match i.bad_pieces {
            Some(bad) => human::count(bad.into()),
            None => "-".to_owned(),
        })
        .right("pieces", "PIECES", |i| human::count(i.pieces.into()))
        .left("path", "PATH", |i| text::show_path_short(&i.path))
}

/// A size, `-` while it is not known.
fn known_size(bytes: u64) -> String {
    match bytes {
        0 => "-".to_owned(),
        bytes => human::size(bytes),
    }
}

/// Shares.
pub(crate) fn shares() -> Columns<'static, Share> {
    Columns::new()
        .left("name", "NAME", |s: &Share| s.name.clone())
        .left("path", "PATH", |s| text::show_path(&s.path))
        .left("state", "STATE", |s| s.state.clone())
        .right("items", "ITEMS", |s| human::count(s.items.into()))
        .right("size", "SIZE", |s| human::size(s.size))
        .right("published", "PUBLISHED", |s| {
            human::count(s.published.into())
        })
        .left("tracker", "TRACKER", |s| {
            s.tracker.clone().unwrap_or_default()
        })
        .paint(|s| match s.state.as_str() {
            "error" | "unavailable" => Paint::Bad,
            _ => Paint::Plain,
        })
}

/// Trackers.
pub(crate) fn trackers() -> Columns<'static, Tracker> {
    Columns::new()
        .left("name", "NAME", |t: &Tracker| t.name.clone())
        .left("url", "URL", |t| t.url.clone())
        .left("username", "ACCOUNT", |t| {
            t.username.clone().unwrap_or_default()
        })
        .left("node", "NODE", |t| t.node.clone().unwrap_or_default())
        .left("state", "STATE", tracker_state)
        .right("queued", "QUEUED", |t| t.queued.to_string())
        .paint(|t| match t.state.as_str() {
            "ok" | "untried" => Paint::Plain,
            _ => Paint::Bad,
        })
}

/// How a tracker is, with the reason.
pub(crate) fn tracker_state(tracker: &Tracker) -> String {
    match &tracker.reason {
        Some(reason) => format!("{}: {reason}", tracker.state),
        None => tracker.state.clone(),
    }
}

/// Entries of the catalogue.
pub(crate) fn entries(now: Timestamp) -> Columns<'static, FileEntry> {
    Columns::new()
        .left("info_hash", "HASH", |e: &FileEntry| short(&e.info_hash))
        .left("owner", "OWNER", |e| e.owner.clone())
        .left("share", "SHARE", |e| e.share.clone())
        .left("entry", "ENTRY", |e| e.entry.clone())
        .right("version", "VERSION", |e| e.version.to_string())
        .right("size", "SIZE", |e| human::size(e.size))
        .right("seeds", "SEEDS", |e| human::count(e.seeds.into()))
        .right("leeches", "LEECHES", |e| human::count(e.leeches.into()))
        .right("copies", "COPIES", |e| human::copies(e.copies))
        .left("published", "PUBLISHED", move |e| {
            human::ago(&e.published, now)
        })
        .paint(|e| if e.newest { Paint::Plain } else { Paint::Dim })
}

/// How the catalogue calls an entry: `owner/share/entry@N`.
pub(crate) fn entry_name(entry: &FileEntry) -> String {
    let FileEntry {
        owner,
        share,
        entry,
        version,
        ..
    } = entry;
    format!("{owner}/{share}/{entry}@{version}")
}

/// Machines.
pub(crate) fn nodes(now: Timestamp) -> Columns<'static, Node> {
    Columns::new()
        .left("account", "ACCOUNT", |n: &Node| n.account.clone())
        .left("node", "NODE", |n| n.node.clone())
        .left("online", "ONLINE", |n| yes_no(n.online))
        .left("last_seen", "LAST SEEN", move |n| {
            human::ago(&n.last_seen, now)
        })
        .right("seeding", "SEEDING", |n| human::count(n.seeding.into()))
        .right("fetching", "FETCHING", |n| human::count(n.fetching.into()))
        .paint(|n| if n.online { Paint::Plain } else { Paint::Dim })
}

/// Past transfers.
pub(crate) fn transfers() -> Columns<'static, Transfer> {
    Columns::new()
        .left("started", "STARTED", |t: &Transfer| {
            human::local_time(&t.started)
        })
        .right("ended", "TOOK", |t| {
            human::between(&t.started, &t.ended).map_or_else(String::new, human::seconds)
        })
        .left("info_hash", "HASH", |t| short(&t.info_hash))
        .left("name", "NAME", |t| t.name.clone())
        .left("peer", "PEER", |t| t.peer.clone())
        .left("client", "CLIENT", |t| t.client.clone())
        .right("downloaded", "RECEIVED", |t| moved(t.downloaded))
        .right("uploaded", "SENT", |t| moved(t.uploaded))
}

/// Files of an item.
pub(crate) fn files() -> Columns<'static, ItemFile> {
    Columns::new()
        .left("path", "PATH", |f: &ItemFile| f.path.clone())
        .right("size", "SIZE", |f| human::size(f.size))
        .right("done", "DONE", |f| match f.size {
            0 => "100%".to_owned(),
            size => human::percent(f.done, size),
        })
        .left("wanted", "WANTED", |f| yes_no(f.wanted))
}

/// Connected peers of an item that has `pieces`.
pub(crate) fn peers(pieces: u32) -> Columns<'static, ItemPeer> {
    Columns::new()
        .left("addr", "ADDRESS", |p: &ItemPeer| p.addr.clone())
        .left("client", "CLIENT", |p| p.client.clone())
        .left("direction", "DIR", |p| p.direction.clone())
        .right("pieces", "HAS", move |p| {
            human::percent(p.pieces.into(), pieces.into())
        })
        .right("down_rate", "DOWN", |p| human::rate(p.down_rate))
        .right("up_rate", "UP", |p| human::rate(p.up_rate))
        .right("downloaded", "RECEIVED", |p| moved(p.downloaded))
        .right("uploaded", "SENT", |p| moved(p.uploaded))
        .left("choking_us", "FLAGS", flags)
}

/// Choking and interest in words: what it does to us, then what we do to it.
fn flags(peer: &ItemPeer) -> String {
    let mut words = Vec::new();
    if peer.interesting {
        words.push(if peer.choking_us {
            "chokes us"
        } else {
            "serves us"
        });
    }
    if peer.interested {
        words.push(if peer.choked { "choked" } else { "served" });
    }
    words.join(", ")
}

/// Announce URLs of an item.
pub(crate) fn item_trackers() -> Columns<'static, ItemTracker> {
    let number = |number: Option<u32>| number.map_or_else(|| "-".to_owned(), |n| n.to_string());
    Columns::new()
        .left("url", "URL", |t: &ItemTracker| t.url.clone())
        .left("state", "STATE", |t| t.state.clone())
        .right("seeds", "SEEDS", move |t| number(t.seeds))
        .right("leeches", "LEECHES", move |t| number(t.leeches))
        .right("next_s", "NEXT", |t| {
            t.next_s.map_or_else(|| "-".to_owned(), human::seconds)
        })
        .left("message", "MESSAGE", |t| {
            t.message.clone().unwrap_or_default()
        })
}

/// Events.
pub(crate) fn events() -> Columns<'static, Event> {
    Columns::new()
        .right("seq", "SEQ", |e: &Event| e.seq.to_string())
        .left("time", "TIME", |e| human::local_time(&e.time))
        .left("topic", "TOPIC", |e| e.topic.clone())
        .left("info_hash", "HASH", |e| {
            e.info_hash.as_ref().map_or_else(String::new, short)
        })
        .left("name", "NAME", |e| e.name.clone().unwrap_or_default())
        .left("text", "TEXT", |e| e.text.clone())
}

/// An event in a line.
pub(crate) fn event_line(event: &Event) -> String {
    let time = human::local_time(&event.time);
    format!("{time}  {:<16}  {}", event.topic, event.text)
}

/// Lines of the log.
pub(crate) fn log_lines() -> Columns<'static, LogLine> {
    Columns::new()
        .left("time", "TIME", |l: &LogLine| human::local_time(&l.time))
        .left("level", "LEVEL", |l| l.level.clone())
        .left("info_hash", "HASH", |l| {
            l.info_hash.as_ref().map_or_else(String::new, short)
        })
        .left("text", "TEXT", |l| l.text.clone())
}

/// A line of the log for people.
pub(crate) fn log_line(line: &LogLine) -> String {
    let time = human::local_time(&line.time);
    format!("{time}  {:<5}  {}", line.level, line.text)
}

/// Settings.
pub(crate) fn settings() -> Columns<'static, ConfigValue> {
    Columns::new()
        .left("key", "KEY", |v: &ConfigValue| v.key.clone())
        .left("value", "VALUE", |v| v.value.clone())
        .left("origin", "ORIGIN", |v| v.origin.clone())
        .left("restart", "RESTART", |v| match v.restart {
            true => "needed".to_owned(),
            false => String::new(),
        })
}

/// Bytes that went over the wire, `-` for none.
fn moved(bytes: u64) -> String {
    match bytes {
        0 => "-".to_owned(),
        bytes => human::size(bytes),
    }
}

fn yes_no(yes: bool) -> String {
    if yes { "yes" } else { "no" }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(text: &str) -> InfoHash {
        format!("{text:0<40}").parse().unwrap()
    }

    #[test]
    fn prefixes_are_as_long_as_it_takes_to_tell_hashes_apart() {
        let all = [
            hash("3f2a"),
            hash("91c0aa1"),
            hash("91c0aa2"),
            hash("91c1"),
            hash("3f2a"),
        ];
        let prefixes = unique_prefixes(&all);
        let of = |i: usize| prefixes[&all[i]].as_str();
        assert_eq!(
            (of(0), of(1), of(2), of(3)),
            ("3f2a", "91c0aa1", "91c0aa2", "91c1")
        );
        assert!(unique_prefixes(&[]).is_empty());
    }
}
