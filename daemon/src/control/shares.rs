//! Methods on shares: `share.*`.

use std::sync::Arc;

use p2p_wire::control::{ErrorKind, Share, ShareAdd, ShareRef};

use super::caller::Role;
use super::progress::Progress;
use super::{Daemon, paths};
use crate::Fault;

/// `share.add`.
pub(super) async fn add(
    daemon: &Arc<Daemon>,
    role: Role,
    mut add: ShareAdd,
) -> Result<Share, Fault> {
    role.may_name_paths("a folder to share")?;
    add.path = paths::text(&paths::absolute(&add.path)?);
    daemon.shares.add(add).await
}

/// `share.wait`: until all that is there is hashed; progress meanwhile.
pub(super) async fn wait(
    daemon: &Arc<Daemon>,
    share: ShareRef,
    mut progress: Progress,
) -> Result<Share, Fault> {
    let mut watch = daemon.shares.watch(paths::any(&named(share)?)?).await?;
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
    role: Role,
    share: ShareRef,
) -> Result<Share, Fault> {
    role.admin("end a share")?;
    daemon.shares.remove(paths::any(&named(share)?)?).await
}

/// `share.rescan`.
pub(super) async fn rescan(daemon: &Arc<Daemon>, share: ShareRef) -> Result<Share, Fault> {
    let path = paths::any(&named(share)?)?;
    let shares = daemon.shares.rescan(Some(path.clone())).await?;
    shares.into_iter().next().ok_or_else(|| {
        Fault::new(
            ErrorKind::NotFound,
            format!("{} is not shared", path.display()),
            "No share has that path or name",
            "See the shares:  p2pctl status",
        )
    })
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
