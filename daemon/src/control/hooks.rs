//! Hooks: running one on demand, and how the last runs went.

use std::sync::Arc;

use p2p_wire::control::{HookRun, HooksLog, HooksRun};

use super::caller::Role;
use super::{Daemon, lookup, settings};
use crate::Fault;

/// `hooks.run`.
pub(super) async fn run(
    daemon: &Arc<Daemon>,
    role: Role,
    run: HooksRun,
) -> Result<Vec<HookRun>, Fault> {
    role.admin("run hooks")?;
    let item = lookup::find(daemon, &run.item).await?;
    daemon.hooks.run(&run.event, item.info_hash).await
}

/// `hooks.log`.
pub(super) async fn log(daemon: &Arc<Daemon>, log: HooksLog) -> Result<Vec<HookRun>, Fault> {
    let runs = daemon.hooks.log(log.limit).await;
    runs.map_err(|error| settings::state_fault("read how hooks ran", &error))
}
