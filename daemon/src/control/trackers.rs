//! Methods on trackers, accounts and the catalogue: `tracker.*`, `account.*`, `catalogue.*`.

use std::sync::Arc;

use data_encoding::BASE64;
use p2p_wire::api::{FileEntry, Node, Publish, Visibility};
use p2p_wire::control::{
    Credentials, ErrorKind, ItemRef, PublishItem, Tracker, TrackerAdd, TrackerCertificate,
    TrackerProbe, TrackerRef, TrackerTrust,
};

use super::caller::Role;
use super::{Daemon, announce_urls, lookup, paths};
use crate::Fault;
use crate::engine::{Content, NewItem, Place};
use crate::hooks::Gate;

/// `tracker.add`.
pub(super) async fn add(
    daemon: &Arc<Daemon>,
    role: Role,
    add: TrackerAdd,
) -> Result<Tracker, Fault> {
    role.admin("add a tracker")?;
    let TrackerAdd {
        name,
        url,
        fingerprint,
    } = add;
    daemon.trackers.add(name, url, fingerprint).await
}

/// `tracker.probe`.
pub(super) async fn probe(
    daemon: &Arc<Daemon>,
    role: Role,
    probe: TrackerProbe,
) -> Result<TrackerCertificate, Fault> {
    role.admin("ask a tracker")?;
    daemon.trackers.probe(&probe.url).await
}

/// `tracker.trust`.
pub(super) async fn trust(
    daemon: &Arc<Daemon>,
    role: Role,
    trust: TrackerTrust,
) -> Result<Tracker, Fault> {
    role.admin("trust a certificate")?;
    daemon
        .trackers
        .trust(trust.tracker, trust.fingerprint)
        .await
}

/// `tracker.remove`. Which one must be said: a default would take the wrong one away.
pub(super) async fn remove(
    daemon: &Arc<Daemon>,
    role: Role,
    which: TrackerRef,
) -> Result<Tracker, Fault> {
    role.admin("remove a tracker")?;
    if which.tracker.is_none() {
        return Err(Fault::new(
            ErrorKind::Usage,
            "which tracker?",
            "None is named",
            "See them:  p2pctl tracker ls",
        ));
    }
    daemon.trackers.remove(which.tracker).await
}

/// `tracker.test`.
pub(super) async fn test(daemon: &Arc<Daemon>, which: TrackerRef) -> Result<Tracker, Fault> {
    daemon.trackers.test(which.tracker).await
}

/// `account.register`.
pub(super) async fn register(
    daemon: &Arc<Daemon>,
    role: Role,
    credentials: Credentials,
) -> Result<Tracker, Fault> {
    role.admin("make an account for this daemon")?;
    daemon.trackers.register(credentials).await
}

/// `account.login`.
pub(super) async fn login(
    daemon: &Arc<Daemon>,
    role: Role,
    credentials: Credentials,
) -> Result<Tracker, Fault> {
    role.admin("log this daemon in")?;
    daemon.trackers.login(credentials).await
}

/// `account.logout`.
pub(super) async fn logout(
    daemon: &Arc<Daemon>,
    role: Role,
    which: TrackerRef,
) -> Result<Tracker, Fault> {
    role.admin("log this daemon out")?;
    daemon.trackers.logout(which.tracker).await
}

/// `account.whoami`.
pub(super) async fn whoami(daemon: &Arc<Daemon>, which: TrackerRef) -> Result<Tracker, Fault> {
    daemon.trackers.whoami(which.tracker).await
}

/// `catalogue.publish`: an item that is here, or a .torrent. An item that is here is announced where it is published.
pub(super) async fn publish(
    daemon: &Arc<Daemon>,
    role: Role,
    publish: PublishItem,
) -> Result<FileEntry, Fault> {
    role.admin("publish")?;
    let mut here = None;
    let metainfo = match (&publish.item, publish.torrent) {
        (Some(name), None) => {
            let item = lookup::find(daemon, name).await?;
            let metainfo = daemon.engine.metainfo(item.info_hash).await;
            let mut metainfo = metainfo.ok_or_else(|| {
                Fault::new(
                    ErrorKind::Conflict,
                    format!("cannot publish {}", item.name),
                    "Its metadata is not known yet: no peer has given it",
                    "Wait until it is fetching:  p2pctl ls",
                )
            })?;
            daemon.hooks.ask_now(Gate::PrePublish, item.clone()).await?;
            // Who fetches it gets an announce URL of their own; ours are secrets.
            metainfo.announce = Vec::new();
            let torrent = BASE64.encode(&metainfo.to_bytes());
            here = Some((item, metainfo));
            torrent
        }
        (None, Some(torrent)) => torrent,
        _ => {
            return Err(Fault::new(
                ErrorKind::Usage,
                "publish what?",
                "Either an item or a .torrent must be given, not both",
                "",
            ));
        }
    };
    let request = Publish {
        metainfo,
        share: None,
        name: publish.name,
        tags: publish.tags,
        visibility: Visibility::default(),
        join: false,
    };
    let tracker = publish.tracker.as_deref();
    let entry = daemon.trackers.publish(tracker, request).await?;
    if let Some((item, metainfo)) = here {
        let again = NewItem {
            content: Content::Metainfo(Box::new(metainfo)),
            place: Place::Existing(paths::any(&item.path)?),
            trackers: announce_urls::own(daemon, tracker).await,
            share: item.share,
            only: Vec::new(),
            sequential: false,
            peers: Vec::new(),
            only_peers: Vec::new(),
        };
        // It is there already, so this only joins the tracker to those it has.
        daemon.engine.add(again).await?;
    }
    Ok(entry)
}

/// `catalogue.unpublish`: an item, or whatever the catalogue knows by that hash or name.
pub(super) async fn unpublish(
    daemon: &Arc<Daemon>,
    role: Role,
    which: ItemRef,
) -> Result<(), Fault> {
    role.admin("unpublish")?;
    let hash = match lookup::pick(daemon.engine.items().await, &which.item)? {
        Some(item) => item.info_hash,
        None => daemon.trackers.find(None, &which.item).await?.info_hash,
    };
    daemon.trackers.unpublish(None, hash).await
}

/// `catalogue.nodes`.
pub(super) async fn nodes(daemon: &Arc<Daemon>, which: TrackerRef) -> Result<Vec<Node>, Fault> {
    daemon.trackers.nodes(which.tracker.as_deref()).await
}
