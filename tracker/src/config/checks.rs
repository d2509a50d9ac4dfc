//! Values that have the right type and make no sense.

use super::Config;

/// Section, key, what its value must be, and whether it is.
type Check = (
    &'static str,
    &'static str,
    &'static str,
    fn(&Config) -> bool,
);

const CHECKS: &[Check] = &[
    (
        "tracker",
        "public_url",
        "must begin with http:// or https:// and have no query",
        |config| config.tracker.public_url.as_deref().is_none_or(is_base),
    ),
    (
        "tracker",
        "log_level",
        "is no log level; use error, warn, info, debug or trace",
        |config| is_level(&config.tracker.log_level),
    ),
    ("http", "listen", "must name at least one address", |c| {
        !c.http.listen.is_empty()
    }),
    ("tls", "cert_file", "needs `key_file` too", |c| {
        c.tls.cert_file.is_none() || c.tls.key_file.is_some()
    }),
    ("tls", "key_file", "needs `cert_file` too", |c| {
        c.tls.key_file.is_none() || c.tls.cert_file.is_some()
    }),
    ("announce", "interval", "must be from 1m to 1d", |c| {
        (60..=86_400).contains(&c.announce.interval.secs())
    }),
    (
        "announce",
        "min_interval",
        "must not exceed `interval`",
        |c| c.announce.min_interval.secs() <= c.announce.interval.secs(),
    ),
    ("announce", "max_numwant", "must be at most 1000", |c| {
        c.announce.max_numwant <= 1_000
    }),
    ("accounts", "max_nodes", "must be at least 1", |c| {
        c.accounts.max_nodes > 0
    }),
    ("catalogue", "max_torrent", "must be at most 10MiB", |c| {
        c.catalogue.max_torrent.0 <= 10 << 20
    }),
    ("store", "url", "must be `sqlite:` or `sqlite:PATH`", |c| {
        c.store.url.starts_with("sqlite:")
    }),
    ("limits", "connections", "must be at least 1", |c| {
        c.limits.connections > 0
    }),
    ("limits", "request_time", "must be at least 1s", |c| {
        c.limits.request_time.secs() > 0
    }),
    ("limits", "logins_per_minute", "must be at least 1", |c| {
        c.limits.logins_per_minute > 0
    }),
    (
        "limits",
        "registrations_per_minute",
        "must be at least 1",
        |c| c.limits.registrations_per_minute > 0,
    ),
    ("limits", "failures_per_minute", "must be at least 1", |c| {
        c.limits.failures_per_minute > 0
    }),
];

/// The first wrong value: section, key and what is wrong with it.
pub(super) fn wrong_value(config: &Config) -> Option<(&'static str, &'static str, &'static str)> {
    let wrong = CHECKS.iter().find(|(.., is_right)| !is_right(config));
    wrong.map(|(section, key, what, _)| (*section, *key, *what))
}

fn is_base(url: &str) -> bool {
    let host = url.strip_prefix("https://");
    let host = host.or_else(|| url.strip_prefix("http://"));
    host.is_some_and(|host| !host.is_empty() && !host.contains(['?', '#', ' ']))
}

fn is_level(text: &str) -> bool {
    text.parse::<tracing_subscriber::EnvFilter>().is_ok()
}
