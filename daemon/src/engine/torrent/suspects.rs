//! Pieces that are claimed and lie in files that are no longer what they were when the pieces were verified.
//!
//! Such a piece is offered to peers as before, but it is read and hashed before the first of its bytes is served: at once when a peer asks for
//! it, else one after the other behind all other work, so that nobody waits for a terabyte to be read. What is not good is missing again
//! if the item is being fetched. Under a complete item it is somebody's edit, which is not fetched over: the item stops.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use p2p_wire::control::ErrorKind;
use p2p_wire::metainfo::Info;
use p2p_wire::{Bitfield, Block, PieceIndex};

use super::super::{Change, FileStamp, view};
use super::active::Active;
use super::disk::Work;
use super::{Halt, Report, Torrent};
use crate::resume::{Check, Have};
use crate::storage::{Lane, StorageError, Tree};
use crate::swarm::PeerKey;

/// Files that did not change for so long have come to rest; longer where they change again and again.
const REST: Duration = Duration::from_secs(1);
const LONGEST_REST: Duration = Duration::from_secs(60);

/// The suspect pieces of one awake item.
pub(super) struct Suspects {
    pieces: Bitfield,
    /// Blocks of them that peers asked for, in this order.
    waiting: Vec<(PeerKey, Block)>,
    /// A piece that is asked for is being read.
    reading_asked: bool,
    /// Another one is.
    reading_idle: bool,
}

impl Suspects {
    pub(super) fn new(pieces: Bitfield) -> Self {
        Self {
            pieces,
            waiting: Vec::new(),
            reading_asked: false,
            reading_idle: false,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pieces.count() == 0
    }

    /// Keeps a block back if its piece is suspect. The swarm bounds how many a peer may have waiting.
    pub(super) fn hold_back(&mut self, key: PeerKey, block: Block) -> bool {
        let holds = self.pieces.get(block.piece);
        if holds {
            self.waiting.push((key, block));
        }
        holds
    }

    /// The peer wants that block no more; false if it is not kept back.
    pub(super) fn cancel(&mut self, key: PeerKey, block: Block) -> bool {
        let before = self.waiting.len();
        self.waiting.retain(|waits| *waits != (key, block));
        self.waiting.len() < before
    }

    /// The peer is gone.
    pub(super) fn forget(&mut self, key: PeerKey) {
        self.waiting.retain(|(other, _)| *other != key);
    }

    /// What to read next, and how urgent it is.
    fn next(&mut self) -> Option<(u32, Lane)> {
        if let Some((_, block)) = self.waiting.first()
            && !self.reading_asked
        {
            self.reading_asked = true;
            return Some((block.piece, Lane::Sync));
        }
        let idle = !self.reading_idle && !self.reading_asked;
        let piece = self.pieces.iter().next().filter(|_| idle)?;
        self.reading_idle = true;
        Some((piece, Lane::Idle))
    }

    /// A piece was read: the blocks that waited for it.
    fn done(&mut self, piece: u32, lane: Lane) -> Vec<(PeerKey, Block)> {
        match lane {
            Lane::Idle => self.reading_idle = false,
            _ => self.reading_asked = false,
        }
        let waited = |(_, block): &mut (PeerKey, Block)| block.piece == piece;
        self.waiting.extract_if(.., waited).collect()
    }
}

impl Torrent {
    /// Compares what the record says of the files of an incomplete item with what they are. Those of a complete one are compared
    /// whenever they are read.
    pub(super) async fn compare(&mut self, tree: &Arc<Tree>) -> Result<(), Halt> {
        if self.record.is_complete()
            || self.record.check != Check::No
            || self.record.have == Have::Nothing
        {
            return Ok(());
        }
        let look = tree.clone();
        let claimed = self.record.have.to_bitfield(tree.info().layout().pieces());
        let look = tree.disk().run(Lane::Sync, move || {
            Ok((look.stamps(), look.hollow(&claimed)?))
        });
        let (now, hollow) = self.during(look).await??;
        let clean = self.record.clean;
        self.distrust(tree.info(), now, hollow, |was, is| match clean {
            true => was == is,
            // Written to since: only what writing does not change tells.
            false => was.is_same_file(is),
        });
        self.record.clean = false;
        Ok(())
    }

