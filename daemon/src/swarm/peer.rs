//! What is known of one connected peer.
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use p2p_wire::peer::ExtensionHandshake;
use p2p_wire::{BLOCK_LEN, Bitfield, Block, MAX_BLOCK_LEN, PeerId};

use super::asked::Asked;
use super::owed::Owed;
use super::rate::RateMeter;
use super::window::Window;
use super::{NewPeer, PeerKey, PeerStats};

/// Unrequested bytes a peer may send in its life beyond those we cancelled: more is an attack on our bandwidth.
const UNREQUESTED: u64 = 1 << 20;

/// Refusals that are remembered; who refuses more than this gets no second chance for a block.
const MAX_REFUSED: usize = 1024;

/// A long block has so many of the usual length.
const LONG: u32 = MAX_BLOCK_LEN / BLOCK_LEN;

/// From this window on, in blocks of the usual length, long blocks are asked for: sixteen of them.
const LONG_FROM: u32 = 16 * LONG;

/// Who is at the other end: its id and where it is. The id alone proves nothing, as whoever has met a peer can claim to be it.
pub(super) type Who = (PeerId, IpAddr);

impl NewPeer {
    pub(super) fn who(&self) -> Who {
        (self.peer_id, self.addr.ip())
    }
}

/// One connected peer.
///
/// Invariant: `needed` counts its pieces that we need; unless `may_start`, the picker may start none of its pieces. The requests of a peer that is
/// `stalled` are not counted by the pieces in progress: others may be asked for the same, but a late answer is still taken.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) info: NewPeer,
    pub(super) connected: Instant,
    pub(super) heard: Instant,
    pub(super) sent: Instant,

    pub(super) has: Bitfield,
    /// How many bitfields it sent.
    pub(super) bitfields: u32,
    /// The picker counts it as complete, not piece by piece.
    pub(super) as_seed: bool,
    pub(super) needed: u32,
    /// Some of its pieces may be open to be started. Only a look finds out that none is: to count them would cost every peer a visit
    /// for each piece that is started.
    pub(super) may_start: bool,

    pub(super) choking: bool,
    pub(super) interested: bool,
    pub(super) choked: bool,
    pub(super) interesting: bool,
    pub(super) extension: Option<ExtensionHandshake>,
    pub(super) metadata_parts: u32,

    pub(super) owed: Owed,
    /// Blocks it refused once while it was not choking us.
    pub(super) refused: BTreeSet<Block>,
    pub(super) stalled: bool,
    /// How often it stalled since its last block.
    pub(super) stalls: u32,
    /// It had room for requests and nothing to be asked for.
    pub(super) starved: bool,
    /// Pieces it takes blocks from, the last first.
    pub(super) working: Vec<u32>,
    pub(super) window: Window,
    pub(super) last_block: Option<Instant>,
    /// Mean time between its blocks.
    pub(super) interval: Duration,
    pub(super) down: RateMeter,
    pub(super) unrequested: u64,
    /// Good pieces it must give all alone before it may share pieces again.
    pub(super) parole: u32,
    pub(super) strikes: u32,
    /// Good pieces it gave all alone since it was last suspected.
    pub(super) given: u32,

    pub(super) asked: Asked,
    pub(super) up: RateMeter,

    /// When it was last choked or unchoked.
    pub(super) turned: Instant,
    /// Block bytes each way at the last round of the choker.
    pub(super) round: (u64, u64),
}

impl Peer {
    pub(super) fn new(info: NewPeer, pieces: u32, now: Instant) -> Self {
        Self {
            info,
            connected: now,
            heard: now,
            sent: now,
            has: Bitfield::new(pieces),
            bitfields: 0,
            as_seed: false,
            needed: 0,
            may_start: false,
            choking: true,
            interested: false,
            choked: true,
            interesting: false,
            extension: None,
            metadata_parts: 0,
            owed: Owed::default(),
            refused: BTreeSet::new(),
            stalled: false,
            stalls: 0,
            starved: false,
            working: Vec::new(),
            window: Window::new(now),
            last_block: None,
            interval: Duration::from_secs(1),
            down: RateMeter::new(now),
            unrequested: UNREQUESTED,
            parole: 0,
            strikes: 0,
            given: 0,
            asked: Asked::default(),
            up: RateMeter::new(now),
            turned: now,
            round: (0, 0),
        }
    }

