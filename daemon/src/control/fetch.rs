//! `fetch.add`: from what the user named to an item of the engine.

use std::fs::Metadata;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use p2p_wire::control::{ErrorKind, FetchAdd, FetchAdded, Item, State};

use super::caller::Caller;
use super::target::{find, foreign, here, read_metainfo};
use super::{Daemon, paths, peers};
use crate::Fault;
use crate::engine::{ItemSetting, NewItem, Place};
use crate::rights::Purpose;

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
