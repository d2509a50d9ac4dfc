//! Who calls: the address behind trusted proxies, the URL they used, the session of their token.

use std::net::{IpAddr, SocketAddr};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, header};
use p2p_wire::api::ProblemType;

use super::App;
use crate::accounts::Login;
use crate::config::Config;
use crate::refusal::Refusal;
use crate::store::AccountRow;
use crate::tls::Origin;
use crate::tracker::Tracker;

/// The two ends of a connection; the server puts it into every request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends {
    pub(crate) remote: SocketAddr,
    pub(crate) local: SocketAddr,
    /// Whose certificate the connection was encrypted with.
    pub(crate) tls: Option<Origin>,
}

/// Where a request comes from.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    /// Its address.
    pub(crate) ip: IpAddr,
    https: bool,
    /// Scheme and host to reach the tracker by.
    base_url: String,
    /// The same for clients that ask an authority about certificates.
    stock_url: String,
}

/// A request with a session.
pub(crate) struct Caller {
    pub(crate) login: Login,
    pub(crate) client: Client,
}

impl Client {
    pub(crate) fn new(headers: &HeaderMap, extensions: &Extensions, config: &Config) -> Self {
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let ends = extensions.get::<Ends>().copied().unwrap_or(Ends {
            remote: nowhere,
            local: nowhere,
            tls: None,
        });
        let trusted = |ip: IpAddr| config.is_proxy(ip);
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let (mut ip, mut https) = (ends.remote.ip().to_canonical(), ends.tls.is_some());
        if trusted(ip) {
            https = header("x-forwarded-proto")
                .is_some_and(|proto| proto.trim().eq_ignore_ascii_case("https"));
            // The last address that is no proxy of ours: what stands before it is what the caller wrote.
            let all: Vec<&str> = headers
                .get_all("x-forwarded-for")
                .iter()
                .filter_map(|value| value.to_str().ok())
                .collect();
            for text in all.join(",").rsplit(',') {
                let Ok(address) = text.trim().parse::<IpAddr>() else {
                    break;
                };
                ip = address.to_canonical();
                if !trusted(ip) {
                    break;
                }
            }
        }
        let base_url = config
            .tracker
            .public_url
            .as_deref()
            .map(|url| url.trim_end_matches('/').to_owned());
        let [base_url, stock_url] = base_url.map(|url| [url.clone(), url]).unwrap_or_else(|| {
            let host = header(header::HOST.as_str())
                .filter(|host| is_host(host))
                .map(str::to_owned);
            let host = host.unwrap_or_else(|| {
                SocketAddr::new(ends.local.ip().to_canonical(), ends.local.port()).to_string()
            });
            let http = format!("http://{host}");
            match ends.tls {
                Some(Origin::Own) => [format!("https://{host}"), http],
                _ if https => [(); 2].map(|()| format!("https://{host}")),
                _ => [http.clone(), http],
            }
        });
        Self {
            ip,
            https,
            base_url,
            stock_url,
        }
    }

    /// Refuses passwords that came in the clear over a network that is not private.
    pub(crate) fn check_password_transport(&self) -> Result<(), Refusal> {
        if self.https || is_private(self.ip) {
            return Ok(());
        }
        Err(Refusal::new(
            ProblemType::Forbidden,
            "passwords are not taken over plain http from a public address",
            "Use the tracker's https URL, or a private network.",
        ))
    }

    /// The announce URL of an account, for p2pd: by the way this caller came.
    pub(crate) fn announce_url(&self, tracker: &Tracker, account: &AccountRow) -> String {
        announce_url(&self.base_url, tracker, account)
    }

    /// The announce URL of an account, for any BitTorrent client: http where nobody vouches for the certificate.
    pub(crate) fn stock_announce_url(&self, tracker: &Tracker, account: &AccountRow) -> String {
        announce_url(&self.stock_url, tracker, account)
    }
}

