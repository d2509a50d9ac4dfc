use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use p2p_wire::{InfoHash, PeerId};
use proptest::prelude::*;

use super::super::peer::Ident;
use super::super::{Caps, Full, Swarms};
use super::*;
use crate::ids::AccountId;

const ANYBODY: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 8, 8, 8));

fn peer(id: u8, addr: &str, seed: bool) -> Announce {
    Announce {
        account: AccountId(1),
        ident: Some(Ident([id; 20])),
        peer_id: Some(PeerId([id; 20])),
        addr: addr.parse().unwrap(),
        seed,
        completed: false,
        stopped: false,
        only: None,
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
fn an_address_on_loopback_is_given_only_to_those_on_loopback() {
    let mut swarm = swarm("l");
    swarm.announce(&peer(1, "127.0.0.1:11", true));
    swarm.announce(&peer(2, "[::1]:12", true));
    let here = peer(9, "127.0.0.1:99", false);
    assert_eq!(ports(&swarm.sample(&here, 50, 7)), [1, 11, 12].into());
    let there = peer(9, "10.1.1.1:99", false);
    assert_eq!(ports(&swarm.sample(&there, 50, 7)), [1].into());
    assert_eq!(ports(&swarm.peers(ANYBODY, 50, 7)), [1].into());
    assert_eq!(swarm.peers(here.addr.ip(), 50, 7).len(), 3);
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
    assert_eq!(ports(&swarm.peers(ANYBODY, 50, 0)), [1].into());
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
    assert_eq!(ports(&swarm.peers(ANYBODY, 9, 0)), [9].into());
}

#[test]
fn a_pick_of_the_smaller_family_is_as_large_as_there_are() {
    let mut swarm = swarm(&"sl".repeat(500));
    for port in 1u8..=10 {
        let addr = format!("[2001:db8::1]:{port}");
        swarm.announce(&peer(port, &addr, port.is_multiple_of(2)));
    }
    swarm.check_invariants();
    for random in 0..50u64 {
        let random = random.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut me = Announce {
            only: Some(Family::V6),
            ..peer(99, "[2001:db8::2]:1", false)
        };
        let rows = swarm.sample(&me, 50, random);
        assert_eq!(rows.len(), 10);
        assert!(rows.iter().all(|row| row.addr.is_ipv6()));
        me.seed = true;
        assert_eq!(swarm.sample(&me, 50, random).len(), 5);
        me.only = Some(Family::V4);
        assert_eq!(swarm.sample(&me, 50, random).len(), 50);
    }
}

/// A place for each of `peers`, in a swarm of its own; answers how each went.
fn announce_all(swarms: &Swarms, caps: Caps, peers: &[Announce]) -> Vec<Option<Full>> {
    let announce = |(at, peer): (usize, &Announce)| {
        let hash = InfoHash([at as u8; 20]);
        swarms.announce(hash, peer, 50, 0, caps).err()
    };
    peers.iter().enumerate().map(announce).collect()
}

#[test]
fn an_account_has_so_many_places_and_what_is_refused_leaves_nothing() {
    let swarms = Swarms::default();
    let caps = Caps { account: 2, all: 4 };
    let ann = peer(1, "10.0.0.1:5", false);
    let bob = Announce {
        account: AccountId(2),
        ..ann
    };
    let full = announce_all(&swarms, caps, &[ann, ann, ann, bob, bob, bob]);
    let (account, none) = (Some(Full::Account), None);
    assert_eq!(full, [none, none, account, none, none, Some(Full::Tracker)]);
    assert_eq!((swarms.places(), swarms.total()), (4, 4));
    let node = NodeId(1);
    assert!(swarms.report(InfoHash([9; 20]), &ann, node, caps).is_err());
    assert_eq!(swarms.total(), 4, "nor does a report");
    // Who has a place keeps it.
    assert_eq!(announce_all(&swarms, caps, &[ann]), [None]);
    swarms.bar(ann.account);
    assert_eq!((swarms.places(), swarms.total()), (2, 2));
    assert_eq!(announce_all(&swarms, caps, &[ann]), [None]);
}

#[test]
fn where_announces_need_no_account_an_address_has_so_many_places() {
    let swarms = Swarms::default();
    let caps = Caps { account: 1, all: 9 };
    let from = |addr: &str| Announce {
        account: AccountId::NOBODY,
        ..peer(1, addr, false)
    };
    let [here, there] = ["[2001:db8::1]:5", "[2001:db8:1::1]:5"].map(from);
    let same_household = from("[2001:db8::2]:5");
    let full = announce_all(&swarms, caps, &[here, same_household, there]);
    assert_eq!(full, [None, Some(Full::Account), None]);
    let stop = Announce {
        stopped: true,
        ..here
    };
    assert_eq!(
        announce_all(&swarms, caps, &[stop, same_household]),
        [None, None]
    );
}

proptest! {
    #[test]
    fn keeps_its_invariants(ops in prop::collection::vec((0u8..7, 0u8..4, 0u16..4, 1u32..3, any::<bool>(), 0u32..60), 0..120)) {
        let mut swarm = Swarm::default();
        for (what, id, port, account, seed, at) in ops {
            let ip = if at.is_multiple_of(2) { "10.0.0.1" } else { "[2001:db8::1]" };
            let addr: SocketAddr = format!("{ip}:{port}").parse().unwrap();
            let base = Announce { account: AccountId(account), expires: at, addr, ..peer(id, "10.0.0.1:1", seed) };
            match what {
                0 | 1 => drop(swarm.announce(&Announce { completed: seed, ..base })),
                2 => drop(swarm.announce(&Announce { stopped: true, ..base })),
                3 => drop(swarm.report(&Announce { ident: None, ..base }, NodeId(u32::from(id)))),
                4 => drop(swarm.expire(at)),
                5 if at < 6 => drop(swarm.bar(AccountId(account))),
                _ => drop(swarm.leave(NodeId(u32::from(id)))),
            }
            swarm.check_invariants();
            prop_assert!(swarm.sample(&base, 2, u64::from(at)).len() <= 2);
        }
    }
}
