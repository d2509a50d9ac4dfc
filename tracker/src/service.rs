//! Running a tracker: from a configuration to sockets, until a signal.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use p2p_wire::InfoHash;
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::config::{Config, ConfigError};
use crate::http::Listeners;
use crate::state::{
    StateDir, StateError, address_file, admin_socket, fingerprint_file, write_atomically,
};
use crate::store::StoreError;
use crate::tls::{Origin, Tls, TlsError};
use crate::tracker::{EXPIRE_EVERY, FLUSH_EVERY, Tracker};
use crate::{admin, hooks, http, udp};

/// Why a tracker does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The state folder.
    #[error(transparent)]
    State(#[from] StateError),
    /// The database is damaged.
    #[error(
        "the database {path} is damaged: {what}\n  Nothing was changed. Restore a backup: move {path} and the files beside it that begin with \
         its name away,\n  put a copy made by `p2p-tracker backup` in its place, and start again."
    )]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// The database cannot be opened for another reason.
    #[error("cannot open the database {path}: {error}\n  Check the disk, and who owns the file.")]
    Store {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: StoreError,
    },
    /// The certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A socket or a file in the state folder.
    #[error("{0}\n  {hint}", hint = listen_hint(.0.kind()))]
    Listen(io::Error),
    /// Something in the state folder.
    #[error(
        "cannot write to the state folder: {0}\n  Check that its disk has room and that the tracker's user owns it."
    )]
    Write(io::Error),
}

fn listen_hint(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::AddrInUse => {
            "Another program uses that address; stop it, or choose another with [http], [udp] or [metrics] listen."
        }
        io::ErrorKind::PermissionDenied => {
            "Ports below 1024 are for root and programs with CAP_NET_BIND_SERVICE; choose a higher one in the configuration."
        }
        io::ErrorKind::AddrNotAvailable => {
            "This machine has no such address (see `ip address`); correct it in the configuration."
        }
        _ => "Check [http], [udp] and [metrics] listen in the configuration.",
    }
}

/// Reads the configuration again, on SIGHUP.
pub type Reload = Box<dyn Fn() -> Result<Config, ConfigError> + Send>;

/// Opens the tracker whose state folder is locked.
pub async fn open(config: Config, state: &StateDir) -> Result<Arc<Tracker>, StartError> {
    let path = config.database(state.path());
    Tracker::open(config, &path)
        .await
        .map_err(|error| match error {
            StoreError::Damaged(what) => StartError::Damaged { path, what },
            error => StartError::Store { path, error },
        })
}

