//! Methods on shares: `share.*`.

use std::sync::Arc;

use p2p_wire::control::{ErrorKind, Share, ShareAdd, ShareRef};

use super::caller::Caller;
use super::progress::Progress;
use super::{Daemon, paths};
use crate::Fault;
use crate::rights::Purpose;
use crate::share::NewShare;

/// `share.add`.
pub(super) async fn add(
    daemon: &Arc<Daemon>,
    caller: &Caller,
    mut add: ShareAdd,
) -> Result<Share, Fault> {
    let path = paths::opened(caller, Purpose::Share, &add.path).await?;
    add.path = paths::text(&path);
    let new = NewShare {
        add,
        owner: caller.uid,
        configured: false,
    };
    daemon.shares.add(new).await
}

/// `share.wait`: until all that is there is hashed; progress meanwhile.
pub(super) async fn wait(
    daemon: &Arc<Daemon>,
    caller: &Caller,
    share: ShareRef,
    mut progress: Progress,
) -> Result<Share, Fault> {
    let mut watch = daemon
        .shares
        .watch(paths::any(&named(share)?)?, caller.whose())
        .await?;
    loop {
        let now = watch.borrow_and_update().clone();
        let over = matches!(now.share.state.as_str(), "unavailable" | "error");
        if over || now.share.state != "scanning" && now.share.pending == 0 && now.current.is_none()
        {
            return Ok(now.share);
        }
        let name = now.share.name.clone();
        progress.send(now).await;
        progress.ready().await;
        if watch.changed().await.is_err() {
            return Err(Fault::new(
                ErrorKind::NotFound,
                format!("{name} is shared no more"),
                "It was taken away while it was waited for",
                "",
            ));
        }
    }
}

/// `share.remove`.
pub(super) async fn remove(
    daemon: &Arc<Daemon>,
    caller: &Caller,
    share: ShareRef,
) -> Result<Share, Fault> {
    let path = paths::any(&named(share)?)?;
    daemon.shares.remove(path, caller.whose()).await
}

/// `share.rescan`: one, or all.
pub(super) async fn rescan(
    daemon: &Arc<Daemon>,
    caller: &Caller,
    share: ShareRef,
) -> Result<Vec<Share>, Fault> {
    let path = share.share.as_ref().map(paths::any).transpose()?;
    daemon.shares.rescan(path, caller.whose()).await
}

fn named(share: ShareRef) -> Result<p2p_wire::control::PathText, Fault> {
    share.share.ok_or_else(|| {
        Fault::new(
            ErrorKind::Usage,
            "which share?",
            "None is named",
            "Give its path or name:  p2pctl status   shows them",
        )
    })
}
