//! Seeds that are away for long and come back.
use p2p_wire::BLOCK_LEN;

use super::*;

/// How long the seed is away: each address has failed often by then.
const AWAY: u64 = 3_600_000;

impl Net {
    /// A node that vanished is back, with what it had, and knows nobody.
    fn come_back(&mut self, node: usize) {
        self.nodes[node].online = true;
        self.nodes[node].timer = None;
        self.settle(node);
    }
}

#[test]
fn a_fetch_goes_on_within_a_minute_when_its_only_seed_is_back() {
    for others in [0, 3] {
        let layout = Layout::new(u64::from(BLOCK_LEN) * 64, BLOCK_LEN).unwrap();
        let mut net = Net::new(layout, 3);
        let slow = NodeOptions {
            uplink: 100_000,
            ..NodeOptions::default()
        };
        let seed = net.add(NodeOptions { seed: true, ..slow });
        let leech = net.add(slow);
        let others: Vec<usize> = (0..others).map(|_| net.add(slow)).collect();
        net.introduce(leech, &[seed]);
        net.introduce(leech, &others);
        for other in &others {
            net.introduce(*other, &[seed]);
        }
        net.run(3_000, |_| false);
        net.vanish(seed);
        net.run(AWAY, |_| false);
        let here = net.nodes[leech].swarm.have().count();
        assert!((1..64).contains(&here), "{here} pieces before");
        let company = net.nodes[leech].links.len();
        assert_eq!(company, others.len(), "they stay together");
        net.come_back(seed);
        net.run(AWAY + 60_000, Net::all_complete);
        let missing = net.nodes.iter().filter(|n| !n.swarm.is_complete()).count();
        assert_eq!(missing, 0, "with {company} others, a minute later");
    }
}
