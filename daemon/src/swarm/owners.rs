//! Whether pieces in progress are in the right hands: slow owners are helped, and a piece that nobody may help with goes to another peer.
//!
//! Nobody may help with a piece that failed before, and a peer on parole may help with none: else a bad piece would accuse nobody. So
//! such a piece must not stay with a peer that gives next to nothing, nor lie with nobody while only peers on parole are left.
use std::time::Duration;

use p2p_wire::PieceIndex;

use super::partial::{Partial, Start};
use super::peer::Peer;
use super::{PeerKey, Swarm};

/// A peer that gives a whole piece in this time has it to itself; the pieces of slower ones are shared.
const OWN_PIECE: Duration = Duration::from_secs(10);
/// A new owner's rate is not known yet.
const UNKNOWN_RATE: Duration = Duration::from_secs(3);
/// That time is doubled each time a piece is passed on, up to 2 to this power: in the end any peer that gives at all gives it whole.
const MAX_PASSES: u32 = 12;

impl Swarm {
    /// Finds out which owners need help with their pieces. Once a second is often enough, and for each request too often.
    pub(super) fn judge_owners(&mut self) {
        let (now, peers) = (self.now, &self.peers);
        self.progress.judge_owners(|owner, partial| {
            let young = now.saturating_duration_since(partial.started) < UNKNOWN_RATE;
            let enough = u64::from(partial.len) / OWN_PIECE.as_secs();
            !young && peers.get(&owner).is_none_or(|p| p.down.rate(now) < enough)
        });
        self.pass_on();
    }

    /// Gives to peers without work, the fastest first, the pieces that they may not help with and would give alone much sooner.
    fn pass_on(&mut self) {
        let idle = self.peers.iter().filter(|(_, p)| p.starved && p.answers());
        let mut idle: Vec<(Duration, PeerKey)> = idle.map(|(k, p)| (p.interval, *k)).collect();
        idle.sort_unstable();
        for (_, key) in idle {
            let Some(piece) = self.better_with(key) else {
                continue;
            };
            *self.passed.entry(piece.get()).or_default() += 1;
            self.give_up(piece.get());
            let alone = Start {
                owner: key,
                single: true,
            };
            self.begin(piece, alone);
            if let Some(peer) = self.peers.get_mut(&key) {
                peer.working.push(piece.get());
            }
            self.hungry.insert(key);
        }
    }

    /// A piece in progress that should be `key`'s alone.
    fn better_with(&self, key: PeerKey) -> Option<PieceIndex> {
        let peer = self.peers.get(&key)?;
        let closed = |partial: &Partial| {
            (partial.single || peer.parole > 0) && !partial.verifying && partial.owner != Some(key)
        };
        let mut closed = self.progress.iter().filter(|(_, p)| closed(p));
        let better = closed.find(|(piece, partial)| {
            peer.has.get(*piece)
                && (self.is_orphan(*piece, partial) || self.is_sooner(*piece, partial, peer))
        });
        self.layout.piece(better?.0)
    }

    /// Nobody is asked for it, and only peers on parole are left that could be.
    fn is_orphan(&self, piece: u32, partial: &Partial) -> bool {
        let helps = |peer: &Peer| peer.answers() && peer.parole == 0 && peer.has.get(piece);
        !partial.single && partial.asked() == 0 && !self.peers.values().any(helps)
    }

    /// As fast as it has come so far, the rest takes more than twice as long as the whole from `peer`.
    fn is_sooner(&self, piece: u32, partial: &Partial, peer: &Peer) -> bool {
        let passes = self.passed.get(&piece).copied().unwrap_or(0);
        let age = self.now.saturating_duration_since(partial.started);
        if age < UNKNOWN_RATE * 2u32.pow(passes.min(MAX_PASSES)) {
            return false;
        }
        let lacking = u64::from(partial.len) - partial.received_bytes;
        let rest =
            age.as_millis() * u128::from(lacking) / u128::from(partial.received_bytes.max(1));
        let alone = peer.interval.as_millis() * partial.slots.len() as u128;
        rest > OWN_PIECE.as_millis() && alone * 2 < rest
    }
}
