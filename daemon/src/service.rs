//! The daemon as a service: its parts started in order and stopped in reverse, signals, the service manager.
//!
//! The lock on the state folder comes first and goes last. The socket is made while it is held, so that two daemons never fight over
//! it, and answers only when everything runs. What cannot start leaves an unhealthy daemon, which tells clients why.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use listenfd::ListenFd;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use p2p_wire::InfoHash;
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, mpsc};

use crate::Fault;
use crate::config::{Config, Places};
use crate::control::{
    Counts, Daemon, Server, Service, Settings, SocketError, Unhealthy, configured_shares,
    configured_trackers, limits_of, reread,
};
use crate::engine::{self, Engine, Events, Links};
use crate::hooks::Hooks;
use crate::log::Log;
use crate::manager;
use crate::metrics;
use crate::net::LocalAddrs;
use crate::share::{self, Shares};
use crate::state::{State, StateError, StateLock};
use crate::tracker::{Announcer, Trackers};

/// A stop that takes longer is cut short: who asked waits 5 s.
const STOP_TIMEOUT: Duration = Duration::from_millis(4_500);
/// Announce commands on their way; when full the engine waits.
const ANNOUNCES: usize = 1_024;
/// Lists of peers on their way to the engine; when full the announcer waits.
const PEERS: usize = 256;

