//! `fetch.add`: from what the user named to an item of the engine.
//!
//! A target is looked for here first, then in the catalogue: the nearest thing that has all its metadata is used.

use std::fs::Metadata;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use data_encoding::BASE64;
use p2p_wire::InfoHash;
use p2p_wire::api::{Fetch, FetchPeer};
use p2p_wire::control::{ErrorKind, FetchAdd, FetchAdded, Item, State};
use p2p_wire::magnet::Magnet;
use p2p_wire::metainfo::{MAX_METAINFO_LEN, Metainfo};

use super::caller::Caller;
use super::{Daemon, announce_urls, lookup, paths, peers};
use crate::Fault;
use crate::engine::{Content, ItemSetting, NewItem, Place};
use crate::rights::Purpose;
use crate::tracker::Trackers;

/// What a target turned out to be.
struct Found {
    content: Content,
    /// Announce URLs in tiers.
    trackers: Vec<Vec<String>>,
    /// Peers that the tracker gave.
    peers: Vec<FetchPeer>,
}

impl Found {
    fn info_hash(&self) -> InfoHash {
        match &self.content {
            Content::Metainfo(metainfo) => metainfo.info.info_hash(),
            Content::Magnet(magnet) => magnet.info_hash,
        }
    }
}

/// `fetch.add`.
pub(super) async fn add(
    daemon: &Arc<Daemon>,
    caller: &Caller,
    add: FetchAdd,
    torrent: &[u8],
) -> Result<FetchAdded, Fault> {
    let trackers = daemon.trackers.of(caller.uid);
    let place = place(daemon, caller, &add).await?;
    let mut peers = peers::lookup_all(&add.peers).await?;
    let sent = match add.torrent {
        true => Some(read_metainfo(torrent)?),
        false => None,
    };
    if let Some(item) = here(daemon, caller, &add, sent.as_ref()).await? {
        return again(daemon, caller, item, &place, peers, &add).await;
    }
    let found = match sent {
        Some(metainfo) => foreign(&trackers, &add, metainfo).await,
        None => find(&trackers, &add).await?,
    };
    let info_hash = found.info_hash();
    if let Some(item) = daemon.engine.item(info_hash).await {
        return again(daemon, caller, item, &place, peers, &add).await;
    }
    let only_peers = match &add.from {
        Some(from) => {
            peers::from(
                &trackers,
                add.tracker.as_deref(),
                info_hash,
                &found.peers,
                from,
            )
            .await?
        }
        None => Vec::new(),
    };
    for peer in &found.peers {
        // What the tracker gives is an address already; a name in its place is left to the announce.
        peers.extend(peer.addr.parse::<SocketAddr>().ok());
    }
    // What is complete here already needs nobody.
    let in_place = matches!(place, Place::Existing(_));
    if found.trackers.is_empty() && peers.is_empty() && only_peers.is_empty() && !in_place {
        return Err(Fault::new(
            ErrorKind::NotFound,
            format!("cannot fetch {info_hash}: nobody to ask"),
            "It names no tracker that can be used, and no peer is known",
            "Name a peer with --peer HOST:PORT, or add its tracker:  p2pctl tracker add NAME URL",
        ));
    }
    let only = add.only.clone();
    let new = NewItem {
        content: found.content,
        place,
        trackers: found.trackers,
        owner: caller.uid,
        share: None,
        only: add.only,
        sequential: add.sequential,
        peers,
        only_peers,
    };
    let added = daemon.engine.add(new).await?;
    let item = daemon.engine.item(info_hash).await.ok_or_else(|| {
        Fault::new(
            ErrorKind::Failed,
            format!("{info_hash} was removed at once"),
            "Something removed it while it was being added",
            "Try again",
        )
    })?;
    Ok(FetchAdded { item, added, only })
}

/// What is here already goes on if it stood still; it keeps its place and its files. Others than those are refused, not left out unsaid.
async fn again(
    daemon: &Arc<Daemon>,
    caller: &Caller,
    mut item: Item,
    place: &Place,
    peers: Vec<SocketAddr>,
    add: &FetchAdd,
) -> Result<FetchAdded, Fault> {
    if !caller.has(item.owner_uid) {
        return Err(Fault::new(
            ErrorKind::Conflict,
            format!("cannot fetch {}", item.info_hash),
            "Another user of this machine has it already",
            "Ask an administrator for it, or fetch it with a daemon of your own:  p2pctl --user fetch",
        ));
    }
    if add.from.is_some() && item.state != State::Seeding {
        return Err(Fault::new(
            ErrorKind::Conflict,
            format!("{} is being fetched already", item.name),
            "From whom is settled when a fetch begins",
            format!("Begin anew:  p2pctl rm {}", item.info_hash),
        ));
    }
    let path = item.path.to_path().unwrap_or_default();
    let is_there = match place {
        Place::Download(dir) => add.dir.is_none() || path.parent() == Some(dir.as_path()),
        Place::Existing(data) => path == *data,
        Place::Hashed(..) => true,
    };
    if !is_there {
        return Err(Fault::new(
            ErrorKind::Conflict,
            format!("{} is here already", item.name),
            format!("It lies at {}", path.display()),
            format!("Move it:  p2pctl mv {} DIR", item.info_hash),
        ));
    }
    let only = daemon.engine.only(item.info_hash).await.unwrap_or_default();
    if !only.is_empty() && !add.only.is_empty() && only != add.only {
        return Err(Fault::new(
            ErrorKind::Conflict,
            format!("{} is here already", item.name),
            format!(
                "Which of its files are fetched was settled when it began: {}",
                only.join(", ")
            ),
            format!(
                "Forget it, its data stays:  p2pctl rm {0}   and begin anew:  p2pctl fetch {0} --data PATH --only GLOB",
                item.info_hash
            ),
        ));
    }
    if add.sequential {
        let setting = ItemSetting::Sequential(true);
        item = daemon.engine.set(item.info_hash, setting).await?;
    }
    if matches!(item.state, State::Paused | State::Error | State::Held) {
        item = daemon.engine.resume(item.info_hash).await?;
    }
    if !peers.is_empty() {
        daemon.engine.add_peers(item.info_hash, peers).await;
    }
    let added = false;
    Ok(FetchAdded { item, added, only })
}

