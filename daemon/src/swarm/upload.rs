//! What peers ask of us, and who of them may.
use std::time::Duration;

use p2p_wire::peer::Message;
use p2p_wire::{Block, PieceIndex};

use super::asked::TakenBack;
use super::choker::Contender;
use super::{Action, PeerKey, Swarm, Violation};

/// Requests of one peer that wait here, as told in the extension handshake: 32 MiB, what 1 Gbit/s carries over a path of 250 ms.
pub(super) const REQUEST_QUEUE: u32 = 2000;
/// Bytes handed out to be read ahead of what has left: half a second's worth within these bounds.
const READ_AHEAD: (u64, u64) = (512 << 10, 8 << 20);

impl Swarm {
    pub(super) fn requested(&mut self, key: PeerKey, block: Block) -> Result<(), Violation> {
        let piece = self
            .layout
            .check_block(block)
            .ok_or(Violation("request out of range"))?;
        let Some(peer) = self.peers.get_mut(&key) else {
            return Ok(());
        };
        if peer.choked || !self.have.get(piece.get()) {
            self.refuse(key, block);
            return Ok(());
        }
        if peer.asked.len() >= REQUEST_QUEUE as usize {
            if !peer.info.fast {
                return Err(Violation("more requests than we queue"));
            }
            self.refuse(key, block);
            return Ok(());
        }
        if peer.asked.push(block) {
            self.pump(key);
        }
        Ok(())
    }

    pub(super) fn cancelled(&mut self, key: PeerKey, block: Block) {
        let Some(peer) = self.peers.get_mut(&key) else {
            return;
        };
        match peer.asked.take_back(block) {
            TakenBack::Waited => {}
            TakenBack::Left => self.actions.push_back(Action::CancelUpload(key, block)),
            TakenBack::Unknown => return,
        }
        self.refuse(key, block);
        self.pump(key);
    }

    pub(super) fn uploaded(&mut self, key: PeerKey, block: Block) {
        let now = self.now;
        self.up.add(u64::from(block.len), now);
        let Some(peer) = self.peers.get_mut(&key) else {
            return;
        };
        peer.up.add(u64::from(block.len), now);
        peer.sent = now;
        peer.asked.gone(block);
        self.pump(key);
    }

    /// The block cannot be read: its piece is not there any more.
    pub(super) fn read_failed(&mut self, key: PeerKey, block: Block) {
        if let Some(piece) = self.layout.check_block(block) {
            self.lost(piece);
        }
        if let Some(peer) = self.peers.get_mut(&key) {
            peer.asked.gone(block);
        }
        self.refuse(key, block);
        self.pump(key);
    }

    /// The piece is not there any more: nobody gets it, and it is fetched again if it is wanted.
    pub(super) fn lost(&mut self, piece: PieceIndex) {
        if self.have.clear(piece.get()) && self.options.wanted.get(piece.get()) {
            self.need(piece.get());
            self.check_complete();
        }
        let keys: Vec<PeerKey> = self.peers.keys().copied().collect();
        for key in keys {
            let Some(peer) = self.peers.get_mut(&key) else {
                continue;
            };
            for block in peer.asked.drop_waiting(|b| b.piece == piece.get()) {
                self.refuse(key, block);
            }
        }
    }

    pub(super) fn interested(&mut self, key: PeerKey, interested: bool) {
        let Some(peer) = self.peers.get_mut(&key) else {
            return;
        };
        if peer.interested == interested {
            return;
        }
        peer.interested = interested;
        if interested {
            self.fill_slots();
        } else {
            self.set_choked(key, true);
            self.fill_slots();
            self.drop_if_unneeded(key);
        }
    }

    /// Gives places that are free to those who wait, without waiting for the round.
    pub(super) fn fill_slots(&mut self) {
        while let Some(key) = self.choker.fill(&self.contenders()) {
            self.set_choked(key, false);
        }
    }

    /// A round of the choker.
    pub(super) fn choke_round(&mut self) {
        let contenders = self.contenders();
        let chosen = self
            .choker
            .round(self.complete, &contenders, self.now, &mut self.rng);
        for contender in &contenders {
            if !chosen.contains(&contender.key) {
                self.set_choked(contender.key, true);
            }
        }
        for key in chosen {
            self.set_choked(key, false);
        }
        for peer in self.peers.values_mut() {
            peer.round = (peer.down.total(), peer.up.total());
        }
    }

    /// Whether rounds are of any use now.
    pub(super) fn anybody_interested(&self) -> bool {
        self.peers.values().any(|peer| peer.interested)
    }

    fn contenders(&self) -> Vec<Contender> {
        self.peers
            .iter()
            .filter(|(_, peer)| peer.interested)
            .map(|(key, peer)| Contender {
                key: *key,
                bytes: if self.complete {
                    peer.up.total() - peer.round.1
                } else {
                    peer.down.total() - peer.round.0
                },
                unchoked: !peer.choked,
                since: peer.turned,
            })
            .collect()
    }

    fn set_choked(&mut self, key: PeerKey, choked: bool) {
        let now = self.now;
        let Some(peer) = self.peers.get_mut(&key) else {
            return;
        };
        if peer.choked == choked {
            return;
        }
        peer.choked = choked;
        peer.turned = now;
        let dropped = peer.asked.drop_waiting(|_| true);
        self.send(
            key,
            if choked {
                Message::Choke
            } else {
                Message::Unchoke
            },
        );
        for block in dropped {
            self.refuse(key, block);
        }
    }

    /// Says that a request is not served, to peers that understand it (BEP 6).
    fn refuse(&mut self, key: PeerKey, block: Block) {
        if self.peers.get(&key).is_some_and(|peer| peer.info.fast) {
            self.send(key, Message::Reject(block));
        }
    }

    /// Hands out the next requests to be read, not more than the connection takes in a short while: what waits here can still be
    /// cancelled or choked without cost.
    fn pump(&mut self, key: PeerKey) {
        let now = self.now;
        let Some(peer) = self.peers.get_mut(&key) else {
            return;
        };
        let ahead = peer.up.rate(now) * Duration::from_millis(500).as_millis() as u64 / 1000;
        let ahead = ahead.clamp(READ_AHEAD.0, READ_AHEAD.1);
        while let Some(block) = peer.asked.hand_out(ahead) {
            self.actions.push_back(Action::Upload(key, block));
        }
    }
}
