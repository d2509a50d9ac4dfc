//! The addresses that connections go out from.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Our side of outgoing connections, per family; `None` leaves the choice to the system.
///
/// A daemon bound to one address must also dial and announce from it: trackers and peers take the address they see for the one
/// it listens on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LocalAddrs {
    /// For peers and trackers with an IPv4 address.
    pub v4: Option<Ipv4Addr>,
    /// For those with an IPv6 address.
    pub v6: Option<Ipv6Addr>,
}

impl LocalAddrs {
    /// The first address of each family that is bound to; none where all addresses are.
    pub fn of(bound: impl IntoIterator<Item = IpAddr>) -> Self {
        let mut local = Self::default();
        for ip in bound {
            match ip {
                _ if ip.is_unspecified() => return Self::default(),
                IpAddr::V4(ip) => local.v4 = local.v4.or(Some(ip)),
                IpAddr::V6(ip) => local.v6 = local.v6.or(Some(ip)),
            }
        }
        local
    }

    /// Where to go out from to reach `remote`.
    pub fn towards(&self, remote: SocketAddr) -> Option<SocketAddr> {
        let ip = match remote {
            SocketAddr::V4(_) => self.v4.map(IpAddr::V4),
            SocketAddr::V6(_) => self.v6.map(IpAddr::V6),
        };
        ip.map(|ip| SocketAddr::new(ip, 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_out_from_the_bound_address_of_the_same_family() {
        let local = LocalAddrs::of(["127.0.1.3".parse().unwrap(), "127.0.1.4".parse().unwrap()]);
        let from = local.towards("10.0.0.1:6881".parse().unwrap());
        assert_eq!(from, Some("127.0.1.3:0".parse().unwrap()));
        assert_eq!(local.towards("[2001:db8::1]:6881".parse().unwrap()), None);
        assert_eq!(
            LocalAddrs::of(["::".parse().unwrap()]),
            LocalAddrs::default()
        );
    }
}
