//! What changes an item: done to its record, between two lives of its task.

use std::path::PathBuf;

use p2p_wire::InfoHash;
use p2p_wire::control::{ErrorKind, Item, State};
use tokio::sync::oneshot;

use super::asker::Asker;
use super::registry::{Command, Registry, join, no_such};
use super::row::Slot;
use super::standing::Standing;
use super::torrent::{Command as ToTorrent, apply};
use super::{AnnounceCommand, Change, Ctx, FileStamp, ItemSetting, view};
use crate::Fault;
use crate::hooks::{Gate, Hold};
use crate::resume::{Check, Have, Record, Site, written};
use crate::storage::{self, Lane, StorageError, TreeSpec};

pub(super) type Reply = oneshot::Sender<Result<Item, Fault>>;

/// A change of one item. None is lost: what waits for an item that goes is refused.
pub(super) enum Op {
    Pause(Reply),
    Resume(Reply),
    Verify(Reply),
    Set(ItemSetting, Reply),
    /// Further announce URLs.
    Join(Vec<Vec<String>>),
    Remove(bool, Reply),
    MoveTo(PathBuf, Reply),
    Relocate(PathBuf, Vec<FileStamp>, oneshot::Sender<Result<(), Fault>>),
}

impl Op {
    /// Answers that it cannot be done.
    pub(super) fn refuse(self, fault: Fault) {
        match self {
            Self::Pause(reply) | Self::Resume(reply) | Self::Verify(reply) => {
                drop(reply.send(Err(fault)));
            }
            Self::Set(_, reply) | Self::Remove(_, reply) | Self::MoveTo(_, reply) => {
                drop(reply.send(Err(fault)));
            }
            Self::Relocate(_, _, reply) => drop(reply.send(Err(fault))),
            // Nobody waits.
            Self::Join(_) => {}
        }
    }
}

impl Registry {
    /// Queues a change; an awake item sleeps for it.
    pub(super) fn op(&mut self, item: InfoHash, op: Op) {
        let Some(row) = self.rows.get_mut(&item) else {
            op.refuse(no_such(item));
            return;
        };
        // What waits there would go on with it.
        let wakes = |op: &Op| matches!(op, Op::Resume(_) | Op::Verify(_));
        let may_pause = matches!(row.slot, Slot::Awake(_)) && !row.queue.iter().any(wakes);
        let op = match op {
            Op::Pause(reply) if may_pause => {
                self.pause_awake(item, reply);
                return;
            }
            op => op,
        };
        row.queue.push_back(op);
        match &row.slot {
            Slot::Awake(task) => {
                let task = task.clone();
                // Waits where the channel is full; the torrent takes it in its turn.
                tokio::spawn(async move { task.send(ToTorrent::Stop).await });
            }
            Slot::Dormant(_) => self.settle(item),
            Slot::Busy(_) => {}
        }
    }

    /// Pauses an item that is awake: its peers and trackers are left at once, and its task sleeps when its disk lets it.
    fn pause_awake(&mut self, item: InfoHash, reply: Reply) {
        let Some(row) = self.rows.get_mut(&item) else {
            return;
        };
        row.verify = false;
        if std::mem::take(&mut row.announced) {
            self.announces.push(AnnounceCommand::Stop(item));
            self.changes.push(Change::Gone(item));
        }
        self.deliver(item, ToTorrent::Pause(reply));
    }

