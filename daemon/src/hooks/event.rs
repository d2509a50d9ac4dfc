//! What hooks are told: the names of events and gates, and the JSON on their standard input.

use std::collections::BTreeMap;
use std::ffi::OsString;

use p2p_wire::InfoHash;
use p2p_wire::control::{Event, Item, PathText};
use serde::{Deserialize, Serialize};

use crate::config::Places;

/// Version of the JSON. Fields are only ever added within one.
const VERSION: u32 = 1;

/// What happens: hooks are told of it, and clients that watch.
pub(crate) const EVENTS: &[&str] = &[
    "daemon.started",
    "daemon.stopping",
    "share.added",
    "share.changed",
    "share.removed",
    "share.unavailable",
    "share.error",
    "item.added",
    "item.started",
    "item.finished",
    "item.verified",
    "item.paused",
    "item.resumed",
    "item.held",
    "item.moved",
    "item.removed",
    "item.changed",
    "item.error",
    "item.missing-pieces",
    "file.finished",
    "published",
    "unpublished",
    "tracker.error",
    "tracker.recovered",
    "disk.low",
    "disk.ok",
];

/// A question that hooks may answer with no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Gate {
    /// A new item is to be fetched.
    PreAdd,
    /// An item is complete and verified, and still in the incomplete folder.
    PreRelease,
    /// An entry of a share is to be served and published.
    PrePublish,
    /// An item's data is to be deleted.
    PreRemoveData,
}

impl Gate {
    /// All there are.
    pub const ALL: [Self; 4] = [
        Self::PreAdd,
        Self::PreRelease,
        Self::PrePublish,
        Self::PreRemoveData,
    ];

    /// Its name, which is that of its folder without `.d`.
    pub fn name(self) -> &'static str {
        match self {
            Self::PreAdd => "pre-add",
            Self::PreRelease => "pre-release",
            Self::PrePublish => "pre-publish",
            Self::PreRemoveData => "pre-remove-data",
        }
    }

    /// The gate of this name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|gate| gate.name() == name)
    }
}

/// Whether there is such an event or gate.
pub(super) fn is_known(name: &str) -> bool {
    names().any(|known| known == name)
}

/// All of them.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    let gates = Gate::ALL.into_iter().map(Gate::name);
    EVENTS.iter().copied().chain(gates)
}

/// What a hook reads from its standard input.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Body {
    pub(super) version: u32,
    pub(super) event: String,
    /// The same each time this event is told.
    pub(super) event_id: String,
    /// The number that `p2pctl watch` shows; absent for a gate.
    pub(super) seq: Option<u64>,
    /// RFC 3339.
    pub(super) time: String,
    /// The sentence for people.
    pub(super) text: String,
    /// Of the item, share or tracker.
    pub(super) name: Option<String>,
    pub(super) info_hash: Option<InfoHash>,
    /// The item when this was written down; absent if it is gone.
    pub(super) item: Option<Item>,
    /// At a gate: the item's files, as paths below its folder; absent where they are not known, or too many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) files: Option<Vec<String>>,
    pub(super) share: Option<String>,
    pub(super) tracker: Option<String>,
    pub(super) daemon: About,
}

/// The daemon that tells.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct About {
    pub(super) server: String,
    /// `user` or `system`.
    pub(super) mode: String,
    /// The control socket.
    pub(super) socket: PathText,
}

impl About {
    pub(super) fn new(places: &Places) -> Self {
        Self {
            server: crate::control::SERVER.to_owned(),
            mode: places.mode.as_str().to_owned(),
            socket: PathText::from(&*places.socket),
        }
    }
}

impl Body {
    /// Of something that happened.
    pub(super) fn of_event(event: Event, item: Option<Item>, daemon: About) -> Self {
        let is = |what: &str| event.topic.starts_with(what) && event.info_hash.is_none();
        let share = (item.as_ref().and_then(|item| item.share.clone()))
            .or_else(|| event.name.clone().filter(|_| is("share.")));
        Self {
            version: VERSION,
            event_id: new_id(),
            seq: Some(event.seq),
            time: event.time,
            text: event.text,
            tracker: event.name.clone().filter(|_| is("tracker.")),
            name: event.name,
            info_hash: event.info_hash,
            share,
            item,
            files: None,
            event: event.topic,
            daemon,
        }
    }

    /// Of a question about an item.
    pub(super) fn of_gate(gate: &str, event_id: String, item: Item, daemon: About) -> Self {
        Self {
            version: VERSION,
            event: gate.to_owned(),
            event_id,
            seq: None,
            time: jiff::Timestamp::now().to_string(),
            text: format!("may {} pass {gate}?", item.name),
            name: Some(item.name.clone()),
            info_hash: Some(item.info_hash),
            share: item.share.clone(),
            tracker: None,
            item: Some(item),
            files: None,
            daemon,
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
        ]);
        if let Some(hash) = self.info_hash {
            env.insert("P2P_HASH", hash.to_string().into());
        }
        if let Some(name) = &self.name {
            env.insert("P2P_NAME", name.into());
        }
        if let Some(path) = self.item.as_ref().and_then(|item| item.path.to_path()) {
            env.insert("P2P_PATH", path.into());
        }
        if let Some(socket) = self.daemon.socket.to_path() {
            env.insert("P2PD_SOCKET", socket.into());
        }
        env
    }
}

/// A name for an event that no other has.
pub(super) fn new_id() -> String {
    format!("{:032x}", rand::random::<u128>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gates_and_events_are_known_by_name() {
        for gate in Gate::ALL {
            assert_eq!(Gate::of(gate.name()), Some(gate));
            assert!(is_known(gate.name()));
        }
        assert!(is_known("item.finished") && !is_known("item"));
    }
}
