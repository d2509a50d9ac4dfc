//! `fetch`: adds items and follows them until they are complete.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use jiff::Timestamp;
use p2p_wire::control::{
    ErrorKind, FetchAdd, FetchAdded, Item, ItemDetail, ItemRef, ItemShow, PathText, State,
};

use crate::client::Client;
use crate::context::{Context, absolute};
use crate::error::Error;
use crate::failures::Failures;
use crate::follow::{Bars, End, follow};
use crate::human;
use crate::lines::decode;
use crate::pieces::missing_in_short;
use crate::rows::{self, item_name, short};
use crate::target::{Given, expand};
use crate::text;
use crate::units;

/// Arguments of `fetch`.
#[derive(Debug, Args)]
pub(crate) struct Fetch {
    /// Info-hash or a prefix of 4 or more digits of a known one, owner/share/entry or owner/share/entry@N, magnet link, FILE.torrent, http(s) URL of a
    /// .torrent, or - to read a .torrent or targets, one a line, from standard input
    #[arg(required = true, value_name = "TARGET")]
    targets: Vec<String>,
    /// Put it into this folder
    #[arg(short, long = "output", value_name = "DIR")]
    output: Option<PathBuf>,
    /// Use the data that is here: it is verified in place, and what lacks is fetched
    #[arg(long, value_name = "PATH", conflicts_with = "output")]
    data: Option<PathBuf>,
    /// Fetch only the files that fit
    #[arg(long, value_name = "GLOB")]
    only: Vec<String>,
    /// Fetch the pieces in order
    #[arg(long)]
    sequential: bool,
    /// Try this peer, too
    #[arg(long = "peer", value_name = "HOST:PORT", value_parser = host_port)]
    peers: Vec<String>,
    /// Fetch from this peer alone: a node's name, account/node, or HOST:PORT
    #[arg(long, value_name = "NODE|HOST:PORT", conflicts_with = "peers")]
    from: Option<String>,
    /// Look in the catalogue of this tracker
    #[arg(long, value_name = "NAME")]
    tracker: Option<String>,
    /// Do not wait until it is complete
    #[arg(long)]
    detach: bool,
    /// Wait so long at most; the fetch goes on afterwards
    #[arg(long, value_name = "DUR", value_parser = units::parse_duration, conflicts_with = "detach")]
    timeout: Option<Duration>,
}

fn host_port(text: &str) -> Result<String, String> {
    let port = text
        .rsplit_once(':')
        .map(|(host, port)| (host, port.parse::<u16>()));
    match port {
        Some((host, Ok(1..))) if !host.is_empty() => Ok(text.to_owned()),
        _ => Err("it is not of the form HOST:PORT, such as nas1:6881 or [fd00::1]:6881".to_owned()),
    }
}

impl Fetch {
    /// Adds every target, then follows those that could be added. Ends with the first error, after all are done.
    pub(crate) fn run(self, context: &Context) -> Result<(), Error> {
        let targets = expand(&self.targets)?;
        let requests = targets
            .into_iter()
            .map(|target| self.request(target))
            .collect::<Result<Vec<_>, _>>()?;
        let began = Instant::now();
        let deadline = self.timeout.and_then(|wait| began.checked_add(wait));
        let mut client = match self.detach {
            true => context.connect()?,
            false => context.connect_to_follow()?,
        };
        let mut failures = Failures::new(context);
        let mut added = Vec::new();
        for (torrent, request) in requests {
            if let Some(bytes) = torrent {
                client.send_torrent(&bytes)?;
            }
            let answer = client.call::<FetchAdded>("fetch.add", request);
            let one = failures.begun(answer)?;
            if let Some(one) = one.as_ref().filter(|one| one.only != self.only) {
                tell_only(context, one);
            }
            added.extend(one);
        }
        if self.detach {
            let items: Vec<Item> = added.iter().map(|one| one.item.clone()).collect();
            context.out.report(&items, &rows::fetched(), |item| {
                format!("Fetching {} to {}", item_name(item), place(item))
            })?;
        } else {
            follow_items(context, &mut client, added, deadline, began, &mut failures)?;
        }
        failures.end()
    }

