//! The port that peers connect to, the same after a restart: others know it.

use crate::state::State;

/// File in the state folder with the port, so that it is the same after a restart.
const PORT_FILE: &str = "port";

/// The port of the last time.
pub(super) fn kept(state: &State) -> Option<u16> {
    let kept = std::fs::read_to_string(state.dir().join(PORT_FILE)).ok()?;
    kept.trim().parse().ok().filter(|port| *port != 0)
}

/// Keeps it for the next time.
pub(super) fn keep(state: &State, port: u16) {
    if let Err(error) = std::fs::write(state.dir().join(PORT_FILE), format!("{port}\n")) {
        tracing::warn!("the port {port} cannot be kept: {error}");
    }
}
