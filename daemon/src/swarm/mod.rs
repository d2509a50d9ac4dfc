//! One torrent's protocol state, pure: messages, events and `now` in, actions out. No socket, no file, no clock, no random source of its own.
mod metadata;

use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use p2p_wire::peer::Message;
use p2p_wire::{Bitfield, Block, Layout, PeerId, PieceIndex};

pub use self::metadata::MetadataFetch;

/// Names one connection for as long as it lives; never used again within a swarm.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PeerKey(pub u64);

/// What the swarm is told at its start.
#[derive(Clone, Debug)]
pub struct Options {
    /// The raw `info` dictionary, given to peers that ask (BEP 9).
    pub info: Bytes,
    /// Our id in this session.
    pub our_id: PeerId,
    /// Our listen port, for the extension handshake.
    pub port: u16,
    /// Pieces that are wanted.
    pub wanted: Bitfield,
    /// Pieces in order instead of rarest first.
    pub sequential: bool,
    /// Requests outstanding and partial pieces, in bytes, at most.
    pub in_flight: u64,
    /// Unchoked peers at most.
    pub upload_slots: usize,
    /// Connections at most.
    pub max_peers: usize,
    /// If not empty: the only addresses to dial and the only ones to take blocks from.
    pub only_peers: Vec<SocketAddr>,
    /// Seeds every random choice.
    pub seed: u64,
}

/// A connection whose handshake is done.
#[derive(Clone, Copy, Debug)]
pub struct NewPeer {
    /// Remote address.
    pub addr: SocketAddr,
    /// Its id.
    pub peer_id: PeerId,
    /// We dialled it.
    pub outgoing: bool,
    /// Both sides set the fast bit (BEP 6).
    pub fast: bool,
    /// Both sides set the extension bit (BEP 10).
    pub extended: bool,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Send this.
    Send(PeerKey, Message),
    /// Read this block, which we hold, and send it.
    Upload(PeerKey, Block),
    /// The peer wants that block no more: drop it if it has not left.
    CancelUpload(PeerKey, Block),
    /// Every block of the piece was accepted: hash it, write it, and answer with [`Swarm::handle_verified`].
    Verify(PieceIndex),
    /// Forget the blocks kept for this piece.
    Discard(PieceIndex),
    /// Connect.
    Dial(SocketAddr),
    /// Close the connection.
    Drop(PeerKey, DropReason),
    /// The last wanted piece is good.
    Complete,
}

/// Why the swarm closes a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DropReason {
    /// Both complete (BEP 21), or nothing either could want.
    #[error("neither side needs the other")]
    NotNeeded,
    /// Silent, or without progress, for too long.
    #[error("timed out")]
    TimedOut,
    /// Sent pieces that fail their hash.
    #[error("sent bad data")]
    BadData,
    /// Better peers need the place.
    #[error("no room")]
    NoRoom,
    /// Ourselves, or a second connection to the same peer.
    #[error("duplicate connection")]
    Duplicate,
}

/// A peer broke the protocol: its connection ends.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Violation(pub &'static str);

/// What became of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockFate {
    /// Keep its bytes until `Verify` or `Discard` of its piece.
    Keep,
    /// Not wanted: not asked for, or had already.
    Waste,
}

/// What became of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verified {
    /// Right, and written.
    Good,
    /// The hash differs.
    Bad,
    /// Could not be written: missing again, no peer is at fault.
    Lost,
}

/// One peer's numbers.
#[derive(Clone, Debug)]
pub struct PeerStats {
    /// Which connection.
    pub key: PeerKey,
    /// Remote address.
    pub addr: SocketAddr,
    /// From its extension handshake, else from its peer id.
    pub client: String,
    /// We dialled it.
    pub outgoing: bool,
    /// Pieces it has.
    pub pieces: u32,
    /// Has all.
    pub seed: bool,
    /// Bytes/s.
    pub down_rate: u64,
    /// Bytes/s.
    pub up_rate: u64,
    /// Block bytes.
    pub downloaded: u64,
    /// Block bytes.
    pub uploaded: u64,
    /// It chokes us.
    pub choking_us: bool,
    /// We choke it.
    pub choked: bool,
    /// We want something from it.
    pub interesting: bool,
    /// It wants something from us.
    pub interested: bool,
    /// Requests outstanding.
    pub requests: u32,
    /// Request window, in requests.
    pub window: u32,
}

