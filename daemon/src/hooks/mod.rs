//! Hooks: programs that are told what happened, and gates that may refuse.
//!
//! | module | what it owns |
//! |---|---|
//! | `event` | the names of events and gates, and what hooks are told |
//! | `run` | a run of a hook, which `p2p_hooks` starts, and what it means: told, allowed, refused, later, failed |
//! | `journal`, `hold` | what is still due, what is held, the last runs: in the state database |
//! | `inbox`, `deliver` | events on their way: gathered, told |
//! | `gate` | questions, and what comes of them |
//! | `plugins` | long-lived hooks: which there are, what they want to hear |
//! | `session`, `remote`, `questions` | one life of one that p2pd starts; one that connects; what goes to and fro |
//!
//! Nothing here blocks the engine: an event is dropped into the inbox, a gate is asked by a task of its own while the item is held.

mod deliver;
mod event;
mod gate;
mod hold;
mod inbox;
mod journal;
mod plugins;
mod questions;
mod remote;
mod run;
mod session;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use p2p_hooks::{Folders, Found, Runner, Standing};
use p2p_wire::InfoHash;
use p2p_wire::control::{ErrorKind, Hook, HookRun, PathText};
use tokio::sync::{Semaphore, watch};

pub(crate) use self::event::EVENTS;
pub use self::event::Gate;
use self::event::{About, Body, new_id};
pub use self::gate::{Terms, Verdict};
pub use self::hold::{Hold, HoldVerdict};
use self::inbox::Inbox;
use self::journal::Journal;
pub use self::journal::{Owed, owe};
use self::plugins::Plugins;
pub use self::remote::Remote;
use crate::Fault;
use crate::config::{self, GateFailure, Mode, Places};
use crate::engine::{Engine, Events};
use crate::state::{State, StateError};

/// Until the hooks of `daemon.stopping` are ended.
const LAST_WORDS: Duration = Duration::from_millis(1_500);
/// Until hooks that were told to end are left to themselves.
const ENDING: Duration = Duration::from_secs(1);

/// The hooks of this daemon; a handle, cheap to clone.
#[derive(Clone)]
pub struct Hooks {
    inner: Arc<Inner>,
}

struct Inner {
    folders: Folders,
    config: config::Hooks,
    about: About,
    journal: Journal,
    runner: Runner,
    events: Events,
    inbox: Arc<Inbox>,
    /// What may run at once, over all.
    slots: Semaphore,
    stopping: watch::Sender<bool>,
    /// Entries of shares that a gate let pass, until their share takes them.
    passed: Mutex<HashSet<InfoHash>>,
    /// Changes whenever there is something for shares to take.
    passes: watch::Sender<u64>,
    /// Events that are known and not told yet: false once there are none about the daemon itself.
    idle: watch::Sender<bool>,
    engine: OnceLock<Engine>,
    plugins: Plugins,
    /// Files that a gate wants left out, until their share takes them.
    left_out: Mutex<HashMap<InfoHash, Vec<String>>>,
}

/// Who is told and asked.
enum Listener {
    Program(Found),
    /// By name.
    Plugin(String),
}

impl Listener {
    /// As the journal and the log name it.
    fn name(&self) -> String {
        match self {
            Self::Program(program) => program.name.clone(),
            Self::Plugin(name) => plugins::named(name),
        }
    }
}

