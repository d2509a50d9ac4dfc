//! Extension messages (BEP 10): who we are, and the metadata for peers that lack it (BEP 9).
use std::net::SocketAddr;

use bytes::Bytes;
use p2p_wire::peer::{ExtensionHandshake, Message, MetadataMessage};
use p2p_wire::{BLOCK_LEN, MAX_BLOCK_LEN};

use super::peer::Peer;
use super::upload::REQUEST_QUEUE;
use super::{PeerKey, Swarm};

/// The id under which we want `ut_metadata` messages.
pub(super) const UT_METADATA: u8 = 1;
/// How often one peer may have the whole metadata.
const METADATA_TIMES: u32 = 3;

/// Our extension handshake, without what is known of a torrent.
pub(super) fn handshake(port: u16) -> ExtensionHandshake {
    ExtensionHandshake {
        ut_metadata: Some(UT_METADATA),
        ut_pex: None,
        metadata_size: None,
        reqq: Some(REQUEST_QUEUE),
        longest_block: Some(MAX_BLOCK_LEN),
        port: (port != 0).then_some(port),
        client: Some(concat!("p2pd ", env!("CARGO_PKG_VERSION")).to_owned()),
        upload_only: false,
    }
}

impl Swarm {
    pub(super) fn extension_handshake(&self) -> Bytes {
        ExtensionHandshake {
            metadata_size: u32::try_from(self.options.info.len())
                .ok()
                .filter(|size| *size > 0),
            upload_only: self.complete,
            ..handshake(self.options.port)
        }
        .to_bytes()
    }

    /// Payloads that cannot be read are let pass: no extension is needed to exchange pieces.
    pub(super) fn extended(&mut self, key: PeerKey, id: u8, payload: Bytes) {
        match id {
            0 => self.extension_handshaken(key, &payload),
            UT_METADATA => self.metadata_asked(key, payload),
            _ => {}
        }
    }

    fn extension_handshaken(&mut self, key: PeerKey, payload: &[u8]) {
        let Some(peer) = self.peers.get_mut(&key) else {
            return;
        };
        // A later one names what changed alone.
        let mut handshake = peer.extension.take().unwrap_or_default();
        if handshake.update(payload).is_err() {
            peer.extension = Some(handshake);
            return;
        }
        if let Some(reqq) = handshake.reqq {
            peer.window.set_reqq(reqq);
        }
        peer.extension = Some(handshake);
        if let Some(addr) = Self::listen_addr(peer) {
            self.candidates.link(addr, key);
        }
        self.drop_if_unneeded(key);
    }

    fn metadata_asked(&mut self, key: PeerKey, payload: Bytes) {
        let Ok(Some(MetadataMessage::Request(part))) = MetadataMessage::from_bytes(payload) else {
            return;
        };
        let Some(peer) = self.peers.get_mut(&key) else {
            return;
        };
        let Some(id) = peer.extension.as_ref().and_then(|e| e.ut_metadata) else {
            return;
        };
        let info = &self.options.info;
        let size = info.len().min(u32::MAX as usize) as u32;
        let begin = part.checked_mul(BLOCK_LEN).filter(|begin| *begin < size);
        let answer = match begin {
            Some(begin) if peer.metadata_parts < METADATA_TIMES * size.div_ceil(BLOCK_LEN) => {
                peer.metadata_parts += 1;
                let end = begin.saturating_add(BLOCK_LEN).min(size);
                MetadataMessage::Data(part, size, info.slice(begin as usize..end as usize))
            }
            _ => MetadataMessage::Reject(part),
        };
        self.send(key, Message::Extended(id, answer.to_bytes()));
    }

    /// Where a peer that dialled us takes connections, if it said so.
    pub fn listens_at(&self, key: PeerKey) -> Option<SocketAddr> {
        let peer = self.peers.get(&key).filter(|peer| !peer.info.outgoing)?;
        Self::listen_addr(peer)
    }

    /// Where a peer takes connections, if it said so.
    pub(super) fn listen_addr(peer: &Peer) -> Option<SocketAddr> {
        let port = peer.extension.as_ref()?.port?;
        Some(SocketAddr::new(peer.info.addr.ip(), port))
    }
}
