//! Items as users see them.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use globset::{Glob, GlobSet, GlobSetBuilder};
use p2p_wire::control::{ErrorKind, Item, ItemFile, PathText, State};
use p2p_wire::metainfo::Info;
use p2p_wire::{Bitfield, InfoHash, points};

use crate::hooks::{Gate, Hold, HoldVerdict};
use crate::resume::{Check, Have, Record, Site};
use crate::storage::stage_of;
use crate::swarm::Stats;

/// What is known beyond the record.
#[derive(Default)]
pub(super) struct Live<'a> {
    /// Numbers of the swarm; zero for a dormant item.
    pub(super) stats: Stats,
    /// Pieces held, where that is more than the record says.
    pub(super) have: Option<&'a Bitfield>,
    /// Bytes verified of what is wanted.
    pub(super) done: Option<u64>,
    /// What stopped the item.
    pub(super) fault: Option<(ErrorKind, &'a str)>,
    /// The gate that holds it.
    pub(super) hold: Option<&'a Hold>,
    /// What the tracker says.
    pub(super) tracker_error: Option<&'a str>,
    /// What the tracker knows of the swarm.
    pub(super) points: Option<&'a points::Swarm>,
    /// Pieces we lack that no connected peer has.
    pub(super) missing: Option<u32>,
    /// Its data is being read, or about to be: bytes that are good or were read.
    pub(super) read: Option<u64>,
    /// Pieces that the last verification found bad.
    pub(super) bad_pieces: Option<u32>,
}

/// An item in one line.
pub(super) fn item(info_hash: InfoHash, record: &Record, live: &Live<'_>) -> Item {
    let pieces = record.layout.map_or(0, |layout| layout.pieces());
    let held = held(record, live);
    let size = record.wanted_len;
    let complete = record.is_complete();
    let done = done(record, live);
    let state = state(record, live);
    let running = matches!(state, State::Fetching | State::Metadata);
    let stuck = running && live.stats.peers == 0;
    let reason = live.fault.map(|(_, text)| text.to_owned());
    let reason = reason.or_else(|| live.hold.map(Hold::text)).or_else(|| {
        stuck.then(|| match live.tracker_error {
            Some(error) => format!("no peers; {error}"),
            None => "no peers".to_owned(),
        })
    });
    let rate = live.stats.down_rate;
    let eta_s = (state == State::Fetching && rate > 0).then(|| size.saturating_sub(done) / rate);
    Item {
        info_hash,
        name: record.name.clone(),
        state,
        done,
        size,
        pieces_done: held,
        pieces,
        piece_len: record.layout.map_or(0, |layout| layout.piece_len()),
        down_rate: rate,
        up_rate: live.stats.up_rate,
        downloaded: record.downloaded,
        uploaded: record.uploaded,
        wasted: record.wasted,
        peers: live.stats.peers,
        seeds: live.stats.seeds,
        copies: copies(record, live, held, pieces),
        missing: match (complete, live.points) {
            (true, _) => None,
            (false, Some(points)) if points.unknown == 0 => Some(points.nobody),
            (false, _) => live.missing,
        },
        eta_s,
        path: PathText::from(&*shown_path(info_hash, record, live)),
        share: record.share.clone(),
        reason,
        error_kind: live.fault.map(|(kind, _)| kind).or_else(|| {
            let refused = |hold: &&Hold| hold.verdict == HoldVerdict::Refused;
            live.hold.filter(refused).map(|_| ErrorKind::Refused)
        }),
        bad_pieces: live.bad_pieces,
        added: time_text(record.added),
        completed: record.completed.map(time_text),
        private: record.private,
        owner_uid: record.owner,
    }
}

/// What an item is doing.
pub(super) fn state(record: &Record, live: &Live<'_>) -> State {
    let complete = record.is_complete();
    if live.fault.is_some() {
        State::Error
    } else if live.read.is_some() {
        State::Verifying
    } else if live.hold.is_some() {
        State::Held
    } else if record.paused {
        State::Paused
    } else if record.layout.is_none() {
        State::Metadata
    } else if record.check != Check::No || (complete && record.suspect != Have::Nothing) {
        State::Verifying
    } else if complete {
        State::Seeding
    } else {
        State::Fetching
    }
}

