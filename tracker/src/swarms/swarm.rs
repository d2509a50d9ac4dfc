//! One swarm.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use p2p_wire::PeerId;

use crate::ids::{AccountId, NodeId};
use crate::points::Silent;

/// How a client tells itself from others of its account and address: its `key`, else its peer id; long keys are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ident([u8; 20]);

impl Ident {
    /// Of an announce.
    pub fn new(key: Option<&str>, peer_id: PeerId) -> Self {
        let Some(key) = key.filter(|key| !key.is_empty()) else {
            return Self(peer_id.0);
        };
        let mut ident = [0; 20];
        ident
            .iter_mut()
            .zip(key.bytes())
            .for_each(|(to, from)| *to = from);
        Self(ident)
    }
}

/// What a peer says of itself.
#[derive(Clone, Copy, Debug)]
pub struct Announce {
    /// Whose passkey it has.
    pub account: AccountId,
    /// Which of the account's clients; `None` for a machine that is known from its reports alone.
    pub ident: Option<Ident>,
    /// Its peer id, where it told one.
    pub peer_id: Option<PeerId>,
    /// Where it listens; port 0 cannot be reached and is counted, not handed out.
    pub addr: SocketAddr,
    /// It has all.
    pub seed: bool,
    /// It says that it has just become a seed.
    pub completed: bool,
    /// It leaves.
    pub stopped: bool,
    /// When it is gone, unless it is heard of again; seconds.
    pub expires: u32,
}

/// A peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Whose it is.
    pub account: AccountId,
    /// How it tells itself from others; `None` while it is known from reports alone.
    pub ident: Option<Ident>,
    /// Its peer id, where it told one.
    pub peer_id: Option<PeerId>,
    /// Where it listens.
    pub addr: SocketAddr,
    /// It has all.
    pub seed: bool,
    /// The machine it is, if it reports points.
    pub node: Option<NodeId>,
    expires: u32,
}

/// What a call changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing that is written down.
    None,
    /// A new peer.
    Joined,
    /// A leech became a seed.
    Completed,
    /// The peer is gone.
    Left,
}

/// A peer that was taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removed {
    /// Whose it was.
    pub account: AccountId,
    /// The machine it was, if it reported points.
    pub node: Option<NodeId>,
}

/// How many there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Seeds.
    pub seeds: u32,
    /// Leeches.
    pub leeches: u32,
    /// Leeches that became seeds, since the tracker started.
    pub completed: u32,
}

