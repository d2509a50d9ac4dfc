//! Which addresses are not of the wide Internet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether `addr` is this machine, its network, a private network, or nobody in particular: where services are that strangers must not
/// make us call on.
pub fn is_near(addr: IpAddr) -> bool {
    match addr {
        IpAddr::V4(v4) => is_near_v4(v4),
        IpAddr::V6(v6) => match inside(v6) {
            Some(v4) => is_near_v4(v4),
            None => {
                v6 == Ipv6Addr::LOCALHOST
                    || v6.is_unspecified()
                    || v6.is_multicast()
                    || v6.is_unique_local()
                    || v6.is_unicast_link_local()
            }
        },
    }
}

fn is_near_v4(v4: Ipv4Addr) -> bool {
    // RFC 1122: this network. RFC 6598: shared with the provider.
    let [first, second, ..] = v4.octets();
    let shared = first == 100 && second & 0xc0 == 64;
    first == 0
        || shared
        || v4.is_loopback()
        || v4.is_private()
        || v4.is_link_local()
        || v4.is_broadcast()
        || v4.is_multicast()
}

/// The IPv4 address that an IPv6 one stands for: mapped (RFC 4291), or translated by a NAT64 (RFC 6052).
fn inside(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    match v6.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            Some(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)))
        }
        _ => v6.to_ipv4_mapped(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_this_machine_and_of_private_networks_are_near() {
        for near in [
            "127.0.0.1",
            "127.255.0.9",
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "255.255.255.255",
            "224.0.0.1",
            "::",
            "::1",
            "fd00::1",
            "fe80::1",
            "ff02::1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
        ] {
            assert!(is_near(near.parse().unwrap()), "{near}");
        }
        for far in [
            "8.8.8.8",
            "100.128.0.1",
            "172.32.0.1",
            "2001:db8::1",
            "64:ff9b::808:808",
        ] {
            assert!(!is_near(far.parse().unwrap()), "{far}");
        }
    }
}
