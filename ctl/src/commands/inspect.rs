//! `inspect`: what is in a .torrent or magnet link, without a daemon.

use std::path::Path;

use clap::Args;
use p2p_wire::InfoHash;
use p2p_wire::magnet::Magnet;
use p2p_wire::metainfo::Metainfo;
use serde::Serialize;

use crate::context::Context;
use crate::error::Error;
use crate::files;
use crate::human;
use crate::output::{Format, write};
use crate::table::Columns;

/// Arguments of `inspect`.
#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// A .torrent file or a magnet link
    #[arg(value_name = "FILE.torrent|MAGNET")]
    target: String,
}

/// What a .torrent or magnet link says; passkeys are masked.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Inspected {
    #[serde(skip_serializing_if = "Option::is_none")]
    info_hash: Option<InfoHash>,
    name: Option<String>,
    size: Option<u64>,
    piece_len: Option<u32>,
    pieces: Option<u32>,
    private: Option<bool>,
    /// In tiers.
    trackers: Vec<Vec<String>>,
    /// Peers that a magnet link names.
    peers: Vec<String>,
    comment: Option<String>,
    created_by: Option<String>,
    /// RFC 3339.
    created: Option<String>,
    files: Vec<InspectedFile>,
}

#[derive(Debug, Serialize)]
struct InspectedFile {
    path: String,
    size: u64,
    padding: bool,
}

impl Inspect {
    /// Reads and prints.
    pub(crate) fn run(self, context: &Context) -> Result<(), Error> {
        let inspected = if self.target.starts_with("magnet:") {
            let magnet: Magnet = self.target.parse().map_err(|error| {
                Error::usage(
                    "this is no magnet link that can be used",
                    format!("{error}."),
                    "Copy it once more, whole and in quotes.",
                )
            })?;
            Inspected::of_magnet(magnet)
        } else {
            Inspected::of(&files::read_torrent(Path::new(&self.target))?.1)
        };
        context.out.record(&inspected, &labels(&inspected, true))?;
        if context.out.format == Format::Human && inspected.files.len() > 1 {
            write("\n")?;
            context.out.heading("Files")?;
            let columns = Columns::new()
                .left("path", "PATH", |f: &InspectedFile| f.path.clone())
                .right("size", "SIZE", |f| human::size(f.size));
            context.out.list(&inspected.files, &columns)?;
        }
        Ok(())
    }
}

impl Inspected {
    /// Of a .torrent file.
    pub(crate) fn of(metainfo: &Metainfo) -> Self {
        let info = &metainfo.info;
        let mask_all = |tier: &Vec<String>| tier.iter().map(|url| mask(url)).collect();
        let created = metainfo.created.map(|seconds| {
            jiff::Timestamp::from_second(seconds)
                .map_or_else(|_| seconds.to_string(), |time| time.to_string())
        });
        let files = info.files().iter().map(|file| InspectedFile {
            path: file.path.join("/"),
            size: file.len,
            padding: file.padding,
        });
        Self {
            info_hash: Some(info.info_hash()),
            name: Some(info.name().to_owned()),
            size: Some(info.layout().total_len()),
            piece_len: Some(info.layout().piece_len()),
            pieces: Some(info.layout().pieces()),
            private: Some(info.private()),
            trackers: metainfo.announce.iter().map(mask_all).collect(),
            peers: Vec::new(),
            comment: metainfo.comment.clone(),
            created_by: metainfo.created_by.clone(),
            created,
            files: files.collect(),
        }
    }

    fn of_magnet(magnet: Magnet) -> Self {
        Self {
            info_hash: Some(magnet.info_hash),
            name: magnet.name,
            trackers: magnet.trackers.iter().map(|url| vec![mask(url)]).collect(),
            peers: magnet.peers,
            ..Self::default()
        }
    }
}

/// Labels for people; `all` with what is of less use.
pub(crate) fn labels(inspected: &Inspected, all: bool) -> Vec<(&'static str, String)> {
    let mut labels = Vec::new();
    let mut add = |label, value: Option<String>| labels.extend(value.map(|value| (label, value)));
    add("Name", inspected.name.clone());
    add("Hash", inspected.info_hash.map(|hash| hash.to_string()));
    let files = inspected.files.len() as u64;
    let size = inspected.size.map(|size| match files {
        1 => format!("{} ({} bytes)", human::size(size), human::count(size)),
        _ => format!(
            "{} ({} bytes) in {}",
            human::size(size),
            human::count(size),
            human::counted(files, "file")
        ),
    });
    add("Size", size);
    let pieces = inspected.pieces.zip(inspected.piece_len);
    add(
        "Pieces",
        pieces.map(|(pieces, len)| {
            format!(
                "{} of {}",
                human::count(pieces.into()),
                human::size(len.into())
            )
        }),
    );
    let private = inspected.private.filter(|private| *private);
    add(
        "Private",
        private.map(|_| "yes: peers come from its trackers alone".to_owned()),
    );
    for tier in &inspected.trackers {
        add("Tracker", Some(tier.join("  or  ")));
    }
    for peer in &inspected.peers {
        add("Peer", Some(peer.clone()));
    }
    if all {
        add("Comment", inspected.comment.clone());
        add("Created by", inspected.created_by.clone());
        add(
            "Created",
            inspected.created.as_deref().map(human::local_time),
        );
    }
    labels
}

/// A URL without its secrets: a user's name and password, parts of the path and values of the query that may be a passkey, which is
/// 16 or more letters, digits, `-`, `_`, `.` or `~`.
fn mask(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, tail) = rest.split_at(end);
    let host = match host.rsplit_once('@') {
        Some((_, host)) => format!("***@{host}"),
        None => host.to_owned(),
    };
    let mut masked = format!("{scheme}://{host}");
    for part in tail.split_inclusive(['/', '?', '#', '&', '=']) {
        let word = part.trim_end_matches(['/', '?', '#', '&', '=']);
        match secret(word) {
            true => masked.push_str(&format!("***{}", &part[word.len()..])),
            false => masked.push_str(part),
        }
    }
    masked
}

fn secret(word: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~');
    word.len() >= 16 && word.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_in_announce_urls_are_masked() {
        for (url, shown) in [
            (
                "http://nas:6969/announce/0123456789abcdef0123/announce",
                "http://nas:6969/announce/***/announce",
            ),
            (
                "http://nas:6969/abcdefghijklmnop/announce",
                "http://nas:6969/***/announce",
            ),
            (
                "https://t/ann?passkey=ZZZZZZZZZZZZZZZZ1&x=1",
                "https://t/ann?passkey=***&x=1",
            ),
            ("http://ann:pw@t/announce", "http://***@t/announce"),
            (
                "udp://tracker.example.org:6969/announce",
                "udp://tracker.example.org:6969/announce",
            ),
        ] {
            assert_eq!(mask(url), shown);
        }
    }
}
