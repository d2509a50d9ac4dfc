//! `share`, `unshare`, `rescan`: folders whose content is seeded.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use p2p_wire::api::Visibility;
use p2p_wire::control::{self, ErrorKind, PathText, ShareAdd, ShareProgress, ShareRef};
use serde::de::DeserializeOwned;

use crate::client::Client;
use crate::context::{Context, absolute};
use crate::error::Error;
use crate::failures::Failures;
use crate::follow::{Bars, End, follow};
use crate::human;
use crate::lines::decode;
use crate::rows;
use crate::text;
use crate::units::{self, PieceSize};

/// Arguments of `share`.
#[derive(Debug, Args)]
pub(crate) struct Share {
    /// Folders, or single files
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// What becomes one item: each entry at the top, each file however deep, or the whole folder
    #[arg(long, value_name = "WHAT", default_value = "entry")]
    each: Each,
    /// Name of the share in the catalogue [default: the folder's name]
    #[arg(long, value_name = "N")]
    name: Option<String>,
    /// Join a share of the same name on another machine of your account
    #[arg(long)]
    join: bool,
    /// Publish to this tracker
    #[arg(long, value_name = "T")]
    tracker: Option<String>,
    /// Seed without publishing in the catalogue
    #[arg(long, conflicts_with_all = ["tracker", "join", "visibility"])]
    no_publish: bool,
    /// Leave out what fits
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,
    /// Who sees it in the catalogue: every account, those who know the name, or your account alone
    #[arg(long, value_name = "WHO", default_value = "members")]
    visibility: Seen,
    /// Bytes of a piece: auto, or a power of two such as 4MiB
    #[arg(long, value_name = "SIZE", default_value = "auto", value_parser = units::parse_piece_size)]
    piece_size: PieceSize,
    /// Share what is there now and do not watch for changes
    #[arg(long)]
    once: bool,
    /// Do not wait until everything is hashed and published
    #[arg(long)]
    detach: bool,
}

/// `--each`.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Each {
    Entry,
    File,
    Whole,
}

/// `--visibility`.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Seen {
    Members,
    Unlisted,
    Own,
}

impl Share {
    /// Adds the shares, then waits until all that is there is hashed and published. Ends with the first error, after all are done.
    pub(crate) fn run(self, context: &Context) -> Result<(), Error> {
        if self.paths.len() > 1 && self.name.is_some() {
            return Err(Error::usage(
                "one name for several shares",
                "Every share of an account has a name of its own.",
                "Share them one after the other, each with its --name.",
            ));
        }
        let requests = self
            .paths
            .iter()
            .map(|path| self.request(path, context))
            .collect::<Result<Vec<_>, _>>()?;
        let mut client = match self.detach {
            true => context.connect()?,
            false => context.connect_to_follow()?,
        };
        let mut failures = Failures::new(context);
        let mut shares = Vec::new();
        for request in requests {
            let answer = client.call::<control::Share>("share.add", request);
            shares.extend(failures.begun(answer)?);
        }
        if shares.is_empty() {
            return failures.end();
        }
        let end = match self.detach {
            true => End::Finished,
            false => wait(context, &mut client, &mut shares)?,
        };
        context.out.report(&shares, &rows::shares(), |share| {
            sentence(share, self.no_publish)
        })?;
        for share in &shares {
            tell_left_out(context, share);
        }
        if end == End::Interrupted {
            context.out.talk(
                "Hashing goes on in p2pd. Look:  p2pctl status   stop it:  p2pctl unshare PATH",
            );
            return Err(Error::Quiet(ErrorKind::StillRunning as u8));
        }
        let faults = shares.iter().filter_map(fault);
        faults.for_each(|error| failures.add(error));
        failures.end()
    }

