//! `verify`: has the data of items read again, follows that, and says what is bad.

use clap::Args;
use p2p_wire::control::{ErrorKind, Item, State, VerifyProgress, VerifyWait};

use super::fetch::stopped;
use super::items::{Act, BATCH, Items, tell_if_none};
use crate::client::Client;
use crate::context::Context;
use crate::error::Error;
use crate::failures::Failures;
use crate::follow::{Bars, End, follow};
use crate::human;
use crate::lines::decode;
use crate::rows::{self, item_name, short};
use crate::text;

/// Arguments of `verify`.
#[derive(Debug, Args)]
pub(crate) struct Verify {
    #[command(flatten)]
    items: Items,
    /// Do not wait until all is read
    #[arg(long)]
    detach: bool,
}

impl Verify {
    /// Verifies all; ends with `bad data` if a piece of one is bad.
    pub(crate) fn run(self, context: &Context) -> Result<(), Error> {
        if self.detach {
            return self.items.run(Act::Verify, context);
        }
        let mut client = context.connect_to_follow()?;
        let started = self.items.each(&mut client, "item.verify")?;
        tell_if_none(context, &started);
        let Some(verified) = wait(context, &mut client, &started)? else {
            context.out.talk(
                "Verifying goes on in p2pd. Look:  p2pctl ls verifying   stop it:  p2pctl pause HASH",
            );
            return Err(Error::Quiet(ErrorKind::StillRunning as u8));
        };
        let mut failures = Failures::new(context);
        let good: Vec<Item> = match context.human() {
            true => verified
                .iter()
                .filter(|item| is_good(item))
                .cloned()
                .collect(),
            false => verified.clone(),
        };
        context.out.report(&good, &rows::verified(), sentence)?;
        verified
            .iter()
            .filter_map(fault)
            .for_each(|error| failures.add(error));
        failures.end()
    }
}

/// Waits for all of them with a progress line. `None`: Ctrl-C.
fn wait(
    context: &Context,
    client: &mut Client,
    started: &[Item],
) -> Result<Option<Vec<Item>>, Error> {
    let bars = Bars::one(context.out.progress());
    let mut verified = Vec::with_capacity(started.len());
    for items in started.chunks(BATCH) {
        let ended = u32::try_from(verified.len()).unwrap_or(u32::MAX);
        let of = u32::try_from(started.len()).unwrap_or(u32::MAX);
        let draw = |progress: VerifyProgress| {
            let ended = ended.saturating_add(progress.ended);
            draw(
                &bars,
                &VerifyProgress {
                    ended,
                    of,
                    ..progress
                },
            );
        };
        let waited = wait_for(client, items, draw);
        bars.clear();
        match waited? {
            Some(items) => verified.extend(items),
            None => return Ok(None),
        }
    }
    Ok(Some(verified))
}

/// Waits for as many as a request may name.
fn wait_for(
    client: &mut Client,
    items: &[Item],
    draw: impl Fn(VerifyProgress),
) -> Result<Option<Vec<Item>>, Error> {
    let params = VerifyWait {
        items: items.iter().map(|item| item.info_hash).collect(),
    };
    let params = vec![serde_json::json!(params)];
    let followed = follow(client, "verify.wait", params, None, |_, value| {
        draw(decode("verify.wait", value)?);
        Ok(())
    })?;
    match (followed.end, followed.answers.into_iter().next().flatten()) {
        (_, Some(Ok(items))) => decode("verify.wait", items).map(Some),
        (_, Some(Err(error))) => Err(Error::from_rpc("verify.wait", error)),
        (End::Interrupted | End::TimedOut | End::Finished, None) => Ok(None),
    }
}

fn draw(bars: &Bars, progress: &VerifyProgress) {
    let item = &progress.item;
    let rest = match progress.of {
        0..=1 => String::new(),
        of => format!(
            "{} of {}",
            human::count(progress.ended.saturating_add(1).into()),
            human::counted(of.into(), "item")
        ),
    };
    let name = format!("Verifying {}", item.name);
    bars.set(0, &name, item.done, item.size, &rest);
}

fn is_good(item: &Item) -> bool {
    item.bad_pieces == Some(0) && item.state != State::Error
}

/// `Verified: /home/ann/big.iso, 2.4 GiB, every piece is good`.
fn sentence(item: &Item) -> String {
    let outcome = match item.pieces_done == item.pieces {
        true => "every piece is good".to_owned(),
        false => format!(
            "the {} that are here are good",
            human::counted(item.pieces_done.into(), "piece")
        ),
    };
    let (place, size) = (text::show_path_short(&item.path), human::size(item.size));
    format!("Verified: {place}, {size}, {outcome}")
}

/// The error for an item of which a piece is bad, or that was not read to the end.
fn fault(item: &Item) -> Option<Error> {
    let (name, hash) = (item_name(item), short(&item.info_hash));
    let bad = match item.bad_pieces {
        Some(bad @ 1..) => bad,
        Some(0) if item.state != State::Error => return None,
        _ => return Some(stopped(item).unwrap_or_else(|| unknown(&name))),
    };
    let (why, fix) = match (item.state, &item.share) {
        (_, Some(share)) => (
            format!("They are not what was shared; p2pd writes nothing into share {share}, and does not seed the item."),
            "Put the file back as it was, and verify again; or `touch` it, to share it as it is now.".to_owned(),
        ),
        (State::Paused, None) => (
            "They are fetched again when the item goes on.".to_owned(),
            format!("Go on:  p2pctl resume {hash}"),
        ),
        (State::Error, None) => (item.reason.clone().unwrap_or_default(), format!("When that is mended:  p2pctl resume {hash}")),
        (_, None) => (
            "They are fetched again from peers.".to_owned(),
            format!("Follow that:  p2pctl fetch {hash}"),
        ),
    };
    let pieces = human::counted(bad.into(), "piece");
    let of = human::count(item.pieces.into());
    let what = format!("{name}: {pieces} of {of} bad");
    Some(Error::new(ErrorKind::BadData, what, why, fix))
}

fn unknown(name: &str) -> Error {
    let what = format!("{name} was not verified to the end");
    Error::new(ErrorKind::Failed, what, "", "Verify it again.")
}
