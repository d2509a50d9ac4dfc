//! Who may ask us for blocks.
//!
//! While we leech, those who give us most are unchoked, and one more by chance, so that newcomers can show what they give. While we
//! seed, half of the places go to those who take fastest, and the others go round, so that everybody gets a turn.
use std::time::{Duration, Instant};

use rand::RngExt;
use rand::rngs::SmallRng;

use super::PeerKey;

/// Time between rounds.
pub(super) const ROUND: Duration = Duration::from_secs(10);
/// An optimistic unchoke lasts three rounds.
const OPTIMISTIC_ROUNDS: u64 = 3;
/// How long a turn lasts while we seed.
const TURN: Duration = Duration::from_secs(30);

/// A peer that is interested in us.
#[derive(Clone, Copy, Debug)]
pub(super) struct Contender {
    pub(super) key: PeerKey,
    /// Bytes since the last round: given to us while we leech, taken from us while we seed.
    pub(super) bytes: u64,
    /// May ask now.
    pub(super) unchoked: bool,
    /// When it was last choked or unchoked; its connection's start if never.
    pub(super) since: Instant,
}

/// The rounds of one swarm.
#[derive(Debug)]
pub(super) struct Choker {
    slots: usize,
    next: Instant,
    rounds: u64,
    optimistic: Option<PeerKey>,
}

impl Choker {
    pub(super) fn new(slots: usize, now: Instant) -> Self {
        Self {
            slots,
            next: now + ROUND,
            rounds: 0,
            optimistic: None,
        }
    }

    /// Peers that may be unchoked.
    pub(super) fn slots(&self) -> usize {
        self.slots
    }

    /// When the next round is due.
    pub(super) fn next(&self) -> Instant {
        self.next
    }

    /// Who is to be unchoked from now on; all others are to be choked.
    pub(super) fn round(
        &mut self,
        seeding: bool,
        contenders: &[Contender],
        now: Instant,
        rng: &mut SmallRng,
    ) -> Vec<PeerKey> {
        self.next = now + ROUND;
        self.rounds += 1;
        if contenders.len() <= self.slots {
            self.optimistic = None;
            return contenders.iter().map(|c| c.key).collect();
        }
        if seeding {
            return rotation(self.slots, contenders, now);
        }
        let regular = self.slots.saturating_sub(1).max(self.slots.min(1));
        let mut chosen = best_givers(regular, contenders);
        if chosen.len() < self.slots {
            let rest: Vec<PeerKey> = contenders
                .iter()
                .map(|c| c.key)
                .filter(|key| !chosen.contains(key))
                .collect();
            let kept = self
                .optimistic
                .filter(|key| self.rounds % OPTIMISTIC_ROUNDS != 0 && rest.contains(key));
            let drawn = || rest.get(rng.random_range(0..rest.len().max(1))).copied();
            self.optimistic = kept.or_else(drawn);
            chosen.extend(self.optimistic);
        }
        chosen
    }

    /// The peer that gets a place that became free between rounds: who has waited longest.
    pub(super) fn fill(&self, contenders: &[Contender]) -> Option<PeerKey> {
        let taken = contenders.iter().filter(|c| c.unchoked).count();
        if taken >= self.slots {
            return None;
        }
        contenders
            .iter()
            .filter(|c| !c.unchoked)
            .min_by_key(|c| (c.since, c.key))
            .map(|c| c.key)
    }
}

/// Those who gave most; among equals, those who have waited longest.
fn best_givers(slots: usize, contenders: &[Contender]) -> Vec<PeerKey> {
    let mut order: Vec<&Contender> = contenders.iter().collect();
    order.sort_by_key(|c| (std::cmp::Reverse(c.bytes), c.unchoked, c.since, c.key));
    order.iter().take(slots).map(|c| c.key).collect()
}