/// Serves until SIGTERM or SIGINT; returns when all is written and closed. `apply_level` takes a new log level.
pub async fn run(
    config: Config,
    state_dir: &Path,
    reload: Reload,
    apply_level: impl Fn(&str) + Send,
) -> Result<(), StartError> {
    let mut signals = Signals::new().map_err(StartError::Write)?;
    let state = StateDir::lock(state_dir, "serve")?;
    raise_descriptors();
    let sockets = Sockets::bind(&config).await.map_err(StartError::Listen)?;
    let addresses = sockets.http.addresses().map_err(StartError::Listen)?;
    let udp_addresses = sockets.udp.addresses().map_err(StartError::Listen)?;
    let tls = Arc::new(Tls::open(&config.tls, state.path())?);
    let tracker = open(config, &state).await?;
    let wanted = hooks::want(&tracker, None).await;
    let (stop, stopped) = watch::channel(false);
    let admin = admin::serve(
        Arc::clone(&tracker),
        &admin_socket(state.path()),
        stopped.clone(),
    )
    .map_err(StartError::Write)?;
    let serving = tokio::spawn(http::serve(
        Arc::clone(&tracker),
        Arc::clone(&tls),
        sockets.http,
        sockets.metrics,
        stopped.clone(),
    ));
    let admin = tokio::spawn(admin);
    let announcing = tokio::spawn(udp::serve(
        Arc::clone(&tracker),
        sockets.udp,
        stopped.clone(),
    ));
    let telling = tokio::spawn(hooks::task(Arc::clone(&tracker), wanted));
    let housekeeping = tokio::spawn(housekeep(Arc::clone(&tracker), stopped));

    let text: String = addresses
        .iter()
        .map(|address| format!("{address}\n"))
        .collect();
    write_atomically(&address_file(state.path()), &text).map_err(StartError::Write)?;
    let listed = text.trim_end().replace('\n', ", ");
    let mode = tracker.config().tracker.mode.name();
    tracing::info!(
        "listening on {listed}, mode {mode}, state in {}",
        state.path().display()
    );
    for address in udp_addresses {
        tracing::info!("UDP announces at {address}");
    }
    show_certificate(&tls, &state).map_err(StartError::Write)?;
    notify(&[
        NotifyState::Ready,
        NotifyState::Status(&format!("listening on {listed}, mode {mode}")),
    ]);

    let fed = tokio::spawn(feed_watchdog(Arc::clone(&tracker)));
    while signals.next().await == Wake::Reload {
        reconfigure(&tracker, &tls, &reload, &apply_level);
        if let Err(error) = show_certificate(&tls, &state) {
            tracing::warn!("cannot write to the state folder: {error}");
        }
    }
    fed.abort();
    tracing::info!("stopping");
    notify(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
    // Nobody is told an address that does not answer any more.
    let _ = std::fs::remove_file(address_file(state.path()));
    let _ = std::fs::remove_file(fingerprint_file(state.path()));
    let _ = stop.send(true);
    tracker.hooks.stop();
    let _ = serving.await;
    let _ = admin.await;
    let _ = announcing.await;
    let _ = housekeeping.await;
    let _ = telling.await;
    tracker.close().await;
    tracing::info!("stopped");
    Ok(())
}

/// What is listened on.
struct Sockets {
    http: Listeners,
    metrics: Listeners,
    udp: udp::Sockets,
}

impl Sockets {
    /// As `config` says; UDP where http listens, if it says nothing of it.
    async fn bind(config: &Config) -> io::Result<Self> {
        let http = Listeners::bind(&config.http.listen).await?;
        let metrics = Listeners::bind(&config.metrics.listen).await?;
        for address in metrics.addresses()? {
            tracing::info!("metrics at http://{address}/metrics");
        }
        let addresses = http.addresses()?;
        let over_udp = config.udp.listen.clone();
        let over_udp =
            over_udp.unwrap_or_else(|| addresses.iter().map(ToString::to_string).collect());
        let udp = udp::Sockets::bind(&over_udp).await?;
        Ok(Self { http, metrics, udp })
    }
}

/// Says which certificate is served, in the log and for `p2p-tracker fingerprint`.
fn show_certificate(tls: &Tls, state: &StateDir) -> io::Result<()> {
    let certificate = tls.current();
    let whose = match certificate.origin {
        Origin::Given => "the certificate it was given",
        Origin::Own => "a certificate of its own",
    };
    let fingerprint = certificate.fingerprint;
    tracing::info!("https on the same port with {whose}, SHA-256 fingerprint {fingerprint}");
    write_atomically(&fingerprint_file(state.path()), &format!("{fingerprint}\n"))
}

fn reconfigure(tracker: &Tracker, tls: &Tls, reload: &Reload, apply_level: &impl Fn(&str)) {
    match reload() {
        Ok(new) => {
            let old = tracker.config();
            let fixed = [
                (old.http.listen != new.http.listen, "http.listen"),
                (old.udp != new.udp, "udp.listen"),
                (
                    old.tracker.log_format != new.tracker.log_format,
                    "tracker.log_format",
                ),
                (old.metrics != new.metrics, "metrics.listen"),
                (old.store != new.store, "store.url"),
                (
                    old.tracker.state_dir != new.tracker.state_dir,
                    "tracker.state_dir",
                ),
                (
                    old.limits.connections != new.limits.connections,
                    "limits.connections",
                ),
                (
                    old.accounts.max_nodes != new.accounts.max_nodes,
                    "accounts.max_nodes (in part)",
                ),
            ];
            for (_, key) in fixed.iter().filter(|(changed, _)| *changed) {
                tracing::warn!("{key} changed in the configuration; it is taken at the next start");
            }
            apply_level(&new.tracker.log_level);
            if let Err(error) = tls.reload(&new.tls) {
                tracing::error!("the certificate stays as it was: {error}");
            }
            tracker.reconfigure(new);
            tracing::info!("configuration read again");
        }
        Err(error) => tracing::error!("the configuration was not taken: {error}"),
    }
}

/// Tells the service manager, where it wants to know, that the tracker still answers; it starts one anew that does not.
async fn feed_watchdog(tracker: Arc<Tracker>) {
    let Some(patience) = sd_notify::watchdog_enabled() else {
        return;
    };
    let ask = || async {
        // The locks that announces and reports take, then the database's threads: a full disk is an answer, too.
        let _nothing = tracker.summary(&InfoHash([0; 20]));
        let stopped = matches!(tracker.store.ready().await, Err(StoreError::Stopped));
        if stopped {
            // Nothing can be written any more, until it is started anew.
            tracing::error!("the thread that writes the database has ended");
        }
        !stopped
    };
    feed(patience, ask, || notify(&[NotifyState::Watchdog])).await;
}

/// Feeds a few times within `patience`, each time after an answer that all is well.
async fn feed<F: Future<Output = bool>>(patience: Duration, ask: impl Fn() -> F, tell: impl Fn()) {
    loop {
        tokio::time::sleep(patience / 3).await;
        if ask().await {
            tell();
        }
    }
}

/// Expires peers and writes what is kept lazily, until the end.
async fn housekeep(tracker: Arc<Tracker>, mut stop: watch::Receiver<bool>) {
    let mut passed = 0u64;
    loop {
        if passed.is_multiple_of(FLUSH_EVERY)
            && let Err(error) = tracker.prune_log().await
        {
            tracing::warn!("the log was not shortened: {error}");
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(EXPIRE_EVERY)) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        passed += EXPIRE_EVERY;
        tracker.expire();
        if passed.is_multiple_of(FLUSH_EVERY)
            && let Err(error) = tracker.flush().await
        {
            tracing::warn!("what is kept lazily was not written: {error}");
        }
    }
}

/// The soft limit on descriptors is for programs that use `select`; ours goes to the hard limit.
fn raise_descriptors() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // A lower limit only means that fewer connections are accepted at once.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

fn notify(states: &[NotifyState<'_>]) {
    // Without systemd there is nobody to tell.
    let _ = sd_notify::notify(states);
}

#[derive(PartialEq, Eq)]
enum Wake {
    Reload,
    Stop,
}

struct Signals {
    term: Signal,
    int: Signal,
    hup: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            hup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Wake {
        tokio::select! {
            _ = self.term.recv() => Wake::Stop,
            _ = self.int.recv() => Wake::Stop,
            _ = self.hup.recv() => Wake::Reload,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_tracker_that_does_not_answer_or_cannot_write_is_not_fed() {
        let fed = AtomicU32::new(0);
        let tell = || {
            fed.fetch_add(1, SeqCst);
        };
        let fed_while = async |ask: fn() -> std::pin::Pin<Box<dyn Future<Output = bool>>>| {
            let before = fed.load(SeqCst);
            let feeding = feed(Duration::from_secs(3), ask, tell);
            let ended = tokio::time::timeout(Duration::from_millis(9_500), feeding).await;
            assert!(ended.is_err());
            fed.load(SeqCst) - before
        };
        assert_eq!(fed_while(|| Box::pin(async { true })).await, 9);
        assert_eq!(fed_while(|| Box::pin(async { false })).await, 0);
        assert_eq!(fed_while(|| Box::pin(std::future::pending())).await, 0);
    }
}
