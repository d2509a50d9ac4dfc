//! Certificates of trackers.

use serde::{Deserialize, Serialize};

use crate::Fingerprint;

/// `tracker.probe`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TrackerProbe {
    /// `http(s)://host:port`.
    pub url: String,
}

/// What a tracker shows now.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TrackerCertificate {
    /// Its URL, normalised.
    pub url: String,
    /// What is to be thought of it.
    pub state: CertificateState,
    /// Of the certificate, where nobody vouches for it.
    #[serde(default)]
    pub fingerprint: Option<Fingerprint>,
    /// Why nobody vouches for it, or why the tracker cannot be reached.
    #[serde(default)]
    pub reason: Option<String>,
}

/// See [`TrackerCertificate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CertificateState {
    /// The URL is http.
    None,
    /// An authority of the daemon's machine vouches for it.
    Trusted,
    /// Nobody vouches for it.
    Unknown,
    /// The tracker does not answer.
    Unreachable,
}

/// `tracker.trust`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct TrackerTrust {
    /// Which; absent is the only or first one.
    #[serde(default)]
    pub tracker: Option<String>,
    /// The certificate that it must show from now on; absent: one that an authority vouches for.
    #[serde(default)]
    pub fingerprint: Option<Fingerprint>,
}
