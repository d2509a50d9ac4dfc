//! One torrent's protocol state, pure: messages, events and `now` in, actions out. No socket, no file, no clock, no random source of its own.
//!
//! Everything happens in `handle_*`; requests are chosen in `poll_action`, when all else is done, so that a batch of blocks is
//! answered by one batch of requests.
//!
//! A piece is kept account of in blocks of 16 KiB, the usual length of a request. A peer that says so in its extension handshake (`p2p_block`) and
//! gives much is asked for eight of them at once, a long block: that costs both sides an eighth of the work for each request. The rest do not notice.
mod api;
mod asked;
mod attempt;
mod candidates;
mod choker;
mod connections;
#[cfg(test)]
mod crowd_tests;
mod download;
mod extension;
#[cfg(test)]
mod hand;
mod held;
mod holdings;
#[cfg(any(test, fuzzing))]
pub mod hostile;
#[cfg(test)]
mod long_tests;
mod metadata;
mod owed;
mod owners;
#[cfg(test)]
mod owners_tests;
mod partial;
mod peer;
mod picker;
#[cfg(test)]
mod places_tests;
mod progress;
#[cfg(test)]
mod protocol_tests;
mod rate;
mod requests;
mod room;
mod said;
#[cfg(test)]
mod serving_tests;
#[cfg(test)]
mod sim;
mod trial;
mod upload;
mod verdict;
mod window;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use p2p_wire::peer::Message;
use p2p_wire::{Bitfield, Block, Layout, PieceIndex};
use rand::SeedableRng;
use rand::rngs::SmallRng;

pub use self::api::{
    Action, BlockFate, DropReason, NewPeer, Options, PeerKey, PeerStats, Stats, Verified, Violation,
};
pub use self::metadata::{Acquainted, MetadataFetch, MetadataOptions};

use self::candidates::{Candidates, canonical};
use self::choker::Choker;
use self::peer::{Peer, Who};
use self::picker::Picker;
use self::progress::Progress;
use self::rate::RateMeter;

/// One torrent's protocol state.
///
/// Call `handle_*` as things happen, then take [`Swarm::poll_action`] until it is empty, then sleep until [`Swarm::poll_timeout`].
/// After a `Violation`, and after `Action::Drop`, the caller closes the connection and calls [`Swarm::handle_disconnected`].
pub struct Swarm {
    layout: Layout,
    options: Options,
    have: Bitfield,
    /// Wanted and not held.
    needed: Bitfield,
    complete: bool,
    peers: BTreeMap<PeerKey, Peer>,
    ids: BTreeMap<Who, PeerKey>,
    banned_ids: BTreeSet<Who>,
    candidates: Candidates,
    picker: Picker,
    progress: Progress,
    /// Pieces that failed: they are fetched from one peer each.
    failed: BTreeSet<u32>,
    /// How often a piece was taken from a slow peer.
    passed: BTreeMap<u32, u32>,
    choker: Choker,
    /// Peers whose windows may have room.
    hungry: BTreeSet<PeerKey>,
    turn: usize,
    actions: VecDeque<Action>,
    rng: SmallRng,
    down: RateMeter,
    up: RateMeter,
    wasted: u64,
    /// False when no peer is stalled, so that a block need not look at all of them.
    may_be_stalled: bool,
    /// The latest time heard of.
    now: Instant,
    next_tick: Instant,
}

