//! `show`: an item, or an entry of the catalogue, in detail.

use clap::Args;
use jiff::Timestamp;
use p2p_wire::api::{FileEntry, MissingRange};
use p2p_wire::control::{Item, ItemDetail, ItemShow};

use crate::context::Context;
use crate::error::Error;
use crate::human;
use crate::output::{Format, write};
use crate::pieces::piece_lines;
use crate::rows;
use crate::table::Columns;
use crate::text;

/// Arguments of `show`.
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// Hash, prefix of 4 or more digits, name, or owner/share/entry or owner/share/entry@N of the catalogue
    #[arg(value_name = "HASH|NAME")]
    item: String,
    /// Its files
    #[arg(long)]
    files: bool,
    /// The peers it is connected to
    #[arg(long)]
    peers: bool,
    /// Its announce URLs, passkeys masked
    #[arg(long)]
    trackers: bool,
    /// Which pieces are here, and how many peers are known to hold the others
    #[arg(long)]
    pieces: bool,
    /// What happened to it of late
    #[arg(long)]
    events: bool,
    /// Versions of its name in the catalogue
    #[arg(long)]
    versions: bool,
    /// In the catalogue of this tracker
    #[arg(long, value_name = "NAME")]
    tracker: Option<String>,
}

impl Show {
    /// Prints the parts asked for, or the whole in short.
    pub(crate) fn run(self, context: &Context) -> Result<(), Error> {
        let flags = [
            (self.files, "files"),
            (self.peers, "peers"),
            (self.trackers, "trackers"),
            (self.pieces, "pieces"),
            (self.events, "events"),
            (self.versions, "versions"),
        ];
        let parts: Vec<String> = flags
            .iter()
            .filter(|(wanted, _)| *wanted)
            .map(|(_, part)| (*part).to_owned())
            .collect();
        let params = ItemShow {
            item: self.item,
            parts: parts.clone(),
            files_after: None,
            tracker: self.tracker,
        };
        let detail = whole(context, params)?;
        if context.out.format == Format::Json {
            return context.out.json(&detail);
        }
        if parts.is_empty() {
            return summary(context, &detail);
        }
        let now = Timestamp::now();
        for (i, part) in parts.iter().enumerate() {
            if i > 0 {
                write("\n")?;
            }
            if context.human() && parts.len() > 1 {
                context.out.heading(part)?;
            }
            show_part(context, &detail, part, now)?;
        }
        Ok(())
    }
}

/// An item with all its files, which may come in several answers.
fn whole(context: &Context, mut params: ItemShow) -> Result<ItemDetail, Error> {
    let mut client = context.connect()?;
    let mut detail: ItemDetail = client.call("item.show", params.clone())?;
    params.parts = vec!["files".to_owned()];
    while let (Some(next), Some(files)) = (detail.files_next.take(), &mut detail.files) {
        params.files_after = Some(next);
        let more: ItemDetail = client.call("item.show", params.clone())?;
        files.extend(more.files.unwrap_or_default());
        detail.files_next = more.files_next;
    }
    Ok(detail)
}

fn show_part(
    context: &Context,
    detail: &ItemDetail,
    part: &str,
    now: Timestamp,
) -> Result<(), Error> {
    let pieces = match (&detail.item, &detail.catalogue) {
        (Some(item), _) => item.pieces,
        (None, Some(entry)) => entry.pieces,
        (None, None) => 0,
    };
    match part {
        "files" => list(context, part, detail.files.as_deref(), &rows::files()),
        "peers" => list(context, part, detail.peers.as_deref(), &rows::peers(pieces)),
        "trackers" => list(
            context,
            part,
            detail.trackers.as_deref(),
            &rows::item_trackers(),
        ),
        "events" => list(context, part, detail.events.as_deref(), &rows::events()),
        "versions" => list(
            context,
            part,
            detail.versions.as_deref(),
            &rows::entries(now),
        ),
        _ => match &detail.pieces {
            Some(pieces) if context.human() => context.out.lines(&piece_lines(pieces, now)),
            Some(pieces) => context.out.record(pieces, &[]),
            None => list::<MissingRange>(context, part, None, &Columns::new()),
        },
    }
}

fn list<T: serde::Serialize>(
    context: &Context,
    part: &str,
    rows: Option<&[T]>,
    columns: &Columns<'_, T>,
) -> Result<(), Error> {
    match rows {
        Some(rows) if !rows.is_empty() => context.out.list(rows, columns),
        Some(_) => {
            context.out.talk(&format!("No {part}."));
            Ok(())
        }
        None => {
            context
                .out
                .talk(&format!("Nothing is known of its {part}."));
            Ok(())
        }
    }
}

