//! Lists of items: `item.list`, in pages that fit into a line.

use std::cmp::Ordering;
use std::sync::Arc;

use p2p_wire::control::{ErrorKind, ItemList, ItemPage, PathText, State};

use super::Daemon;
use super::caller::Caller;
use super::lookup::{self, MIN_PREFIX};
use crate::Fault;
use crate::engine::Glance;

/// Items on a page at most.
const PAGE: u32 = 1_000;

/// Bytes of names, paths and reasons on a page, about: a line has 4 MiB, and a byte may take six in JSON.
const PAGE_TEXT: usize = 512 * 1024;

/// `item.list`.
pub(super) async fn list(
    daemon: &Arc<Daemon>,
    caller: &Caller,
    list: ItemList,
) -> Result<ItemPage, Fault> {
    let whose = caller.whose();
    let listed = daemon
        .engine
        .survey(move |all| page(lookup::visible(all.iter(), whose), &list));
    listed
        .await
        .unwrap_or_else(|| Err(daemon.stopping("item.list")))
}

/// A page: only what is on it is put in order, and made into items.
fn page<'a>(all: impl Iterator<Item = Glance<'a>>, list: &ItemList) -> Result<ItemPage, Fault> {
    let filter = list.filter.as_deref().filter(|filter| !filter.is_empty());
    let filter = filter.map(Filter::new);
    let order = Order::new(list.sort.as_deref().unwrap_or("name"))?;
    let start = usize::try_from(list.after.unwrap_or(0)).unwrap_or(usize::MAX);
    let limit = list.limit.unwrap_or(PAGE).clamp(1, PAGE) as usize;
    let mut total = 0;
    let let_through = all
        .filter(|one| filter.as_ref().is_none_or(|filter| filter.lets(one)))
        .inspect(|_| total += 1);
    let mut items = first(let_through, start.saturating_add(limit), &order);
    items.drain(..start.min(items.len()));
    let mut page = Vec::with_capacity(items.len());
    let mut text = 0;
    for one in items {
        let item = one.item();
        text += item.name.len() + path_len(&item.path) + item.reason.as_deref().map_or(0, str::len);
        if text > PAGE_TEXT && !page.is_empty() {
            break;
        }
        page.push(item);
    }
    let end = start.saturating_add(page.len());
    Ok(ItemPage {
        items: page,
        next: (end < total).then_some(end as u64),
    })
}

/// The first `wanted` in this order, in order. Of many, most are compared once: with the last of those that are the first so far.
fn first<'a>(
    all: impl Iterator<Item = Glance<'a>>,
    wanted: usize,
    order: &Order,
) -> Vec<Glance<'a>> {
    let mut kept: Vec<Glance<'a>> = Vec::new();
    let mut last: Option<Glance<'a>> = None;
    for one in all {
        if last.is_some_and(|last| order.compare(&one, &last).is_gt()) {
            continue;
        }
        kept.push(one);
        if kept.len() >= wanted.saturating_mul(2) {
            let (_, nth, _) = kept.select_nth_unstable_by(wanted - 1, |a, b| order.compare(a, b));
            last = Some(*nth);
            kept.truncate(wanted);
        }
    }
    kept.sort_unstable_by(|a, b| order.compare(a, b));
    kept.truncate(wanted);
    kept
}

fn path_len(path: &PathText) -> usize {
    match path {
        PathText::Text(text) => text.len(),
        PathText::Raw { bytes } => bytes.len(),
    }
}

/// A state's name, `share:NAME`, or a part of the name in any case, or the beginning of the hash.
enum Filter {
    Share(String),
    State(State),
    Part(String),
}

impl Filter {
    fn new(text: &str) -> Self {
        if let Some(share) = text.strip_prefix("share:") {
            return Self::Share(share.to_owned());
        }
        let text = text.to_lowercase();
        match state_named(&text) {
            Some(state) => Self::State(state),
            None => Self::Part(text),
        }
    }

    fn lets(&self, one: &Glance<'_>) -> bool {
        match self {
            Self::Share(share) => one.share() == Some(share),
            Self::State(state) => one.state() == *state,
            Self::Part(text) => {
                one.name().to_lowercase().contains(text)
                    || text.len() >= MIN_PREFIX && one.info_hash.to_string().starts_with(text)
            }
        }
    }
}

fn state_named(name: &str) -> Option<State> {
    serde_json::from_value(serde_json::Value::String(name.to_owned())).ok()
}

/// The order of a list.
struct Order {
    key: Key,
    reverse: bool,
}

enum Key {
    Name,
    Size,
    Done,
    Down,
    Up,
    Added,
    State,
}

impl Order {
    fn new(text: &str) -> Result<Self, Fault> {
        let (reverse, name) = match text.strip_prefix('-') {
            Some(name) => (true, name),
            None => (false, text),
        };
        let key = match name {
            "name" => Key::Name,
            "size" => Key::Size,
            "done" => Key::Done,
            "down" => Key::Down,
            "up" => Key::Up,
            "added" => Key::Added,
            "state" => Key::State,
            _ => {
                return Err(Fault::new(
                    ErrorKind::Usage,
                    format!("items cannot be sorted by `{name}`"),
                    "There is no such key.",
                    "Take one of name, size, done, down, up, added and state; -KEY for the other way round.",
                ));
            }
        };
        Ok(Self { key, reverse })
    }