    /// Files of a complete item changed while they were served: says so, and sleeps until they have come to rest. Else each read of a file that
    /// another program keeps writing to would begin all anew.
    pub(super) async fn outwait(&mut self, tree: &Arc<Tree>) -> Halt {
        self.emit(
            "item.changed",
            format!("{} changed on disk", self.record.name),
        );
        self.report(Report::Changed(Change::Reset(self.item))).await;
        let mut wait = REST;
        loop {
            match self.compare_again(tree).await {
                Ok(()) => {}
                Err(Halt::Asked) => return Halt::Asked,
                Err(halt) => {
                    tracing::debug!(item = %self.item, "its files cannot be looked at: {halt:?}");
                }
            }
            let before = self.record.stamps.clone();
            let rest = self.during(tokio::time::sleep(wait)).await;
            if let Err(halt) = rest {
                return halt;
            }
            if self.compare_again(tree).await.is_err() || self.record.stamps == before {
                return Halt::Asked;
            }
            wait = (wait * 2).min(LONGEST_REST);
        }
    }

    /// What the files are now counts from here on.
    async fn compare_again(&mut self, tree: &Arc<Tree>) -> Result<(), Halt> {
        let (look, info) = (tree.clone(), tree.info().clone());
        let look = move || Ok(look.stamps());
        let now = self.during(tree.disk().run(Lane::Sync, look)).await??;
        self.distrust(&info, now, Vec::new(), |was, is| was == is);
        Ok(())
    }

    /// Makes the pieces in files that changed suspect, and those of `hollow`; the files count as they are `now` from here on.
    fn distrust(
        &mut self,
        info: &Info,
        now: Vec<Option<FileStamp>>,
        hollow: Vec<u32>,
        is_same: impl Fn(&FileStamp, &FileStamp) -> bool,
    ) {
        let changed = |(was, is): (&Option<FileStamp>, &Option<FileStamp>)| match (was, is) {
            (Some(was), Some(is)) => !is_same(was, is),
            (None, _) => false,
            (Some(_), None) => true,
        };
        let files: Vec<bool> = self.record.stamps.iter().zip(&now).map(changed).collect();
        let claimed = self.record.have.to_bitfield(info.layout().pieces());
        let mut suspect = self.record.suspect.to_bitfield(info.layout().pieces());
        let touched = view::wanted_pieces(info, &files);
        for piece in touched
            .iter()
            .chain(hollow)
            .filter(|piece| claimed.get(*piece))
        {
            suspect.set(piece);
        }
        if files.contains(&true) {
            self.record.stamps = now;
        }
        let suspect = Have::from_bitfield(&suspect);
        if suspect != self.record.suspect {
            tracing::warn!(item = %self.item, "files changed: what is in them is read again before it is served");
            self.record.suspect = suspect;
            self.ctx.store.put(self.item, &self.record);
        }
    }

    /// Has the next suspect pieces read.
    pub(super) fn prove(&mut self, active: &mut Active) {
        while let Some((number, lane)) = active.suspects.next() {
            let Some(piece) = active.info.layout().piece(number) else {
                return;
            };
            let (tree, disk) = (active.tree.clone(), active.tree.disk().clone());
            active.keeping.work.spawn(async move {
                let read = move || tree.is_good(piece);
                Work::Proven(piece, lane, disk.run(lane, read).await)
            });
        }
    }

    /// A suspect piece was read.
    pub(super) async fn proven(
        &mut self,
        active: &mut Active,
        piece: PieceIndex,
        lane: Lane,
        outcome: Result<bool, StorageError>,
    ) -> Result<(), Halt> {
        let waited = active.suspects.done(piece.get(), lane);
        let is_good = outcome?;
        if !active.suspects.pieces.get(piece.get()) {
            return Ok(());
        }
        if !is_good && self.record.is_complete() {
            let text = format!(
                "changed on disk: piece {} differs; `p2pctl verify` reads all and fetches what differs",
                piece.get()
            );
            return Err(Halt::Fault(ErrorKind::BadData, text));
        }
        active.suspects.pieces.clear(piece.get());
        if is_good {
            for (key, block) in waited {
                active.uploads.push(key, block);
                self.feed(active, key);
            }
        } else {
            for (key, block) in waited {
                let now = std::time::Instant::now();
                active.swarm.handle_read_failed(key, block, now);
            }
            self.lose(active, piece).await;
        }
        self.record.suspect = Have::from_bitfield(&active.suspects.pieces);
        if active.suspects.is_empty() {
            self.ctx.store.put(self.item, &self.record);
            self.emit("item.verified", format!("{} is verified", self.record.name));
        }
        Ok(())
    }

    /// A claimed piece of an item that is being fetched is not there.
    async fn lose(&mut self, active: &mut Active, piece: PieceIndex) {
        active.swarm.handle_lost(piece, std::time::Instant::now());
        active.keeping.undo(piece);
        self.record.have = active.keeping.durable();
        if active.wanted.get(piece.get()) {
            active.keeping.finishing = false;
            active.missing += u64::from(active.info.layout().len_of(piece));
        }
        self.counters.left.store(active.missing, Ordering::Relaxed);
        self.report(Report::Changed(Change::Reset(self.item))).await;
    }
}
