//! Which item a client means: by info-hash, a prefix of it, or name.
//!
//! Items are looked at where they are, in one pass for all names of a request: there may be a hundred thousand, and the engine waits.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use p2p_wire::InfoHash;
use p2p_wire::control::{ErrorKind, Item, ItemsRef};

use super::Daemon;
use super::caller::Caller;
use crate::Fault;
use crate::engine::Glance;

/// Shortest prefix of an info-hash that names an item.
pub(super) const MIN_PREFIX: usize = 4;

/// Items of one request, and of its answer: a line of the protocol has room for as many even if their paths are long.
const BATCH: usize = 500;

/// The item that `name` means to the caller: its info-hash, a unique prefix of that, or its unique name.
pub(super) async fn find(daemon: &Arc<Daemon>, caller: &Caller, name: &str) -> Result<Item, Fault> {
    let found = seek(daemon, caller, name).await?;
    found.ok_or_else(|| not_here(name))
}

/// As [`find`]; `None` if there is none, an error if there are several.
pub(super) async fn seek(
    daemon: &Arc<Daemon>,
    caller: &Caller,
    name: &str,
) -> Result<Option<Item>, Fault> {
    let (whose, names) = (caller.whose(), vec![name.to_owned()]);
    let found = daemon.engine.survey(move |all| {
        let directory = Directory::new(visible(all.iter(), whose), &names);
        let found = directory.find(&names[0])?;
        Ok::<_, Fault>(found.map(|one| one.item()))
    });
    found.await.unwrap_or_else(|| Err(daemon.stopping("this")))
}

/// Those that belong to the user `whose`, or all.
pub(super) fn visible<'a>(
    all: impl Iterator<Item = Glance<'a>>,
    whose: Option<u32>,
) -> impl Iterator<Item = Glance<'a>> {
    all.filter(move |one| whose.is_none_or(|uid| one.owner() == uid))
}

/// The items that may be meant by some names.
struct Directory<'a> {
    by_name: HashMap<&'a str, Vec<Glance<'a>>>,
    /// By the first digits of the info-hash.
    by_digits: HashMap<[u8; MIN_PREFIX / 2], Vec<Glance<'a>>>,
}

impl<'a> Directory<'a> {
    fn new(all: impl Iterator<Item = Glance<'a>>, names: &[String]) -> Self {
        let digits: HashSet<_> = names.iter().filter_map(|name| first_digits(name)).collect();
        let names: HashSet<&str> = names.iter().map(String::as_str).collect();
        let mut directory = Self {
            by_name: HashMap::new(),
            by_digits: HashMap::new(),
        };
        for one in all {
            if names.contains(one.name()) {
                let same = directory.by_name.entry(one.name()).or_default();
                same.push(one);
            }
            let first = [one.info_hash.0[0], one.info_hash.0[1]];
            if digits.contains(&first) {
                directory.by_digits.entry(first).or_default().push(one);
            }
        }
        directory
    }

    fn find(&self, name: &str) -> Result<Option<Glance<'a>>, Fault> {
        // A name in full counts before a prefix of another's hash would: `cafe` may be a file.
        let found = match self.by_name.get(name) {
            Some(named) => named.clone(),
            None => self.by_prefix(name),
        };
        if found.len() > 1 {
            let mut rows: Vec<_> = found
                .iter()
                .take(10)
                .map(|one| format!("{} {}", one.info_hash, one.name()))
                .collect();
            rows.sort();
            return Err(Fault::new(
                ErrorKind::Conflict,
                format!("`{name}` means {} items", found.len()),
                rows.join("\n"),
                "Give more digits of the hash",
            ));
        }
        Ok(found.first().copied())
    }

    fn by_prefix(&self, name: &str) -> Vec<Glance<'a>> {
        let near = first_digits(name).and_then(|first| self.by_digits.get(&first));
        let prefix = name.to_ascii_lowercase();
        let fits = |one: &&Glance<'a>| one.info_hash.to_string().starts_with(&prefix);
        near.into_iter().flatten().filter(fits).copied().collect()
    }
}

/// Of what may be the prefix of an info-hash.
fn first_digits(name: &str) -> Option<[u8; MIN_PREFIX / 2]> {
    let is_hex = name.bytes().all(|byte| byte.is_ascii_hexdigit());
    let first = name.get(..MIN_PREFIX).filter(|_| is_hex)?;
    let number = u16::from_str_radix(first, 16).ok()?;
    Some(number.to_be_bytes())
}

pub(super) fn not_here(name: &str) -> Fault {
    Fault::new(
        ErrorKind::NotFound,
        format!("there is no item `{name}` here"),
        "No item has that name, and no info-hash here begins with it",
        "See what there is:  p2pctl ls   or in the catalogue:  p2pctl search",
    )
}

/// Some of the items that a request is about.
pub(super) struct Batch {
    /// Each once.
    pub(super) hashes: Vec<InfoHash>,
    /// Of all items: where the next batch begins.
    pub(super) next: Option<InfoHash>,
}

