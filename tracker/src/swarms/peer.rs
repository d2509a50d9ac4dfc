//! A peer, and what it says of itself.

use std::net::{IpAddr, SocketAddr};

use p2p_wire::PeerId;

use crate::ids::{AccountId, NodeId};

/// How a client tells itself from others of its account and address: its `key`, else its peer id; long keys are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ident(pub(super) [u8; 20]);

impl Ident {
    /// Of an announce.
    pub fn new(key: Option<&str>, peer_id: PeerId) -> Self {
        let Some(key) = key.filter(|key| !key.is_empty()) else {
            return Self(peer_id.0);
        };
        let mut ident = [0; 20];
        ident
            .iter_mut()
            .zip(key.bytes())
            .for_each(|(to, from)| *to = from);
        Self(ident)
    }
}

/// Which addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// That of an address that is in its canonical form.
    pub fn of(ip: IpAddr) -> Self {
        if ip.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

/// What a peer says of itself.
#[derive(Clone, Copy, Debug)]
pub struct Announce {
    /// Whose passkey it has.
    pub account: AccountId,
    /// Which of the account's clients; `None` for a machine that is known from its reports alone.
    pub ident: Option<Ident>,
    /// Its peer id, where it told one.
    pub peer_id: Option<PeerId>,
    /// Where it listens; port 0 cannot be reached and is counted, not handed out.
    pub addr: SocketAddr,
    /// It has all.
    pub seed: bool,
    /// It says that it has just become a seed.
    pub completed: bool,
    /// It leaves.
    pub stopped: bool,
    /// The only addresses that the answer has room for, if it has not for all.
    pub only: Option<Family>,
    /// When it is gone, unless it is heard of again; seconds.
    pub expires: u32,
}

/// A peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Whose it is.
    pub account: AccountId,
    /// How it tells itself from others; `None` while it is known from reports alone.
    pub ident: Option<Ident>,
    /// Its peer id, where it told one.
    pub peer_id: Option<PeerId>,
    /// Where it listens.
    pub addr: SocketAddr,
    /// It has all.
    pub seed: bool,
    /// The machine it is, if it reports points.
    pub node: Option<NodeId>,
    pub(super) expires: u32,
}

/// What a call changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing that is written down.
    None,
    /// A new peer.
    Joined,
    /// A leech became a seed.
    Completed,
    /// The peer is gone.
    Left,
}

/// A peer that was taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removed {
    /// Whose it was.
    pub account: AccountId,
    /// The machine it was, if it reported points.
    pub node: Option<NodeId>,
    /// Where it was.
    pub ip: IpAddr,
}

/// How many there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Seeds.
    pub seeds: u32,
    /// Leeches.
    pub leeches: u32,
    /// Leeches that became seeds, since the swarm was last empty.
    pub completed: u32,
}

/// Account, client, address.
pub(super) type Key = (AccountId, Ident, IpAddr);
/// Account, address and port.
pub(super) type Place = (AccountId, SocketAddr);

impl Row {
    pub(super) fn new(announce: &Announce, node: Option<NodeId>) -> Self {
        let Announce {
            account,
            ident,
            peer_id,
            addr,
            seed,
            expires,
            ..
        } = *announce;
        Self {
            account,
            ident,
            peer_id,
            addr,
            seed,
            node,
            expires,
        }
    }

    pub(super) fn key(&self) -> Option<Key> {
        self.ident
            .map(|ident| (self.account, ident, self.addr.ip()))
    }

    pub(super) fn place(&self) -> Place {
        (self.account, self.addr)
    }

    pub(super) fn removed(&self) -> Removed {
        Removed {
            account: self.account,
            node: self.node,
            ip: self.addr.ip(),
        }
    }
}
