//! Waiting for verifications: `verify.wait`.

use std::sync::Arc;

use p2p_wire::InfoHash;
use p2p_wire::control::{ErrorKind, Item, State, VerifyProgress, VerifyWait};

use super::Daemon;
use super::caller::Caller;
use super::lookup::not_here;
use super::progress::Progress;
use crate::Fault;

/// Waits for one item after the other: they are read one after the other, too. The items are as they were when their verification ended.
pub(super) async fn wait(
    daemon: &Arc<Daemon>,
    caller: &Caller,
    wait: VerifyWait,
    mut progress: Progress,
) -> Result<Vec<Item>, Fault> {
    let of = u32::try_from(wait.items.len()).unwrap_or(u32::MAX);
    let mut verified = Vec::new();
    for (ended, item) in (0..).zip(wait.items) {
        let owner = daemon.events.owner_of(item);
        if !owner.is_some_and(|owner| caller.has(owner)) {
            return Err(not_here(&item.to_string()));
        }
        let tell = |item| VerifyProgress { item, ended, of };
        verified.push(one(daemon, item, &mut progress, tell).await?);
    }
    Ok(verified)
}

async fn one(
    daemon: &Arc<Daemon>,
    item: InfoHash,
    progress: &mut Progress,
    tell: impl Fn(Item) -> VerifyProgress,
) -> Result<Item, Fault> {
    let watch = daemon.engine.watch(item).await;
    let mut watch = watch.ok_or_else(|| not_here(&item.to_string()))?;
    loop {
        let now = watch.borrow_and_update().clone();
        if has_ended(&now) {
            return Ok(now);
        }
        progress.ready().await;
        progress.send(tell(now)).await;
        if watch.changed().await.is_err() {
            return Err(Fault::new(
                ErrorKind::NotFound,
                format!("{item} was removed"),
                "It was removed while it was verified",
                "",
            ));
        }
    }
}

/// Whether nothing is left to wait for. [`State::Metadata`] is how an item looks before its task has shown it.
fn has_ended(item: &Item) -> bool {
    let waits = matches!(item.state, State::Verifying | State::Metadata);
    item.bad_pieces.is_some() || !waits
}

#[cfg(test)]
mod tests {
    use super::super::lookup::sample;
    use super::*;

    #[test]
    fn a_verification_has_ended_when_its_outcome_is_known_or_nothing_reads_any_more() {
        let as_it_is = |state, bad_pieces| Item {
            state,
            bad_pieces,
            ..sample(1, "a", 5)
        };
        assert!(!has_ended(&as_it_is(State::Verifying, None)));
        assert!(has_ended(&as_it_is(State::Fetching, Some(3))));
        assert!(has_ended(&as_it_is(State::Seeding, Some(0))));
        assert!(has_ended(&as_it_is(State::Paused, None)));
        assert!(has_ended(&as_it_is(State::Error, None)));
    }
}
