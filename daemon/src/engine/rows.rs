//! All rows, counted as they change.
//!
//! The [`Tallies`] cannot drift from the rows: a row is changed through [`Rows::get_mut`] alone, which first takes it out of the tallies as it
//! was counted, and [`Rows::count`] counts it again as it is then.

use std::collections::HashMap;
use std::mem;

use p2p_wire::InfoHash;

use super::row::Row;
use super::tally::Tallies;

/// Room that is kept for rows that change at once.
const TOUCHED: usize = 1024;

/// All rows, by item.
#[derive(Default)]
pub(super) struct Rows {
    /// Boxed: half of a table's places may be empty, and a row is long.
    rows: HashMap<InfoHash, Box<Row>>,
    tallies: Tallies,
    /// Those that are not counted, as they may just have changed; some may be counted again, or gone.
    touched: Vec<InfoHash>,
}

impl Rows {
    pub(super) fn get(&self, item: &InfoHash) -> Option<&Row> {
        self.rows.get(item).map(AsRef::as_ref)
    }

    pub(super) fn contains(&self, item: &InfoHash) -> bool {
        self.rows.contains_key(item)
    }

    /// Each, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&InfoHash, &Row)> {
        self.rows.iter().map(|(item, row)| (item, &**row))
    }

    /// A row to change.
    pub(super) fn get_mut(&mut self, item: &InfoHash) -> Option<&mut Row> {
        let row = self.rows.get_mut(item)?;
        if mem::take(&mut row.counted) {
            self.tallies.take(*item, row);
            self.touched.push(*item);
        }
        Some(row)
    }

    /// Takes up a row in place of the item's old one, if there is one.
    pub(super) fn insert(&mut self, item: InfoHash, row: Row) {
        self.remove(&item);
        let row = Row {
            counted: false,
            ..row
        };
        self.rows.insert(item, Box::new(row));
        self.touched.push(item);
    }

    pub(super) fn remove(&mut self, item: &InfoHash) -> Option<Row> {
        let row = self.rows.remove(item)?;
        if row.counted {
            self.tallies.take(*item, &row);
        }
        Some(*row)
    }

    /// Counts those again that were changed. Once for each thing that the registry does, so that they are few.
    pub(super) fn count(&mut self) {
        for item in self.touched.drain(..) {
            if let Some(row) = self.rows.get_mut(&item)
                && !mem::replace(&mut row.counted, true)
            {
                self.tallies.add(item, row);
            }
        }
        // Of a start with many items.
        self.touched.shrink_to(TOUCHED);
    }

    /// The numbers as they were counted last.
    pub(super) fn tallies(&self) -> &Tallies {
        &self.tallies
    }
}

#[cfg(test)]
mod tests {
    use p2p_wire::Layout;
    use p2p_wire::control::ErrorKind;
    use proptest::prelude::*;
    use tokio::sync::mpsc;

    use super::super::add::blank;
    use super::super::row::{Slot, Stopped};
    use super::super::survey::Glance;
    use super::*;
    use crate::resume::{Check, Have, Record};

    #[derive(Clone, Debug)]
    enum Op {
        Insert(u32),
        Remove,
        Pause,
        Complete,
        Check,
        Fail,
        Move(u64),
        Wake,
        Busy(bool),
        Sleep,
        Count,
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            3 => (0..3u32).prop_map(Op::Insert),
            1 => Just(Op::Remove),
            1 => Just(Op::Pause),
            2 => Just(Op::Complete),
            1 => Just(Op::Check),
            2 => Just(Op::Fail),
            2 => (0..1_000_000u64).prop_map(Op::Move),
            1 => Just(Op::Wake),
            1 => any::<bool>().prop_map(Op::Busy),
            2 => Just(Op::Sleep),
            2 => Just(Op::Count),
        ]
    }

    fn record(item: InfoHash, owner: u32) -> Box<Record> {
        Box::new(Record {
            owner,
            layout: Layout::new(50_000, 16_384),
            wanted_len: 50_000,
            ..blank(item)
        })
    }

    fn change(row: &mut Row, record: impl FnOnce(&mut Record)) {
        if let Slot::Dormant(dormant) = &mut row.slot {
            record(dormant);
        }
    }

    fn act(rows: &mut Rows, item: InfoHash, op: Op) {
        let row = match op {
            Op::Count => return rows.count(),
            Op::Remove => return drop(rows.remove(&item)),
            Op::Insert(owner) => return rows.insert(item, Row::new(record(item, owner), None)),
            _ => rows.get_mut(&item),
        };
        let Some(row) = row else { return };
        match op {
            Op::Pause => change(row, |record| record.paused = !record.paused),
            Op::Complete => change(row, |record| {
                record.have = Have::All;
                record.completed = Some(1);
            }),
            Op::Check => {
                row.verify = !row.verify;
                change(row, |record| record.check = Check::All);
            }
            Op::Fail => {
                row.fault = match row.fault {
                    Some(_) => None,
                    None => Some(Box::new(Stopped {
                        kind: ErrorKind::Disk,
                        text: "no disk".into(),
                        retry: None,
                    })),
                };
            }
            Op::Move(bytes) => change(row, |record| record.downloaded = bytes),
            Op::Wake => row.slot = Slot::Awake(mpsc::channel(1).0),
            Op::Busy(is_seen) => {
                let look = Glance::of_row(item, row).filter(|_| is_seen);
                row.slot = Slot::Busy(look.map(|one| Box::new(one.item())));
            }
            Op::Sleep => row.slot = Slot::Dormant(record(item, 1)),
            _ => {}
        }
    }

    proptest! {
        #[test]
        fn tallies_are_what_a_look_at_every_row_gives(ops in prop::collection::vec((0..8u8, op()), 0..200)) {
            let mut rows = Rows::default();
            for (item, op) in ops {
                act(&mut rows, InfoHash([item; 20]), op);
            }
            rows.count();
            let mut full = Tallies::default();
            rows.iter().for_each(|(item, row)| full.add(*item, row));
            prop_assert_eq!(rows.tallies(), &full);
        }
    }
}
