//! What a report of piece points leads to: the points, the machine's place in each swarm, the log.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use p2p_wire::InfoHash;
use p2p_wire::points::{ItemRef, Op, Reply, ReplyItem, Report, ReportItem, Status};

use crate::accounts::Login;
use crate::ids::NodeId;
use crate::lock::lock;
use crate::points::{Applied, Change, Reporter, SILENCE, Silent, Update, runs};
use crate::swarms::{Announce, Change as SwarmChange};
use crate::tracker::Tracker;

/// Seconds to the next report when something is scarce.
const SOON: u32 = 3;
/// While something is being fetched.
const FETCHING: u32 = 10;
/// When all is well; also how often a machine must be heard of.
const HEARTBEAT: u32 = 60;
/// Ranges that a line of the log names.
const MAX_RANGES: usize = 8;

/// The machines for which something is being done that each may have done once at a time, such as taking its report.
#[derive(Clone, Default)]
pub(crate) struct Turns(Arc<Mutex<HashSet<NodeId>>>);

/// A machine's turn, until this is dropped.
pub(crate) struct Turn {
    turns: Turns,
    node: NodeId,
}

impl Turns {
    /// `None` while the machine has its turn already.
    pub(crate) fn take(&self, node: NodeId) -> Option<Turn> {
        let free = lock(&self.0).insert(node);
        // Not made in vain: the end of a turn frees the machine.
        free.then(|| Turn {
            turns: self.clone(),
            node,
        })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        lock(&self.turns.0).remove(&self.node);
    }
}

/// Who reports, from where.
struct Source {
    reporter: Reporter,
    addr: SocketAddr,
    now: u32,
    /// It knew an earlier run of the tracker: what it tells again is not news.
    again: bool,
}

impl Tracker {
    /// Takes a report.
    pub fn report(&self, login: &Login, report: &Report, from: IpAddr) -> Reply {
        let now = self.clock.now();
        let reporter = Reporter {
            account: login.account.id,
            node: login.node.row.id,
        };
        let epoch = {
            let mut points = self.points();
            points.hear(reporter, now);
            points.epoch()
        };
        let known = report.epoch == epoch;
        let source = Source {
            reporter,
            addr: SocketAddr::new(from.to_canonical(), report.port),
            now,
            again: report.epoch != 0 && !known,
        };
        let mut next = HEARTBEAT;
        let mut items = Vec::with_capacity(report.items.len());
        for item in &report.items {
            let told = self.report_item(&source, item, known);
            next = next.min(pace(item, &told));
            items.push(told);
        }
        self.keep_places(&source);
        Reply { epoch, next, items }
    }

    fn report_item(&self, source: &Source, item: &ReportItem, known: bool) -> ReplyItem {
        let unknown = ReplyItem {
            handle: 0,
            status: Status::Unknown,
        };
        let Reporter { account, node } = source.reporter;
        let hash = match item.item {
            ItemRef::Handle(handle) if known => self.points().content(handle),
            ItemRef::Handle(_) => None,
            ItemRef::Hash(hash, _) => Some(hash),
        };
        // Only what is published has points: its number of pieces is known, and nobody can make the tracker remember arbitrary hashes.
        let Some((hash, listing)) =
            hash.and_then(|hash| Some((hash, self.catalogue.listings().visible(&hash, account)?)))
        else {
            return unknown;
        };
        if matches!(item.item, ItemRef::Hash(_, pieces) if pieces != listing.pieces) {
            return unknown;
        }
        let update = Update {
            op: &item.op,
            held: item.held,
            checksum: item.checksum,
        };
        let (handle, applied, seed) = {
            let mut points = self.points();
            // Unpublished a moment ago, it would stay for as long as the machine does.
            let published = self.catalogue.listings().get(&hash).is_some();
            let handle = published.then(|| points.register(hash, listing.pieces));
            let Some(handle) = handle.flatten() else {
                return unknown;
            };
            let applied = points.apply(source.reporter, handle, update, source.now);
            (
                handle,
                applied,
                points.item(&hash).is_some_and(|item| item.is_seed(node)),
            )
        };
        let change = match applied {
            Applied::Ok(change) => change,
            Applied::Resync => {
                return ReplyItem {
                    handle,
                    status: Status::Resync,
                };
            }
            Applied::Unknown => return unknown,
        };
        let silent = self.take_place(source, hash, item, seed);
        if !source.again {
            self.record_change(source, hash, &change, silent);
        }
        self.points().reply(handle, node, silent)
    }

