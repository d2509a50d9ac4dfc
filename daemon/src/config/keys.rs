//! Every key of `p2pd.toml`: its type, its default, its documentation, and whether a change takes effect while p2pd runs.
//!
//! One list makes the structs, the sample file and the table that `config get` and `config set` look keys up in, so that the three
//! cannot differ.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::{NonZeroU16, NonZeroU32};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use p2p_hash::{BackendError, Hasher};
use p2p_wire::control::Each;
use p2p_wire::units::{Rate, Size, Time};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// One key of a section.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Name of its section.
    pub section: &'static str,
    /// Its own name.
    pub name: &'static str,
    /// Its documentation, by line, each beginning with a space.
    pub doc: &'static [&'static str],
    /// When a change takes effect.
    pub when: When,
}

/// When a change of a key takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// At once: at a reload of the file or a `config set`.
    Live,
    /// At the next start.
    Restart,
}

impl Key {
    /// As it is written on the command line: `limits.download`.
    pub fn dotted(&self) -> String {
        format!("{}.{}", self.section, self.name)
    }
}

macro_rules! sections {
    ($(
        $(#[doc = $about:literal])*
        $section:ident: $type:ident { $(
            $(#[doc = $doc:literal])*
            [$when:ident] $key:ident: $value:ty = $default:expr,
        )* }
    )*) => {
        /// The whole configuration. See [`SECTIONS`] for the sections, and the two lists below.
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[serde(default)]
        pub struct Config {
            $( $(#[doc = $about])* pub $section: $type, )*
            /// Folders that are shared besides those added by command.
            pub share: Vec<ConfiguredShare>,
            /// Trackers that are known besides those added by command, by name.
            pub trackers: BTreeMap<String, ConfiguredTracker>,
        }

        $(
            $(#[doc = $about])*
            #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
            #[serde(default)]
            pub struct $type { $( $(#[doc = $doc])* pub $key: $value, )* }

            impl Default for $type {
                fn default() -> Self {
                    Self { $( $key: $default, )* }
                }
            }
        )*

        /// Every section: its name, what it is about, its keys.
        pub const SECTIONS: &[(&str, &[&str], &[Key])] = &[ $( (
            stringify!($section),
            &[$($about),*],
            &[ $( Key {
                section: stringify!($section),
                name: stringify!($key),
                doc: &[$($doc),*],
                when: When::$when,
            }, )* ],
        ), )* ];
    };
}

sections! {
    /// The daemon itself.
    daemon: Daemon {
        /// Where fetched items go. `~` is the home of the user p2pd runs as.
        [Live] download_dir: Folder = Folder("~/Downloads/p2p".into()),
        /// How much is logged: `error`, `warn`, `info`, `debug` or `trace`.
        [Live] log_level: LogLevel = LogLevel::Info,
        /// `text`: lines for people, or fields in the journal under systemd. `json`: one object a line on standard error.
        [Restart] log_format: LogFormat = LogFormat::Text,
    }
    /// How shared folders are watched.
    shares: Watching {
        /// Quiet time after the last write to a file before it is hashed and published.
        [Restart] settle: Time = seconds(5),
        /// What the quiet time grows to at most for a file that keeps changing, and the wait (30 s or more) for one that cannot be read.
        [Restart] max_delay: Time = seconds(300),
        /// Time between scans that look for what watching may have missed.
        [Restart] rescan: Time = seconds(3600),
        /// Name of a file at the top of a share with patterns, one a line, of what is not shared: p2pignore(5).
        [Restart] ignore_file: String = ".p2pignore".to_owned(),
        /// Patterns of names that are never shared: files that programs have not finished.
        [Restart] exclude: Vec<String> = unfinished(),
    }
    /// Connections with peers.
    network: Network {
        /// Port that peers connect to, TCP; 0 picks a free one at the first start and keeps it.
        [Restart] port: u16 = 0,
        /// Addresses to listen on; all when empty.
        [Restart] bind: Vec<IpAddr> = Vec::new(),
        /// Connected peers at most, over all items.
        [Restart] max_peers: NonZeroU32 = count(400),
        /// Connected peers at most, for one item.
        [Restart] max_peers_item: NonZeroU32 = count(80),
    }
    /// How much is sent and received.
    limits: LimitsSection {
        /// Bytes a second received, such as `"5MiB/s"`, over all items; `"none"` for no limit.
        [Live] download: Limit = Limit(None),
        /// Bytes a second sent, over all items; `"none"` for no limit.
        [Live] upload: Limit = Limit(None),
        /// Peers on this machine and on private networks are not limited.
        [Restart] lan_exempt: bool = true,
        /// Peers that one item sends to at the same time.
        [Restart] upload_slots: NonZeroU32 = count(8),
    }
    /// What goes to disk and to memory.
    storage: Storage {
        /// A fetch waits rather than leave less than this on its file system.
        [Restart] min_free: Size = Size(1 << 30),
        /// What may be asked for and not be written yet, over all items.
        [Restart] in_flight: Size = Size(64 << 20),
    }
    /// Programs that are told what happens, and gates that may refuse: `docs/hooks.md`.
    hooks: Hooks {
        /// A hook that runs for longer is ended.
        [Restart] timeout: Time = seconds(30),
        /// The same for hooks of the gate `pre-release`, which read whole files.
        [Restart] gate_timeout: Time = seconds(600),
        /// Hooks that run at the same time.
        [Restart] concurrency: NonZeroU16 = NonZeroU16::MIN.saturating_add(3),
        /// What a gate means that fails (its hook crashes, takes too long, cannot be started): `refuse` or `allow`.
        [Restart] failed_gate: GateFailure = GateFailure::Refuse,
    }
    /// Hashing of what is shared.
    hashing: Hashing {
        /// Threads that hash; 0 for one on each core.
        [Restart] threads: u16 = 0,
        /// How files are read: `auto` for what was found to be the fastest, `read` for `pread` into a small buffer, `map` for memory maps,
        /// which files on network file systems never get.
        [Restart] io: HashIo = HashIo::Auto,
        /// What hashes: `auto` for the fastest that this CPU has, or `avx512`, `avx2`, `sha-ni` or `scalar`.
        [Restart] backend: Backend = Backend(None),
    }
    /// Metrics for Prometheus.
    metrics: Metrics {
        /// Addresses, such as `127.0.0.1:9697`, at which `http://ADDRESS/metrics` can be read by whoever reaches them; none when empty.
        [Restart] listen: Vec<SocketAddr> = Vec::new(),
    }
}

/// `[[share]]`: a folder that is shared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConfiguredShare {
    /// The folder.
    pub path: Folder,
    /// What becomes an item: each `entry` at its top, each `file`, or the `whole` folder.
    #[serde(default)]
    pub each: Each,
    /// Name in the catalogue; the folder's name when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Tracker it is published to; the only or first one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracker: Option<String>,
    /// Patterns of what is left out.
    #[serde(default)]
    pub exclude: Vec<String>,
}

/// Keys of [`ConfiguredShare`].
pub(super) const SHARE_KEYS: &[&str] = &["path", "each", "name", "tracker", "exclude"];

/// `[trackers.NAME]`: a tracker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConfiguredTracker {
    /// Where it is: `http(s)://host:port`.
    pub url: String,
}

/// Keys of [`ConfiguredTracker`].
pub(super) const TRACKER_KEYS: &[&str] = &["url"];

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// What failed.
    Error,
    /// And what needs attention.
    Warn,
    /// And what happened.
    Info,
    /// And how.
    Debug,
    /// Everything.
    Trace,
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people; with colours on a terminal.
    Text,
    /// One JSON object a line.
    Json,
}

/// What a gate means that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GateFailure {
    /// The item stays held.
    Refuse,
    /// As if there were no gate.
    Allow,
}

/// How files are read that are hashed to be shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HashIo {
    /// As was found to be the fastest.
    Auto,
    /// By `pread`.
    Read,
    /// Through memory maps.
    Map,
}

impl From<HashIo> for p2p_hash::Io {
    fn from(io: HashIo) -> Self {
        match io {
            HashIo::Auto => Self::Auto,
            HashIo::Read => Self::Read,
            HashIo::Map => Self::Map,
        }
    }
}

/// An absolute path, or one that begins with `~` for the home of the user p2pd runs as.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Folder(pub String);

impl Folder {
    /// The path; `None` if it begins with `~` and there is no `home`.
    pub fn resolve(&self, home: Option<&Path>) -> Option<PathBuf> {
        match self.0.strip_prefix('~') {
            Some(rest) => home.map(|home| home.join(rest.trim_start_matches('/'))),
            None => Some(PathBuf::from(&self.0)),
        }
    }
}

impl<'de> Deserialize<'de> for Folder {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "~" || text.starts_with("~/") || text.starts_with('/') {
            Ok(Self(text))
        } else {
            Err(de::Error::custom(format_args!(
                "`{text}` is not an absolute path, nor one that begins with `~/`"
            )))
        }
    }
}

/// A rate that may not be exceeded; `None` for no limit, written `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit(pub Option<u64>);

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(rate) => Rate(rate).fmt(f),
            None => f.write_str("none"),
        }
    }
}