/// Account, client, address.
type Key = (AccountId, Ident, IpAddr);
/// Account, address and port.
type Place = (AccountId, SocketAddr);

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
            row.addr != announce.addr
        })
    }

    /// Up to `want` peers for one who is not among them.
    pub fn peers(&self, want: u32, random: u64) -> Vec<Row> {
        sample(&self.leeches, &self.seeds, want, random, |_| true)
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

impl Row {
    fn new(announce: &Announce, node: Option<NodeId>) -> Self {
        let Announce {
            account,
            ident,
            peer_id,
            addr,
            seed,
            expires,
            ..
        } = *announce;
        Self {
            account,
            ident,
            peer_id,
            addr,
            seed,
            node,
            expires,
        }
    }

    fn key(&self) -> Option<Key> {
        self.ident
            .map(|ident| (self.account, ident, self.addr.ip()))
    }

    fn place(&self) -> Place {
        (self.account, self.addr)
    }

    fn removed(&self) -> Removed {
        Removed {
            account: self.account,
            node: self.node,
        }
    }
}

/// Up to `want` rows of two lists taken as one, that `fits` agrees to: two windows at random places, so the cost is that of the answer
/// however large the swarm, and peers that joined together do not meet only each other.
fn sample(
    first: &[Row],
    second: &[Row],
    want: u32,
    random: u64,
    fits: impl Fn(&Row) -> bool,
) -> Vec<Row> {
    let len = first.len() + second.len();
    let want = want as usize;
    let row = |at: usize| first.get(at).or_else(|| second.get(at - first.len()));
    // One more than wanted, because at most one row is the asker itself.
    if len <= want + 1 {
        return (0..len)
            .filter_map(row)
            .filter(|row| fits(row))
            .take(want)
            .cloned()
            .collect();
    }
    let (half, window) = (len / 2, (want + 1).div_ceil(2));
    let offset = |random: u32, room: usize| random as usize % (room.saturating_sub(window) + 1);
    let low = offset(random as u32, half);
    let high = half + offset((random >> 32) as u32, len - half);
    let windows = (low..(low + window).min(half)).chain(high..(high + window).min(len));
    windows
        .filter_map(row)
        .filter(|row| fits(row))
        .take(want)
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    fn peer(id: u8, addr: &str, seed: bool) -> Announce {
        Announce {
            account: AccountId(1),
            ident: Some(Ident([id; 20])),
            peer_id: Some(PeerId([id; 20])),
            addr: addr.parse().unwrap(),
            seed,
            completed: false,
            stopped: false,
            expires: 100,
        }
    }

    /// A swarm from a drawing: `s` is a seed, `l` a leech, numbered from port 1.
    fn swarm(drawing: &str) -> Swarm {
        let mut swarm = Swarm::default();
        for (at, kind) in drawing.bytes().enumerate() {
            let addr = format!("10.0.{}.{}:{}", at / 250, at % 250, at + 1);
            let mut row = peer(0, &addr, kind == b's');
            row.ident = Some(Ident::new(Some(&at.to_string()), PeerId([0; 20])));
            assert_eq!(swarm.announce(&row).0, Change::Joined);
            swarm.check_invariants();
        }
        swarm
    }

    fn ports(rows: &[Row]) -> HashSet<u16> {
        rows.iter().map(|row| row.addr.port()).collect()
    }

    #[test]
    fn a_seed_is_told_of_leeches_alone_and_nobody_of_itself() {
        let swarm = swarm("slsl");
        let seed = peer(9, "10.0.0.0:1", true);
        assert_eq!(ports(&swarm.sample(&seed, 50, 7)), [2, 4].into());
        let leech = peer(9, "10.0.0.1:2", false);
        assert_eq!(ports(&swarm.sample(&leech, 50, 7)), [1, 3, 4].into());
        assert_eq!(swarm.sample(&leech, 0, 7), []);
    }

    #[test]
    fn two_windows_give_as_many_as_are_wanted_and_reach_everyone() {
        let swarm = swarm(&"sl".repeat(500));
        let me = peer(9, "10.0.0.1:2", false);
        let mut seen = HashSet::new();
        for round in 0..400u64 {
            let rows = swarm.sample(&me, 50, round.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            assert_eq!(rows.len(), 50);
            assert_eq!(ports(&rows).len(), 50, "no peer twice");
            seen.extend(ports(&rows));
        }
        assert!(
            !seen.contains(&2) && seen.len() > 990,
            "{} of 999 seen",
            seen.len()
        );
    }

    #[test]
    fn stopped_counts_from_the_same_account_and_client_alone() {
        let mut swarm = swarm("");
        let leech = peer(1, "10.0.0.1:5", false);
        swarm.announce(&leech);
        let stop = Announce {
            stopped: true,
            ..leech
        };
        for other in [
            Announce {
                account: AccountId(2),
                ..stop
            },
            Announce {
                ident: Some(Ident([2; 20])),
                ..stop
            },
        ] {
            assert_eq!(swarm.announce(&other).0, Change::None);
        }
        assert_eq!(swarm.announce(&stop).0, Change::Left);
        assert!(swarm.is_empty());
    }

    #[test]
    fn completed_counts_only_from_leech_to_seed() {
        let mut swarm = swarm("");
        let done = Announce {
            completed: true,
            ..peer(1, "10.0.0.1:5", true)
        };
        assert_eq!(swarm.announce(&done).0, Change::Joined);
        assert_eq!(swarm.announce(&done).0, Change::None);
        swarm.announce(&peer(1, "10.0.0.1:5", false));
        assert_eq!(swarm.announce(&done).0, Change::Completed);
        assert_eq!(
            swarm.counts(),
            Counts {
                seeds: 1,
                leeches: 0,
                completed: 1
            }
        );
    }

    #[test]
    fn a_machine_that_announces_and_reports_is_one_peer() {
        let (mut swarm, node) = (Swarm::default(), NodeId(3));
        let announce = peer(1, "[2001:db8::1]:5", false);
        let report = Announce {
            ident: None,
            peer_id: None,
            ..announce
        };
        assert_eq!(swarm.report(&report, node), Change::Joined);
        assert_eq!(swarm.announce(&announce), (Change::None, Some(node)));
        assert_eq!(swarm.counts().leeches, 1);
        assert_eq!(swarm.silent(), Silent::default());
        assert_eq!(
            swarm.report(
                &Announce {
                    seed: true,
                    ..report
                },
                node
            ),
            Change::Completed
        );
        let after = Announce {
            completed: true,
            seed: true,
            ..announce
        };
        assert_eq!(swarm.announce(&after).0, Change::None, "counted once");
        let moved = Announce {
            addr: "10.0.0.9:6".parse().unwrap(),
            seed: true,
            ..report
        };
        assert_eq!(swarm.report(&moved, node), Change::None);
        assert_eq!(swarm.counts().seeds, 1);
        swarm.check_invariants();
        assert!(swarm.leave(node).is_some());
        assert!(swarm.is_empty());
    }

    #[test]
    fn port_0_is_counted_and_not_handed_out() {
        let mut swarm = swarm("l");
        swarm.announce(&peer(9, "10.9.9.9:0", true));
        assert_eq!(
            swarm.counts(),
            Counts {
                seeds: 1,
                leeches: 1,
                completed: 0
            }
        );
        assert_eq!(ports(&swarm.peers(50, 0)), [1].into());
    }

    #[test]
    fn what_is_not_heard_of_expires() {
        let mut swarm = swarm("sl");
        swarm.announce(&Announce {
            expires: 200,
            ..peer(9, "10.9.9.9:9", true)
        });
        assert_eq!(swarm.expire(100), []);
        assert_eq!(swarm.expire(101).len(), 2);
        swarm.check_invariants();
        assert_eq!(ports(&swarm.peers(9, 0)), [9].into());
    }

    proptest! {
        #[test]
        fn keeps_its_invariants(ops in prop::collection::vec((0u8..6, 0u8..4, 0u16..4, 1u32..3, any::<bool>(), 0u32..60), 0..120)) {
            let mut swarm = Swarm::default();
            for (what, id, port, account, seed, at) in ops {
                let addr: SocketAddr = format!("10.0.0.1:{port}").parse().unwrap();
                let base = Announce { account: AccountId(account), expires: at, addr, ..peer(id, "10.0.0.1:1", seed) };
                match what {
                    0 | 1 => drop(swarm.announce(&Announce { completed: seed, ..base })),
                    2 => drop(swarm.announce(&Announce { stopped: true, ..base })),
                    3 => drop(swarm.report(&Announce { ident: None, ..base }, NodeId(u32::from(id)))),
                    4 => drop(swarm.expire(at)),
                    _ => drop(swarm.leave(NodeId(u32::from(id)))),
                }
                swarm.check_invariants();
                prop_assert!(swarm.sample(&base, 2, u64::from(at)).len() <= 2);
            }
        }
    }
}