impl Hooks {
    /// Opens what is journalled and listens to `events` from now on; [`Hooks::start`] begins to tell them.
    pub fn open(places: &Places, config: config::Hooks, state: State, events: Events) -> Self {
        let stopping = watch::Sender::new(false);
        let inbox = Arc::new(Inbox::default());
        let inner = Inner {
            folders: folders(places),
            slots: Semaphore::new(config.concurrency.get() as usize),
            config,
            about: About::new(places),
            runner: Runner::new(state.dir(), stopping.subscribe()),
            journal: Journal::new(state),
            inbox: inbox.clone(),
            stopping,
            passed: Mutex::default(),
            passes: watch::Sender::new(0),
            idle: watch::Sender::new(true),
            engine: OnceLock::new(),
            plugins: Plugins::default(),
            left_out: Mutex::default(),
            events: events.clone(),
        };
        events.tap(move |event| inbox.put(event.clone()));
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Tells what is due and what happens from now on. Items are looked up in `engine`.
    pub fn start(&self, engine: Engine) {
        if self.inner.engine.set(engine).is_ok() {
            let inner = self.inner.clone();
            tokio::spawn(async move {
                plugins::start(&inner).await;
                deliver::task(inner).await;
            });
        }
    }

    /// Tells `daemon.stopping`, then ends the hooks that run; what they were told is told again at the next start.
    pub async fn stop(&self) {
        let inner = &self.inner;
        inner.idle.send_replace(false);
        let text = "p2pd stops".to_owned();
        inner.events.emit("daemon.stopping", None, None, text);
        let mut idle = inner.idle.subscribe();
        let _ = tokio::time::timeout(LAST_WORDS, idle.wait_for(|idle| *idle)).await;
        inner.stopping.send_replace(true);
        let all = u32::from(inner.config.concurrency.get());
        let _ = tokio::time::timeout(ENDING, inner.slots.acquire_many(all)).await;
    }

    /// What lies in the hook folders, and whether it is run.
    pub async fn list(&self) -> Vec<Hook> {
        let folders = self.inner.folders.clone();
        let found = tokio::task::spawn_blocking(move || folders.all()).await;
        let files = found.unwrap_or_default().into_iter();
        let running = self.inner.plugins.list();
        let idle = |file: &Hook| !running.iter().any(|plugin| plugin.path == file.path);
        let files = files.map(shown).filter(idle);
        files.chain(running.iter().cloned()).collect()
    }

    /// How the last runs went, the newest first.
    pub async fn log(&self, limit: Option<u32>) -> Result<Vec<HookRun>, StateError> {
        self.inner.journal.runs(limit.unwrap_or(u32::MAX)).await
    }

    /// Runs the hooks of an event or gate now, for an item. What gates answer changes nothing.
    pub async fn run(&self, event: &str, item: InfoHash) -> Result<Vec<HookRun>, Fault> {
        let inner = &self.inner;
        if !event::is_known(event) {
            let fix = match inner.folders.nearest(event) {
                Some(meant) => format!("Perhaps `{meant}` is meant; docs/hooks.md lists them"),
                None => "docs/hooks.md lists them".to_owned(),
            };
            let what = format!("there is no event {event}");
            let why = "Only what p2pd tells has hooks";
            return Err(Fault::new(ErrorKind::Usage, what, why, fix));
        }
        let hooks = inner.hooks_of(event).await;
        if hooks.is_empty() {
            let dirs = inner
                .folders
                .dirs
                .iter()
                .map(|dir| dir.display().to_string());
            return Err(Fault::new(
                ErrorKind::NotFound,
                format!("no hook of {event} is run"),
                format!(
                    "None lies in {event}.d in {}",
                    dirs.collect::<Vec<_>>().join(" or ")
                ),
                "See what there is and why it is not run:  p2pctl hooks ls",
            ));
        }
        let shown = match inner.engine.get() {
            Some(engine) => engine.item(item).await,
            None => None,
        };
        let shown = shown.ok_or_else(|| crate::engine::no_such(item))?;
        let mut body = Body::of_gate(event, new_id(), shown, inner.about.clone());
        body.text = format!("{event}, run by command");
        let mut runs = Vec::new();
        for hook in hooks {
            let (run, _) = inner.run(&hook, &body).await;
            inner.keep(&run).await;
            runs.push(run);
        }
        Ok(runs)
    }
}

impl Inner {
    /// The hooks of an event that are run, in order.
    async fn hooks_of(&self, event: &str) -> Vec<Listener> {
        self.plugins.settled().await;
        let plugins = self.plugins.wanting(event);
        let (folders, event) = (self.folders.clone(), event.to_owned());
        let found = tokio::task::spawn_blocking(move || folders.of_event(&event)).await;
        let programs = found.unwrap_or_default().into_iter();
        let programs = programs.filter(|hook| hook.standing == Standing::Ready);
        let programs = programs.map(Listener::Program);
        programs
            .chain(plugins.into_iter().map(Listener::Plugin))
            .collect()
    }

    /// Keeps how a run went, and logs it.
    async fn keep(&self, run: &HookRun) {
        if let Err(error) = self.journal.ran(run).await {
            tracing::warn!("hooks: a run cannot be kept: {error}");
        }
    }

    fn failed_gate_allows(&self) -> bool {
        self.config.failed_gate == GateFailure::Allow
    }
}

/// Where hooks lie, the first hiding the next by name.
fn folders(places: &Places) -> Folders {
    let beside = places.config.parent().unwrap_or(&places.config);
    let own = beside.join("hooks.d");
    let dirs = match places.mode {
        Mode::User => vec![own],
        Mode::System => vec![own, PathBuf::from("/usr/lib/p2p/hooks.d")],
    };
    let names = event::names().chain([plugins::FOLDER]).collect();
    Folders { dirs, names }
}

fn shown(found: Found) -> Hook {
    let (state, reason) = match found.standing {
        Standing::Ready => ("ready", None),
        Standing::Masked => ("masked", Some("it is a link to /dev/null".to_owned())),
        Standing::Refused(why) => ("refused", Some(why)),
    };
    Hook {
        event: found.event,
        name: found.name,
        path: Some(PathText::from(&*found.path)),
        state: state.to_owned(),
        reason,
    }
}