    /// Does a change to a dormant item.
    pub(super) fn execute(&mut self, item: InfoHash, op: Op) {
        let Some(row) = self.rows.get_mut(&item) else {
            op.refuse(no_such(item));
            return;
        };
        let held = row.is_held();
        let Slot::Dormant(record) = &mut row.slot else {
            row.queue.push_front(op);
            return;
        };
        match op {
            Op::Pause(reply) => {
                row.verify = false;
                if !record.paused {
                    record.paused = true;
                    self.ctx.store.put(item, record);
                    self.tell(item, "item.paused", "paused");
                }
                self.reply(item, reply);
            }
            Op::Resume(reply) => {
                if record.paused || row.fault.is_some() {
                    record.paused = false;
                    row.fault = None;
                    self.ctx.store.put(item, record);
                    self.tell(item, "item.resumed", "resumed");
                }
                self.ask_anew(item);
                self.reply(item, reply);
            }
            Op::Verify(reply) => {
                if record.layout.is_none() {
                    let fault = Fault::new(
                        ErrorKind::Conflict,
                        format!("cannot verify {}", record.name),
                        "its metadata is not known yet",
                        "wait until a peer has sent it",
                    );
                    drop(reply.send(Err(fault)));
                    return;
                }
                if held {
                    // It would take part in its swarm when it has been read.
                    let fault = Fault::new(
                        ErrorKind::Conflict,
                        format!("cannot verify {}", record.name),
                        "a gate holds it",
                        "see `p2pctl hooks log`; `p2pctl resume` has the gate asked again",
                    );
                    drop(reply.send(Err(fault)));
                    return;
                }
                record.check = Check::All;
                record.suspect = Have::Nothing;
                row.fault = None;
                row.verify = true;
                row.bad_pieces = None;
                self.ctx.store.put(item, record);
                self.changes.push(Change::Reset(item));
                self.reply(item, reply);
            }
            Op::Set(setting, reply) => {
                apply(record, setting);
                self.ctx.store.put(item, record);
                self.reply(item, reply);
            }
            Op::Join(tiers) => {
                if join(&mut record.trackers, tiers) {
                    let tiers = record.trackers.clone();
                    self.ctx.store.put(item, record);
                    self.join(item, tiers);
                }
            }
            Op::Relocate(path, stamps, reply) => {
                record.site = Site::Foreign(path);
                record.stamps = stamps.into_iter().map(Some).collect();
                record.clean = true;
                record.check = Check::No;
                record.suspect = Have::Nothing;
                row.fault = None;
                self.ctx.store.put(item, record);
                let _ = reply.send(Ok(()));
            }
            Op::Remove(delete, reply) => self.remove(item, delete, reply),
            Op::MoveTo(dir, reply) => self.move_to(item, dir, reply),
        }
    }

    fn tell(&self, item: InfoHash, topic: &str, what: &str) {
        if let Some(Slot::Dormant(record)) = self.rows.get(&item).map(|row| &row.slot) {
            let name = Some(record.name.as_str());
            let text = format!("{} {what}", record.name);
            self.ctx.events.emit(topic, Some(item), name, text);
        }
    }

    fn reply(&self, item: InfoHash, reply: Reply) {
        let shown = self.rows.get(&item).and_then(|row| match &row.slot {
            Slot::Dormant(record) => Some(view::item(item, record, &row.live())),
            _ => None,
        });
        let _ = reply.send(shown.ok_or_else(|| no_such(item)));
    }

    /// Takes a dormant item's record out for work beside the registry.
    pub(super) fn take_out(&mut self, item: InfoHash) -> Option<(Box<Record>, Item)> {
        let row = self.rows.get_mut(&item)?;
        match std::mem::replace(&mut row.slot, Slot::Busy(None)) {
            Slot::Dormant(record) => {
                let shown = view::item(item, &record, &row.live());
                row.slot = Slot::Busy(Some(Box::new(shown.clone())));
                Some((record, shown))
            }
            other => {
                row.slot = other;
                None
            }
        }
    }

    fn remove(&mut self, item: InfoHash, delete: bool, reply: Reply) {
        let Some((record, shown)) = self.take_out(item) else {
            let _ = reply.send(Err(no_such(item)));
            return;
        };
        let ctx = self.ctx.clone();
        let mut asker = Asker::new(format!("cannot delete {}", record.name), reply);
        tokio::spawn(async move {
            if delete && let Err(fault) = may_delete(&ctx, &shown).await {
                give_back(&ctx, item, Some(record)).await;
                asker.answer(Err(fault));
                return;
            }
            let deleted = match delete {
                true => delete_data(&ctx, item, &record, &mut asker).await,
                false => Ok(()),
            };
            let forgotten = match deleted {
                Ok(()) => ctx.store.remove(item).await.map_err(|error| {
                    let what = format!("cannot remove {}", record.name);
                    Fault::new(ErrorKind::Failed, what, error.to_string(), "try again")
                }),
                Err(error) => Err(disk_fault(&asker.what, &error)),
            };
            let answer = match forgotten {
                Ok(()) => {
                    forget_written(&ctx, item).await;
                    let text = format!("{} removed", record.name);
                    let name = Some(record.name.as_str());
                    ctx.events.emit("item.removed", Some(item), name, text);
                    ctx.events.forget(item);
                    give_back(&ctx, item, None).await;
                    Ok(shown)
                }
                Err(fault) => {
                    give_back(&ctx, item, Some(record)).await;
                    Err(fault)
                }
            };
            asker.answer(answer);
        });
    }
}

