//! `link`: ways to hand an item on.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use p2p_wire::control::{EntryRef, Link as Links};

use crate::client::Client;
use crate::commands::ls;
use crate::context::{Context, absolute};
use crate::error::Error;
use crate::files::{self, Overwrite};
use crate::text;

/// Arguments of `link`.
#[derive(Debug, Args)]
pub(crate) struct Link {
    /// Hash, prefix of 4 or more digits, name, or the path of its data
    #[arg(value_name = "HASH|PATH")]
    item: String,
    /// Print the magnet link alone
    #[arg(long)]
    magnet: bool,
    /// Write the .torrent here (- is standard output). It holds your own announce URL, which is a secret: for your other programs, not
    /// for others
    #[arg(long, value_name = "FILE", conflicts_with = "magnet")]
    torrent: Option<PathBuf>,
    /// With the name in the catalogue of this tracker, or your announce URL there
    #[arg(long, value_name = "NAME")]
    tracker: Option<String>,
}

impl Link {
    /// Prints the magnet link and the name in the catalogue, or writes the .torrent.
    pub(crate) fn run(self, context: &Context) -> Result<(), Error> {
        let overwrite = match context.globals().yes {
            true => Overwrite::Yes,
            false => Overwrite::No,
        };
        if let Some(file) = &self.torrent
            && file != Path::new("-")
        {
            files::check_absent(file, overwrite)?;
        }
        let mut client = context.connect()?;
        let item = find(&mut client, &self.item)?;
        if let Some(file) = &self.torrent {
            return write_torrent(context, file, &client.torrent_of(&item, self.tracker)?);
        }
        let tracker = self.tracker;
        let links: Links = client.call("item.link", EntryRef { item, tracker })?;
        if self.magnet && context.out.format != crate::output::Format::Json {
            return context.out.lines(&[links.magnet]);
        }
        let mut labels = vec![("Magnet", links.magnet.clone())];
        labels.extend(links.name.clone().map(|name| ("Catalogue", name)));
        context.out.record(&links, &labels)
    }
}

/// What the daemon calls the item: its hash where `item` is the path of its data, else `item` itself.
fn find(client: &mut Client, item: &str) -> Result<String, Error> {
    let path = Path::new(item);
    if !path.exists() {
        return Ok(item.to_owned());
    }
    let plain = absolute(path)?;
    let real = path.canonicalize().unwrap_or_else(|_| plain.clone());
    let items = ls::all(client, None, None)?;
    let found = items.iter().find(|item| {
        let path = text::to_path(&item.path);
        path == plain || path == real
    });
    Ok(found.map_or_else(|| item.to_owned(), |item| item.info_hash.to_string()))
}

fn write_torrent(context: &Context, file: &Path, bytes: &[u8]) -> Result<(), Error> {
    if file == Path::new("-") {
        let mut stdout = std::io::stdout().lock();
        return stdout
            .write_all(bytes)
            .and_then(|()| stdout.flush())
            .map_err(Error::stdout);
    }
    files::write_whole(file, bytes, 0o600)?;
    let shown = text::show_os(file.as_os_str());
    context.out.talk(&format!(
        "Wrote {shown}. It holds your own announce URL: keep it to yourself."
    ));
    Ok(())
}
