//! The configuration file: every key, its default and its documentation, in one place.
//!
//! The documentation of a field is the text that `config defaults` prints, so the sample file cannot drift from the program.
//! Invariant: a [`Config`] in hand has been checked; nothing later refuses a value in it.

mod addresses;
mod load;
mod manual;
mod network;
mod sample;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use p2p_wire::api::Mode;
use p2p_wire::units::{Size, Time};
use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

use addresses::{are_addresses, is_base_url};

pub use load::{ConfigError, parse, read};
pub use manual::manual;
pub use network::Network;
pub use sample::sample;

/// Where the configuration is looked for when no `--config` is given.
pub const DEFAULT_PATH: &str = "/etc/p2p/p2p-tracker.toml";

/// The state folder when neither an option, the file nor systemd names one.
pub const DEFAULT_STATE_DIR: &str = "/var/lib/p2p-tracker";

/// Documentation of one section, for the sample file and the check of keys.
pub(crate) struct SectionDoc {
    pub(crate) name: &'static str,
    pub(crate) doc: &'static [&'static str],
    pub(crate) keys: &'static [KeyDoc],
}

/// A key's name and the lines of its documentation.
pub(crate) type KeyDoc = (&'static str, &'static [&'static str]);

/// A section with its keys: documentation, type, default, and behind it what a value must fulfil beyond its type.
macro_rules! section {
    ($(#[doc = $section_doc:literal])+ $name:ident { $($(#[doc = $doc:literal])+ $key:ident: $type:ty = $default:expr $(; $ok:expr => $what:literal)*,)+ }) => {
        $(#[doc = $section_doc])+
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(default)]
        pub struct $name { $($(#[doc = $doc])+ pub $key: $type,)+ }
        impl Default for $name {
            fn default() -> Self { Self { $($key: $default,)+ } }
        }
        impl $name {
            const DOC: &'static [&'static str] = &[$($section_doc),+];
            const KEYS: &'static [KeyDoc] = &[$((stringify!($key), &[$($doc),+])),+];
            /// What values must fulfil beyond their type, by key, and what is said of those that do not.
            const CHECKS: &'static [(&'static str, fn(&Self) -> bool, &'static str)] =
                &[$($((stringify!($key), $ok, $what),)*)+];
        }
    };
}

macro_rules! config {
    ($($key:ident: $type:ident,)+) => {
        /// The whole configuration.
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[serde(default)]
        pub struct Config { $(#[doc = concat!("`[", stringify!($key), "]`.")] pub $key: $type,)+ }
        pub(crate) const SECTIONS: &[SectionDoc] =
            &[$(SectionDoc { name: stringify!($key), doc: $type::DOC, keys: $type::KEYS }),+];
        impl Config {
            /// A value that has the right type and makes no sense: section, key and what is wrong with it.
            fn wrong_value(&self) -> Option<(&'static str, &'static str, &'static str)> {
                $(if let Some((key, _, what)) = $type::CHECKS.iter().find(|(_, ok, _)| !ok(&self.$key)) {
                    return Some((stringify!($key), key, what));
                })+
                None
            }
        }
    };
}

config! {
    tracker: TrackerSection,
    http: HttpSection,
    tls: TlsSection,
    udp: UdpSection,
    announce: AnnounceSection,
    accounts: AccountsSection,
    catalogue: CatalogueSection,
    store: StoreSection,
    limits: LimitsSection,
    log: LogSection,
    hooks: HooksSection,
    metrics: MetricsSection,
    privacy: PrivacySection,
}

section! {
    /// What the tracker is and where it keeps its state.
    TrackerSection {
        /// What it calls itself to its users.
        name: String = "p2p".to_owned(),
        /// Who may announce what. `open`: anyone, any torrent. `registered`: any torrent, with the personal announce URL of an
        /// account. `listed`: published torrents alone, with a personal announce URL.
        mode: Mode = Mode::Registered,
        /// How users reach it, such as `https://tracker.example.org`; it begins the announce URLs that are given out. Not set: the
        /// address each caller used.
        public_url: Option<String> = None
            ; |s| s.public_url.as_deref().is_none_or(is_base_url) => "must begin with http:// or https:// and have no query",
        /// Folder of the database, the lock and the administration socket. Not set: `$STATE_DIRECTORY`, else
        /// `/var/lib/p2p-tracker`. `--state-dir` wins over it.
        state_dir: Option<PathBuf> = None,
        /// What is logged to the journal, or to standard error elsewhere: `error`, `warn`, `info`, `debug` or `trace`, or a list such as `info,p2p_tracker::http=debug`.
        log_level: String = "info".to_owned()
            ; |s| s.log_level.parse::<EnvFilter>().is_ok() => "is no log level; use error, warn, info, debug or trace",
        /// `text`: lines for people, or fields in the journal under systemd. `json`: one object a line on standard error. A change takes
        /// effect at the next start.
        log_format: LogFormat = LogFormat::Text,
    }
}

/// How the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people, or for the journal.
    Text,
    /// One JSON object a line.
    Json,
}

section! {
    /// The listener: announces and the API, http and https on the same port. What a client begins with tells which it is.
    HttpSection {
        /// Addresses to listen on. Port 0 takes a free one; the bound addresses are written to `http.addr` in the state folder.
        listen: Vec<String> = vec!["[::]:6969".to_owned()]
            ; |s| !s.listen.is_empty() => "must name at least one address"
            ; |s| are_addresses(&s.listen) => "must be addresses with a port, such as \"[::]:6969\" or \"127.0.0.1:6969\"",
        /// Proxies, as addresses or networks such as `10.0.0.0/8`, whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed.
        trusted_proxies: Vec<Network> = Vec::new(),
    }
}

section! {
    /// The certificate for https. Not set: the systemd credentials `p2p-tracker.crt` and `p2p-tracker.key` where there are any
    /// (`/etc/credstore`), else one that the tracker makes for itself, which p2pd knows by its fingerprint (`p2p-tracker fingerprint`)
    /// and stock clients refuse: these get http announce URLs then. SIGHUP reads the files again.
    TlsSection {
        /// The certificate with its chain, in PEM.
        cert_file: Option<PathBuf> = None
            ; |s| s.cert_file.is_none() || s.key_file.is_some() => "needs `key_file` too",
        /// Its private key, in PEM.
        key_file: Option<PathBuf> = None
            ; |s| s.key_file.is_none() || s.cert_file.is_some() => "needs `cert_file` too",
    }
}

section! {
    /// Announces and scrapes over UDP.
    UdpSection {
        /// Addresses to listen on; none for no UDP. Not set: those of `[http] listen`, with the same ports.
        listen: Option<Vec<String>> = None
            ; |s| s.listen.as_deref().is_none_or(are_addresses) => "must be addresses with a port, such as \"[::]:6969\" or \"127.0.0.1:6969\"",
    }
}

section! {
    /// Announces.
    AnnounceSection {
        /// How long clients wait between two announces. Each reply is up to a tenth shorter, so that clients spread out.
        interval: Time = secs(30 * 60)
            ; |s| (secs(60)..=secs(86_400)).contains(&s.interval) => "must be from 1m to 1d",
        /// How long clients must wait at least.
        min_interval: Time = secs(5 * 60)
            ; |s| s.min_interval <= s.interval => "must not exceed `interval`",
        /// Most peers in one reply.
        max_numwant: u32 = 200
            ; |s| s.max_numwant <= 1_000 => "must be at most 1000",
        /// Believe the `ip=` of an announce. Leave it off unless every client is behind one address.
        trust_ip: bool = false,
    }
}

/// Who may make an account by `POST /v1/register`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Registration {
    /// Who has a code that `p2p-tracker invite` printed.
    Invite,
    /// Anyone.
    Open,
    /// Nobody; accounts are made by `p2p-tracker user add`.
    Closed,
}

section! {
    /// Accounts.
    AccountsSection {
        /// Who may register: `invite` (who has a code from `p2p-tracker invite`), `open` (anyone) or `closed` (nobody: accounts are
        /// made by `p2p-tracker user add`).
        registration: Registration = Registration::Invite,
        /// How long an invitation can be used.
        invite_lifetime: Time = secs(14 * 86_400),
        /// A login ends when its machine has not been heard of for so long.
        session_idle: Time = secs(90 * 86_400),
        /// Machines of one account. When a further one logs in, the one not heard of for the longest time is forgotten.
        max_nodes: u32 = 64
            ; |s| s.max_nodes > 0 => "must be at least 1",
    }
}

/// Who may publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Publishers {
    /// Every account.
    Members,
    /// Administrators.
    Admins,
}

section! {
    /// The catalogue.
    CatalogueSection {
        /// Who may publish: `members` or `admins`.
        publish: Publishers = Publishers::Members,
        /// Largest .torrent that can be published; at most 10MiB.
        max_torrent: Size = Size(10 << 20)
            ; |s| s.max_torrent <= Size(10 << 20) => "must be at most 10MiB",
    }
}

section! {
    /// The database.
    StoreSection {
        /// `sqlite:PATH`; without a path it is `tracker.db` in the state folder.
        url: String = "sqlite:".to_owned()
            ; |s| s.url.starts_with("sqlite:") => "must be `sqlite:` or `sqlite:PATH`",
    }
}

section! {
    /// Bounds that keep one user, or many, from taking it all.
    LimitsSection {
        /// Open connections; further ones wait. One address may have a quarter of them, a trusted proxy or loopback all.
        connections: u32 = 4_096
            ; |s| s.connections > 0 => "must be at least 1",
        /// A request must have arrived, and be answered, within this time.
        request_time: Time = secs(60)
            ; |s| s.request_time >= secs(1) => "must be at least 1s",
        /// Login attempts a minute from one address.
        logins_per_minute: u32 = 30
            ; |s| s.logins_per_minute > 0 => "must be at least 1",
        /// Registrations a minute from one address.
        registrations_per_minute: u32 = 10
            ; |s| s.registrations_per_minute > 0 => "must be at least 1",
        /// Wrong passwords a minute for one account from one address; ten times as many from all together.
        failures_per_minute: u32 = 10
            ; |s| s.failures_per_minute > 0 => "must be at least 1",
        /// What all that an account has published may take up in the database; a version counts with its .torrent and 4 KiB.
        stored_per_account: Size = Size(4 << 30),
        /// Places in swarms that the clients of one account may hold; in mode `open`, those of one address.
        peers_per_account: u32 = 100_000,
        /// Places in swarms in all.
        peers: u32 = 2_000_000,
    }
}

section! {
    /// The log of what happens to files and accounts, which `p2p-tracker log` shows.
    LogSection {
        /// How long its lines are kept.
        keep: Time = secs(30 * 86_400),
        /// How many of its lines are kept.
        max_lines: u64 = 1_000_000,
    }
}

/// What a gate means that fails rather than answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GateFailure {
    /// Nothing passes.
    Refuse,
    /// All passes.
    Allow,
}

section! {
    /// Programs that are told of accounts and files, or asked before: see docs/hooks.md.
    HooksSection {
        /// Where they lie, as `EVENT.d/NN-name`; one hides the same in `/usr/lib/p2p/tracker-hooks.d`.
        dir: PathBuf = PathBuf::from("/etc/p2p/tracker-hooks.d"),
        /// A hook that takes longer is ended.
        timeout: Time = secs(30),
        /// What a gate means that fails, or takes too long: `refuse` (nothing passes) or `allow`.
        failed_gate: GateFailure = GateFailure::Refuse,
    }
}

section! {
    /// Metrics for Prometheus.
    MetricsSection {
        /// Addresses, such as `127.0.0.1:9696`, at which `http://ADDRESS/metrics` can be read by whoever reaches them. Empty: none.
        listen: Vec<String> = Vec::new()
            ; |s| are_addresses(&s.listen) => "must be addresses with a port, such as \"[::]:6969\" or \"127.0.0.1:6969\"",
    }
}

section! {
    /// What is written down about people.
    PrivacySection {
        /// Write network addresses to the log.
        log_ips: bool = false,
    }
}

impl Config {
    /// The state folder: what the command line says, else the file, else systemd, else [`DEFAULT_STATE_DIR`].
    pub fn state_dir(&self, option: Option<&Path>) -> PathBuf {
        if let Some(dir) = option.or(self.tracker.state_dir.as_deref()) {
            return dir.to_owned();
        }
        // systemd gives a list separated by colons; ours is the first.
        std::env::var("STATE_DIRECTORY")
            .ok()
            .and_then(|list| list.split(':').next().map(PathBuf::from))
            .filter(|dir| !dir.as_os_str().is_empty())
            .unwrap_or_else(|| PathBuf::from(DEFAULT_STATE_DIR))
    }

    /// Whether that is the address of a trusted proxy.
    pub fn is_proxy(&self, ip: IpAddr) -> bool {
        let mut proxies = self.http.trusted_proxies.iter();
        proxies.any(|proxy| proxy.contains(ip))
    }

    /// The database file.
    pub fn database(&self, state_dir: &Path) -> PathBuf {
        match self.store.url.strip_prefix("sqlite:") {
            Some(path) if !path.is_empty() => state_dir.join(path),
            _ => state_dir.join("tracker.db"),
        }
    }
}

const fn secs(seconds: u64) -> Time {
    Time(Duration::from_secs(seconds))
}