    /// Notes that it refused `block` while it was not choking us; whether it may be asked for it once more.
    pub(super) fn may_be_asked_again(&mut self, block: Block) -> bool {
        self.refused.len() < MAX_REFUSED && self.refused.insert(block)
    }

    /// It may be asked for blocks now.
    pub(super) fn answers(&self) -> bool {
        !self.choking && !self.stalled && self.needed > 0
    }

    /// How long a block it may be asked for, in blocks of the usual length. A long one costs either side less, and comes whole: it is for peers
    /// that owe many, so that what one request brings is a small part of what is under way.
    pub(super) fn longest_block(&self) -> u32 {
        let serves = self.extension.as_ref().and_then(|e| e.longest_block);
        match serves {
            Some(MAX_BLOCK_LEN..) if self.window.size() >= LONG_FROM => LONG,
            _ => 1,
        }
    }

    /// How many blocks of the usual length its window has room for, if that is enough to ask: requests go out in batches, a quarter of the
    /// window at least.
    pub(super) fn room(&self) -> Option<u32> {
        let room = self.window.size().saturating_sub(self.owed.blocks());
        (room >= (self.window.size() / 4).max(1)).then_some(room)
    }

    /// We do not want `len` bytes any more that it may be sending already.
    pub(super) fn forgive(&mut self, len: u32) {
        self.unrequested = self.unrequested.saturating_add(u64::from(len));
    }

    /// When it last showed progress on what it was asked for.
    pub(super) fn progress_at(&self) -> Option<Instant> {
        let oldest = self.owed.front()?.at;
        Some(self.last_block.map_or(oldest, |last| last.max(oldest)))
    }

    /// How long its next block may take before others are asked.
    pub(super) fn patience(&self) -> Duration {
        (self.interval * 8).clamp(Duration::from_secs(5), Duration::from_secs(45))
    }

    /// A block came; keeps the mean time between blocks.
    pub(super) fn note_block(&mut self, since: Instant, now: Instant) {
        let from = self.last_block.map_or(since, |last| last.max(since));
        let gap = now.saturating_duration_since(from);
        self.interval = (self.interval * 7 + gap) / 8;
        self.last_block = Some(now);
    }

    /// Its numbers.
    pub(super) fn stats(&self, key: PeerKey, now: Instant) -> PeerStats {
        let named = self.extension.as_ref().and_then(|e| e.client.clone());
        PeerStats {
            key,
            addr: self.info.addr,
            client: named.unwrap_or_else(|| client_name(&self.info.peer_id)),
            outgoing: self.info.outgoing,
            pieces: self.has.count(),
            seed: self.has.is_full(),
            down_rate: self.down.rate(now),
            up_rate: self.up.rate(now),
            downloaded: self.down.total(),
            uploaded: self.up.total(),
            choking_us: self.choking,
            choked: self.choked,
            interesting: self.interesting,
            interested: self.interested,
            requests: self.owed.blocks(),
            window: self.window.size(),
        }
    }
}

/// The part of a peer id that names the program (BEP 20): `-qB4520-...` is `qB 4.5.2.0`.
fn client_name(id: &PeerId) -> String {
    let printable = |bytes: &[u8]| bytes.iter().all(u8::is_ascii_alphanumeric);
    match &id.0 {
        [b'-', name @ .., _, _, _, _, _, _, _, _, _, _, _, _] if name.len() == 7 => {
            let (code, version) = name.split_at(2);
            if name[6] == b'-' && printable(code) && printable(&version[..4]) {
                let digits: Vec<String> = version[..4]
                    .iter()
                    .map(|b| char::from(*b).to_string())
                    .collect();
                return format!("{} {}", String::from_utf8_lossy(code), digits.join("."));
            }
            String::from("unknown")
        }
        id => {
            let name: String = id
                .iter()
                .take_while(|b| b.is_ascii_alphanumeric() || **b == b'-')
                .take(8)
                .map(|b| char::from(*b))
                .collect();
            if name.len() < 3 {
                return String::from("unknown");
            }
            name
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_named_from_their_peer_ids() {
        assert_eq!(client_name(&PeerId(*b"-qB4520-abcdefghijkl")), "qB 4.5.2.0");
        assert_eq!(client_name(&PeerId(*b"A2-1-36-0-abcdefghij")), "A2-1-36-");
        assert_eq!(client_name(&PeerId([0xff; 20])), "unknown");
        assert_eq!(
            client_name(&PeerId(*b"-\x1b[31mm-\x1b[31mabcdefg")),
            "unknown"
        );
    }
}
