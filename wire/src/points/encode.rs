//! Writing reports and replies.

use std::borrow::Cow;

use super::{ItemRef, Op, Reply, Report, Status, Swarm};

/// Version of both bodies.
pub(super) const VERSION: u8 = 1;

/// Numbers of [`Op`].
pub(super) mod op {
    pub(crate) const KEEP: u8 = 0;
    pub(crate) const FULL: u8 = 1;
    pub(crate) const ADD: u8 = 2;
    pub(crate) const REMOVE: u8 = 3;
    pub(crate) const SEED: u8 = 4;
    pub(crate) const LEAVE: u8 = 5;
}

/// Numbers of [`Status`].
pub(super) mod status {
    pub(crate) const OK: u8 = 0;
    pub(crate) const RESYNC: u8 = 1;
    pub(crate) const UNKNOWN: u8 = 2;
}

impl Report {
    /// The body.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(16 + self.items.len() * 16);
        out.push(VERSION);
        out.extend_from_slice(&self.epoch.to_be_bytes());
        out.extend_from_slice(&self.port.to_be_bytes());
        varint(&mut out, self.items.len() as u32);
        for item in &self.items {
            match item.item {
                ItemRef::Handle(handle) => varint(&mut out, handle),
                ItemRef::Hash(hash, pieces) => {
                    varint(&mut out, 0);
                    out.extend_from_slice(&hash.0);
                    varint(&mut out, pieces);
                }
            }
            operation(&mut out, &item.op);
            varint(&mut out, item.held);
            out.extend_from_slice(&item.checksum.to_be_bytes());
        }
        out
    }
}

impl Reply {
    /// The body.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(16 + self.items.len() * 16);
        out.push(VERSION);
        out.extend_from_slice(&self.epoch.to_be_bytes());
        varint(&mut out, self.next);
        varint(&mut out, self.items.len() as u32);
        for item in &self.items {
            varint(&mut out, item.handle);
            match &item.status {
                Status::Ok(swarm) => {
                    out.push(status::OK);
                    counts(&mut out, swarm);
                }
                Status::Resync => out.push(status::RESYNC),
                Status::Unknown => out.push(status::UNKNOWN),
            }
        }
        out
    }
}

fn operation(out: &mut Vec<u8>, op: &Op) {
    match op {
        Op::Keep => out.push(op::KEEP),
        Op::Full(bitmap) => {
            out.push(op::FULL);
            varint(out, bitmap.len() as u32);
            out.extend_from_slice(bitmap);
        }
        Op::Add(pieces) => {
            out.push(op::ADD);
            gaps(out, pieces);
        }
        Op::Remove(pieces) => {
            out.push(op::REMOVE);
            gaps(out, pieces);
        }
        Op::Seed => out.push(op::SEED),
        Op::Leave => out.push(op::LEAVE),
    }
}

fn counts(out: &mut Vec<u8>, swarm: &Swarm) {
    for count in [
        swarm.seeds,
        swarm.partial,
        swarm.unknown,
        swarm.least,
        swarm.nobody,
    ] {
        varint(out, count);
    }
    gaps(out, &swarm.rarest);
}

/// The format can only say ascending pieces, so what comes in another order is sorted first.
fn gaps(out: &mut Vec<u8>, pieces: &[u32]) {
    let mut pieces = Cow::Borrowed(pieces);
    if !pieces.is_sorted_by(|a, b| a < b) {
        let sorted = pieces.to_mut();
        sorted.sort_unstable();
        sorted.dedup();
    }
    varint(out, pieces.len() as u32);
    let mut next = 0;
    for piece in &*pieces {
        // Strictly ascending, so no piece is below the one after its predecessor; only the last can be u32::MAX.
        varint(out, piece - next);
        next = piece.saturating_add(1);
    }
}

fn varint(out: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
