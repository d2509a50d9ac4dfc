//! What users name to be fetched: a hash, a name of the catalogue, a magnet link, a .torrent or the URL of one.
//!
//! A target is looked for here first, then in the catalogue: the nearest thing that has all its metadata is used.

use std::sync::Arc;

use data_encoding::BASE64;
use p2p_wire::InfoHash;
use p2p_wire::api::{Fetch, FetchPeer};
use p2p_wire::control::{ErrorKind, FetchAdd, Item};
use p2p_wire::magnet::Magnet;
use p2p_wire::metainfo::{MAX_METAINFO_LEN, Metainfo};

use super::caller::Caller;
use super::{Daemon, announce_urls, lookup, peers};
use crate::Fault;
use crate::engine::Content;
use crate::tracker::Trackers;

/// What a target turned out to be.
pub(super) struct Found {
    pub(super) content: Content,
    /// Announce URLs in tiers.
    pub(super) trackers: Vec<Vec<String>>,
    /// Peers that the tracker gave.
    pub(super) peers: Vec<FetchPeer>,
}

impl Found {
    pub(super) fn info_hash(&self) -> InfoHash {
        match &self.content {
            Content::Metainfo(metainfo) => metainfo.info.info_hash(),
            Content::Magnet(magnet) => magnet.info_hash,
        }
    }
}

/// The item, if the target is one that is here already.
pub(super) async fn here(
    daemon: &Arc<Daemon>,
    caller: &Caller,
    add: &FetchAdd,
    sent: Option<&Metainfo>,
) -> Result<Option<Item>, Fault> {
    let hash = match (&add.target, sent) {
        (Some(target), None) if target.starts_with("magnet:") => Some(magnet(target)?.info_hash),
        (Some(target), None) if is_url(target) || target.contains('/') => None,
        (Some(target), None) => return lookup::seek(daemon, caller, target).await,
        (None, Some(metainfo)) => Some(metainfo.info.info_hash()),
        _ => {
            return Err(Fault::new(
                ErrorKind::Usage,
                "fetch what?",
                "Either a target or a .torrent must be given, not both",
                "",
            ));
        }
    };
    match hash {
        Some(hash) => Ok(daemon.engine.item(hash).await),
        None => Ok(None),
    }
}

pub(super) async fn find(trackers: &Trackers, add: &FetchAdd) -> Result<Found, Fault> {
    let target = add.target.as_deref().unwrap_or_default();
    if target.starts_with("magnet:") {
        return of_magnet(trackers, add, magnet(target)?).await;
    }
    if is_url(target) {
        let bytes = trackers.download(target, MAX_METAINFO_LEN).await?;
        return Ok(foreign(trackers, add, read_metainfo(&bytes)?).await);
    }
    let tracker = add.tracker.as_deref();
    let known = match trackers.find(tracker, target).await {
        Ok(entry) => trackers.fetch(tracker, entry.info_hash).await,
        Err(fault) => Err(fault),
    };
    match (known, target.parse::<InfoHash>()) {
        (Ok(fetch), _) => of_catalogue(fetch),
        // A hash and a peer are enough: the metadata comes from the peer.
        (Err(_), Ok(info_hash)) if !add.peers.is_empty() || add.from.is_some() => Ok(Found {
            content: Content::Magnet(Magnet {
                info_hash,
                name: None,
                trackers: Vec::new(),
                peers: Vec::new(),
            }),
            trackers: announce_urls::own(trackers, tracker).await,
            peers: Vec::new(),
        }),
        (Err(fault), _) => Err(fault),
    }
}

fn of_catalogue(fetch: Fetch) -> Result<Found, Fault> {
    let metainfo = metainfo(&fetch.metainfo)?;
    if metainfo.info.info_hash() != fetch.file.info_hash {
        return Err(Fault::new(
            ErrorKind::BadData,
            format!("cannot fetch {}", fetch.file.info_hash),
            "The tracker gave the metainfo of another torrent",
            "Tell who runs the tracker",
        ));
    }
    Ok(Found {
        trackers: metainfo.announce.clone(),
        content: Content::Metainfo(Box::new(metainfo)),
        peers: fetch.peers,
    })
}

/// A .torrent from elsewhere keeps its trackers, as far as they may be asked. One of whose trackers none may be asked is announced to
/// the account's own, which takes any hash; a private one only if it names no tracker at all (BEP 27).
pub(super) async fn foreign(trackers: &Trackers, add: &FetchAdd, metainfo: Metainfo) -> Found {
    let tracker = add.tracker.as_deref();
    let mut tiers = announce_urls::usable(trackers, &metainfo.announce, tracker).await;
    if tiers.is_empty() && !metainfo.info.private() {
        tiers = announce_urls::own(trackers, tracker).await;
    }
    Found {
        trackers: tiers,
        content: Content::Metainfo(Box::new(metainfo)),
        peers: Vec::new(),
    }
}

/// A magnet link that names nobody is looked for in the catalogue, for `p2pctl link` writes such.
async fn of_magnet(trackers: &Trackers, add: &FetchAdd, magnet: Magnet) -> Result<Found, Fault> {
    let tracker = add.tracker.as_deref();
    if magnet.trackers.is_empty()
        && let Ok(fetch) = trackers.fetch(tracker, magnet.info_hash).await
    {
        return of_catalogue(fetch);
    }
    let named = [magnet.trackers.clone()];
    let mut found = Vec::new();
    for peer in magnet.peers.iter().take(peers::MAX_PEERS) {
        // A peer in a link that cannot be found is no reason not to try the others.
        let addrs = peers::lookup(peer).await.unwrap_or_default();
        found.extend(addrs.into_iter().map(|addr| FetchPeer {
            addr: addr.to_string(),
            node: None,
            seed: false,
        }));
    }
    Ok(Found {
        trackers: announce_urls::usable(trackers, &named, tracker).await,
        content: Content::Magnet(magnet),
        peers: found,
    })
}

fn is_url(target: &str) -> bool {
    target.starts_with("http://") || target.starts_with("https://")
}

fn magnet(text: &str) -> Result<Magnet, Fault> {
    text.parse()
        .map_err(|error: p2p_wire::magnet::MagnetError| {
            Fault::new(
                ErrorKind::Usage,
                "that is no magnet link that can be used",
                error.to_string(),
                "One looks like magnet:?xt=urn:btih:HASH",
            )
        })
}

fn metainfo(base64: &str) -> Result<Metainfo, Fault> {
    let bytes = BASE64.decode(base64.as_bytes()).map_err(|error| {
        Fault::new(
            ErrorKind::Usage,
            "the .torrent cannot be read",
            format!("it is not base64: {error}"),
            "",
        )
    })?;
    read_metainfo(&bytes)
}

pub(super) fn read_metainfo(bytes: &[u8]) -> Result<Metainfo, Fault> {
    Metainfo::from_bytes(bytes).map_err(|error| {
        Fault::new(
            ErrorKind::BadData,
            "that is no .torrent that can be used",
            error.to_string(),
            "Check the file:  p2pctl inspect FILE.torrent",
        )
    })
}