/// Why there is no daemon.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The state folder cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// There is no socket.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// A part could not start.
    #[error("{}: {}\n  {}", .0.what, .0.why, .0.fix)]
    Part(#[from] Fault),
    /// The operating system refused something.
    #[error("{0}")]
    Os(#[from] std::io::Error),
}

/// Runs the daemon until it is told to stop. `file` is what the configuration file says. `ready` is called once, when clients are
/// answered; before it, an error means that nothing was started.
///
/// A daemon that cannot start, but could make its socket, answers clients with the reason until it is stopped, and tells the service manager
/// the reason as its status; then `ready` is not called and the reason is returned. With `detached`, when nobody would see that, it ends at once.
pub async fn run(
    places: Places,
    file: toml::Table,
    log: Log,
    detached: bool,
    ready: impl FnOnce(),
) -> Result<(), StartError> {
    let stop = Arc::new(Notify::new());
    let mut signals = Signals::listen()?;
    raise_descriptor_limit();
    crate::memory::keep();
    // Before there is a second thread: taking it changes the environment.
    let inherited = ListenFd::from_env().take_unix_listener(0)?;
    let opened = State::open(&places.state);
    if let Err(locked @ StateError::Locked { .. }) = opened {
        return Err(locked.into());
    }
    let bound = match inherited {
        Some(socket) => Server::inherit(socket, places.mode),
        None => Server::bind(&places.socket, places.mode, opened.is_ok()),
    };
    let server = match bound {
        Ok(server) => server,
        // Without the state folder's lock the socket of a crash stays, and would be named instead of what is wrong.
        Err(error) => return Err(opened.err().map_or(error.into(), StartError::from)),
    };
    let started = match opened {
        Ok((state, lock)) => start(&places, file, log, state, lock, stop.clone()).await,
        Err(error) => Err(error.into()),
    };
    let (daemon, lock) = match started {
        Ok(started) => started,
        Err(error) if detached => return Err(error),
        Err(error) => {
            tracing::error!("p2pd does not work: {error}");
            let reason = error.to_string();
            let status = format!("Does not work: {reason}");
            // It answers clients, and that is what a start waits for: without this, `systemctl start` would hang and then kill it.
            notify(&[NotifyState::Ready, NotifyState::Status(&status)]);
            let unhealthy = Service::Unhealthy(Unhealthy {
                mode: places.mode,
                reason,
                stop: stop.clone(),
            });
            let answering = tokio::spawn(server.serve(unhealthy));
            let fed = tokio::spawn(feed_watchdog(None));
            signals.wait_for_stop(&stop, async || {}).await;
            fed.abort();
            answering.abort();
            return Err(error);
        }
    };
    let answering = tokio::spawn(server.serve(Service::Running(daemon.clone())));
    let status = manager::text(daemon.engine.port(), &Counts::default());
    notify(&[NotifyState::Ready, NotifyState::Status(&status)]);
    tracing::info!(
        "{} is ready: peers on port {}, control at {}",
        crate::control::SERVER,
        daemon.engine.port(),
        places.socket.display()
    );
    let text = format!("p2pd is ready, peers on port {}", daemon.engine.port());
    daemon.events.emit("daemon.started", None, None, text);
    ready();
    let fed = tokio::spawn(feed_watchdog(Some(daemon.engine.clone())));
    let shown = tokio::spawn(manager::show_items(daemon.clone(), |status| {
        notify(&[NotifyState::Status(status)]);
    }));
    signals
        .wait_for_stop(&stop, async || reload(&daemon).await)
        .await;

    fed.abort();
    shown.abort();
    notify(&[NotifyState::Stopping, NotifyState::Status("Stopping")]);
    tracing::info!("stopping");
    // The answer to `daemon.stop` may still be on its way.
    tokio::time::sleep(Duration::from_millis(50)).await;
    daemon.stopping.store(true, Ordering::Relaxed);
    let stopping = async {
        let work = async {
            daemon.engine.stop().await;
            daemon.announcer.stop().await;
        };
        tokio::join!(daemon.hooks.stop(), work)
    };
    if tokio::time::timeout(STOP_TIMEOUT, stopping).await.is_err() {
        tracing::warn!(
            "not everything ended in time; what was not synced is verified at the next start"
        );
    }
    // Who waits for the socket to go may start the next daemon then.
    answering.abort();
    let _ended = answering.await;
    drop(lock);
    Ok(())
}

/// Starts the parts in the order in which they need each other.
async fn start(
    places: &Places,
    file: toml::Table,
    log: Log,
    state: State,
    lock: StateLock,
    stop: Arc<Notify>,
) -> Result<(Arc<Daemon>, StateLock), StartError> {
    let settings = Settings::open(places.clone(), file, &state).await?;
    let config = settings.now();
    log.set_level(config.daemon.log_level);
    log.set_format(config.daemon.log_format);
    if let Some(hasher) = config.hashing.backend.0 {
        hasher.choose();
    }

    let local = LocalAddrs::of(config.network.bind.iter().copied());
    let events = Events::default();
    let configured = configured_trackers(&config);
    let trackers = Trackers::open(state.clone(), events.clone(), configured, local).await?;
    let (announce, commands) = mpsc::channel(ANNOUNCES);
    let (found, peers) = mpsc::channel(PEERS);
    let known = trackers.clone();
    let trusts = Box::new(move |url: &str| known.is_at_one(url));
    let announcer = Announcer::start(commands, found, trackers.http(), trusts);
    let hooks = Hooks::open(places, config.hooks.clone(), state.clone(), events.clone());
    let links = Links {
        announce,
        peers,
        events: events.clone(),
        hooks: Some(hooks.clone()),
    };
    let metrics = metrics::bind(&config.metrics.listen).await?;
    let engine = Engine::start(engine_config(&settings, &config), state.clone(), links).await?;
    announcer.set_identity(engine.clone());
    trackers.start(engine.clone());
    hooks.start(engine.clone());
    let shares = Shares::start(
        share_config(places, &config),
        configured_shares(places, &config),
        state.clone(),
        engine.clone(),
        trackers.clone(),
        events.clone(),
    )
    .await?;
    let daemon = Daemon {
        mode: places.mode,
        started: Instant::now(),
        engine,
        trackers,
        announcer,
        shares,
        hooks,
        state,
        events,
        log,
        settings,
        stop,
        stopping: AtomicBool::new(false),
    };
    let daemon = Arc::new(daemon);
    metrics::serve(&daemon, metrics);
    Ok((daemon, lock))
}

/// Tells the service manager, where it wants to know, that the engine (if there is one) still answers; it starts a daemon anew that does
/// not.
async fn feed_watchdog(engine: Option<Engine>) {
    let Some(patience) = sd_notify::watchdog_enabled() else {
        return;
    };
    let ask = || async {
        // To the registry's task and back: what hangs there is never fed again.
        if let Some(engine) = &engine {
            let _not_there = engine.item(InfoHash([0; 20])).await;
        }
    };
    feed(patience, ask, || notify(&[NotifyState::Watchdog])).await;
}

/// Feeds a few times within `patience`, each time after an answer.
async fn feed<F: Future>(patience: Duration, ask: impl Fn() -> F, tell: impl Fn()) {
    loop {
        tokio::time::sleep(patience / 3).await;
        ask().await;
        tell();
    }
}

async fn reload(daemon: &Daemon) {
    let mut states = vec![NotifyState::Reloading];
    states.extend(NotifyState::monotonic_usec_now());
    notify(&states);
    if let Err(fault) = reread(daemon).await {
        tracing::error!("{fault}");
    }
    notify(&[NotifyState::Ready]);
}

fn engine_config(settings: &Settings, config: &Config) -> engine::Config {
    let port = config.network.port;
    let listen = match config.network.bind.as_slice() {
        [] => vec![SocketAddr::new(any_address(), port)],
        bind => bind.iter().map(|ip| SocketAddr::new(*ip, port)).collect(),
    };
    engine::Config {
        download_dir: settings.download_dir(),
        listen,
        max_peers: config.network.max_peers.get() as usize,
        max_peers_item: config.network.max_peers_item.get() as usize,
        upload_slots: config.limits.upload_slots.get() as usize,
        in_flight: config.storage.in_flight.0,
        min_free: config.storage.min_free.0,
        limits: limits_of(config),
        lan_exempt: config.limits.lan_exempt,
        disk_threads: cores(),
    }
}

/// Every address of both families where there is IPv6, for such a socket takes IPv4 as well.
fn any_address() -> IpAddr {
    match TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)) {
        Ok(_) => Ipv6Addr::UNSPECIFIED.into(),
        Err(_) => Ipv4Addr::UNSPECIFIED.into(),
    }
}

