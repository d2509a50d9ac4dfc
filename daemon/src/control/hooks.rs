//! Hooks: running one on demand, and how the last runs went.

use std::sync::Arc;

use p2p_wire::control::{HookRun, HooksLog, HooksRun};

use super::caller::Caller;
use super::{Daemon, lookup, settings};
use crate::Fault;

/// `hooks.run`.
pub(super) async fn run(
    daemon: &Arc<Daemon>,
    caller: &Caller,
    run: HooksRun,
) -> Result<Vec<HookRun>, Fault> {
    caller.admin("run hooks")?;
    let item = lookup::find(daemon, caller, &run.item).await?;
    daemon.hooks.run(&run.event, item.info_hash).await
}

/// `hooks.log`.
pub(super) async fn log(
    daemon: &Arc<Daemon>,
    caller: &Caller,
    log: HooksLog,
) -> Result<Vec<HookRun>, Fault> {
    // It tells of everybody's items.
    caller.admin("see how hooks ran")?;
    let runs = daemon.hooks.log(log.limit).await;
    runs.map_err(|error| settings::state_fault("read how hooks ran", &error))
}
