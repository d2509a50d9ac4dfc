//! Plugins that connect to the control socket: a service with a user and a unit of its own. They are told and asked while they are connected.

use std::sync::{Arc, Mutex, PoisonError};

use p2p_wire::control::{Answer as Reply, ErrorKind, PluginManifest};
use tokio::sync::mpsc;

use super::Hooks;
use super::plugins::check;
use super::questions::Questions;
use crate::Fault;

/// The registration of a plugin; it ends when this is dropped.
pub struct Remote {
    hooks: Hooks,
    name: String,
    questions: Arc<Mutex<Questions>>,
    task: tokio::task::AbortHandle,
}

impl Hooks {
    /// Registers the plugin at the other end of `lines`, which takes whole lines; when that is full, who tells or asks waits.
    ///
    /// Only root and the user that p2pd runs as (`is_owner`) may stand at a gate.
    pub fn connect(
        &self,
        manifest: PluginManifest,
        is_owner: bool,
        lines: mpsc::Sender<String>,
    ) -> Result<Remote, Fault> {
        let what = format!("plugin {} cannot be registered", manifest.name);
        let refuse = |kind, why: String, fix| Err(Fault::new(kind, what.clone(), why, fix));
        if let Err(why) = check(&manifest) {
            return refuse(
                ErrorKind::Usage,
                why,
                "docs/hooks.md says what a plugin sends",
            );
        }
        if !manifest.gates.is_empty() && !is_owner {
            let why = "only root and the user p2pd runs as may stand at a gate".to_owned();
            return refuse(ErrorKind::Permission, why, "run it as that user");
        }
        let name = manifest.name.clone();
        let Some(mut requests) = self.inner.plugins.connect(manifest) else {
            let why = "there is one of this name, or the name is empty".to_owned();
            return refuse(ErrorKind::Conflict, why, "give it another name");
        };
        let questions = Arc::new(Mutex::new(Questions::default()));
        let asking = questions.clone();
        let task = tokio::spawn(async move {
            while let Some(request) = requests.recv().await {
                let (line, told) = {
                    let mut questions = asking.lock().unwrap_or_else(PoisonError::into_inner);
                    questions.line(request)
                };
                if lines.send(line).await.is_err() {
                    return;
                }
                if let Some(told) = told {
                    // Who told may have given up.
                    let _ = told.send(());
                }
            }
        });
        Ok(Remote {
            hooks: self.clone(),
            name,
            questions,
            task: task.abort_handle(),
        })
    }
}

impl Remote {
    /// An answer came.
    pub fn hear(&self, reply: Reply) {
        let questions = self.questions.lock();
        questions
            .unwrap_or_else(PoisonError::into_inner)
            .hear(reply);
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        self.task.abort();
        self.hooks.inner.plugins.disconnect(&self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Mode, Places};
    use crate::engine::Events;
    use crate::state::State;

    fn manifest(gates: &[&str]) -> PluginManifest {
        PluginManifest {
            name: "scanner".into(),
            api: 1,
            events: vec!["item".into()],
            gates: gates.iter().map(|&gate| gate.to_owned()).collect(),
        }
    }

    #[tokio::test]
    async fn only_the_owner_may_stand_at_a_gate_and_a_name_is_taken_until_its_holder_goes() {
        let dir = tempfile::tempdir().unwrap();
        let (state, _lock) = State::open(dir.path()).unwrap();
        let places = Places {
            mode: Mode::System,
            home: None,
            config: dir.path().join("p2pd.toml"),
            config_named: false,
            state: dir.path().to_owned(),
            socket: dir.path().join("control.sock"),
        };
        let hooks = Hooks::open(&places, Config::default().hooks, state, Events::default());
        let connect = |manifest, is_owner| {
            let (lines, _) = mpsc::channel(1);
            let registered = hooks.connect(manifest, is_owner, lines);
            registered.map_err(|fault| fault.kind)
        };
        let refused = connect(manifest(&["pre-add"]), false).err();
        assert_eq!(refused, Some(ErrorKind::Permission));
        let unknown = connect(manifest(&["pre-nothing"]), true).err();
        assert_eq!(unknown, Some(ErrorKind::Usage));
        // To be told is not to stand at a gate.
        let told = connect(manifest(&[]), false).unwrap();
        let taken = connect(manifest(&["pre-add"]), true).err();
        assert_eq!(taken, Some(ErrorKind::Conflict));
        drop(told);
        assert!(connect(manifest(&["pre-add"]), true).is_ok());
    }
}
