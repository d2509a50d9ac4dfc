//! The tracker's certificate: from files, from the service manager, or one of its own.
//!
//! There always is one, so that passwords never have to cross a network in the clear. It can be exchanged while the tracker runs: open
//! connections keep the one they began with. One of its own is made once and kept, because p2pd remembers its fingerprint; nobody else
//! vouches for it, so stock clients are given http announce URLs then.

mod own;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use p2p_wire::Fingerprint;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};
use tokio_rustls::TlsAcceptor;

use crate::config::TlsSection;

/// Names of the credentials that the service manager may hand over (`LoadCredential=`).
const CREDENTIALS: [&str; 2] = ["p2p-tracker.crt", "p2p-tracker.key"];

/// Where the certificate comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Given by the administrator: clients are expected to know who signed it.
    Given,
    /// Made here: clients know it by its fingerprint alone.
    Own,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error(
        "cannot read the {what} {path}: {error}\n  The tracker's user must be able to read it, or leave [tls] empty for a certificate of its own."
    )]
    Read {
        /// Certificate or key.
        what: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A file holds something else.
    #[error(
        "{path} holds no {what} in PEM: {error}\n  Give the files as they come from the authority; the certificate with its whole chain."
    )]
    Format {
        /// Certificate or key.
        what: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        error: String,
    },
    /// The two do not go together.
    #[error(
        "the certificate in {certificate} cannot be used with the key in {key}: {error}\n  Give the key that the certificate was made for."
    )]
    Pair {
        /// Which certificate.
        certificate: PathBuf,
        /// Which key.
        key: PathBuf,
        /// Why.
        error: rustls::Error,
    },
    /// One of our own cannot be made or kept.
    #[error(
        "cannot make a certificate in {path}: {error}\n  Check who may write to the state folder."
    )]
    Make {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// The certificate in use; can be read again at any time.
pub struct Tls {
    state_dir: PathBuf,
    /// Folder of the service manager's credentials.
    credentials: Option<PathBuf>,
    current: RwLock<Current>,
}

/// What a connection is served with.
#[derive(Clone)]
pub struct Current {
    /// Begins TLS on a connection.
    pub acceptor: TlsAcceptor,
    /// Of the certificate.
    pub fingerprint: Fingerprint,
    /// Whose it is.
    pub origin: Origin,
}

impl Tls {
    /// Reads what `config` names; else the credentials in `$CREDENTIALS_DIRECTORY`; else our own certificate in `state_dir`, which is made
    /// when there is none.
    pub fn open(config: &TlsSection, state_dir: &Path) -> Result<Self, TlsError> {
        let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
        let current = load(config, credentials.as_deref(), state_dir)?;
        Ok(Self {
            state_dir: state_dir.to_owned(),
            credentials,
            current: RwLock::new(current),
        })
    }

    /// Reads it again for connections from now on. On an error the one in use stays.
    pub fn reload(&self, config: &TlsSection) -> Result<(), TlsError> {
        let new = load(config, self.credentials.as_deref(), &self.state_dir)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }

    /// The one in use.
    pub fn current(&self) -> Current {
        let current = self.current.read();
        current.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn load(
    config: &TlsSection,
    credentials: Option<&Path>,
    state_dir: &Path,
) -> Result<Current, TlsError> {
    if let (Some(certificate), Some(key)) = (&config.cert_file, &config.key_file) {
        return read(certificate, key, Origin::Given);
    }
    if let Some(dir) = credentials {
        let [certificate, key] = CREDENTIALS.map(|name| dir.join(name));
        if certificate.exists() || key.exists() {
            return read(&certificate, &key, Origin::Given);
        }
    }
    let path = own::ensure(state_dir)?;
    read(&path, &path, Origin::Own)
}

/// Certificates and key of two files, which may be one.
fn read(certificate: &Path, key: &Path, origin: Origin) -> Result<Current, TlsError> {
    let unreadable = |what, path: &Path, error| TlsError::Read {
        what,
        path: path.to_owned(),
        error,
    };
    let wrong = |what, path: &Path, error: String| TlsError::Format {
        what,
        path: path.to_owned(),
        error,
    };
    let text = std::fs::read(certificate)
        .map_err(|error| unreadable("certificate", certificate, error))?;
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|error| wrong("certificate", certificate, error.to_string()))?;
    let Some(first) = chain.first() else {
        return Err(wrong(
            "certificate",
            certificate,
            "there is none in it".to_owned(),
        ));
    };
    let fingerprint = Fingerprint(Sha256::digest(first).into());
    let text = std::fs::read(key).map_err(|error| unreadable("key", key, error))?;
    let secret = PrivateKeyDer::from_pem_slice(&text)
        .map_err(|error| wrong("private key", key, error.to_string()))?;
    let mut config =
        ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider knows the protocol versions it was built with")
            .with_no_client_auth()
            .with_single_cert(chain, secret)
            .map_err(|error| TlsError::Pair {
                certificate: certificate.to_owned(),
                key: key.to_owned(),
                error,
            })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Current {
        acceptor: TlsAcceptor::from(Arc::new(config)),
        fingerprint,
        origin,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_of_its_own_is_made_once_and_kept_private() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let none = TlsSection::default();
        let first = load(&none, None, dir.path()).unwrap();
        let again = load(&none, None, dir.path()).unwrap();
        assert_eq!(first.fingerprint, again.fingerprint);
        assert_eq!(first.origin, Origin::Own);
        let mode = std::fs::metadata(dir.path().join("tls.pem"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn files_go_before_credentials_and_these_before_our_own() {
        let [files, given, state] = std::array::from_fn(|_| tempfile::tempdir().unwrap());
        let print = |dir: &tempfile::TempDir| {
            load(&TlsSection::default(), None, dir.path())
                .unwrap()
                .fingerprint
        };
        let (of_files, of_given) = (print(&files), print(&given));
        for name in CREDENTIALS {
            std::fs::copy(given.path().join("tls.pem"), given.path().join(name)).unwrap();
        }
        let path = Some(files.path().join("tls.pem"));
        let named = TlsSection {
            cert_file: path.clone(),
            key_file: path,
        };
        let loaded = load(&named, Some(given.path()), state.path()).unwrap();
        assert_eq!(
            (loaded.fingerprint, loaded.origin),
            (of_files, Origin::Given)
        );
        let loaded = load(&TlsSection::default(), Some(given.path()), state.path()).unwrap();
        assert_eq!(
            (loaded.fingerprint, loaded.origin),
            (of_given, Origin::Given)
        );
        assert!(!state.path().join("tls.pem").exists());
    }

    #[test]
    fn what_cannot_be_used_is_named_with_what_to_do() {
        let [a, b] = std::array::from_fn(|_| tempfile::tempdir().unwrap());
        for dir in [&a, &b] {
            own::ensure(dir.path()).unwrap();
        }
        let said = |certificate: PathBuf, key: PathBuf| {
            let config = TlsSection {
                cert_file: Some(certificate),
                key_file: Some(key),
            };
            load(&config, None, a.path())
                .err()
                .expect("must be refused")
                .to_string()
        };
        let (one, other) = (a.path().join("tls.pem"), b.path().join("tls.pem"));
        let missing = a.path().join("missing");
        assert!(said(missing.clone(), one.clone()).starts_with("cannot read the certificate"));
        assert!(said(one.clone(), missing).starts_with("cannot read the key"));
        let mixed = said(one.clone(), other);
        assert!(
            mixed.contains("the key that the certificate was made for"),
            "{mixed}"
        );
        std::fs::write(b.path().join("text"), "hello").unwrap();
        assert!(said(b.path().join("text"), one).contains("holds no certificate in PEM"));
    }

    #[test]
    fn a_bad_new_certificate_leaves_the_one_in_use() {
        let dir = tempfile::tempdir().unwrap();
        let tls = Tls::open(&TlsSection::default(), dir.path()).unwrap();
        let before = tls.current().fingerprint;
        let missing = Some(dir.path().join("missing"));
        let config = TlsSection {
            cert_file: missing.clone(),
            key_file: missing,
        };
        assert!(tls.reload(&config).is_err());
        assert_eq!(tls.current().fingerprint, before);
        std::fs::remove_file(dir.path().join("tls.pem")).unwrap();
        tls.reload(&TlsSection::default()).unwrap();
        assert_ne!(tls.current().fingerprint, before);
    }
}
