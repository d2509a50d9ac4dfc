//! Hosts of trackers that cannot be connected to.
//!
//! Such a host is probed by one item at a time while the others wait for it, so that an unreachable tracker takes no slots from those that
//! answer, and 10,000 items do not knock at once when it comes back.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::backoff::backoff;

const FIRST_WAIT: Duration = Duration::from_secs(5);
const LONGEST_WAIT: Duration = Duration::from_secs(120);
/// While another item probes.
const PROBE_WAIT: Duration = Duration::from_secs(1);

/// Those that could not be connected to when they were asked last.
#[derive(Default)]
pub(super) struct Hosts(HashMap<String, Host>);

struct Host {
    failures: u32,
    until: Instant,
    probing: bool,
}

impl Hosts {
    /// Whether `host` may be asked now; if it could not be connected to, this is the probe. `Err` is when to try again.
    pub(super) fn begin(&mut self, host: &str, now: Instant) -> Result<(), Instant> {
        let Some(known) = self.0.get_mut(host) else {
            return Ok(());
        };
        if known.probing || known.until > now {
            return Err(known.until.max(now + PROBE_WAIT));
        }
        known.probing = true;
        Ok(())
    }

    /// There was no connection to `host`.
    pub(super) fn unreachable(&mut self, host: &str, now: Instant) {
        let host = self.0.entry(host.to_owned()).or_insert(Host {
            failures: 0,
            until: now,
            probing: false,
        });
        // Those that were out together failed together.
        if host.until <= now {
            host.failures = host.failures.saturating_add(1);
            host.until = now + backoff(FIRST_WAIT, LONGEST_WAIT, host.failures);
        }
        host.probing = false;
    }

    /// `host` was connected to, whatever it said.
    pub(super) fn answered(&mut self, host: &str) {
        self.0.remove(host);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_probes_a_host_that_could_not_be_connected_to() {
        let (mut hosts, start) = (Hosts::default(), Instant::now());
        assert_eq!(hosts.begin("a", start), Ok(()));
        assert_eq!(hosts.begin("a", start), Ok(()), "nothing is known of it");
        hosts.unreachable("a", start);
        let until = hosts.begin("a", start).unwrap_err();
        hosts.unreachable("a", start);
        assert_eq!(hosts.begin("a", start), Err(until), "they failed together");
        assert_eq!(hosts.begin("b", start), Ok(()));
        assert_eq!(hosts.begin("a", until), Ok(()));
        assert_eq!(hosts.begin("a", until), Err(until + PROBE_WAIT));
        hosts.unreachable("a", until);
        let later = hosts.begin("a", until).unwrap_err();
        assert!(later - until >= until - start, "it waits longer");
        hosts.answered("a");
        assert_eq!(hosts.begin("a", until), Ok(()));
    }
}
