//! Peers come and go.
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use p2p_wire::PeerId;
use p2p_wire::peer::Message;

use super::candidates::{Ending, Want, canonical};
use super::peer::Peer;
use super::{Action, DropReason, NewPeer, PeerKey, Swarm};

/// Two connections between the same peers within this time were made at once, one by each.
const AT_ONCE: Duration = Duration::from_secs(10);

/// Whether `new` takes the place of a connection to the same peer, and of when that is: of two made at once both sides keep the one that
/// the peer with the smaller id dialled.
pub(super) fn replaces(
    new: &NewPeer,
    old: (&NewPeer, Instant),
    our_id: PeerId,
    now: Instant,
) -> bool {
    let (old, since) = old;
    let at_once = now.saturating_duration_since(since) < AT_ONCE;
    at_once && old.outgoing != new.outgoing && new.outgoing == (our_id < new.peer_id)
}

impl Swarm {
    pub(super) fn connect(&mut self, key: PeerKey, peer: NewPeer) {
        if self.peers.contains_key(&key) {
            return;
        }
        if peer.outgoing {
            self.candidates.add(&[peer.addr], self.now);
        }
        if let Err(reason) = self.admit(key, &peer) {
            self.actions.push_back(Action::Drop(key, reason));
            self.dial();
            return;
        }
        self.candidates.link(peer.addr, key);
        self.ids.insert(peer.who(), key);
        self.peers
            .insert(key, Peer::new(peer, self.layout.pieces(), self.now));
        self.divide();
        self.greet(key);
        self.next_tick = self.next_tick.min(self.now + Duration::from_secs(60));
    }

    /// Whether the connection may stay; settles its address if not.
    fn admit(&mut self, key: PeerKey, peer: &NewPeer) -> Result<(), DropReason> {
        let now = self.now;
        if peer.peer_id == self.options.our_id {
            if peer.outgoing {
                self.candidates.ban(peer.addr);
            }
            return Err(DropReason::Duplicate);
        }
        if self.banned_ids.contains(&peer.who()) || self.candidates.is_banned(peer.addr) {
            self.candidates.ban(peer.addr);
            return Err(DropReason::BadData);
        }
        if !self.candidates.allows(peer.addr) {
            return Err(DropReason::NoRoom);
        }
        if let Some(old) = self.ids.get(&peer.who()).copied() {
            let our_id = self.options.our_id;
            let known = self.peers.get(&old);
            if known.is_some_and(|p| !replaces(peer, (&p.info, p.connected), our_id, now)) {
                self.candidates.link(peer.addr, old);
                return Err(DropReason::Duplicate);
            }
            let old_addr = self.peers.get(&old).map(|p| p.info.addr);
            self.drop_peer(old, DropReason::Duplicate);
            if let Some(addr) = old_addr {
                self.candidates.link(addr, key);
            }
        }
        if !self.has_room(peer.outgoing) {
            self.candidates.link(peer.addr, key);
            self.candidates.unlink(key, Ending::Useless, now);
            return Err(DropReason::NoRoom);
        }
        Ok(())
    }

    /// Drops the peer that is missed least: one of no use to either side, else the youngest. False when there is none.
    pub(super) fn drop_least(&mut self) -> bool {
        let useless = |peer: &Peer| !peer.interested && !peer.interesting;
        let least = (self.peers.iter()).max_by_key(|(_, peer)| (useless(peer), peer.connected));
        let Some(key) = least.map(|(key, _)| *key) else {
            return false;
        };
        self.drop_peer(key, DropReason::NoRoom);
        true
    }

    /// What we have (BEP 3, BEP 6), then who we are (BEP 10).
    fn greet(&mut self, key: PeerKey) {
        let Some(NewPeer { fast, extended, .. }) = self.peers.get(&key).map(|p| p.info) else {
            return;
        };
        if fast && self.have.is_full() {
            self.send(key, Message::HaveAll);
        } else if self.have.count() > 0 {
            self.send(key, Message::Bitfield(self.have.to_bytes()));
        } else if fast {
            self.send(key, Message::HaveNone);
        }
        if extended {
            let hello = self.extension_handshake();
            self.send(key, Message::Extended(0, hello));
        }
    }

