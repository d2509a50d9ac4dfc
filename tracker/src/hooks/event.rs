//! What hooks of the tracker are told and asked, and the JSON on their standard input.

use std::collections::BTreeMap;
use std::ffi::OsString;

use serde::Serialize;

use crate::store::{HookDue, HookFile, NewFile};
use crate::time::{rfc3339_millis, unix_millis};

/// Version of the JSON. Fields are only ever added within one.
const VERSION: u32 = 1;
const SERVER: &str = concat!("p2p-tracker ", env!("CARGO_PKG_VERSION"));
/// Paths that a gate is told of one content.
const MAX_PATHS: usize = 10_000;

/// What hooks can be told of.
pub(super) const EVENTS: [&str; 3] = ["account.created", "file.published", "file.removed"];

/// A question that hooks may answer with no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// Somebody registers.
    PreRegister,
    /// Something is published that its account had not published under that name.
    PrePublish,
}

impl Gate {
    /// All there are.
    pub(super) const ALL: [Self; 2] = [Self::PreRegister, Self::PrePublish];

    /// Its name, which is that of its folder without `.d`.
    pub fn name(self) -> &'static str {
        match self {
            Self::PreRegister => "pre-register",
            Self::PrePublish => "pre-publish",
        }
    }
}

/// What a hook reads from its standard input.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Body {
    version: u32,
    pub(super) event: String,
    /// The same each time this event is told.
    event_id: String,
    /// Grows with each event that is told; absent for a gate.
    seq: Option<i64>,
    /// RFC 3339.
    time: String,
    /// The sentence for people.
    text: String,
    /// Whose it is.
    account: String,
    file: Option<File>,
    /// The name of the tracker that tells.
    tracker: String,
    server: &'static str,
}

/// What is published or removed.
#[derive(Clone, Debug, Serialize)]
struct File {
    /// `owner/share/entry`.
    name: String,
    share: String,
    entry: String,
    /// Absent at a gate: it has none yet.
    version: Option<u32>,
    info_hash: p2p_wire::InfoHash,
    /// Bytes in all.
    size: u64,
    /// At a gate: the paths in it, the first 10,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<Vec<String>>,
}

impl Body {
    /// Of something that happened.
    pub(super) fn of_event(due: &HookDue, tracker: &str) -> Self {
        let account = &due.account;
        let file = due.file.as_ref().map(|file| File::of(account, file));
        let text = match (&*due.event, &file) {
            ("file.published", Some(file)) => format!("{} was published", file.name),
            ("file.removed", Some(file)) => format!("{} is no longer published", file.name),
            _ => format!("{account} has an account"),
        };
        Self {
            version: VERSION,
            event: due.event.clone(),
            event_id: due.event_id.clone(),
            seq: Some(due.id),
            time: rfc3339_millis(due.time),
            text,
            account: account.clone(),
            file,
            tracker: tracker.to_owned(),
            server: SERVER,
        }
    }

    /// Of a question.
    pub(super) fn of_gate(gate: Gate, account: &str, new: Option<&NewFile>, tracker: &str) -> Self {
        let file = new.map(|new| File::of_new(account, new));
        let what = file.as_ref().map_or(account, |file| &file.name);
        Self {
            version: VERSION,
            event: gate.name().to_owned(),
            event_id: format!("{:032x}", rand::random::<u128>()),
            seq: None,
            time: rfc3339_millis(unix_millis()),
            text: format!("may {what} pass {}?", gate.name()),
            account: account.to_owned(),
            file,
            tracker: tracker.to_owned(),
            server: SERVER,
        }
    }

    /// The line for standard input.
    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("texts are the only keys")
    }

    /// The few variables that scripts want without reading JSON. Values are handed over as they are: no shell sees them.
    pub(super) fn env(&self) -> BTreeMap<&'static str, OsString> {
        let mut env = BTreeMap::from([
            ("P2P_EVENT", OsString::from(&self.event)),
            ("P2P_EVENT_ID", OsString::from(&self.event_id)),
            ("P2P_ACCOUNT", OsString::from(&self.account)),
        ]);
        if let Some(file) = &self.file {
            env.insert("P2P_NAME", OsString::from(&file.name));
            env.insert("P2P_HASH", file.info_hash.to_string().into());
        }
        env
    }
}

impl File {
    fn of(account: &str, file: &HookFile) -> Self {
        Self {
            name: format!("{account}/{}/{}", file.share, file.entry),
            share: file.share.clone(),
            entry: file.entry.clone(),
            version: Some(file.version),
            info_hash: file.info_hash,
            size: file.size,
            files: None,
            tags: None,
        }
    }

    fn of_new(account: &str, new: &NewFile) -> Self {
        let paths = new.paths.lines().take(MAX_PATHS).map(str::to_owned);
        Self {
            name: format!("{account}/{}/{}", new.share, new.entry),
            share: new.share.clone(),
            entry: new.entry.clone(),
            version: None,
            info_hash: new.info_hash,
            size: new.size,
            files: Some(paths.collect()),
            tags: Some(new.tags.clone()),
        }
    }
}