impl FromStr for Limit {
    type Err = String;

    /// Reads `none`, or a rate; 0 is no limit too.
    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self(None));
        }
        let rate = text
            .parse::<Rate>()
            .map_err(|error| format!("{error}, nor `none`"))?;
        Ok(Self(Some(rate.0).filter(|rate| *rate > 0)))
    }
}

impl Serialize for Limit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

/// A hasher that was asked for, which this CPU has; `None` for the fastest, written `auto`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backend(pub Option<Hasher>);

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.map_or("auto", |hasher| hasher.backend().name()))
    }
}

impl FromStr for Backend {
    type Err = BackendError;

    fn from_str(name: &str) -> Result<Self, BackendError> {
        match name {
            "auto" => Ok(Self(None)),
            name => name.parse().map(|hasher| Self(Some(hasher))),
        }
    }
}

impl Serialize for Backend {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Backend {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

fn seconds(seconds: u64) -> Time {
    Time(std::time::Duration::from_secs(seconds))
}

fn count(count: u32) -> NonZeroU32 {
    NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN)
}

fn unfinished() -> Vec<String> {
    [
        "*.part",
        "*.partial",
        "*.crdownload",
        "*.tmp",
        "*.swp",
        "*~",
    ]
    .map(str::to_owned)
    .to_vec()
}
