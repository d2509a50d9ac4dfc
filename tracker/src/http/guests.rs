//! How many connections each address has: so many that one address cannot take all places.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use crate::lock::lock;
use crate::throttle::household;

/// Open connections by address.
#[derive(Clone)]
pub(super) struct Guests {
    most: u32,
    open: Arc<Mutex<HashMap<IpAddr, u32>>>,
}

/// One connection among those of its address, until this is dropped.
pub(super) struct Guest {
    address: IpAddr,
    open: Arc<Mutex<HashMap<IpAddr, u32>>>,
}

impl Guests {
    /// Of which each address may have so many.
    pub(super) fn new(most: u32) -> Self {
        Self {
            most,
            open: Arc::default(),
        }
    }

    /// One more from there; `None` when there are too many already.
    pub(super) fn enter(&self, address: IpAddr) -> Option<Guest> {
        let address = household(address);
        let mut open = lock(&self.open);
        let count = open.entry(address).or_insert(0);
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Guest {
            address,
            open: Arc::clone(&self.open),
        })
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut open = lock(&self.open);
        if let Some(count) = open.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_so_many_connections_and_others_have_theirs() {
        let guests = Guests::new(2);
        let [here, there] = ["2001:db8::1", "2001:db8:1::1"].map(|ip| ip.parse().unwrap());
        let same_household = "2001:db8::2".parse().unwrap();
        let first = guests.enter(here).unwrap();
        let second = guests.enter(same_household).unwrap();
        assert!(guests.enter(here).is_none());
        assert!(guests.enter(there).is_some());
        drop(first);
        assert!(guests.enter(same_household).is_some());
        drop(second);
        assert!(guests.open.lock().unwrap().is_empty());
    }
}
