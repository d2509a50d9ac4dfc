//! One swarm.

use std::collections::HashMap;
use std::net::IpAddr;

use super::peer::{Announce, Change, Counts, Key, Place, Removed, Row};
use super::sample::sample;
use crate::ids::NodeId;
use crate::points::Silent;

/// Which list a row is in, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Seed(u32),
    Leech(u32),
    /// Port 0.
    Hidden(u32),
}

/// The peers of one torrent.
///
/// Invariants: every row is in exactly one list, by what it is; `by_key` has each row with an ident, `by_place` each row with a port,
/// `by_node` each row of a machine that reports, and no two rows are of one machine; `reporting` counts the rows with a node, seeds and leeches.
#[derive(Default)]
pub struct Swarm {
    seeds: Vec<Row>,
    leeches: Vec<Row>,
    hidden: Vec<Row>,
    by_key: HashMap<Key, At>,
    by_place: HashMap<Place, At>,
    by_node: HashMap<NodeId, At>,
    completed: u32,
    reporting: Silent,
}

impl Swarm {
    /// How many peers.
    pub fn len(&self) -> u32 {
        (self.seeds.len() + self.leeches.len() + self.hidden.len()) as u32
    }

    /// No peer at all.
    pub fn is_empty(&self) -> bool {
        self.seeds.is_empty() && self.leeches.is_empty() && self.hidden.is_empty()
    }

    /// Whether this peer has a place already.
    pub fn knows(&self, announce: &Announce) -> bool {
        self.find(announce).is_some()
    }

    /// Whether the account has a peer at that address and port.
    pub fn knows_address(&self, announce: &Announce) -> bool {
        self.by_place
            .contains_key(&(announce.account, announce.addr))
    }

    /// Takes an announce. `stopped` counts only from the same account and client.
    pub fn announce(&mut self, announce: &Announce) -> (Change, Option<NodeId>) {
        if announce.stopped {
            let key = announce
                .ident
                .map(|ident| (announce.account, ident, announce.addr.ip()));
            let Some(at) = key.and_then(|key| self.by_key.get(&key)).copied() else {
                return (Change::None, None);
            };
            return (Change::Left, self.take(at).node);
        }
        let Some(at) = self.find(announce) else {
            self.put(Row::new(announce, None));
            return (Change::Joined, None);
        };
        let mut row = self.take(at);
        let completed = announce.completed && announce.seed && !row.seed;
        self.completed += u32::from(completed);
        row.ident = announce.ident;
        row.peer_id = announce.peer_id;
        row.addr = announce.addr;
        row.seed = announce.seed;
        row.expires = row.expires.max(announce.expires);
        let node = row.node;
        self.displace(&row);
        self.put(row);
        (
            if completed {
                Change::Completed
            } else {
                Change::None
            },
            node,
        )
    }

    /// Takes what a machine reports of itself; it is the same peer as the client of its account at that address and port.
    pub fn report(&mut self, report: &Announce, node: NodeId) -> Change {
        // It may have changed its address.
        let before = self.by_node.get(&node).copied().map(|at| self.take(at));
        if let Some(mut row) = before {
            let completed = report.seed && !row.seed;
            self.completed += u32::from(completed);
            row.seed = report.seed;
            row.addr = report.addr;
            row.expires = row.expires.max(report.expires);
            self.displace(&row);
            self.put(row);
            return if completed {
                Change::Completed
            } else {
                Change::None
            };
        }
        let Some(at) = self.by_place.get(&(report.account, report.addr)).copied() else {
            self.put(Row::new(report, Some(node)));
            return Change::Joined;
        };
        // The client at that address announced, or another machine had it before.
        let mut row = self.take(at);
        let completed = report.seed && !row.seed;
        self.completed += u32::from(completed);
        row.seed = report.seed;
        row.node = Some(node);
        row.expires = row.expires.max(report.expires);
        self.put(row);
        if completed {
            Change::Completed
        } else {
            Change::None
        }
    }

    /// Keeps the place of a machine.
    pub fn touch(&mut self, node: NodeId, expires: u32) {
        let Some(at) = self.by_node.get(&node).copied() else {
            return;
        };
        let row = match at {
            At::Seed(index) => self.seeds.get_mut(index as usize),
            At::Leech(index) => self.leeches.get_mut(index as usize),
            At::Hidden(index) => self.hidden.get_mut(index as usize),
        };
        if let Some(row) = row {
            row.expires = row.expires.max(expires);
        }
    }

    /// Takes a machine away.
    pub fn leave(&mut self, node: NodeId) -> Option<Removed> {
        let at = self.by_node.get(&node).copied()?;
        Some(self.take(at).removed())
    }

    /// Takes away what expired before `now`.
    pub fn expire(&mut self, now: u32) -> Vec<Removed> {
        let old: Vec<At> = self
            .rows()
            .filter(|(_, row)| row.expires < now)
            .map(|(at, _)| at)
            .collect();
        old.into_iter()
            .rev()
            .map(|at| self.take(at).removed())
            .collect()
    }

    /// How many there are.
    pub fn counts(&self) -> Counts {
        let hidden_seeds = self.hidden.iter().filter(|row| row.seed).count() as u32;
        Counts {
            seeds: self.seeds.len() as u32 + hidden_seeds,
            leeches: self.leeches.len() as u32 + self.hidden.len() as u32 - hidden_seeds,
            completed: self.completed,
        }
    }

    /// The peers that report no points.
    pub fn silent(&self) -> Silent {
        let counts = self.counts();
        Silent {
            seeds: counts.seeds - self.reporting.seeds,
            leeches: counts.leeches - self.reporting.leeches,
        }
    }