impl Swarm {
    /// A swarm that holds `have`.
    pub fn new(layout: Layout, have: Bitfield, options: Options, now: Instant) -> Self {
        let pieces = layout.pieces();
        let fit = |set: Bitfield| {
            if set.len() == pieces {
                set
            } else {
                Bitfield::new(pieces)
            }
        };
        let (have, wanted) = (fit(have), fit(options.wanted.clone()));
        let mut needed = wanted.clone();
        have.iter().for_each(|piece| {
            needed.clear(piece);
        });
        let mut swarm = Self {
            layout,
            candidates: Candidates::new(&options.only_peers, now),
            picker: Picker::new(&layout, needed.clone()),
            progress: Progress::new(layout),
            choker: Choker::new(options.upload_slots, now),
            rng: SmallRng::seed_from_u64(options.seed),
            complete: needed.count() == 0,
            have,
            needed,
            options: Options { wanted, ..options },
            peers: BTreeMap::new(),
            ids: BTreeMap::new(),
            banned_ids: BTreeSet::new(),
            failed: BTreeSet::new(),
            passed: BTreeMap::new(),
            hungry: BTreeSet::new(),
            turn: 0,
            actions: VecDeque::new(),
            down: RateMeter::new(now),
            up: RateMeter::new(now),
            wasted: 0,
            may_be_stalled: false,
            now,
            next_tick: now,
        };
        swarm.dial();
        swarm
    }

    /// A connection whose handshake is done. Answers with bitfield and extension handshake, or with `Drop`.
    pub fn handle_connected(&mut self, key: PeerKey, peer: NewPeer, now: Instant) {
        self.at(now);
        let addr = canonical(peer.addr);
        self.connect(key, NewPeer { addr, ..peer });
    }

    /// The connection ended, for whatever reason. Must be called once for every [`Swarm::handle_connected`].
    pub fn handle_disconnected(&mut self, key: PeerKey, now: Instant) {
        self.at(now);
        self.disconnect(key);
    }

    /// Dialling did not lead to a handshake.
    pub fn handle_dial_failed(&mut self, addr: SocketAddr, now: Instant) {
        self.at(now);
        self.weigh();
        self.candidates.failed(addr, now);
        self.dial();
    }

    /// An address was not dialled, because we have too many connections.
    pub fn handle_dial_put_off(&mut self, addr: SocketAddr, now: Instant) {
        self.at(now);
        self.candidates.put_off(addr, now);
        self.dial();
    }

    /// Any message but `Piece`.
    pub fn handle_message(
        &mut self,
        key: PeerKey,
        message: Message,
        now: Instant,
    ) -> Result<(), Violation> {
        self.at(now);
        let Some(peer) = self.peers.get_mut(&key) else {
            return Ok(());
        };
        peer.heard = now;
        let addr = peer.info.addr;
        self.dispatch(key, message).inspect_err(|_| {
            self.ban(addr);
            self.ban_listen_addr(key);
        })
    }

    /// The bytes of a block arrived; says whether to keep them.
    pub fn handle_block(
        &mut self,
        key: PeerKey,
        block: Block,
        now: Instant,
    ) -> Result<BlockFate, Violation> {
        self.at(now);
        let addr = self.peers.get(&key).map(|peer| peer.info.addr);
        let fate = self.take_block(key, block);
        if let (Err(_), Some(addr)) = (&fate, addr) {
            self.ban(addr);
            self.ban_listen_addr(key);
        }
        fate
    }

    /// Answer to [`Action::Verify`].
    pub fn handle_verified(&mut self, piece: PieceIndex, outcome: Verified, now: Instant) {
        self.at(now);
        self.verified(piece, outcome);
    }

    /// A block of [`Action::Upload`] went out on the socket.
    pub fn handle_uploaded(&mut self, key: PeerKey, block: Block, now: Instant) {
        self.at(now);
        self.uploaded(key, block);
    }

    /// A block of [`Action::Upload`] could not be read: the piece is not held any more.
    pub fn handle_read_failed(&mut self, key: PeerKey, block: Block, now: Instant) {
        self.at(now);
        self.read_failed(key, block);
    }

    /// A piece that was held is not there any more.
    pub fn handle_lost(&mut self, piece: PieceIndex, now: Instant) {
        self.at(now);
        self.lost(piece);
    }

    /// For `time` up to now nothing was read from this peer, by our own doing: a limit, or a disk that cannot keep up.
    pub fn handle_held_back(&mut self, key: PeerKey, time: Duration, now: Instant) {
        self.at(now);
        self.held_back(key, time);
    }

