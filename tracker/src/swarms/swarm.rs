//! One swarm.

use std::collections::HashMap;
use std::net::IpAddr;

use super::peer::{Announce, Change, Counts, Family, Key, Place, Removed, Row};
use super::sample::sample;
use crate::ids::{AccountId, NodeId};
use crate::points::Silent;

/// How many lists there are: for each family the leeches and the seeds, so that a pick from one family costs no more than one from all; and
/// those with port 0, who are counted and never picked.
const LISTS: usize = 5;
const LEECHES: [usize; 2] = [0, 1];
const SEEDS: [usize; 2] = [2, 3];
const HIDDEN: usize = 4;

/// Which list a row is in, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct At {
    list: usize,
    index: u32,
}

/// The peers of one torrent.
///
/// Invariants: every row is in exactly one list, by what it is; `by_key` has each row with an ident, `by_place` each row with a port,
/// `by_node` each row of a machine that reports, and no two rows are of one machine; `reporting` counts the rows with a node, seeds and leeches;
/// `hidden_seeds` those of the hidden that are seeds.
#[derive(Default)]
pub struct Swarm {
    lists: [Vec<Row>; LISTS],
    hidden_seeds: u32,
    by_key: HashMap<Key, At>,
    by_place: HashMap<Place, At>,
    by_node: HashMap<NodeId, At>,
    completed: u32,
    reporting: Silent,
}

impl Swarm {
    /// How many peers.
    pub fn len(&self) -> u32 {
        self.lists.iter().map(|list| list.len() as u32).sum()
    }

    /// No peer at all.
    pub fn is_empty(&self) -> bool {
        self.lists.iter().all(Vec::is_empty)
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
        let row = self.lists[at.list].get_mut(at.index as usize);
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
        self.remove(|row| row.expires < now)
    }

    /// Takes away all that is an account's.
    pub fn bar(&mut self, account: AccountId) -> Vec<Removed> {
        self.remove(|row| row.account == account)
    }

    fn remove(&mut self, which: impl Fn(&Row) -> bool) -> Vec<Removed> {
        let gone: Vec<At> = self
            .rows()
            .filter(|(_, row)| which(row))
            .map(|(at, _)| at)
            .collect();
        gone.into_iter()
            .rev()
            .map(|at| self.take(at).removed())
            .collect()
    }

    /// How many there are.
    pub fn counts(&self) -> Counts {
        let count = |lists: [usize; 2]| lists.map(|list| self.lists[list].len() as u32);
        let [seeds, leeches] = [SEEDS, LEECHES].map(|lists| count(lists).iter().sum::<u32>());
        let hidden = self.lists[HIDDEN].len() as u32;
        Counts {
            seeds: seeds + self.hidden_seeds,
            leeches: leeches + hidden - self.hidden_seeds,
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
        let seeds = if announce.seed { &[][..] } else { &SEEDS };
        let lists = LEECHES.iter().chain(seeds).copied();
        let only = announce.only.map(|family| family as usize);
        let lists = lists.filter(|list| {
            only.is_none_or(|family| LEECHES[family] == *list || SEEDS[family] == *list)
        });
        self.pick(lists, want, random, |row| {
            row.addr != announce.addr && is_of_use(row.addr.ip(), announce.addr.ip())
        })
    }

    /// Up to `want` peers for one at `asker` who is not among them.
    pub fn peers(&self, asker: IpAddr, want: u32, random: u64) -> Vec<Row> {
        let lists = LEECHES.into_iter().chain(SEEDS);
        self.pick(lists, want, random, |row| is_of_use(row.addr.ip(), asker))
    }

    fn pick(
        &self,
        lists: impl Iterator<Item = usize>,
        want: u32,
        random: u64,
        fits: impl Fn(&Row) -> bool,
    ) -> Vec<Row> {
        let lists: Vec<&[Row]> = lists.map(|list| &self.lists[list][..]).collect();
        sample(&lists, want, random, fits)
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
        self.lists.iter().enumerate().flat_map(|(list, rows)| {
            (0..)
                .zip(rows)
                .map(move |(index, row)| (At { list, index }, row))
        })
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
        self.count_row(&row, 1);
        let list = list_of(&row);
        let index = self.lists[list].len() as u32;
        self.lists[list].push(row.clone());
        self.index(&row, At { list, index });
    }

    /// Removes a row; the last of its list takes its place.
    fn take(&mut self, at: At) -> Row {
        let (list, index) = (&mut self.lists[at.list], at.index as usize);
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
        self.count_row(&row, -1);
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

    fn count_row(&mut self, row: &Row, by: i32) {
        if row.node.is_some() {
            let count = if row.seed {
                &mut self.reporting.seeds
            } else {
                &mut self.reporting.leeches
            };
            *count = count.saturating_add_signed(by);
        }
        if row.addr.port() == 0 && row.seed {
            self.hidden_seeds = self.hidden_seeds.saturating_add_signed(by);
        }
    }

    #[cfg(test)]
    fn check_invariants(&self) {
        let rows: Vec<_> = self.rows().collect();
        let mut reporting = Silent::default();
        for (at, row) in &rows {
            assert_eq!(list_of(row), at.list, "{row:?} is in the wrong list");
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
        let hidden = &self.lists[HIDDEN];
        assert_eq!(self.by_place.len(), rows.len() - hidden.len());
        let hidden_seeds = hidden.iter().filter(|row| row.seed).count();
        assert_eq!(hidden_seeds, self.hidden_seeds as usize);
    }
}

fn list_of(row: &Row) -> usize {
    match (row.addr.port(), row.seed) {
        (0, _) => HIDDEN,
        (_, true) => SEEDS[Family::of(row.addr.ip()) as usize],
        (_, false) => LEECHES[Family::of(row.addr.ip()) as usize],
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
