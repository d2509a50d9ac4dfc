//! What to ask whom for.
//!
//! A piece goes to one peer as a whole where that peer is fast enough: then a bad piece has one author, and the disk gets it at
//! once. Slow peers share.
use std::time::{Duration, Instant};

use p2p_wire::peer::Message;
use p2p_wire::{BLOCK_LEN, Block, PieceIndex};

use super::partial::{Partial, Slot, Start, overlap};
use super::peer::Peer;
use super::picker::{Mode, common};
use super::{Action, PeerKey, Swarm};

/// So many first pieces are picked at random.
const RANDOM_PIECES: u32 = 4;
/// A piece that nobody is asked for, untouched for so long, makes room for another when the budget is full.
const ABANDONED: Duration = Duration::from_secs(10);
/// In the endgame a block is asked again after this time; sooner from a peer twice as fast.
const ENDGAME_AGE: Duration = Duration::from_secs(2);
const ENDGAME_AGE_FAST: Duration = Duration::from_millis(500);
/// Peers asked for one block at most, and blocks asked again in one go.
const ENDGAME_TIMES: u16 = 3;
const ENDGAME_BATCH: usize = 64;

impl Swarm {
    /// Fills the windows of the peers that gained room since the last time; each round begins with another peer.
    pub(super) fn refill_hungry(&mut self) {
        let mut keys: Vec<PeerKey> = std::mem::take(&mut self.hungry).into_iter().collect();
        if keys.is_empty() {
            return;
        }
        self.turn = self.turn.wrapping_add(1);
        let first = self.turn % keys.len();
        keys.rotate_left(first);
        for key in keys {
            self.refill(key);
        }
    }

    /// Asks `key` for as much as its window has room for.
    fn refill(&mut self, key: PeerKey) {
        let now = self.now;
        let Some(peer) = self.peers.get_mut(&key).filter(|p| p.answers()) else {
            return;
        };
        let Some(room) = peer.room() else {
            return;
        };
        peer.starved = false;
        // Long blocks all through, where they are asked for.
        let longest = peer.longest_block();
        let full = peer.owed.blocks() + room - room % longest;
        while let Some(room) = self.peers.get(&key).map(|p| full - p.owed.blocks())
            && room > 0
        {
            if let Some(piece) = self.choose(key) {
                self.request_free(key, piece, (room, longest));
                continue;
            }
            for block in self.endgame(key, room) {
                if self.progress.ask_again(block, key, now) {
                    self.request(key, block);
                }
            }
            self.starve(key);
            return;
        }
    }

    /// Asks `key` for free blocks of `piece`, as [`Progress::take_free`](super::progress::Progress::take_free) has it.
    fn request_free(&mut self, key: PeerKey, piece: PieceIndex, most: (u32, u32)) {
        let now = self.now;
        let Some(peer) = self.peers.get_mut(&key) else {
            return;
        };
        self.progress.take_free(piece, most, (key, now), |block| {
            peer.owed.push(block, now);
            let request = Message::Request(block);
            self.actions.push_back(Action::Send(key, request));
        });
        peer.sent = now;
        self.next_tick = self.next_tick.min(now + Duration::from_secs(1));
    }

    /// There is nothing to ask `key` for; the next tick looks again.
    pub(super) fn starve(&mut self, key: PeerKey) {
        if let Some(peer) = self.peers.get_mut(&key) {
            peer.starved = true;
            self.next_tick = self.next_tick.min(self.now + Duration::from_secs(1));
        }
    }

    fn request(&mut self, key: PeerKey, block: Block) {
        let now = self.now;
        if let Some(peer) = self.peers.get_mut(&key) {
            peer.owed.push(block, now);
            self.send(key, Message::Request(block));
            self.next_tick = self.next_tick.min(now + Duration::from_secs(1));
        }
    }

    /// A piece with a free block to ask `key` for: its own, one to be shared, a new one, anybody's.
    fn choose(&mut self, key: PeerKey) -> Option<PieceIndex> {
        let peer = self.peers.get_mut(&key)?;
        while let Some(piece) = peer.working.last().copied() {
            let mine = |partial: &Partial| {
                let may = partial.owner == Some(key) || (!partial.single && peer.parole == 0);
                may && partial.free > 0
            };
            if peer.has.get(piece) && self.progress.get(piece).is_some_and(mine) {
                return self.layout.piece(piece);
            }
            peer.working.pop();
        }
        if self.is_on_trial(key) {
            return None;
        }
        let piece = self
            .shared_piece(key)
            .or_else(|| self.start_piece(key))
            .or_else(|| self.any_piece(key))?;
        if self.progress.get(piece)?.owner.is_none() {
            self.progress.set_owner(piece, Some(key));
        }
        self.peers.get_mut(&key)?.working.push(piece);
        self.layout.piece(piece)
    }

    /// A piece in progress that needs the help of `key`.
    fn shared_piece(&self, key: PeerKey) -> Option<u32> {
        let peer = self.peers.get(&key).filter(|peer| peer.parole == 0)?;
        let mut shared = self.progress.shared();
        shared.find(|piece| peer.has.get(*piece))
    }

