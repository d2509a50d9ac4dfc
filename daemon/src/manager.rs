//! What the service manager shows of a p2pd that runs: how many items do what.
//!
//! They are counted when something happened, not by the clock: an idle p2pd stays idle, however many items it holds.

use std::sync::Arc;
use std::time::Duration;

use p2p_wire::control::State;
use tokio::sync::broadcast::error::RecvError;

use crate::control::{Counts, Daemon};

/// From something that happened until items are counted: things come together.
const PAUSE: Duration = Duration::from_secs(2);

/// Tells by `tell` how many items do what, at first and when it has changed, until it is dropped. What is told while there are none is known.
pub(crate) async fn show_items(daemon: Arc<Daemon>, tell: impl Fn(&str)) {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return;
    }
    let mut shown = text(daemon.engine.port(), &Counts::default());
    let (_, mut happened) = daemon.events.subscribe(u64::MAX);
    loop {
        let counts = Counts::of(&daemon.engine, None).await;
        let now = text(daemon.engine.port(), &counts);
        if now != shown {
            tell(&now);
            shown = now;
        }
        if let Err(RecvError::Closed) = happened.recv().await {
            return;
        }
        tokio::time::sleep(PAUSE).await;
        // What came meanwhile is counted next.
        happened = happened.resubscribe();
    }
}

/// One line for people.
pub(crate) fn text(port: u16, counts: &Counts) -> String {
    let listening = format!("Listening for peers on port {port}");
    let numbers = [
        (counts.fetching(), "fetching"),
        (counts.tally.count(State::Seeding), "seeding"),
        (counts.tally.count(State::Verifying), "verifying"),
        (counts.tally.count(State::Held), "held"),
        (counts.tally.count(State::Paused), "paused"),
        (counts.tally.count(State::Error), "in error"),
    ];
    let numbers = numbers.into_iter().filter(|(number, _)| *number > 0);
    let numbers: Vec<String> = numbers
        .map(|(number, doing)| format!("{number} {doing}"))
        .collect();
    match numbers.as_slice() {
        [] => listening,
        numbers => format!("{listening}: {}", numbers.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_items_do_is_told() {
        let mut counts = Counts::default();
        assert_eq!(text(6881, &counts), "Listening for peers on port 6881");
        for (state, many) in [
            (State::Metadata, 1),
            (State::Fetching, 2),
            (State::Seeding, 120),
            (State::Error, 1),
        ] {
            counts.tally.set(state, many);
        }
        assert_eq!(
            text(6881, &counts),
            "Listening for peers on port 6881: 3 fetching, 120 seeding, 1 in error"
        );
    }
}
