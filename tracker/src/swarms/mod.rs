//! Who is in which swarm. Never written to disk: peers come back within an announce interval, machines that report points sooner.
//!
//! [`Swarm`] is PURE: rows, sampling, expiry, with `now` in seconds and randomness as arguments. [`Swarms`] is the table of all swarms in
//! shards, each behind a lock that is held for one swarm's touch of one request: no waiting, no second lock.
//!
//! IPv4 and IPv6 peers are one swarm. The machine that announces and the same machine that reports points are one peer: same account,
//! same address and port.

mod peer;
mod sample;
mod swarm;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard};

use p2p_wire::InfoHash;

use crate::ids::{AccountId, NodeId};
use crate::lock::lock;
use crate::points::Silent;
use crate::throttle::household;

pub use peer::{Announce, Change, Counts, Family, Ident, Removed, Row};
pub use swarm::Swarm;

const SHARDS: usize = 64;

/// How many places in swarms there may be.
#[derive(Clone, Copy, Debug)]
pub struct Caps {
    /// Of one account; where nobody needs one, of one address.
    pub account: u32,
    /// In all.
    pub all: u32,
}

/// Why an announce was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// The account, or the address, has too many places.
    Account,
    /// The tracker has.
    Tracker,
}

/// What an announce led to.
#[derive(Clone, Debug)]
pub struct Announced {
    /// What it changed.
    pub change: Change,
    /// The machine that this peer is, if it reports points.
    pub node: Option<NodeId>,
    /// The swarm after it.
    pub counts: Counts,
    /// Peers to try.
    pub peers: Vec<Row>,
}

/// All swarms.
pub struct Swarms {
    shards: Vec<Mutex<HashMap<InfoHash, Swarm>>>,
    places: AtomicU32,
    places_of: Mutex<HashMap<Holder, u32>>,
}

/// Who is answerable for a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Holder {
    Account(AccountId),
    /// An address, where announces need no account.
    Household(IpAddr),
}

impl Holder {
    fn of(account: AccountId, ip: IpAddr) -> Self {
        if account == AccountId::NOBODY {
            Self::Household(household(ip))
        } else {
            Self::Account(account)
        }
    }
}

impl Default for Swarms {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            places: AtomicU32::new(0),
            places_of: Mutex::default(),
        }
    }
}

impl Swarms {
    /// Takes an announce and picks up to `want` peers; `random` picks where from.
    pub fn announce(
        &self,
        hash: InfoHash,
        announce: &Announce,
        want: u32,
        random: u64,
        caps: Caps,
    ) -> Result<Announced, Full> {
        let holder = Holder::of(announce.account, announce.addr.ip());
        let full = self.full(holder, caps);
        let mut shard = self.shard(&hash);
        if announce.stopped && !shard.contains_key(&hash) {
            return Ok(Announced {
                change: Change::None,
                node: None,
                counts: Counts::default(),
                peers: Vec::new(),
            });
        }
        let known = shard.get(&hash).is_some_and(|swarm| swarm.knows(announce));
        // What is refused leaves no swarm behind.
        if let Some(full) = full.filter(|_| !announce.stopped && !known) {
            return Err(full);
        }
        let swarm = shard.entry(hash).or_default();
        let before = swarm.len();
        let (change, node) = swarm.announce(announce);
        let grown = swarm.len() as i32 - before as i32;
        let peers = if announce.stopped {
            Vec::new()
        } else {
            swarm.sample(announce, want, random)
        };
        let counts = swarm.counts();
        if swarm.is_empty() {
            shard.remove(&hash);
        }
        drop(shard);
        self.count(holder, grown);
        Ok(Announced {
            change,
            node,
            counts,
            peers,
        })
    }

    /// Takes what a machine reports: it is a peer at `row`'s address. Answers what changed and the peers that report no points.
    pub fn report(
        &self,
        hash: InfoHash,
        row: &Announce,
        node: NodeId,
        caps: Caps,
    ) -> Result<(Change, Silent), Full> {
        let holder = Holder::of(row.account, row.addr.ip());
        let full = self.full(holder, caps);
        let mut shard = self.shard(&hash);
        let known = shard
            .get(&hash)
            .is_some_and(|swarm| swarm.knows_address(row));
        if let Some(full) = full.filter(|_| !known) {
            return Err(full);
        }
        let swarm = shard.entry(hash).or_default();
        let before = swarm.len();
        let change = swarm.report(row, node);
        let grown = swarm.len() as i32 - before as i32;
        let silent = swarm.silent();
        drop(shard);
        self.count(holder, grown);
        Ok((change, silent))
    }