    /// A piece in progress that `key` may help with, needed or not.
    fn any_piece(&self, key: PeerKey) -> Option<u32> {
        let peer = self.peers.get(&key).filter(|peer| peer.parole == 0)?;
        let mut all = self.progress.with_free();
        all.find(|(piece, partial)| !partial.single && peer.has.get(*piece))
            .map(|(piece, _)| piece)
    }

    /// Starts the best piece that `key` has, if the budget allows it.
    fn start_piece(&mut self, key: PeerKey) -> Option<u32> {
        if !self.peers.get(&key)?.may_start {
            return None;
        }
        let mode = if self.options.sequential {
            Mode::Sequential
        } else if self.have.count() + (self.progress.len() as u32) < RANDOM_PIECES {
            Mode::Random
        } else {
            Mode::Rarest
        };
        if !self.has_budget(self.layout.piece_len()) {
            self.evict_abandoned();
        }
        let peer = self.peers.get_mut(&key)?;
        let picked = self.picker.pick(&peer.has, mode, &mut self.rng);
        peer.may_start = picked.is_some();
        let on_parole = peer.parole > 0;
        let piece = self.layout.piece(picked?)?;
        if !self.has_budget(self.layout.len_of(piece)) {
            return None;
        }
        let single = on_parole || self.failed.contains(&piece.get());
        self.begin(piece, Start { owner: key, single });
        Some(piece.get())
    }

    /// Begins an open piece.
    pub(super) fn begin(&mut self, piece: PieceIndex, how: Start) {
        self.close_piece(piece.get());
        self.progress.start(piece, how, self.now);
    }

    /// One piece is always possible, however long.
    fn has_budget(&self, len: u32) -> bool {
        self.progress.is_empty()
            || self.progress.committed() + u64::from(len) <= self.options.in_flight
    }

    fn evict_abandoned(&mut self) {
        let now = self.now;
        let abandoned = self
            .progress
            .iter()
            .filter(|(_, p)| {
                !p.verifying
                    && p.asked() == 0
                    && now.saturating_duration_since(p.touched) >= ABANDONED
            })
            .min_by_key(|(piece, p)| (p.received_bytes, *piece))
            .map(|(piece, _)| piece);
        if let Some(piece) = abandoned {
            self.give_up(piece);
        }
    }

    /// Blocks to ask `key` for although others are asked: only when nobody who answers could start a piece or take a free block, so that
    /// what is asked twice is bounded by what slow peers hold at the very end.
    fn endgame(&self, key: PeerKey, room: u32) -> Vec<Block> {
        let Some(peer) = self.peers.get(&key).filter(|peer| peer.parole == 0) else {
            return Vec::new();
        };
        if self.anybody_has_work() || self.is_on_trial(key) {
            return Vec::new();
        }
        let rate = peer.down.rate(self.now);
        let slow = |by: PeerKey, at: Instant| {
            let age = self.now.saturating_duration_since(at);
            let other = self.peers.get(&by).map_or(0, |p| p.down.rate(self.now));
            age >= ENDGAME_AGE || (age >= ENDGAME_AGE_FAST && rate / 2 > other)
        };
        let outstanding: u64 = self
            .peers
            .values()
            .map(|p| u64::from(p.owed.blocks()) * u64::from(BLOCK_LEN))
            .sum();
        let received: u64 = self.progress.iter().map(|(_, p)| p.received_bytes).sum();
        let budget = self
            .options
            .in_flight
            .saturating_sub(outstanding + received)
            / u64::from(BLOCK_LEN);
        let most = (room as usize).min(ENDGAME_BATCH).min(budget as usize);
        let mut blocks = Vec::new();
        for (piece, partial) in self.progress.iter() {
            if partial.single || partial.verifying || !peer.has.get(piece) {
                continue;
            }
            let Some(index) = self.layout.piece(piece) else {
                continue;
            };
            for (number, slot) in partial.slots.iter().enumerate() {
                if blocks.len() >= most {
                    return blocks;
                }
                if let Slot::Asked { times, by, at } = *slot
                    && times < ENDGAME_TIMES
                    && by != key
                    && slow(by, at)
                    && let Some(block) = self.layout.block(index, number as u32)
                    && !peer.owed.iter().any(|r| overlap(r.block, block))
                {
                    blocks.push(block);
                }
            }
        }
        blocks
    }

    /// Whether some peer that answers could start a piece, or take a block that nobody is asked for.
    fn anybody_has_work(&self) -> bool {
        let helps = |peer: &Peer, piece| peer.answers() && peer.parole == 0 && peer.has.get(piece);
        let starts = |peer: &Peer| {
            let open = self.picker.open();
            peer.answers() && peer.may_start && common(&peer.has, open).next().is_some()
        };
        self.peers.values().any(starts)
            || (self.progress.with_free())
                .filter(|(_, partial)| !partial.single)
                .any(|(piece, _)| self.peers.values().any(|peer| helps(peer, piece)))
    }

    pub(super) fn wake_starved(&mut self) {
        for (key, peer) in &self.peers {
            if peer.starved && peer.answers() {
                self.hungry.insert(*key);
            }
        }
    }
}
