//! What was exchanged with each peer, on its way into the history: when the connection ends, and while it lasts now and then, so that a kill
//! takes little of it.

use std::time::Duration;

use super::super::history::Session;
use super::super::view;
use super::Torrent;
use super::active::Active;
use crate::swarm::PeerKey;

/// Between two tellings of what goes on.
pub(super) const TELL: Duration = Duration::from_secs(60);

impl Torrent {
    /// Tells of what goes on.
    pub(super) fn tell_exchanges(&mut self, active: &Active) {
        for key in self.peers.keys() {
            if let Some(session) = self.exchange(active, key) {
                self.ctx.store.session_later(session);
            }
        }
    }

    /// What was exchanged with a peer and was not told yet.
    pub(super) fn exchange(&mut self, active: &Active, key: PeerKey) -> Option<Session> {
        let (addr, exchanged) = self.peers.take_exchanged(key)?;
        Some(Session {
            info_hash: self.item,
            owner: self.record.owner,
            name: self.record.name.clone(),
            // Who comes again comes from another port.
            peer: active.swarm.listens_at(key).unwrap_or(addr).to_string(),
            client: exchanged.client,
            downloaded: exchanged.downloaded,
            uploaded: exchanged.uploaded,
            started: exchanged.since,
            ended: view::now(),
        })
    }
}
