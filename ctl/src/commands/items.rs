//! Commands on items that are here: `pause`, `resume`, `announce`, `set`, `mv`, `rm`.

use std::collections::HashMap;
use std::path::PathBuf;

use clap::Args;
use p2p_wire::control::{Item, ItemBatch, ItemMove, ItemRemove, ItemSet, ItemsRef, PathText};

use crate::ask;
use crate::client::Client;
use crate::context::{Context, absolute};
use crate::error::Error;
use crate::human;
use crate::rows::{self, item_name};
use crate::text;

/// Arguments of `pause`, `resume`, `announce`, and with more `verify`.
#[derive(Debug, Args)]
pub(crate) struct Items {
    /// Hashes, prefixes of 4 or more digits, or names
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    items: Vec<String>,
    /// Every item
    #[arg(long)]
    all: bool,
}

/// What is done to them.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    /// `pause`
    Pause,
    /// `resume`
    Resume,
    /// `announce`
    Announce,
    /// `verify`
    Verify,
}

impl Items {
    /// Does it to all at once.
    pub(crate) fn run(self, act: Act, context: &Context) -> Result<(), Error> {
        let (method, done) = match act {
            Act::Pause => ("item.pause", "Paused"),
            Act::Resume => ("item.resume", "Resumed"),
            Act::Announce => ("item.announce", "Announcing"),
            Act::Verify => ("item.verify", "Verifying"),
        };
        let items = self.each(&mut context.connect()?, method)?;
        let prefixes = HashMap::new();
        context
            .out
            .report(&items, &rows::items(&prefixes), |item| {
                format!("{done} {}", item_name(item))
            })?;
        tell_if_none(context, &items);
        Ok(())
    }

    /// Has it done to all, in batches that fit into a line of the protocol.
    pub(crate) fn each(&self, client: &mut Client, method: &str) -> Result<Vec<Item>, Error> {
        let mut done = Vec::new();
        if !self.all {
            for items in self.items.chunks(BATCH) {
                let params = ItemsRef {
                    items: items.to_vec(),
                    ..ItemsRef::default()
                };
                done.extend(client.call::<ItemBatch>(method, params)?.items);
            }
            return Ok(done);
        }
        let mut params = ItemsRef {
            all: true,
            ..ItemsRef::default()
        };
        loop {
            let batch: ItemBatch = client.call(method, params.clone())?;
            done.extend(batch.items);
            params.after = batch.next;
            if params.after.is_none() {
                return Ok(done);
            }
        }
    }
}

/// Items that a request may name.
pub(super) const BATCH: usize = 500;

/// `--all` of none is no error, but said to people.
pub(super) fn tell_if_none(context: &Context, items: &[Item]) {
    if items.is_empty() && context.human() {
        context.out.talk("No items.");
    }
}

/// Arguments of `set`.
#[derive(Debug, Args)]
pub(crate) struct Set {
    /// Hash, prefix of 4 or more digits, or name
    item: String,
    /// down=RATE, up=RATE (none lifts a limit), sequential=true|false, max_peers=N
    #[arg(required = true, value_name = "KEY=VALUE", value_parser = key_value)]
    settings: Vec<(String, String)>,
}

fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("it is not of the form KEY=VALUE".to_owned()),
    }
}

impl Set {
    /// Sets one after the other; the first that is refused ends it, and what was set before is told.
    pub(crate) fn run(self, context: &Context) -> Result<(), Error> {
        let mut client = context.connect()?;
        let mut last = None;
        let mut done = Vec::new();
        for (key, value) in self.settings {
            let said = format!("{key}={value}");
            let params = ItemSet {
                item: self.item.clone(),
                key,
                value,
            };
            last = Some(client.call::<Item>("item.set", params).inspect_err(|_| {
                if !done.is_empty() {
                    context.out.talk(&format!("Set {}", done.join(", ")));
                }
            })?);
            done.push(said);
        }
        let prefixes = HashMap::new();
        let items: Vec<Item> = last.into_iter().collect();
        context.out.report(&items, &rows::items(&prefixes), |item| {
            format!("Set {} of {}", done.join(", "), item_name(item))
        })
    }
}

/// Arguments of `mv`.
#[derive(Debug, Args)]
pub(crate) struct Move {
    /// Hash, prefix of 4 or more digits, or name
    item: String,
    /// An existing folder to move it into
    dir: PathBuf,
}

impl Move {
    /// Moves it.
    pub(crate) fn run(self, context: &Context) -> Result<(), Error> {
        let params = ItemMove {
            item: self.item,
            dir: PathText::from(&*absolute(&self.dir)?),
        };
        let item: Item = context.connect()?.call("item.move", params)?;
        let prefixes = HashMap::new();
        context.out.report(
            std::slice::from_ref(&item),
            &rows::items(&prefixes),
            |item| {
                format!(
                    "Moved {} to {}",
                    item_name(item),
                    text::show_path_short(&item.path)
                )
            },
        )
    }
}

/// Arguments of `rm`.
#[derive(Debug, Args)]
pub(crate) struct Remove {
    /// Hashes, prefixes of 4 or more digits, or names
    #[arg(required = true)]
    items: Vec<String>,
    /// Delete what was fetched, too; never what a share holds
    #[arg(long)]
    delete_data: bool,
}

impl Remove {
    /// Removes them all, after a question if data goes too.
    pub(crate) fn run(self, context: &Context) -> Result<(), Error> {
        let mut client = context.connect()?;
        if self.delete_data {
            let what = human::counted(self.items.len() as u64, "item");
            let names = self.items.join(", ");
            ask::confirm(context, &format!("Delete the data of {what} ({names})?"))?;
        }
        let mut items: Vec<Item> = Vec::new();
        for named in self.items.chunks(BATCH) {
            let params = ItemRemove {
                items: named.to_vec(),
                delete_data: self.delete_data,
            };
            items.extend(client.call::<Vec<Item>>("item.remove", params)?);
        }
        let prefixes = HashMap::new();
        context.out.report(&items, &rows::items(&prefixes), |item| {
            let name = item_name(item);
            let path = text::show_path_short(&item.path);
            match (self.delete_data, &item.share) {
                (true, None) => format!("Removed {name} and its data at {path}"),
                (true, Some(share)) => {
                    format!("Removed {name}; its data belongs to share {share} and stays at {path}")
                }
                (false, _) => format!("Removed {name}; its data stays at {path}"),
            }
        })
    }
}
