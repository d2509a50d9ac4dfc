//! How much a peer may have in hand before it has shown what its data is worth.
//!
//! All that a liar gave by the time its first piece fails is lost, and so is what honest peers gave to the same pieces. So nobody has more
//! pieces in hand than one more than the good ones it gave alone: who lies from the start costs one piece, and nobody ever costs more
//! than it brought, but for one. An honest peer's allowance doubles with each round of pieces, as the window of its requests does.
use super::{PeerKey, Swarm};

/// Good pieces after which nothing is counted any more.
const TRUSTED: u32 = 64;

impl Swarm {
    /// Whether `key` must first show that what it has in hand is good.
    pub(super) fn is_on_trial(&self, key: PeerKey) -> bool {
        let given = self.peers.get(&key).map_or(0, |peer| peer.given);
        given < TRUSTED && self.progress.owned(key) > given
    }
}
