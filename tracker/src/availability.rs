//! Which pieces who is known to hold: the summary, the counts, and what is missing with its last holder.

use p2p_wire::InfoHash;
use p2p_wire::api::{Availability, MissingRange};

use crate::points::Ranges;
use crate::refusal::Refusal;
use crate::time::{rfc3339, unix_now};
use crate::tracker::Tracker;

/// Ranges that an answer holds at most.
const MAX_MISSING: usize = 10_000;

impl Tracker {
    /// What is known of the pieces of a published content; `missing_only` leaves the counts out.
    pub async fn availability(
        &self,
        hash: InfoHash,
        missing_only: bool,
    ) -> Result<Availability, Refusal> {
        let pieces = self
            .catalogue
            .listings()
            .get(&hash)
            .map_or(0, |listing| listing.pieces);
        let silent = self.swarms.silent(&hash);
        let known = self
            .points()
            .item(&hash)
            .map(|item| (item.counts(silent), item.lost().clone()));
        let (counts, lost) =
            known.unwrap_or_else(|| (vec![(pieces, silent.seeds)], Ranges::default()));
        let gone = missing(&counts);
        let mut last = Ranges::default();
        if !gone.is_empty() {
            for range in self.store.held(hash).await? {
                last.set(range.first, range.last, (range.holder, range.at));
            }
            let (now, unix) = (self.clock.now(), unix_now());
            for (first, end, (node, at)) in lost.iter() {
                if let Some(name) = self.node_name(*node) {
                    last.set(
                        first,
                        end,
                        (name, unix - i64::from(now.saturating_sub(*at))),
                    );
                }
            }
        }
        let known_last = gone
            .into_iter()
            .flat_map(|(first, end)| last.within(first, end));
        let missing = known_last
            .take(MAX_MISSING)
            .map(|(first, last, holder)| MissingRange {
                first,
                last,
                last_held_by: holder.map(|(name, _)| name.clone()),
                last_held: holder.map(|(_, at)| rfc3339(*at)),
            })
            .collect();
        let counts = if missing_only { Vec::new() } else { counts };
        Ok(Availability {
            summary: self.summary(&hash),
            counts,
            missing,
        })
    }
}

/// The ranges that nobody holds, first and last inclusive.
fn missing(counts: &[(u32, u32)]) -> Vec<(u32, u32)> {
    let mut at = 0u32;
    let mut out = Vec::new();
    for (pieces, holders) in counts {
        let next = at.saturating_add(*pieces);
        if *holders == 0 && next > at {
            out.push((at, next - 1));
        }
        at = next;
    }
    out
}
