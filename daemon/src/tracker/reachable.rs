//! What a tracker can say of this machine: whether others can connect to it.

use p2p_wire::api::Reachable;

use super::Trackers;
use super::accounts::check_transport;
use crate::Fault;

impl Trackers {
    /// Has the tracker `name` connect to `port` of this machine.
    pub async fn reachable(&self, name: &str, port: u16) -> Result<Reachable, Fault> {
        let what = "cannot have the port tested";
        let entry = self.logged_in(Some(name), what)?;
        let answer = self.inner.api(&entry).reachable(port).await;
        self.inner.checked(&entry, what, answer)
    }

    /// `Err` where a password for the tracker `name` would cross a network that others share unencrypted.
    pub async fn transport(&self, name: &str) -> Result<(), Fault> {
        let entry = self.entry(Some(name))?;
        check_transport(&entry, "passwords are not safe").await
    }
}
