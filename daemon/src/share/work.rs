//! Entries on their way from rest to item: hashed, held, kept.

use std::path::PathBuf;
use std::time::Instant;

use super::catalogue::{Admitted, NotAdmitted};
use super::folder::Folder;
use super::hashing::{Job, Unhashed};
use super::holder::Holder;
use super::settle::{Failure, News};

/// Entries on their way at once.
const AT_ONCE: usize = 32;

/// An entry that was on its way, what it looked like, and what it became.
pub(super) type Done = (PathBuf, [u8; 20], Result<Admitted, NotAdmitted>);

impl<H: Holder> Folder<H> {
    /// Starts what is at rest on its way.
    pub(super) fn dispatch(&mut self) {
        while self.jobs.len() < AT_ONCE
            && let Some((entry, stamp)) = self.ready.pop_front()
        {
            let options = &self.catalogue.row.options;
            let job = Job {
                root: self.base.clone(),
                device: self.device,
                each: self.view_each(),
                rules: self.rules.clone(),
                reader: self.catalogue.reader(),
                entry: entry.clone(),
                stamp,
                name: self.catalogue.torrent_name(&entry),
                piece_len: options.piece_len,
                private: self.catalogue.private(),
                activity: self.activity.clone(),
            };
            self.busy.insert(entry.clone(), false);
            let admitted = self.catalogue.clone().admit(job, self.mail.clone());
            self.jobs
                .spawn(async move { (entry, stamp, admitted.await) });
        }
    }

    pub(super) async fn finish(&mut self, done: Vec<Done>) {
        let mut again = Vec::new();
        for (entry, stamp, result) in done {
            let stale = self.busy.remove(&entry).unwrap_or(false);
            let mut retry = stale;
            match result {
                Ok(Admitted {
                    known,
                    unserved,
                    expected,
                }) => {
                    self.settle.decided(&entry);
                    let item = Some(known.info_hash);
                    match unserved {
                        None => self.emit("share.added", item, &entry, "is seeded"),
                        Some(why) => self.emit(
                            "share.error",
                            item,
                            &entry,
                            &format!("is not seeded: {why}"),
                        ),
                    }
                    self.insert(entry.clone(), known);
                    if let Some(outcome) = expected.outcome() {
                        self.hear(known.info_hash, outcome);
                    }
                    self.publish_if_passed(&entry, &known).await;
                }
                Err(NotAdmitted::Unhashed(Unhashed::Unfit(why))) => {
                    self.settle.decided(&entry);
                    self.emit(
                        "share.error",
                        None,
                        &entry,
                        &format!("cannot be shared: {why}"),
                    );
                    self.unfit.insert(entry.clone(), (stamp, why));
                }
                Err(NotAdmitted::Unhashed(Unhashed::Stopped)) => {}
                Err(NotAdmitted::Unhashed(Unhashed::Unread(why))) => {
                    let text = format!("waits: {why}");
                    self.emit("share.error", None, &entry, &text);
                    self.settle
                        .failed(entry.clone(), stamp, Failure::Unread, Instant::now());
                    retry = true;
                }
                Err(NotAdmitted::Unhashed(Unhashed::Restless | Unhashed::Gone)) => {
                    self.settle.restless(entry.clone(), Instant::now());
                    retry = true;
                }
                Err(NotAdmitted::Fault(fault)) => {
                    let text = format!("waits: {fault}");
                    self.emit("share.error", None, &entry, &text);
                    self.settle
                        .failed(entry.clone(), stamp, Failure::Fault, Instant::now());
                    retry = true;
                }
            }
            if retry {
                again.push(entry);
            }
        }
        if !again.is_empty() {
            self.look(
                again
                    .into_iter()
                    .map(|entry| (entry, News::Found))
                    .collect(),
                false,
            )
            .await;
        }
    }

    /// The share ends: nothing is begun any more, and what came through is an entry like the others.
    pub(super) async fn drop_jobs(&mut self) {
        self.ready.clear();
        self.activity.end();
        while let Some(joined) = self.jobs.join_next().await {
            if let Ok((entry, _, Ok(admitted))) = joined {
                self.insert(entry, admitted.known);
            }
        }
        self.busy.clear();
    }
}