/// Half of the places for the fastest, the rest in turns.
fn rotation(slots: usize, contenders: &[Contender], now: Instant) -> Vec<PeerKey> {
    let fast = contenders.iter().filter(|c| c.unchoked && c.bytes > 0);
    let mut fast: Vec<&Contender> = fast.collect();
    fast.sort_by_key(|c| (std::cmp::Reverse(c.bytes), c.key));
    fast.truncate(slots / 2);
    let mut chosen: Vec<PeerKey> = fast.iter().map(|c| c.key).collect();
    let mut order: Vec<&Contender> = contenders
        .iter()
        .filter(|c| !chosen.contains(&c.key))
        .collect();
    order.sort_by_key(|c| {
        let turn_over = c.unchoked && now.saturating_duration_since(c.since) >= TURN;
        let place = match (c.unchoked, turn_over) {
            (true, false) => 0,
            (false, _) => 1,
            (true, true) => 2,
        };
        (place, c.since, c.key)
    });
    let left = slots.saturating_sub(chosen.len());
    chosen.extend(order.iter().take(left).map(|c| c.key));
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swarm::sim::start;
    use rand::SeedableRng;

    /// One character a peer: the digit is its rate, upper row; `u` unchoked for 5 s, `U` for 40 s, `.` choked for 5 s, `:` for 40 s.
    fn draw(rates: &str, states: &str) -> Vec<Contender> {
        let now = start() + Duration::from_secs(100);
        rates
            .bytes()
            .zip(states.bytes())
            .enumerate()
            .map(|(i, (rate, state))| Contender {
                key: PeerKey(i as u64),
                bytes: u64::from(rate - b'0'),
                unchoked: state.eq_ignore_ascii_case(&b'u'),
                since: now - Duration::from_secs(if b"U:".contains(&state) { 40 } else { 5 }),
            })
            .collect()
    }

    fn chosen(seeding: bool, slots: usize, rates: &str, states: &str) -> String {
        let now = start() + Duration::from_secs(100);
        let mut choker = Choker::new(slots, start());
        let mut rng = SmallRng::seed_from_u64(7);
        let keys = choker.round(seeding, &draw(rates, states), now, &mut rng);
        (0..rates.len() as u64)
            .map(|i| if keys.contains(&PeerKey(i)) { '*' } else { ' ' })
            .collect()
    }

    #[test]
    fn a_leech_unchokes_those_who_give_most_and_one_by_chance() {
        let drawing = chosen(false, 3, "9182000", "uuu....");
        assert!(
            drawing.starts_with('*') && &drawing[2..3] == "*",
            "{drawing}"
        );
        assert_eq!(drawing.matches('*').count(), 3);
    }

    #[test]
    fn an_optimistic_unchoke_stays_three_rounds_and_then_moves() {
        let mut choker = Choker::new(2, start());
        let mut rng = SmallRng::seed_from_u64(3);
        let contenders = draw("90000000", "u.......");
        let mut seen = std::collections::BTreeSet::new();
        for round in 1..=90u64 {
            choker.round(false, &contenders, start(), &mut rng);
            let optimistic = choker.optimistic.unwrap();
            assert_ne!(optimistic, PeerKey(0));
            seen.insert((round / 3, optimistic));
        }
        assert_eq!(seen.len(), 31, "one in each three rounds");
        let peers: std::collections::BTreeSet<_> = seen.iter().map(|(_, key)| key).collect();
        assert_eq!(peers.len(), 7, "everybody sooner or later");
    }

    #[test]
    fn a_seed_favours_the_fastest_and_gives_the_rest_in_turns() {
        // 0 and 3 are fastest; 1 and 2 have had their turn, 4 and 5 have waited longest.
        assert_eq!(chosen(true, 4, "922800", "UUUU::"), "*  ***");
        // 1 is in the middle of its turn.
        assert_eq!(chosen(true, 4, "922800", "UuUU::"), "** ** ");
    }

    #[test]
    fn nobody_is_choked_while_there_is_room_and_nobody_served_without_slots() {
        assert_eq!(chosen(true, 4, "0000", "...."), "****");
        assert_eq!(chosen(false, 0, "9999", "uuuu"), "    ");
        assert_eq!(chosen(true, 0, "9999", "uuuu"), "    ");
    }

    #[test]
    fn a_free_place_goes_to_who_has_waited_longest() {
        let choker = Choker::new(2, start());
        assert_eq!(choker.fill(&draw("000", "u.:")), Some(PeerKey(2)));
        assert_eq!(choker.fill(&draw("000", "uu:")), None);
    }
}
