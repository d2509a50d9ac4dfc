//! Reading what comes back.

use p2p_wire::announce::{Peers, Reply};

/// The peers of an announce that was taken.
pub(crate) fn peers(reply: Reply) -> Peers {
    match reply {
        Reply::Peers(peers) => peers,
        Reply::Failure { reason, .. } => panic!("{reason}"),
    }
}

/// The reason of one that was not.
pub(crate) fn failure(reply: Reply) -> String {
    match reply {
        Reply::Failure { reason, .. } => reason,
        Reply::Peers(peers) => panic!("{peers:?}"),
    }
}

/// What a program printed.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
