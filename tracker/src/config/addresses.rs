//! What an address in the configuration may look like.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Whether all of that can be listened on, as far as can be told without trying.
pub(super) fn are_addresses(texts: &[String]) -> bool {
    texts.iter().all(|text| is_listen_address(text))
}

/// Whether announce URLs can begin so.
pub(super) fn is_base_url(url: &str) -> bool {
    url.strip_prefix("https://")
        .or(url.strip_prefix("http://"))
        .is_some_and(|host| !host.is_empty() && !host.contains(['?', '#', ' ']))
}

/// An address or a host name, and a port.
fn is_listen_address(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else {
        return false;
    };
    let host_ok = match host.strip_prefix('[') {
        Some(v6) => v6
            .strip_suffix(']')
            .is_some_and(|v6| v6.parse::<Ipv6Addr>().is_ok()),
        None if host.bytes().all(|c| c.is_ascii_digit() || c == b'.') => {
            host.parse::<Ipv4Addr>().is_ok()
        }
        None => host
            .bytes()
            .all(|c| c.is_ascii_alphanumeric() || c == b'.' || c == b'-'),
    };
    host_ok && port.parse::<u16>().is_ok()
}
