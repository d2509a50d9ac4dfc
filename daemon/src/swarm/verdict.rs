//! What becomes of a piece that is whole: held, or fetched again and its liars found.
use p2p_wire::PieceIndex;
use p2p_wire::peer::Message;

use super::partial::{Partial, Source};
use super::peer::Peer;
use super::{Action, DropReason, PeerKey, Swarm, Verified};

/// A peer that took part in `n` failed pieces gives `2^n` good ones alone; no more than 2 to this power.
const MAX_STRIKES: u32 = 6;

impl Swarm {
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
        self.passed.remove(&piece);
        if let [only] = partial.sources[..]
            && let Some(peer) = self.peers.get_mut(&only.key)
        {
            peer.parole = peer.parole.saturating_sub(1);
            peer.given = peer.given.saturating_add(1);
        }
        self.have.set(piece);
        self.unneed(piece);
        // To those that have it too: by this they learn that we are complete, and two seeds part.
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
            self.banned_ids.insert(only.who);
            self.ban(only.addr);
            self.ban_listen_addr(only.key);
            self.drop_peer(only.key, DropReason::BadData);
            // What it gave to other pieces is not worth waiting for, and would cast doubt on those who complete them.
            let tainted: Vec<u32> = self
                .progress
                .iter()
                .filter(|(_, p)| !p.verifying && p.sources.iter().any(|s| s.who == only.who))
                .map(|(piece, _)| piece)
                .collect();
            for piece in tainted {
                self.give_up(piece);
            }
            return;
        }
        let known = |source: &Source| self.banned_ids.contains(&source.who);
        if partial.sources.iter().any(known) {
            return;
        }
        for source in &partial.sources {
            if let Some(peer) = self.peers.get_mut(&source.key) {
                peer.strikes = (peer.strikes + 1).min(MAX_STRIKES);
                peer.parole = 1 << peer.strikes;
                peer.given = 0;
                peer.working.clear();
            }
        }
    }

    /// Who dialled us listens elsewhere than at the address it came from.
    pub(super) fn ban_listen_addr(&mut self, key: PeerKey) {
        let listen = self.peers.get(&key).and_then(Self::listen_addr);
        if let Some(addr) = listen {
            self.ban(addr);
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
                peer.may_start = true;
                if peer.starved {
                    self.hungry.insert(*key);
                }
            }
        }
    }

    /// `piece` may not be started any more.
    pub(super) fn close_piece(&mut self, piece: u32) {
        self.picker.remove(piece);
    }

    /// `piece` is missing and wanted.
    pub(super) fn need(&mut self, piece: u32) {
        if self.needed.set(piece) {
            for key in self.holders(piece) {
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
            for key in self.holders(piece) {
                if let Some(peer) = self.peers.get_mut(&key) {
                    peer.needed -= 1;
                }
                self.update_interest(key);
            }
        }
    }

    /// The peers that have `piece`.
    fn holders(&self, piece: u32) -> Vec<PeerKey> {
        let has = |(_, peer): &(&PeerKey, &Peer)| peer.has.get(piece);
        let holders = self.peers.iter().filter(has);
        holders.map(|(key, _)| *key).collect()
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
        self.weigh();
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
