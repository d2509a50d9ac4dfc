//! Addresses that are not connected yet: which to dial, and when.
//!
//! An address that fails rests for longer and longer. How long is decided by how much a further peer is wanted ([`Want`]): a fetch whose
//! only seed was away must go on soon after it is back, so while nobody has what is missing an address rests for half a minute at most for
//! two hours, and from then on longer the longer it has not answered: a minute and a half after a night, ten minutes after two weeks. Against
//! storms stands that, and that the more addresses wait, the longer each of them rests.
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
/// Back-off while peers are wanted.
const LONELY_BACK_OFF: Duration = Duration::from_secs(2);
const LONGEST_LONELY: Duration = Duration::from_secs(30);
/// After so many failures in a row, two hours, that back-off is twice as long, after as many again three times: a thousand fetches whose seeds
/// are gone for good would keep the dials of the whole daemon busy for ever.
const PATIENT: u32 = 240;
/// An address that is named again is tried again at once, but not sooner than this after the last time.
const NAMED_BACK_OFF: Duration = Duration::from_secs(5);
/// An address that failed so often in a row is forgotten, unless few wait; a tracker that still lists it brings it back.
const MAX_FAILURES: u32 = 10;
/// So few are kept, and tried as often as [`LONGEST_LONELY`] says: who named one will not name it again because that machine was off for a
/// while. Where more wait, all together are tried as often as so many would be.
const FEW: usize = 20;
/// A peer that neither side needed is looked at again after this.
const UNNEEDED_BACK_OFF: Duration = Duration::from_secs(1800);

/// How much a further peer is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    /// Somebody connected has what is missing, or nothing is missing and there is company.
    Little,
    /// Nothing is missing and nobody is connected.
    Lonely,
    /// Something is missing, and nobody connected has any of it.
    Badly,
}

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
    past: Past,
}

