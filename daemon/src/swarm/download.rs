//! Blocks that arrive, and requests that end without one.
use std::collections::BTreeSet;
use std::time::Duration;

use p2p_wire::Block;
use p2p_wire::peer::Message;

use super::owed::Owed;
use super::partial::{Partial, Receipt, Source, count, overlap};
use super::progress::Progress;
use super::{Action, BlockFate, DropReason, PeerKey, Swarm, Violation};

/// A peer with requests outstanding and no block for so long is of no use.
const NO_PROGRESS: Duration = Duration::from_secs(60);
/// So is one that stalled so often without a block in between.
const MAX_STALLS: u32 = 5;

impl Swarm {
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
        let Some(request) = peer.owed.take(block) else {
            self.wasted += u64::from(block.len);
            peer.unrequested = peer
                .unrequested
                .checked_sub(u64::from(block.len))
                .ok_or(Violation("too many blocks that were not asked for"))?;
            return Ok(BlockFate::Waste);
        };
        let latency = now.saturating_duration_since(request.at);
        peer.window
            .received(count(block), latency, peer.down.rate(now), now);
        peer.note_block(request.at, now);
        peer.stalls = 0;
        if peer.room().is_some() {
            self.hungry.insert(key);
        }
        let (counted, info) = (!peer.stalled, peer.info);
        let source = Source {
            key,
            addr: info.addr,
            who: info.who(),
        };
        let receipt = self.progress.receive(block, source, counted, now);
        if counted && receipt == Receipt::Unwanted {
            self.progress.release(block);
        }
        if !counted {
            self.resume(key);
        }
        let Receipt::Kept {
            others,
            again,
            whole,
        } = receipt
        else {
            self.wasted += u64::from(block.len);
            return Ok(BlockFate::Waste);
        };
        self.wasted += u64::from(again);
        if others > 0 || self.may_be_stalled {
            self.cancel(|progress, asked| overlap(asked, block) && !progress.lacks(asked));
        }
        if whole && let Some(piece) = self.layout.piece(block.piece) {
            self.actions.push_back(Action::Verify(piece));
        }
        Ok(BlockFate::Keep)
    }

    /// Takes back all requests for blocks that `unwanted` says; their slots must not count them any more.
    fn cancel(&mut self, unwanted: impl Fn(&Progress, Block) -> bool) {
        let mut cancelled = Vec::new();
        for (key, peer) in &mut self.peers {
            for block in peer.owed.take_all(|block| unwanted(&self.progress, block)) {
                peer.forgive(block.len);
                cancelled.push((*key, block));
            }
            if peer.stalled && peer.owed.is_empty() {
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
        if peer.choking && !peer.owed.is_empty() {
            return;
        }
        peer.stalled = false;
        peer.window.restart(now);
        let owed: Vec<Block> = peer.owed.iter().map(|r| r.block).collect();
        peer.owed.change_times(|_, at| *at = now);
        self.hungry.insert(key);
        for block in owed {
            let foreign = |partial: &Partial| partial.is_closed_to(key);
            let lost = self.progress.get(block.piece).is_none_or(foreign);
            if (lost || !self.progress.ask_again(block, key, now))
                && let Some(peer) = self.peers.get_mut(&key)
                && peer.owed.take(block).is_some()
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
        let blocks: Vec<Block> = peer.owed.iter().map(|r| r.block).collect();
        if forget {
            peer.owed = Owed::default();
            blocks.iter().for_each(|block| peer.forgive(block.len));
        }
        peer.stalled = !peer.owed.is_empty();
        self.may_be_stalled |= peer.stalled;
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
            if (empty && forget) || (owned && partial.single) {
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
        self.cancel(|_, block| block.piece == piece);
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
        if peer.owed.take(block).is_none() {
            return;
        }
        let (counted, choking) = (!peer.stalled, peer.choking);
        // Others are asked first, this peer not before the next tick.
        peer.starved &= choking;
        if peer.stalled && peer.owed.is_empty() {
            peer.stalled = false;
            peer.window.restart(self.now);
            self.hungry.insert(key);
        }
        if counted {
            self.progress.release(block);
        }
        self.settle(key, block.piece);
        // Transmission refuses now and then what it has and gives when asked again. Who refuses twice does not give it.
        let again = !choking
            && self
                .peers
                .get_mut(&key)
                .is_some_and(|p| p.may_be_asked_again(block));
        if !choking && !again {
            self.lose_piece(key, block.piece);
            self.hungry.insert(key);
        }
        self.wake_starved();
        if again {
            self.hungry.remove(&key);
            self.starve(key);
            self.next_tick = self.next_tick.min(self.now + Duration::from_secs(1));
        }
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

    /// A peer keeps us waiting: others may be asked. One that does so again and again has nothing to give.
    fn stall(&mut self, key: PeerKey) {
        let Some(peer) = self.peers.get_mut(&key) else {
            return;
        };
        peer.stalls += 1;
        if peer.stalls >= MAX_STALLS {
            self.drop_peer(key, DropReason::TimedOut);
        } else {
            self.release_all(key, false);
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
            self.stall(key);
        } else if peer.starved {
            self.hungry.insert(key);
        }
        true
    }
}
