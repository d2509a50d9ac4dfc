//! Before the metadata is known: fetching the `info` dictionary from peers (BEP 9).
//!
//! Each attempt takes the whole dictionary from one peer, a few peers at a time. Parts from several peers would be faster by nothing
//! that can be felt, and a wrong hash would accuse nobody; so it accuses the one peer that gave it all.
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use p2p_wire::metainfo::{Info, MAX_METAINFO_LEN};
use p2p_wire::peer::{ExtensionHandshake, Message, MetadataMessage};
use p2p_wire::{InfoHash, PeerId};

use super::attempt::{Attempt, PATIENCE, Part};
use super::candidates::{Candidates, Ending, Want, canonical};
use super::connections::replaces;
use super::extension::{UT_METADATA, handshake};
use super::peer::Who;
use super::said::Said;
use super::{Action, DropReason, NewPeer, PeerKey, Violation};

/// A connected peer with what it said so far.
pub type Acquainted = (PeerKey, NewPeer, Vec<Message>);

const MAX_PEERS: usize = 50;
/// Peers asked at one time.
const ATTEMPTS: usize = 3;
/// A peer that refused or was too slow is asked again after this.
const REST: Duration = Duration::from_secs(30);
const SILENCE: Duration = Duration::from_secs(180);
const KEEP_ALIVE: Duration = Duration::from_secs(120);

/// What a [`MetadataFetch`] is told at its start.
#[derive(Clone, Debug)]
pub struct MetadataOptions {
    /// Of the wanted `info` dictionary.
    pub info_hash: InfoHash,
    /// Our id in this session.
    pub our_id: PeerId,
    /// Our listen port.
    pub port: u16,
    /// If not empty: the only addresses to dial and the only ones to take it from.
    pub only_peers: Vec<SocketAddr>,
}

#[derive(Debug)]
struct Acquaintance {
    info: NewPeer,
    connected: Instant,
    heard: Instant,
    sent: Instant,
    said: Said,
    /// The id it takes `ut_metadata` under and the size it claims, if it has the metadata.
    offer: Option<(u8, u32)>,
    attempt: Option<Attempt>,
    rests_until: Instant,
}

/// Fetches the metadata of one item. Driven like [`super::Swarm`]; of the actions only `Send`, `Dial` and `Drop` occur.
///
/// Messages about pieces that peers send meanwhile (bitfield, have, unchoke, ...) are kept per peer, so that the peers can be
/// handed to a [`super::Swarm`] once the metadata is known.
pub struct MetadataFetch {
    options: MetadataOptions,
    peers: BTreeMap<PeerKey, Acquaintance>,
    banned: BTreeSet<Who>,
    candidates: Candidates,
    actions: VecDeque<Action>,
    now: Instant,
}

impl MetadataFetch {
    /// Knows nobody but the chosen peers, if there are any.
    pub fn new(options: MetadataOptions, now: Instant) -> Self {
        let mut this = Self {
            candidates: Candidates::new(&options.only_peers, now),
            options,
            peers: BTreeMap::new(),
            banned: BTreeSet::new(),
            actions: VecDeque::new(),
            now,
        };
        this.work(now);
        this
    }

    /// A connection whose handshake is done.
    pub fn handle_connected(&mut self, key: PeerKey, peer: NewPeer, now: Instant) {
        self.now = now;
        let info = NewPeer {
            addr: canonical(peer.addr),
            ..peer
        };
        let refused = self.admit(&info, now).err();
        self.candidates.link(info.addr, key);
        if let Some(reason) = refused {
            self.candidates.unlink(key, Ending::Useless, now);
            self.actions.push_back(Action::Drop(key, reason));
            return;
        }
        self.peers.insert(
            key,
            Acquaintance {
                info,
                connected: now,
                heard: now,
                sent: now,
                said: Said::default(),
                offer: None,
                attempt: None,
                rests_until: now,
            },
        );
        if info.extended {
            let hello = handshake(self.options.port).to_bytes();
            self.send(key, Message::Extended(0, hello), now);
        }
    }

    /// Whether the connection may stay.
    fn admit(&mut self, peer: &NewPeer, now: Instant) -> Result<(), DropReason> {
        if peer.peer_id == self.options.our_id {
            if peer.outgoing {
                self.candidates.ban(peer.addr);
            }
            return Err(DropReason::Duplicate);
        }
        if self.banned.contains(&peer.who()) || self.candidates.is_banned(peer.addr) {
            return Err(DropReason::BadData);
        }
        if !self.candidates.allows(peer.addr) {
            return Err(DropReason::NoRoom);
        }
        let mut known = self.peers.iter();
        if let Some((old, known)) = known.find(|(_, p)| p.info.who() == peer.who()) {
            let old = *old;
            let (since, our_id) = (known.connected, self.options.our_id);
            if !replaces(peer, (&known.info, since), our_id, now) {
                return Err(DropReason::Duplicate);
            }
            self.drop_peer(old, DropReason::Duplicate, now);
        }
        if self.peers.len() >= MAX_PEERS && !self.make_room(now) {
            return Err(DropReason::NoRoom);
        }
        Ok(())
    }

