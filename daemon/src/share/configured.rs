//! The shares of the configuration file, followed at each start and reload.

use std::path::Path;
use std::sync::Arc;

use p2p_wire::control::ShareAdd;

use super::holder::Holder;
use super::hub::{Handle, Hub};
use super::place;
use super::store::NewShare;
use crate::Fault;

impl<H: Holder> Hub<H> {
    /// Makes the shares of the configuration file those in `configured`: new ones begin, those that are not there any more end, one that
    /// is written otherwise begins anew. A share made by command stays as it is.
    pub(super) async fn follow_file(self: &Arc<Self>, configured: Vec<NewShare>) -> Vec<String> {
        let mut problems = Vec::new();
        // All are looked for at once: one whose disk does not answer keeps the start waiting for no longer than one does.
        let looks: Vec<_> = configured
            .into_iter()
            .map(|new| {
                let path = new.add.path.to_path();
                let look = async move { place::resolved(path?).await };
                (tokio::spawn(look), new)
            })
            .collect();
        let mut wanted = Vec::with_capacity(looks.len());
        for (path, new) in looks {
            wanted.push((path.await.ok().flatten(), new));
        }
        let before: Vec<Handle> = self.folders().clone();
        for handle in before.iter().filter(|handle| handle.configured) {
            let kept = wanted
                .iter()
                .any(|(path, new)| is_written_as(path.as_deref(), &new.add, handle));
            if !kept && let Err(fault) = self.end(handle).await {
                problems.push(self.report(handle.owner, &fault));
            }
        }
        for (path, new) in wanted {
            let there = self.folders().iter().any(|handle| {
                is_written_as(path.as_deref(), &new.add, handle)
                    || path.as_ref() == Some(&handle.path)
            });
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

/// Whether the configuration file asks for the share as it is. What the path in it leads to is not known while a disk is not mounted.
fn is_written_as(path: Option<&Path>, add: &ShareAdd, handle: &Handle) -> bool {
    *add == handle.options && path.is_none_or(|path| path == handle.path)
}
