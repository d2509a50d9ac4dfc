//! Before the metadata is known: fetching the `info` dictionary from peers (BEP 9).
//!
//! Each attempt takes the whole dictionary from one peer, a few peers at a time. Parts from several peers would be faster by nothing
//! that can be felt, and a wrong hash would accuse nobody; so it accuses the one peer that gave it all.
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use p2p_wire::metainfo::{Info, MAX_METAINFO_LEN};
use p2p_wire::peer::{ExtensionHandshake, Message, MetadataMessage};
use p2p_wire::{BLOCK_LEN, InfoHash, PeerId};

use super::candidates::{Candidates, Ending, canonical};
use super::extension::{UT_METADATA, handshake};
use super::said::Said;
use super::{Action, DropReason, NewPeer, PeerKey, Violation};

/// A connected peer with what it said so far.
pub type Acquainted = (PeerKey, NewPeer, Vec<Message>);

const MAX_PEERS: usize = 50;
/// Peers asked at one time.
const ATTEMPTS: usize = 3;
/// Parts asked of one peer at one time.
const PIPELINE: u32 = 8;
/// A part may take so long.
const PATIENCE: Duration = Duration::from_secs(15);
/// A peer that refused or was too slow is asked again after this.
const REST: Duration = Duration::from_secs(30);
const SILENCE: Duration = Duration::from_secs(180);
const KEEP_ALIVE: Duration = Duration::from_secs(120);

/// One peer's copy of the dictionary as it arrives.
#[derive(Debug)]
struct Attempt {
    size: u32,
    parts: BTreeMap<u32, Bytes>,
    asked: BTreeSet<u32>,
    progress: Instant,
}

impl Attempt {
    fn count(&self) -> u32 {
        self.size.div_ceil(BLOCK_LEN)
    }
}

#[derive(Debug)]
struct Asked {
    info: NewPeer,
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
    info_hash: InfoHash,
    port: u16,
    peers: BTreeMap<PeerKey, Asked>,
    banned_ids: BTreeSet<PeerId>,
    candidates: Option<Candidates>,
    actions: VecDeque<Action>,
    now: Option<Instant>,
}

impl MetadataFetch {
    /// Wants the `info` dictionary with this hash. `port`: our listen port. `seed` seeds every random choice.
    pub fn new(info_hash: InfoHash, port: u16, _seed: u64) -> Self {
        Self {
            info_hash,
            port,
            peers: BTreeMap::new(),
            banned_ids: BTreeSet::new(),
            candidates: None,
            actions: VecDeque::new(),
            now: None,
        }
    }

    /// A connection whose handshake is done.
    pub fn handle_connected(&mut self, key: PeerKey, peer: NewPeer, now: Instant) {
        self.now = Some(now);
        let info = NewPeer {
            addr: canonical(peer.addr),
            ..peer
        };
        let same = self.peers.values().any(|p| p.info.peer_id == info.peer_id);
        let reason = if same {
            Some(DropReason::Duplicate)
        } else if self.banned_ids.contains(&info.peer_id) {
            Some(DropReason::BadData)
        } else if self.peers.len() >= MAX_PEERS {
            Some(DropReason::NoRoom)
        } else {
            None
        };
        let candidates = self.candidates(now);
        candidates.link(info.addr, key);
        if let Some(reason) = reason {
            candidates.unlink(key, Ending::Useless, false, now);
            self.actions.push_back(Action::Drop(key, reason));
            return;
        }
        self.peers.insert(
            key,
            Asked {
                info,
                heard: now,
                sent: now,
                said: Said::default(),
                offer: None,
                attempt: None,
                rests_until: now,
            },
        );
        if info.extended {
            let hello = handshake(self.port).to_bytes();
            self.send(key, Message::Extended(0, hello), now);
        }
    }

    /// The connection ended.
    pub fn handle_disconnected(&mut self, key: PeerKey, now: Instant) {
        self.now = Some(now);
        self.forget(key, now);
        self.work(now);
    }

    /// Dialling failed.
    pub fn handle_dial_failed(&mut self, addr: SocketAddr, now: Instant) {
        self.now = Some(now);
        let lonely = self.peers.is_empty();
        self.candidates(now).failed(addr, lonely, now);
        self.work(now);
    }

    /// Any message. `Some` when the metadata is whole and has the right hash.
    pub fn handle_message(
        &mut self,
        key: PeerKey,
        message: Message,
        now: Instant,
    ) -> Result<Option<Info>, Violation> {
        self.now = Some(now);
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
        self.now = Some(now);
        self.candidates(now).add(addrs, now);
        self.work(now);
    }

