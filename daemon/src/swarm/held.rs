//! Time during which we did not read a peer. What it sent meanwhile may lie in a socket, so nothing of that time speaks against it.
use std::time::{Duration, Instant};

use super::{PeerKey, Swarm};

impl Swarm {
    /// All that `key` was to do in `time` counts as begun so much later.
    pub(super) fn held_back(&mut self, key: PeerKey, time: Duration) {
        let now = self.now;
        let later = |at: &mut Instant| *at = (*at + time).min(now);
        let Some(peer) = self.peers.get_mut(&key) else {
            return;
        };
        later(&mut peer.heard);
        peer.last_block.iter_mut().for_each(later);
        peer.window.held_back(time, now);
        peer.owed.change_times(|block, at| {
            later(at);
            self.progress.asked_later(block, key, later);
        });
        self.progress.owned_later(key, later);
    }
}
