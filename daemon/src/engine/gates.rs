//! Items that a gate holds: dormant, not announced, not served, until the gate lets them pass or someone decides.
//!
//! A hold is in the journal of the hooks before anything else is done, and its question is asked by a task of its own, which outlives no
//! item: the registry only hears what came of it. After a restart what was not answered is asked again.

use std::sync::Arc;
use std::time::Duration;

use p2p_wire::InfoHash;
use p2p_wire::control::{ErrorKind, Item};
use p2p_wire::metainfo::File;
use tokio::sync::oneshot;

use super::registry::{Command, Registry};
use super::row::{Row, Slot};
use super::{Ctx, NewItem, Place, view};
use crate::Fault;
use crate::hooks::{Gate, Hold, HoldVerdict, Hooks, Terms, Verdict};
use crate::resume::{Record, Site};

/// A gate that says "later" is asked again after this, then after twice that,
const FIRST_WAIT: Duration = Duration::from_secs(60);
/// and so on up to this.
const LONGEST_WAIT: Duration = Duration::from_secs(3_600);
/// Files of an item that a gate is told of at most.
const MOST_FILES: usize = 10_000;

impl Row {
    /// A gate stands before it.
    pub(super) fn is_held(&self) -> bool {
        let held = |hold: &Hold| hold.verdict != HoldVerdict::Allowed;
        self.hold.as_deref().is_some_and(held)
    }

    /// It may be put at its place.
    pub(super) fn is_released(&self) -> bool {
        self.hold.is_some() && !self.is_held()
    }
}

/// Holds a new item if a gate wants to be asked about it; the hold is on disk when this returns.
pub(super) async fn hold_new(ctx: &Ctx, new: &NewItem) -> Result<Option<Hold>, Fault> {
    let gate = match (&new.place, &new.share) {
        (Place::Download(_) | Place::Existing(_), _) => Gate::PreAdd,
        (Place::Hashed(..), Some(_)) => Gate::PrePublish,
        (Place::Hashed(..), None) => return Ok(None),
    };
    let Some(hooks) = &ctx.hooks else {
        return Ok(None);
    };
    if !hooks.has(gate).await {
        return Ok(None);
    }
    let hold = Hold::new(gate);
    let kept = hooks.hold(new.info_hash(), hold.clone()).await;
    kept.map_err(|error| {
        let what = format!("cannot hold {} for {}", new.info_hash(), gate.name());
        Fault::new(ErrorKind::Disk, what, error.to_string(), "try again")
    })?;
    Ok(Some(hold))
}

/// Forgets a hold; that it stays is tried again with the next item of this hash, or at the next start.
pub(super) fn release(ctx: &Arc<Ctx>, item: InfoHash) {
    let Some(hooks) = ctx.hooks.clone() else {
        return;
    };
    tokio::spawn(async move {
        if let Err(error) = hooks.release(item).await {
            tracing::warn!(%item, "a hold cannot be forgotten: {error}");
        }
    });
}

impl Registry {
    /// Has the gate asked that holds a dormant item.
    pub(super) fn question(&mut self, item: InfoHash) {
        let Some(row) = self.rows.get(&item) else {
            return;
        };
        let (Some(hold), Some(hooks), Slot::Dormant(record)) =
            (&row.hold, &self.ctx.hooks, &row.slot)
        else {
            return;
        };
        if hold.verdict == HoldVerdict::Asking {
            let question = Question {
                ctx: self.ctx.clone(),
                hooks: hooks.clone(),
                item,
                hold: Hold::clone(hold),
                shown: view::item(item, record, &row.live()),
            };
            tokio::spawn(question.ask());
        }
    }

    /// The content is complete: the gate before its release holds it.
    pub(super) fn hold_release(&mut self, item: InfoHash) {
        if let Some(row) = self.rows.get_mut(&item) {
            row.hold = Some(Box::new(Hold::new(Gate::PreRelease)));
        }
        self.question(item);
    }

    /// Someone wants it to be thought over: a gate that did not allow is asked anew.
    pub(super) fn ask_anew(&mut self, item: InfoHash) {
        let hold = self.rows.get_mut(&item).and_then(|row| row.hold.as_mut());
        let answered =
            |hold: &&mut Box<Hold>| hold.verdict != HoldVerdict::Allowed && !hold.by.is_empty();
        if let Some(hold) = hold.filter(answered) {
            **hold = Hold::new(hold.gate);
            self.question(item);
        }
    }

    /// What came of a question; true if it still mattered.
    pub(super) fn answered(
        &mut self,
        item: InfoHash,
        hold: Hold,
        terms: Terms,
        reply: oneshot::Sender<bool>,
    ) {
        let row = self.rows.get_mut(&item).filter(|row| {
            let asked = row.hold.as_ref().map(|hold| &hold.event_id);
            asked == Some(&hold.event_id)
        });
        // The question may have ended with the daemon.
        let _ = reply.send(row.is_some());
        let Some(row) = row else {
            let held = self.rows.get(&item).map(|row| row.hold.is_some());
            if held != Some(true) {
                release(&self.ctx, item);
            }
            return;
        };
        if row.hold.as_deref() == Some(&hold) {
            return;
        }
        let text = hold.text();
        let (gate, verdict) = (hold.gate, hold.verdict);
        row.hold = match (verdict, gate) {
            // Until it is at its place.
            (HoldVerdict::Allowed, Gate::PreRelease) => Some(Box::new(hold)),
            (HoldVerdict::Allowed, _) => None,
            _ => Some(Box::new(hold)),
        };
        if verdict == HoldVerdict::Allowed {
            self.pass(item, gate, terms);
        } else {
            self.tell_held(item, &text);
            self.show(item);
        }
    }

