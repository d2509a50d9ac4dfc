//! Questions about items, and settings: answered from the row of a dormant item, passed on to the task of an awake one.

use p2p_wire::InfoHash;
use p2p_wire::control::Item;
use tokio::sync::mpsc::error::{SendError, TrySendError};
use tokio::sync::{oneshot, watch};

use super::ops::{Op, Reply};
use super::registry::{Command, Registry, no_such};
use super::row::Slot;
use super::torrent::{Ask, Command as ToTorrent, answer_dormant};
use super::{ItemSetting, view};

impl Registry {
    pub(super) fn ask(&mut self, item: InfoHash, ask: Ask) {
        let Some(row) = self.rows.get_mut(&item) else {
            return;
        };
        match &row.slot {
            Slot::Awake(_) => self.deliver(item, ToTorrent::Ask(ask)),
            Slot::Dormant(record) => {
                answer_dormant(&self.ctx, item, record, &row.live(), ask);
            }
            Slot::Busy(shown) => {
                if let (Ask::Item(reply), Some(shown)) = (ask, shown) {
                    let _ = reply.send(Item::clone(shown));
                }
            }
        }
    }

    pub(super) fn answer_item(&mut self, item: InfoHash, reply: Reply) {
        let (tx, rx) = oneshot::channel();
        self.ask(item, Ask::Item(tx));
        tokio::spawn(async move {
            let shown = rx.await.map_err(|_| no_such(item));
            let _ = reply.send(shown);
        });
    }

    pub(super) fn watch(&mut self, item: InfoHash) -> Option<watch::Receiver<Item>> {
        let row = self.rows.get_mut(&item)?;
        if let Some(watchers) = row.watchers.as_ref().filter(|w| !w.is_closed()) {
            return Some(watchers.subscribe());
        }
        let first = match &row.slot {
            Slot::Dormant(record) => view::item(item, record, &row.live()),
            // The torrent shows the truth at once.
            _ => view::item(item, &super::add::blank(item), &row.live()),
        };
        let (watchers, watching) = watch::channel(first);
        row.watchers = Some(watchers.clone());
        self.deliver(item, ToTorrent::Watch(watchers));
        Some(watching)
    }

    /// Applies a setting, or has it applied when the item is a row again.
    pub(super) fn set(&mut self, item: InfoHash, setting: ItemSetting, reply: Reply) {
        match self.rows.get(&item).map(|row| &row.slot) {
            Some(Slot::Awake(_)) => self.deliver(item, ToTorrent::Set(setting, reply)),
            _ => self.op(item, Op::Set(setting, reply)),
        }
    }

    /// Tells a torrent task something that must not be lost: waits beside the registry while the channel is full, and is told anew where the
    /// task has ended.
    pub(super) fn deliver(&mut self, item: InfoHash, command: ToTorrent) {
        let Some(row) = self.rows.get_mut(&item) else {
            return;
        };
        let Slot::Awake(task) = &row.slot else {
            return;
        };
        match task.try_send(command) {
            Ok(()) => {}
            Err(TrySendError::Closed(command)) => row.late.push(command),
            Err(TrySendError::Full(command)) => {
                let (ctx, task) = (self.ctx.clone(), task.clone());
                tokio::spawn(async move {
                    if let Err(SendError(command)) = task.send(command).await
                        && let Some(commands) = ctx.commands.upgrade()
                    {
                        let _ = commands.send(Command::Again(item, command)).await;
                    }
                });
            }
        }
    }

    /// Shows watchers a dormant item.
    pub(super) fn show(&mut self, item: InfoHash) {
        let Some(row) = self.rows.get_mut(&item) else {
            return;
        };
        if row.watchers.as_ref().is_some_and(watch::Sender::is_closed) {
            row.watchers = None;
        }
        if let (Slot::Dormant(record), Some(watchers)) = (&row.slot, &row.watchers) {
            watchers.send_replace(view::item(item, record, &row.live()));
        }
    }
}
