//! An item that takes part in its swarm, as users see it.

use std::time::Instant;

use p2p_wire::control::{Item, ItemPeer, ItemPieces, State};

use super::super::view;
use super::active::Active;
use super::dormant::{holding, missing_range, run_lengths};
use super::{Ask, Torrent};
use crate::swarm::{PeerKey, Swarm};

impl Torrent {
    pub(super) fn answer(&mut self, active: &Active, ask: Ask) {
        match ask {
            Ask::Item(reply) => {
                self.update_totals(active);
                drop(reply.send(self.active_view(active)));
            }
            Ask::Files(reply) => {
                let files = view::files(&active.info, &self.record, active.swarm.have());
                drop(reply.send(files));
            }
            Ask::Peers(reply) => drop(reply.send(peers(&active.swarm))),
            Ask::Pieces(reply) => drop(reply.send(self.pieces(active))),
            Ask::Trackers(reply) => drop(reply.send(self.record.trackers.clone())),
            Ask::Only(reply) => drop(reply.send(self.record.only.clone())),
            Ask::Holding(reply) => drop(reply.send(holding(active.swarm.have()))),
        }
    }

    pub(super) fn active_view(&self, active: &Active) -> Item {
        let stats = active.swarm.stats(Instant::now());
        let left = active.missing;
        let live = view::Live {
            stats,
            have: Some(active.swarm.have()),
            done: Some(self.record.wanted_len.saturating_sub(left)),
            bad_pieces: self.bad_pieces,
            tracker_error: self.tracker_error.as_deref(),
            points: self.points.as_ref(),
            missing: (stats.peers > 0 && left > 0).then(|| lacking(active).count() as u32),
            ..view::Live::default()
        };
        let mut item = view::item(self.item, &self.record, &live);
        // It is called complete when its record is on the disk.
        if active.keeping.finishing && item.state == State::Seeding {
            item.state = State::Fetching;
        }
        let (downloaded, uploaded, wasted) = active.before;
        item.downloaded = downloaded + stats.downloaded;
        item.uploaded = uploaded + stats.uploaded;
        item.wasted = wasted + stats.wasted;
        if left > 0 && !active.told_missing.is_empty() && item.reason.is_none() {
            item.reason = Some(missing_text(&active.told_missing));
        }
        item
    }

    pub(super) fn pieces(&self, active: &Active) -> ItemPieces {
        let have = active.swarm.have();
        let connected = active.swarm.availability();
        let holders: Vec<u32> = (0..have.len())
            .map(|piece| {
                let others = connected.get(piece as usize).copied().unwrap_or(0);
                others + u32::from(have.get(piece))
            })
            .collect();
        let elsewhere = view::all_are_held(self.points.as_ref());
        let nobody = (0..have.len()).filter(|piece| !elsewhere && holders[*piece as usize] == 0);
        ItemPieces {
            pieces: have.len(),
            piece_len: active.info.layout().piece_len(),
            here: view::ranges(have.iter()),
            missing: (view::ranges(nobody).into_iter())
                .map(missing_range)
                .collect(),
            holders: run_lengths(holders.into_iter()),
            unknown: self.points.as_ref().map_or(0, |points| points.unknown),
            source: "peers".into(),
        }
    }

    /// Brings the record's totals up to date.
    pub(super) fn update_totals(&mut self, active: &Active) {
        let stats = active.swarm.stats(Instant::now());
        let (downloaded, uploaded, wasted) = active.before;
        self.record.downloaded = downloaded + stats.downloaded;
        self.record.uploaded = uploaded + stats.uploaded;
        self.record.wasted = wasted + stats.wasted;
    }

    /// Says which pieces nobody is known to hold, once for each set of them.
    pub(super) fn look_for_missing(&mut self, active: &mut Active) {
        let elsewhere = view::all_are_held(self.points.as_ref());
        let stats = active.swarm.stats(Instant::now());
        let known = stats.peers > 0 || self.points.is_some();
        let missing = match known && !elsewhere {
            true => view::ranges(lacking(active)),
            false => Vec::new(),
        };
        if missing != active.told_missing {
            if !missing.is_empty() {
                self.emit("item.missing-pieces", missing_text(&missing));
            }
            active.told_missing = missing;
        }
    }
}

/// Wanted pieces that neither we nor any connected peer has.
fn lacking(active: &Active) -> impl Iterator<Item = u32> + '_ {
    let connected = active.swarm.availability();
    let have = active.swarm.have();
    let nobody = move |piece: &u32| {
        !have.get(*piece) && connected.get(*piece as usize).is_none_or(|n| *n == 0)
    };
    active.wanted.iter().filter(nobody)
}

/// The program of a peer.
pub(super) fn client(swarm: &Swarm, key: PeerKey) -> String {
    let peers = swarm.peers(Instant::now());
    let peer = peers.into_iter().find(|peer| peer.key == key);
    peer.map(|peer| peer.client).unwrap_or_default()
}

fn missing_text(ranges: &[(u32, u32)]) -> String {
    format!(
        "nobody is known to hold pieces {}",
        view::ranges_text(ranges)
    )
}

fn peers(swarm: &Swarm) -> Vec<ItemPeer> {
    let peers = swarm.peers(Instant::now()).into_iter();
    let peer = peers.map(|p| ItemPeer {
        addr: p.addr.to_string(),
        client: p.client,
        direction: if p.outgoing { "out" } else { "in" }.into(),
        pieces: p.pieces,
        down_rate: p.down_rate,
        up_rate: p.up_rate,
        downloaded: p.downloaded,
        uploaded: p.uploaded,
        choking_us: p.choking_us,
        choked: p.choked,
        interesting: p.interesting,
        interested: p.interested,
        requests: p.requests,
        window: p.window,
    });
    peer.collect()
}
