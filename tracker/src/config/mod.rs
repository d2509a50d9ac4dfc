//! The configuration file: every key, its default and its documentation, in one place.
//!
//! The documentation of a field is the text that `config defaults` prints, so the sample file cannot drift from the program.
//! Invariant: a [`Config`] in hand has been checked; nothing later refuses a value in it.

mod load;
mod manual;
mod sample;
mod values;

use std::path::{Path, PathBuf};

use p2p_wire::api::Mode;
use serde::{Deserialize, Serialize};

pub use load::{ConfigError, parse, read};
pub use manual::manual;
pub use sample::sample;
pub use values::{Network, Size, Span};

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

macro_rules! section {
    ($(#[doc = $section_doc:literal])+ $name:ident { $($(#[doc = $doc:literal])+ $key:ident: $type:ty = $default:expr,)+ }) => {
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
        public_url: Option<String> = None,
        /// Folder of the database, the lock and the administration socket. Not set: `$STATE_DIRECTORY`, else
        /// `/var/lib/p2p-tracker`. `--state-dir` wins over it.
        state_dir: Option<PathBuf> = None,
        /// What is logged to the journal, or to standard error elsewhere: `error`, `warn`, `info`, `debug` or `trace`, or a list such as `info,p2p_tracker::http=debug`.
        log_level: String = "info".to_owned(),
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
        listen: Vec<String> = vec!["[::]:6969".to_owned()],
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
        cert_file: Option<PathBuf> = None,
        /// Its private key, in PEM.
        key_file: Option<PathBuf> = None,
    }
}

section! {
    /// Announces and scrapes over UDP.
    UdpSection {
        /// Addresses to listen on; none for no UDP. Not set: those of `[http] listen`, with the same ports.
        listen: Option<Vec<String>> = None,
    }
}

section! {
    /// Announces.
    AnnounceSection {
        /// How long clients wait between two announces. Each reply is up to a tenth shorter, so that clients spread out.
        interval: Span = Span::from_secs(30 * 60),
        /// How long clients must wait at least.
        min_interval: Span = Span::from_secs(5 * 60),
        /// Most peers in one reply.
        max_numwant: u32 = 200,
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
        invite_lifetime: Span = Span::from_secs(14 * 86_400),
        /// A login ends when its machine has not been heard of for so long.
        session_idle: Span = Span::from_secs(90 * 86_400),
        /// Machines of one account. When a further one logs in, the one not heard of for the longest time is forgotten.
        max_nodes: u32 = 64,
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
        max_torrent: Size = Size(10 << 20),
    }
}

section! {
    /// The database.
    StoreSection {
        /// `sqlite:PATH`; without a path it is `tracker.db` in the state folder.
        url: String = "sqlite:".to_owned(),
    }
}

section! {
    /// Bounds that keep one user, or many, from taking it all.
    LimitsSection {
        /// Open connections; further ones wait to be accepted.
        connections: u32 = 4_096,
        /// A request must have arrived, and be answered, within this time.
        request_time: Span = Span::from_secs(60),
        /// Login attempts a minute from one address.
        logins_per_minute: u32 = 30,
        /// Registrations a minute from one address.
        registrations_per_minute: u32 = 10,
        /// Wrong passwords a minute for one account.
        failures_per_minute: u32 = 10,
        /// Places in swarms that the clients of one account may hold.
        peers_per_account: u32 = 100_000,
        /// Places in swarms in all.
        peers: u32 = 2_000_000,
    }
}

section! {
    /// The log of what happens to files and accounts, which `p2p-tracker log` shows.
    LogSection {
        /// How long its lines are kept.
        keep: Span = Span::from_secs(30 * 86_400),
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
        timeout: Span = Span::from_secs(30),
        /// What a gate means that fails, or takes too long: `refuse` (nothing passes) or `allow`.
        failed_gate: GateFailure = GateFailure::Refuse,
    }
}

section! {
    /// Metrics for Prometheus.
    MetricsSection {
        /// Addresses, such as `127.0.0.1:9696`, at which `http://ADDRESS/metrics` can be read by whoever reaches them. Empty: none.
        listen: Vec<String> = Vec::new(),
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

    /// The database file.
    pub fn database(&self, state_dir: &Path) -> PathBuf {
        match self.store.url.strip_prefix("sqlite:") {
            Some(path) if !path.is_empty() => state_dir.join(path),
            _ => state_dir.join("tracker.db"),
        }
    }
}
