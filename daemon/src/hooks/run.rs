//! What a run of a hook means, and what is written about it.

use std::path::PathBuf;
use std::time::Duration;

use p2p_hooks::{End, Found, Job, Ran, Said};
use p2p_wire::control::{HookRun, Item};

use super::event::{Body, Gate};
use super::{Inner, Listener, Terms};

/// Lines of a hook's output that go to the log.
const LOGGED: usize = 20;

/// What a hook said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It has heard; a gate allows.
    Ok(Terms),
    /// A gate refuses, with the reason.
    Refused(String),
    /// It wants to be asked again.
    Later(String),
    /// It did not do its work, with the reason.
    Failed(String),
    /// p2pd stops: it is told again.
    Stopped,
}

impl Inner {
    /// Tells or asks a hook, and gives what to keep of that and what it said.
    pub(super) async fn run(&self, hook: &Listener, body: &Body) -> (HookRun, Answer) {
        match hook {
            Listener::Program(program) => self.run_program(program, body).await,
            Listener::Plugin(name) => self.call_plugin(name, body).await,
        }
    }

    async fn run_program(&self, hook: &Found, body: &Body) -> (HookRun, Answer) {
        // Closed never: the semaphore lives as long as we do.
        let _slot = self.slots.acquire().await;
        let gate = Gate::of(&body.event);
        let time = jiff::Timestamp::now().to_string();
        let ran = self
            .runner
            .run(Job {
                program: &hook.path,
                event: &body.event,
                stdin: body.to_json(),
                env: body.env(),
                limit: self.limit(gate),
                writable: writable(gate, body.item.as_ref()),
            })
            .await;
        let answer = answer(gate, &ran);
        let run = HookRun {
            time,
            event: body.event.clone(),
            event_id: body.event_id.clone(),
            hook: hook.name.clone(),
            info_hash: body.info_hash,
            name: body.name.clone(),
            outcome: match ran.end {
                End::TimedOut => "timed out".to_owned(),
                _ => answer.outcome().to_owned(),
            },
            exit: match ran.end {
                End::Exited(code) => Some(code),
                _ => None,
            },
            took_ms: u64::try_from(ran.took.as_millis()).unwrap_or(u64::MAX),
            reason: answer.reason(),
            tail: ran.output.tail(),
        };
        log(&run, &answer);
        (run, answer)
    }

    /// How long a hook may take.
    pub(super) fn limit(&self, gate: Option<Gate>) -> Duration {
        match gate {
            // It reads whole files.
            Some(Gate::PreRelease) => self.config.gate_timeout.0,
            _ => self.config.timeout.0,
        }
    }
}

/// Where a hook may write besides its own folder: a gate nowhere, an event's where the item was fetched to.
fn writable(gate: Option<Gate>, item: Option<&Item>) -> Vec<PathBuf> {
    let fetched = item.filter(|item| gate.is_none() && item.share.is_none());
    let path = fetched.and_then(|item| item.path.to_path());
    let folder = path.and_then(|path| path.parent().map(PathBuf::from));
    folder.into_iter().collect()
}

fn answer(gate: Option<Gate>, ran: &Ran) -> Answer {
    match ran.said(gate.is_some()) {
        Said::Ok => match gate.map(|_| Terms::read(&ran.answer)) {
            None => Answer::Ok(Terms::default()),
            Some(Ok(terms)) => Answer::Ok(terms),
            Some(Err(why)) => Answer::Failed(format!("its answer cannot be read: {why}")),
        },
        Said::Refused(why) => Answer::Refused(why),
        Said::Later(why) => Answer::Later(why),
        Said::Failed(why) => Answer::Failed(why),
        Said::Stopped => Answer::Stopped,
    }
}

impl Answer {
    /// In a word.
    pub(super) fn outcome(&self) -> &'static str {
        match self {
            Self::Ok(_) => "ok",
            Self::Refused(_) => "refused",
            Self::Later(_) => "later",
            Self::Failed(_) => "failed",
            Self::Stopped => "stopped",
        }
    }

    /// Why it is not ok.
    pub(super) fn reason(&self) -> Option<String> {
        match self {
            Self::Refused(why) | Self::Later(why) | Self::Failed(why) => Some(why.clone()),
            Self::Ok(_) | Self::Stopped => None,
        }
    }
}

/// Output goes to the log line by line, with hook, event and item.
pub(super) fn log(run: &HookRun, answer: &Answer) {
    let (hook, event) = (run.hook.as_str(), run.event.as_str());
    let item = run.info_hash.map(tracing::field::display);
    let lines: Vec<&str> = run.tail.lines().collect();
    let skipped = lines.len().saturating_sub(LOGGED);
    for line in &lines[skipped..] {
        tracing::info!(hook, event, item, "{event} {hook}: {line}");
    }
    match answer {
        Answer::Failed(why) => tracing::warn!(hook, event, item, "{event} {hook} failed: {why}"),
        Answer::Refused(why) => tracing::info!(hook, event, item, "{event} {hook} refused: {why}"),
        Answer::Later(why) => tracing::info!(hook, event, item, "{event} {hook}: {why}"),
        Answer::Ok(_) | Answer::Stopped => {
            tracing::debug!(hook, event, item, "{event} {hook} {}", run.outcome);
        }
    }
}
