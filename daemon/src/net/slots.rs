//! The places of the daemon's connections, and who gives way when they are all taken.
//!
//! A connection that was accepted and over which no block has gone yet is pushed out by the next one, the oldest first; one that has been idle for a
//! minute, after those. So no crowd of silent peers keeps others out for longer than it takes to connect. Some places are for connections
//! that we make ourselves, and no address has more than its part of the rest.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// One place in so many is for connections that we make.
const OURS: usize = 8;
/// Connections from one address take one place in so many at most, but a few always: several peers may share an address.
const ADDRESS: usize = 4;
const ADDRESS_FEW: usize = 32;
/// A connection over which no block went for so long gives way to a new one.
const IDLE: Duration = Duration::from_secs(60);

/// Counts the connections of the daemon.
#[derive(Clone, Debug)]
pub struct Slots {
    table: Arc<Mutex<Table>>,
    most: usize,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    places: BTreeMap<u64, Place>,
}

#[derive(Debug)]
struct Place {
    /// Where it came from; `None` for one that we make.
    from: Option<IpAddr>,
    since: Instant,
    /// When the last block went over it.
    used: Option<Instant>,
    leave: Arc<Notify>,
}

/// A place among the connections; free again when dropped.
#[derive(Debug)]
pub struct Slot {
    table: Arc<Mutex<Table>>,
    id: u64,
    leave: Arc<Notify>,
}

impl Slots {
    /// So many places.
    pub fn new(most: usize) -> Self {
        Self {
            table: Arc::default(),
            most,
        }
    }

    /// A place for a connection that we make, if one is free or somebody gives way.
    pub fn for_ours(&self) -> Option<Slot> {
        let mut table = lock(&self.table);
        if table.places.len() >= self.most && !table.make_room(|_| true) {
            return None;
        }
        Some(self.take(&mut table, None))
    }

    /// The same for a connection that came from `ip`.
    pub fn for_theirs(&self, ip: IpAddr) -> Option<Slot> {
        let mut table = lock(&self.table);
        let same = |place: &Place| place.from == Some(ip);
        let count = |table: &Table, which: &dyn Fn(&Place) -> bool| {
            table.places.values().filter(|place| which(place)).count()
        };
        if count(&table, &same) >= (self.most / ADDRESS).max(ADDRESS_FEW) && !table.make_room(same)
        {
            return None;
        }
        let theirs = |place: &Place| place.from.is_some();
        let full = count(&table, &theirs) >= (self.most - self.most / OURS).max(1);
        if (full || table.places.len() >= self.most) && !table.make_room(theirs) {
            return None;
        }
        Some(self.take(&mut table, Some(ip)))
    }

    fn take(&self, table: &mut Table, from: Option<IpAddr>) -> Slot {
        let id = table.next;
        table.next += 1;
        let leave = Arc::new(Notify::new());
        let place = Place {
            from,
            since: Instant::now(),
            used: None,
            leave: leave.clone(),
        };
        table.places.insert(id, place);
        Slot {
            table: self.table.clone(),
            id,
            leave,
        }
    }
}

impl Table {
    /// Has the least useful of the places that `may` names given up; false when all of them are in use.
    fn make_room(&mut self, may: impl Fn(&Place) -> bool) -> bool {
        let now = Instant::now();
        let gives_way = |place: &Place| match (place.used, place.from) {
            (None, Some(_)) => Some((false, place.since)),
            (used, _) => {
                let since = used.unwrap_or(place.since);
                (now.duration_since(since) >= IDLE).then_some((true, since))
            }
        };
        let giving = self.places.iter().filter(|(_, place)| may(place));
        let giving = giving.filter_map(|(id, place)| Some((gives_way(place)?, *id)));
        let Some((_, id)) = giving.min() else {
            return false;
        };
        if let Some(place) = self.places.remove(&id) {
            place.leave.notify_one();
        }
        true
    }
}

impl Slot {
    /// A block went over the connection.
    pub(super) fn used(&self) {
        if let Some(place) = lock(&self.table).places.get_mut(&self.id) {
            place.used = Some(Instant::now());
        }
    }

    /// Returns when the place was given to another connection.
    pub(super) async fn lost(&self) {
        self.leave.notified().await;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        lock(&self.table).places.remove(&self.id);
    }
}

fn lock(table: &Mutex<Table>) -> std::sync::MutexGuard<'_, Table> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(n: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, n])
    }

    /// Whether the place was given to another.
    async fn is_lost(slot: &Slot) -> bool {
        tokio::time::timeout(Duration::from_millis(1), slot.lost())
            .await
            .is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_connections_than_places_and_those_in_use_stay() {
        let slots = Slots::new(2);
        let (first, second) = (slots.for_ours(), slots.for_theirs(ip(1)));
        let (Some(first), Some(second)) = (first, second) else {
            panic!("two places")
        };
        second.used();
        assert!(slots.for_ours().is_none() && slots.for_theirs(ip(2)).is_none());
        drop(first);
        let third = slots.for_ours();
        assert!(third.is_some() && slots.for_ours().is_none());
        tokio::time::advance(IDLE).await;
        assert!(slots.for_theirs(ip(2)).is_some());
        assert!(is_lost(&second).await, "idle for a minute");
    }

    #[tokio::test(start_paused = true)]
    async fn a_crowd_that_says_nothing_pushes_out_itself_alone() {
        let slots = Slots::new(16);
        let ours = slots.for_ours().unwrap();
        let mut useful = Vec::new();
        for n in 0..4 {
            let slot = slots.for_theirs(ip(n)).unwrap();
            slot.used();
            useful.push(slot);
        }
        let crowd: Vec<Slot> = (0..100)
            .map(|n| slots.for_theirs(ip(100 + n)).unwrap())
            .collect();
        let honest = slots.for_theirs(ip(9)).expect("room for one more");
        assert!(is_lost(&crowd[0]).await && !is_lost(&crowd[99]).await);
        for slot in useful.iter().chain([&ours, &honest]) {
            assert!(!is_lost(slot).await);
        }
        let places = lock(&slots.table).places.len();
        assert!(places < 16, "{places}: none is left for ours");
        assert!(slots.for_ours().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn one_address_takes_its_part_alone() {
        let slots = Slots::new(400);
        let crowd: Vec<Slot> = (0..300).filter_map(|_| slots.for_theirs(ip(1))).collect();
        crowd.iter().for_each(Slot::used);
        assert_eq!(lock(&slots.table).places.len(), 100);
        assert!(slots.for_theirs(ip(1)).is_none(), "all are in use");
        assert!(slots.for_theirs(ip(2)).is_some());
    }
}
