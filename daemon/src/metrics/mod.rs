//! Metrics for Prometheus: what the daemon is asked for when somebody reads them; nothing is kept for them in between.

mod server;

use p2p_wire::control::{Share, State, Tracker};
use p2p_wire::metrics::Text;

pub(crate) use self::server::{bind, serve};
use crate::control::Daemon;
use crate::engine::Tally;

/// What is shown.
struct Seen {
    /// When the daemon started, in seconds since 1970.
    started: f64,
    items: Tally,
    /// Block bytes received and sent.
    moved: (u64, u64),
    shares: Vec<Share>,
    trackers: Vec<Tracker>,
}

const STATES: [(&str, State); 7] = [
    ("metadata", State::Metadata),
    ("verifying", State::Verifying),
    ("fetching", State::Fetching),
    ("seeding", State::Seeding),
    ("held", State::Held),
    ("paused", State::Paused),
    ("error", State::Error),
];

/// All metrics as they are now.
async fn text(daemon: &Daemon) -> String {
    let seen = Seen {
        started: jiff::Timestamp::now().as_second() as f64 - daemon.started.elapsed().as_secs_f64(),
        items: daemon
            .engine
            .survey(|all| all.tally(None))
            .await
            .unwrap_or_default(),
        moved: daemon.engine.moved(),
        shares: daemon.shares.list(None).await,
        trackers: daemon.trackers.of(daemon.mode.owner()).list().await,
    };
    seen.text()
}

/// A user's name, or number where there is none.
fn owner(uid: u32) -> String {
    let user = nix::unistd::User::from_uid(uid.into()).ok().flatten();
    user.map_or_else(|| uid.to_string(), |user| user.name)
}

impl Seen {
    fn text(&self) -> String {
        let mut text = Text::default();
        let _ = text
            .gauge("p2pd_info", "What runs; always 1.")
            .with(&[("version", env!("CARGO_PKG_VERSION"))], 1_u64);
        text.gauge(
            "process_start_time_seconds",
            "When the program started, in seconds since 1970.",
        )
        .value(self.started);
        self.items(&mut text);
        text.gauge("p2pd_peers", "Connected peers, over all items.")
            .value(self.items.peers);
        text.counter(
            "p2pd_received_bytes_total",
            "Bytes of blocks received from peers.",
        )
        .value(self.moved.0);
        text.counter("p2pd_sent_bytes_total", "Bytes of blocks sent to peers.")
            .value(self.moved.1);
        let mut family = text.gauge(
            "p2pd_share_items",
            "Items of a share, by what became of them.",
        );
        for share in &self.shares {
            // A name is unique for its owner alone.
            let owner = owner(share.owner_uid);
            for (state, count) in [("published", share.published), ("pending", share.pending)] {
                let labels = [("owner", &*owner), ("share", &share.name), ("state", state)];
                family = family.with(&labels, count);
            }
        }
        let mut family = text.gauge(
            "p2pd_tracker_up",
            "Whether the tracker answered when it was asked last: 1 or 0.",
        );
        for tracker in &self.trackers {
            let up = u64::from(tracker.state != "unreachable");
            family = family.with(&[("tracker", &tracker.name)], up);
        }
        let mut family = text.gauge(
            "p2pd_tracker_queued",
            "Publishes and withdrawals that wait for the tracker.",
        );
        for tracker in &self.trackers {
            family = family.with(&[("tracker", &tracker.name)], tracker.queued);
        }
        text.finish()
    }

    fn items(&self, text: &mut Text) {
        let mut family = text.gauge("p2pd_items", "Items, by what they are doing.");
        for (name, state) in STATES {
            family = family.with(&[("state", name)], self.items.count(state));
        }
        text.gauge("p2pd_items_bytes", "Size of all items.")
            .value(self.items.wanted);
        text.gauge(
            "p2pd_items_missing_bytes",
            "Bytes of all items that are not here yet.",
        )
        .value(self.items.missing);
    }
}
