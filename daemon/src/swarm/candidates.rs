//! Addresses that are not connected yet: which to dial, and when.
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::PeerKey;

/// Connections being made at one time, at most.
const MAX_HALF_OPEN: usize = 20;
/// Addresses kept at most: some sources give thousands, of which we could never dial a tenth.
const MAX_KNOWN: usize = 2000;
const FIRST_BACK_OFF: Duration = Duration::from_secs(10);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(600);
/// Back-off while nobody at all is connected.
const LONELY_BACK_OFF: Duration = Duration::from_secs(2);
const LONGEST_LONELY: Duration = Duration::from_secs(30);
/// An address that failed so often in a row is forgotten; a tracker that still lists it brings it back.
const MAX_FAILURES: u32 = 10;
/// A peer that neither side needed is looked at again after this.
const UNNEEDED_BACK_OFF: Duration = Duration::from_secs(1800);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting {
        due: Instant,
        serial: u64,
    },
    Dialling,
    /// Connected under this key, by this address or by another of the same peer.
    Connected(PeerKey),
}

#[derive(Debug)]
struct Candidate {
    state: State,
    failures: u32,
    unneeded: bool,
}

/// How a connection ended, for its addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// It was of use: try again soon.
    Useful,
    /// It brought nothing.
    Useless,
    /// Neither side needs the other.
    NotNeeded,
}

/// All known addresses of one swarm.
///
/// Invariant: `due` has exactly the waiting addresses; `dialling` counts those being dialled.
#[derive(Debug)]
pub(super) struct Candidates {
    known: BTreeMap<SocketAddr, Candidate>,
    due: BTreeSet<(Instant, u64, SocketAddr)>,
    links: BTreeMap<PeerKey, Vec<SocketAddr>>,
    banned: BTreeSet<SocketAddr>,
    only: BTreeSet<SocketAddr>,
    serial: u64,
    dialling: usize,
}

impl Candidates {
    /// Knows `only`, if any, and then takes no others.
    pub(super) fn new(only: &[SocketAddr], now: Instant) -> Self {
        let mut this = Self {
            known: BTreeMap::new(),
            due: BTreeSet::new(),
            links: BTreeMap::new(),
            banned: BTreeSet::new(),
            only: only.iter().copied().map(canonical).collect(),
            serial: 0,
            dialling: 0,
        };
        this.add(only, now);
        this
    }

    /// Addresses to try. Those known keep their back-off.
    pub(super) fn add(&mut self, addrs: &[SocketAddr], now: Instant) {
        for addr in addrs.iter().copied().map(canonical) {
            let ip = addr.ip();
            let reachable = addr.port() != 0 && !ip.is_unspecified() && !ip.is_multicast();
            if !reachable
                || !self.allows(addr)
                || self.known.len() >= MAX_KNOWN
                || self.known.contains_key(&addr)
            {
                continue;
            }
            self.wait(addr, now, 0, false);
        }
    }

    /// Whether blocks may be taken from, and connections made to, this address.
    pub(super) fn allows(&self, addr: SocketAddr) -> bool {
        let addr = canonical(addr);
        !self.banned.contains(&addr) && (self.only.is_empty() || self.only.contains(&addr))
    }

    pub(super) fn is_banned(&self, addr: SocketAddr) -> bool {
        self.banned.contains(&canonical(addr))
    }

    #[cfg(test)]
    pub(super) fn banned_len(&self) -> usize {
        self.banned.len()
    }

    /// Never again.
    pub(super) fn ban(&mut self, addr: SocketAddr) {
        let addr = canonical(addr);
        self.take(addr);
        // An attacker can have any number of ports; which one makes room does not matter.
        if self.banned.len() >= MAX_KNOWN {
            self.banned.pop_first();
        }
        self.banned.insert(addr);
    }

    /// The next address to dial now, if there may be one more connection in addition to `connected` of at most `max`.
    pub(super) fn next(
        &mut self,
        connected: usize,
        max: usize,
        now: Instant,
    ) -> Option<SocketAddr> {
        if self.dialling >= MAX_HALF_OPEN || connected + self.dialling >= max {
            return None;
        }
        let (due, _, addr) = *self.due.first()?;
        if due > now {
            return None;
        }
        self.set(addr, State::Dialling);
        Some(addr)
    }

    /// When there will be an address to dial, if there is room for it.
    pub(super) fn next_due(&self, connected: usize, max: usize) -> Option<Instant> {
        if self.dialling >= MAX_HALF_OPEN || connected + self.dialling >= max {
            return None;
        }
        self.due.first().map(|(due, ..)| *due)
    }

