//! `ls`: the items.

use clap::Args;
use p2p_wire::InfoHash;
use p2p_wire::control::{Item, ItemList, ItemPage, State};

use crate::client::Client;
use crate::context::Context;
use crate::error::Error;
use crate::rows;

/// Arguments of `ls`.
#[derive(Debug, Args)]
pub(crate) struct Ls {
    /// A state (fetching, seeding, paused, ...), share:NAME, or a part of the name
    filter: Option<String>,
    /// name, size, done, down, up, added or state; with - in front in reverse
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    sort: Option<String>,
}

impl Ls {
    /// Lists all pages. Hashes are shortened to what tells them apart from every item, filtered out or not.
    pub(crate) fn run(self, context: &Context) -> Result<(), Error> {
        let mut client = context.connect()?;
        let filtered = self.filter.is_some();
        let items = all(&mut client, self.filter, self.sort)?;
        let hashes: Vec<InfoHash> = match filtered && context.human() && !items.is_empty() {
            true => hashes(&all(&mut client, None, None)?),
            false => hashes(&items),
        };
        let prefixes = rows::unique_prefixes(&hashes);
        context.out.list(&items, &rows::items(&prefixes))?;
        if context.human() {
            tell_held(context, &items);
        }
        if items.is_empty() && context.human() {
            context.out.talk(match filtered {
                true => "No item fits the filter.",
                false => "No items yet. Begin with  p2pctl share FOLDER  or  p2pctl fetch TARGET",
            });
        }
        Ok(())
    }
}

/// Says of items that gates hold by whom and why; of many only of some.
fn tell_held(context: &Context, items: &[Item]) {
    const MOST: usize = 10;
    let held = items.iter().filter(|item| item.state == State::Held);
    let held: Vec<&Item> = held.collect();
    for item in held.iter().take(MOST) {
        let reason = item.reason.as_deref().unwrap_or_default();
        context
            .out
            .talk(&format!("{} is held: {reason}", rows::item_name(item)));
    }
    if held.len() > MOST {
        let more = held.len() - MOST;
        context
            .out
            .talk(&format!("and {more} more:  p2pctl ls held"));
    }
}

/// Every item that fits, page after page.
pub(crate) fn all(
    client: &mut Client,
    filter: Option<String>,
    sort: Option<String>,
) -> Result<Vec<Item>, Error> {
    let mut items = Vec::new();
    let mut after = None;
    loop {
        let list = ItemList {
            filter: filter.clone(),
            sort: sort.clone(),
            after,
            limit: None,
        };
        let page: ItemPage = client.call("item.list", list)?;
        let none = page.items.is_empty();
        items.extend(page.items);
        after = page.next;
        if after.is_none() || none {
            return Ok(items);
        }
    }
}

fn hashes(items: &[Item]) -> Vec<InfoHash> {
    items.iter().map(|item| item.info_hash).collect()
}
