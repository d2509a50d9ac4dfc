//! A virtual network of swarms: one clock, one seed, links with latency, nodes with a limited uplink.
//!
//! Time advances from event to event, in milliseconds. All events of one node in the same millisecond are one step, as the engine
//! hands over what one read brought; the invariants are checked after each, unless a test says that they were.
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::fmt::{self, Write};
use std::hash::{DefaultHasher, Hasher};
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use bytes::Bytes;
use p2p_wire::peer::Message;
use p2p_wire::{Bitfield, Block, Layout, PeerId, PieceIndex};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::{Action, BlockFate, DropReason, NewPeer, Options, PeerKey, Swarm, Verified};

/// The beginning of virtual time.
#[allow(
    clippy::disallowed_methods,
    reason = "an Instant can only be had from the clock; only differences to it are used"
)]
pub(super) fn start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}

/// How a node is made.
#[derive(Clone, Copy, Debug)]
pub(super) struct NodeOptions {
    pub(super) seed: bool,
    /// Bytes/s.
    pub(super) uplink: u64,
    pub(super) fast: bool,
    /// One in so many of the blocks it sends is wrong; 0: none.
    pub(super) lies: u32,
    pub(super) in_flight: u64,
    pub(super) slots: usize,
    pub(super) max_peers: usize,
}

impl Default for NodeOptions {
    fn default() -> Self {
        Self {
            seed: false,
            uplink: 1_000_000,
            fast: true,
            lies: 0,
            in_flight: 16 << 20,
            slots: 4,
            max_peers: 50,
        }
    }
}

#[derive(Debug)]
enum Event {
    Message(PeerKey, Message),
    Block(PeerKey, Block, bool),
    Sent(PeerKey, Block),
    Dialled(SocketAddr),
    Closed(PeerKey),
    Hashed(PieceIndex),
    Timer,
}

pub(super) struct Node {
    pub(super) swarm: Swarm,
    pub(super) options: NodeOptions,
    pub(super) dropped: Vec<(PeerId, DropReason)>,
    pub(super) blocks_sent: u64,
    /// Pieces that failed their hash.
    pub(super) failed: u32,
    pub(super) finished: Option<u64>,
    online: bool,
    links: BTreeMap<PeerKey, Link>,
    uplink_free: u64,
    cancelled: BTreeSet<(PeerKey, Block)>,
    wrong: BTreeSet<u32>,
    timer: Option<u64>,
}

#[derive(Clone, Copy)]
struct Link {
    node: usize,
    key: PeerKey,
}

type Queued = Reverse<(u64, usize, u64)>;

pub(super) struct Net {
    pub(super) nodes: Vec<Node>,
    pub(super) layout: Layout,
    pub(super) ms: u64,
    pub(super) steps: u64,
    /// Milliseconds that every message and block takes besides, each way.
    pub(super) distance: u64,
    queue: BinaryHeap<Queued>,
    events: BTreeMap<u64, Event>,
    serial: u64,
    next_key: u64,
    pub(super) rng: SmallRng,
    /// Whether the invariants are checked after each step.
    pub(super) checks: bool,
    trace: Trace,
}

/// Hashes what is written to it.
struct Trace(DefaultHasher);
impl Write for Trace {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

pub(super) fn address(node: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, (node / 250) as u8, (node % 250) as u8 + 1], 6881))
}

pub(super) fn id(node: usize) -> PeerId {
    let mut id = *b"-P20100-000000000000";
    id[12..].copy_from_slice(format!("{node:08}").as_bytes());
    PeerId(id)
}

impl Net {
    pub(super) fn new(layout: Layout, seed: u64) -> Self {
        Self {
            nodes: Vec::new(),
            layout,
            ms: 0,
            steps: 0,
            distance: 0,
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            serial: 0,
            next_key: 0,
            rng: SmallRng::seed_from_u64(seed),
            checks: true,
            trace: Trace(DefaultHasher::new()),
        }
    }

    /// Adds a node; gives its number.
    pub(super) fn add(&mut self, options: NodeOptions) -> usize {
        let (number, pieces) = (self.nodes.len(), self.layout.pieces());
        let have = if options.seed || options.lies > 0 {
            Bitfield::full(pieces)
        } else {
            Bitfield::new(pieces)
        };
        let swarm_options = Options {
            info: Bytes::new(),
            our_id: id(number),
            port: 6881,
            wanted: Bitfield::full(pieces),
            sequential: false,
            in_flight: options.in_flight,
            upload_slots: options.slots,
            max_peers: options.max_peers,
            only_peers: Vec::new(),
            seed: self.rng.random(),
        };
        self.nodes.push(Node {
            swarm: Swarm::new(self.layout, have, swarm_options, self.now()),
            options,
            dropped: Vec::new(),
            blocks_sent: 0,
            failed: 0,
            finished: None,
            online: true,
            links: BTreeMap::new(),
            uplink_free: 0,
            cancelled: BTreeSet::new(),
            wrong: BTreeSet::new(),
            timer: None,
        });
        number
    }