    /// The request for a target, and the .torrent that is to be sent before it.
    fn request(&self, target: Given) -> Result<(Option<Vec<u8>>, FetchAdd), Error> {
        let (target, torrent) = match target {
            Given::Torrent(bytes) => (None, Some(bytes)),
            Given::Named(name) => (Some(name), None),
        };
        let path = |path: &Option<PathBuf>| -> Result<Option<PathText>, Error> {
            let wire = |path: &PathBuf| Ok(PathText::from(&*absolute(path)?));
            path.as_ref().map(wire).transpose()
        };
        let add = FetchAdd {
            target,
            torrent: torrent.is_some(),
            dir: path(&self.output)?,
            data: path(&self.data)?,
            only: self.only.clone(),
            sequential: self.sequential,
            peers: self.peers.clone(),
            from: self.from.clone(),
            tracker: self.tracker.clone(),
        };
        Ok((torrent, add))
    }
}

/// Says which files are fetched of an item that was here, where that is not what was asked for now.
fn tell_only(context: &Context, added: &FetchAdded) {
    if added.only.is_empty() {
        return;
    }
    let (name, hash) = (item_name(&added.item), short(&added.item.info_hash));
    context.out.talk(&format!(
        "{name} was begun with --only {}: its other files are not fetched. See them:  p2pctl show {hash} --files",
        added.only.join(" --only ")
    ));
}

/// Waits for items with a progress line each, and says how each ended.
fn follow_items(
    context: &Context,
    client: &mut Client,
    added: Vec<FetchAdded>,
    deadline: Option<Instant>,
    began: Instant,
    failures: &mut Failures<'_>,
) -> Result<(), Error> {
    let were_here: Vec<bool> = added.iter().map(|one| complete(&one.item)).collect();
    let mut items: Vec<Item> = added.into_iter().map(|one| one.item).collect();
    let params = items
        .iter()
        .map(|item| serde_json::json!(wait_for(item)))
        .collect();
    let bars = Bars::new(context.out.progress(), items.len());
    let mut told: Vec<Option<String>> = vec![None; items.len()];
    let followed = follow(client, "item.wait", params, deadline, |i, value| {
        let item: Item = decode("item.wait", value)?;
        draw(&bars, i, &item);
        if let Some(told) = told.get_mut(i)
            && !context.out.progress()
            && *told != item.reason
        {
            if let Some(reason) = &item.reason {
                context.out.talk(&format!("{}: {reason}", item_name(&item)));
            }
            told.clone_from(&item.reason);
        }
        if let Some(slot) = items.get_mut(i) {
            *slot = item;
        }
        Ok(())
    });
    bars.clear();
    let followed = followed?;
    for (slot, answer) in items.iter_mut().zip(followed.answers) {
        match answer {
            Some(Ok(value)) => {
                *slot = decode("item.wait", value)?;
                stopped(slot).into_iter().for_each(|e| failures.add(e));
            }
            Some(Err(error)) => failures.add(Error::from_rpc("item.wait", error)),
            None => {}
        }
    }
    let here = |item: &Item| {
        let found = items.iter().position(|i| i.info_hash == item.info_hash);
        found
            .and_then(|i| were_here.get(i).copied())
            .unwrap_or(false)
    };
    tell_ends(context, &items, began, here)?;
    let running: Vec<&Item> = items.iter().filter(|item| runs(item)).collect();
    match followed.end {
        End::Finished => {}
        End::Interrupted => {
            left_running(context, &running);
            failures.end_with(ErrorKind::StillRunning);
        }
        End::TimedOut => {
            let lacking = lacking(client, &running);
            failures.add(timed_out(&running, lacking, began));
        }
    }
    Ok(())
}

/// One row for each item; for people a sentence for those that are complete.
fn tell_ends(
    context: &Context,
    items: &[Item],
    began: Instant,
    was_here: impl Fn(&Item) -> bool,
) -> Result<(), Error> {
    let done: Vec<Item> = match context.human() {
        true => items
            .iter()
            .filter(|item| complete(item))
            .cloned()
            .collect(),
        false => items.to_vec(),
    };
    context.out.report(&done, &rows::fetched(), |item| {
        let (place, size) = (place(item), human::size(item.size));
        match was_here(item) {
            true => format!("Already here: {place}, {size}, complete"),
            false => format!(
                "Done: {place}, {size} in {}, every piece verified",
                human::seconds(began.elapsed().as_secs())
            ),
        }
    })
}

fn wait_for(item: &Item) -> ItemRef {
    ItemRef {
        item: item.info_hash.to_string(),
    }
}

fn complete(item: &Item) -> bool {
    item.state == State::Seeding
}

fn runs(item: &Item) -> bool {
    matches!(
        item.state,
        State::Metadata | State::Verifying | State::Fetching | State::Held
    )
}