    /// Drops the peer that has been connected for longest without having the metadata to give.
    fn make_room(&mut self, now: Instant) -> bool {
        let idle = self.peers.iter().filter(|(_, p)| p.offer.is_none());
        let idle = idle.min_by_key(|(_, p)| p.connected);
        let idle = idle.filter(|(_, p)| p.connected + PATIENCE <= now);
        let Some(key) = idle.map(|(key, _)| *key) else {
            return false;
        };
        self.drop_peer(key, DropReason::NoRoom, now);
        true
    }

    /// The connection ended.
    pub fn handle_disconnected(&mut self, key: PeerKey, now: Instant) {
        self.now = now;
        self.forget(key, now);
        self.work(now);
    }

    /// Dialling failed.
    pub fn handle_dial_failed(&mut self, addr: SocketAddr, now: Instant) {
        self.now = now;
        self.weigh();
        self.candidates.failed(addr, now);
        self.work(now);
    }

    /// An address was not dialled, because we have too many connections.
    pub fn handle_dial_put_off(&mut self, addr: SocketAddr, now: Instant) {
        self.now = now;
        self.candidates.put_off(addr, now);
        self.work(now);
    }

    /// Any message. `Some` when the metadata is whole and has the right hash.
    pub fn handle_message(
        &mut self,
        key: PeerKey,
        message: Message,
        now: Instant,
    ) -> Result<Option<Info>, Violation> {
        self.now = now;
        let Some(peer) = self.peers.get_mut(&key) else {
            return Ok(None);
        };
        peer.heard = now;
        match message {
            Message::Extended(0, payload) => self.extension_handshake(key, payload),
            Message::Extended(UT_METADATA, payload) => {
                let found = self.metadata_message(key, payload, now);
                self.work(now);
                return Ok(found);
            }
            message => peer.said.note(message)?,
        }
        self.work(now);
        Ok(None)
    }

    /// Addresses to try.
    pub fn add_candidates(&mut self, addrs: &[SocketAddr], now: Instant) {
        self.now = now;
        self.candidates.add(addrs, now);
        self.work(now);
    }

