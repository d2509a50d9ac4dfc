//! New items: from what the caller knows to a record on the disk.

use std::net::SocketAddr;

use p2p_wire::control::{ErrorKind, Limits};
use p2p_wire::metainfo::Info;
use p2p_wire::{InfoHash, magnet::Magnet};

use super::ops::Op;
use super::registry::{Command, Registry};
use super::row::Slot;
use super::torrent::Command as ToTorrent;
use super::{AnnounceCommand, Change, Content, Ctx, NewItem, Place, gates, view};
use tokio::sync::oneshot;

use crate::Fault;
use crate::hooks::Hold;
use crate::resume::{Check, Have, Record, Site};

impl NewItem {
    pub(super) fn info_hash(&self) -> InfoHash {
        match &self.content {
            Content::Metainfo(metainfo) => metainfo.info.info_hash(),
            Content::Magnet(Magnet { info_hash, .. }) => *info_hash,
        }
    }
}

impl Registry {
    pub(super) fn add(&mut self, new: NewItem, reply: oneshot::Sender<Result<bool, Fault>>) {
        let item = new.info_hash();
        if self.rows.contains(&item) {
            self.more_trackers(item, new.trackers);
            self.found(item, new.peers);
            let _ = reply.send(Ok(false));
            return;
        }
        if !self.adding.insert(item) {
            let _ = reply.send(Ok(false));
            return;
        }
        let peers = new.peers.clone();
        let ctx = self.ctx.clone();
        tokio::spawn(async move {
            let (recorded, hold) = match gates::hold_new(&ctx, &new).await {
                Ok(hold) => (record_new(&ctx, new).await, hold),
                Err(fault) => (Err(fault), None),
            };
            let (record, answer) = match recorded {
                Ok(record) => (Some(record), Ok(true)),
                Err(fault) => (None, Err(fault)),
            };
            let Some(commands) = ctx.commands.upgrade() else {
                return;
            };
            let inserted = match record {
                Some(record) => Command::Insert(item, record, peers, hold),
                None => {
                    gates::release(&ctx, item);
                    Command::Back(item, None)
                }
            };
            // Before the answer, so that who has it finds the item.
            let _ = commands.send(inserted).await;
            let _ = reply.send(answer);
        });
    }

    pub(super) fn added(
        &mut self,
        item: InfoHash,
        record: Box<Record>,
        peers: Vec<SocketAddr>,
        hold: Option<Hold>,
    ) {
        self.adding.remove(&item);
        self.ctx.events.belongs(item, record.owner);
        if hold.is_none() {
            self.tell_added(item, &record);
        }
        self.insert(item, record, hold);
        self.found(item, peers);
    }

    /// Further announce URLs of an item that is here already.
    pub(super) fn more_trackers(&mut self, item: InfoHash, tiers: Vec<Vec<String>>) {
        match self.rows.get(&item).map(|row| &row.slot) {
            Some(Slot::Awake(_)) => self.deliver(item, ToTorrent::Trackers(tiers)),
            _ => self.op(item, Op::Join(tiers)),
        }
    }

    /// The announcer is told of further trackers by starting again, the reporter of piece points by a reset.
    pub(super) fn join(&mut self, item: InfoHash, tiers: Vec<Vec<String>>) {
        if let Some(row) = self.rows.get(&item).filter(|row| row.announced) {
            self.changes.push(Change::Reset(item));
            self.announces.push(AnnounceCommand::Start {
                info_hash: item,
                tiers,
                counters: row.counters.clone(),
            });
        }
    }
}

/// Makes the record of a new item and puts it on the disk.
pub(super) async fn record_new(ctx: &Ctx, new: NewItem) -> Result<Box<Record>, Fault> {
    let item = new.info_hash();
    if let Err(error) = view::globs(&new.only) {
        return Err(Fault::new(
            ErrorKind::Usage,
            "cannot read --only",
            error.to_string(),
            "Use globs such as '*.iso' or 'data/**'.",
        ));
    }
    let mut record = blank(item);
    let (metainfo, name) = match new.content {
        Content::Metainfo(metainfo) => (Some(metainfo), None),
        Content::Magnet(magnet) => (None, magnet.name),
    };
    if let Some(name) = name {
        record.name = p2p_wire::metainfo::safe_component(name.as_bytes());
    }
    record.only = new.only;
    record.trackers = new.trackers;
    record.owner = new.owner;
    record.share = new.share;
    record.sequential = new.sequential;
    record.only_peers = new.only_peers;
    record.peers = new.peers;
    match new.place {
        Place::Download(dir) => record.site = Site::Staged(dir),
        Place::Existing(path) => {
            record.site = Site::Foreign(path);
            record.check = Check::All;
        }
        Place::Hashed(path, stamps) => {
            record.site = Site::Foreign(path);
            record.stamps = stamps.into_iter().map(Some).collect();
            record.have = Have::All;
            record.completed = Some(view::now());
        }
    }
    if let Some(metainfo) = &metainfo {
        describe(&mut record, &metainfo.info);
    } else if record.completed.is_some() {
        return Err(Fault::new(
            ErrorKind::Usage,
            "cannot seed a magnet link",
            "its metadata is not known",
            "use the .torrent file",
        ));
    }
    let bytes = metainfo.map(|metainfo| metainfo.to_bytes());
    let stored = ctx.store.insert(item, &record, bytes).await;
    stored.map_err(|error| {
        let what = format!("cannot add {}", record.name);
        Fault::new(ErrorKind::Failed, what, error.to_string(), "try again")
    })?;
    Ok(Box::new(record))
}

/// Puts what the metadata says into the record.
pub(super) fn describe(record: &mut Record, info: &Info) {
    let wanted = view::wanted_files(info, &record.only);
    record.name = info.name().to_owned();
    record.layout = Some(*info.layout());
    record.single_file = info.single_file();
    record.private = info.private();
    record.wanted_len = view::len_of(info, &view::wanted_pieces(info, &wanted));
}

/// A record of which nothing is known but the hash.
pub(super) fn blank(item: InfoHash) -> Record {
    Record {
        name: item.to_string(),
        layout: None,
        single_file: false,
        private: false,
        site: Site::Foreign(Default::default()),
        moving: None,
        owner: 0,
        share: None,
        trackers: Vec::new(),
        only: Vec::new(),
        wanted_len: 0,
        only_peers: Vec::new(),
        peers: Vec::new(),
        sequential: false,
        paused: false,
        limits: Limits::default(),
        max_peers: None,
        have: Have::Nothing,
        suspect: Have::Nothing,
        check: Check::No,
        clean: false,
        stamps: Vec::new(),
        uploaded: 0,
        downloaded: 0,
        wasted: 0,
        added: view::now(),
        completed: None,
    }
}
