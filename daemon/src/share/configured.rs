//! The shares of the configuration file, followed at each start and reload.

use std::path::PathBuf;
use std::sync::Arc;

use p2p_wire::control::{Each, ShareAdd};

use super::holder::Holder;
use super::hub::{Handle, Hub};
use super::store::NewShare;
use crate::Fault;

impl<H: Holder> Hub<H> {
    /// Makes the shares of the configuration file those in `configured`: new ones begin, those that are not there any more end, one that
    /// is written otherwise begins anew. A share made by command stays as it is.
    pub(super) async fn follow_file(self: &Arc<Self>, configured: Vec<NewShare>) -> Vec<String> {
        let mut problems = Vec::new();
        let wanted: Vec<(Option<PathBuf>, NewShare)> = configured
            .into_iter()
            .map(|new| {
                let path = new.add.path.to_path();
                (path.map(|path| path.canonicalize().unwrap_or(path)), new)
            })
            .collect();
        let before: Vec<Handle> = self.folders().clone();
        for handle in before.iter().filter(|handle| handle.configured) {
            let kept = wanted.iter().any(|(path, new)| {
                path.as_ref() == Some(&handle.path) && is_written_as(&new.add, handle)
            });
            if !kept && let Err(fault) = self.end(handle).await {
                problems.push(self.report(handle.owner, &fault));
            }
        }
        for (path, new) in wanted {
            let there = path.is_some_and(|path| self.folders().iter().any(|f| f.path == path));
            // A share of the file that cannot be used must not keep the daemon from starting.
            if !there && let Err(fault) = self.begin(new.clone()).await {
                problems.push(self.report(new.owner, &fault));
            }
        }
        problems
    }

    fn report(&self, owner: u32, fault: &Fault) -> String {
        let text = format!("{}: {} {}", fault.what, fault.why, fault.fix);
        self.events
            .emit_to(owner, "share.error", None, None, text.clone());
        text
    }
}

/// Whether the configuration file asks for the share as it is. A file is one item whatever is asked.
fn is_written_as(add: &ShareAdd, handle: &Handle) -> bool {
    let mut asked = add.clone();
    asked.path.clone_from(&handle.options.path);
    if handle.path.is_file() {
        asked.each = Each::Whole;
    }
    asked == handle.options
}
