//! Whole swarms on virtual time. A failure prints its seed; the same seed gives the same run.
use p2p_wire::BLOCK_LEN;

use super::*;

fn layout(pieces: u64, blocks: u32) -> Layout {
    let piece_len = blocks * BLOCK_LEN;
    Layout::new(pieces * u64::from(piece_len) - 5000, piece_len).unwrap()
}

/// A seed and a leech that know each other.
fn pair(layout: Layout, seed: NodeOptions, leech: NodeOptions) -> Net {
    let mut net = Net::new(layout, 1);
    let seed = net.add(NodeOptions { seed: true, ..seed });
    let leech = net.add(leech);
    net.introduce(leech, &[seed]);
    net
}

/// One seed, 199 leeches, connections cut at random; gives the network at its end.
fn flash_crowd(seed: u64, checks: bool) -> Net {
    let layout = layout(64, 4);
    let mut net = Net::new(layout, seed);
    net.checks = checks;
    for number in 0..200 {
        net.add(NodeOptions {
            seed: number == 0,
            fast: number % 4 != 3,
            uplink: 300_000 + 100_000 * (number as u64 % 7),
            max_peers: 12,
            ..NodeOptions::default()
        });
    }
    for second in 0.. {
        for node in 0..200 {
            // A tracker names a few at each announce.
            if second % 20 == 0 {
                let others: Vec<usize> = (0..8).map(|_| net.rng.random_range(0..200)).collect();
                net.introduce(node, &others);
            }
        }
        let unlucky = net.rng.random_range(0..200);
        net.cut(unlucky);
        if net.run((second + 1) * 1000, Net::all_complete) {
            break;
        }
        let missing = net.nodes.iter().filter(|n| !n.swarm.is_complete()).count();
        assert!(
            second < 300,
            "seed {seed}: {missing} are not complete after 300 s"
        );
    }
    net
}

#[test]
fn a_flash_crowd_of_200_finishes_the_same_way_each_time() {
    let seed = 20_240_607;
    println!("seed {seed}");
    let net = flash_crowd(seed, true);
    let content = net.layout.total_len();
    let (mut wasted, mut downloaded) = (0, 0);
    for (number, node) in net.nodes.iter().enumerate() {
        let stats = node.swarm.stats(net.now());
        assert!(node.swarm.have().is_full(), "seed {seed}: node {number}");
        wasted += stats.wasted;
        downloaded += stats.downloaded;
    }
    let given = net.nodes[0].swarm.stats(net.now()).uploaded;
    println!(
        "{} s, {} steps, {:.2} % wasted, the seed gave {:.1} copies",
        net.ms / 1000,
        net.steps,
        100.0 * wasted as f64 / downloaded as f64,
        given as f64 / content as f64
    );
    assert!(
        wasted * 20 <= downloaded,
        "seed {seed}: {wasted} of {downloaded} wasted"
    );
    assert!(
        given <= 12 * content,
        "seed {seed}: the seed gave {given} of {content}"
    );
    // A run with the same trace goes through the same states: once is enough to check them.
    assert_eq!(
        net.trace(),
        flash_crowd(seed, false).trace(),
        "seed {seed} gives another run"
    );
}

#[test]
fn a_leech_gets_everything_from_a_seed_and_both_part() {
    for fast in [true, false] {
        let options = NodeOptions {
            fast,
            uplink: 100_000_000,
            ..NodeOptions::default()
        };
        let mut net = pair(layout(100, 16), options, NodeOptions::default());
        assert!(net.run(10_000, Net::all_complete), "fast: {fast}");
        net.run(net.ms + 1000, |_| false);
        let stats = net.nodes[1].swarm.stats(net.now());
        assert_eq!(stats.wasted, 0);
        assert_eq!(stats.downloaded, net.layout.total_len());
        assert_eq!(stats.peers, 0, "neither needs the other");
        assert!(net.nodes[1].swarm.is_idle());
    }
}

#[test]
fn a_wide_path_is_filled_within_the_first_seconds() {
    let wide = NodeOptions {
        uplink: 100_000_000,
        ..NodeOptions::default()
    };
    let mut net = pair(
        layout(400, 64),
        wide,
        NodeOptions {
            in_flight: 64 << 20,
            ..wide
        },
    );
    // 400 MiB at 100 MB/s need 4.2 s.
    assert!(
        net.run(5200, Net::all_complete),
        "{:?}",
        net.nodes[1].swarm.stats(net.now())
    );
}

