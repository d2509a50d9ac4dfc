//! `item.show`: one item, or an entry of the catalogue, with what is asked for of it.

use std::sync::Arc;

use data_encoding::BASE64;
use p2p_wire::InfoHash;
use p2p_wire::api::{Availability, FileEntry};
use p2p_wire::control::{ErrorKind, Item, ItemDetail, ItemFile, ItemPieces, ItemShow};
use p2p_wire::metainfo::Metainfo;

use super::Daemon;
use super::caller::Caller;
use super::lookup::{self, not_here};
use crate::Fault;
use crate::tracker::Trackers;

/// Files in an answer at most: 100 bytes each without their paths.
const FILES: usize = 5_000;

/// Bytes of their paths, about: one may take six in JSON.
const FILES_TEXT: usize = 384 * 1024;

/// `item.show`: an item that is here, or else an entry of the catalogue.
pub(super) async fn show(
    daemon: &Arc<Daemon>,
    caller: &Caller,
    show: ItemShow,
) -> Result<ItemDetail, Fault> {
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
    let trackers = daemon.trackers.of(caller.uid);
    let tracker = show.tracker.as_deref();
    let (item, hash, entry) = named(daemon, caller, &trackers, &show).await?;
    let wants = |part: &str| show.parts.iter().any(|wanted| wanted == part);
    let engine = &daemon.engine;
    let here = item.is_some();
    let mut detail = ItemDetail {
        item,
        catalogue: None,
        files: None,
        files_next: None,
        peers: None,
        trackers: None,
        pieces: None,
        events: None,
        versions: None,
    };
    if wants("files") {
        let files = match here {
            true => engine.files(hash).await,
            false => catalogue_files(&trackers, tracker, hash).await,
        };
        (detail.files, detail.files_next) = match files {
            Some(files) => {
                let (page, next) = files_page(files, show.files_after.unwrap_or(0));
                (Some(page), next)
            }
            None => (None, None),
        };
    }
    if wants("peers") && here {
        detail.peers = engine.peers(hash).await;
    }
    if wants("trackers") && here {
        detail.trackers = Some(daemon.announcer.rows(hash).await);
    }
    if wants("pieces") {
        let held = match here {
            true => engine.pieces(hash).await,
            false => None,
        };
        detail.pieces = pieces(&trackers, tracker, held, (hash, entry.as_ref())).await;
    }
    if wants("events") && here {
        detail.events = Some(daemon.events.of_item(hash));
    }
    if wants("versions")
        && let Some(entry) = &entry
    {
        detail.versions = Some(trackers.versions(tracker, entry).await?);
    }
    detail.catalogue = entry;
    Ok(detail)
}

/// The item that is meant if it is here, its hash, and its entry in the catalogue if it has one; one of the two is there.
async fn named(
    daemon: &Arc<Daemon>,
    caller: &Caller,
    trackers: &Trackers,
    show: &ItemShow,
) -> Result<(Option<Item>, InfoHash, Option<FileEntry>), Fault> {
    let tracker = show.tracker.as_deref();
    let item = lookup::seek(daemon, caller, &show.item).await?;
    let catalogue = match &item {
        Some(item) => trackers.find(tracker, &item.info_hash.to_string()).await,
        None => trackers.find(tracker, &show.item).await,
    };
    match (item, catalogue) {
        (Some(item), entry) => {
            let hash = item.info_hash;
            Ok((Some(item), hash, entry.ok()))
        }
        (None, Ok(entry)) => Ok((None, entry.info_hash, Some(entry))),
        // Neither here nor there; a name with a `/` can only be the catalogue's.
        (None, Err(fault)) if fault.kind == ErrorKind::NotFound && !show.item.contains('/') => {
            Err(not_here(&show.item))
        }
        (None, Err(fault)) => Err(fault),
    }
}

/// The files from `after` on that fit into a line with all else, and where the next begin.
fn files_page(files: Vec<ItemFile>, after: u64) -> (Vec<ItemFile>, Option<u64>) {
    let start = usize::try_from(after).unwrap_or(usize::MAX);
    let total = files.len();
    let mut text = 0;
    let fits = |file: &ItemFile| {
        let is_first = text == 0;
        text += file.path.len();
        is_first || text <= FILES_TEXT
    };
    let rest = files.into_iter().skip(start).take(FILES);
    let page: Vec<ItemFile> = rest.take_while(fits).collect();
    let end = start.saturating_add(page.len());
    (page, (end < total).then_some(end as u64))
}

/// The files of an entry that is not here, from its metainfo.
async fn catalogue_files(
    trackers: &Trackers,
    tracker: Option<&str>,
    hash: InfoHash,
) -> Option<Vec<ItemFile>> {
    let fetch = trackers.fetch(tracker, hash).await.ok()?;
    let bytes = BASE64.decode(fetch.metainfo.as_bytes()).ok()?;
    let metainfo = Metainfo::from_bytes(&bytes).ok()?;
    let files = metainfo.info.files().iter().filter(|file| !file.padding);
    let rows = files.map(|file| ItemFile {
        path: file.path.join("/"),
        size: file.len,
        done: 0,
        wanted: true,
    });
    Some(rows.collect())
}

/// What the tracker knows of the pieces counts before what is seen among the connected peers.
async fn pieces(
    trackers: &Trackers,
    tracker: Option<&str>,
    here: Option<ItemPieces>,
    (hash, entry): (InfoHash, Option<&FileEntry>),
) -> Option<ItemPieces> {
    let known: Option<Availability> = match entry {
        Some(_) => trackers.availability(tracker, hash).await.ok(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_a_huge_item_come_in_parts_that_fit_into_a_line() {
        let path = |n: usize| format!("{n}{}", "\u{1}".repeat(n % 3_000));
        let file = |n: usize| ItemFile {
            path: path(n),
            size: u64::MAX,
            done: u64::MAX,
            wanted: false,
        };
        let files: Vec<ItemFile> = (0..12_000).map(file).collect();
        let (mut after, mut seen, mut parts) = (0, Vec::new(), 0);
        loop {
            let (page, next) = files_page(files.clone(), after);
            let line = serde_json::to_string(&page).unwrap();
            assert!(line.len() < p2p_wire::control::MAX_LINE * 9 / 10);
            assert!(!page.is_empty(), "no progress after {after}");
            seen.extend(page.into_iter().map(|file| file.path));
            parts += 1;
            match next {
                Some(next) => after = next,
                None => break,
            }
        }
        assert!(seen == (0..12_000).map(path).collect::<Vec<_>>());
        assert!(parts > 3, "{parts} parts");
    }
}
