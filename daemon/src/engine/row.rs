//! One item in the registry.

use std::collections::VecDeque;
use std::sync::Arc;

use p2p_wire::control::{ErrorKind, Item};
use p2p_wire::points;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::ops::Op;
use super::torrent::Command as ToTorrent;
use super::{Counters, view};
use crate::hooks::Hold;
use crate::resume::Record;

/// One item.
pub(super) struct Row {
    pub(super) slot: Slot,
    pub(super) counters: Arc<Counters>,
    pub(super) announced: bool,
    /// What is to be done to the record, in order.
    pub(super) queue: VecDeque<Op>,
    pub(super) fault: Option<Box<Stopped>>,
    /// How often in a row its disk was full again, without a piece more, after there had seemed to be space.
    pub(super) full_again: u8,
    /// Pieces it held when it last went on.
    pub(super) full_had: u32,
    /// The gate that holds it, or has let it pass.
    pub(super) hold: Option<Box<Hold>>,
    /// It is to be verified, even while it is paused.
    pub(super) verify: bool,
    /// Pieces that the last verification found bad.
    pub(super) bad_pieces: Option<u32>,
    pub(super) tracker_error: Option<Box<str>>,
    pub(super) points: Option<Box<points::Swarm>>,
    pub(super) watchers: Option<watch::Sender<Item>>,
    /// Told to the torrent task while it was ending.
    pub(super) late: Vec<ToTorrent>,
    /// Its numbers are in the tallies; see [`Rows`](super::rows::Rows), which alone sets it.
    pub(super) counted: bool,
}

/// Where an item's record is.
pub(super) enum Slot {
    Dormant(Box<Record>),
    /// With its torrent task.
    Awake(mpsc::Sender<ToTorrent>),
    /// With work that runs beside the registry; how it looked before.
    Busy(Option<Box<Item>>),
}

/// Why an item stands still.
pub(super) struct Stopped {
    pub(super) kind: ErrorKind,
    pub(super) text: String,
    /// When to look whether a full disk has space again.
    pub(super) retry: Option<Instant>,
}

impl Row {
    /// Of an item that was just added, or read from the disk.
    pub(super) fn new(record: Box<Record>, hold: Option<Hold>) -> Self {
        Self {
            slot: Slot::Dormant(record),
            counters: Arc::default(),
            announced: false,
            queue: VecDeque::new(),
            fault: None,
            full_again: 0,
            full_had: 0,
            hold: hold.map(Box::new),
            verify: false,
            bad_pieces: None,
            tracker_error: None,
            points: None,
            watchers: None,
            late: Vec::new(),
            counted: false,
        }
    }

    /// A kill interrupted a move of it.
    pub(super) fn is_being_moved(&self) -> bool {
        matches!(&self.slot, Slot::Dormant(record) if record.moving.is_some())
    }

    pub(super) fn live(&self) -> view::Live<'_> {
        view::Live {
            read: self.verify.then_some(0),
            bad_pieces: self.bad_pieces,
            fault: (self.fault.as_ref()).map(|fault| (fault.kind, fault.text.as_str())),
            hold: self.hold.as_deref().filter(|_| self.is_held()),
            tracker_error: self.tracker_error.as_deref(),
            points: self.points.as_deref(),
            ..view::Live::default()
        }
    }
}