/// All that are named are found before anything is done to one. Of all items those that come next in the order of their hashes.
pub(super) async fn resolve(
    daemon: &Arc<Daemon>,
    caller: &Caller,
    which: ItemsRef,
) -> Result<Batch, Fault> {
    let whose = caller.whose();
    if which.all {
        let batch = daemon
            .engine
            .survey(move |all| batch(visible(all.iter(), whose), which.after));
        return batch.await.ok_or_else(|| daemon.stopping("this"));
    }
    let usage = |what: &str, why: String, fix: &str| Fault::new(ErrorKind::Usage, what, why, fix);
    match which.items.len() {
        0 => {
            let why = "None is named, and not `all` either".to_owned();
            return Err(usage("which items?", why, "Give hashes or names, or --all"));
        }
        1..=BATCH => {}
        many => {
            let why = format!("{many} are named; a request may name {BATCH}");
            return Err(usage("too many items at once", why, "Name fewer at a time"));
        }
    }
    let found = daemon.engine.survey(move |all| {
        let directory = Directory::new(visible(all.iter(), whose), &which.items);
        let mut hashes = Vec::with_capacity(which.items.len());
        for name in &which.items {
            let one = directory.find(name)?.ok_or_else(|| not_here(name))?;
            if !hashes.contains(&one.info_hash) {
                hashes.push(one.info_hash);
            }
        }
        Ok::<_, Fault>(Batch { hashes, next: None })
    });
    found.await.unwrap_or_else(|| Err(daemon.stopping("this")))
}

/// The next [`BATCH`] after `after`.
fn batch<'a>(all: impl Iterator<Item = Glance<'a>>, after: Option<InfoHash>) -> Batch {
    let hashes = all.map(|one| one.info_hash);
    let mut hashes: Vec<InfoHash> = hashes
        .filter(|hash| after.is_none_or(|after| *hash > after))
        .collect();
    let more = hashes.len() > BATCH;
    if more {
        hashes.select_nth_unstable(BATCH);
        hashes.truncate(BATCH);
    }
    hashes.sort_unstable();
    Batch {
        next: hashes.last().copied().filter(|_| more),
        hashes,
    }
}

/// A complete item, for tests.
#[cfg(test)]
pub(super) fn sample(hash: u8, name: &str, size: u64) -> Item {
    Item {
        info_hash: InfoHash([hash; 20]),
        name: name.to_owned(),
        state: p2p_wire::control::State::Seeding,
        done: size,
        size,
        pieces_done: 1,
        pieces: 1,
        piece_len: 16_384,
        down_rate: 0,
        up_rate: 0,
        downloaded: 0,
        uploaded: 0,
        wasted: 0,
        peers: 0,
        seeds: 0,
        copies: 1.0,
        missing: None,
        eta_s: None,
        path: p2p_wire::control::PathText::Text("/x".into()),
        share: Some("Public".into()),
        reason: None,
        error_kind: None,
        bad_pieces: None,
        added: String::new(),
        completed: None,
        private: true,
        owner_uid: 1_000,
    }
}

#[cfg(test)]
mod tests {
    use super::sample as item;
    use super::*;

    #[test]
    fn an_item_is_named_by_hash_prefix_or_name() {
        let items = [
            item(0xab, "big.iso", 1),
            item(0xcd, "abab", 2),
            item(0xef, "big.iso", 3),
        ];
        let found = |name: &str| {
            let names = [name.to_owned()];
            let directory = Directory::new(items.iter().map(Glance::from), &names);
            directory
                .find(name)
                .map(|found| found.map(|one| one.size()))
        };
        assert_eq!(found(&"cd".repeat(20)), Ok(Some(2)));
        assert_eq!(found("CDCD"), Ok(Some(2)));
        assert_eq!(found("cdc"), Ok(None), "too short a prefix");
        assert_eq!(found("abab"), Ok(Some(2)), "a name counts before a prefix");
        assert_eq!(found("ababa"), Ok(Some(1)));
        assert_eq!(found("nothing"), Ok(None));
        assert_eq!(found(""), Ok(None));
        let fault = found("big.iso").unwrap_err();
        assert_eq!(fault.kind, ErrorKind::Conflict);
        let hashes = format!("{} big.iso\n{} big.iso", "ab".repeat(20), "ef".repeat(20));
        assert_eq!(fault.why, hashes);
    }

    #[test]
    fn all_items_come_in_batches_each_once() {
        let hash = |n: u32| {
            let mut hash = [0; 20];
            hash[..4].copy_from_slice(&n.wrapping_mul(2_654_435_761).to_be_bytes());
            InfoHash(hash)
        };
        let items: Vec<Item> = (0..1_250)
            .map(|n| Item {
                info_hash: hash(n),
                ..item(0, "x", 1)
            })
            .collect();
        let (mut after, mut sizes, mut seen) = (None, Vec::new(), HashSet::new());
        loop {
            let batch = batch(items.iter().map(Glance::from), after);
            sizes.push(batch.hashes.len());
            seen.extend(batch.hashes);
            after = batch.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!((sizes, seen.len()), (vec![500, 500, 250], 1_250));
    }
}