#[test]
fn a_long_path_is_filled_and_never_more_is_asked_than_may_be_in_flight() {
    // 125 MB/s over a round trip of 100 ms: 12.5 MB are on their way.
    for in_flight in [64 << 20, 4 << 20] {
        let far = NodeOptions {
            uplink: 125_000_000,
            in_flight,
            ..NodeOptions::default()
        };
        let mut net = Net::new(layout(400, 64), 1);
        net.distance = 44;
        let seed = net.add(NodeOptions { seed: true, ..far });
        let leech = net.add(far);
        net.introduce(leech, &[seed]);
        let asked = |net: &Net| {
            let peers = net.nodes[leech].swarm.peers(net.now());
            let requests: u32 = peers.iter().map(|peer| peer.requests).sum();
            u64::from(requests) * u64::from(BLOCK_LEN)
        };
        let mut most = 0;
        while net.ms < 30_000 && !net.run(net.ms + 20, Net::all_complete) {
            most = most.max(asked(&net));
            assert!(most <= in_flight, "{most}");
        }
        // 400 MiB take 3.4 s at full speed; 4 MiB in flight give 40 MB/s at best.
        let took = if in_flight > 12_500_000 {
            5_200
        } else {
            14_000
        };
        assert!(net.ms <= took, "{} ms, {most} asked for", net.ms);
    }
}

#[test]
fn pieces_longer_than_the_budget_are_fetched_one_by_one() {
    let options = NodeOptions {
        uplink: 50_000_000,
        in_flight: 1 << 20,
        ..NodeOptions::default()
    };
    let mut net = pair(layout(4, 1024), options, options);
    assert!(net.run(30_000, Net::all_complete));
}

#[test]
fn one_liar_among_ten_costs_two_pieces_at_most_and_no_innocent_is_banned() {
    // From a liar ten times slower than the others to one ten times faster; all lies, and one in ten.
    let kinds = [50_000, 500_000, 5_000_000].map(|uplink| [(uplink, 1), (uplink, 10)]);
    for (seed, (uplink, lies)) in (1..=60).zip(kinds.concat().into_iter().cycle()) {
        let mut net = Net::new(layout(96, 16), seed);
        net.checks = false;
        let liar = net.add(NodeOptions {
            lies,
            uplink,
            ..NodeOptions::default()
        });
        let honest: Vec<usize> = (0..9)
            .map(|number| {
                net.add(NodeOptions {
                    seed: true,
                    uplink: 200_000 + 100_000 * number,
                    ..NodeOptions::default()
                })
            })
            .collect();
        let leech = net.add(NodeOptions::default());
        net.introduce(leech, &[&honest[..], &[liar]].concat());
        assert!(net.run(300_000, Net::all_complete), "seed {seed}");
        let node = &net.nodes[leech];
        let bad: Vec<&PeerId> = node
            .dropped
            .iter()
            .filter(|(_, reason)| *reason == DropReason::BadData)
            .map(|(id, _)| id)
            .collect();
        let case = format!("seed {seed}, {uplink} B/s, one lie in {lies}");
        let wasted = node.swarm.stats(net.now()).wasted / u64::from(net.layout.piece_len());
        println!(
            "{case}: {} failed, {wasted} wasted, {} s",
            node.failed,
            net.ms / 1000
        );
        let innocent = bad.iter().find(|banned| ***banned != id(liar));
        assert_eq!(innocent, None, "{case}");
        // Of those who share a bad piece nobody can be accused: a second one shows who it was.
        assert!(
            node.failed <= 1 || !bad.is_empty(),
            "{case}: nobody is banned"
        );
        assert!(node.failed <= 2, "{case}: {} pieces failed", node.failed);
        assert!(wasted <= 2, "{case}: {wasted} pieces wasted");
    }
}

#[test]
fn the_last_blocks_of_a_slow_peer_are_asked_from_a_fast_one() {
    let mut net = Net::new(layout(32, 16), 3);
    let slow = net.add(NodeOptions {
        seed: true,
        uplink: 4_000,
        ..NodeOptions::default()
    });
    let fast = net.add(NodeOptions {
        seed: true,
        uplink: 2_000_000,
        ..NodeOptions::default()
    });
    let leech = net.add(NodeOptions::default());
    net.introduce(leech, &[slow]);
    net.run(2000, |_| false);
    net.introduce(leech, &[fast]);
    // 8 MiB at 2 MB/s take 4.2 s; the slow peer alone would need a minute for what it was asked.
    assert!(net.run(12_000, Net::all_complete));
    assert!(net.nodes[leech].swarm.stats(net.now()).wasted <= 20 * 16_384);
}

