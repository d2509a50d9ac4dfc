//! Plugins: long-lived hooks. Which there are, what each wants to hear, and the way to each.
//!
//! A plugin's file lies in `plugins.d` under the same rules as a hook. It is started with the daemon and again, after a growing
//! wait, whenever it ends. What it wants to hear is remembered over restarts, so that nothing passes a gate because its plugin is not up yet.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use p2p_hooks::{Standing, stops};
use p2p_wire::control::{Hook, HookRun, PathText, PluginManifest};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::event::{Body, Gate, is_known};
use super::run::{Answer, log};
use super::{Inner, session};

/// The version of the protocol that plugins speak.
pub(super) const API: u32 = 1;
/// Before a plugin is started again: at first, and at most.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Requests on their way to a plugin; when full, who asks waits.
const QUEUE: usize = 64;
/// How long the first events and questions wait for plugins that are starting.
const SETTLE: Duration = Duration::from_secs(10);

/// The folder of plugins beside those of the events, without its `.d`.
pub(super) const FOLDER: &str = "plugins";
/// What is put before a plugin's name where hooks are named.
const PREFIX: &str = "plugin ";

/// The plugins of this daemon.
pub(super) struct Plugins {
    table: Mutex<BTreeMap<String, Plugin>>,
    /// All that lie in the hook folders are in the table.
    listed: AtomicBool,
    /// Counts changes of the table.
    changed: watch::Sender<u64>,
}

struct Plugin {
    path: Option<PathBuf>,
    state: &'static str,
    reason: Option<String>,
    manifest: Option<PluginManifest>,
    link: Option<mpsc::Sender<Request>>,
}

/// To the session of a plugin.
pub(super) enum Request {
    /// Told; answered when it is written.
    Event(String, oneshot::Sender<()>),
    /// Asked: the gate and what it is told. No answer means that the plugin ended.
    Ask(Gate, String, oneshot::Sender<Answer>),
}

impl Default for Plugins {
    fn default() -> Self {
        Self {
            table: Mutex::default(),
            listed: AtomicBool::new(false),
            changed: watch::Sender::new(0),
        }
    }
}

impl Plugins {
    /// Names of those that want to hear of an event or be asked at a gate.
    pub(super) fn wanting(&self, event: &str) -> Vec<String> {
        let table = self.table();
        let wanting = table.iter().filter(|(_, plugin)| {
            let manifest = plugin.manifest.as_ref();
            manifest.is_some_and(|manifest| wants(manifest, event))
        });
        wanting.map(|(name, _)| name.clone()).collect()
    }

    /// Waits until every plugin that is being started has said what it wants, or has failed.
    pub(super) async fn settled(&self) {
        let mut changed = self.changed.subscribe();
        let settled = changed.wait_for(|_| {
            let starting = |plugin: &Plugin| plugin.state == "starting";
            self.listed.load(Ordering::Acquire) && !self.table().values().any(starting)
        });
        let _ = timeout(SETTLE, settled).await;
    }

    /// As `p2pctl hooks ls` shows them.
    pub(super) fn list(&self) -> Vec<Hook> {
        let table = self.table();
        let shown = table.iter().map(|(name, plugin)| Hook {
            event: FOLDER.to_owned(),
            name: name.clone(),
            path: plugin.path.as_deref().map(PathText::from),
            state: plugin.state.to_owned(),
            reason: plugin.reason.clone(),
        });
        shown.collect()
    }

    /// Takes in a plugin that connected by itself; `None` if its name is taken or none.
    pub(super) fn connect(&self, manifest: PluginManifest) -> Option<mpsc::Receiver<Request>> {
        let (link, requests) = mpsc::channel(QUEUE);
        let name = manifest.name.clone();
        let mut table = self.table();
        if name.is_empty() || table.contains_key(&name) {
            return None;
        }
        let plugin = Plugin {
            path: None,
            state: "connected",
            reason: None,
            manifest: Some(manifest),
            link: Some(link),
        };
        table.insert(name, plugin);
        drop(table);
        self.changed.send_modify(|count| *count += 1);
        Some(requests)
    }

