//! The control protocol between p2pctl and p2pd: JSON-RPC 2.0, one object per line, parameters by name.
//!
//! The first request is `hello`, within 5 s. A line is at most [`MAX_LINE`] bytes. While a request runs the server may send `progress`
//! notifications that carry its id, at most 10 a second; `cancel{id}` stops waiting for it. `events.subscribe` turns on `event` and `gap`
//! notifications. Errors carry an [`ErrorData`]; the JSON-RPC `code` is the exit code that p2pctl ends with, or a standard one below -32000.
//!
//! | method | parameters | result |
//! |---|---|---|
//! | `hello` | [`Hello`] | [`Welcome`] |
//! | `status` | | [`Status`] |
//! | `share.add` | [`ShareAdd`] | [`Share`] at once |
//! | `share.wait` | [`ShareRef`] | [`Share`] once all that is there is hashed, and published where the tracker takes it now; progress [`ShareProgress`] |
//! | `share.list` | | `Vec<`[`Share`]`>` |
//! | `share.remove` | [`ShareRef`] | [`Share`] |
//! | `share.rescan` | [`ShareRef`] | `Vec<`[`Share`]`>` |
//! | `fetch.add` | [`FetchAdd`] | [`FetchAdded`] at once |
//! | `item.wait` | [`ItemRef`] | [`Item`] when complete or stopped for good; progress [`Item`] |
//! | `item.list` | [`ItemList`] | [`ItemPage`] |
//! | `item.show` | [`ItemShow`] | [`ItemDetail`] |
//! | `item.pause` / `item.resume` / `item.announce` / `item.verify` | [`ItemsRef`] | [`ItemBatch`] |
//! | `verify.wait` | [`VerifyWait`] | `Vec<`[`Item`]`>` once what `item.verify` began has ended for each; progress [`VerifyProgress`] |
//! | `item.set` | [`ItemSet`] | [`Item`] |
//! | `item.move` | [`ItemMove`] | [`Item`] |
//! | `item.remove` | [`ItemRemove`] | `Vec<`[`Item`]`>` as they were |
//! | `item.link` | [`EntryRef`] | [`Link`] |
//! | `item.torrent` | [`TorrentRef`] | [`TorrentData`] |
//! | `torrent.part` | [`TorrentPart`] | `null`; kept for the next request that says `torrent: true` |
//! | `tracker.add` / `tracker.remove` / `tracker.test` | [`TrackerAdd`] / [`TrackerRef`] / [`TrackerRef`] | [`Tracker`] |
//! | `tracker.probe` / `tracker.trust` | [`TrackerProbe`] / [`TrackerTrust`] | [`TrackerCertificate`] / [`Tracker`] |
//! | `tracker.list` | | `Vec<`[`Tracker`]`>` |
//! | `account.register` / `account.login` | [`Credentials`] | [`Tracker`] |
//! | `account.logout` / `account.whoami` | [`TrackerRef`] | [`Tracker`] |
//! | `catalogue.publish` | [`PublishItem`] | [`crate::api::FileEntry`] |
//! | `catalogue.unpublish` | [`EntryRef`] | `null` |
//! | `catalogue.search` | [`Search`] | [`crate::api::Page`] of [`crate::api::FileEntry`] |
//! | `catalogue.nodes` | [`TrackerRef`] | `Vec<`[`crate::api::Node`]`>` |
//! | `limits.get` / `limits.set` | / [`Limits`] | [`Limits`] |
//! | `config.get` | [`ConfigKey`], key `""` for all | `Vec<`[`ConfigValue`]`>` |
//! | `config.set` / `config.unset` | [`ConfigSet`] / [`ConfigKey`] | [`ConfigValue`] |
//! | `hooks.list` | | `Vec<`[`Hook`]`>` |
//! | `hooks.run` | [`HooksRun`] | `Vec<`[`HookRun`]`>` |
//! | `hooks.log` | [`HooksLog`] | `Vec<`[`HookRun`]`>` |
//! | `plugin.register` | [`PluginManifest`] | `null`, then `event` notifications and `gate.NAME` requests, answered with [`PluginAnswer`] |
//! | `history.list` | [`HistoryList`] | `Vec<`[`Transfer`]`>` |
//! | `log.tail` | [`LogTail`] | `Vec<`[`LogLine`]`>`; with `follow` these and further ones as progress, each a list, until cancelled |
//! | `events.subscribe` | [`Subscribe`] | `null`, then `event` [`Event`] and `gap` [`Gap`] |
//! | `cancel` | [`Cancel`] | `null` |
//! | `daemon.doctor` | | `Vec<`[`Finding`]`>` |
//! | `daemon.reload` | | [`Reload`] |
//! | `daemon.stop` | | `null`; the daemon ends |

mod certificate;
mod detail;
mod doctor;
mod error;
mod fetch;
mod hello;
mod hooks;
mod items;
mod path;
mod rpc;
mod settings;
mod shares;
mod socket;
mod torrent;
mod trackers;
mod watch;

pub use certificate::{CertificateState, TrackerCertificate, TrackerProbe, TrackerTrust};
pub use detail::{ItemDetail, ItemFile, ItemPeer, ItemPieces, ItemShow, ItemTracker};
pub use doctor::{Finding, Level};
pub use error::{ErrorData, ErrorKind, RpcError};
pub use fetch::{FetchAdd, FetchAdded};
pub use hello::{Hello, Status, Welcome};
pub use hooks::{Hook, HookRun, HooksLog, HooksRun, PluginAnswer, PluginManifest};
pub use items::{
    EntryRef, Item, ItemBatch, ItemList, ItemMove, ItemPage, ItemRef, ItemRemove, ItemSet,
    ItemsRef, Link, State, VerifyProgress, VerifyWait,
};
pub use path::PathText;
pub use rpc::{Answer, Call, Cancel, Progress};
pub use settings::{ConfigKey, ConfigSet, ConfigValue, Limits, Reload};
pub use shares::{Each, Share, ShareAdd, ShareProgress, ShareRef};
pub use socket::{Platform, SYSTEM_SOCKET, user_sockets};
pub use torrent::{TORRENT_PART, TorrentData, TorrentPart, TorrentRef};
pub use trackers::{Credentials, PublishItem, Search, Tracker, TrackerAdd, TrackerRef};
pub use watch::{Event, Gap, HistoryList, LogLine, LogTail, Subscribe, Transfer};

/// Version of this protocol.
pub const PROTO: u32 = 1;
/// Longest line in bytes, either way.
pub const MAX_LINE: usize = 4 * 1024 * 1024;
