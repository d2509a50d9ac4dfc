//! `hooks`: the programs that p2pd runs at events and asks at gates.

use clap::Subcommand;
use p2p_wire::control::{ErrorKind, Hook, HookRun, HooksLog, HooksRun};

use crate::context::Context;
use crate::error::Error;
use crate::human;
use crate::rows::short;
use crate::table::{Columns, Paint};
use crate::text;

/// Arguments of `hooks`.
#[derive(Debug, Subcommand)]
pub(crate) enum Hooks {
    /// List what lies in the hook folders, and why something is not run
    Ls,
    /// Run the hooks of an event or gate now; what a gate answers changes nothing
    Run {
        /// Such as item.finished or pre-release
        event: String,
        /// The item: its hash, a prefix of 4 or more digits, or its name
        #[arg(value_name = "HASH")]
        item: String,
    },
    /// List the last runs, the newest first
    Log {
        /// At most so many
        #[arg(short = 'n', value_name = "N")]
        lines: Option<u32>,
    },
}

impl Hooks {
    /// Lists, runs, or shows how it went.
    pub(crate) fn run(self, context: &Context) -> Result<(), Error> {
        let mut client = context.connect()?;
        match self {
            Self::Ls => {
                let hooks: Vec<Hook> = client.call("hooks.list", ())?;
                context.out.list(&hooks, &columns())?;
                if hooks.is_empty() && context.human() {
                    context
                        .out
                        .talk("No hooks. docs/hooks.md says how to write one.");
                }
                Ok(())
            }
            Self::Run { event, item } => {
                let runs: Vec<HookRun> = client.call("hooks.run", HooksRun { event, item })?;
                if context.human() {
                    for run in &runs {
                        context.out.lines(&told(run))?;
                    }
                } else {
                    context.out.list(&runs, &runs_columns())?;
                }
                failed(&runs)
            }
            Self::Log { lines } => {
                let runs: Vec<HookRun> = client.call("hooks.log", HooksLog { limit: lines })?;
                context.out.list(&runs, &runs_columns())?;
                if runs.is_empty() && context.human() {
                    context.out.talk("No hook has run yet.");
                }
                Ok(())
            }
        }
    }
}

/// The exit code that the runs come to: a refusal is one, so is a failure.
fn failed(runs: &[HookRun]) -> Result<(), Error> {
    let is = |outcome: &str| runs.iter().any(|run| run.outcome == outcome);
    if is("refused") {
        Err(Error::Quiet(ErrorKind::Refused as u8))
    } else if runs.iter().all(|run| run.outcome == "ok") {
        Ok(())
    } else {
        Err(Error::Quiet(ErrorKind::Failed as u8))
    }
}

/// A run in a sentence, then what it printed.
fn told(run: &HookRun) -> Vec<String> {
    let took = human::millis(run.took_ms);
    let mut said = format!("{} {}: {} after {took}", run.event, run.hook, run.outcome);
    if let Some(reason) = &run.reason {
        said = format!("{said}: {reason}");
    }
    let printed = run.tail.lines().map(|line| format!("  {line}"));
    std::iter::once(said).chain(printed).collect()
}

fn columns() -> Columns<'static, Hook> {
    Columns::new()
        .left("event", "EVENT", |h: &Hook| h.event.clone())
        .left("name", "HOOK", |h| h.name.clone())
        .left("state", "STATE", |h| h.state.clone())
        .left("path", "PATH", |h| {
            h.path.as_ref().map_or_else(String::new, text::show_path)
        })
        .left("reason", "REASON", |h| h.reason.clone().unwrap_or_default())
        .paint(|h| match h.state.as_str() {
            "refused" => Paint::Bad,
            "masked" => Paint::Dim,
            _ => Paint::Plain,
        })
}

fn runs_columns() -> Columns<'static, HookRun> {
    Columns::new()
        .left("time", "TIME", |r: &HookRun| human::local_time(&r.time))
        .left("event", "EVENT", |r| r.event.clone())
        .left("hook", "HOOK", |r| r.hook.clone())
        .left("outcome", "OUTCOME", |r| r.outcome.clone())
        .right("exit", "EXIT", |r| {
            r.exit
                .map_or_else(|| "-".to_owned(), |code| code.to_string())
        })
        .right("took_ms", "TOOK", |r| human::millis(r.took_ms))
        .left("info_hash", "HASH", |r| {
            r.info_hash.as_ref().map_or_else(String::new, short)
        })
        .left("name", "NAME", |r| r.name.clone().unwrap_or_default())
        .left("reason", "REASON", |r| r.reason.clone().unwrap_or_default())
        .left("tail", "PRINTED", |r| {
            let last = r.tail.lines().rfind(|line| !line.trim().is_empty());
            last.unwrap_or_default().chars().take(60).collect()
        })
        .paint(|r| match r.outcome.as_str() {
            "ok" => Paint::Plain,
            _ => Paint::Bad,
        })
}
