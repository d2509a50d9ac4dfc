//! `status`: the daemon at a glance.

use p2p_wire::control::{Limits, Share, Status, Tracker};

use crate::context::Context;
use crate::error::Error;
use crate::human;
use crate::output::Format;
use crate::rows;
use crate::text;

/// Asks and prints.
pub(crate) fn run(context: &Context) -> Result<(), Error> {
    let status: Status = context.connect()?.call("status", ())?;
    let labels = labels(&status);
    context.out.record(&status, &labels)?;
    if context.out.format == Format::Human {
        for warning in &status.warnings {
            context.out.talk(&format!("Warning: {warning}"));
        }
    }
    Ok(())
}

fn labels(status: &Status) -> Vec<(&'static str, String)> {
    let mut labels = vec![
        (
            "Daemon",
            format!(
                "{}, {} mode, pid {}, up {}",
                status.server,
                status.mode,
                status.pid,
                human::seconds(status.uptime_s)
            ),
        ),
        ("Items", items(status)),
        (
            "Peers",
            format!(
                "{} connected, port {}",
                human::count(status.peers.into()),
                status.port
            ),
        ),
        (
            "Rates",
            format!(
                "down {}, up {}",
                human::rate(status.down_rate),
                human::rate(status.up_rate)
            ),
        ),
        (
            "Moved",
            format!(
                "{} received, {} sent since the start",
                human::size(status.downloaded),
                human::size(status.uploaded)
            ),
        ),
        ("Limits", limits(&status.limits)),
        ("Fetched to", text::show_path_short(&status.download_dir)),
    ];
    labels.extend(status.shares.iter().map(|share| ("Share", shared(share))));
    labels.extend(status.trackers.iter().map(|t| ("Tracker", tracker(t))));
    labels
}

fn items(status: &Status) -> String {
    let parts = [
        (status.seeding, "seeding"),
        (status.fetching, "fetching"),
        (status.held, "held"),
        (status.paused, "paused"),
        (status.errors, "with an error"),
    ];
    let parts: Vec<String> = parts
        .iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, what)| format!("{} {what}", human::count((*number).into())))
        .collect();
    let all = human::counted(status.items.into(), "item");
    match parts.is_empty() {
        true => all,
        false => format!("{all}: {}", parts.join(", ")),
    }
}

/// Limits in words.
pub(crate) fn limits(limits: &Limits) -> String {
    let one = |limit: Option<u64>| match limit {
        None | Some(0) => "no limit".to_owned(),
        Some(rate) => human::rate(rate),
    };
    format!("down {}, up {}", one(limits.down), one(limits.up))
}

fn shared(share: &Share) -> String {
    let mut line = format!(
        "{}  {}  {}, {}, {}",
        share.name,
        text::show_path_short(&share.path),
        human::counted(share.items.into(), "item"),
        human::size(share.size),
        share.state,
    );
    if let Some(reason) = &share.reason {
        line.push_str(&format!(" ({reason})"));
    }
    if let Some(tracker) = &share.tracker {
        line.push_str(&format!(", {} published to {tracker}", share.published));
    }
    line
}

fn tracker(tracker: &Tracker) -> String {
    let who = match (&tracker.username, &tracker.node) {
        (Some(user), Some(node)) => format!("{user} on {node}"),
        (Some(user), None) => user.clone(),
        (None, _) => "not logged in".to_owned(),
    };
    let mut line = format!(
        "{}  {}  {who}, {}",
        tracker.name,
        tracker.url,
        rows::tracker_state(tracker)
    );
    if tracker.queued > 0 {
        line.push_str(&format!(", {} waiting to be sent", tracker.queued));
    }
    line
}
