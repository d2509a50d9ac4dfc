//! Which item a client means: by info-hash, a prefix of it, or name.

use std::sync::Arc;

use p2p_wire::InfoHash;
use p2p_wire::control::{ErrorKind, Item, ItemsRef};

use super::Daemon;
use super::caller::Caller;
use crate::Fault;

/// Shortest prefix of an info-hash that names an item.
pub(super) const MIN_PREFIX: usize = 4;

/// The items that the caller sees.
pub(super) async fn items(daemon: &Daemon, caller: &Caller) -> Vec<Item> {
    let mut items = daemon.engine.items().await;
    items.retain(|item| caller.has(item.owner_uid));
    items
}

/// The item that `name` means to the caller: its info-hash, a unique prefix of that, or its unique name.
pub(super) async fn find(daemon: &Arc<Daemon>, caller: &Caller, name: &str) -> Result<Item, Fault> {
    let items = items(daemon, caller).await;
    pick(items, name)?.ok_or_else(|| not_here(name))
}

/// As [`find`]; `None` if there is none, an error if there are several.
pub(super) fn pick(items: Vec<Item>, name: &str) -> Result<Option<Item>, Fault> {
    let is_hex = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    let prefix = (is_hex && name.len() >= MIN_PREFIX).then(|| name.to_ascii_lowercase());
    let by_hash = |item: &Item| {
        let hash = item.info_hash.to_string();
        prefix
            .as_ref()
            .is_some_and(|prefix| hash.starts_with(prefix))
    };
    // A name in full counts before a prefix of another's hash would: `cafe` may be a file.
    let (named, rest): (Vec<_>, Vec<_>) = items.into_iter().partition(|item| item.name == name);
    let mut found = if named.is_empty() {
        rest.into_iter().filter(by_hash).collect()
    } else {
        named
    };
    if found.len() > 1 {
        let mut rows: Vec<_> = found
            .iter()
            .take(10)
            .map(|item| format!("{} {}", item.info_hash, item.name))
            .collect();
        rows.sort();
        return Err(Fault::new(
            ErrorKind::Conflict,
            format!("`{name}` means {} items", found.len()),
            rows.join("\n"),
            "Give more digits of the hash",
        ));
    }
    Ok(found.pop())
}

pub(super) fn not_here(name: &str) -> Fault {
    Fault::new(
        ErrorKind::NotFound,
        format!("there is no item `{name}` here"),
        "No item has that name, and no info-hash here begins with it",
        "See what there is:  p2pctl ls   or in the catalogue:  p2pctl search",
    )
}

/// All that are named are found before anything is done to one.
pub(super) async fn resolve(
    daemon: &Arc<Daemon>,
    caller: &Caller,
    which: ItemsRef,
) -> Result<Vec<InfoHash>, Fault> {
    let items = items(daemon, caller).await;
    if which.all {
        return Ok(items.into_iter().map(|item| item.info_hash).collect());
    }
    if which.items.is_empty() {
        return Err(Fault::new(
            ErrorKind::Usage,
            "which items?",
            "None is named, and not `all` either",
            "Give hashes or names, or --all",
        ));
    }
    let mut hashes = Vec::with_capacity(which.items.len());
    for name in &which.items {
        let item = pick(items.clone(), name)?.ok_or_else(|| not_here(name))?;
        if !hashes.contains(&item.info_hash) {
            hashes.push(item.info_hash);
        }
    }
    Ok(hashes)
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
        let items = || {
            vec![
                item(0xab, "big.iso", 1),
                item(0xcd, "abab", 2),
                item(0xef, "big.iso", 3),
            ]
        };
        let found = |name: &str| pick(items(), name).map(|found| found.map(|item| item.size));
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
}