fn summary(context: &Context, detail: &ItemDetail) -> Result<(), Error> {
    let now = Timestamp::now();
    match (&detail.item, &detail.catalogue) {
        (Some(item), catalogue) => {
            let mut labels = item_labels(item, now);
            if let Some(entry) = catalogue {
                labels.push(("Catalogue", catalogue_line(entry, now)));
            }
            context.out.record(item, &labels)
        }
        (None, Some(entry)) => {
            context.out.record(entry, &entry_labels(entry, now))?;
            if context.human() {
                let name = rows::entry_name(entry);
                context
                    .out
                    .talk(&format!("It is not here. Fetch it:  p2pctl fetch {name}"));
            }
            Ok(())
        }
        (None, None) => Err(Error::new(
            p2p_wire::control::ErrorKind::NotFound,
            "p2pd answered with nothing",
            "It knows neither an item nor an entry of that name.",
            "See what there is:  p2pctl ls   p2pctl search",
        )),
    }
}

fn item_labels(item: &Item, now: Timestamp) -> Vec<(&'static str, String)> {
    let state = match &item.reason {
        Some(reason) => format!("{}: {reason}", rows::state(item.state)),
        None => rows::state(item.state).to_owned(),
    };
    let mut labels = vec![
        ("Name", item.name.clone()),
        ("Hash", item.info_hash.to_string()),
        ("State", state),
        (
            "Done",
            format!(
                "{}, {} of {}",
                human::percent(item.done, item.size),
                human::size(item.done),
                human::size(item.size)
            ),
        ),
        (
            "Pieces",
            format!(
                "{} of {}, {} each",
                human::count(item.pieces_done.into()),
                human::count(item.pieces.into()),
                human::size(item.piece_len.into())
            ),
        ),
        (
            "Rates",
            format!(
                "down {}, up {}",
                human::rate(item.down_rate),
                human::rate(item.up_rate)
            ),
        ),
        (
            "Peers",
            format!(
                "{} connected, {} of them complete; {} copies known",
                item.peers,
                item.seeds,
                human::copies(item.copies)
            ),
        ),
        (
            "Moved",
            format!(
                "{} received, {} sent, {} thrown away",
                human::size(item.downloaded),
                human::size(item.uploaded),
                human::size(item.wasted)
            ),
        ),
        ("Path", text::show_path_short(&item.path)),
        ("Added", human::ago(&item.added, now)),
    ];
    if let Some(missing @ 1..) = item.missing {
        let pieces = human::counted(missing.into(), "piece");
        labels.push(("Missing", format!("{pieces} nobody is known to hold")));
    }
    if let Some(eta) = item.eta_s {
        labels.push(("Left", human::seconds(eta)));
    }
    if let Some(completed) = &item.completed {
        labels.push(("Completed", human::ago(completed, now)));
    }
    if let Some(share) = &item.share {
        labels.push(("Share", share.clone()));
    }
    if item.private {
        labels.push(("Private", "peers come from its tracker alone".to_owned()));
    }
    labels
}

fn catalogue_line(entry: &FileEntry, now: Timestamp) -> String {
    format!(
        "{}, published {}, {}, {}",
        rows::entry_name(entry),
        human::ago(&entry.published, now),
        human::counted(entry.seeds.into(), "seed"),
        human::counted(entry.leeches.into(), "leech peer")
    )
}

fn entry_labels(entry: &FileEntry, now: Timestamp) -> Vec<(&'static str, String)> {
    let mut labels = vec![
        ("Name", rows::entry_name(entry)),
        ("Hash", entry.info_hash.to_string()),
        ("State", "in the catalogue, not here".to_owned()),
        (
            "Size",
            format!(
                "{} in {}",
                human::size(entry.size),
                human::counted(entry.files.into(), "file")
            ),
        ),
        (
            "Pieces",
            format!(
                "{}, {} each",
                human::count(entry.pieces.into()),
                human::size(entry.piece_len.into())
            ),
        ),
        (
            "Swarm",
            format!(
                "{}, {}; {} copies known",
                human::counted(entry.seeds.into(), "seed"),
                human::counted(entry.leeches.into(), "leech peer"),
                human::copies(entry.copies)
            ),
        ),
        ("Published", human::ago(&entry.published, now)),
    ];
    if !entry.newest {
        labels.push(("Version", "there is a newer one".to_owned()));
    }
    if !entry.tags.is_empty() {
        labels.push(("Tags", entry.tags.join(", ")));
    }
    labels
}