    /// Whether an address is being dialled or worth dialling at `now`.
    pub(super) fn is_active(&self, now: Instant) -> bool {
        self.dialling > 0 || self.due.first().is_some_and(|(due, ..)| *due <= now)
    }

    /// Dialling led to nothing. `lonely`: nobody is connected, so waiting long would help nobody.
    pub(super) fn failed(&mut self, addr: SocketAddr, lonely: bool, now: Instant) {
        let addr = canonical(addr);
        if let Some(candidate) = self.known.get(&addr)
            && candidate.state == State::Dialling
        {
            let failures = candidate.failures + 1;
            self.back_off(addr, failures, lonely, now);
        }
    }

    /// `addr` is an address of the peer connected as `key`: it is not dialled while the connection lasts.
    pub(super) fn link(&mut self, addr: SocketAddr, key: PeerKey) {
        let addr = canonical(addr);
        let known = self.known.get(&addr).map(|c| c.state);
        if known.is_none_or(|state| matches!(state, State::Connected(_))) {
            return;
        }
        self.set(addr, State::Connected(key));
        self.links.entry(key).or_default().push(addr);
    }

    /// The connection ended.
    pub(super) fn unlink(&mut self, key: PeerKey, ending: Ending, lonely: bool, now: Instant) {
        for addr in self.links.remove(&key).unwrap_or_default() {
            let Some(candidate) = self.known.get(&addr) else {
                continue;
            };
            let failures = candidate.failures + 1;
            match ending {
                Ending::Useful => self.back_off(addr, 1, lonely, now),
                Ending::Useless => self.back_off(addr, failures, lonely, now),
                Ending::NotNeeded => {
                    self.wait(addr, now + UNNEEDED_BACK_OFF, 0, true);
                }
            }
        }
    }

    /// Peers that were not needed may be now.
    pub(super) fn reconsider(&mut self, now: Instant) {
        let unneeded = |(addr, candidate): (&SocketAddr, &Candidate)| {
            (candidate.unneeded && matches!(candidate.state, State::Waiting { .. }))
                .then_some(*addr)
        };
        let again: Vec<SocketAddr> = self.known.iter().filter_map(unneeded).collect();
        for addr in again {
            self.wait(addr, now, 0, false);
        }
    }

    /// The addresses not banned, those of connected peers included.
    pub(super) fn into_addrs(self) -> Vec<SocketAddr> {
        self.known.into_keys().collect()
    }

    /// Panics if the indexes disagree.
    pub(super) fn check_invariants(&self) {
        let (mut dialling, mut waiting, mut linked) = (0, 0, 0);
        for (addr, candidate) in &self.known {
            match candidate.state {
                State::Waiting { due, serial } => {
                    assert!(self.due.contains(&(due, serial, *addr)), "{addr} is due");
                    waiting += 1;
                }
                State::Dialling => dialling += 1,
                State::Connected(key) => {
                    assert!(self.links.get(&key).is_some_and(|a| a.contains(addr)));
                    linked += 1;
                }
            }
            assert!(!self.banned.contains(addr), "{addr} is banned");
        }
        assert_eq!((self.dialling, self.due.len()), (dialling, waiting));
        assert_eq!(self.links.values().map(Vec::len).sum::<usize>(), linked);
    }

    fn back_off(&mut self, addr: SocketAddr, failures: u32, lonely: bool, now: Instant) {
        if failures >= MAX_FAILURES && !self.only.contains(&addr) {
            self.take(addr);
            return;
        }
        let (first, longest) = if lonely {
            (LONELY_BACK_OFF, LONGEST_LONELY)
        } else {
            (FIRST_BACK_OFF, LONGEST_BACK_OFF)
        };
        let wait = first * 2u32.pow(failures.saturating_sub(1).min(9));
        self.wait(addr, now + wait.min(longest), failures, false);
    }

    fn wait(&mut self, addr: SocketAddr, due: Instant, failures: u32, unneeded: bool) {
        self.take(addr);
        self.serial += 1;
        let serial = self.serial;
        self.due.insert((due, serial, addr));
        let state = State::Waiting { due, serial };
        self.known.insert(
            addr,
            Candidate {
                state,
                failures,
                unneeded,
            },
        );
    }

    fn set(&mut self, addr: SocketAddr, state: State) {
        if let Some(mut candidate) = self.take(addr) {
            self.dialling += usize::from(state == State::Dialling);
            candidate.state = state;
            self.known.insert(addr, candidate);
        }
    }

    /// Takes an address out of every index.
    fn take(&mut self, addr: SocketAddr) -> Option<Candidate> {
        let candidate = self.known.remove(&addr)?;
        match candidate.state {
            State::Waiting { due, serial } => {
                self.due.remove(&(due, serial, addr));
            }
            State::Dialling => self.dialling -= 1,
            State::Connected(key) => {
                if let Some(addrs) = self.links.get_mut(&key) {
                    addrs.retain(|a| *a != addr);
                    if addrs.is_empty() {
                        self.links.remove(&key);
                    }
                }
            }
        }
        Some(candidate)
    }
}

