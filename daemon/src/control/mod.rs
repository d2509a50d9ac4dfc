//! The control socket: clients ask, the parts of the daemon answer.
//!
//! | module | what it owns |
//! |---|---|
//! | `socket`, `caller` | the socket file; who connected and what that allows |
//! | `places` | how many clients there may be |
//! | `connection`, `lines`, `progress`, `answer` | one client, its lines, and how answers look |
//! | `paths`, `lookup`, `peers`, `announce_urls` | what clients name: files, items, peers; whom torrents name |
//! | `torrent`, `target` | a .torrent that a client sends; what users name to be fetched |
//! | `dispatch` | the table of methods: one call for each |
//! | `configured` | what the configuration file names |
//! | `items`, `listing`, `links`, `detail`, `doctor`, `fetch`, `shares`, `hooks`, `trackers`, `settings`, `watch`, `overview` | the methods, by family |
//!
//! Nothing here owns state of its own but the settings; a request is translated into calls of the other parts.

mod announce_urls;
mod answer;
mod caller;
mod configured;
mod connection;
mod detail;
mod dispatch;
mod doctor;
mod fetch;
mod hooks;
mod items;
mod lines;
mod links;
mod listing;
mod lookup;
mod overview;
mod paths;
mod peers;
mod places;
mod progress;
mod settings;
mod shares;
mod socket;
mod target;
mod torrent;
mod trackers;
mod verify;
mod watch;

use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use interprocess::local_socket::tokio::{Listener, Stream};
use interprocess::local_socket::traits::tokio::Listener as _;
use p2p_wire::control::{ErrorKind, PROTO, Welcome};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;

pub use self::configured::{configured_shares, configured_trackers};
pub(crate) use self::overview::Counts;
use self::places::Places;
pub use self::settings::{Settings, limits_of, reread};
pub use self::socket::SocketError;
use crate::Fault;
use crate::config::Mode;
use crate::engine::{Engine, Events};
use crate::hooks::Hooks;
use crate::log::Log;
use crate::share::Shares;
use crate::state::State;
use crate::tracker::{Announcer, Trackers};

/// Program and version, as clients see it.
pub const SERVER: &str = concat!("p2pd ", env!("CARGO_PKG_VERSION"));

/// The parts of a running daemon, as the methods use them.
pub struct Daemon {
    /// Whose daemon.
    pub mode: Mode,
    /// When it started.
    pub started: Instant,
    /// Items.
    pub engine: Engine,
    /// Accounts and catalogues.
    pub trackers: Trackers,
    /// Announces.
    pub announcer: Announcer,
    /// Shares.
    pub shares: Shares,
    /// Hooks and gates.
    pub hooks: Hooks,
    /// The database.
    pub state: State,
    /// What happens.
    pub events: Events,
    /// What is logged.
    pub log: Log,
    /// Configuration and what commands changed of it.
    pub settings: Settings,
    /// Told when a client wants the daemon to end.
    pub stop: Arc<Notify>,
    /// It ends: from now on nothing true can be said of items.
    pub stopping: AtomicBool,
}

impl Daemon {
    /// The answer to `method` while it ends.
    fn stopping(&self, method: &str) -> Fault {
        Fault::new(
            ErrorKind::Failed,
            format!("p2pd cannot do {method}: it is stopping"),
            "It writes what it has, which takes a few seconds at most",
            "If it was not you who stopped it, see its log. To have it again:  p2pctl daemon start",
        )
    }
}

/// A daemon that could not start, and says why to who asks.
pub struct Unhealthy {
    /// Whose daemon.
    pub mode: Mode,
    /// Why, a sentence.
    pub reason: String,
    /// Told when a client wants the daemon to end.
    pub stop: Arc<Notify>,
}

impl Unhealthy {
    /// The answer to `method`.
    fn fault(&self, method: &str) -> Fault {
        Fault::new(
            ErrorKind::Failed,
            format!("p2pd cannot do {method}: it did not start"),
            self.reason.clone(),
            "See its log, mend that, then:  p2pctl daemon restart",
        )
    }
}

/// What answers on the socket.
pub enum Service {
    /// A whole daemon.
    Running(Arc<Daemon>),
    /// One that could not start.
    Unhealthy(Unhealthy),
}

impl Service {
    fn welcome(&self, role: &str) -> Welcome {
        let (mode, unhealthy) = match self {
            Self::Running(daemon) => (daemon.mode, None),
            Self::Unhealthy(unhealthy) => (unhealthy.mode, Some(unhealthy.reason.clone())),
        };
        Welcome {
            proto: PROTO,
            server: SERVER.to_owned(),
            instance: instance(),
            mode: mode.as_str().to_owned(),
            role: role.to_owned(),
            caps: Vec::new(),
            unhealthy,
        }
    }
}

/// The same as long as this process runs, another after each start.
fn instance() -> String {
    static INSTANCE: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    let make = || format!("{:016x}", rand::random::<u64>());
    INSTANCE.get_or_init(make).clone()
}

/// The listening socket; a file that was made here is removed when this is dropped.
pub struct Server {
    listener: Listener,
    mode: Mode,
}

impl Server {
    /// Listens at `path`. `may_remove`: a socket left behind there may be removed, because the caller holds the lock on the state folder.
    pub fn bind(path: &Path, mode: Mode, may_remove: bool) -> Result<Self, SocketError> {
        let listener = socket::listen(path, mode, may_remove)?;
        Ok(Self { listener, mode })
    }

    /// Listens at a socket that the service manager made; its file is left to it.
    pub fn inherit(socket: UnixListener, mode: Mode) -> Result<Self, SocketError> {
        let listener = socket::inherited(socket)?;
        Ok(Self { listener, mode })
    }

    /// Serves clients until dropped; their connections end with it. A client for whom there is no room is told so.
    pub async fn serve(self, service: Service) {
        let service = Arc::new(service);
        let places = Places::default();
        let room = Arc::new(Semaphore::new(torrent::ROOM));
        let mut clients = JoinSet::new();
        loop {
            let stream = match self.listener.accept().await {
                Ok(stream) => stream,
                Err(error) => {
                    tracing::warn!("control socket: {error}");
                    // Out of descriptors: they come back when others close theirs.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            while clients.try_join_next().is_some() {}
            let peer = match caller::peer(&stream) {
                Ok(peer) => peer,
                Err(error) => {
                    tracing::warn!("control socket: {error}");
                    continue;
                }
            };
            let place = match places.take(peer.0) {
                Ok(place) => place,
                Err(why) => {
                    turn_away(stream, why).await;
                    continue;
                }
            };
            let (service, room, mode) = (Arc::clone(&service), Arc::clone(&room), self.mode);
            clients.spawn(async move {
                match caller::caller(peer, mode).await {
                    Some(caller) => connection::serve(stream, caller, service, place, room).await,
                    None => {
                        tracing::warn!("a caller who may not use this daemon was turned away");
                    }
                }
            });
        }
    }
}

/// The answer to a client for which there is no room.
async fn turn_away(mut stream: Stream, why: String) {
    let fault = Fault::new(
        ErrorKind::Conflict,
        "p2pd has too many clients",
        why,
        "End some of them, then try again",
    );
    let line = answer::line(None, Err(answer::fault(fault)));
    // A new socket has room for a line; one that has not is not waited for.
    let written = stream.write_all(line.as_bytes());
    let _ = tokio::time::timeout(Duration::from_millis(100), written).await;
}