    /// Addresses to try.
    pub fn add_candidates(&mut self, addrs: &[SocketAddr], now: Instant) {
        self.at(now);
        self.candidates.add(addrs, now);
        self.dial();
    }

    /// What the whole swarm lacks most, from piece points: a prior for rarest first.
    pub fn set_rarest(&mut self, pieces: &[u32]) {
        self.picker.set_rarest(pieces);
    }

    /// Changes which pieces are wanted. A set over another number of pieces changes nothing.
    pub fn set_wanted(&mut self, wanted: Bitfield, now: Instant) {
        self.at(now);
        if wanted.len() != self.layout.pieces() {
            return;
        }
        self.options.wanted = wanted;
        for piece in 0..self.layout.pieces() {
            if self.options.wanted.get(piece) && !self.have.get(piece) {
                self.need(piece);
            } else if self.needed.get(piece) {
                self.unneed(piece);
                if self.progress.get(piece).is_some_and(|p| !p.verifying) {
                    self.give_up(piece);
                    self.wake_starved();
                }
            }
        }
        self.check_complete();
    }

    /// In order, or rarest first.
    pub fn set_sequential(&mut self, sequential: bool) {
        self.options.sequential = sequential;
    }

    /// Bytes that may be in flight from now on.
    pub fn set_in_flight(&mut self, bytes: u64) {
        self.options.in_flight = bytes;
        self.wake_starved();
    }

    /// How many peers may be connected from now on. Those beyond go: first the useless, then the youngest connections.
    pub fn set_max_peers(&mut self, most: usize, now: Instant) {
        self.at(now);
        self.options.max_peers = most;
        while self.peers.len() > most && self.drop_least() {}
        self.dial();
    }

