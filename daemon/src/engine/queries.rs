//! Questions about items, and settings: answered from the row of a dormant item, passed on to the task of an awake one.

use std::sync::atomic::Ordering;

use p2p_wire::InfoHash;
use p2p_wire::control::Item;
use tokio::sync::{mpsc, oneshot, watch};

use super::registry::{Registry, Slot, no_such};
use super::torrent::{Ask, Command as ToTorrent, answer_dormant, apply};
use super::{ItemSetting, Totals, view};
use crate::Fault;

impl Registry {
    pub(super) fn ask(&mut self, item: InfoHash, ask: Ask) {
        let Some(row) = self.rows.get_mut(&item) else {
            return;
        };
        match &row.slot {
            Slot::Awake(task) => {
                if let Err(error) = task.try_send(ToTorrent::Ask(ask))
                    && let mpsc::error::TrySendError::Closed(ToTorrent::Ask(ask)) = error
                {
                    row.asked.push(ask);
                }
            }
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

    pub(super) fn answer_item(
        &mut self,
        item: InfoHash,
        reply: oneshot::Sender<Result<Item, Fault>>,
    ) {
        let (tx, rx) = oneshot::channel();
        self.ask(item, Ask::Item(tx));
        tokio::spawn(async move {
            let shown = rx.await.map_err(|_| no_such(item));
            let _ = reply.send(shown);
        });
    }

    pub(super) fn items(&mut self, reply: oneshot::Sender<Vec<Item>>) {
        let all: Vec<InfoHash> = self.rows.keys().copied().collect();
        let mut answers = Vec::with_capacity(all.len());
        for item in all {
            let (tx, rx) = oneshot::channel();
            self.ask(item, Ask::Item(tx));
            answers.push(rx);
        }
        tokio::spawn(async move {
            let mut items = Vec::with_capacity(answers.len());
            for answer in answers {
                items.extend(answer.await);
            }
            let _ = reply.send(items);
        });
    }

    pub(super) fn totals(&mut self, reply: oneshot::Sender<Totals>) {
        let awake: Vec<InfoHash> = (self.rows.iter())
            .filter(|(_, row)| matches!(row.slot, Slot::Awake(_)))
            .map(|(item, _)| *item)
            .collect();
        let mut answers = Vec::new();
        for item in awake {
            let (tx, rx) = oneshot::channel();
            self.ask(item, Ask::Item(tx));
            answers.push(rx);
        }
        let mut totals = Totals {
            downloaded: self.ctx.downloaded.load(Ordering::Relaxed),
            uploaded: self.ctx.uploaded.load(Ordering::Relaxed),
            ..Totals::default()
        };
        tokio::spawn(async move {
            for answer in answers {
                if let Ok(item) = answer.await {
                    totals.peers += item.peers;
                    totals.down_rate += item.down_rate;
                    totals.up_rate += item.up_rate;
                }
            }
            let _ = reply.send(totals);
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
        if let Slot::Awake(task) = &row.slot {
            let _ = task.try_send(ToTorrent::Watch(watchers.clone()));
        }
        row.watchers = Some(watchers);
        Some(watching)
    }

    pub(super) fn set(
        &mut self,
        item: InfoHash,
        setting: ItemSetting,
        reply: oneshot::Sender<Result<Item, Fault>>,
    ) {
        self.apply(item, setting);
        self.answer_item(item, reply);
    }

    pub(super) fn apply(&mut self, item: InfoHash, setting: ItemSetting) {
        match self.rows.get_mut(&item).map(|row| &mut row.slot) {
            Some(Slot::Awake(task)) => drop(task.try_send(ToTorrent::Set(setting))),
            Some(Slot::Dormant(record)) => {
                apply(record, setting);
                self.ctx.store.put(item, record);
            }
            _ => {}
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
