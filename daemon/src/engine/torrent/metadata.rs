//! The first stage of a magnet link: the `info` dictionary comes from peers.

use std::net::SocketAddr;
use std::time::Instant;

use p2p_wire::control::ErrorKind;
use p2p_wire::metainfo::{Info, Metainfo};
use p2p_wire::peer::Message;

use super::{Command, Halt, Torrent, until};
use crate::net::FromPeer;
use crate::swarm::{Action, MetadataFetch, MetadataOptions, NewPeer, PeerKey};

/// A connected peer with what it said before the swarm was there.
pub(super) type Replay = Vec<(PeerKey, NewPeer, Vec<Message>)>;

impl Torrent {
    /// Fetches the metadata and records it. The peers stay connected and are handed on.
    pub(super) async fn fetch_metadata(&mut self) -> Result<(Metainfo, Replay), Halt> {
        let options = MetadataOptions {
            info_hash: self.item,
            our_id: self.ctx.peer_id,
            port: self.ctx.port,
            only_peers: self.record.only_peers.clone(),
        };
        let mut fetch = MetadataFetch::new(options, Instant::now());
        fetch.add_candidates(&std::mem::take(&mut self.candidates), Instant::now());
        let info = loop {
            self.metadata_connect(&mut fetch);
            if let Some(info) = self.metadata_step(&mut fetch).await? {
                break info;
            }
        };
        let (replay, candidates) = fetch.into_peers();
        self.candidates = candidates;
        let metainfo = Metainfo {
            info,
            announce: self.record.trackers.clone(),
            comment: None,
            created_by: None,
            created: None,
        };
        self.learn(&metainfo.info);
        let stored = self.ctx.store.set_metainfo(self.item, metainfo.to_bytes());
        stored
            .await
            .map_err(|error| Halt::Fault(ErrorKind::Disk, error.to_string()))?;
        self.ctx.store.put(self.item, &self.record);
        self.emit(
            "item.metadata",
            format!("the metadata of {} is here", self.record.name),
        );
        Ok((metainfo, replay))
    }

    /// Puts what the metadata says into the record.
    pub(super) fn learn(&mut self, info: &Info) {
        super::super::add::describe(&mut self.record, info);
        let wanted = self.record.wanted_len;
        let left = &self.counters.left;
        left.store(wanted, std::sync::atomic::Ordering::Relaxed);
    }

    async fn metadata_step(&mut self, fetch: &mut MetadataFetch) -> Result<Option<Info>, Halt> {
        let now = Instant::now();
        while let Some(action) = fetch.poll_action() {
            let gone = match action {
                Action::Send(key, message) => (!self.peers.send(key, message)).then_some(key),
                Action::Drop(key, _) => Some(key),
                Action::Dial(addr) => {
                    self.peers.dial(addr);
                    None
                }
                _ => None,
            };
            if let Some(key) = gone
                && self.peers.remove(key).is_some()
            {
                fetch.handle_disconnected(key, now);
            }
        }
        let timer = fetch.poll_timeout().map(tokio::time::Instant::from_std);
        tokio::select! {
            command = self.commands.recv() => {
                self.early_command(command.unwrap_or(Command::Stop))?;
                let addrs: Vec<SocketAddr> = std::mem::take(&mut self.candidates);
                fetch.add_candidates(&addrs, Instant::now());
            }
            Some((addr, connected)) = self.peers.dialled.recv() => match connected {
                Ok(connection) => self.early.push(connection),
                Err(_) => fetch.handle_dial_failed(addr, Instant::now()),
            },
            Some((key, said)) = self.peers.from_peers.recv() => {
                return Ok(self.metadata_peer(fetch, key, said));
            }
            () = until(timer) => fetch.handle_timeout(Instant::now()),
        }
        Ok(None)
    }

    fn metadata_connect(&mut self, fetch: &mut MetadataFetch) {
        for connection in std::mem::take(&mut self.early) {
            let (key, new) = self.peers.connect(connection);
            fetch.handle_connected(key, new, Instant::now());
        }
    }

    fn metadata_peer(
        &mut self,
        fetch: &mut MetadataFetch,
        key: PeerKey,
        said: FromPeer,
    ) -> Option<Info> {
        let now = Instant::now();
        if !self.peers.contains(key) {
            return None;
        }
        match said {
            FromPeer::Batch(frames) => {
                for frame in frames {
                    match fetch.handle_message(key, frame.message, now) {
                        Ok(None) => {}
                        Ok(Some(info)) => return Some(info),
                        Err(violation) => {
                            tracing::debug!(item = %self.item, "a peer is dropped: {violation}");
                            self.peers.remove(key);
                            fetch.handle_disconnected(key, now);
                            return None;
                        }
                    }
                }
            }
            FromPeer::Sent(_) => {}
            FromPeer::Closed(_) => {
                self.peers.remove(key);
                fetch.handle_disconnected(key, now);
            }
        }
        None
    }
}
