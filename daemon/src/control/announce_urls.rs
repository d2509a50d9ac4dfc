//! Which announce URLs of a foreign torrent may be asked.
//!
//! A torrent must not make p2pd call on services of this machine or network: loopback and private addresses are asked only where the
//! user has added a tracker at that host and port. At such a tracker the account's own announce URL is used, not whatever passkey the
//! torrent brought along.
//!
//! What a name means is seen when it is announced to: the announcer refuses names that mean such an address.

use std::net::IpAddr;

use url::{Host, Url};

use crate::net::is_near;
use crate::tracker::Trackers;

/// Announce URLs of one torrent at most.
const MAX_URLS: usize = 50;

/// The tiers of `named` that may be asked, empty ones left out. Where no tracker is named at all, the account's own: by default that of
/// `tracker`.
pub(super) async fn usable(
    trackers: &Trackers,
    named: &[Vec<String>],
    tracker: Option<&str>,
) -> Vec<Vec<String>> {
    if named.iter().all(Vec::is_empty) {
        return own(trackers, tracker).await;
    }
    let mut own = Vec::new();
    for tracker in trackers.list().await {
        if let Ok(url) = Url::parse(&tracker.url) {
            let announce = trackers.announce_url(Some(&tracker.name)).await;
            own.push((url, announce));
        }
    }
    choose(named, &own)
}

/// The account's announce URL at `tracker`, or the only or first one; none without a login.
pub(super) async fn own(trackers: &Trackers, tracker: Option<&str>) -> Vec<Vec<String>> {
    let url = trackers.announce_url(tracker).await;
    url.into_iter().map(|url| vec![url]).collect()
}

/// `own`: trackers the user has added, with the account's announce URL.
fn choose(named: &[Vec<String>], own: &[(Url, Option<String>)]) -> Vec<Vec<String>> {
    let mut room = MAX_URLS;
    let tiers = named.iter().map(|tier| {
        let urls = tier.iter().filter_map(|text| one(text, own));
        let urls: Vec<_> = urls.take(room).collect();
        room -= urls.len();
        urls
    });
    tiers.filter(|tier| !tier.is_empty()).collect()
}

fn one(text: &str, own: &[(Url, Option<String>)]) -> Option<String> {
    let url = Url::parse(text).ok()?;
    if !matches!(url.scheme(), "http" | "https" | "udp") {
        return None;
    }
    let host = url.host()?;
    let place = |url: &Url| {
        (
            url.host_str().map(str::to_owned),
            url.port_or_known_default(),
        )
    };
    let known = own
        .iter()
        .find(|(tracker, _)| place(tracker) == place(&url));
    match known {
        Some((_, Some(announce))) => Some(announce.clone()),
        Some((_, None)) => Some(text.to_owned()),
        None => (!names_near(&host)).then(|| text.to_owned()),
    }
}

/// On this machine or a private network, as far as the URL tells.
fn names_near(host: &Host<&str>) -> bool {
    match host {
        // In a URL of another scheme than http an address is but a text: read it as http would.
        Host::Domain(name) if !matches!(Host::parse(name), Ok(Host::Domain(_))) => {
            match Host::parse(name) {
                Ok(Host::Ipv4(addr)) => is_near(IpAddr::V4(addr)),
                Ok(Host::Ipv6(addr)) => is_near(IpAddr::V6(addr)),
                _ => true,
            }
        }
        Host::Domain(name) => {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            name == "localhost" || name.ends_with(".localhost")
        }
        Host::Ipv4(addr) => is_near(IpAddr::V4(*addr)),
        Host::Ipv6(addr) => is_near(IpAddr::V6(*addr)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(named: &[&str], own: &[(&str, Option<&str>)]) -> Vec<String> {
        let named = [named.iter().map(|url| (*url).to_owned()).collect()];
        let own: Vec<_> = own
            .iter()
            .map(|(url, announce)| (Url::parse(url).unwrap(), announce.map(str::to_owned)))
            .collect();
        choose(&named, &own).concat()
    }

    #[test]
    fn a_foreign_torrent_cannot_make_us_call_this_machine_or_network() {
        let near = [
            "http://127.0.0.1:9/announce",
            "http://localhost/announce",
            "http://a.localhost./announce",
            "http://[::1]/announce",
            "http://[::ffff:10.0.0.1]/announce",
            "udp://192.168.1.1:1/announce",
            "udp://2130706433:1/announce",
            "udp://[::1]:1/announce",
            "http://169.254.169.254/latest",
            "http://100.64.0.1/",
            "http://[fd00::1]/",
            "http://0.0.0.0/",
            "http://2130706433/",
            "file:///etc/passwd",
            "wss://tracker.example/",
            "no url",
        ];
        assert_eq!(chosen(&near, &[]), Vec::<String>::new());
        let far = ["http://tracker.example/announce", "udp://203.0.113.7:6969"];
        assert_eq!(chosen(&far, &[]), far);
    }

    #[test]
    fn a_tracker_that_the_user_added_is_asked_with_the_users_own_url() {
        let named = [
            "http://10.0.0.5:6969/theirs/announce",
            "http://10.0.0.5:80/x",
        ];
        let mine = "http://10.0.0.5:6969/mine/announce";
        assert_eq!(
            chosen(&named, &[("http://10.0.0.5:6969", Some(mine))]),
            [mine]
        );
        assert_eq!(
            chosen(&named, &[("http://10.0.0.5:6969", None)]),
            [named[0]]
        );
    }

    #[test]
    fn their_number_is_bounded() {
        let many = vec!["http://tracker.example/"; 1_000];
        assert_eq!(chosen(&many, &[]).len(), MAX_URLS);
    }
}