    fn compare(&self, a: &Glance<'_>, b: &Glance<'_>) -> Ordering {
        let share = |one: &Glance<'_>| match one.size() {
            0 => 0.0,
            size => one.done() as f64 / size as f64,
        };
        let by_key = match self.key {
            Key::Name => Ordering::Equal,
            Key::Size => a.size().cmp(&b.size()),
            Key::Done => share(a).total_cmp(&share(b)),
            Key::Down => a.rates().0.cmp(&b.rates().0),
            Key::Up => a.rates().1.cmp(&b.rates().1),
            Key::Added => a.added().cmp(&b.added()),
            Key::State => (a.state() as u8).cmp(&(b.state() as u8)),
        };
        // Equal ones by name and hash, so that pages fit together.
        let order = by_key
            .then_with(|| a.name().cmp(b.name()))
            .then_with(|| a.info_hash.cmp(&b.info_hash));
        match self.reverse {
            true => order.reverse(),
            false => order,
        }
    }
}

#[cfg(test)]
mod tests {
    use p2p_wire::control::Item;
    use proptest::prelude::*;

    use super::super::lookup::sample as item;
    use super::*;

    #[test]
    fn lists_are_filtered_and_sorted() {
        let a = item(1, "Alpha", 5);
        for (filter, matching) in [
            ("seeding", true),
            ("fetching", false),
            ("share:Public", true),
            ("share:Other", false),
            ("LPH", true),
            ("0101", true),
            ("0202", false),
        ] {
            let lets = Filter::new(filter).lets(&Glance::from(&a));
            assert_eq!(lets, matching, "{filter}");
        }
        let items = [item(2, "b", 1), item(1, "b", 3), item(3, "a", 2)];
        let sorted = |key: &str| {
            let list = ItemList {
                sort: Some(key.into()),
                ..ItemList::default()
            };
            let page = page(items.iter().map(Glance::from), &list);
            page.map(|page| page.items.iter().map(|item| item.size).collect::<Vec<_>>())
        };
        assert_eq!(sorted("name"), Ok(vec![2, 3, 1]));
        assert_eq!(sorted("-name"), Ok(vec![1, 3, 2]));
        assert_eq!(sorted("size"), Ok(vec![1, 2, 3]));
        assert_eq!(sorted("-size"), Ok(vec![3, 2, 1]));
        assert_eq!(sorted("done"), Ok(vec![2, 3, 1]), "equal ones by name");
        assert!(sorted("colour").is_err());
    }

    /// The sizes on each page.
    fn pages(items: &[Item], limit: u32) -> Vec<Vec<u64>> {
        let mut list = ItemList {
            limit: Some(limit),
            ..ItemList::default()
        };
        let mut pages = Vec::new();
        loop {
            let page = page(items.iter().map(Glance::from), &list).unwrap();
            pages.push(page.items.iter().map(|item| item.size).collect());
            list.after = page.next;
            if list.after.is_none() {
                return pages;
            }
        }
    }

    #[test]
    fn pages_follow_each_other_in_order() {
        let name = |n: u8| format!("{:02}", 99 - n);
        let items: Vec<Item> = (0..7).map(|n| item(n, &name(n), n.into())).collect();
        assert_eq!(pages(&items, 3), [vec![6, 5, 4], vec![3, 2, 1], vec![0]]);
        assert_eq!(pages(&items, 7), [vec![6, 5, 4, 3, 2, 1, 0]]);
        assert_eq!(pages(&[], 3), [Vec::<u64>::new()]);
    }

    #[test]
    fn a_page_of_long_paths_fits_into_a_line() {
        let long = |n: u8| Item {
            path: PathText::Text("\u{1}".repeat(4_096)),
            ..item(n, &"\u{1}".repeat(255), n.into())
        };
        let items: Vec<Item> = (0..=255).map(long).collect();
        let list = ItemList::default();
        let first = page(items.iter().map(Glance::from), &list).unwrap();
        let line = serde_json::to_string(&first).unwrap();
        assert!(line.len() < p2p_wire::control::MAX_LINE, "{}", line.len());
        assert_eq!(pages(&items, 1_000).concat().len(), 256);
    }

    proptest! {
        #[test]
        fn the_first_are_those_of_a_full_sort(
            sizes in prop::collection::vec(0..20u64, 0..60),
            wanted in 1..20usize,
            key in prop::sample::select(vec!["name", "-name", "size", "-size"]),
        ) {
            let hashes = 0..=u8::MAX;
            let items = sizes.into_iter().zip(hashes);
            let items: Vec<Item> = items.map(|(size, hash)| item(hash, &(size % 7).to_string(), size)).collect();
            let order = Order::new(key).unwrap();
            let first = first(items.iter().map(Glance::from), wanted, &order);
            let mut sorted: Vec<Glance<'_>> = items.iter().map(Glance::from).collect();
            sorted.sort_by(|a, b| order.compare(a, b));
            sorted.truncate(wanted);
            let hashes = |all: &[Glance<'_>]| -> Vec<_> { all.iter().map(|one| one.info_hash).collect() };
            prop_assert_eq!(hashes(&first), hashes(&sorted));
        }
    }
}