    pub(super) fn now(&self) -> Instant {
        start() + Duration::from_millis(self.ms)
    }

    /// Tells `node` the addresses of others.
    pub(super) fn introduce(&mut self, node: usize, others: &[usize]) {
        let addrs: Vec<SocketAddr> = others.iter().map(|n| address(*n)).collect();
        let now = self.now();
        self.nodes[node].swarm.add_candidates(&addrs, now);
        self.settle(node);
    }

    /// Cuts a random connection of `node`.
    pub(super) fn cut(&mut self, node: usize) {
        let links = &self.nodes[node].links;
        if links.is_empty() {
            return;
        }
        let nth = self.rng.random_range(0..links.len());
        let key = links.keys().nth(nth).copied();
        self.close(node, key.expect("chosen among them"));
        self.settle(node);
    }

    /// A node goes without a word: nothing it sent from now on arrives, and nothing reaches it.
    pub(super) fn vanish(&mut self, node: usize) {
        self.nodes[node].online = false;
        let links: Vec<PeerKey> = self.nodes[node].links.keys().copied().collect();
        for key in links {
            self.close(node, key);
        }
    }

    /// Runs until `done` or until `ms`; true if done.
    pub(super) fn run(&mut self, ms: u64, done: impl Fn(&Self) -> bool) -> bool {
        while !done(self) {
            let Some(Reverse((at, node, _))) = self.queue.peek().copied() else {
                return false;
            };
            if at > ms {
                self.ms = ms;
                return false;
            }
            self.ms = at;
            while let Some(Reverse((t, n, serial))) = self.queue.peek().copied()
                && (t, n) == (at, node)
            {
                self.queue.pop();
                if let Some(event) = self.events.remove(&serial)
                    && self.nodes[node].online
                {
                    self.handle(node, event);
                }
            }
            self.settle(node);
        }
        true
    }

    /// A fingerprint of all that was done.
    pub(super) fn trace(&self) -> u64 {
        self.trace.0.finish()
    }

    pub(super) fn all_complete(&self) -> bool {
        self.nodes
            .iter()
            .all(|n| !n.online || n.finished.is_some() || n.swarm.is_complete())
    }

    fn push(&mut self, delay: u64, node: usize, event: Event) {
        self.serial += 1;
        self.events.insert(self.serial, event);
        self.queue
            .push(Reverse((self.ms + delay, node, self.serial)));
    }

    /// Between 5 and 60 ms and the distance, the same both ways.
    fn latency(&self, a: usize, b: usize) -> u64 {
        self.distance + 5 + (a * b + a + b) as u64 % 56
    }

    fn handle(&mut self, number: usize, event: Event) {
        let now = self.now();
        let node = &mut self.nodes[number];
        let mut broken = None;
        match event {
            Event::Message(key, message) if node.links.contains_key(&key) => {
                if let Err(error) = node.swarm.handle_message(key, message, now) {
                    broken = Some((key, error));
                }
            }
            Event::Block(key, block, wrong) if node.links.contains_key(&key) => {
                match node.swarm.handle_block(key, block, now) {
                    Ok(BlockFate::Keep) if wrong => {
                        node.wrong.insert(block.piece);
                    }
                    Ok(_) => {}
                    Err(error) => broken = Some((key, error)),
                }
            }
            Event::Sent(key, block) => {
                if !node.cancelled.remove(&(key, block))
                    && let Some(link) = node.links.get(&key).copied()
                {
                    node.swarm.handle_uploaded(key, block, now);
                    node.blocks_sent += 1;
                    let lies = node.options.lies;
                    let wrong = lies > 0 && self.rng.random_range(0..lies) == 0;
                    let delay = self.latency(number, link.node);
                    self.push(delay, link.node, Event::Block(link.key, block, wrong));
                }
            }
            Event::Dialled(addr) => self.dialled(number, addr),
            Event::Closed(key) => node.swarm.handle_disconnected(key, now),
            Event::Hashed(piece) => {
                let wrong = node.wrong.remove(&piece.get());
                node.failed += u32::from(wrong);
                let outcome = if wrong { Verified::Bad } else { Verified::Good };
                node.swarm.handle_verified(piece, outcome, now);
            }
            Event::Timer => {
                if node.timer.is_some_and(|at| at <= self.ms) {
                    node.timer = None;
                    node.swarm.handle_timeout(now);
                }
            }
            Event::Message(..) | Event::Block(..) => {}
        }
        if let Some((key, error)) = broken {
            panic!("node {number} says that {key:?} broke the protocol: {error}");
        }
    }