fn share_config(places: &Places, config: &Config) -> share::Config {
    share::Config {
        settle: config.shares.settle.0,
        max_delay: config.shares.max_delay.0,
        rescan: config.shares.rescan.0,
        ignore_file: config.shares.ignore_file.clone(),
        exclude: config.shares.exclude.clone(),
        threads: match config.hashing.threads {
            0 => cores(),
            threads => usize::from(threads),
        },
        io: config.hashing.io.into(),
        refused: vec![places.state.clone()],
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get())
}

/// Tells the service manager, if there is one. That it cannot be told changes nothing.
fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!("service manager: {error}");
    }
}

/// Many peers and files want many descriptors; the soft limit is often 1,024 for programs that use select(2), which this one does not.
fn raise_descriptor_limit() {
    // macOS says that there is no limit and refuses more than this (OPEN_MAX).
    let most = if cfg!(target_os = "macos") {
        10_240
    } else {
        u64::MAX
    };
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard.min(most), hard));
    if let Err(error) = raised {
        tracing::debug!("the limit of open files stays: {error}");
    }
}

/// What the operating system tells us.
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Until SIGTERM, SIGINT or a client ends it; reloads at each SIGHUP.
    async fn wait_for_stop(&mut self, stop: &Notify, reload: impl AsyncFn()) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                () = stop.notified() => return,
                _ = self.hangup.recv() => reload().await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_daemon_whose_engine_does_not_answer_is_not_fed() {
        let (answers, fed) = (AtomicBool::new(true), AtomicU32::new(0));
        let ask = || async {
            if !answers.load(SeqCst) {
                std::future::pending::<()>().await;
            }
        };
        let tell = || {
            fed.fetch_add(1, SeqCst);
        };
        let mut feeding = Box::pin(feed(Duration::from_secs(3), ask, tell));
        let for_a_while = Duration::from_millis(9_500);
        let ended = tokio::time::timeout(for_a_while, &mut feeding).await;
        assert!(ended.is_err());
        assert_eq!(fed.load(SeqCst), 9);
        answers.store(false, SeqCst);
        let ended = tokio::time::timeout(for_a_while, &mut feeding).await;
        assert!(ended.is_err());
        assert_eq!(fed.load(SeqCst), 9);
    }
}
