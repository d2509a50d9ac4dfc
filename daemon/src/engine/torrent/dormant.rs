//! What an item without a swarm answers, and the shapes of what one with a swarm answers the same way.

use std::sync::Arc;

use p2p_wire::InfoHash;
use p2p_wire::control::ItemPieces;
use p2p_wire::metainfo::Metainfo;

use super::super::{Ctx, Holding, view};
use super::Ask;
use crate::resume::Record;

/// Answers from the record alone; what needs the metainfo is answered by a task that reads it.
pub(in crate::engine) fn answer_dormant(
    ctx: &Arc<Ctx>,
    item: InfoHash,
    record: &Record,
    live: &view::Live<'_>,
    ask: Ask,
) {
    let pieces = record.layout.map_or(0, |layout| layout.pieces());
    match ask {
        Ask::Item(reply) => drop(reply.send(view::item(item, record, live))),
        Ask::Peers(reply) => drop(reply.send(Vec::new())),
        Ask::Trackers(reply) => drop(reply.send(record.trackers.clone())),
        Ask::Only(reply) => drop(reply.send(record.only.clone())),
        Ask::Holding(reply) => {
            let have = record.held(pieces);
            drop(reply.send(holding(&have)));
        }
        Ask::Pieces(reply) => {
            let have = record.held(pieces);
            let elsewhere = view::all_are_held(live.points);
            let lacking = (0..pieces).filter(|piece| !elsewhere && !have.get(*piece));
            let missing = view::ranges(lacking);
            drop(reply.send(ItemPieces {
                pieces,
                piece_len: record.layout.map_or(0, |layout| layout.piece_len()),
                here: view::ranges(have.iter()),
                holders: run_lengths((0..pieces).map(|piece| u32::from(have.get(piece)))),
                unknown: live.points.map_or(0, |points| points.unknown),
                missing: missing.into_iter().map(missing_range).collect(),
                source: "peers".into(),
            }));
        }
        Ask::Files(reply) => {
            let (ctx, record) = (ctx.clone(), record.clone());
            tokio::spawn(async move {
                let metainfo = ctx.store.metainfo(item).await.ok().flatten();
                let files = metainfo.map(|metainfo: Metainfo| {
                    let have = record.held(pieces);
                    view::files(&metainfo.info, &record, &have)
                });
                drop(reply.send(files.unwrap_or_default()));
            });
        }
    }
}

pub(super) fn holding(have: &p2p_wire::Bitfield) -> Holding {
    if have.is_full() {
        Holding::Seed(have.len())
    } else {
        Holding::Partial(have.clone())
    }
}

pub(super) fn missing_range((first, last): (u32, u32)) -> p2p_wire::api::MissingRange {
    p2p_wire::api::MissingRange {
        first,
        last,
        last_held_by: None,
        last_held: None,
    }
}

/// (how many in a row, which number).
pub(super) fn run_lengths(numbers: impl Iterator<Item = u32>) -> Vec<(u32, u32)> {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some((count, same)) if *same == number => *count += 1,
            _ => runs.push((1, number)),
        }
    }
    runs
}