async fn place(daemon: &Daemon, caller: &Caller, add: &FetchAdd) -> Result<Place, Fault> {
    match (&add.data, &add.dir) {
        (Some(_), Some(_)) => Err(Fault::new(
            ErrorKind::Usage,
            "--data and -o exclude each other",
            "Data that is there is completed where it is",
            "Give one of them",
        )),
        (Some(data), None) => {
            let path = paths::opened(caller, Purpose::Complete, data).await?;
            if let Err(error) = metadata(&path).await {
                return Err(Fault::new(
                    kind_of(&error),
                    format!("cannot complete {}", path.display()),
                    error.to_string(),
                    "Name data that is there, or fetch without --data.",
                ));
            }
            Ok(Place::Existing(path))
        }
        (None, Some(dir)) => {
            let dir = paths::opened(caller, Purpose::Receive, dir).await?;
            if metadata(&dir).await.is_ok_and(|there| !there.is_dir()) {
                return Err(Fault::new(
                    ErrorKind::Conflict,
                    format!("cannot put it into {}", dir.display()),
                    "That is a file.",
                    "Name a folder:  -o DIR",
                ));
            }
            Ok(Place::Download(dir))
        }
        (None, None) => Ok(Place::Download(download_dir(daemon).await?)),
    }
}

/// The configured folder, made if it is not there.
async fn download_dir(daemon: &Daemon) -> Result<PathBuf, Fault> {
    let dir = daemon.settings.download_dir();
    let wanted = dir.clone();
    let made = tokio::task::spawn_blocking(move || std::fs::create_dir_all(wanted)).await;
    let made = made.unwrap_or_else(|error| Err(io::Error::other(error)));
    made.map_err(|error| {
        Fault::new(
            kind_of(&error),
            format!("cannot make the download folder {}", dir.display()),
            error.to_string(),
            "Choose another:  p2pctl config set daemon.download_dir PATH",
        )
    })?;
    Ok(dir)
}

/// What a path leads to, looked at where it may take its time.
async fn metadata(path: &Path) -> io::Result<Metadata> {
    let path = path.to_owned();
    let looked = tokio::task::spawn_blocking(move || std::fs::metadata(path)).await;
    looked.unwrap_or_else(|error| Err(io::Error::other(error)))
}

/// The class of an error at a file or folder.
fn kind_of(error: &io::Error) -> ErrorKind {
    use io::ErrorKind as Io;
    match error.kind() {
        Io::PermissionDenied => ErrorKind::Permission,
        Io::NotFound => ErrorKind::NotFound,
        // A file is in the way.
        Io::AlreadyExists | Io::NotADirectory => ErrorKind::Conflict,
        _ => ErrorKind::Disk,
    }
}

/// The item, if the target is one that is here already.
async fn here(
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

async fn find(trackers: &Trackers, add: &FetchAdd) -> Result<Found, Fault> {
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
async fn foreign(trackers: &Trackers, add: &FetchAdd, metainfo: Metainfo) -> Found {
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

fn read_metainfo(bytes: &[u8]) -> Result<Metainfo, Fault> {
    Metainfo::from_bytes(bytes).map_err(|error| {
        Fault::new(
            ErrorKind::BadData,
            "that is no .torrent that can be used",
            error.to_string(),
            "Check the file:  p2pctl inspect FILE.torrent",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_cannot_be_made_is_not_always_a_matter_of_rights() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "x").unwrap();
        for path in [file.clone(), file.join("below")] {
            let error = std::fs::create_dir_all(path).unwrap_err();
            assert_eq!(kind_of(&error), ErrorKind::Conflict, "{error}");
        }
        let full = std::io::Error::from_raw_os_error(nix::libc::ENOSPC);
        assert_eq!(kind_of(&full), ErrorKind::Disk);
    }
}