/// The swarm's numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stats {
    /// Connections.
    pub peers: u32,
    /// Of those, complete.
    pub seeds: u32,
    /// Bytes/s of blocks received.
    pub down_rate: u64,
    /// Bytes/s of blocks sent.
    pub up_rate: u64,
    /// Block bytes received.
    pub downloaded: u64,
    /// Block bytes sent.
    pub uploaded: u64,
    /// Block bytes received and thrown away, or in pieces that failed.
    pub wasted: u64,
    /// Whole copies among the connected peers and us.
    pub copies: f64,
}

/// One torrent's protocol state.
///
/// Call `handle_*` as things happen, then take [`Swarm::poll_action`] until it is empty, then sleep until [`Swarm::poll_timeout`].
pub struct Swarm {}

impl Swarm {
    /// A swarm that holds `have`.
    pub fn new(_layout: Layout, _have: Bitfield, _options: Options, _now: Instant) -> Self {
        todo!()
    }
    /// A connection whose handshake is done. Answers with bitfield and extension handshake, or with `Drop`.
    pub fn handle_connected(&mut self, _key: PeerKey, _peer: NewPeer, _now: Instant) {
        todo!()
    }
    /// The connection ended, for whatever reason. Must be called once for every [`Swarm::handle_connected`].
    pub fn handle_disconnected(&mut self, _key: PeerKey, _now: Instant) {
        todo!()
    }
    /// Dialling did not lead to a handshake.
    pub fn handle_dial_failed(&mut self, _addr: SocketAddr, _now: Instant) {
        todo!()
    }
    /// Any message but `Piece`.
    pub fn handle_message(
        &mut self,
        _key: PeerKey,
        _message: Message,
        _now: Instant,
    ) -> Result<(), Violation> {
        todo!()
    }
    /// The bytes of a block arrived; says whether to keep them.
    pub fn handle_block(
        &mut self,
        _key: PeerKey,
        _block: Block,
        _now: Instant,
    ) -> Result<BlockFate, Violation> {
        todo!()
    }
    /// Answer to [`Action::Verify`].
    pub fn handle_verified(&mut self, _piece: PieceIndex, _outcome: Verified, _now: Instant) {
        todo!()
    }
    /// A block of [`Action::Upload`] went out on the socket.
    pub fn handle_uploaded(&mut self, _key: PeerKey, _block: Block, _now: Instant) {
        todo!()
    }
    /// A block of [`Action::Upload`] could not be read: the piece is not held any more.
    pub fn handle_read_failed(&mut self, _key: PeerKey, _block: Block, _now: Instant) {
        todo!()
    }
    /// Addresses to try.
    pub fn add_candidates(&mut self, _addrs: &[SocketAddr], _now: Instant) {
        todo!()
    }
    /// What the whole swarm lacks most, from piece points: a prior for rarest first.
    pub fn set_rarest(&mut self, _pieces: &[u32]) {
        todo!()
    }
    /// Changes which pieces are wanted.
    pub fn set_wanted(&mut self, _wanted: Bitfield, _now: Instant) {
        todo!()
    }
    /// In order, or rarest first.
    pub fn set_sequential(&mut self, _sequential: bool) {
        todo!()
    }
    /// Bytes that may be in flight from now on.
    pub fn set_in_flight(&mut self, _bytes: u64) {
        todo!()
    }
    /// How many bytes/s may be asked for in all; `None` for no limit. Requests are held back so that what arrives fits.
    pub fn set_down_limit(&mut self, _rate: Option<u64>, _now: Instant) {
        todo!()
    }
    /// The time of [`Swarm::poll_timeout`] came.
    pub fn handle_timeout(&mut self, _now: Instant) {
        todo!()
    }
    /// What to do next.
    pub fn poll_action(&mut self) -> Option<Action> {
        todo!()
    }
    /// When to call [`Swarm::handle_timeout`] next; `None` when nothing waits.
    pub fn poll_timeout(&self) -> Option<Instant> {
        todo!()
    }
    /// Pieces that are good and written.
    pub fn have(&self) -> &Bitfield {
        todo!()
    }
    /// True when every wanted piece is good.
    pub fn is_complete(&self) -> bool {
        todo!()
    }
    /// No connection, no candidate worth dialling now, nothing in flight: the item may sleep.
    pub fn is_idle(&self) -> bool {
        todo!()
    }
    /// How many connected peers have each piece.
    pub fn availability(&self) -> Vec<u32> {
        todo!()
    }
    /// Numbers of the swarm, rates as of `now`.
    pub fn stats(&self, _now: Instant) -> Stats {
        todo!()
    }
    /// Numbers of each peer, rates as of `now`.
    pub fn peers(&self, _now: Instant) -> Vec<PeerStats> {
        todo!()
    }
    /// Panics if the state contradicts itself. For tests: after every step.
    pub fn check_invariants(&self) {
        todo!()
    }
}
