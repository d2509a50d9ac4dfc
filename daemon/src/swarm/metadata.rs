//! Before the metadata is known: fetching the `info` dictionary from peers (BEP 9).
use std::net::SocketAddr;
use std::time::Instant;

use p2p_wire::InfoHash;
use p2p_wire::metainfo::Info;
use p2p_wire::peer::Message;

use super::{Action, NewPeer, PeerKey, Violation};

/// Fetches the metadata of one item. Driven like [`super::Swarm`]; of the actions only `Send`, `Dial` and `Drop` occur.
///
/// Messages about pieces that peers send meanwhile (bitfield, have, unchoke, ...) are kept per peer, so that the peers can be
/// handed to a [`super::Swarm`] once the metadata is known.
pub struct MetadataFetch {}

impl MetadataFetch {
    /// Wants the `info` dictionary with this hash. `port`: our listen port. `seed` seeds every random choice.
    pub fn new(_info_hash: InfoHash, _port: u16, _seed: u64) -> Self {
        todo!()
    }
    /// A connection whose handshake is done.
    pub fn handle_connected(&mut self, _key: PeerKey, _peer: NewPeer, _now: Instant) {
        todo!()
    }
    /// The connection ended.
    pub fn handle_disconnected(&mut self, _key: PeerKey, _now: Instant) {
        todo!()
    }
    /// Dialling failed.
    pub fn handle_dial_failed(&mut self, _addr: SocketAddr, _now: Instant) {
        todo!()
    }
    /// Any message. `Some` when the metadata is whole and has the right hash.
    pub fn handle_message(
        &mut self,
        _key: PeerKey,
        _message: Message,
        _now: Instant,
    ) -> Result<Option<Info>, Violation> {
        todo!()
    }
    /// Addresses to try.
    pub fn add_candidates(&mut self, _addrs: &[SocketAddr], _now: Instant) {
        todo!()
    }
    /// The time of [`MetadataFetch::poll_timeout`] came.
    pub fn handle_timeout(&mut self, _now: Instant) {
        todo!()
    }
    /// What to do next.
    pub fn poll_action(&mut self) -> Option<Action> {
        todo!()
    }
    /// When to call [`MetadataFetch::handle_timeout`] next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        todo!()
    }
    /// Connected peers with what they said so far, in order, to be replayed into a [`super::Swarm`]; and the candidates not tried.
    pub fn into_peers(self) -> (Vec<(PeerKey, NewPeer, Vec<Message>)>, Vec<SocketAddr>) {
        todo!()
    }
}