/// The error for an item that stopped before it was complete.
pub(super) fn stopped(item: &Item) -> Option<Error> {
    let name = item_name(item);
    let hash = short(&item.info_hash);
    match item.state {
        State::Error => {
            let kind = item.error_kind.unwrap_or(ErrorKind::Failed);
            Some(Error::new(
                kind,
                format!("{name} stopped"),
                item.reason.clone().unwrap_or_default(),
                mend(kind, &hash.to_string()),
            ))
        }
        State::Held => item.error_kind.map(|kind| {
            Error::new(
                kind,
                format!("{name} is held"),
                item.reason.clone().unwrap_or_default(),
                format!("Ask again:  p2pctl resume {hash}   throw it away:  p2pctl rm --delete-data {hash}"),
            )
        }),
        State::Paused => Some(Error::new(
            ErrorKind::Failed,
            format!("{name} is paused"),
            format!("{} are here.", human::percent(item.done, item.size)),
            format!("Go on:  p2pctl resume {hash}   and  p2pctl fetch {hash}  to follow"),
        )),
        _ => None,
    }
}

/// What to do about an item that a fault stopped.
fn mend(kind: ErrorKind, hash: &str) -> String {
    match kind {
        ErrorKind::Disk => format!(
            "If the disk is full, p2pd goes on by itself when there is space. Otherwise mend it, then:  p2pctl resume {hash}"
        ),
        ErrorKind::BadData => {
            format!("Read it again, and fetch what differs:  p2pctl verify {hash}")
        }
        _ => format!("When that is mended:  p2pctl resume {hash}"),
    }
}

/// Which pieces nobody is known to hold, of the first item that lacks some.
fn lacking(client: &mut Client, running: &[&Item]) -> Option<String> {
    let item = running.iter().find(|item| item.missing > Some(0))?;
    let show = ItemShow {
        item: item.info_hash.to_string(),
        parts: vec!["pieces".to_owned()],
        files_after: None,
        tracker: None,
    };
    let detail: ItemDetail = client.call("item.show", show).ok()?;
    missing_in_short(&detail.pieces?, &item_name(item), Timestamp::now())
}

fn timed_out(running: &[&Item], lacking: Option<String>, began: Instant) -> Error {
    let names: Vec<String> = running.iter().map(|item| item_name(item)).collect();
    let reasons: Vec<&str> = running.iter().filter_map(|i| i.reason.as_deref()).collect();
    let why = match (lacking, reasons.first()) {
        (Some(lacking), _) => format!("The fetch goes on in p2pd; {lacking}."),
        (None, Some(reason)) => format!("The fetch goes on in p2pd; it waits: {reason}."),
        (None, None) => "The fetch goes on in p2pd.".to_owned(),
    };
    Error::new(
        ErrorKind::TimedOut,
        format!(
            "not complete after {}: {}",
            human::seconds(began.elapsed().as_secs()),
            names.join(", ")
        ),
        why,
        "Follow it again with the same command, or look:  p2pctl ls fetching",
    )
}

fn draw(bars: &Bars, i: usize, item: &Item) {
    let mut rest = Vec::new();
    match item.state {
        State::Metadata => rest.push("asks peers what it is".to_owned()),
        State::Verifying => rest.push("verifying what is here".to_owned()),
        _ if item.down_rate > 0 => rest.push(human::rate(item.down_rate)),
        _ => {}
    }
    if item.peers > 0 {
        rest.push(format!(
            "from {}",
            human::counted(item.peers.into(), "peer")
        ));
    }
    match &item.reason {
        Some(reason) => rest.push(format!("waits: {reason}")),
        None => rest.extend(item.eta_s.map(|eta| format!("ETA {}", human::seconds(eta)))),
    }
    if let Some(missing @ 1..) = item.missing {
        rest.push(format!(
            "{} nobody is known to hold: p2pctl show {} --pieces",
            human::counted(missing.into(), "piece"),
            short(&item.info_hash)
        ));
    }
    bars.set(i, &item.name, item.done, item.size, &rest.join("  "));
}

fn place(item: &Item) -> String {
    text::show_path_short(&item.path)
}

/// Ctrl-C: says what goes on, and how to come back to it.
fn left_running(context: &Context, running: &[&Item]) {
    for item in running {
        let hash = short(&item.info_hash);
        context.out.talk(&format!(
            "{} goes on in p2pd. Follow it:  p2pctl fetch {hash}   stop it:  p2pctl pause {hash}",
            item_name(item)
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_has_a_host_and_a_port() {
        assert!(host_port("nas1:6881").is_ok() && host_port("[::1]:1").is_ok());
        for wrong in ["nas1", "nas1:", ":1", "nas1:0", "nas1:70000"] {
            assert!(host_port(wrong).is_err(), "{wrong}");
        }
    }
}