/// IPv4 in an IPv6 socket is the same peer as plain IPv4.
pub(super) fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swarm::sim::start;

    fn addr(n: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, n], 6881))
    }

    fn dials(candidates: &mut Candidates, connected: usize, now: Instant) -> Vec<SocketAddr> {
        std::iter::from_fn(|| candidates.next(connected, 50, now)).collect()
    }

    #[test]
    fn an_address_is_dialled_once_and_only_if_it_can_be_one() {
        let t = start();
        let mut candidates = Candidates::new(&[], t);
        let mapped = SocketAddr::new("::ffff:10.0.0.1".parse().unwrap(), 6881);
        let bad = ["10.0.0.9:0", "0.0.0.0:1", "224.0.0.1:1"].map(|a| a.parse().unwrap());
        candidates.add(&[addr(1), addr(1), mapped, addr(2)], t);
        candidates.add(&bad, t);
        assert_eq!(dials(&mut candidates, 0, t), [addr(1), addr(2)]);
        candidates.add(&[addr(1)], t);
        assert_eq!(dials(&mut candidates, 0, t), []);
        candidates.check_invariants();
    }

    #[test]
    fn failures_wait_longer_and_longer_but_not_long_when_alone() {
        let t = start();
        let mut candidates = Candidates::new(&[], t);
        candidates.add(&[addr(1)], t);
        let mut now = t;
        let mut waits = Vec::new();
        for lonely in [true, true, false, false] {
            assert_eq!(dials(&mut candidates, 0, now), [addr(1)]);
            candidates.failed(addr(1), lonely, now);
            let due = candidates.next_due(0, 50).unwrap();
            waits.push((due - now).as_secs());
            now = due;
        }
        assert_eq!(waits, [2, 4, 40, 80]);
    }

    #[test]
    fn an_address_that_never_answers_is_forgotten() {
        let mut now = start();
        let mut candidates = Candidates::new(&[], now);
        candidates.add(&[addr(1)], now);
        for _ in 0..MAX_FAILURES {
            assert_eq!(candidates.next(0, 50, now), Some(addr(1)));
            candidates.failed(addr(1), false, now);
            now += LONGEST_BACK_OFF;
        }
        assert_eq!(candidates.next_due(0, 50), None);
    }

    #[test]
    fn few_at_a_time_and_never_more_than_there_is_room() {
        let t = start();
        let mut candidates = Candidates::new(&[], t);
        candidates.add(&(1..=100).map(addr).collect::<Vec<_>>(), t);
        assert_eq!(dials(&mut candidates, 0, t).len(), MAX_HALF_OPEN);
        candidates.link(addr(1), PeerKey(1));
        candidates.failed(addr(2), false, t);
        assert_eq!(dials(&mut candidates, 31, t).len(), 1);
        candidates.check_invariants();
    }

    #[test]
    fn only_the_chosen_addresses_and_never_the_banned() {
        let t = start();
        let mut candidates = Candidates::new(&[addr(1), addr(2)], t);
        candidates.add(&[addr(3)], t);
        candidates.ban(addr(2));
        candidates.add(&[addr(2)], t);
        assert_eq!(dials(&mut candidates, 0, t), [addr(1)]);
        assert!(!candidates.allows(addr(3)) && !candidates.allows(addr(2)));
    }

    #[test]
    fn a_connected_peer_is_not_dialled_by_its_other_address() {
        let t = start();
        let mut candidates = Candidates::new(&[], t);
        candidates.add(&[addr(1)], t);
        candidates.link(addr(1), PeerKey(5));
        assert_eq!(dials(&mut candidates, 1, t), []);
        candidates.unlink(PeerKey(5), Ending::Useful, true, t);
        assert_eq!(candidates.next_due(0, 50), Some(t + LONELY_BACK_OFF));
    }

    #[test]
    fn peers_that_were_not_needed_wait_until_they_are() {
        let t = start();
        let mut candidates = Candidates::new(&[], t);
        candidates.add(&[addr(1)], t);
        assert_eq!(dials(&mut candidates, 0, t), [addr(1)]);
        candidates.link(addr(1), PeerKey(5));
        candidates.unlink(PeerKey(5), Ending::NotNeeded, true, t);
        assert!(!candidates.is_active(t + Duration::from_secs(600)));
        candidates.reconsider(t);
        assert_eq!(dials(&mut candidates, 0, t), [addr(1)]);
    }
}
