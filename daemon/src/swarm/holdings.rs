//! What peers have, and whether they give it.
use p2p_wire::{Bitfield, PeerId};

use super::picker::{common, count_common};
use super::{PeerKey, Swarm, Violation};

/// Bitfields from one peer. One is usual, and aria2 sends another now and then in place of many "have"; each costs a walk over all
/// pieces, so that they must not come as fast as the line carries them.
const MAX_BITFIELDS: u32 = 1_000;

/// Whether all of `of` is in `all`, a set over as many pieces.
fn is_subset(of: &Bitfield, all: &Bitfield) -> bool {
    let mut bytes = of.as_bytes().iter().zip(all.as_bytes());
    bytes.all(|(of, all)| of & !all == 0)
}

impl Swarm {
    pub(super) fn peer_has(&mut self, key: PeerKey, piece: u32) -> Result<(), Violation> {
        if piece >= self.layout.pieces() {
            return Err(Violation("have out of range"));
        }
        let Some(peer) = self.peers.get_mut(&key) else {
            return Ok(());
        };
        if !peer.has.set(piece) {
            return Ok(());
        }
        peer.needed += u32::from(self.needed.get(piece));
        peer.may_start |= self.picker.open().get(piece);
        if peer.starved {
            self.hungry.insert(key);
        }
        let is_full = peer.has.is_full();
        self.picker.add_one(piece, &mut self.rng);
        if is_full {
            self.divide();
        }
        self.update_interest(key);
        self.drop_if_unneeded(key);
        Ok(())
    }

    pub(super) fn peer_has_set(&mut self, key: PeerKey, bits: &[u8]) -> Result<(), Violation> {
        let has = Bitfield::from_bytes(bits, self.layout.pieces());
        if let Some(peer) = self.peers.get_mut(&key) {
            peer.bitfields += 1;
            if peer.bitfields > MAX_BITFIELDS && !peer.has.is_full() {
                return Err(Violation("bitfields without end"));
            }
        }
        self.peer_tells(key, has.ok_or(Violation("bad bitfield"))?);
        Ok(())
    }

    /// A bitfield or what stands for one, at any time and again: aria2 sends another in place of many have messages. It adds to
    /// what the peer said before.
    pub(super) fn peer_tells(&mut self, key: PeerKey, has: Bitfield) {
        let Some(peer) = self.peers.get_mut(&key) else {
            return;
        };
        // Nothing new. "Have all" is short: going through the pieces each time it is said would cost us far more than the peer.
        if has.count() == 0 || peer.has.is_full() || is_subset(&has, &peer.has) {
            return;
        }
        if has.is_full() && peer.has.count() == 0 {
            peer.as_seed = true;
            peer.has = has;
            self.picker.add_seed();
        } else {
            let known = std::mem::replace(&mut peer.has, has);
            let mut new = peer.has.clone();
            for piece in common(&known, &peer.has) {
                new.clear(piece);
            }
            known.iter().for_each(|piece| {
                peer.has.set(piece);
            });
            self.picker.add_many(new.iter());
        }
        peer.needed = count_common(&peer.has, &self.needed);
        peer.may_start = true;
        if peer.starved {
            self.hungry.insert(key);
        }
        self.divide();
        self.update_interest(key);
        self.drop_if_unneeded(key);
    }

    /// Divides what only complete peers have among all who lack pieces: so a seed sends a piece once, and the others pass it on.
    pub(super) fn divide(&mut self) {
        let others = self.peers.values().filter(|peer| !peer.has.is_full());
        let others = others.map(|peer| number(&peer.info.peer_id)).collect();
        self.picker.set_rivals(number(&self.options.our_id), others);
    }

    /// The peer does not give `piece`, whatever it said.
    pub(super) fn lose_piece(&mut self, key: PeerKey, piece: u32) {
        let Some(peer) = self.peers.get_mut(&key) else {
            return;
        };
        if std::mem::take(&mut peer.as_seed) {
            self.picker.remove_seed();
            self.picker.add_many(peer.has.iter());
        }
        if !peer.has.clear(piece) {
            return;
        }
        peer.needed -= u32::from(self.needed.get(piece));
        self.picker.remove_one(piece, &mut self.rng);
        self.update_interest(key);
    }

    /// A peer that knows BEP 6 rejects or serves what it was asked for; any other has dropped it.
    pub(super) fn choked_by(&mut self, key: PeerKey) {
        let Some(peer) = self.peers.get_mut(&key) else {
            return;
        };
        if std::mem::replace(&mut peer.choking, true) {
            return;
        }
        let fast = peer.info.fast;
        self.release_all(key, !fast);
    }

    pub(super) fn unchoked_by(&mut self, key: PeerKey) {
        let now = self.now;
        let Some(peer) = self.peers.get_mut(&key) else {
            return;
        };
        if !std::mem::replace(&mut peer.choking, false) {
            return;
        }
        if peer.stalled {
            self.resume(key);
        } else {
            peer.window.restart(now);
        }
        self.hungry.insert(key);
    }
}

/// The end of a peer id, which is random.
fn number(id: &PeerId) -> u64 {
    id.0.iter()
        .skip(12)
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}