    /// Keeps the place of a machine that reports until `expires`, where it still has one.
    pub fn touch(&self, hash: InfoHash, node: NodeId, expires: u32) {
        if let Some(swarm) = self.shard(&hash).get_mut(&hash) {
            swarm.touch(node, expires);
        }
    }

    /// Takes a machine out of a swarm; true if it was there.
    pub fn leave(&self, hash: InfoHash, node: NodeId) -> bool {
        let mut shard = self.shard(&hash);
        let Some(swarm) = shard.get_mut(&hash) else {
            return false;
        };
        let left = swarm.leave(node);
        if swarm.is_empty() {
            shard.remove(&hash);
        }
        drop(shard);
        if let Some(removed) = left {
            self.count(Holder::of(removed.account, removed.ip), -1);
        }
        left.is_some()
    }

    /// How many swarms there are.
    pub fn total(&self) -> usize {
        let shards = self.shards.iter();
        shards.map(|shard| lock(shard).len()).sum()
    }

    /// Places in all swarms.
    pub fn places(&self) -> u32 {
        self.places.load(Ordering::Relaxed)
    }

    /// Seeds, leeches, completions.
    pub fn counts(&self, hash: &InfoHash) -> Counts {
        self.shard(hash)
            .get(hash)
            .map(Swarm::counts)
            .unwrap_or_default()
    }

    /// Peers that report no points.
    pub fn silent(&self, hash: &InfoHash) -> Silent {
        self.shard(hash)
            .get(hash)
            .map(Swarm::silent)
            .unwrap_or_default()
    }

    /// Up to `want` peers, for one at `asker` who is not in the swarm yet.
    pub fn peers(&self, hash: &InfoHash, asker: IpAddr, want: u32, random: u64) -> Vec<Row> {
        self.shard(hash)
            .get(hash)
            .map(|swarm| swarm.peers(asker, want, random))
            .unwrap_or_default()
    }

    /// Takes away what expired; one swarm at a time is locked.
    pub fn expire(&self, now: u32) -> Vec<(InfoHash, Vec<Removed>)> {
        self.remove(|swarm| swarm.expire(now))
    }

    /// Takes away all places of an account; one swarm at a time is locked.
    pub fn bar(&self, account: AccountId) {
        self.remove(|swarm| swarm.bar(account));
    }

    fn remove(&self, from: impl Fn(&mut Swarm) -> Vec<Removed>) -> Vec<(InfoHash, Vec<Removed>)> {
        let mut out = Vec::new();
        for shard in &self.shards {
            let hashes: Vec<InfoHash> = lock(shard).keys().copied().collect();
            for hash in hashes {
                let mut shard = lock(shard);
                let Some(swarm) = shard.get_mut(&hash) else {
                    continue;
                };
                let removed = from(swarm);
                if swarm.is_empty() {
                    shard.remove(&hash);
                }
                drop(shard);
                let holders = removed.iter().map(|row| Holder::of(row.account, row.ip));
                holders.for_each(|holder| self.count(holder, -1));
                if !removed.is_empty() {
                    out.push((hash, removed));
                }
            }
        }
        out
    }

    fn shard(&self, hash: &InfoHash) -> MutexGuard<'_, HashMap<InfoHash, Swarm>> {
        lock(&self.shards[hash.0[0] as usize % SHARDS])
    }

    fn full(&self, holder: Holder, caps: Caps) -> Option<Full> {
        if self.places.load(Ordering::Relaxed) >= caps.all {
            return Some(Full::Tracker);
        }
        let places = lock(&self.places_of).get(&holder).copied().unwrap_or(0);
        (places >= caps.account).then_some(Full::Account)
    }

    fn count(&self, holder: Holder, by: i32) {
        if by == 0 {
            return;
        }
        self.places.fetch_add(by.cast_unsigned(), Ordering::Relaxed);
        let mut places_of = lock(&self.places_of);
        let places = places_of.entry(holder).or_default();
        *places = places.saturating_add_signed(by);
        if *places == 0 {
            places_of.remove(&holder);
        }
    }
}
