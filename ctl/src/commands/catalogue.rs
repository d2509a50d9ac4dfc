//! `publish`, `unpublish`, `search`, `online`: what the tracker knows.

use clap::Args;
use jiff::Timestamp;
use p2p_wire::api::{FileEntry, Node, Page};
use p2p_wire::control::{self, EntryRef, PublishItem, TrackerRef};
use std::path::Path;

use crate::context::Context;
use crate::error::Error;
use crate::files;
use crate::output::Format;
use crate::rows;

/// Arguments of `publish`.
#[derive(Debug, Args)]
pub(crate) struct Publish {
    /// An item (hash, prefix of 4 or more digits, or name), or a .torrent file
    #[arg(value_name = "HASH|FILE.torrent")]
    item: String,
    /// Name of the entry in the catalogue [default: the torrent's name]
    #[arg(long, value_name = "N")]
    name: Option<String>,
    /// A tag to find it by
    #[arg(long = "tag", value_name = "T")]
    tags: Vec<String>,
    /// Publish at this tracker
    #[arg(long, value_name = "NAME")]
    tracker: Option<String>,
}

impl Publish {
    /// Publishes it.
    pub(crate) fn run(self, context: &Context) -> Result<(), Error> {
        let is_file = self.item.to_ascii_lowercase().ends_with(".torrent");
        let (item, torrent) = match is_file {
            true => {
                let (bytes, _) = files::read_torrent(Path::new(&self.item))?;
                (None, Some(bytes))
            }
            false => (Some(self.item), None),
        };
        let params = PublishItem {
            item,
            torrent: torrent.is_some(),
            name: self.name,
            tags: self.tags,
            tracker: self.tracker,
        };
        let mut client = context.connect()?;
        if let Some(bytes) = torrent {
            client.send_torrent(&bytes)?;
        }
        let entry: FileEntry = client.call("catalogue.publish", params)?;
        let columns = rows::entries(Timestamp::now());
        context.out.report(&[entry], &columns, |entry| {
            format!("Published as {}", rows::entry_name(entry))
        })
    }
}

/// Arguments of `unpublish`.
#[derive(Debug, Args)]
pub(crate) struct Unpublish {
    /// Hash, prefix of 4 or more digits, or name
    #[arg(value_name = "HASH")]
    item: String,
    /// From the catalogue of this tracker
    #[arg(long, value_name = "NAME")]
    tracker: Option<String>,
}

impl Unpublish {
    /// Takes it out.
    pub(crate) fn run(self, context: &Context) -> Result<(), Error> {
        let params = EntryRef {
            item: self.item.clone(),
            tracker: self.tracker,
        };
        let done: serde_json::Value = context.connect()?.call("catalogue.unpublish", params)?;
        if context.out.format == Format::Json {
            return context.out.json(&done);
        }
        context
            .out
            .talk(&format!("{} is no longer in the catalogue", self.item));
        Ok(())
    }
}

/// Arguments of `search`.
#[derive(Debug, Args)]
pub(crate) struct Search {
    /// Words of the name; everything if none is given
    text: Vec<String>,
    /// Of this account alone
    #[arg(long, value_name = "U")]
    owner: Option<String>,
    /// In the catalogue of this tracker
    #[arg(long, value_name = "NAME")]
    tracker: Option<String>,
}

impl Search {
    /// Lists what is found, page after page.
    pub(crate) fn run(self, context: &Context) -> Result<(), Error> {
        let mut client = context.connect()?;
        let text = Some(self.text.join(" ")).filter(|text| !text.is_empty());
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let params = control::Search {
                text: text.clone(),
                owner: self.owner.clone(),
                after,
                tracker: self.tracker.clone(),
            };
            let page: Page<FileEntry> = client.call("catalogue.search", params)?;
            let none = page.items.is_empty();
            found.extend(page.items);
            after = page.next;
            if after.is_none() || none {
                break;
            }
        }
        context.out.list(&found, &rows::entries(Timestamp::now()))?;
        if found.is_empty() && context.human() {
            context.out.talk("Nothing found.");
        } else if context.human() {
            context
                .out
                .talk("Fetch one:  p2pctl fetch OWNER/SHARE/ENTRY");
        }
        Ok(())
    }
}

/// Arguments of `online`.
#[derive(Debug, Args)]
pub(crate) struct Online {
    /// At this tracker
    #[arg(long, value_name = "NAME")]
    tracker: Option<String>,
}

impl Online {
    /// Lists the machines.
    pub(crate) fn run(self, context: &Context) -> Result<(), Error> {
        let params = TrackerRef {
            tracker: self.tracker,
        };
        let nodes: Vec<Node> = context.connect()?.call("catalogue.nodes", params)?;
        context.out.list(&nodes, &rows::nodes(Timestamp::now()))?;
        if nodes.is_empty() && context.human() {
            context.out.talk("No machines.");
        }
        Ok(())
    }
}
