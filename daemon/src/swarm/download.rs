//! What to ask whom for, and what becomes of it.
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use p2p_wire::peer::Message;
use p2p_wire::{BLOCK_LEN, Block, PieceIndex};

use super::peer::{Peer, Request};
use super::picker::Mode;
use super::progress::{Partial, Receipt, Slot, Source, Start};
use super::{Action, BlockFate, DropReason, PeerKey, Swarm, Verified, Violation};

/// So many first pieces are picked at random.
const RANDOM_PIECES: u32 = 4;
/// A peer that gives a whole piece in this time has it to itself; the pieces of slower ones are shared.
const OWN_PIECE: Duration = Duration::from_secs(10);
/// A new owner's rate is not known yet.
const UNKNOWN_RATE: Duration = Duration::from_secs(3);
/// A piece that nobody is asked for, untouched for so long, makes room for another when the budget is full.
const ABANDONED: Duration = Duration::from_secs(10);
/// In the endgame a block is asked again after this time; sooner from a peer twice as fast.
const ENDGAME_AGE: Duration = Duration::from_secs(2);
const ENDGAME_AGE_FAST: Duration = Duration::from_millis(500);
/// Peers asked for one block at most, and blocks asked again in one go.
const ENDGAME_TIMES: u16 = 3;
const ENDGAME_BATCH: usize = 64;
/// A peer with requests outstanding and no block for so long is of no use.
const NO_PROGRESS: Duration = Duration::from_secs(60);
/// A peer that took part in `n` failed pieces gives `2^n` good ones alone; no more than 2 to this power.
const MAX_STRIKES: u32 = 6;

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

    /// Requests go out in batches: nothing is asked until a quarter of the window is free.
    fn refill(&mut self, key: PeerKey) {
        let now = self.now;
        let Some(peer) = self.peers.get_mut(&key).filter(|p| p.answers()) else {
            return;
        };
        let room = peer
            .window
            .size()
            .saturating_sub(peer.requests.len() as u32);
        if room < (peer.window.size() / 4).max(1) {
            return;
        }
        peer.starved = false;
        for left in (1..=room).rev() {
            if let Some(bucket) = &mut self.bucket
                && !bucket.ready(now)
            {
                self.starve(key);
                return;
            }
            if let Some(block) = self.choose(key) {
                self.request(key, block);
                continue;
            }
            for block in self.endgame(key, left as usize) {
                if self.progress.ask_again(block, key, now) {
                    self.request(key, block);
                }
            }
            self.starve(key);
            return;
        }
    }

    fn starve(&mut self, key: PeerKey) {
        if let Some(peer) = self.peers.get_mut(&key) {
            peer.starved = true;
        }
    }

    fn request(&mut self, key: PeerKey, block: Block) {
        let now = self.now;
        if let Some(peer) = self.peers.get_mut(&key) {
            peer.requests.push_back(Request { block, at: now });
            if let Some(bucket) = &mut self.bucket {
                bucket.spend(block.len);
            }
            self.send(key, Message::Request(block));
            self.next_tick = self.next_tick.min(now + Duration::from_secs(1));
        }
    }

    /// The next block to ask `key` for, taken: of its own pieces, of pieces to be shared, of a new piece, of anybody's piece.
    fn choose(&mut self, key: PeerKey) -> Option<Block> {
        let now = self.now;
        loop {
            let peer = self.peers.get(&key)?;
            let Some(piece) = peer.working.last().copied() else {
                break;
            };
            let mine = |partial: &Partial| {
                partial.owner == Some(key) || (!partial.single && peer.parole == 0)
            };
            if peer.has.get(piece)
                && self.progress.get(piece).is_some_and(mine)
                && let Some(block) = self.progress.take_free(piece, key, now)
            {
                return Some(block);
            }
            self.peers.get_mut(&key)?.working.pop();
        }
        let piece = self
            .shared_piece(key, false)
            .or_else(|| self.start_piece(key))
            .or_else(|| self.shared_piece(key, true))?;
        if self.progress.get(piece)?.owner.is_none() {
            self.progress.set_owner(piece, Some(key));
        }
        self.peers.get_mut(&key)?.working.push(piece);
        self.progress.take_free(piece, key, now)
    }

    /// A piece in progress that `key` may help with; `fast`: even one whose owner needs no help.
    fn shared_piece(&self, key: PeerKey, fast: bool) -> Option<u32> {
        let peer = self.peers.get(&key).filter(|peer| peer.parole == 0)?;
        self.progress
            .with_free()
            .find(|(piece, partial)| {
                !partial.single && peer.has.get(*piece) && (fast || !self.owner_is_fast(partial))
            })
            .map(|(piece, _)| piece)
    }

    fn owner_is_fast(&self, partial: &Partial) -> bool {
        let Some(owner) = partial.owner.and_then(|key| self.peers.get(&key)) else {
            return false;
        };
        let young = self.now.saturating_duration_since(partial.started) < UNKNOWN_RATE;
        young || owner.down.rate(self.now) * OWN_PIECE.as_secs() >= u64::from(partial.len)
    }

    /// Starts the best piece that `key` has, if the budget allows it.
    fn start_piece(&mut self, key: PeerKey) -> Option<u32> {
        let peer = self.peers.get(&key)?;
        let mode = if self.options.sequential {
            Mode::Sequential
        } else if self.have.count() + (self.progress.len() as u32) < RANDOM_PIECES {
            Mode::Random
        } else {
            Mode::Rarest
        };
        if !self.has_budget(self.layout.piece_len()) && peer.open > 0 {
            self.evict_abandoned();
        }
        let peer = self.peers.get(&key)?;
        let piece = self
            .picker
            .pick(&peer.has, peer.open, mode, &mut self.rng)
            .and_then(|piece| self.layout.piece(piece))?;
        if !self.has_budget(self.layout.len_of(piece)) {
            return None;
        }
        let single = peer.parole > 0 || self.failed.contains(&piece.get());
        self.close_piece(piece.get());
        self.progress
            .start(piece, Start { owner: key, single }, self.now);
        Some(piece.get())
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

    /// Blocks to ask `key` for although others are asked: only when no piece is left to start and no block is free, so that what
    /// is asked twice is bounded by what slow peers hold at the very end.
    fn endgame(&self, key: PeerKey, room: usize) -> Vec<Block> {
        let Some(peer) = self.peers.get(&key).filter(|peer| peer.parole == 0) else {
            return Vec::new();
        };
        if self.progress.any_free() || self.picker.any_available() {
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
            .map(|p| p.requests.len() as u64 * u64::from(BLOCK_LEN))
            .sum();
        let received: u64 = self.progress.iter().map(|(_, p)| p.received_bytes).sum();
        let budget = self
            .options
            .in_flight
            .saturating_sub(outstanding + received)
            / u64::from(BLOCK_LEN);
        let most = room.min(ENDGAME_BATCH).min(budget as usize);
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
                    && !peer.requests.iter().any(|r| r.block == block)
                {
                    blocks.push(block);
                }
            }
        }
        blocks
    }

    pub(super) fn take_block(
        &mut self,
        key: PeerKey,
        block: Block,
    ) -> Result<BlockFate, Violation> {
        let now = self.now;
        let Some(peer) = self.peers.get_mut(&key) else {
            return Ok(BlockFate::Waste);
        };
        self.layout
            .check_block(block)
            .ok_or(Violation("block out of range"))?;
        peer.heard = now;
        peer.down.add(u64::from(block.len), now);
        self.down.add(u64::from(block.len), now);
        let Some(request) = peer.take_request(block) else {
            self.wasted += u64::from(block.len);
            peer.unrequested = peer
                .unrequested
                .checked_sub(u64::from(block.len))
                .ok_or(Violation("too many blocks that were not asked for"))?;
            return Ok(BlockFate::Waste);
        };
        let latency = now.saturating_duration_since(request.at);
        peer.window.received(latency, peer.down.rate(now), now);
        peer.note_block(request.at, now);
        let room = peer
            .window
            .size()
            .saturating_sub(peer.requests.len() as u32);
        if room >= (peer.window.size() / 4).max(1) {
            self.hungry.insert(key);
        }
        let (counted, info) = (!peer.stalled, peer.info);
        let source = Source {
            key,
            addr: info.addr,
            id: info.peer_id,
        };
        let foreign = |partial: &Partial| partial.single && partial.owner != Some(key);
        let receipt = if self.progress.get(block.piece).is_some_and(foreign) {
            Receipt::Unwanted
        } else {
            self.progress.receive(block, source, counted, now)
        };
        let Receipt::Kept { others, whole } = receipt else {
            if counted {
                self.progress.release(block);
            }
            self.resume(key);
            self.wasted += u64::from(block.len);
            return Ok(BlockFate::Waste);
        };
        self.resume(key);
        if others > 0 || self.peers.values().any(|p| p.stalled) {
            self.cancel(|b| b == block);
        }
        if whole && let Some(piece) = self.layout.piece(block.piece) {
            self.actions.push_back(Action::Verify(piece));
        }
        Ok(BlockFate::Keep)
    }

    /// Takes back all requests for blocks that `unwanted` says; their slots must not count them any more.
    fn cancel(&mut self, unwanted: impl Fn(Block) -> bool) {
        let mut cancelled = Vec::new();
        for (key, peer) in &mut self.peers {
            let before = cancelled.len();
            peer.requests.retain(|request| {
                let gone = unwanted(request.block);
                if gone {
                    cancelled.push((*key, request.block));
                }
                !gone
            });
            for (_, block) in &cancelled[before..] {
                peer.forgive(block.len);
            }
            if peer.stalled && peer.requests.is_empty() {
                peer.stalled = false;
                peer.window.restart(self.now);
            }
        }
        for (key, block) in cancelled {
            self.hungry.insert(key);
            if self.peers.get(&key).is_some_and(|p| !p.choking) {
                self.send(key, Message::Cancel(block));
            }
        }
    }

    /// A stalled peer that may be asked again: what it still owes counts again.
    pub(super) fn resume(&mut self, key: PeerKey) {
        let now = self.now;
        let Some(peer) = self.peers.get_mut(&key).filter(|p| p.stalled) else {
            return;
        };
        if peer.choking && !peer.requests.is_empty() {
            return;
        }
        peer.stalled = false;
        peer.window.restart(now);
        let owed: Vec<Block> = peer.requests.iter().map(|r| r.block).collect();
        peer.requests.iter_mut().for_each(|r| r.at = now);
        self.hungry.insert(key);
        for block in owed {
            let foreign = |partial: &Partial| partial.single && partial.owner != Some(key);
            let lost = self.progress.get(block.piece).is_none_or(foreign);
            if (lost || !self.progress.ask_again(block, key, now))
                && let Some(peer) = self.peers.get_mut(&key)
                && peer.take_request(block).is_some()
            {
                peer.forgive(block.len);
                self.send(key, Message::Cancel(block));
            }
        }
    }

    /// Frees what `key` is asked for, so that others can be. `forget`: late answers are not expected either.
    pub(super) fn release_all(&mut self, key: PeerKey, forget: bool) {
        let Some(peer) = self.peers.get_mut(&key) else {
            return;
        };
        let counted = !peer.stalled;
        let blocks: Vec<Block> = peer.requests.iter().map(|r| r.block).collect();
        if forget {
            peer.requests.clear();
            blocks.iter().for_each(|block| peer.forgive(block.len));
        }
        peer.stalled = !peer.requests.is_empty();
        peer.working.clear();
        let mut touched: BTreeSet<u32> = blocks.iter().map(|b| b.piece).collect();
        if counted {
            for block in blocks {
                self.progress.release(block);
            }
        }
        let owned = self.progress.iter().filter(|(_, p)| p.owner == Some(key));
        touched.extend(owned.map(|(piece, _)| piece));
        for piece in touched {
            let Some(partial) = self.progress.get(piece).filter(|p| !p.verifying) else {
                continue;
            };
            let owned = partial.owner == Some(key);
            let empty = partial.asked() == 0 && partial.received == 0;
            if empty || (owned && partial.single) {
                self.give_up(piece);
            } else if owned {
                self.progress.set_owner(piece, None);
            }
        }
        self.wake_starved();
    }

    /// Ends a piece in progress without result; it may be started again.
    pub(super) fn give_up(&mut self, piece: u32) {
        let Some(partial) = self.progress.remove(piece) else {
            return;
        };
        self.cancel(|block| block.piece == piece);
        if partial.received > 0
            && let Some(index) = self.layout.piece(piece)
        {
            self.wasted += partial.received_bytes;
            self.actions.push_back(Action::Discard(index));
        }
        self.open_piece(piece);
    }

    /// A peer refuses a request (BEP 6).
    pub(super) fn rejected(&mut self, key: PeerKey, block: Block) {
        let Some(peer) = self.peers.get_mut(&key) else {
            return;
        };
        if peer.take_request(block).is_none() {
            return;
        }
        let (counted, choking) = (!peer.stalled, peer.choking);
        if peer.stalled && peer.requests.is_empty() {
            peer.stalled = false;
            peer.window.restart(self.now);
            self.hungry.insert(key);
        }
        if counted {
            self.progress.release(block);
            self.settle(key, block.piece);
        }
        if !choking {
            // It does not give this piece after all: asking again would only be refused again.
            self.lose_piece(key, block.piece);
            self.hungry.insert(key);
        }
        self.wake_starved();
    }

    /// Lets go of a piece of which nothing is asked for and nothing came, or whose only permitted source refused.
    fn settle(&mut self, key: PeerKey, piece: u32) {
        let Some(partial) = self.progress.get(piece).filter(|p| !p.verifying) else {
            return;
        };
        let empty = partial.asked() == 0 && partial.received == 0;
        if empty || (partial.single && partial.owner == Some(key)) {
            self.give_up(piece);
        } else if partial.owner == Some(key) {
            self.progress.set_owner(piece, None);
        }
    }

    pub(super) fn verified(&mut self, piece: PieceIndex, outcome: Verified) {
        let number = piece.get();
        if !self.progress.get(number).is_some_and(|p| p.verifying) {
            return;
        }
        let Some(partial) = self.progress.remove(number) else {
            return;
        };
        match outcome {
            Verified::Good => self.piece_good(number, &partial),
            Verified::Bad => {
                self.wasted += partial.received_bytes;
                self.actions.push_back(Action::Discard(piece));
                self.failed.insert(number);
                self.blame(&partial);
                self.open_piece(number);
            }
            Verified::Lost => {
                self.wasted += partial.received_bytes;
                self.actions.push_back(Action::Discard(piece));
                self.open_piece(number);
            }
        }
        self.wake_starved();
    }

    fn piece_good(&mut self, piece: u32, partial: &Partial) {
        self.failed.remove(&piece);
        if let [only] = partial.sources[..]
            && let Some(peer) = self.peers.get_mut(&only.key)
        {
            peer.parole = peer.parole.saturating_sub(1);
        }
        self.have.set(piece);
        self.unneed(piece);
        let keys: Vec<PeerKey> = self.peers.keys().copied().collect();
        for key in keys {
            self.send(key, Message::Have(piece));
        }
        self.check_complete();
    }

    /// A piece failed. Its only source lied: it goes. Of several nobody can be accused, so each gives pieces alone for a while,
    /// and the next bad one shows who it is. (As the core sees no payload it cannot compare the blocks themselves.)
    fn blame(&mut self, partial: &Partial) {
        if let [only] = partial.sources[..] {
            self.banned_ids.insert(only.id);
            self.ban(only.addr);
            self.ban_listen_addr(only.key);
            self.drop_peer(only.key, DropReason::BadData);
            // What it gave to other pieces is not worth waiting for, and would cast doubt on those who complete them.
            let tainted: Vec<u32> = self
                .progress
                .iter()
                .filter(|(_, p)| !p.verifying && p.sources.iter().any(|s| s.id == only.id))
                .map(|(piece, _)| piece)
                .collect();
            for piece in tainted {
                self.give_up(piece);
            }
            return;
        }
        let known = |source: &Source| self.banned_ids.contains(&source.id);
        if partial.sources.iter().any(known) {
            return;
        }
        for source in &partial.sources {
            if let Some(peer) = self.peers.get_mut(&source.key) {
                peer.strikes = (peer.strikes + 1).min(MAX_STRIKES);
                peer.parole = 1 << peer.strikes;
                peer.working.clear();
            }
        }
    }

    fn ban_listen_addr(&mut self, key: PeerKey) {
        let listen = self.peers.get(&key).and_then(Self::listen_addr);
        if let Some(addr) = listen {
            self.ban(addr);
        }
    }

    /// Looks whether a peer answers at all; true if it is to be watched further.
    pub(super) fn check_stall(&mut self, key: PeerKey) -> bool {
        let Some(peer) = self.peers.get(&key) else {
            return false;
        };
        let Some(progress_at) = peer.progress_at() else {
            if peer.starved {
                self.hungry.insert(key);
            }
            return peer.starved && peer.answers();
        };
        let quiet = self.now.saturating_duration_since(progress_at);
        if quiet >= NO_PROGRESS {
            if peer.choking {
                self.release_all(key, true);
            } else {
                self.drop_peer(key, DropReason::TimedOut);
            }
        } else if !peer.stalled && quiet >= peer.patience() {
            self.release_all(key, false);
        } else if peer.starved {
            self.hungry.insert(key);
        }
        true
    }

    pub(super) fn wake_starved(&mut self) {
        for (key, peer) in &self.peers {
            if peer.starved && peer.answers() {
                self.hungry.insert(*key);
            }
        }
    }

    /// `piece` may be started if it is needed.
    pub(super) fn open_piece(&mut self, piece: u32) {
        if !self.needed.get(piece)
            || self.progress.get(piece).is_some()
            || !self.picker.insert(piece, &mut self.rng)
        {
            return;
        }
        for (key, peer) in &mut self.peers {
            if peer.has.get(piece) {
                peer.open += 1;
                if peer.starved {
                    self.hungry.insert(*key);
                }
            }
        }
    }

    /// `piece` may not be started any more.
    pub(super) fn close_piece(&mut self, piece: u32) {
        if self.picker.remove(piece) {
            for peer in self.peers.values_mut() {
                peer.open -= u32::from(peer.has.get(piece));
            }
        }
    }

    /// `piece` is missing and wanted.
    pub(super) fn need(&mut self, piece: u32) {
        if self.needed.set(piece) {
            let has = |peer: &Peer| peer.has.get(piece);
            let keys: Vec<PeerKey> = self
                .peers
                .iter()
                .filter(|(_, p)| has(p))
                .map(|(k, _)| *k)
                .collect();
            for key in keys {
                if let Some(peer) = self.peers.get_mut(&key) {
                    peer.needed += 1;
                }
                self.update_interest(key);
            }
            self.open_piece(piece);
        }
    }

    /// `piece` is here, or not wanted.
    pub(super) fn unneed(&mut self, piece: u32) {
        self.close_piece(piece);
        if self.needed.clear(piece) {
            let has = |peer: &Peer| peer.has.get(piece);
            let keys: Vec<PeerKey> = self
                .peers
                .iter()
                .filter(|(_, p)| has(p))
                .map(|(k, _)| *k)
                .collect();
            for key in keys {
                if let Some(peer) = self.peers.get_mut(&key) {
                    peer.needed -= 1;
                }
                self.update_interest(key);
            }
        }
    }

    pub(super) fn update_interest(&mut self, key: PeerKey) {
        let Some(peer) = self.peers.get_mut(&key) else {
            return;
        };
        let wants = peer.needed > 0;
        if wants == peer.interesting {
            return;
        }
        peer.interesting = wants;
        if wants {
            self.hungry.insert(key);
            self.send(key, Message::Interested);
        } else {
            self.send(key, Message::NotInterested);
        }
    }

    /// After a change of what is needed: says so once, and lets go of peers that are complete as well.
    pub(super) fn check_complete(&mut self) {
        let complete = self.needed.count() == 0;
        if complete == self.complete {
            return;
        }
        self.complete = complete;
        if !complete {
            self.candidates.reconsider(self.now);
            self.dial();
            return;
        }
        self.actions.push_back(Action::Complete);
        let keys: Vec<PeerKey> = self.peers.keys().copied().collect();
        for key in keys {
            self.drop_if_unneeded(key);
        }
    }
}
