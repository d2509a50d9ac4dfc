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