    /// A plugin that connected by itself has gone.
    pub(super) fn disconnect(&self, name: &str) {
        self.table().remove(name);
        self.changed.send_modify(|count| *count += 1);
    }

    fn update(&self, name: &str, update: impl FnOnce(&mut Plugin)) {
        if let Some(plugin) = self.table().get_mut(name) {
            update(plugin);
        }
        self.changed.send_modify(|count| *count += 1);
    }

    /// The way to a plugin once it is up; `None` if it is not within `limit`, or there is no such plugin.
    async fn link(&self, name: &str, limit: Duration) -> Option<mpsc::Sender<Request>> {
        let end = Instant::now() + limit;
        let mut changed = self.changed.subscribe();
        loop {
            changed.mark_unchanged();
            let link = self.table().get(name)?.link.clone();
            if let Some(link) = link.filter(|link| !link.is_closed()) {
                return Some(link);
            }
            if timeout_at(end, changed.changed()).await.is_err() {
                return None;
            }
        }
    }

    fn table(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Plugin>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a plugin is named where hooks are.
pub(super) fn named(plugin: &str) -> String {
    format!("{PREFIX}{plugin}")
}

fn wants(manifest: &PluginManifest, event: &str) -> bool {
    let named = |wanted: &String| {
        let rest = event.strip_prefix(wanted.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    match Gate::of(event) {
        Some(_) => manifest.gates.iter().any(|gate| gate == event),
        None => manifest.events.iter().any(named),
    }
}

/// Refuses a manifest that cannot be meant.
pub(super) fn check(manifest: &PluginManifest) -> Result<(), String> {
    if manifest.api != API {
        return Err(format!(
            "it speaks version {} of the plugin protocol, p2pd speaks {API}",
            manifest.api
        ));
    }
    let unknown = manifest.gates.iter().find(|gate| Gate::of(gate).is_none());
    if let Some(gate) = unknown {
        return Err(format!("there is no gate `{gate}`"));
    }
    let family = |event: &str| {
        matches!(
            event,
            "daemon" | "share" | "item" | "file" | "tracker" | "disk"
        )
    };
    let unknown = (manifest.events.iter()).find(|event| !is_known(event) && !family(event));
    match unknown {
        Some(event) => Err(format!("there is no event `{event}`")),
        None => Ok(()),
    }
}

/// Starts the plugins that lie in the hook folders.
pub(super) async fn start(inner: &Arc<Inner>) {
    let folders = inner.folders.clone();
    let found = tokio::task::spawn_blocking(move || folders.of_event(FOLDER)).await;
    let known = inner.journal.manifests().await.unwrap_or_default();
    for file in found.unwrap_or_default() {
        if file.standing != Standing::Ready {
            continue;
        }
        let remembered = known.iter().find(|(name, _)| *name == file.name);
        let plugin = Plugin {
            path: Some(file.path.clone()),
            state: "starting",
            reason: None,
            manifest: remembered.map(|(_, manifest)| manifest.clone()),
            link: None,
        };
        inner.plugins.table().insert(file.name.clone(), plugin);
        tokio::spawn(supervise(inner.clone(), file.name, file.path));
    }
    inner.plugins.listed.store(true, Ordering::Release);
    inner.plugins.changed.send_modify(|count| *count += 1);
    for (gone, _) in known {
        let is_there = inner.plugins.table().contains_key(&gone);
        if is_there {
            continue;
        }
        if let Err(error) = inner.journal.forget_manifest(&gone).await {
            tracing::warn!("plugin {gone} cannot be forgotten: {error}");
        }
    }
}

/// Keeps a plugin running until p2pd stops.
async fn supervise(inner: Arc<Inner>, name: String, path: PathBuf) {
    let mut stopping = inner.stopping.subscribe();
    let mut wait = FIRST_WAIT;
    loop {
        let begin = Instant::now();
        let why = session::run(&inner, &name, &path).await;
        if *stopping.borrow() {
            return;
        }
        if begin.elapsed() > LONGEST_WAIT {
            wait = FIRST_WAIT;
        }
        tracing::warn!(
            "plugin {name} ended: {why}; it is started again in {} s",
            wait.as_secs()
        );
        inner.plugins.update(&name, |plugin| {
            plugin.state = "waiting";
            plugin.reason = Some(why);
            plugin.link = None;
        });
        tokio::select! {
            () = sleep(wait) => {}
            () = stops(&mut stopping) => return,
        }
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

impl Inner {
    /// A plugin has said what it wants: it is told from now on through what this gives back.
    pub(super) async fn plugin_ready(
        &self,
        name: &str,
        manifest: PluginManifest,
    ) -> mpsc::Receiver<Request> {
        if let Err(error) = self.journal.keep_manifest(name, &manifest).await {
            tracing::warn!("what plugin {name} wants cannot be kept: {error}");
        }
        let (link, requests) = mpsc::channel(QUEUE);
        self.plugins.update(name, |plugin| {
            plugin.state = "ready";
            plugin.reason = None;
            plugin.manifest = Some(manifest);
            plugin.link = Some(link);
        });
        requests
    }

    /// Tells or asks a plugin. A question that its end interrupts is put once more.
    pub(super) async fn call_plugin(&self, name: &str, body: &Body) -> (HookRun, Answer) {
        let (time, begin) = (jiff::Timestamp::now().to_string(), Instant::now());
        let answer = match Gate::of(&body.event) {
            Some(gate) => self.ask_plugin(name, gate, body).await,
            None => self.tell_plugin(name, body).await,
        };
        let run = HookRun {
            time,
            event: body.event.clone(),
            event_id: body.event_id.clone(),
            hook: named(name),
            info_hash: body.info_hash,
            name: body.name.clone(),
            outcome: answer.outcome().to_owned(),
            exit: None,
            took_ms: u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX),
            reason: answer.reason(),
            tail: String::new(),
        };
        log(&run, &answer);
        (run, answer)
    }

    async fn tell_plugin(&self, name: &str, body: &Body) -> Answer {
        let limit = self.limit(None);
        if !self.plugins.table().contains_key(name) {
            return Answer::Failed("there is no such plugin any more".into());
        }
        let Some(link) = self.plugins.link(name, limit).await else {
            return Answer::Later("the plugin is not up".into());
        };
        let (reply, written) = oneshot::channel();
        let sent = link.send(Request::Event(body.to_json(), reply)).await;
        match sent.is_ok() && timeout(limit, written).await.is_ok_and(|told| told.is_ok()) {
            true => Answer::Ok(super::Terms::default()),
            false => Answer::Later("the plugin ended, or does not read".into()),
        }
    }

    async fn ask_plugin(&self, name: &str, gate: Gate, body: &Body) -> Answer {
        let limit = self.limit(Some(gate));
        for _ in 0..2 {
            let Some(link) = self.plugins.link(name, limit).await else {
                return Answer::Failed("the plugin is not up".into());
            };
            let (reply, answer) = oneshot::channel();
            let _ = link.send(Request::Ask(gate, body.to_json(), reply)).await;
            match timeout(limit, answer).await {
                Ok(Ok(answer)) => return answer,
                Ok(Err(_)) => {}
                Err(_) => return Answer::Failed("the plugin took too long".into()),
            }
        }
        match *self.stopping.borrow() {
            true => Answer::Stopped,
            false => Answer::Failed("the plugin ended twice while it was asked".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(events: &[&str], gates: &[&str]) -> PluginManifest {
        let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        PluginManifest {
            name: "x".into(),
            api: API,
            events: own(events),
            gates: own(gates),
        }
    }

    #[test]
    fn a_plugin_hears_what_it_named() {
        let some = manifest(&["item", "tracker.error"], &["pre-release"]);
        assert_eq!(check(&some), Ok(()));
        for (event, wanted) in [
            ("item.finished", true),
            ("tracker.error", true),
            ("tracker.recovered", false),
            ("pre-release", true),
            ("pre-add", false),
        ] {
            assert_eq!(wants(&some, event), wanted, "{event}");
        }
        assert!(check(&manifest(&["items"], &[])).is_err());
        assert!(check(&manifest(&[], &["pre-lease"])).is_err());
        let newer = PluginManifest { api: 2, ..some };
        assert!(check(&newer).unwrap_err().contains("version 2"));
    }
}