    fn request(&self, path: &Path, context: &Context) -> Result<ShareAdd, Error> {
        if let Err(error) = path.symlink_metadata() {
            let shown = text::show_os(path.as_os_str());
            return Err(Error::file(format!("cannot share {shown}"), &error));
        }
        Ok(ShareAdd {
            path: PathText::from(&*absolute(path)?),
            each: match self.each {
                Each::Entry => control::Each::Entry,
                Each::File => control::Each::File,
                Each::Whole => control::Each::Whole,
            },
            name: self.name.clone(),
            join: self.join,
            tracker: self.tracker.clone(),
            publish: !self.no_publish,
            exclude: self.exclude.clone(),
            visibility: match self.visibility {
                Seen::Members => Visibility::Members,
                Seen::Unlisted => Visibility::Unlisted,
                Seen::Own => Visibility::Own,
            },
            piece_len: self.piece_size.bytes(),
            once: self.once,
            force: context.globals().yes,
        })
    }
}

/// Waits for all; `shares` are then as the daemon last said.
fn wait(
    context: &Context,
    client: &mut Client,
    shares: &mut [control::Share],
) -> Result<End, Error> {
    let refer = |share: &control::Share| {
        serde_json::json!(ShareRef {
            share: Some(share.path.clone()),
        })
    };
    let params = shares.iter().map(refer).collect();
    let bars = Bars::new(context.out.progress(), shares.len());
    let followed = follow(client, "share.wait", params, None, |i, value| {
        let progress: ShareProgress = decode("share.wait", value)?;
        draw(&bars, i, &progress);
        if let Some(slot) = shares.get_mut(i) {
            *slot = progress.share;
        }
        Ok(())
    });
    bars.clear();
    let followed = followed?;
    for (slot, answer) in shares.iter_mut().zip(followed.answers) {
        match answer {
            Some(Ok(value)) => *slot = decode("share.wait", value)?,
            Some(Err(error)) => return Err(Error::from_rpc("share.wait", error)),
            None => {}
        }
    }
    Ok(followed.end)
}

fn draw(bars: &Bars, i: usize, progress: &ShareProgress) {
    let share = &progress.share;
    match &progress.current {
        Some(current) => bars.set(
            i,
            &format!("Hashing {}/{current}", share.name),
            progress.hashed,
            progress.size,
            &speed(progress.hashed, progress.size, progress.rate),
        ),
        None => {
            let rest = match share.pending {
                0 => format!("{} of {} published", share.published, share.items),
                pending => {
                    let pending = human::counted(pending.into(), "file");
                    format!("{}, {pending} to go", share.state)
                }
            };
            bars.set(i, &format!("Sharing {}", share.name), 0, 0, &rest);
        }
    }
}

/// `5.1 GiB/s  ETA 3s`, the latter once there is a rate.
fn speed(hashed: u64, size: u64, rate: u64) -> String {
    let shown = human::rate(rate);
    match size.saturating_sub(hashed).checked_div(rate) {
        Some(eta) => format!("{shown}  ETA {}", human::seconds(eta)),
        None => shown,
    }
}

/// `Sharing /home/ann/Public: 17 items, 2.4 GiB, published to home, watching for changes`.
fn sentence(share: &control::Share, no_publish: bool) -> String {
    let published = match &share.tracker {
        _ if no_publish => "not published".to_owned(),
        None => "not published: no tracker (p2pctl tracker add NAME URL)".to_owned(),
        Some(_) if share.items == 0 => "nothing to publish yet".to_owned(),
        Some(tracker) if share.published >= share.items => format!("published to {tracker}"),
        Some(tracker) => format!(
            "{} of {} published to {tracker}",
            share.published, share.items
        ),
    };
    let state = match (share.state.as_str(), &share.reason) {
        ("watching", _) => "watching for changes".to_owned(),
        ("polling", None) => "looking for changes now and then".to_owned(),
        ("polling", Some(reason)) => format!("looking for changes now and then ({reason})"),
        ("once", _) => "not watched for changes".to_owned(),
        (state, None) => state.to_owned(),
        (state, Some(reason)) => format!("{state} ({reason})"),
    };
    format!(
        "Sharing {}: {}, {}, {published}, {state}",
        text::show_path(&share.path),
        human::counted(share.items.into(), "item"),
        human::size(share.size),
    )
}

