//! Whose certificates are taken.
//!
//! A tracker whose certificate an authority of this machine signed is trusted without further ado (the machine's own store, read by
//! rustls-native-certs). One that signs itself is trusted once the user has said so, by its fingerprint alone: its names and dates say
//! nothing then. A pinned tracker that shows another certificate, even one that an authority signed, is not talked to.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use jiff::Timestamp;
use p2p_wire::Fingerprint;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore,
    SignatureScheme,
};
use sha2::{Digest, Sha256};
use url::Url;

/// Why a certificate is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Distrust {
    /// No authority of this machine vouches for it, and the user did not say to trust it.
    #[error("no authority vouches for its certificate ({why}), SHA-256 fingerprint {shown}")]
    Unknown {
        /// What it showed.
        shown: Fingerprint,
        /// What the check says.
        why: Why,
    },
    /// It is not the one that the user trusts.
    #[error("its certificate is not the trusted one: SHA-256 fingerprint {shown}, not {pinned}")]
    Changed {
        /// The one that is trusted.
        pinned: Fingerprint,
        /// What it showed.
        shown: Fingerprint,
    },
}

/// Why no authority vouches for a certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Why {
    /// It was good until then.
    #[error("it ended on {0}; the clock here says {now}", now = seconds(Timestamp::now()))]
    Ended(Timestamp),
    /// It is good from then on.
    #[error("it begins on {0}; the clock here says {now}", now = seconds(Timestamp::now()))]
    NotBegun(Timestamp),
    /// Something that time does not change.
    #[error("{0}")]
    Other(String),
}

fn seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// Host and port, as a URL has them.
pub(crate) type Place = (String, u16);

/// The place that `url` leads to.
pub(crate) fn place(url: &str) -> Option<Place> {
    let url = Url::parse(url).ok()?;
    Some((url.host_str()?.to_owned(), url.port_or_known_default()?))
}

/// The certificates that the user trusts, by place; a handle, cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Pins(Arc<RwLock<HashMap<Place, Fingerprint>>>);

impl Pins {
    /// Replaces all.
    pub(crate) fn set(&self, pins: HashMap<Place, Fingerprint>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = pins;
    }

    /// The certificate that must be shown at `place`; `None` where authorities are asked.
    pub(crate) fn of(&self, place: &Place) -> Option<Fingerprint> {
        let pins = self.0.read().unwrap_or_else(PoisonError::into_inner);
        pins.get(place).copied()
    }
}

/// What a TLS client needs to hold a server to `pin`, or to the authorities of this machine. Dates of certificates are judged as they will be
/// after the time `ahead`; a pinned one has none.
pub(crate) fn client_config(pin: Option<Fingerprint>, ahead: Duration) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let check = match pin {
        Some(pin) => Check::Pinned(pin),
        None => Check::Authorities(authorities(&provider)),
    };
    let verifier = Arc::new(Verifier {
        check,
        ahead,
        provider: provider.clone(),
    });
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider knows the protocol versions it was built with")
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth()
}

/// What a failed request says of the certificate, if that was the reason.
pub(crate) fn distrust<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Distrust> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(Error::InvalidCertificate(CertificateError::Other(OtherError(other)))) =
            error.downcast_ref::<Error>()
        {
            return other.downcast_ref::<Distrust>();
        }
        // An I/O error hides what it was made of from `source`.
        next = match error.downcast_ref::<std::io::Error>() {
            Some(io) => io.get_ref().map(|inner| inner as _),
            None => error.source(),
        };
    }
    None
}

/// The authorities of this machine, read once: it takes a while. `None` where there are none.
fn authorities(provider: &Arc<CryptoProvider>) -> Option<Arc<WebPkiServerVerifier>> {
    static READ: OnceLock<Option<Arc<WebPkiServerVerifier>>> = OnceLock::new();
    let read = || {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        let (good, bad) = roots.add_parsable_certificates(found.certs);
        if good == 0 {
            let errors: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
            tracing::warn!(
                "this machine has no usable certificates of authorities ({bad} unreadable): {}",
                errors.join("; ")
            );
        }
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
            .build()
            .ok()
    };
    READ.get_or_init(read).clone()
}

#[derive(Debug)]
enum Check {
    Pinned(Fingerprint),
    Authorities(Option<Arc<WebPkiServerVerifier>>),
}

#[derive(Debug)]
struct Verifier {
    check: Check,
    ahead: Duration,
    provider: Arc<CryptoProvider>,
}

fn refused(distrust: Distrust) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(distrust))))
}