/// Bytes verified; while its data is read those that were read so far.
pub(super) fn done(record: &Record, live: &Live<'_>) -> u64 {
    let size = record.wanted_len;
    live.done
        .unwrap_or(match (record.is_complete(), record.layout) {
            (true, _) => size,
            (false, _) if live.read.is_some() => live.read.unwrap_or(0).min(size),
            (false, Some(layout)) => {
                let held = u64::from(held(record, live));
                (held * u64::from(layout.piece_len())).min(layout.total_len())
            }
            (false, None) => 0,
        })
}

/// Pieces verified.
fn held(record: &Record, live: &Live<'_>) -> u32 {
    let pieces = record.layout.map_or(0, |layout| layout.pieces());
    match (live.have, record.check) {
        (Some(have), _) => have.count(),
        (None, Check::No) => record.have.count(pieces),
        (None, Check::All) => 0,
    }
}

fn copies(record: &Record, live: &Live<'_>, held: u32, pieces: u32) -> f64 {
    if let Some(points) = live.points.filter(|_| pieces > 0) {
        if points.least > 0 {
            return points.least.into();
        }
        return f64::from(pieces.saturating_sub(points.nobody)) / f64::from(pieces);
    }
    if live.stats.peers > 0 {
        return live.stats.copies;
    }
    match (record.is_complete(), pieces) {
        (true, _) => 1.0,
        (false, 0) => 0.0,
        (false, pieces) => f64::from(held) / f64::from(pieces),
    }
}

/// Where the content of an item is that a gate before its release holds; else as [`path`].
fn shown_path(item: InfoHash, record: &Record, live: &Live<'_>) -> PathBuf {
    let gate = live.hold.map(|hold| hold.gate);
    match (gate, &record.site) {
        (Some(Gate::PreRelease), Site::Staged(dir)) => stage_of(dir, item).join(&record.name),
        _ => path(record),
    }
}

/// Whether the tracker knows a holder of every piece.
pub(super) fn all_are_held(points: Option<&points::Swarm>) -> bool {
    points.is_some_and(|points| points.nobody == 0 && points.least > 0)
}

/// Where an item's content is, or will be.
pub(super) fn path(record: &Record) -> PathBuf {
    match &record.site {
        Site::Staged(dir) => dir.join(&record.name),
        Site::Fetched { path, .. } | Site::Foreign(path) => path.clone(),
    }
}

/// What tells on which file system an item's data is: the folder that it is fetched into, or what it is.
pub(super) fn home(site: &Site) -> &Path {
    match site {
        Site::Staged(dir) => dir,
        Site::Fetched { path, .. } | Site::Foreign(path) => path,
    }
}

/// The stage of an item that has or had one; for others a path that does not exist.
pub(super) fn stage(record: &Record, item: InfoHash) -> PathBuf {
    match &record.site {
        Site::Staged(dir) => stage_of(dir, item),
        Site::Fetched { aside, .. } => aside.clone(),
        Site::Foreign(path) => stage_of(path.parent().unwrap_or(path), item),
    }
}

/// Which files are wanted; a glob is matched against the path below the item's folder, the path with it, and the name.
/// A glob that cannot be read matches nothing.
pub(super) fn wanted_files(info: &Info, only: &[String]) -> Vec<bool> {
    let all = only.is_empty();
    let globs = globs(only).unwrap_or_default();
    let wanted = |file: &p2p_wire::metainfo::File| {
        let whole = file.path.join("/");
        let below = file.path.get(1..).unwrap_or_default().join("/");
        let name = file.path.last().map_or("", String::as_str);
        all || [&whole[..], &below, name]
            .iter()
            .any(|path| globs.is_match(path))
    };
    info.files().iter().map(wanted).collect()
}

/// The globs of `--only`, or what is wrong with one.
pub(super) fn globs(only: &[String]) -> Result<GlobSet, globset::Error> {
    let mut globs = GlobSetBuilder::new();
    for glob in only {
        globs.add(Glob::new(glob)?);
    }
    globs.build()
}