#[test]
fn a_peer_that_falls_silent_does_not_hold_its_pieces() {
    let mut net = Net::new(layout(32, 16), 4);
    let mute = net.add(NodeOptions {
        seed: true,
        uplink: 1,
        ..NodeOptions::default()
    });
    let other = net.add(NodeOptions {
        seed: true,
        ..NodeOptions::default()
    });
    let leech = net.add(NodeOptions::default());
    net.introduce(leech, &[mute, other]);
    assert!(net.run(40_000, Net::all_complete));
}

#[test]
fn when_the_only_seed_leaves_the_rest_have_what_they_can() {
    let mut net = Net::new(layout(32, 4), 5);
    let seed = net.add(NodeOptions {
        seed: true,
        ..NodeOptions::default()
    });
    let leeches: Vec<usize> = (0..4).map(|_| net.add(NodeOptions::default())).collect();
    for leech in &leeches {
        net.introduce(*leech, &[seed, leeches[0], leeches[1]]);
    }
    net.run(1500, |_| false);
    net.vanish(seed);
    net.run(120_000, |_| false);
    let union = leeches.iter().fold(BTreeSet::new(), |mut all, leech| {
        all.extend(net.nodes[*leech].swarm.have().iter());
        all
    });
    for leech in leeches {
        assert_eq!(net.nodes[leech].swarm.have().count() as usize, union.len());
    }
    assert!(!union.is_empty() && union.len() < 32);
}

#[test]
fn peers_that_dial_each_other_keep_one_connection() {
    let mut net = Net::new(layout(64, 16), 6);
    let a = net.add(NodeOptions {
        seed: true,
        ..NodeOptions::default()
    });
    let b = net.add(NodeOptions::default());
    net.introduce(a, &[b]);
    net.introduce(b, &[a]);
    net.run(1000, |_| false);
    assert_eq!((net.nodes[a].links.len(), net.nodes[b].links.len()), (1, 1));
    assert!(net.run(60_000, Net::all_complete));
}

#[test]
fn one_seed_is_enough_whatever_a_liar_spoils() {
    for seed in 0..60 {
        let mut net = Net::new(layout(2 + seed % 4, 8), seed);
        // Slow: they share their pieces.
        let slow = NodeOptions {
            uplink: 9_000,
            ..NodeOptions::default()
        };
        let kinds = [(true, false), (false, true), (false, false)];
        for (seed, liar) in kinds {
            let lies = u32::from(liar);
            net.add(NodeOptions { seed, lies, ..slow });
        }
        net.introduce(2, &[1, 0]);
        let done = net.run(1_000_000, |net| net.nodes[2].swarm.is_complete());
        let stats = net.nodes[2].swarm.stats(net.now());
        assert!(done, "seed {seed}: {stats:?}");
    }
}

#[test]
fn a_window_does_not_grow_because_it_is_large() {
    let slow = NodeOptions {
        uplink: 1_000_000,
        ..NodeOptions::default()
    };
    let mut net = pair(layout(400, 16), slow, NodeOptions::default());
    net.run(30_000, |_| false);
    // Half a second's worth and twice the path of 5 to 60 ms, each way.
    let peers = net.nodes[1].swarm.peers(net.now());
    assert!((20..=60).contains(&peers[0].window), "{peers:?}");
}

/// A seed and `leeches` that all know each other; gives how many copies the seed sent.
fn copies_sent(seed: u64, leeches: usize, uplink: u64) -> f64 {
    let mut net = Net::new(layout(800, 16), seed);
    net.checks = false;
    let nodes: Vec<usize> = (0..=leeches)
        .map(|number| {
            net.add(NodeOptions {
                seed: number == 0,
                uplink: if number == 0 { uplink } else { 100_000_000 },
                in_flight: 64 << 20,
                ..NodeOptions::default()
            })
        })
        .collect();
    for node in &nodes[1..] {
        net.introduce(*node, &nodes);
    }
    assert!(net.run(60_000, Net::all_complete), "seed {seed}");
    let sent = net.nodes[0].swarm.stats(net.now()).uploaded;
    sent as f64 / net.layout.total_len() as f64
}

#[test]
fn a_seed_sends_a_piece_once_where_leeches_can_pass_it_on() {
    for (leeches, uplink, most) in [
        (2, 20_000_000, 1.1),
        (2, 100_000_000, 1.3),
        (4, 20_000_000, 1.2),
    ] {
        let copies = copies_sent(7, leeches, uplink);
        assert!(copies <= most, "{leeches} leeches: {copies:.2} copies");
    }
}