#[derive(Clone, Copy, Debug, Default)]
struct Past {
    /// In a row.
    failures: u32,
    /// When the last attempt or connection ended.
    ended: Option<Instant>,
    /// Neither side needed the other.
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
    want: Want,
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
            want: Want::Badly,
        };
        this.add(only, now);
        this
    }

    /// Addresses to try. That one is named again is a sign that it lives: it rests for a few seconds at most.
    pub(super) fn add(&mut self, addrs: &[SocketAddr], now: Instant) {
        for addr in addrs.iter().copied().map(canonical) {
            let ip = addr.ip();
            let reachable = addr.port() != 0 && !ip.is_unspecified() && !ip.is_multicast();
            if !reachable || !self.allows(addr) {
                continue;
            }
            match self.known.get(&addr).map(|candidate| candidate.past) {
                None if self.known.len() < MAX_KNOWN => self.wait(addr, now),
                Some(Past {
                    ended: Some(ended),
                    unneeded: false,
                    ..
                }) => {
                    let rested = ended + self.spread(NAMED_BACK_OFF);
                    self.hasten(addr, rested.max(now));
                }
                _ => {}
            }
        }
    }

    /// How much a further peer is wanted from now on. Once one is wanted badly, those who rest for long are tried soon, one after the other.
    pub(super) fn want(&mut self, want: Want, now: Instant) {
        let was = std::mem::replace(&mut self.want, want);
        if was == want || want != Want::Badly {
            return;
        }
        let soon = now + LONGEST_LONELY / FEW as u32;
        let needed = |addr| self.known.get(addr).is_some_and(|c| !c.past.unneeded);
        let late: Vec<SocketAddr> = (self.due.iter())
            .filter(|(due, _, addr)| *due > soon && needed(addr))
            .map(|(.., addr)| *addr)
            .collect();
        for (turn, addr) in (1..).zip(late) {
            self.hasten(addr, now + LONGEST_LONELY * turn / FEW as u32);
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

    /// Dialling led to nothing.
    pub(super) fn failed(&mut self, addr: SocketAddr, now: Instant) {
        let addr = canonical(addr);
        if let Some(candidate) = self.known.get(&addr)
            && candidate.state == State::Dialling
        {
            let failures = candidate.past.failures.saturating_add(1);
            self.back_off(addr, failures, now);
        }
    }

    /// It was not dialled after all: its turn comes again.
    pub(super) fn put_off(&mut self, addr: SocketAddr, now: Instant) {
        let addr = canonical(addr);
        if let Some(candidate) = self.known.get_mut(&addr)
            && candidate.state == State::Dialling
        {
            candidate.past.ended = Some(now);
            self.wait(addr, now + FIRST_BACK_OFF);
        }
    }

    /// `addr` is an address of the peer connected as `key`: it is not dialled while the connection lasts. Who came by itself lives, whatever
    /// failed before.
    pub(super) fn link(&mut self, addr: SocketAddr, key: PeerKey) {
        let addr = canonical(addr);
        let Some(candidate) = self.known.get_mut(&addr) else {
            return;
        };
        match candidate.state {
            State::Connected(_) => return,
            State::Waiting { .. } => candidate.past.failures = 0,
            State::Dialling => {}
        }
        self.set(addr, State::Connected(key));
        self.links.entry(key).or_default().push(addr);
    }

    /// The connection ended.
    pub(super) fn unlink(&mut self, key: PeerKey, ending: Ending, now: Instant) {
        for addr in self.links.remove(&key).unwrap_or_default() {
            let Some(candidate) = self.known.get_mut(&addr) else {
                continue;
            };
            let failures = candidate.past.failures.saturating_add(1);
            match ending {
                Ending::Useful => self.back_off(addr, 1, now),
                Ending::Useless => self.back_off(addr, failures, now),
                Ending::NotNeeded => {
                    candidate.past = Past {
                        failures: 0,
                        ended: Some(now),
                        unneeded: true,
                    };
                    self.wait(addr, now + UNNEEDED_BACK_OFF);
                }
            }
        }
    }

    /// Peers that were not needed may be now.
    pub(super) fn reconsider(&mut self, now: Instant) {
        let unneeded = |(addr, candidate): (&SocketAddr, &mut Candidate)| {
            let waits = matches!(candidate.state, State::Waiting { .. });
            (std::mem::take(&mut candidate.past.unneeded) && waits).then_some(*addr)
        };
        let again: Vec<SocketAddr> = self.known.iter_mut().filter_map(unneeded).collect();
        for addr in again {
            self.wait(addr, now);
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

    fn back_off(&mut self, addr: SocketAddr, failures: u32, now: Instant) {
        let hopeless = failures >= MAX_FAILURES && !self.only.contains(&addr);
        if hopeless && self.due.len() >= FEW {
            self.take(addr);
            return;
        }
        if let Some(candidate) = self.known.get_mut(&addr) {
            candidate.past = Past {
                failures,
                ended: Some(now),
                unneeded: false,
            };
        }
        let soon = match self.want {
            Want::Little => false,
            Want::Lonely => !hopeless,
            Want::Badly => true,
        };
        let longest_lonely = LONGEST_LONELY.saturating_mul(1 + failures / PATIENT);
        let (first, longest) = match soon {
            true => (self.spread(LONELY_BACK_OFF), self.spread(longest_lonely)),
            false => (FIRST_BACK_OFF, LONGEST_BACK_OFF),
        };
        let wait = first * 2u32.pow(failures.saturating_sub(1).min(9));
        self.wait(addr, now + wait.min(longest));
    }

    /// `rest` where few wait; the more do, the longer.
    fn spread(&self, rest: Duration) -> Duration {
        let times = (self.due.len() / FEW).max(1) as u32;
        rest.saturating_mul(times).min(LONGEST_BACK_OFF)
    }

    /// An address that waits does so until `due` at the latest.
    fn hasten(&mut self, addr: SocketAddr, due: Instant) {
        let state = self.known.get(&addr).map(|candidate| candidate.state);
        if let Some(State::Waiting { due: late, .. }) = state
            && due < late
        {
            self.wait(addr, due);
        }
    }

    fn wait(&mut self, addr: SocketAddr, due: Instant) {
        let past = self.take(addr).map(|candidate| candidate.past);
        self.serial += 1;
        let serial = self.serial;
        self.due.insert((due, serial, addr));
        let candidate = Candidate {
            state: State::Waiting { due, serial },
            past: past.unwrap_or_default(),
        };
        self.known.insert(addr, candidate);
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
#[path = "candidates_tests.rs"]
mod tests;
