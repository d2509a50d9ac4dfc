//! A certificate that the tracker signs itself.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, DnType, KeyPair};

use super::TlsError;

/// The file with the certificate and its key in `state_dir`; made when it is not there. One file, so that the two are never of different
/// age.
pub(super) fn ensure(state_dir: &Path) -> Result<PathBuf, TlsError> {
    let path = state_dir.join("tls.pem");
    if !path.exists() {
        make(&path).map_err(|error| TlsError::Make {
            path: path.clone(),
            error,
        })?;
    }
    Ok(path)
}

fn make(path: &Path) -> io::Result<()> {
    let host = nix::unistd::gethostname()?.to_string_lossy().into_owned();
    // Clients compare the fingerprint; names and dates are for people who look at it.
    let mut names = vec!["localhost".to_owned()];
    if host.is_ascii() {
        names.push(host.clone());
    }
    let mut params = CertificateParams::new(names).map_err(io::Error::other)?;
    params
        .distinguished_name
        .push(DnType::CommonName, format!("p2p-tracker on {host}"));
    let key = KeyPair::generate().map_err(io::Error::other)?;
    let certificate = params.self_signed(&key).map_err(io::Error::other)?;
    let new = path.with_extension("pem.new");
    // Nobody else may read it at any time, so it is never opened under another mode.
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(certificate.pem().as_bytes())?;
    file.write_all(key.serialize_pem().as_bytes())?;
    // p2pd remembers its fingerprint: it must survive a power cut once it was shown.
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}