    /// The machine is a peer of the swarm from now on, or no more.
    fn take_place(&self, source: &Source, hash: InfoHash, item: &ReportItem, seed: bool) -> Silent {
        let Reporter { account, node } = source.reporter;
        if item.op == Op::Leave {
            if self.swarms.leave(hash, node) {
                self.record("left", account, Some(node), hash, |who, file| {
                    format!("{who} left {file}")
                });
            }
            return self.swarms.silent(&hash);
        }
        let row = Announce {
            account,
            ident: None,
            peer_id: None,
            addr: source.addr,
            seed,
            completed: false,
            stopped: false,
            only: None,
            expires: source.now.saturating_add(SILENCE),
        };
        let Ok((change, silent)) = self
            .swarms
            .report(hash, &row, node, self.caps(&self.config()))
        else {
            return self.swarms.silent(&hash);
        };
        match change {
            SwarmChange::Joined if !source.again => {
                self.record("joined", account, Some(node), hash, |who, file| {
                    let what = if seed { "a seed" } else { "a leech" };
                    format!("{who} joined {file} as {what}")
                })
            }
            SwarmChange::Completed => {
                self.record("completed", account, Some(node), hash, |who, file| {
                    format!("{who} completed {file}")
                });
            }
            _ => {}
        }
        silent
    }

    /// A report keeps the machine's places in all its swarms, also in those it says nothing about.
    fn keep_places(&self, source: &Source) {
        let expires = source.now.saturating_add(SILENCE);
        let contents = self.points().contents_of(source.reporter.node);
        for hash in contents {
            self.swarms.touch(hash, source.reporter.node, expires);
        }
    }

    fn record_change(&self, source: &Source, hash: InfoHash, change: &Change, silent: Silent) {
        let Reporter { account, node } = source.reporter;
        let held = {
            let points = self.points();
            let Some(item) = points.item(&hash) else {
                return;
            };
            match change {
                Change::None | Change::Left => return,
                Change::Pieces(pieces) => {
                    let counts = || pieces.iter().map(|piece| item.holders_of(*piece, silent));
                    let (least, most) = (counts().min().unwrap_or(0), counts().max().unwrap_or(0));
                    let by = if least == most {
                        format!("{least}")
                    } else {
                        format!("{least} to {most}")
                    };
                    (
                        format!("reports {} of", describe(pieces)),
                        format!(", now held by {by}"),
                    )
                }
                Change::Replaced(0) => return,
                Change::Replaced(held) => (
                    format!("holds {held} of {} pieces of", item.pieces()),
                    String::new(),
                ),
                Change::Seed(_) => {
                    let seeds = item.summary(silent).seeds;
                    let all = if seeds == 1 {
                        "whole copy"
                    } else {
                        "whole copies"
                    };
                    ("holds all of".to_owned(), format!(", now {seeds} {all}"))
                }
            }
        };
        let (what, after) = held;
        self.record("points", account, Some(node), hash, |who, file| {
            format!("{who} {what} {file}{after}")
        });
    }

    /// `account/node` of a machine, if it is known.
    pub fn node_name(&self, node: NodeId) -> Option<String> {
        self.accounts.directory().node_name(node)
    }
}

/// Seconds until this item wants to be reported again.
fn pace(item: &ReportItem, told: &ReplyItem) -> u32 {
    let Status::Ok(swarm) = &told.status else {
        return SOON;
    };
    match &item.op {
        Op::Seed | Op::Leave => HEARTBEAT,
        // A set that grows while a piece has one holder or none: the others want to know where it goes.
        Op::Add(_) if swarm.least <= 1 => SOON,
        // A seed lacks nothing.
        Op::Keep if swarm.rarest.is_empty() => HEARTBEAT,
        _ => FETCHING,
    }
}

/// `piece 27`, or `pieces 27-31, 40 and 45-47`, or the first few ranges and how many more pieces.
fn describe(pieces: &[u32]) -> String {
    let ranges = runs(pieces.iter().copied());
    let text = |(first, last): &(u32, u32)| {
        if first == last {
            format!("{first}")
        } else {
            format!("{first}-{last}")
        }
    };
    let shown: Vec<String> = ranges.iter().take(MAX_RANGES).map(text).collect();
    let noun = if pieces.len() == 1 { "piece" } else { "pieces" };
    if ranges.len() > MAX_RANGES {
        let rest: u32 = ranges
            .iter()
            .skip(MAX_RANGES)
            .map(|(first, last)| last - first + 1)
            .sum();
        return format!("{noun} {} and {rest} more", shown.join(", "));
    }
    match shown.split_last() {
        Some((last, [])) => format!("{noun} {last}"),
        Some((last, before)) => format!("{noun} {} and {last}", before.join(", ")),
        None => "nothing".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_has_one_turn_at_a_time() {
        let turns = Turns::default();
        let turn = turns.take(NodeId(1)).unwrap();
        assert!(turns.take(NodeId(1)).is_none() && turns.take(NodeId(2)).is_some());
        drop(turn);
        assert!(turns.take(NodeId(1)).is_some());
    }

    #[test]
    fn pieces_are_told_in_ranges() {
        assert_eq!(describe(&[27]), "piece 27");
        assert_eq!(describe(&[27, 28, 29]), "pieces 27-29");
        assert_eq!(describe(&[1, 2, 5, 7, 8]), "pieces 1-2, 5 and 7-8");
        let scattered: Vec<u32> = (0..20).map(|n| n * 2).collect();
        assert_eq!(
            describe(&scattered),
            "pieces 0, 2, 4, 6, 8, 10, 12, 14 and 12 more"
        );
    }
}
