//! What goes into a swarm and what comes out.
use std::net::SocketAddr;

use bytes::Bytes;
use p2p_wire::peer::Message;
use p2p_wire::{Bitfield, Block, PeerId, PieceIndex};

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
    /// Every block of the piece was accepted: hash it, write it, and answer with [`handle_verified`](super::Swarm::handle_verified).
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
    /// Asked for and not come, in blocks of the usual length.
    pub requests: u32,
    /// Request window, in blocks of the usual length.
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
