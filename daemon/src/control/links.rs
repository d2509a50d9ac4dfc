//! What an item is handed on with: `item.link`, `item.torrent`.

use std::sync::Arc;

use data_encoding::BASE64;
use p2p_wire::api::FileEntry;
use p2p_wire::control::{EntryRef, ErrorKind, Link, TORRENT_PART, TorrentData, TorrentRef};
use p2p_wire::magnet::Magnet;

use super::Daemon;
use super::caller::Caller;
use super::lookup::find;
use crate::Fault;

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
