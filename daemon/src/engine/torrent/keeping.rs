//! What the task of an awake item knows of its disk: what is being written, what waits to be synced, what is durable.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use p2p_wire::{Bitfield, PieceIndex};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::disk::Work;
use super::partial::Partials;
use crate::resume::Have;
use crate::resume::written::WrittenLog;
use crate::storage::MAX_WRITING;

/// Written pieces are synced and recorded after this long,
const SYNC_AFTER: Duration = Duration::from_secs(1);
/// or when they are this many bytes.
pub(super) const SYNC_BYTES: u64 = 64 * 1024 * 1024;
/// Bytes of one item written and not synced at most: a disk slower than the network slows the network down, before the page cache
/// holds so much that the whole machine waits for the disk.
const MAX_UNSYNCED: u64 = 256 * 1024 * 1024;

/// The disk side of an awake item.
pub(super) struct Keeping {
    pub(super) partials: Partials,
    /// Bytes that are being hashed and written.
    pub(super) writing: u64,
    pub(super) log: Option<Arc<WrittenLog>>,
    /// Pieces written since the last sync began. A batch is closed after a second or 64 MiB, but not before the one ahead of it is on the
    /// disk: so batches grow where the disk cannot keep up.
    pub(super) dirty: Vec<u32>,
    pub(super) dirty_bytes: u64,
    pub(super) sync_at: Option<Instant>,
    pub(super) syncing: bool,
    pub(super) syncing_bytes: u64,
    /// Files whose names were synced: with the first batch those of all that are wanted, with each those of its own.
    pub(super) named: BTreeSet<usize>,
    /// A sync failed.
    pub(super) lost: bool,
    /// Pieces that are on the disk.
    pub(super) durable: Bitfield,
    pub(super) work: JoinSet<Work>,
    /// Every wanted piece is good; the files wait to be put at their place.
    pub(super) finishing: bool,
    pub(super) placing: bool,
}

impl Keeping {
    /// Of an item that has these pieces, of which those `written` are not durable.
    pub(super) fn new(have: &Bitfield, written: &[u32], log: Option<Arc<WrittenLog>>) -> Self {
        let mut durable = have.clone();
        written.iter().for_each(|piece| {
            durable.clear(*piece);
        });
        Self {
            partials: Partials::default(),
            writing: 0,
            log,
            dirty: written.to_vec(),
            dirty_bytes: 0,
            sync_at: (!written.is_empty()).then(Instant::now),
            syncing: false,
            syncing_bytes: 0,
            named: BTreeSet::new(),
            lost: false,
            durable,
            work: JoinSet::new(),
            finishing: false,
            placing: false,
        }
    }

    /// Whether more blocks may be taken from the peers.
    pub(super) fn has_room(&self) -> bool {
        self.writing < MAX_WRITING && self.dirty_bytes + self.syncing_bytes < MAX_UNSYNCED
    }

    /// Nothing is under way and nothing waits to be synced.
    pub(super) fn is_quiet(&self) -> bool {
        self.writing == 0 && self.work.is_empty() && self.dirty.is_empty() && !self.finishing
    }

    /// When to sync what was written; placing the files syncs them by itself.
    pub(super) fn next_sync(&self) -> Option<Instant> {
        self.sync_at.filter(|_| !self.syncing && !self.placing)
    }

    /// The pieces that are on the disk.
    pub(super) fn durable(&self) -> Have {
        Have::from_bitfield(&self.durable)
    }

    /// A piece that was on the disk is not there.
    pub(super) fn undo(&mut self, piece: PieceIndex) {
        self.durable.clear(piece.get());
        if !self.dirty.is_empty() && !self.syncing {
            self.sync_at.get_or_insert_with(Instant::now);
        }
    }

    /// A good piece was written at `now`. It joins the batch: the first one says when that is closed, one that makes it large closes it.
    pub(super) fn wrote(&mut self, piece: PieceIndex, len: u64, now: Instant) {
        // After a failed sync nobody knows whether this one was among what was lost.
        if self.lost {
            return;
        }
        self.dirty.push(piece.get());
        self.dirty_bytes += len;
        let close_at = self.sync_at.get_or_insert(now + SYNC_AFTER);
        if self.dirty_bytes >= SYNC_BYTES {
            *close_at = now;
        }
    }

    /// A sync failed: what was written and is not durable is missing, though it can still be read.
    pub(super) fn lose(&mut self) {
        self.lost = true;
        self.dirty.clear();
        self.sync_at = None;
        self.log = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// An item of 100 pieces, of which pieces of 1 MiB were written at these moments.
    fn wrote(at: impl IntoIterator<Item = Instant>) -> Keeping {
        let layout = p2p_wire::Layout::new(100 * MIB, 1 << 20).unwrap();
        let mut keeping = Keeping::new(&Bitfield::new(100), &[], None);
        for (n, now) in (0..).zip(at) {
            keeping.wrote(layout.piece(n).unwrap(), MIB, now);
        }
        keeping
    }

    #[test]
    fn a_batch_is_closed_a_second_after_its_first_piece() {
        let begin = Instant::now();
        assert_eq!(wrote([]).next_sync(), None);
        let keeping = wrote((0..63).map(|n| begin + Duration::from_millis(n)));
        assert_eq!(keeping.next_sync(), Some(begin + Duration::from_secs(1)));
    }

    #[test]
    fn a_batch_is_closed_at_once_by_the_piece_that_makes_it_64_mib() {
        let begin = Instant::now();
        let last = begin + Duration::from_millis(63);
        let keeping = wrote((0..64).map(|n| begin + Duration::from_millis(n)));
        assert_eq!(keeping.next_sync(), Some(last));
    }
}