/// Removes the log of the pieces that were written of an item.
async fn forget_written(ctx: &Ctx, item: InfoHash) {
    let state = ctx.store.dir().to_owned();
    if let Ok(disk) = ctx.disks.at(&state).await {
        // What stays of it is hashed before it is believed.
        let forget = move || Ok(written::forget(&state, item).is_ok());
        let _ = disk.run(Lane::Sync, forget).await;
    }
}

pub(super) async fn give_back(ctx: &Ctx, item: InfoHash, record: Option<Box<Record>>) {
    if let Some(commands) = ctx.commands.upgrade() {
        let _ = commands.send(Command::Back(item, record)).await;
    }
}

/// Asks the gate before data is deleted, if there is one; the item looks held meanwhile.
async fn may_delete(ctx: &Ctx, shown: &Item) -> Result<(), Fault> {
    let gate = Gate::PreRemoveData;
    let Some(hooks) = &ctx.hooks else {
        return Ok(());
    };
    if !hooks.has(gate).await {
        return Ok(());
    }
    if let Some(commands) = ctx.commands.upgrade() {
        let held = Item {
            state: State::Held,
            reason: Some(Hold::new(gate).text()),
            ..shown.clone()
        };
        let _ = commands.send(Command::Looks(Box::new(held))).await;
    }
    hooks.ask_now(gate, shown.clone()).await
}

/// Deletes what p2pd fetched of an item; what it found is left alone.
async fn delete_data(
    ctx: &Ctx,
    item: InfoHash,
    record: &Record,
    asker: &mut Asker,
) -> Result<(), StorageError> {
    let stage = view::stage(record, item);
    let (site, only) = (record.site.clone(), record.only.clone());
    let top = match site {
        Site::Foreign(_) => return Ok(()),
        Site::Staged(_) => None,
        Site::Fetched { ref path, .. } => Some(path.clone()),
    };
    let metainfo = ctx.store.metainfo(item).await.ok().flatten();
    let path = view::home(&record.site);
    let paths = [path];
    let home = ctx.disks.while_answering(&paths, ctx.disks.at(path));
    let home = home.await??;
    let disk = home.clone();
    let job = move || match (top, metainfo) {
        // Else nobody can say which of the files there are its own.
        (Some(top), None) => Err(StorageError::Io {
            path: top,
            why: "its metainfo cannot be read: remove it without its data, and that by hand".into(),
        }),
        (Some(top), Some(metainfo)) => {
            let info = std::sync::Arc::new(metainfo.info);
            let wanted = view::wanted_files(&info, &only);
            let tree = disk.tree(TreeSpec {
                info: &info,
                site: &site,
                stage: &stage,
                wanted: &wanted,
                writable: false,
                stamps: Vec::new(),
            });
            storage::delete(&tree, Some(&top), &stage)
        }
        (None, _) => storage::delete_stage(&stage),
    };
    let standing = Standing {
        ctx,
        item,
        name: &record.name,
        paths: &paths,
        writes: None,
    };
    let deleting = home.run(Lane::Sync, job);
    (standing.see_through(deleting, |error| asker.must_wait(error))).await
}

/// A disk error for the user.
pub(super) fn disk_fault(what: &str, error: &StorageError) -> Fault {
    let kind = kind_of(error);
    let fix = match (kind, error) {
        (ErrorKind::Permission, _) => "give p2pd's user the right to write there",
        (_, StorageError::Full(_)) => "make space and try again",
        (_, StorageError::Stands { .. }) => {
            "see that it answers, or unmount it (`umount -f`), and try again; `p2pctl pause` stops the item meanwhile"
        }
        _ => "look at the path and try again",
    };
    Fault::new(kind, what, error.to_string(), fix)
}

/// The class of a disk error.
pub(super) fn kind_of(error: &StorageError) -> ErrorKind {
    match error {
        StorageError::Changed(_) => ErrorKind::BadData,
        StorageError::Io { why, .. } if why.contains("Permission denied") => ErrorKind::Permission,
        _ => ErrorKind::Disk,
    }
}
