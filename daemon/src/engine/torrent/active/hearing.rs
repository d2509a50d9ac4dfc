//! What peers say, on its way to the swarm: batches of frames, and blocks that were sent.

use std::sync::atomic::Ordering;
use std::time::Instant;

use p2p_wire::Block;
use p2p_wire::peer::{Frame, Message};
use tokio::time::Instant as Timer;

use super::super::Torrent;
use super::super::show::client;
use super::Active;
use crate::net::FromPeer;
use crate::swarm::{BlockFate, PeerKey};

impl Torrent {
    /// What a peer's task says.
    pub(super) fn hear(&mut self, active: &mut Active, key: PeerKey, said: FromPeer) {
        if !self.peers.contains(key) {
            return;
        }
        match said {
            FromPeer::Batch(frames) => {
                for frame in frames {
                    if !self.frame(active, key, frame) {
                        break;
                    }
                }
            }
            FromPeer::Sent(blocks) => {
                let now = Instant::now();
                let bytes: u64 = blocks.iter().map(|block| u64::from(block.len)).sum();
                let client = || client(&active.swarm, key);
                if let Some(exchanged) = self.peers.exchanged(key, client) {
                    exchanged.uploaded += bytes;
                }
                for block in blocks {
                    let len = u64::from(block.len);
                    self.counters.uploaded.fetch_add(len, Ordering::Relaxed);
                    self.ctx.uploaded.fetch_add(len, Ordering::Relaxed);
                    active.swarm.handle_uploaded(key, block, now);
                }
                self.feed(active, key);
            }
            FromPeer::Closed(why) => {
                tracing::debug!(item = %self.item, "peer gone: {why}");
                self.disconnect(active, key);
            }
        }
    }

    /// One frame; false when the connection ended.
    fn frame(&mut self, active: &mut Active, key: PeerKey, frame: Frame) -> bool {
        match frame.message {
            Message::Piece(block) => self.block(active, key, block, frame.data),
            message => self.message(active, key, message),
        }
    }

    fn block(
        &mut self,
        active: &mut Active,
        key: PeerKey,
        block: Block,
        data: bytes::Bytes,
    ) -> bool {
        let len = data.len() as u64;
        if let Some(exchanged) = self.peers.exchanged(key, || client(&active.swarm, key)) {
            exchanged.downloaded += len;
        }
        self.counters.downloaded.fetch_add(len, Ordering::Relaxed);
        self.ctx.downloaded.fetch_add(len, Ordering::Relaxed);
        match active.swarm.handle_block(key, block, Instant::now()) {
            Ok(BlockFate::Keep) => {
                if let Some(piece) = active.info.layout().check_block(block) {
                    active.last_block = Timer::now();
                    self.keep(active, piece, block, data);
                }
                true
            }
            Ok(BlockFate::Waste) => true,
            Err(violation) => {
                tracing::debug!(item = %self.item, "a peer is dropped: {violation}");
                self.disconnect(active, key);
                false
            }
        }
    }

    pub(super) fn message(&mut self, active: &mut Active, key: PeerKey, message: Message) -> bool {
        let heard = (active.swarm).handle_message(key, message, Instant::now());
        if let Err(violation) = heard {
            tracing::debug!(item = %self.item, "a peer is dropped: {violation}");
            self.disconnect(active, key);
            return false;
        }
        true
    }
}