impl FromRequestParts<App> for Client {
    type Rejection = std::convert::Infallible;
    async fn from_request_parts(parts: &mut Parts, tracker: &App) -> Result<Self, Self::Rejection> {
        Ok(Self::new(
            &parts.headers,
            &parts.extensions,
            &tracker.config(),
        ))
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = Refusal;
    async fn from_request_parts(parts: &mut Parts, tracker: &App) -> Result<Self, Refusal> {
        let Ok(client) = Client::from_request_parts(parts, tracker).await;
        let header = parts
            .headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        let token = header
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let Some((_, token)) = token else {
            return Err(Refusal::new(
                ProblemType::LoginRequired,
                "this needs a login",
                "Log in (p2pctl login).",
            ));
        };
        Ok(Self {
            login: tracker.accounts.session(token.trim())?,
            client,
        })
    }
}

fn announce_url(base: &str, tracker: &Tracker, account: &AccountRow) -> String {
    format!(
        "{base}/announce/{}/announce",
        tracker.accounts.passkey(account)
    )
}

/// Whether a `Host` header is a host and maybe a port, and nothing that would end up elsewhere in a URL.
fn is_host(host: &str) -> bool {
    !host.is_empty()
        && host.len() <= 255
        && host
            .bytes()
            .all(|c| c.is_ascii_alphanumeric() || b".-:[]".contains(&c))
}

/// Loopback, private, link-local, and the shared range that overlay networks use.
fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            ip.is_loopback()
                || ip.is_private()
                || ip.is_link_local()
                || (ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64)
        }
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(remote: &str, headers: &[(&'static str, &str)], proxies: &[&str]) -> Client {
        encrypted(remote, headers, proxies, None)
    }

    fn encrypted(
        remote: &str,
        headers: &[(&'static str, &str)],
        proxies: &[&str],
        tls: Option<Origin>,
    ) -> Client {
        let mut config = Config::default();
        config.http.trusted_proxies = proxies.iter().map(|text| text.parse().unwrap()).collect();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let mut extensions = Extensions::new();
        let local = "[::ffff:192.0.2.1]:6969".parse().unwrap();
        extensions.insert(Ends {
            remote: format!("{remote}:1").parse().unwrap(),
            local,
            tls,
        });
        Client::new(&map, &extensions, &config)
    }

    #[test]
    fn forwarded_addresses_are_believed_from_proxies_alone() {
        let headers = [
            ("x-forwarded-for", "6.6.6.6, 203.0.113.9"),
            ("x-forwarded-for", "10.0.0.2"),
            ("x-forwarded-proto", "https"),
        ];
        let proxied = client("10.0.0.1", &headers, &["10.0.0.0/8"]);
        assert_eq!(
            proxied.ip.to_string(),
            "203.0.113.9",
            "not what the caller wrote before it"
        );
        assert!(proxied.check_password_transport().is_ok());
        let direct = client("203.0.113.7", &headers, &["10.0.0.0/8"]);
        assert_eq!(direct.ip.to_string(), "203.0.113.7");
        assert!(direct.check_password_transport().is_err());
    }

    #[test]
    fn passwords_are_taken_over_private_networks() {
        for private in [
            "127.0.0.1",
            "10.1.2.3",
            "192.168.0.9",
            "100.64.3.4",
            "[::1]",
            "[fd00::1]",
            "[::ffff:10.0.0.1]",
        ] {
            assert!(
                client(private, &[], &[]).check_password_transport().is_ok(),
                "{private}"
            );
        }
        for public in ["8.8.8.8", "[2001:db8::1]", "100.128.0.1"] {
            assert!(
                client(public, &[], &[]).check_password_transport().is_err(),
                "{public}"
            );
        }
    }

    #[test]
    fn stock_clients_are_sent_to_https_where_somebody_vouches_for_the_certificate() {
        let host = [("host", "nas:6969")];
        let urls = |tls| {
            let client = encrypted("8.8.8.8", &host, &[], tls);
            assert_eq!(client.check_password_transport().is_ok(), tls.is_some());
            (client.base_url, client.stock_url)
        };
        let [http, https] = ["http", "https"].map(|scheme| format!("{scheme}://nas:6969"));
        assert_eq!(urls(None), (http.clone(), http.clone()));
        assert_eq!(urls(Some(Origin::Own)), (https.clone(), http));
        assert_eq!(urls(Some(Origin::Given)), (https.clone(), https));
    }

    #[test]
    fn the_base_url_is_the_host_that_was_used() {
        assert_eq!(
            client("10.0.0.1", &[("host", "nas.local:6969")], &[]).base_url,
            "http://nas.local:6969"
        );
        assert_eq!(
            client("10.0.0.1", &[("host", "a/b?")], &[]).base_url,
            "http://192.0.2.1:6969"
        );
    }
}
