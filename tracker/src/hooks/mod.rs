//! Hooks of the tracker: programs that are told of accounts and files, and gates that are asked before there is one.
//!
//! An event is journalled in the transaction that makes it true, by triggers of the database, if there is a hook that wants it; the task of
//! `deliver` tells it at least once and then crosses it off. A gate is asked while the caller waits for its answer: should the tracker
//! end meanwhile nothing was changed, and the caller asks again. Announces and piece points have neither.

mod deliver;
mod event;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use p2p_hooks::{Folders, Found, Job, Runner, Said, Standing};
use p2p_wire::api::ProblemType;
use tokio::sync::{Notify, Semaphore, watch};

pub use self::deliver::{Wanted, task, want};
pub use self::event::Gate;
use self::event::{Body, EVENTS};
use crate::config::{Config, GateFailure};
use crate::refusal::Refusal;
use crate::store::{NewFile, StoreError};

/// Where hooks of packages lie; one of the administrator hides one of these by its name.
const OF_PACKAGES: &str = "/usr/lib/p2p/tracker-hooks.d";
/// Gates that are asked at once; further callers wait.
const AT_ONCE: usize = 4;
/// Lines of a hook's output that go to the log.
const LOGGED: usize = 20;
/// Seconds after which a caller may try again where a gate could not decide.
const RETRY_S: u32 = 60;

/// The hooks of a tracker.
pub struct Hooks {
    runner: Runner,
    gates: Semaphore,
    /// Told whenever something may be due.
    due: Arc<Notify>,
    stopping: watch::Sender<bool>,
}

impl Hooks {
    /// Hooks run in folders below `state`. `due` is told when something that hooks may want to hear was committed.
    pub fn new(state: &Path, due: Arc<Notify>) -> Self {
        let stopping = watch::Sender::new(false);
        Self {
            runner: Runner::new(state, stopping.subscribe()),
            gates: Semaphore::new(AT_ONCE),
            due,
            stopping,
        }
    }

    /// Ends hooks that run; what they were told is told again at the next start.
    pub fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Whether somebody stands at a gate.
    pub async fn guards(&self, gate: Gate, config: &Config) -> bool {
        !ready(config, gate.name()).await.is_empty()
    }

    /// Asks those at a gate whether `account` may pass, with `new` if it is about a file. The first who does not allow decides.
    pub async fn ask(
        &self,
        gate: Gate,
        account: &str,
        new: Option<&NewFile>,
        config: &Config,
    ) -> Result<(), Refusal> {
        let hooks = ready(config, gate.name()).await;
        if hooks.is_empty() {
            return Ok(());
        }
        let body = Body::of_gate(gate, account, new, &config.tracker.name);
        // Never closed: it lives as long as we do.
        let _slot = self.gates.acquire().await;
        for hook in hooks {
            let who = format!("{} {}", gate.name(), hook.name);
            match self.run(&hook, &body, true, config).await {
                Said::Ok => {}
                Said::Refused(why) => {
                    let refused = format!("refused by {who} of this tracker: {why}");
                    return Err(Refusal::new(
                        ProblemType::Forbidden,
                        refused,
                        "Ask the tracker's administrator.",
                    ));
                }
                Said::Later(why) => {
                    let waits = format!("{who} of this tracker cannot say yet: {why}");
                    return Err(Refusal::new(
                        ProblemType::Unavailable,
                        waits,
                        "Try again in a minute.",
                    )
                    .retry_after(RETRY_S));
                }
                Said::Failed(_) if config.hooks.failed_gate == GateFailure::Allow => {}
                Said::Failed(_) => {
                    let failed = format!("{who} of this tracker failed, so nothing passes");
                    return Err(Refusal::new(
                        ProblemType::Unavailable,
                        failed,
                        "Its administrator finds the reason in the tracker's log.",
                    )
                    .retry_after(RETRY_S));
                }
                Said::Stopped => return Err(StoreError::Stopped.into()),
            }
        }
        Ok(())
    }

    /// Runs a hook, and logs what it printed and said.
    async fn run(&self, hook: &Found, body: &Body, gate: bool, config: &Config) -> Said {
        let begin = Instant::now();
        let job = Job {
            program: &hook.path,
            event: &body.event,
            stdin: body.to_json(),
            env: body.env(),
            limit: config.hooks.timeout.0,
            // What it needs beyond its own folder is for a service of its own.
            writable: Vec::new(),
        };
        let ran = self.runner.run(job).await;
        let said = ran.said(gate);
        let (event, name, tail) = (&*body.event, &*hook.name, ran.output.tail());
        let lines: Vec<&str> = tail.lines().collect();
        for line in &lines[lines.len().saturating_sub(LOGGED)..] {
            tracing::info!(hook = name, event, "{event} {name}: {line}");
        }
        match &said {
            Said::Failed(why) => tracing::warn!(hook = name, event, "{event} {name} failed: {why}"),
            Said::Refused(why) => {
                tracing::info!(hook = name, event, "{event} {name} refused: {why}");
            }
            Said::Later(why) => tracing::info!(hook = name, event, "{event} {name}: {why}"),
            Said::Ok | Said::Stopped => {
                let took = begin.elapsed().as_millis();
                tracing::debug!(hook = name, event, "{event} {name} ran for {took} ms");
            }
        }
        said
    }
}

/// What lies in the hook folders, and whether it is run.
pub fn list(config: &Config) -> Vec<Found> {
    folders(config).all()
}

/// The hooks of an event or gate that are run, in order. It is looked at anew each time.
async fn ready(config: &Config, event: &'static str) -> Vec<Found> {
    let folders = folders(config);
    let found = tokio::task::spawn_blocking(move || folders.of_event(event)).await;
    let found = found.unwrap_or_default().into_iter();
    found
        .filter(|hook| hook.standing == Standing::Ready)
        .collect()
}

fn folders(config: &Config) -> Folders {
    let gates = Gate::ALL.map(Gate::name);
    Folders {
        dirs: vec![config.hooks.dir.clone(), PathBuf::from(OF_PACKAGES)],
        names: EVENTS.into_iter().chain(gates).collect(),
    }
}
