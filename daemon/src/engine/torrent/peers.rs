//! The connections of one torrent: sockets below, keys above.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use p2p_wire::InfoHash;
use p2p_wire::peer::{Handshake, Message, Reserved};
use tokio::sync::{Mutex, mpsc};

use super::super::{Ctx, view};
use crate::net::{self, Bucket, Connection, FromPeer, Link, LocalAddrs, Shared, Throttle};
use crate::swarm::{NewPeer, PeerKey};

/// Batches that wait for the torrent, over all its peers. When full, the peers' sockets are not read: TCP slows them down.
const BATCHES: usize = 64;

/// One connection.
pub(super) struct Peer {
    pub(super) link: Arc<Link>,
    pub(super) addr: SocketAddr,
    pub(super) exchanged: Exchanged,
}

/// What was exchanged with one peer since that was told last.
#[derive(Clone, Debug, Default)]
pub(super) struct Exchanged {
    /// Seconds since 1970 of the first block; 0 before.
    pub(super) since: u64,
    /// Its program, as known at the first block.
    pub(super) client: String,
    /// Block bytes received.
    pub(super) downloaded: u64,
    /// Block bytes sent.
    pub(super) uploaded: u64,
}

/// The connections and the dials under way.
pub(super) struct Peers {
    ctx: Arc<Ctx>,
    item: InfoHash,
    next: u64,
    map: HashMap<PeerKey, Peer>,
    reports: net::Reports,
    pub(super) from_peers: mpsc::Receiver<(PeerKey, FromPeer)>,
    dials: mpsc::Sender<(SocketAddr, io::Result<Connection>)>,
    /// Held by the dial of this item that waits to be made.
    turn: Arc<Mutex<()>>,
    pub(super) dialled: mpsc::Receiver<(SocketAddr, io::Result<Connection>)>,
    pub(super) down: Arc<Bucket>,
    pub(super) up: Arc<Bucket>,
    pieces: Option<u32>,
}

impl Peers {
    pub(super) fn new(ctx: Arc<Ctx>, item: InfoHash, down: Arc<Bucket>, up: Arc<Bucket>) -> Self {
        let (reports, from_peers) = mpsc::channel(BATCHES);
        let (dials, dialled) = mpsc::channel(BATCHES);
        Self {
            ctx,
            item,
            next: 0,
            map: HashMap::new(),
            reports,
            from_peers,
            dials,
            turn: Arc::default(),
            dialled,
            down,
            up,
            pieces: None,
        }
    }

    /// Takes a connection whose handshake arrived; ours goes out if the peer dialled.
    pub(super) fn connect(&mut self, connection: Connection) -> (PeerKey, NewPeer) {
        let key = PeerKey(self.next);
        self.next += 1;
        let theirs = connection.handshake;
        let new = NewPeer {
            addr: connection.addr,
            peer_id: theirs.peer_id,
            outgoing: connection.outgoing,
            fast: theirs.reserved.fast(),
            extended: theirs.reserved.extended(),
        };
        let link = Arc::new(Link::default());
        if let Some(pieces) = self.pieces {
            link.set_pieces(pieces);
        }
        let greeting = (!connection.outgoing).then(|| self.handshake());
        let (down, up) = if self.ctx.config.lan_exempt && net::is_lan(connection.addr.ip()) {
            Default::default()
        } else {
            (
                Throttle::new(vec![self.ctx.down.clone(), self.down.clone()]),
                Throttle::new(vec![self.ctx.up.clone(), self.up.clone()]),
            )
        };
        let shared = Shared {
            down,
            up,
            pool: self.ctx.pool.clone(),
            reports: self.reports.clone(),
        };
        net::spawn(key, connection, greeting, link.clone(), shared);
        let peer = Peer {
            link,
            addr: new.addr,
            exchanged: Exchanged::default(),
        };
        self.map.insert(key, peer);
        (key, new)
    }

    /// Connects in the background; the outcome comes through `dialled`: `ResourceBusy` when the daemon has as many peers as `max_peers`,
    /// which says nothing of the address.
    pub(super) fn dial(&self, addr: SocketAddr) {
        let (ctx, dials, ours) = (self.ctx.clone(), self.dials.clone(), self.handshake());
        let turn = self.turn.clone();
        tokio::spawn(async move {
            let connected = async {
                // Never closed; the number of dials under way in the whole daemon is bounded by it. One dial of each item waits for it at a
                // time, so that items take turns whatever many dead addresses some of them have.
                let _permit = {
                    let _turn = turn.lock().await;
                    ctx.dials.acquire().await.map_err(io::Error::other)?
                };
                let slot = ctx.slots.for_ours();
                let busy = || io::Error::from(io::ErrorKind::ResourceBusy);
                let slot = slot.ok_or_else(busy)?;
                let local = LocalAddrs::of(ctx.config.listen.iter().map(SocketAddr::ip));
                net::dial(addr, local, ours, slot).await
            };
            // The torrent may be gone.
            let _ = dials.send((addr, connected.await)).await;
        });
    }

    fn handshake(&self) -> Handshake {
        Handshake {
            reserved: Reserved::ours(),
            info_hash: self.item,
            peer_id: self.ctx.peer_id,
        }
    }

    /// The number of pieces became known.
    pub(super) fn set_pieces(&mut self, pieces: u32) {
        self.pieces = Some(pieces);
        self.map.values().for_each(|p| p.link.set_pieces(pieces));
    }

    /// Queues a message; false if the peer is there and must be dropped, because it does not read.
    pub(super) fn send(&self, key: PeerKey, message: Message) -> bool {
        self.map.get(&key).is_none_or(|p| p.link.send(message))
    }

    pub(super) fn link(&self, key: PeerKey) -> Option<&Arc<Link>> {
        self.map.get(&key).map(|peer| &peer.link)
    }

    pub(super) fn links(&self) -> impl Iterator<Item = (PeerKey, &Arc<Link>)> {
        self.map.iter().map(|(key, peer)| (*key, &peer.link))
    }

    pub(super) fn contains(&self, key: PeerKey) -> bool {
        self.map.contains_key(&key)
    }

    /// What was exchanged with a peer, to be added to; `client` is asked for its program at the first block.
    pub(super) fn exchanged(
        &mut self,
        key: PeerKey,
        client: impl FnOnce() -> String,
    ) -> Option<&mut Exchanged> {
        let exchanged = &mut self.map.get_mut(&key)?.exchanged;
        if exchanged.since == 0 {
            exchanged.since = view::now();
            exchanged.client = client();
        }
        Some(exchanged)
    }

    /// The address of a peer and what was exchanged with it since this was asked last, if that is anything.
    pub(super) fn take_exchanged(&mut self, key: PeerKey) -> Option<(SocketAddr, Exchanged)> {
        let peer = self.map.get_mut(&key)?;
        let exchanged = std::mem::take(&mut peer.exchanged);
        (exchanged.since > 0).then_some((peer.addr, exchanged))
    }

    /// Closes and forgets a connection; what the peer's task still says is ignored from now on.
    pub(super) fn remove(&mut self, key: PeerKey) -> Option<Peer> {
        let peer = self.map.remove(&key)?;
        peer.link.close();
        Some(peer)
    }

    pub(super) fn keys(&self) -> Vec<PeerKey> {
        self.map.keys().copied().collect()
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        self.map.values().for_each(|peer| peer.link.close());
    }
}
