//! Methods on shares: `share.*`.

use std::sync::Arc;
use std::time::Duration;

use p2p_wire::control::{ErrorKind, Share, ShareAdd, ShareProgress, ShareRef};
use tokio::time::{Instant, timeout_at};

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

/// How long nothing may be published before it is not waited for any more: the tracker may be away for hours.
const PATIENCE: Duration = Duration::from_secs(3);

/// `share.wait`: until all that is there is hashed, and published or refused where the tracker takes it now; progress meanwhile.
pub(super) async fn wait(
    daemon: &Arc<Daemon>,
    caller: &Caller,
    share: ShareRef,
    mut progress: Progress,
) -> Result<Share, Fault> {
    let watching = daemon
        .shares
        .watch(paths::any(&named(share)?)?, caller.whose());
    let (mut watch, publishes) = watching.await?;
    let mut answered = None;
    let mut patience = Instant::now() + PATIENCE;
    loop {
        let now = watch.borrow_and_update().clone();
        let wanted = wanted(&now, publishes);
        if wanted == Wanted::Nothing {
            return Ok(now.share);
        }
        let name = now.share.name.clone();
        let answers = now.share.published + now.share.refused;
        if answered.replace(answers) != Some(answers) || wanted == Wanted::Hashes {
            patience = Instant::now() + PATIENCE;
        }
        progress.send(now).await;
        progress.ready().await;
        let changed = match wanted {
            Wanted::Hashes => watch.changed().await,
            _ => match timeout_at(patience, watch.changed()).await {
                Ok(changed) => changed,
                Err(_) => return Ok(watch.borrow().share.clone()),
            },
        };
        if changed.is_err() {
            return Err(Fault::new(
                ErrorKind::NotFound,
                format!("{name} is shared no more"),
                "It was taken away while it was waited for",
                "",
            ));
        }
    }
}

/// What is still waited for.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    Hashes,
    Answers,
    Nothing,
}

fn wanted(now: &ShareProgress, publishes: bool) -> Wanted {
    let share = &now.share;
    let answers = share.published.saturating_add(share.refused);
    if matches!(share.state.as_str(), "unavailable" | "error") {
        Wanted::Nothing
    } else if share.state == "scanning" || share.pending > 0 || now.current.is_some() {
        Wanted::Hashes
    } else if publishes && share.tracker.is_some() && answers < share.items {
        Wanted::Answers
    } else {
        Wanted::Nothing
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn progress(change: Value) -> ShareProgress {
        let mut share = json!({
            "name": "Public", "path": "/p", "each": "entry", "state": "watching", "items": 3, "size": 9,
            "published": 3, "pending": 0, "left_out": {}, "tracker": "home", "visibility": "members",
        });
        let fields = share.as_object_mut().unwrap();
        fields.extend(change.as_object().unwrap().clone());
        let progress = json!({"share": share, "hashed": 0, "size": 0, "rate": 0});
        serde_json::from_value(progress).unwrap()
    }

    #[test]
    fn a_share_is_waited_for_until_the_tracker_has_answered_for_all_of_it() {
        for (change, expected) in [
            (json!({}), Wanted::Nothing),
            (json!({"pending": 1}), Wanted::Hashes),
            (json!({"state": "scanning"}), Wanted::Hashes),
            (json!({"published": 2}), Wanted::Answers),
            (json!({"published": 2, "refused": 1}), Wanted::Nothing),
            (json!({"published": 0, "tracker": null}), Wanted::Nothing),
            (
                json!({"published": 0, "state": "unavailable"}),
                Wanted::Nothing,
            ),
        ] {
            assert_eq!(
                wanted(&progress(change.clone()), true),
                expected,
                "{change}"
            );
        }
        let unpublished = progress(json!({"published": 0}));
        assert_eq!(wanted(&unpublished, false), Wanted::Nothing);
    }
}