/// The pieces that wanted files touch.
pub(super) fn wanted_pieces(info: &Info, files: &[bool]) -> Bitfield {
    let layout = info.layout();
    let piece_len = u64::from(layout.piece_len());
    let mut wanted = Bitfield::new(layout.pieces());
    for (file, is_wanted) in info.files().iter().zip(files) {
        if *is_wanted && !file.padding && file.len > 0 {
            let last = (file.offset + file.len - 1) / piece_len;
            for piece in file.offset / piece_len..=last {
                wanted.set(piece as u32);
            }
        }
    }
    wanted
}

/// Bytes in the pieces of `set`.
pub(super) fn len_of(info: &Info, set: &Bitfield) -> u64 {
    let layout = info.layout();
    let len = |piece| layout.piece(piece).map_or(0, |p| layout.len_of(p));
    set.iter().map(|piece| u64::from(len(piece))).sum()
}

/// The files of an item, padding left out.
pub(super) fn files(info: &Info, record: &Record, have: &Bitfield) -> Vec<ItemFile> {
    let layout = info.layout();
    let piece_len = u64::from(layout.piece_len());
    let wanted = wanted_files(info, &record.only);
    let shown = info.files().iter().zip(wanted);
    let shown = shown.filter(|(file, _)| !file.padding);
    let file = shown.map(|(file, wanted)| {
        let end = file.offset + file.len;
        let pieces = file.offset / piece_len..end.div_ceil(piece_len);
        let done = pieces.filter(|p| have.get(*p as u32)).map(|p| {
            let (from, to) = (p * piece_len, (p + 1) * piece_len);
            to.min(end).saturating_sub(from.max(file.offset))
        });
        ItemFile {
            path: match info.single_file() {
                true => file.path.join("/"),
                false => file.path.get(1..).unwrap_or_default().join("/"),
            },
            size: file.len,
            done: done.sum(),
            wanted,
        }
    });
    file.collect()
}

/// Pieces as ranges, first to last inclusive.
pub(super) fn ranges(pieces: impl IntoIterator<Item = u32>) -> Vec<(u32, u32)> {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for piece in pieces {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == piece => *last = piece,
            _ => ranges.push((piece, piece)),
        }
    }
    ranges
}

/// `812-840, 900`; at most eight ranges are spelled out.
pub(super) fn ranges_text(ranges: &[(u32, u32)]) -> String {
    let text = |(first, last): &(u32, u32)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    };
    let shown: Vec<String> = ranges.iter().take(8).map(text).collect();
    let more = ranges.len().saturating_sub(8);
    match more {
        0 => shown.join(", "),
        more => format!("{} and {more} more ranges", shown.join(", ")),
    }
}

/// Seconds since 1970 as RFC 3339.
pub(super) fn time_text(seconds: u64) -> String {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds)
        .unwrap_or(jiff::Timestamp::MAX)
        .to_string()
}

/// What [`time_text`] wrote, in seconds since 1970.
pub(super) fn seconds_of(text: &str) -> u64 {
    let time = text.parse::<jiff::Timestamp>();
    time.map_or(0, |time| u64::try_from(time.as_second()).unwrap_or(0))
}

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_short_to_read() {
        let pieces = (812..=840).chain([900]);
        assert_eq!(ranges_text(&ranges(pieces)), "812-840, 900");
        let many = ranges_text(&ranges((0..40).step_by(2)));
        assert_eq!(many, "0, 2, 4, 6, 8, 10, 12, 14 and 12 more ranges");
    }

    #[test]
    fn an_item_without_peers_says_why_it_stands_still() {
        let mut record = crate::resume::sample();
        record.paused = false;
        let live = Live {
            tracker_error: Some("tracker unreachable"),
            ..Live::default()
        };
        let shown = item(InfoHash([1; 20]), &record, &live);
        assert_eq!(shown.state, State::Fetching);
        assert_eq!(shown.reason.unwrap(), "no peers; tracker unreachable");
        assert_eq!((shown.done, shown.pieces_done), (16_384, 1));
    }

    #[test]
    fn an_item_that_a_fault_stopped_tells_the_class_of_the_fault() {
        let live = Live {
            fault: Some((ErrorKind::Disk, "disk full")),
            ..Live::default()
        };
        let shown = item(InfoHash([1; 20]), &crate::resume::sample(), &live);
        assert_eq!(shown.state, State::Error);
        assert_eq!(shown.error_kind, Some(ErrorKind::Disk));
        assert_eq!(shown.reason.unwrap(), "disk full");
    }
}
