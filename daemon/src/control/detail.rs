//! `item.show`: one item, or an entry of the catalogue, with what is asked for of it.

use std::sync::Arc;

use data_encoding::BASE64;
use p2p_wire::InfoHash;
use p2p_wire::api::{Availability, FileEntry};
use p2p_wire::control::{ErrorKind, ItemDetail, ItemFile, ItemPieces, ItemShow};
use p2p_wire::metainfo::Metainfo;

use super::Daemon;
use super::caller::Caller;
use super::lookup::{self, not_here, pick};
use crate::Fault;
use crate::tracker::Trackers;

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
    let item = pick(lookup::items(daemon, caller).await, &show.item)?;
    let catalogue = match &item {
        Some(item) => trackers.find(None, &item.info_hash.to_string()).await,
        None => trackers.find(None, &show.item).await,
    };
    let (hash, entry) = match (&item, catalogue) {
        (Some(item), entry) => (item.info_hash, entry.ok()),
        (None, Ok(entry)) => (entry.info_hash, Some(entry)),
        // Neither here nor there; a name with a `/` can only be the catalogue's.
        (None, Err(fault)) if fault.kind == ErrorKind::NotFound && !show.item.contains('/') => {
            return Err(not_here(&show.item));
        }
        (None, Err(fault)) => return Err(fault),
    };
    let wants = |part: &str| show.parts.iter().any(|wanted| wanted == part);
    let engine = &daemon.engine;
    let here = item.is_some();
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
        detail.files = match here {
            true => engine.files(hash).await,
            false => catalogue_files(&trackers, hash).await,
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
        detail.pieces = pieces(&trackers, held, hash, entry.as_ref()).await;
    }
    if wants("events") && here {
        detail.events = Some(daemon.events.of_item(hash));
    }
    if wants("versions")
        && let Some(entry) = &entry
    {
        detail.versions = Some(trackers.versions(None, entry).await?);
    }
    detail.catalogue = entry;
    Ok(detail)
}

/// The files of an entry that is not here, from its metainfo.
async fn catalogue_files(trackers: &Trackers, hash: InfoHash) -> Option<Vec<ItemFile>> {
    let fetch = trackers.fetch(None, hash).await.ok()?;
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
    here: Option<ItemPieces>,
    hash: InfoHash,
    entry: Option<&FileEntry>,
) -> Option<ItemPieces> {
    let known: Option<Availability> = match entry {
        Some(_) => trackers.availability(None, hash).await.ok(),
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