    /// The time of [`MetadataFetch::poll_timeout`] came.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        let since = |then: Instant| now.saturating_duration_since(then);
        let (mut silent, mut quiet) = (Vec::new(), Vec::new());
        for (key, peer) in &mut self.peers {
            if peer.attempt.as_ref().is_some_and(|a| a.gives_up() <= now) {
                peer.rest(now);
            }
            if since(peer.heard) >= SILENCE {
                silent.push(*key);
            } else if since(peer.sent) >= KEEP_ALIVE {
                quiet.push(*key);
            }
        }
        for key in silent {
            self.drop_peer(key, DropReason::TimedOut, now);
        }
        for key in quiet {
            self.send(key, Message::KeepAlive, now);
        }
        self.work(now);
    }

    /// What to do next.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When to call [`MetadataFetch::handle_timeout`] next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let later = |at: &Instant| *at > self.now;
        let is_full = self.peers.len() >= MAX_PEERS;
        let peers = self.peers.values().flat_map(|peer| {
            let (attempt, offers) = (peer.attempt.as_ref(), peer.offer.is_some());
            let known = attempt.map(Attempt::is_known).filter(later);
            let rested = Some(peer.rests_until).filter(|_| offers).filter(later);
            let idle = Some(peer.connected + PATIENCE).filter(|_| is_full && !offers);
            let alive = [peer.heard + SILENCE, peer.sent + KEEP_ALIVE];
            let more = [attempt.map(Attempt::gives_up), known, rested];
            let more = more.into_iter().chain([idle.filter(later)]).flatten();
            alive.into_iter().chain(more)
        });
        let dial = self.candidates.next_due(self.peers.len(), MAX_PEERS);
        peers.chain(dial).min()
    }

    /// Connected peers with what they said so far, in order, to be replayed into a [`super::Swarm`]; and the candidates not tried.
    pub fn into_peers(self) -> (Vec<Acquainted>, Vec<SocketAddr>) {
        let connected: BTreeSet<SocketAddr> = self.peers.values().map(|p| p.info.addr).collect();
        let peers = self
            .peers
            .into_iter()
            .map(|(key, peer)| (key, peer.info, peer.said.into_messages()))
            .collect();
        let addrs = self.candidates.into_addrs();
        let untried = addrs.into_iter().filter(|a| !connected.contains(a));
        (peers, untried.collect())
    }

    fn extension_handshake(&mut self, key: PeerKey, payload: Bytes) {
        let Ok(handshake) = ExtensionHandshake::from_bytes(&payload) else {
            return;
        };
        let Some(peer) = self.peers.get_mut(&key) else {
            return;
        };
        peer.said.handshake = Some(payload);
        peer.offer = match (handshake.ut_metadata, handshake.metadata_size) {
            (Some(id), Some(size)) if size > 0 && size as usize <= MAX_METAINFO_LEN => {
                Some((id, size))
            }
            _ => None,
        };
    }

    fn metadata_message(&mut self, key: PeerKey, payload: Bytes, now: Instant) -> Option<Info> {
        let message = MetadataMessage::from_bytes(payload).ok().flatten()?;
        let peer = self.peers.get_mut(&key)?;
        match message {
            MetadataMessage::Request(part) => {
                let id = ExtensionHandshake::from_bytes(peer.said.handshake.as_ref()?)
                    .ok()?
                    .ut_metadata?;
                let refusal = MetadataMessage::Reject(part).to_bytes();
                self.send(key, Message::Extended(id, refusal), now);
                None
            }
            MetadataMessage::Reject(_) => {
                peer.rest(now);
                None
            }
            MetadataMessage::Data(part, _, data) => {
                match peer.attempt.as_mut()?.take(part, data, now) {
                    Part::Unwanted | Part::Kept => {}
                    Part::Wrong => peer.rest(now),
                    Part::Last => return self.finish(key, now),
                }
                None
            }
        }
    }

    /// A copy is whole: right, or the peer that gave it lied.
    fn finish(&mut self, key: PeerKey, now: Instant) -> Option<Info> {
        let peer = self.peers.get_mut(&key)?;
        let attempt = peer.attempt.take()?;
        let info = peer.info;
        match Info::from_bytes(attempt.whole()) {
            Ok(found) if found.info_hash() == self.options.info_hash => Some(found),
            _ => {
                self.banned.insert(info.who());
                self.candidates.ban(info.addr);
                self.drop_peer(key, DropReason::BadData, now);
                None
            }
        }
    }

    /// Begins attempts, asks for parts, dials.
    fn work(&mut self, now: Instant) {
        while let Some(key) = self.next_attempt(now) {
            if let Some(peer) = self.peers.get_mut(&key) {
                peer.attempt = peer.offer.map(|(_, size)| Attempt::new(size, now));
            }
        }
        let mut requests = Vec::new();
        for (key, peer) in &mut self.peers {
            if let (Some((id, _)), Some(attempt)) = (peer.offer, &mut peer.attempt) {
                requests.extend(attempt.ask().into_iter().map(|part| (*key, id, part)));
            }
        }
        for (key, id, part) in requests {
            let request = MetadataMessage::Request(part).to_bytes();
            self.send(key, Message::Extended(id, request), now);
        }
        loop {
            let connected = self.peers.len();
            while let Some(addr) = self.candidates.next(connected, MAX_PEERS, now) {
                self.actions.push_back(Action::Dial(addr));
            }
            let waits = self.candidates.next_due(0, MAX_PEERS);
            let wants_room = connected >= MAX_PEERS && waits.is_some_and(|due| due <= now);
            if !wants_room || !self.make_room(now) {
                return;
            }
        }
    }

    /// The peer to be asked next: of those that rest no more the one that has waited for longest. When all places are taken, the slowest
    /// of the others gives way to it; but the one that will have given all first stays, else many slow ones would never come to an end.
    fn next_attempt(&mut self, now: Instant) -> Option<PeerKey> {
        let waits = |p: &Acquaintance| p.offer.is_some() && p.attempt.is_none();
        let waiting = self.peers.iter().filter(|(_, p)| waits(p));
        let next = waiting.min_by_key(|(_, p)| p.rests_until);
        let next = *next.filter(|(_, p)| p.rests_until <= now)?.0;
        let running = (self.peers.iter()).filter_map(|(key, p)| Some((*key, p.attempt.as_ref()?)));
        let mut running: Vec<(PeerKey, &Attempt)> = running.collect();
        if running.len() < ATTEMPTS {
            return Some(next);
        }
        running.sort_by_key(|(_, attempt)| attempt.rest(now));
        let mut slow = running.iter().skip(1).rev();
        let slow = slow.find(|(_, attempt)| attempt.is_known() <= now)?.0;
        self.peers.get_mut(&slow)?.rest(now);
        Some(next)
    }

    fn send(&mut self, key: PeerKey, message: Message, now: Instant) {
        if let Some(peer) = self.peers.get_mut(&key) {
            peer.sent = now;
            self.actions.push_back(Action::Send(key, message));
        }
    }

    fn drop_peer(&mut self, key: PeerKey, reason: DropReason, now: Instant) {
        self.forget(key, now);
        self.actions.push_back(Action::Drop(key, reason));
    }

    fn forget(&mut self, key: PeerKey, now: Instant) {
        if self.peers.remove(&key).is_some() {
            self.weigh();
            self.candidates.unlink(key, Ending::Useless, now);
        }
    }

    /// Says how much further peers are wanted: until one has the metadata to give, badly.
    fn weigh(&mut self) {
        let want = match self.peers.values().any(|peer| peer.offer.is_some()) {
            true => Want::Little,
            false => Want::Badly,
        };
        self.candidates.want(want, self.now);
    }
}

impl Acquaintance {
    /// It is not asked for a while.
    fn rest(&mut self, now: Instant) {
        self.attempt = None;
        self.rests_until = now + REST;
    }
}

#[cfg(test)]
#[path = "metadata_tests.rs"]
mod tests;