fn why(error: Error) -> Why {
    let date = |time: UnixTime| {
        let seconds = i64::try_from(time.as_secs()).ok()?;
        Timestamp::from_second(seconds).ok()
    };
    let dated = match &error {
        Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. }) => {
            date(*not_after).map(Why::Ended)
        }
        Error::InvalidCertificate(CertificateError::NotValidYetContext { not_before, .. }) => {
            date(*not_before).map(Why::NotBegun)
        }
        _ => None,
    };
    dated.unwrap_or_else(|| {
        Why::Other(match error {
            Error::InvalidCertificate(
                CertificateError::UnknownIssuer | CertificateError::Other(_),
            ) => "it is signed by itself or an unknown authority".to_owned(),
            Error::InvalidCertificate(error) => error.to_string(),
            error => error.to_string(),
        })
    })
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let shown = Fingerprint(Sha256::digest(end_entity).into());
        let why = match &self.check {
            Check::Pinned(pinned) if *pinned == shown => return Ok(ServerCertVerified::assertion()),
            Check::Pinned(pinned) => {
                return Err(refused(Distrust::Changed {
                    pinned: *pinned,
                    shown,
                }));
            }
            Check::Authorities(None) => Why::Other("this machine knows no authorities".to_owned()),
            Check::Authorities(Some(authorities)) => {
                let then = Duration::from_secs(now.as_secs()) + self.ahead;
                let checked = authorities.verify_server_cert(
                    end_entity,
                    intermediates,
                    server_name,
                    ocsp_response,
                    UnixTime::since_unix_epoch(then),
                );
                match checked {
                    Ok(verified) => return Ok(verified),
                    Err(error) => why(error),
                }
            }
        };
        Err(refused(Distrust::Unknown { shown, why }))
    }

    // That the server has the key of the certificate it shows is checked in every case.
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_host_and_port_whatever_the_scheme() {
        let nas = Some(("nas".to_owned(), 6969));
        assert_eq!(place("https://NAS:6969/announce/k/announce"), nas);
        assert_eq!(place("http://nas:6969"), nas);
        assert_eq!(place("https://nas"), Some(("nas".to_owned(), 443)));
        assert_eq!(place("https://[::1]/x"), Some(("[::1]".to_owned(), 443)));
        assert_eq!(place("nonsense"), None);
    }

    #[test]
    fn the_reason_is_found_below_other_errors() {
        let reason = Distrust::Changed {
            pinned: Fingerprint([1; 32]),
            shown: Fingerprint([2; 32]),
        };
        let error = std::io::Error::other(refused(reason.clone()));
        let error = std::io::Error::other(error);
        assert_eq!(distrust(&error), Some(&reason));
        assert_eq!(distrust(&std::io::Error::other("else")), None);
    }

    /// What an authority's check says of a certificate with these dates, so long before it is used.
    fn checked(from: i32, until: i32, ahead: Duration) -> Result<(), Distrust> {
        let mut params = rcgen::CertificateParams::new(["nas".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(from, 1, 1);
        params.not_after = rcgen::date_time_ymd(until, 1, 1);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(certificate.der().clone()).unwrap();
        let authorities =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        let verifier = Verifier {
            check: Check::Authorities(Some(authorities.build().unwrap())),
            ahead,
            provider,
        };
        let name = ServerName::try_from("nas").unwrap();
        // In the year 2020.
        let now = UnixTime::since_unix_epoch(Duration::from_secs(1_590_000_000));
        let checked = verifier.verify_server_cert(certificate.der(), &[], &name, &[], now);
        checked.map(drop).map_err(|error| {
            let error = std::io::Error::other(error);
            distrust(&error).cloned().unwrap()
        })
    }

    #[test]
    fn dates_that_a_certificate_is_not_good_at_are_told() {
        const YEAR: Duration = Duration::from_secs(366 * 86_400);
        let told = |distrusted| match distrusted {
            Err(Distrust::Unknown { why, .. }) => why,
            other => panic!("{other:?}"),
        };
        assert_eq!(checked(2019, 2021, Duration::ZERO), Ok(()));
        let ended = |date: &str| Why::Ended(date.parse().unwrap());
        assert_eq!(
            told(checked(2018, 2019, Duration::ZERO)),
            ended("2019-01-01T00:00:00Z")
        );
        assert_eq!(
            told(checked(2019, 2021, YEAR)),
            ended("2021-01-01T00:00:00Z")
        );
        assert_eq!(
            told(checked(2021, 2022, Duration::ZERO)),
            Why::NotBegun("2021-01-01T00:00:00Z".parse().unwrap())
        );
    }
}
