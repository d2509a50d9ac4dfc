//! https on the port of http, by a client that knows the certificate.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use nix::sys::signal::Signal::SIGHUP;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::json;

use crate::harness::{PASSWORD, Tracker, wait_for};

/// A client that trusts the certificate in `file` alone: the body of `GET path`, and the host it asked.
fn get(tracker: &Tracker, file: &Path, path: &str, token: &str) -> std::io::Result<String> {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_file(file).map_err(std::io::Error::other)?;
    roots.add(certificate).map_err(std::io::Error::other)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = StreamOwned::new(connection, TcpStream::connect(tracker.addr())?);
    let host = format!("localhost:{}", tracker.addr().port());
    let head = format!(
        "GET {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[test]
fn https_and_http_are_answered_on_the_same_port() {
    let tracker = Tracker::start("");
    let own = tracker.state().join("tls.pem");
    assert_eq!(own.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let fingerprint = tracker.ok(&["fingerprint"], "");
    assert!(
        tracker.log().contains(fingerprint.trim()),
        "{}",
        tracker.log()
    );

    tracker.user("ann");
    let token = tracker.token("ann", "nas1");
    let plain = tracker.get("/v1/me", &token).expect(200);
    let plain = plain["announce_url"].as_str().unwrap();
    assert!(plain.starts_with("http://"), "{plain}");
    let secure = get(&tracker, &own, "/v1/me", &token).unwrap();
    assert!(secure.starts_with("HTTP/1.1 200"), "{secure}");
    assert!(
        secure.contains(&format!(
            "https://localhost:{}/announce/",
            tracker.addr().port()
        )),
        "{secure}"
    );
}

#[test]
fn a_hangup_takes_a_new_certificate_and_keeps_the_old_one_when_that_is_bad() {
    let tracker = Tracker::start("");
    let other = Tracker::start("");
    let own = tracker.state().join("tls.pem");
    let given = tracker.path("given.pem");
    std::fs::copy(other.state().join("tls.pem"), &given).unwrap();
    let config = std::fs::read_to_string(tracker.path("tracker.toml")).unwrap();
    let with = |key: &str| {
        let text = format!("{config}[tls]\ncert_file = {given:?}\nkey_file = {key:?}\n");
        std::fs::write(tracker.path("tracker.toml"), text).unwrap();
        nix::sys::signal::kill(tracker.pid(), SIGHUP).unwrap();
    };
    with(&tracker.path("missing").display().to_string());
    wait_for("the refusal", || {
        let log = tracker.log();
        log.contains("certificate stays as it was")
            .then_some(())
            .ok_or(log)
    });
    get(&tracker, &own, "/healthz", "").unwrap();
    with(&given.display().to_string());
    wait_for("the new certificate", || {
        get(&tracker, &given, "/healthz", "").map_err(|error| error.to_string())
    });
    get(&tracker, &own, "/healthz", "").unwrap_err();
    let shown = tracker.ok(&["fingerprint"], "");
    assert_eq!(shown, other.ok(&["fingerprint"], ""));
}

#[test]
fn a_certificate_that_cannot_be_used_ends_the_start_with_78() {
    for (config, said) in [
        (
            "[tls]\ncert_file = \"/missing\"\nkey_file = \"/missing\"\n",
            "cannot read the certificate",
        ),
        ("[tls]\ncert_file = \"/missing\"\n", "needs `key_file` too"),
    ] {
        let tracker = Tracker::stopped(config);
        let output = tracker.cli(&["serve"], "");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(78), "{error}");
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn a_client_that_breaks_off_while_it_says_hello_takes_nothing_from_others() {
    let tracker = Tracker::start("[limits]\nconnections = 3\n");
    let hello = b"\x16\x03\x01\x02\x00\x01\x00";
    for bytes in [&hello[..1], hello, &[22, 0xff, 0xff, 0xff, 0xff, 1, 2, 3]] {
        TcpStream::connect(tracker.addr())
            .unwrap()
            .write_all(bytes)
            .unwrap();
    }
    let body = json!({"username": "ann", "password": PASSWORD});
    let answer = tracker.api("POST", "/v1/register", "", &body);
    answer.expect_problem(403, "registration-closed");
}
