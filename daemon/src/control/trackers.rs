//! Methods on trackers, accounts and the catalogue: `tracker.*`, `account.*`, `catalogue.*`.

use std::sync::Arc;

use data_encoding::BASE64;
use p2p_wire::api::{FileEntry, Node, Publish, Visibility};
use p2p_wire::control::{
    Credentials, EntryRef, ErrorKind, PublishItem, Tracker, TrackerAdd, TrackerCertificate,
    TrackerProbe, TrackerRef, TrackerTrust,
};

use super::caller::Caller;
use super::{Daemon, announce_urls, lookup, paths};
use crate::Fault;
use crate::engine::{Content, NewItem, Place};
use crate::hooks::Gate;

/// `tracker.add`.
pub(super) async fn add(
    daemon: &Arc<Daemon>,
    caller: &Caller,
    add: TrackerAdd,
) -> Result<Tracker, Fault> {
    caller.admin("add a tracker")?;
    let TrackerAdd {
        name,
        url,
        fingerprint,
    } = add;
    daemon
        .trackers
        .of(caller.uid)
        .add(name, url, fingerprint)
        .await
}

/// `tracker.probe`.
pub(super) async fn probe(
    daemon: &Arc<Daemon>,
    caller: &Caller,
    probe: TrackerProbe,
) -> Result<TrackerCertificate, Fault> {
    caller.admin("ask a tracker")?;
    daemon.trackers.of(caller.uid).probe(&probe.url).await
}

/// `tracker.trust`.
pub(super) async fn trust(
    daemon: &Arc<Daemon>,
    caller: &Caller,
    trust: TrackerTrust,
) -> Result<Tracker, Fault> {
    caller.admin("trust a certificate")?;
    let trackers = daemon.trackers.of(caller.uid);
    trackers.trust(trust.tracker, trust.fingerprint).await
}

/// `tracker.remove`. Which one must be said: a default would take the wrong one away.
pub(super) async fn remove(
    daemon: &Arc<Daemon>,
    caller: &Caller,
    which: TrackerRef,
) -> Result<Tracker, Fault> {
    caller.admin("remove a tracker")?;
    if which.tracker.is_none() {
        return Err(Fault::new(
            ErrorKind::Usage,
            "which tracker?",
            "None is named",
            "See them:  p2pctl tracker ls",
        ));
    }
    daemon.trackers.of(caller.uid).remove(which.tracker).await
}

/// `tracker.test`.
pub(super) async fn test(
    daemon: &Arc<Daemon>,
    caller: &Caller,
    which: TrackerRef,
) -> Result<Tracker, Fault> {
    daemon.trackers.of(caller.uid).test(which.tracker).await
}

/// `account.register`.
pub(super) async fn register(
    daemon: &Arc<Daemon>,
    caller: &Caller,
    credentials: Credentials,
) -> Result<Tracker, Fault> {
    daemon.trackers.of(caller.uid).register(credentials).await
}

/// `account.login`.
pub(super) async fn login(
    daemon: &Arc<Daemon>,
    caller: &Caller,
    credentials: Credentials,
) -> Result<Tracker, Fault> {
    daemon.trackers.of(caller.uid).login(credentials).await
}

/// `account.logout`.
pub(super) async fn logout(
    daemon: &Arc<Daemon>,
    caller: &Caller,
    which: TrackerRef,
) -> Result<Tracker, Fault> {
    daemon.trackers.of(caller.uid).logout(which.tracker).await
}

/// `account.whoami`.
pub(super) async fn whoami(
    daemon: &Arc<Daemon>,
    caller: &Caller,
    which: TrackerRef,
) -> Result<Tracker, Fault> {
    daemon.trackers.of(caller.uid).whoami(which.tracker).await
}

/// `catalogue.publish`: an item that is here, or a .torrent. An item that is here is announced where it is published.
pub(super) async fn publish(
    daemon: &Arc<Daemon>,
    caller: &Caller,
    publish: PublishItem,
    torrent: &[u8],
) -> Result<FileEntry, Fault> {
    let mut here = None;
    let metainfo = match (&publish.item, publish.torrent) {
        (Some(name), false) => {
            let item = lookup::find(daemon, caller, name).await?;
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
        (None, true) => BASE64.encode(torrent),
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
    let trackers = daemon.trackers.of(caller.uid);
    let entry = trackers.publish(tracker, request).await?;
    if let Some((item, metainfo)) = here {
        let again = NewItem {
            content: Content::Metainfo(Box::new(metainfo)),
            place: Place::Existing(paths::any(&item.path)?),
            // The item's owner's, who need not be the caller: an announce URL is its account's secret.
            trackers: announce_urls::own(&daemon.trackers.of(item.owner_uid), tracker).await,
            owner: item.owner_uid,
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
    caller: &Caller,
    which: EntryRef,
) -> Result<(), Fault> {
    let trackers = daemon.trackers.of(caller.uid);
    let tracker = which.tracker.as_deref();
    let hash = match lookup::seek(daemon, caller, &which.item).await? {
        Some(item) => item.info_hash,
        None => trackers.find(tracker, &which.item).await?.info_hash,
    };
    trackers.unpublish(tracker, hash).await
}

/// `catalogue.nodes`.
pub(super) async fn nodes(
    daemon: &Arc<Daemon>,
    caller: &Caller,
    which: TrackerRef,
) -> Result<Vec<Node>, Fault> {
    daemon
        .trackers
        .of(caller.uid)
        .nodes(which.tracker.as_deref())
        .await
}
