//! Places in one swarm: who gives way when they are all taken.
//!
//! Who connects to us and gives and takes nothing is pushed out by who comes after it, the oldest first, so that a crowd of silent peers
//! keeps nobody out for longer than it takes to connect. Some places are for peers that we dial alone: a crowd that connects to us
//! does not keep us from those we know.
use std::time::Duration;

use super::peer::Peer;
use super::{DropReason, PeerKey, Swarm};

/// One place in so many is for peers that we dial.
const DIALLED: usize = 8;
/// When all places are taken, a peer that has been of no use to either side for so long gives up its own.
const USELESS_AFTER: Duration = Duration::from_secs(60);

impl Swarm {
    /// Sees to it that there is a place for one more connection; false when nobody gives way.
    pub(super) fn has_room(&mut self, outgoing: bool) -> bool {
        let most = self.options.max_peers;
        if self.peers.len() >= most {
            return self.make_room(outgoing);
        }
        let theirs = self
            .peers
            .values()
            .filter(|peer| !peer.info.outgoing)
            .count();
        outgoing || theirs < most.div_ceil(DIALLED) * (DIALLED - 1) || self.make_room(outgoing)
    }

    fn make_room(&mut self, outgoing: bool) -> bool {
        let now = self.now;
        let gives_way = |peer: &Peer| {
            let long = now.saturating_duration_since(peer.connected) >= USELESS_AFTER;
            let useless = !peer.interested && !peer.interesting && long;
            // Whom we dialled may only need time to have its turn with us.
            useless || (!peer.info.outgoing && peer.down.total() + peer.up.total() == 0)
        };
        let theirs = |peer: &Peer| {
            outgoing || !peer.info.outgoing || self.peers.len() >= self.options.max_peers
        };
        let giving = self
            .peers
            .iter()
            .filter(|(_, peer)| gives_way(peer) && theirs(peer));
        let oldest: Option<PeerKey> = giving
            .min_by_key(|(_, peer)| peer.connected)
            .map(|(key, _)| *key);
        let Some(key) = oldest else { return false };
        self.drop_peer(key, DropReason::NoRoom);
        true
    }
}
