//! What the points of an item say to those who ask.

use p2p_wire::Bitfield;
use p2p_wire::api::AvailabilitySummary;
use p2p_wire::points::{MAX_RAREST, Swarm};

use super::item::{Holder, Holding, Item};
use super::{LastHeld, Ranges, runs};
use crate::ids::NodeId;

/// How far the search for them goes: its cost stays flat however many pieces there are and however many of them the reporter has.
const RAREST_SCAN: usize = 16_384;

/// Peers of a swarm that report no pieces: stock clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Silent {
    /// They say they have all.
    pub seeds: u32,
    /// They say they lack something.
    pub leeches: u32,
}

impl Item {
    /// How many are known to hold `piece`.
    pub fn holders_of(&self, piece: u32, silent: Silent) -> u32 {
        self.partial.count(piece) + self.seeds + silent.seeds
    }

    /// Known holders, run-length coded: (pieces, holders) in piece order.
    pub fn counts(&self, silent: Silent) -> Vec<(u32, u32)> {
        let mut out: Vec<(u32, u32)> = Vec::new();
        for count in self.partial.counts() {
            let holders = count + self.seeds + silent.seeds;
            match out.last_mut() {
                Some((pieces, same)) if *same == holders => *pieces += 1,
                _ => out.push((1, holders)),
            }
        }
        out
    }

    /// Who last held pieces that lost their last holder here; pieces that have one again are in it too.
    pub fn lost(&self) -> &Ranges<(NodeId, u32)> {
        &self.lost
    }

    /// In one line.
    pub fn summary(&self, silent: Silent) -> AvailabilitySummary {
        let seeds = self.seeds + silent.seeds;
        let least = self.partial.least();
        let above = self.pieces - self.partial.at_most(least);
        AvailabilitySummary {
            seeds,
            partial: self.holders.len() as u32 - self.seeds,
            unknown: silent.leeches,
            least: seeds + least,
            most: seeds + self.partial.most(),
            nobody: if seeds > 0 {
                0
            } else {
                self.partial.at_most(0)
            },
            copies: f64::from(seeds + least) + f64::from(above) / f64::from(self.pieces.max(1)),
        }
    }

    pub(super) fn reply(&self, node: NodeId, silent: Silent) -> Swarm {
        let AvailabilitySummary {
            seeds,
            partial,
            unknown,
            least,
            nobody,
            ..
        } = self.summary(silent);
        Swarm {
            seeds,
            partial,
            unknown,
            least,
            nobody,
            rarest: self.rarest_for(node, seeds, unknown),
        }
    }

    /// The rarest pieces that the machine lacks, ascending. Those without a known holder only where an unknown peer may have them:
    /// else they would crowd out the pieces that can be had.
    fn rarest_for(&self, node: NodeId, seeds: u32, unknown: u32) -> Vec<u32> {
        let Some(Holder {
            holding: Holding::Partial(set, _),
            ..
        }) = self.holders.get(&node)
        else {
            return Vec::new();
        };
        let skip = if seeds == 0 && unknown == 0 {
            self.partial.at_most(0) as usize
        } else {
            0
        };
        let order = self.partial.rarest().iter().skip(skip).take(RAREST_SCAN);
        let mut rarest: Vec<u32> = order
            .copied()
            .filter(|piece| !set.get(*piece))
            .take(MAX_RAREST)
            .collect();
        rarest.sort_unstable();
        rarest
    }

    /// Who is known to hold, or to have held last, each piece: one machine for each run, as few as cover it.
    pub(super) fn last_held(&self, now: u32) -> Vec<LastHeld> {
        let mut ranges = self.lost.clone();
        let mut covered = Bitfield::new(self.pieces);
        if let Some((node, _)) = self
            .holders
            .iter()
            .find(|(_, holder)| matches!(holder.holding, Holding::Seed))
        {
            ranges.set(0, self.pieces.saturating_sub(1), (*node, now));
            covered = Bitfield::full(self.pieces);
        }
        let held = self.pieces - self.partial.at_most(0);
        for (node, holder) in &self.holders {
            let Holding::Partial(set, _) = &holder.holding else {
                continue;
            };
            if covered.is_full() || covered.count() >= held {
                break;
            }
            let new: Vec<u32> = set.iter().filter(|piece| covered.set(*piece)).collect();
            for (first, last) in runs(new.into_iter()) {
                ranges.set(first, last, (*node, now));
            }
        }
        ranges
            .iter()
            .map(|(first, last, (node, at))| (first, last, *node, *at))
            .collect()
    }
}