fn tell_left_out(context: &Context, share: &control::Share) {
    let parts: Vec<String> = share
        .left_out
        .iter()
        .map(|(reason, number)| format!("{} {reason}", human::count((*number).into())))
        .collect();
    if !parts.is_empty() {
        let path = text::show_path(&share.path);
        context
            .out
            .talk(&format!("Left out of {path}: {}", parts.join(", ")));
    }
}

fn fault(share: &control::Share) -> Option<Error> {
    if !matches!(share.state.as_str(), "error" | "unavailable") {
        return None;
    }
    if share.refused > 0 {
        let path = text::show_path(&share.path);
        return Some(Error::new(
            ErrorKind::Tracker,
            format!("{path} is shared, but not all of it is published"),
            share.reason.clone().unwrap_or_default(),
            format!("When that is mended:  p2pctl publish ITEM, or p2pctl rescan {path}"),
        ));
    }
    Some(Error::new(
        ErrorKind::Failed,
        format!("{} is not shared", text::show_path(&share.path)),
        share.reason.clone().unwrap_or_default(),
        format!(
            "When that is mended:  p2pctl rescan {}",
            text::show_path(&share.path)
        ),
    ))
}

/// Arguments of `unshare`.
#[derive(Debug, Args)]
pub(crate) struct Unshare {
    /// The share's path or name
    #[arg(value_name = "PATH|NAME")]
    share: PathBuf,
}

impl Unshare {
    /// Ends it.
    pub(crate) fn run(self, context: &Context) -> Result<(), Error> {
        let mut client = context.connect()?;
        let share: control::Share = on_share(&mut client, "share.remove", &self.share)?;
        context.out.report(&[share], &rows::shares(), |share| {
            let path = text::show_path(&share.path);
            format!("No longer sharing {path}; its files stay")
        })
    }
}

/// Arguments of `rescan`.
#[derive(Debug, Args)]
pub(crate) struct Rescan {
    /// Paths or names of shares; every share if none is given
    #[arg(value_name = "PATH|NAME")]
    shares: Vec<PathBuf>,
}

impl Rescan {
    /// Starts to look through them.
    pub(crate) fn run(self, context: &Context) -> Result<(), Error> {
        let mut client = context.connect()?;
        let mut shares: Vec<control::Share> = match self.shares.is_empty() {
            true => client.call("share.rescan", ShareRef { share: None })?,
            false => Vec::new(),
        };
        for share in &self.shares {
            let rescanned: Vec<control::Share> = on_share(&mut client, "share.rescan", share)?;
            shares.extend(rescanned);
        }
        context.out.report(&shares, &rows::shares(), |share| {
            format!("Looking through {}", text::show_path(&share.path))
        })?;
        if shares.is_empty() && context.human() {
            context.out.talk("No shares.");
        }
        Ok(())
    }
}

/// Calls a method on a share that is named by path or name: a bare word is a name first, and a path if there is no such name.
fn on_share<R: DeserializeOwned>(
    client: &mut Client,
    method: &str,
    share: &Path,
) -> Result<R, Error> {
    let call = |client: &mut Client, share: PathText| {
        let params = ShareRef { share: Some(share) };
        client.call::<R>(method, params)
    };
    let path = PathText::from(&*absolute(share)?);
    let bare = share.components().count() == 1
        && share
            .file_name()
            .is_some_and(|name| name == share.as_os_str());
    if !bare {
        return call(client, path);
    }
    match call(client, PathText::from(share)) {
        Err(Error::Told(told)) if told.kind == ErrorKind::NotFound && share.exists() => {
            call(client, path)
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::speed;

    #[test]
    fn hashing_tells_how_long_it_takes_once_its_rate_is_known() {
        assert!(!speed(0, 100, 0).contains("ETA"));
        let half = speed(50, 100, 10);
        assert!(half.contains("ETA 5"), "{half}");
    }
}