    fn pass(&mut self, item: InfoHash, gate: Gate, terms: Terms) {
        if let Some(row) = self.rows.get_mut(&item)
            && let Slot::Dormant(record) = &mut row.slot
            && gate == Gate::PreAdd
        {
            record.paused |= terms.pause;
            if let (Site::Staged(_), Some(dir)) = (&record.site, terms.dir) {
                record.site = Site::Staged(dir);
            }
            self.ctx.store.put(item, record);
        }
        if let Some(Slot::Dormant(record)) = self.rows.get(&item).map(|row| &row.slot)
            && gate != Gate::PreRelease
        {
            self.tell_added(item, record);
        }
        self.settle(item);
    }

    /// Says that an item came.
    pub(super) fn tell_added(&self, item: InfoHash, record: &Record) {
        let name = Some(record.name.as_str());
        let text = format!("{} added", record.name);
        self.ctx.events.emit("item.added", Some(item), name, text);
        if !record.is_complete() && !record.paused {
            let text = format!("{} starts", record.name);
            self.ctx.events.emit("item.started", Some(item), name, text);
        }
    }

    fn tell_held(&self, item: InfoHash, why: &str) {
        if let Some(Slot::Dormant(record)) = self.rows.get(&item).map(|row| &row.slot) {
            let name = Some(record.name.as_str());
            let text = format!("{} is held: {why}", record.name);
            self.ctx.events.emit("item.held", Some(item), name, text);
        }
    }
}

/// One question, until it is answered for good.
struct Question {
    ctx: Arc<Ctx>,
    hooks: Hooks,
    item: InfoHash,
    hold: Hold,
    shown: Item,
}

impl Question {
    async fn ask(mut self) {
        let mut wait = FIRST_WAIT;
        if self.hooks.hold(self.item, self.hold.clone()).await.is_err() {
            // Without it on the disk the next start asks again, which is as well.
            tracing::warn!(item = %self.item, "that it is held cannot be written down");
        }
        let files = self.files().await;
        loop {
            let (gate, id) = (self.hold.gate, self.hold.event_id.clone());
            let asked = (self.hooks).ask(gate, &id, self.shown.clone(), files.clone());
            let verdict = self.without(asked.await, files.as_deref());
            if verdict == Verdict::Stopped || !self.conclude(verdict).await {
                return;
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
            if !self.tell(Terms::default()).await {
                return;
            }
        }
    }

    /// The paths of the item's files, where they are known and not too many.
    async fn files(&self) -> Option<Vec<String>> {
        let metainfo = self.ctx.store.metainfo(self.item).await.ok().flatten()?;
        let files = metainfo.info.files().iter().filter(|file| !file.padding);
        let skip = usize::from(!metainfo.info.single_file());
        let path = |file: &File| file.path.get(skip..).unwrap_or_default().join("/");
        let paths: Vec<String> = files.map(path).collect();
        (paths.len() <= MOST_FILES).then_some(paths)
    }

    /// The verdict once files are left out as it wants: the share makes another item without them, and this one is held until then.
    fn without(&self, verdict: Verdict, files: Option<&[String]>) -> Verdict {
        let Verdict::Pass(terms) = &verdict else {
            return verdict;
        };
        if terms.leave_out.is_empty() || self.hold.gate != Gate::PrePublish {
            return verdict;
        }
        let by = String::from("a hook");
        let (Ok(globs), Some(files)) = (view::globs(&terms.leave_out), files) else {
            let reason = "what it leaves out cannot be read".to_owned();
            return Verdict::Refused { by, reason };
        };
        let is_out = |path: &&String| {
            let name = path.rsplit('/').next().unwrap_or_default();
            globs.is_match(path.as_str()) || globs.is_match(name)
        };
        let out: Vec<String> = files.iter().filter(is_out).cloned().collect();
        if out.is_empty() {
            return verdict;
        }
        if out.len() == files.len() {
            let reason = "it leaves out every file".to_owned();
            return Verdict::Refused { by, reason };
        }
        let reason = format!("leaves out {} of {} files", out.len(), files.len());
        self.hooks.leave_out(self.item, out);
        Verdict::Later { by, reason }
    }

    /// Tells what came of it and keeps that. True if it is to be asked again.
    async fn conclude(&mut self, verdict: Verdict) -> bool {
        let mut allowed = None;
        (self.hold.verdict, self.hold.by, self.hold.reason) = match verdict {
            Verdict::Pass(terms) => {
                allowed = Some(terms);
                (HoldVerdict::Allowed, String::new(), String::new())
            }
            Verdict::Refused { by, reason } => (HoldVerdict::Refused, by, reason),
            Verdict::Later { by, reason } => (HoldVerdict::Asking, by, reason),
            Verdict::Stopped => return false,
        };
        let passes = allowed.is_some();
        if !self.tell(allowed.unwrap_or_default()).await {
            return false;
        }
        if passes && self.hold.gate != Gate::PreRelease {
            // Forgotten only after the terms it was allowed on are kept.
            self.ctx.store.flush().await;
            release(&self.ctx, self.item);
            if self.hold.gate == Gate::PrePublish {
                self.hooks.passed(self.item);
            }
        } else if let Err(error) = self.hooks.answered(self.item, self.hold.clone()).await {
            // The next start asks again, which is as well.
            tracing::warn!(item = %self.item, "what a gate said cannot be kept: {error}");
        }
        self.hold.verdict == HoldVerdict::Asking
    }

    /// False when nobody is interested any more.
    async fn tell(&self, terms: Terms) -> bool {
        let Some(commands) = self.ctx.commands.upgrade() else {
            return false;
        };
        let (reply, matters) = oneshot::channel();
        let told = Command::Answered(self.item, self.hold.clone(), terms, reply);
        commands.send(told).await.is_ok() && matters.await.unwrap_or(false)
    }
}