    /// Up to `want` peers for the one that announced: leeches alone for a seed, never its own address.
    pub fn sample(&self, announce: &Announce, want: u32, random: u64) -> Vec<Row> {
        let seeds: &[Row] = if announce.seed { &[] } else { &self.seeds };
        sample(&self.leeches, seeds, want, random, |row| {
            row.addr != announce.addr && is_of_use(row.addr.ip(), announce.addr.ip())
        })
    }

    /// Up to `want` peers for one at `asker` who is not among them.
    pub fn peers(&self, asker: IpAddr, want: u32, random: u64) -> Vec<Row> {
        sample(&self.leeches, &self.seeds, want, random, |row| {
            is_of_use(row.addr.ip(), asker)
        })
    }

    fn find(&self, announce: &Announce) -> Option<At> {
        let by_key = announce.ident.and_then(|ident| {
            self.by_key
                .get(&(announce.account, ident, announce.addr.ip()))
        });
        by_key
            .or_else(|| self.by_place.get(&(announce.account, announce.addr)))
            .copied()
    }

    /// All rows in the order of the lists; taken from the back, the places before stay true.
    fn rows(&self) -> impl Iterator<Item = (At, &Row)> {
        let seeds = (0..).zip(&self.seeds).map(|(at, row)| (At::Seed(at), row));
        let leeches = (0..)
            .zip(&self.leeches)
            .map(|(at, row)| (At::Leech(at), row));
        seeds.chain(leeches).chain(
            (0..)
                .zip(&self.hidden)
                .map(|(at, row)| (At::Hidden(at), row)),
        )
    }

    /// Makes way for `row`, which is in no list: another client of the account that was at its address and port, or that has its name, is
    /// gone, or `row` could not be there.
    fn displace(&mut self, row: &Row) {
        if let Some(other) = self.by_place.get(&row.place()).copied() {
            self.take(other);
        }
        if let Some(other) = row.key().and_then(|key| self.by_key.get(&key)).copied() {
            self.take(other);
        }
    }

    fn put(&mut self, row: Row) {
        self.count_reporting(&row, 1);
        let (list, at): (_, fn(u32) -> At) = match (row.addr.port(), row.seed) {
            (0, _) => (&mut self.hidden, At::Hidden),
            (_, true) => (&mut self.seeds, At::Seed),
            (_, false) => (&mut self.leeches, At::Leech),
        };
        let at = at(list.len() as u32);
        list.push(row.clone());
        self.index(&row, at);
    }

    /// Removes a row; the last of its list takes its place.
    fn take(&mut self, at: At) -> Row {
        let (list, index) = match at {
            At::Seed(index) => (&mut self.seeds, index as usize),
            At::Leech(index) => (&mut self.leeches, index as usize),
            At::Hidden(index) => (&mut self.hidden, index as usize),
        };
        let row = list.swap_remove(index);
        let moved = list.get(index).cloned();
        if let Some(key) = row.key() {
            self.by_key.remove(&key);
        }
        if row.addr.port() != 0 {
            self.by_place.remove(&row.place());
        }
        if let Some(node) = row.node {
            self.by_node.remove(&node);
        }
        if let Some(moved) = moved {
            self.index(&moved, at);
        }
        self.count_reporting(&row, -1);
        row
    }

    fn index(&mut self, row: &Row, at: At) {
        if let Some(key) = row.key() {
            self.by_key.insert(key, at);
        }
        if row.addr.port() != 0 {
            self.by_place.insert(row.place(), at);
        }
        if let Some(node) = row.node {
            self.by_node.insert(node, at);
        }
    }

    fn count_reporting(&mut self, row: &Row, by: i32) {
        if row.node.is_some() {
            let count = if row.seed {
                &mut self.reporting.seeds
            } else {
                &mut self.reporting.leeches
            };
            *count = count.saturating_add_signed(by);
        }
    }

    #[cfg(test)]
    fn check_invariants(&self) {
        let rows: Vec<_> = self.rows().collect();
        let mut reporting = Silent::default();
        for (at, row) in &rows {
            let right = match at {
                At::Seed(_) => row.seed && row.addr.port() != 0,
                At::Leech(_) => !row.seed && row.addr.port() != 0,
                At::Hidden(_) => row.addr.port() == 0,
            };
            assert!(right, "{row:?} is in the wrong list");
            assert!(
                row.key().is_none_or(|key| self.by_key[&key] == *at),
                "{row:?} is not found by key"
            );
            assert!(
                row.addr.port() == 0 || self.by_place[&row.place()] == *at,
                "{row:?} is not found by place"
            );
            if let Some(node) = row.node {
                assert_eq!(self.by_node[&node], *at, "{row:?} is not found by machine");
                *(if row.seed {
                    &mut reporting.seeds
                } else {
                    &mut reporting.leeches
                }) += 1;
            }
        }
        assert_eq!(reporting, self.reporting);
        assert_eq!(
            self.by_node.len(),
            rows.iter().filter(|(_, row)| row.node.is_some()).count()
        );
        assert_eq!(
            self.by_key.len(),
            rows.iter().filter(|(_, row)| row.ident.is_some()).count()
        );
        assert_eq!(self.by_place.len(), self.seeds.len() + self.leeches.len());
    }
}

/// Whether `asker` can reach `peer`: a peer that announces over loopback is on the tracker's own machine, and that address means another
/// machine everywhere else. It dials the others, of whom it is told.
fn is_of_use(peer: IpAddr, asker: IpAddr) -> bool {
    asker.is_loopback() || !peer.is_loopback()
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
