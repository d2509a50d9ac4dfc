//! What the tracker counts, for Prometheus.
//!
//! Counting costs an atomic addition and waits for nobody. What can be asked of the parts is asked when somebody reads.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use p2p_wire::metrics::Text;

use crate::time::unix_now;
use crate::tracker::Tracker;

/// Upper bounds of the buckets of [`Counters::request`], in seconds.
const BOUNDS: [f64; 6] = [0.001, 0.005, 0.025, 0.1, 0.5, 2.5];

/// How an announce or a scrape came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// HTTP or https.
    Http,
    /// UDP.
    Udp,
}

const TRANSPORTS: [&str; 2] = ["http", "udp"];
const RESULTS: [&str; 2] = ["refused", "ok"];
const STATUSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// What happened since the start.
#[derive(Debug, Default)]
pub struct Counters {
    /// By transport and result.
    announces: [[AtomicU64; 2]; 2],
    scrapes: [[AtomicU64; 2]; 2],
    /// By class of the status.
    requests: [AtomicU64; 5],
    /// Requests that took at most as long as the bound, and longer than the one before.
    buckets: [AtomicU64; BOUNDS.len() + 1],
    request_micros: AtomicU64,
    /// In the clear, and with TLS.
    connections: [AtomicU64; 2],
    open: AtomicU64,
    reports: AtomicU64,
}

fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

impl Counters {
    /// An announce was answered, with peers if `ok`.
    pub fn announce(&self, transport: Transport, ok: bool) {
        add(&self.announces[transport as usize][usize::from(ok)]);
    }

    /// A scrape was answered, with counts if `ok`.
    pub fn scrape(&self, transport: Transport, ok: bool) {
        add(&self.scrapes[transport as usize][usize::from(ok)]);
    }

    /// An HTTP request was answered.
    pub fn request(&self, status: u16, took: Duration) {
        let class = usize::from(status / 100).clamp(1, STATUSES.len());
        add(&self.requests[class - 1]);
        let seconds = took.as_secs_f64();
        let bucket = BOUNDS.iter().position(|bound| seconds <= *bound);
        add(&self.buckets[bucket.unwrap_or(BOUNDS.len())]);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.request_micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// Piece points were reported.
    pub fn report(&self) {
        add(&self.reports);
    }

    /// A connection began; it is open until what is returned is dropped.
    pub fn connection(&self) -> Open<'_> {
        add(&self.open);
        Open(self)
    }
}

/// An open connection.
#[derive(Debug)]
pub struct Open<'a>(&'a Counters);

impl Open<'_> {
    /// Whether it is encrypted is known.
    pub fn speaks(&self, tls: bool) {
        add(&self.0.connections[usize::from(tls)]);
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// All metrics of `tracker` as they are now.
pub fn text(tracker: &Tracker) -> String {
    let mut text = Text::default();
    let info = tracker.info();
    let _ = text.gauge("p2p_tracker_info", "What runs; always 1.").with(
        &[
            ("version", env!("CARGO_PKG_VERSION")),
            ("mode", info.mode.name()),
        ],
        1_u64,
    );
    let start = unix_now() - i64::from(tracker.clock.now());
    text.gauge(
        "process_start_time_seconds",
        "When the program started, in seconds since 1970.",
    )
    .value(start as f64);
    counted(&mut text, &tracker.counters);
    text.gauge(
        "p2p_tracker_swarms",
        "Torrents that somebody takes part in.",
    )
    .value(tracker.swarms.total());
    text.gauge("p2p_tracker_peers", "Places in swarms, over all torrents.")
        .value(tracker.swarms.places());
    text.gauge("p2p_tracker_files", "Contents in the catalogue.")
        .value(tracker.catalogue.listings().total());
    text.gauge("p2p_tracker_accounts", "Accounts.")
        .value(tracker.accounts.directory().accounts().len());
    text.gauge("p2p_tracker_nodes", "Machines that report piece points.")
        .value(tracker.points().machines());
    text.finish()
}

fn counted(text: &mut Text, counters: &Counters) {
    for (name, help, table) in [
        (
            "p2p_tracker_announces_total",
            "Announces answered.",
            &counters.announces,
        ),
        (
            "p2p_tracker_scrapes_total",
            "Scrapes answered.",
            &counters.scrapes,
        ),
    ] {
        let mut family = text.counter(name, help);
        for (transport, results) in TRANSPORTS.iter().zip(table) {
            for (result, counter) in RESULTS.iter().zip(results) {
                let labels = [("transport", *transport), ("result", *result)];
                family = family.with(&labels, read(counter));
            }
        }
    }
    let mut family = text.counter(
        "p2p_tracker_http_requests_total",
        "HTTP requests answered, by class of the status.",
    );
    for (status, counter) in STATUSES.iter().zip(&counters.requests) {
        family = family.with(&[("status", status)], read(counter));
    }
    let mut below = 0;
    let mut buckets = [(0.0, 0); BOUNDS.len()];
    for (at, bound) in BOUNDS.iter().enumerate() {
        below += read(&counters.buckets[at]);
        buckets[at] = (*bound, below);
    }
    text.histogram(
        "p2p_tracker_http_request_duration_seconds",
        "Time from the head of an HTTP request to its answer.",
        &buckets,
        below + read(&counters.buckets[BOUNDS.len()]),
        read(&counters.request_micros) as f64 / 1e6,
    );
    let _ = text
        .counter("p2p_tracker_connections_total", "Connections taken.")
        .with(&[("tls", "no")], read(&counters.connections[0]))
        .with(&[("tls", "yes")], read(&counters.connections[1]));
    text.gauge("p2p_tracker_connections_open", "Connections open now.")
        .value(read(&counters.open));
    text.counter(
        "p2p_tracker_points_reports_total",
        "Reports of piece points taken.",
    )
    .value(read(&counters.reports));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_counted_in_its_class_and_its_bucket() {
        let counters = Counters::default();
        counters.request(200, Duration::from_micros(1_000));
        counters.request(404, Duration::from_millis(30));
        counters.request(503, Duration::from_secs(60));
        let mut text = Text::default();
        counted(&mut text, &counters);
        let text = text.finish();
        for line in [
            "p2p_tracker_http_requests_total{status=\"2xx\"} 1",
            "p2p_tracker_http_requests_total{status=\"3xx\"} 0",
            "p2p_tracker_http_requests_total{status=\"5xx\"} 1",
            "p2p_tracker_http_request_duration_seconds_bucket{le=\"0.001\"} 1",
            "p2p_tracker_http_request_duration_seconds_bucket{le=\"0.1\"} 2",
            "p2p_tracker_http_request_duration_seconds_bucket{le=\"+Inf\"} 3",
            "p2p_tracker_http_request_duration_seconds_sum 60.031",
        ] {
            assert!(text.lines().any(|there| there == line), "{line}\n{text}");
        }
    }

    #[test]
    fn a_connection_is_open_until_it_is_dropped() {
        let counters = Counters::default();
        let open = counters.connection();
        open.speaks(true);
        assert_eq!(read(&counters.open), 1);
        drop(open);
        assert_eq!(
            (read(&counters.open), read(&counters.connections[1])),
            (0, 1)
        );
    }
}
