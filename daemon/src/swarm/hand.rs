//! Hand-made peers for tests of one swarm.
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use p2p_wire::peer::Message;
use p2p_wire::{BLOCK_LEN, Bitfield, Block, Layout, PeerId};

use super::sim::start;
use super::{Action, NewPeer, Options, PeerKey, Swarm, Violation};

pub(super) const PIECES: u32 = 10;
pub(super) const FAST: PeerKey = PeerKey(1);
pub(super) const PLAIN: PeerKey = PeerKey(2);

pub(super) fn options() -> Options {
    Options {
        info: Bytes::from(vec![7; 20_000]),
        our_id: PeerId([100; 20]),
        port: 6881,
        wanted: Bitfield::full(PIECES),
        sequential: true,
        in_flight: 16 << 20,
        upload_slots: 4,
        max_peers: 10,
        only_peers: Vec::new(),
        seed: 1,
    }
}

pub(super) fn peer(key: PeerKey) -> NewPeer {
    NewPeer {
        addr: SocketAddr::from(([10, 0, 0, key.0 as u8], 6881)),
        peer_id: PeerId([key.0 as u8; 20]),
        outgoing: true,
        fast: key != PLAIN,
        extended: key != PLAIN,
    }
}

/// Ten pieces of four blocks; `have` held from the start.
pub(super) fn swarm(have: Bitfield, options: Options) -> Swarm {
    let layout = Layout::new(u64::from(PIECES) * 65_536, 65_536).unwrap();
    Swarm::new(layout, have, options, start())
}

pub(super) fn leech() -> Swarm {
    swarm(Bitfield::new(PIECES), options())
}

pub(super) fn seed() -> Swarm {
    swarm(Bitfield::full(PIECES), options())
}

/// Connects peers whose data is known to be good.
pub(super) fn connect(swarm: &mut Swarm, keys: &[PeerKey]) {
    for key in keys {
        swarm.handle_connected(*key, peer(*key), start());
        if let Some(peer) = swarm.peers.get_mut(key) {
            peer.given = u32::MAX;
        }
    }
}

pub(super) fn say(swarm: &mut Swarm, key: PeerKey, messages: &[Message]) -> Result<(), Violation> {
    for message in messages {
        swarm.handle_message(key, message.clone(), start())?;
    }
    Ok(())
}

pub(super) fn actions(swarm: &mut Swarm) -> Vec<Action> {
    let actions = std::iter::from_fn(|| swarm.poll_action()).collect();
    swarm.check_invariants();
    actions
}

/// What was sent to `key` since the last look; extension messages left out.
pub(super) fn sent(swarm: &mut Swarm, to: PeerKey) -> Vec<Message> {
    actions(swarm)
        .into_iter()
        .filter_map(|action| match action {
            Action::Send(_, Message::Extended(..)) => None,
            Action::Send(key, message) if key == to => Some(message),
            _ => None,
        })
        .collect()
}

pub(super) fn requests(swarm: &mut Swarm, to: PeerKey) -> Vec<Block> {
    let request = |message| match message {
        Message::Request(block) => Some(block),
        _ => None,
    };
    sent(swarm, to).into_iter().filter_map(request).collect()
}

pub(super) fn block(piece: u32, number: u32) -> Block {
    Block {
        piece,
        begin: number * BLOCK_LEN,
        len: BLOCK_LEN,
    }
}

pub(super) fn after(secs: u64) -> Instant {
    start() + Duration::from_secs(secs)
}