    /// Closes a connection.
    pub(super) fn drop_peer(&mut self, key: PeerKey, reason: DropReason) {
        let ending = match reason {
            DropReason::NotNeeded => Ending::NotNeeded,
            DropReason::Duplicate => Ending::Useful,
            DropReason::TimedOut | DropReason::BadData | DropReason::NoRoom => Ending::Useless,
        };
        if self.forget(key, ending) {
            self.actions.push_back(Action::Drop(key, reason));
        }
    }

    /// Takes a peer out of everything; true if it was there.
    pub(super) fn forget(&mut self, key: PeerKey, ending: Ending) -> bool {
        self.release_all(key, true);
        let Some(peer) = self.peers.remove(&key) else {
            return false;
        };
        self.hungry.remove(&key);
        if self.ids.get(&peer.info.who()) == Some(&key) {
            self.ids.remove(&peer.info.who());
        }
        if peer.as_seed {
            self.picker.remove_seed();
        } else if peer.has.count() > 0 {
            self.picker.remove_many(peer.has.iter());
        }
        self.divide();
        self.weigh();
        self.candidates.unlink(key, ending, self.now);
        self.fill_slots();
        true
    }

    /// The connection ended by itself.
    pub(super) fn disconnect(&mut self, key: PeerKey) {
        let Some(peer) = self.peers.get(&key) else {
            return;
        };
        let useful = peer.down.total() + peer.up.total() > 0;
        let ending = if useful {
            Ending::Useful
        } else {
            Ending::Useless
        };
        self.forget(key, ending);
        self.dial();
    }

    /// The peer broke the protocol or lied: it is never dialled again.
    pub(super) fn ban(&mut self, addr: SocketAddr) {
        self.candidates.ban(canonical(addr));
    }

    /// Peers that have everything are of no use to us once we have it too, nor we to them.
    pub(super) fn drop_if_unneeded(&mut self, key: PeerKey) {
        if !self.complete {
            return;
        }
        let Some(peer) = self.peers.get(&key) else {
            return;
        };
        let wants_nothing = peer.has.is_full()
            || (self.have.is_full()
                && !peer.interested
                && peer.extension.as_ref().is_some_and(|e| e.upload_only));
        if wants_nothing {
            self.drop_peer(key, DropReason::NotNeeded);
        }
    }

    /// Says how much further peers are wanted: whoever is connected is of no use to a fetch if it has nothing of what is missing.
    pub(super) fn weigh(&mut self) {
        let useful = self.peers.values().any(|peer| peer.interesting);
        let want = match self.needed.count() {
            0 if self.peers.is_empty() => Want::Lonely,
            0 => Want::Little,
            _ if useful => Want::Little,
            _ => Want::Badly,
        };
        self.candidates.want(want, self.now);
    }

    /// Asks for connections while there is room.
    pub(super) fn dial(&mut self) {
        self.weigh();
        let max = self.options.max_peers;
        while let Some(addr) = self.candidates.next(self.peers.len(), max, self.now) {
            self.actions.push_back(Action::Dial(addr));
        }
    }

    /// A tick: silence, keep-alives, stalls. Gives when to look again.
    pub(super) fn look_after_peers(&mut self) -> Instant {
        const SILENCE: Duration = Duration::from_secs(180);
        const KEEP_ALIVE: Duration = Duration::from_secs(120);
        let now = self.now;
        let since = |then: Instant| now.saturating_duration_since(then);
        let mut next = now + KEEP_ALIVE;
        let keys: Vec<PeerKey> = self.peers.keys().copied().collect();
        for key in keys {
            let Some(peer) = self.peers.get(&key) else {
                continue;
            };
            if since(peer.heard) >= SILENCE {
                self.drop_peer(key, DropReason::TimedOut);
                continue;
            }
            let (heard, sent) = (peer.heard, peer.sent);
            if since(sent) >= KEEP_ALIVE {
                self.send(key, Message::KeepAlive);
            } else {
                next = next.min(sent + KEEP_ALIVE);
            }
            next = next.min(heard + SILENCE);
            if self.check_stall(key) {
                next = next.min(now + Duration::from_secs(1));
            }
        }
        self.may_be_stalled = self.peers.values().any(|peer| peer.stalled);
        self.judge_owners();
        next
    }
}