    fn dialled(&mut self, number: usize, addr: SocketAddr) {
        let now = self.now();
        let target = (0..self.nodes.len()).find(|n| address(*n) == addr && self.nodes[*n].online);
        let Some(target) = target else {
            self.nodes[number].swarm.handle_dial_failed(addr, now);
            return;
        };
        let fast = self.nodes[number].options.fast && self.nodes[target].options.fast;
        let (a, b) = (PeerKey(self.next_key), PeerKey(self.next_key + 1));
        self.next_key += 2;
        let ephemeral = SocketAddr::new(address(number).ip(), 30_000 + (a.0 % 30_000) as u16);
        let ends = [
            (number, a, target, b, addr, true),
            (target, b, number, a, ephemeral, false),
        ];
        for (node, key, other, other_key, addr, outgoing) in ends {
            let link = Link {
                node: other,
                key: other_key,
            };
            self.nodes[node].links.insert(key, link);
            let peer = NewPeer {
                addr,
                peer_id: id(other),
                outgoing,
                fast,
                extended: true,
            };
            self.nodes[node].swarm.handle_connected(key, peer, now);
        }
        self.settle(target);
    }

    fn close(&mut self, number: usize, key: PeerKey) {
        let now = self.now();
        let Some(link) = self.nodes[number].links.remove(&key) else {
            return;
        };
        self.nodes[number].swarm.handle_disconnected(key, now);
        if self.nodes[link.node].links.remove(&link.key).is_some() {
            let delay = self.latency(number, link.node);
            self.push(delay, link.node, Event::Closed(link.key));
        }
    }

    fn settle(&mut self, number: usize) {
        while let Some(action) = self.nodes[number].swarm.poll_action() {
            let _ = write!(self.trace, "{} {number} {action:?}", self.ms);
            self.act(number, action);
        }
        self.steps += 1;
        let ms = self.ms;
        let node = &mut self.nodes[number];
        if self.checks {
            node.swarm.check_invariants();
        }
        let due = node.swarm.poll_timeout().map(|at| {
            let after = at
                .saturating_duration_since(start())
                .as_micros()
                .div_ceil(1000);
            (after as u64).max(ms + 1)
        });
        if let Some(due) = due
            && node.timer.is_none_or(|timer| due < timer)
        {
            node.timer = Some(due);
            self.push(due - ms, number, Event::Timer);
        }
    }

    fn act(&mut self, number: usize, action: Action) {
        let ms = self.ms;
        match action {
            Action::Send(key, message) => {
                if let Some(link) = self.nodes[number].links.get(&key).copied() {
                    let delay = self.latency(number, link.node);
                    self.push(delay, link.node, Event::Message(link.key, message));
                }
            }
            Action::Upload(key, block) => {
                let node = &mut self.nodes[number];
                let from = node.uplink_free.max(ms * 1000);
                node.uplink_free = from + u64::from(block.len) * 1_000_000 / node.options.uplink;
                node.cancelled.remove(&(key, block));
                let delay = node.uplink_free.div_ceil(1000) - ms;
                self.push(delay, number, Event::Sent(key, block));
            }
            Action::CancelUpload(key, block) => {
                self.nodes[number].cancelled.insert((key, block));
            }
            Action::Verify(piece) => self.push(3, number, Event::Hashed(piece)),
            Action::Discard(piece) => {
                self.nodes[number].wrong.remove(&piece.get());
            }
            Action::Dial(addr) => self.push(40, number, Event::Dialled(addr)),
            Action::Drop(key, reason) => {
                if let Some(link) = self.nodes[number].links.get(&key).copied() {
                    self.nodes[number].dropped.push((id(link.node), reason));
                }
                self.close(number, key);
            }
            Action::Complete => self.nodes[number].finished = Some(ms),
        }
    }
}

#[path = "away_tests.rs"]
mod away;
#[path = "sim_tests.rs"]
mod tests;
