//! What is published, in memory: enough to admit announces and reports without the database.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use p2p_wire::InfoHash;
use p2p_wire::api::Visibility;

use crate::ids::AccountId;
use crate::store::ListingRow;

/// Every published content, as the store's writer reports it.
#[derive(Default)]
pub struct Listings {
    by_hash: RwLock<BTreeMap<InfoHash, Arc<ListingRow>>>,
}

/// What a prefix of an info-hash stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefix {
    /// This one.
    One(InfoHash),
    /// None that the asker may list.
    None,
    /// More than one.
    Several,
}

impl ListingRow {
    /// Whether an account may know of it, by its hash.
    pub fn is_visible_to(&self, account: AccountId) -> bool {
        self.entries
            .iter()
            .any(|(owner, visibility)| *visibility != Visibility::Own || *owner == account)
    }

    /// Whether an account may find it without knowing its hash.
    fn is_listed_to(&self, account: AccountId) -> bool {
        self.entries
            .iter()
            .any(|(owner, visibility)| *visibility == Visibility::Members || *owner == account)
    }

    /// The name of the entry, without owner and share.
    pub fn entry_name(&self) -> &str {
        self.name.splitn(3, '/').nth(2).unwrap_or(&self.name)
    }
}

impl Listings {
    /// Takes a committed change.
    pub fn set(&self, hash: InfoHash, listing: Option<ListingRow>) {
        let mut by_hash = self.by_hash.write().unwrap_or_else(PoisonError::into_inner);
        match listing {
            Some(listing) => by_hash.insert(hash, Arc::new(listing)),
            None => by_hash.remove(&hash),
        };
    }

    /// How many contents are published.
    pub fn total(&self) -> usize {
        self.read().len()
    }

    /// What is published of a content.
    pub fn get(&self, hash: &InfoHash) -> Option<Arc<ListingRow>> {
        self.read().get(hash).cloned()
    }

    /// What is published of a content, if the account may know of it.
    pub fn visible(&self, hash: &InfoHash, account: AccountId) -> Option<Arc<ListingRow>> {
        self.get(hash)
            .filter(|listing| listing.is_visible_to(account))
    }

    /// The content whose hash begins with `digits`, lower-case hex.
    pub fn by_prefix(&self, digits: &str, account: AccountId) -> Prefix {
        let first = format!("{digits:0<40}").parse::<InfoHash>();
        let last = format!("{digits:f<40}").parse::<InfoHash>();
        let (Ok(first), Ok(last)) = (first, last) else {
            return Prefix::None;
        };
        let by_hash = self.read();
        let mut found = by_hash
            .range(first..=last)
            .filter(|(_, listing)| listing.is_listed_to(account));
        match (found.next(), found.next()) {
            (Some((hash, _)), None) => Prefix::One(*hash),
            (Some(_), Some(_)) => Prefix::Several,
            (None, _) => Prefix::None,
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<InfoHash, Arc<ListingRow>>> {
        self.by_hash.read().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_finds_what_the_account_may_list() {
        let listings = Listings::default();
        let listing = |owner, visibility| {
            Some(ListingRow {
                pieces: 1,
                name: "a/b/c/d".into(),
                reader: None,
                entries: vec![(AccountId(owner), visibility)],
            })
        };
        let mut hash = InfoHash([0xab; 20]);
        listings.set(hash, listing(1, Visibility::Members));
        hash.0[5] = 0;
        listings.set(hash, listing(2, Visibility::Unlisted));
        assert_eq!(
            listings.by_prefix("abab", AccountId(1)),
            Prefix::One(InfoHash([0xab; 20]))
        );
        assert_eq!(listings.by_prefix("abab", AccountId(2)), Prefix::Several);
        assert_eq!(
            listings.by_prefix("ababababab0", AccountId(2)),
            Prefix::One(hash)
        );
        assert_eq!(listings.by_prefix("ac00", AccountId(1)), Prefix::None);
        assert!(
            listings.visible(&hash, AccountId(1)).is_some(),
            "unlisted: by the whole hash"
        );
        listings.set(hash, listing(2, Visibility::Own));
        assert!(
            listings.visible(&hash, AccountId(1)).is_none()
                && listings.visible(&hash, AccountId(2)).is_some()
        );
        assert_eq!(listings.get(&hash).unwrap().entry_name(), "c/d");
    }
}
