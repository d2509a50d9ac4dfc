//! Peers that a client names: `host:port`, or a node of the tracker.

use std::net::SocketAddr;
use std::time::Duration;

use p2p_wire::InfoHash;
use p2p_wire::api::FetchPeer;
use p2p_wire::control::ErrorKind;

use crate::Fault;
use crate::tracker::Trackers;

/// Peers that may be named at most.
pub(super) const MAX_PEERS: usize = 50;
/// Until a name is an address.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// The addresses of `from`: `host:port`, or a node by its name among the `known` peers of the
/// item, or those that the tracker knows.
pub(super) async fn from(
    trackers: &Trackers,
    tracker: Option<&str>,
    info_hash: InfoHash,
    known: &[FetchPeer],
    from: &str,
) -> Result<Vec<SocketAddr>, Fault> {
    if from
        .rsplit_once(':')
        .is_some_and(|(_, port)| port.parse::<u16>().is_ok())
    {
        return lookup(from).await;
    }
    let asked;
    let peers = if known.is_empty() {
        asked = trackers.fetch(tracker, info_hash).await?.peers;
        &asked
    } else {
        known
    };
    let is_it = |peer: &&FetchPeer| {
        let node = peer.node.as_deref().unwrap_or_default();
        node == from || node.rsplit('/').next() == Some(from)
    };
    let meant: Vec<&FetchPeer> = peers.iter().filter(is_it).collect();
    one_node(from, &meant)?;
    let mut addrs = Vec::new();
    for peer in meant {
        addrs.extend(lookup(&peer.addr).await?);
    }
    if addrs.is_empty() {
        let nodes: Vec<_> = peers.iter().filter_map(|peer| peer.node.clone()).collect();
        let why = match nodes.as_slice() {
            [] => "No node is known to be in its swarm now".to_owned(),
            nodes => format!("In its swarm are {}", nodes.join(", ")),
        };
        return Err(Fault::new(
            ErrorKind::NotFound,
            format!("cannot fetch from `{from}`"),
            why,
            "Name one of those, or HOST:PORT:  p2pctl online   shows the nodes",
        ));
    }
    Ok(addrs)
}

/// Refuses a name that machines of several accounts have: from whom is not to be guessed.
fn one_node(from: &str, meant: &[&FetchPeer]) -> Result<(), Fault> {
    let mut nodes: Vec<&str> = meant.iter().filter_map(|p| p.node.as_deref()).collect();
    nodes.sort_unstable();
    nodes.dedup();
    match nodes.as_slice() {
        [first, _, ..] => Err(Fault::new(
            ErrorKind::Conflict,
            format!("`{from}` means {} machines", nodes.len()),
            format!("In its swarm are {}", nodes.join(", ")),
            format!("Name one of those:  --from {first}"),
        )),
        _ => Ok(()),
    }
}

pub(super) async fn lookup_all(peers: &[String]) -> Result<Vec<SocketAddr>, Fault> {
    if peers.len() > MAX_PEERS {
        return Err(Fault::new(
            ErrorKind::Usage,
            "too many peers",
            format!("at most {MAX_PEERS} can be named"),
            "Leave some out; the others are found through them",
        ));
    }
    let mut addrs = Vec::new();
    for peer in peers {
        addrs.extend(lookup(peer).await?);
    }
    Ok(addrs)
}

/// The addresses of `host:port`.
pub(super) async fn lookup(peer: &str) -> Result<Vec<SocketAddr>, Fault> {
    let fault = |why: String| {
        Fault::new(
            ErrorKind::Usage,
            format!("`{peer}` is no peer that can be asked"),
            why,
            "A peer is HOST:PORT, such as 192.0.2.7:6881 or [2001:db8::7]:6881",
        )
    };
    let found = tokio::time::timeout(LOOKUP_TIMEOUT, tokio::net::lookup_host(peer)).await;
    match found {
        Err(_) => Err(fault("its name was not found in time".into())),
        Ok(Err(error)) => Err(fault(error.to_string())),
        Ok(Ok(addrs)) => Ok(addrs.collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_two_machines_have_is_nobodys() {
        let peer = |node: &str| FetchPeer {
            addr: "192.0.2.7:1".to_owned(),
            node: Some(node.to_owned()),
            seed: true,
        };
        let (ann, bob) = (peer("ann/nas"), peer("bob/nas"));
        // One machine may have several addresses.
        assert_eq!(one_node("nas", &[&ann, &ann]), Ok(()));
        let fault = one_node("nas", &[&bob, &ann]).unwrap_err();
        assert_eq!(fault.kind, ErrorKind::Conflict);
        assert_eq!(fault.why, "In its swarm are ann/nas, bob/nas");
    }
}