    /// The time of [`MetadataFetch::poll_timeout`] came.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = Some(now);
        let since = |then: Instant| now.saturating_duration_since(then);
        let (mut silent, mut quiet) = (Vec::new(), Vec::new());
        for (key, peer) in &mut self.peers {
            let slow = |a: &mut Attempt| since(a.progress) >= PATIENCE;
            if peer.attempt.as_mut().is_some_and(slow) {
                peer.attempt = None;
                peer.rests_until = now + REST;
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
        let peers = self.peers.values().flat_map(|peer| {
            let attempt = peer.attempt.as_ref().map(|a| a.progress + PATIENCE);
            let now = self.now.unwrap_or(peer.heard);
            let rested =
                (peer.offer.is_some() && peer.rests_until > now).then_some(peer.rests_until);
            let alive = [peer.heard + SILENCE, peer.sent + KEEP_ALIVE];
            alive.into_iter().chain(attempt).chain(rested)
        });
        let dial = self
            .candidates
            .as_ref()
            .and_then(|c| c.next_due(self.peers.len(), MAX_PEERS));
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
        let addrs = self
            .candidates
            .map(Candidates::into_addrs)
            .unwrap_or_default();
        let untried = addrs.into_iter().filter(|a| !connected.contains(a));
        (peers, untried.collect())
    }

    fn candidates(&mut self, now: Instant) -> &mut Candidates {
        self.candidates
            .get_or_insert_with(|| Candidates::new(&[], now))
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
                peer.attempt = None;
                peer.rests_until = now + REST;
                None
            }
            MetadataMessage::Data(part, _, data) => {
                let attempt = peer.attempt.as_mut()?;
                let begin = part.checked_mul(BLOCK_LEN)?;
                let expected = attempt.size.checked_sub(begin)?.min(BLOCK_LEN);
                if !attempt.asked.remove(&part) {
                    return None;
                }
                if data.len() != expected as usize {
                    peer.attempt = None;
                    peer.rests_until = now + REST;
                    return None;
                }
                attempt.progress = now;
                attempt.parts.insert(part, data);
                if attempt.parts.len() as u32 == attempt.count() {
                    return self.finish(key, now);
                }
                None
            }
        }
    }

    /// A copy is whole: right, or the peer that gave it lied.
    fn finish(&mut self, key: PeerKey, now: Instant) -> Option<Info> {
        let peer = self.peers.get_mut(&key)?;
        let attempt = peer.attempt.take()?;
        let mut whole = BytesMut::with_capacity(attempt.size as usize);
        attempt
            .parts
            .values()
            .for_each(|part| whole.extend_from_slice(part));
        let (id, addr) = (peer.info.peer_id, peer.info.addr);
        match Info::from_bytes(whole.freeze()) {
            Ok(info) if info.info_hash() == self.info_hash => Some(info),
            _ => {
                self.banned_ids.insert(id);
                self.candidates(now).ban(addr);
                self.drop_peer(key, DropReason::BadData, now);
                None
            }
        }
    }

    /// Begins attempts, asks for parts, dials.
    fn work(&mut self, now: Instant) {
        let mut running = self.peers.values().filter(|p| p.attempt.is_some()).count();
        let mut requests = Vec::new();
        for (key, peer) in &mut self.peers {
            let Some((id, size)) = peer.offer else {
                continue;
            };
            if peer.attempt.is_none() && running < ATTEMPTS && peer.rests_until <= now {
                running += 1;
                peer.attempt = Some(Attempt {
                    size,
                    parts: BTreeMap::new(),
                    asked: BTreeSet::new(),
                    progress: now,
                });
            }
            let Some(attempt) = &mut peer.attempt else {
                continue;
            };
            for part in 0..attempt.count() {
                if attempt.asked.len() as u32 >= PIPELINE {
                    break;
                }
                if !attempt.parts.contains_key(&part) && attempt.asked.insert(part) {
                    requests.push((*key, id, part));
                }
            }
        }
        for (key, id, part) in requests {
            let request = MetadataMessage::Request(part).to_bytes();
            self.send(key, Message::Extended(id, request), now);
        }
        let connected = self.peers.len();
        while let Some(addr) = self.candidates(now).next(connected, MAX_PEERS, now) {
            self.actions.push_back(Action::Dial(addr));
        }
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
            let lonely = self.peers.is_empty();
            self.candidates(now)
                .unlink(key, Ending::Useless, lonely, now);
        }
    }
}

#[cfg(test)]
#[path = "metadata_tests.rs"]
mod tests;