    /// The time of [`Swarm::poll_timeout`] came.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.at(now);
        if now >= self.next_tick {
            self.next_tick = self.look_after_peers();
        }
        if now >= self.choker.next() && self.anybody_interested() {
            self.choke_round();
        }
        self.dial();
    }

    /// What to do next.
    pub fn poll_action(&mut self) -> Option<Action> {
        if self.actions.is_empty() {
            self.refill_hungry();
        }
        self.actions.pop_front()
    }

    /// When to call [`Swarm::handle_timeout`] next; `None` when nothing waits.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let tick = (!self.peers.is_empty()).then_some(self.next_tick);
        let round = self.anybody_interested().then(|| self.choker.next());
        let dial = self
            .candidates
            .next_due(self.peers.len(), self.options.max_peers);
        [tick, round, dial].into_iter().flatten().min()
    }

    /// Pieces that are good and written.
    pub fn have(&self) -> &Bitfield {
        &self.have
    }

    /// True when every wanted piece is good.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// No connection, no candidate worth dialling now, nothing in flight: the item may sleep.
    pub fn is_idle(&self) -> bool {
        self.peers.is_empty()
            && self.progress.is_empty()
            && self.actions.is_empty()
            && !self.candidates.is_active(self.now)
    }

    /// How many connected peers have each piece.
    pub fn availability(&self) -> Vec<u32> {
        (0..self.layout.pieces())
            .map(|piece| self.picker.availability(piece))
            .collect()
    }

    /// Numbers of the swarm, rates as of `now`.
    pub fn stats(&self, now: Instant) -> Stats {
        Stats {
            peers: self.peers.len() as u32,
            seeds: self.peers.values().filter(|p| p.has.is_full()).count() as u32,
            down_rate: self.down.rate(now),
            up_rate: self.up.rate(now),
            downloaded: self.down.total(),
            uploaded: self.up.total(),
            wasted: self.wasted,
            copies: self.picker.copies(&self.have),
        }
    }

    /// Whether a peer may be asked for blocks.
    pub fn may_ask(&self) -> bool {
        self.peers.values().any(|peer| !peer.choking)
    }

    /// Numbers of each peer, rates as of `now`.
    pub fn peers(&self, now: Instant) -> Vec<PeerStats> {
        self.peers
            .iter()
            .map(|(key, peer)| peer.stats(*key, now))
            .collect()
    }

    /// Panics if the state contradicts itself. For tests: after every step.
    pub fn check_invariants(&self) {
        let mut asked: BTreeMap<Block, u16> = BTreeMap::new();
        let (mut held, mut seeds) = (0, 0);
        for (key, peer) in &self.peers {
            assert_eq!(self.ids.get(&peer.info.who()), Some(key), "one key a peer");
            let needed = picker::count_common(&peer.has, &self.needed);
            let open = picker::count_common(&peer.has, self.picker.open());
            assert_eq!(peer.needed, needed, "{key:?}");
            assert!(peer.may_start || open == 0, "{key:?}");
            assert_eq!(peer.interesting, needed > 0, "interest in {key:?}");
            peer.asked.check_invariants();
            assert!(peer.asked.none_waits() || !peer.choked, "queue of {key:?}");
            peer.owed.check_invariants();
            assert!(!peer.stalled || !peer.owed.is_empty());
            if peer.as_seed {
                seeds += 1;
            } else {
                held += u64::from(peer.has.count());
            }
            for request in peer.owed.iter().filter(|_| !peer.stalled) {
                *asked.entry(request.block).or_default() += 1;
            }
        }
        assert_eq!(self.ids.len(), self.peers.len());
        assert!(self.may_be_stalled || self.peers.values().all(|p| !p.stalled));
        let unchoked = self.peers.values().filter(|p| !p.choked).count();
        assert!(unchoked <= self.choker.slots(), "{unchoked} unchoked");
        let mut open = self.needed.clone();
        self.progress.iter().for_each(|(piece, _)| {
            open.clear(piece);
        });
        assert_eq!(&open, self.picker.open(), "open pieces");
        assert_eq!(self.complete, self.needed.count() == 0);
        self.picker.check_invariants(held, seeds);
        self.progress.check_invariants(&asked);
        self.candidates.check_invariants();
    }

    fn dispatch(&mut self, key: PeerKey, message: Message) -> Result<(), Violation> {
        let fast = self.peers.get(&key).is_some_and(|peer| peer.info.fast);
        let fast_only = matches!(
            message,
            Message::Suggest(_)
                | Message::HaveAll
                | Message::HaveNone
                | Message::Reject(_)
                | Message::AllowedFast(_)
        );
        if fast_only && !fast {
            return Err(Violation("fast message without the fast bit"));
        }
        match message {
            Message::Choke => self.choked_by(key),
            Message::Unchoke => self.unchoked_by(key),
            Message::Interested => self.interested(key, true),
            Message::NotInterested => self.interested(key, false),
            Message::Have(piece) => return self.peer_has(key, piece),
            Message::Bitfield(bits) => return self.peer_has_set(key, &bits),
            Message::HaveAll => self.peer_tells(key, Bitfield::full(self.layout.pieces())),
            Message::HaveNone => self.peer_tells(key, Bitfield::new(self.layout.pieces())),
            Message::Request(block) => return self.requested(key, block),
            Message::Cancel(block) => self.cancelled(key, block),
            Message::Reject(block) => self.rejected(key, block),
            Message::Extended(id, payload) => self.extended(key, id, payload),
            Message::Piece(_) => return Err(Violation("a block without its bytes")),
            Message::KeepAlive
            | Message::Port(_)
            | Message::Suggest(_)
            | Message::AllowedFast(_)
            | Message::Unknown(_) => {}
        }
        Ok(())
    }

    fn send(&mut self, key: PeerKey, message: Message) {
        if let Some(peer) = self.peers.get_mut(&key) {
            peer.sent = self.now;
            self.actions.push_back(Action::Send(key, message));
        }
    }

    fn at(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }
}
