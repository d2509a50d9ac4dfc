//! Questions: a gate is asked about an item, hook by hook, until one does not allow.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::PoisonError;

use p2p_wire::InfoHash;
use p2p_wire::control::{ErrorKind, Item};
use serde::Deserialize;
use tokio::sync::watch;

use super::event::{Body, Gate, new_id};
use super::hold::Hold;
use super::run::Answer;
use super::{Hooks, Inner};
use crate::Fault;
use crate::state::StateError;

/// What a gate allows more exactly: JSON that a hook writes into the file `answer` in its folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Terms {
    /// `pre-add`: add it, but paused.
    pub pause: bool,
    /// `pre-add`: fetch it into this folder.
    pub dir: Option<PathBuf>,
    /// `pre-publish`: globs of files that are left out of a folder, matched as `--only` is.
    pub leave_out: Vec<String>,
}

impl Terms {
    /// Reads an answer; an empty one has no terms.
    pub(super) fn read(answer: &[u8]) -> Result<Self, String> {
        if answer.is_empty() {
            return Ok(Self::default());
        }
        let terms: Self = serde_json::from_slice(answer).map_err(|error| error.to_string())?;
        terms.checked()
    }

    /// The terms, if the folder is an absolute path.
    pub(super) fn checked(self) -> Result<Self, String> {
        match &self.dir {
            Some(dir) if !dir.is_absolute() => {
                Err(format!("{} is not an absolute path", dir.display()))
            }
            _ => Ok(self),
        }
    }

    fn and(self, other: Self) -> Self {
        Self {
            pause: self.pause || other.pause,
            dir: other.dir.or(self.dir),
            leave_out: [self.leave_out, other.leave_out].concat(),
        }
    }
}

/// What all hooks of a gate together say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may pass.
    Pass(Terms),
    /// It may not.
    Refused {
        /// The hook.
        by: String,
        /// What it said, or why it failed.
        reason: String,
    },
    /// To be asked again.
    Later {
        /// The hook.
        by: String,
        /// What it said.
        reason: String,
    },
    /// p2pd stops: to be asked after the next start.
    Stopped,
}

impl Hooks {
    /// Whether anybody wants to be asked.
    pub async fn has(&self, gate: Gate) -> bool {
        !self.inner.hooks_of(gate.name()).await.is_empty()
    }

    /// Asks the hooks of a gate in their order; the first that does not allow decides. `event_id` tells them of a question that they may
    /// have heard before; `files` are the item's, where they are known.
    pub async fn ask(
        &self,
        gate: Gate,
        event_id: &str,
        item: Item,
        files: Option<Vec<String>>,
    ) -> Verdict {
        let inner = &self.inner;
        let id = event_id.to_owned();
        let mut body = Body::of_gate(gate.name(), id, item, inner.about.clone());
        body.files = files;
        let mut terms = Terms::default();
        for hook in inner.hooks_of(gate.name()).await {
            let (run, answer) = inner.run(&hook, &body).await;
            if answer == Answer::Stopped {
                return Verdict::Stopped;
            }
            inner.keep(&run).await;
            match inner.judge(hook.name(), answer) {
                Ok(more) => terms = terms.and(more),
                Err(verdict) => return verdict,
            }
        }
        Verdict::Pass(terms)
    }

    /// Asks once, for a command that waits for the answer: what is not allowed is an error.
    pub async fn ask_now(&self, gate: Gate, item: Item) -> Result<(), Fault> {
        let what = match gate {
            Gate::PreRemoveData => format!("the data of {} is not deleted", item.name),
            _ => format!("{} may not be published", item.name),
        };
        let gate_name = gate.name();
        match self.ask(gate, &new_id(), item, None).await {
            Verdict::Pass(_) => Ok(()),
            Verdict::Refused { by, reason } => Err(Fault::new(
                ErrorKind::Refused,
                what,
                format!("{gate_name} {by} refused: {reason}"),
                "See what it printed:  p2pctl hooks log",
            )),
            Verdict::Later { by, reason } => Err(Fault::new(
                ErrorKind::Refused,
                what,
                format!("{gate_name} {by} is not ready: {reason}"),
                "Try again later",
            )),
            Verdict::Stopped => Err(Fault::new(
                ErrorKind::Refused,
                what,
                "p2pd stops",
                "Try again when it runs",
            )),
        }
    }

    /// What gates held or let pass when the daemon ended. What cannot be read is an error: nothing may be served that a gate holds.
    pub async fn holds(&self) -> Result<Vec<(InfoHash, Hold)>, StateError> {
        self.inner.journal.holds().await
    }

    /// Writes a hold down.
    pub async fn hold(&self, item: InfoHash, hold: Hold) -> Result<(), StateError> {
        self.inner.journal.hold(item, hold).await
    }

    /// Writes down what came of a question, if that is the one still asked.
    pub async fn answered(&self, item: InfoHash, hold: Hold) -> Result<(), StateError> {
        self.inner.journal.answered(item, hold).await
    }

    /// Nothing holds the item any more.
    pub async fn release(&self, item: InfoHash) -> Result<(), StateError> {
        self.inner.journal.release(item).await
    }

    /// Keeps these files of an item out of its share: the share takes them from [`Hooks::take_left_out`].
    pub fn leave_out(&self, item: InfoHash, files: Vec<String>) {
        self.left_out().insert(item, files);
        self.inner.passes.send_modify(|count| *count += 1);
    }

    /// The files that a gate wants left out of an item.
    pub fn take_left_out(&self, item: InfoHash) -> Option<Vec<String>> {
        self.left_out().remove(&item)
    }

    fn left_out(&self) -> std::sync::MutexGuard<'_, HashMap<InfoHash, Vec<String>>> {
        let left_out = self.inner.left_out.lock();
        left_out.unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that the gate let an entry of a share pass: the share takes it from [`Hooks::take_passed`].
    pub fn passed(&self, item: InfoHash) {
        let passed = self.inner.passed.lock();
        passed.unwrap_or_else(PoisonError::into_inner).insert(item);
        self.inner.passes.send_modify(|count| *count += 1);
    }

    /// Whether a gate let the item pass, told once.
    pub fn take_passed(&self, item: InfoHash) -> bool {
        let passed = self.inner.passed.lock();
        passed.unwrap_or_else(PoisonError::into_inner).remove(&item)
    }

    /// Changes whenever there is something to take.
    pub fn passes(&self) -> watch::Receiver<u64> {
        self.inner.passes.subscribe()
    }
}

impl Inner {
    fn judge(&self, by: String, answer: Answer) -> Result<Terms, Verdict> {
        match answer {
            Answer::Ok(terms) => Ok(terms),
            Answer::Failed(_) if self.failed_gate_allows() => Ok(Terms::default()),
            Answer::Refused(reason) => Err(Verdict::Refused { by, reason }),
            Answer::Failed(why) => {
                let reason = format!("the hook failed: {why}");
                Err(Verdict::Refused { by, reason })
            }
            Answer::Later(reason) => Err(Verdict::Later { by, reason }),
            Answer::Stopped => Err(Verdict::Stopped),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_json_or_nothing() {
        assert_eq!(Terms::read(b""), Ok(Terms::default()));
        assert!(Terms::read(b"looks good").is_err());
        let terms = Terms::read(br#"{"pause": true, "dir": "/srv/iso"}"#).unwrap();
        assert_eq!((terms.pause, terms.dir), (true, Some("/srv/iso".into())));
        assert!(Terms::read(br#"{"dir": "iso"}"#).is_err());
        assert!(Terms::read(br#"{"paus": true}"#).is_err());
    }
}
