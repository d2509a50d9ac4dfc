//! How many clients there may be, so that nobody keeps others out.
//!
//! A place is held as long as the connection and all that was begun over it: who connects, begins something and goes away again and again
//! comes to an end, too.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use nix::unistd::geteuid;

/// Clients at the same time.
const MAX_CLIENTS: u32 = 64;
/// Of one user, unless that is root or p2pd's own.
const OF_ONE_USER: u32 = 16;
/// Of all users but those two.
const OF_USERS: u32 = 56;

/// Counts by user id.
#[derive(Clone, Default)]
pub(super) struct Places(Arc<Mutex<HashMap<u32, u32>>>);

/// One client's place; free again when this is dropped.
pub(super) struct Place {
    places: Places,
    uid: u32,
}

impl Places {
    /// A place for the user `uid`; a sentence that says why there is none.
    pub(super) fn take(&self, uid: u32) -> Result<Place, String> {
        let is_trusted = |uid: u32| uid == 0 || uid == geteuid().as_raw();
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all: u32 = counts.values().sum();
        let users = counts.iter().filter(|(uid, _)| !is_trusted(**uid));
        let of_users: u32 = users.map(|(_, count)| count).sum();
        let count = counts.entry(uid).or_default();
        if all >= MAX_CLIENTS || !is_trusted(uid) && of_users >= OF_USERS {
            return Err(format!("{all} are connected to its control socket"));
        }
        if !is_trusted(uid) && *count >= OF_ONE_USER {
            return Err(format!("You are connected {count} times"));
        }
        *count += 1;
        drop(counts);
        Ok(Place {
            places: self.clone(),
            uid,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.places.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.uid) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.uid);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(places: &Places, uid: u32) -> Vec<Place> {
        std::iter::from_fn(|| places.take(uid).ok()).collect()
    }

    #[test]
    fn users_keep_out_neither_each_other_nor_root() {
        let places = Places::default();
        let me = geteuid().as_raw();
        let ann = fill(&places, me + 1);
        assert_eq!(ann.len(), 16);
        assert_eq!(fill(&places, me + 2).len(), 16, "and all are free again");
        let others: Vec<_> = (2..6).map(|n| fill(&places, me + n)).collect();
        assert_eq!(others.iter().map(Vec::len).sum::<usize>(), 40);
        let root = fill(&places, 0);
        assert_eq!(root.len(), 8);
        drop(ann);
        assert_eq!(fill(&places, me).len(), 16);
    }
}
