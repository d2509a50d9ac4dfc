//! How the descriptors that this process may have are shared out.
//!
//! Peers and files take as many as they are given, so they are given a part only: what never may lack one (the database, the control socket
//! and who asks there, watches, announces, hooks) lives on the rest.

use nix::sys::resource::{Resource, getrlimit};

/// What is never given to peers and files.
const RESERVED: u64 = 96;

/// How many descriptors each kind may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shares {
    /// Peers.
    pub(crate) peers: usize,
    /// Connections whose handshake has not come.
    pub(crate) pending: usize,
    /// Files that are open to be read and written, of which one that is written past the page cache takes two; and pipes of what is sent from it.
    pub(crate) files: usize,
}

/// The shares under the limit of this process.
pub(crate) fn shares() -> Shares {
    // A limit that cannot be asked for is nowhere known; that of old systems is the safe guess.
    let soft = getrlimit(Resource::RLIMIT_NOFILE).map_or(256, |(soft, _)| soft);
    Shares::of(soft)
}

impl Shares {
    fn of(limit: u64) -> Self {
        let free = limit.saturating_sub(RESERVED).max(limit / 4);
        let part = |eighths: u64| {
            usize::try_from(free / 8 * eighths)
                .unwrap_or(usize::MAX)
                .max(1)
        };
        Self {
            peers: part(4),
            pending: part(1),
            files: part(2),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_any_limit_stays_for_what_must_not_lack_one() {
        for limit in [64, 256, 1_024, 65_536, u64::MAX] {
            let shares = Shares::of(limit);
            let given = [shares.peers, shares.pending, shares.files];
            let sum: u64 = given.iter().map(|n| *n as u64).sum();
            assert!(
                sum <= limit - limit / 8 && given.iter().all(|n| *n > 0),
                "{limit}: {shares:?}"
            );
        }
        assert_eq!(
            Shares::of(256),
            Shares {
                peers: 80,
                pending: 20,
                files: 40
            }
        );
        assert!(Shares::of(1_024).peers > 400, "the default of max_peers");
    }
}
