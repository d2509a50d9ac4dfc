//! What may be the name and the URL of a tracker, and where a password may go unencrypted.

use std::net::IpAddr;

use p2p_wire::control::ErrorKind;
use url::Url;

use crate::Fault;

pub(super) fn check_name(name: &str) -> Result<(), Fault> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if (1..=32).contains(&name.len()) && name.chars().all(good) {
        return Ok(());
    }
    Err(Fault::new(
        ErrorKind::Usage,
        format!("{:?} is no name for a tracker", name),
        "A name has 1 to 32 letters, digits, `-`, `_` or `.`.",
        "Choose a short one:  p2pctl tracker add home http://HOST:6969",
    ))
}

/// `http(s)://host:port[/prefix]`; without a scheme http is meant.
pub(super) fn normalise(text: &str) -> Result<String, Fault> {
    let bad = |why: &str| {
        Fault::new(
            ErrorKind::Usage,
            "the tracker's URL cannot be used",
            why,
            "Give its address:  p2pctl tracker add home http://HOST:6969",
        )
    };
    let text = text.trim();
    let full = if text.contains("://") {
        text.to_owned()
    } else {
        format!("http://{text}")
    };
    let url = Url::parse(&full).map_err(|error| bad(&format!("It is malformed: {error}.")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(bad("Only http and https can be used."));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(bad("It must not hold a name or password."));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(bad("It must not have a query or fragment."));
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// Whether an address is this machine or a private network, where a password may go unencrypted.
pub(crate) fn is_private(addr: IpAddr) -> bool {
    match addr.to_canonical() {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_normalised_or_refused_with_the_reason() {
        let ok = |text: &str| normalise(text).unwrap();
        assert_eq!(ok("http://Host:6969/"), "http://host:6969");
        assert_eq!(ok("https://host/p2p/"), "https://host/p2p");
        assert_eq!(ok("nas.lan:6969"), "http://nas.lan:6969");
        for bad in [
            "ftp://host",
            "http://",
            "http://a:b@host",
            "http://host/?x=1",
            "http://host:99999",
        ] {
            assert_eq!(normalise(bad).unwrap_err().kind, ErrorKind::Usage, "{bad}");
        }
    }

    #[test]
    fn passwords_may_go_plain_to_private_addresses_alone() {
        for good in [
            "127.0.0.1",
            "::1",
            "192.168.1.2",
            "10.0.0.1",
            "fd00::1",
            "::ffff:10.0.0.1",
        ] {
            assert!(is_private(good.parse().unwrap()), "{good}");
        }
        for bad in ["8.8.8.8", "2001:db8::1", "172.32.0.1", "0.0.0.0"] {
            assert!(!is_private(bad.parse().unwrap()), "{bad}");
        }
    }
}
