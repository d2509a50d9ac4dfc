//! https between p2pd and its tracker, with a certificate that nobody but the user vouches for.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use p2p_tests::lab::{Lab, Peer, Programs, wait_for};
use p2p_wire::metainfo::Metainfo;

const LIMIT: Duration = Duration::from_secs(60);
const SETTINGS: &str = "[shares]\nsettle = \"1s\"\n";

/// What `p2p-tracker fingerprint` prints.
fn fingerprint(lab: &Lab) -> Result<String> {
    let program = std::env::current_exe()?;
    let program = program
        .ancestors()
        .nth(2)
        .context("no folder of programs")?;
    let output = Command::new(program.join("p2p-tracker"))
        .args(["fingerprint", "--state-dir"])
        .arg(lab.dir().join("tracker"))
        .output()?;
    ensure!(output.status.success(), "{output:?}");
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

fn joined(lab: &Lab, name: &str) -> Result<Peer> {
    let peer = lab.peer(name, SETTINGS)?;
    let url = lab.url().replace("http://", "https://");
    let shown = fingerprint(lab)?;
    peer.ctl(&["tracker", "add", "home", &url, "--fingerprint", &shown])?;
    let password = peer.password_file();
    peer.ctl(&["register", "--username", name, "--password-file", &password])?;
    Ok(peer)
}

#[test]
fn a_fetch_goes_over_https_alone_once_the_certificate_is_trusted() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let lab = Lab::start(dir.path(), Programs::beside_this()?, "")?;
    let ann = joined(&lab, "ann")?;
    let share = ann.dir().join("Public");
    fs::create_dir(&share)?;
    fs::write(share.join("note.txt"), vec![b'x'; 100_000])?;
    ann.ctl(&["share", &share.display().to_string()])?;
    ann.wait_published("note.txt", LIMIT)?;
    let bob = joined(&lab, "bob")?;
    bob.ctl(&["fetch", "ann/Public/note.txt"])?;
    wait_for("an announce over https", LIMIT, || {
        let shown = bob.json(&["show", "note.txt", "--trackers"])?;
        let text = shown.to_string();
        ensure!(
            text.contains("\"url\":\"https://") && text.contains("\"state\":\"ok\""),
            "{text}"
        );
        ensure!(!text.contains("\"url\":\"http://"), "{text}");
        Ok(Some(()))
    })?;
    // Stock clients ask an authority about certificates, so they get the http URL of the same port.
    let file = bob.dir().join("note.torrent");
    bob.ctl(&["link", "note.txt", "--torrent", &file.display().to_string()])?;
    let torrent = Metainfo::from_bytes(&fs::read(file)?)?;
    let announce = torrent.announce.concat();
    ensure!(announce.len() == 1, "{announce:?}");
    ensure!(
        announce[0].starts_with(&format!("{}/announce/", lab.url())),
        "{announce:?}"
    );
    Ok(())
}

#[test]
fn an_unknown_certificate_and_a_changed_one_stop_p2pd_until_the_user_agrees() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut lab = Lab::start(dir.path(), Programs::beside_this()?, "")?;
    let url = lab.url().replace("http://", "https://");
    let stranger = lab.peer("stranger", "")?;
    let (code, said) = stranger.refused(&["tracker", "add", "home", &url])?;
    let first = fingerprint(&lab)?;
    ensure!(
        code == 2 && said.contains(&first) && said.contains("--fingerprint"),
        "{code} {said}"
    );
    let wrong = "00".repeat(32);
    let add = ["tracker", "add", "home", &url, "--fingerprint", &wrong];
    let (code, said) = stranger.refused(&add)?;
    ensure!(
        code == 13 && said.contains("not the trusted one"),
        "{code} {said}"
    );
    ensure!(
        stranger.ctl(&["tracker", "ls"])?.is_empty(),
        "nothing was added"
    );

    let ann = joined(&lab, "ann")?;
    lab.stop_tracker()?;
    fs::remove_file(dir.path().join("tracker/tls.pem"))?;
    lab.start_tracker()?;
    let second = fingerprint(&lab)?;
    ensure!(first != second, "a new certificate was made");
    let (code, said) = ann.refused(&["tracker", "test", "home"])?;
    ensure!(code == 13 && said.lines().count() == 3, "{code} {said}");
    ensure!(
        said.contains(&second) && said.contains("p2pctl tracker trust home"),
        "{said}"
    );
    let (code, said) = ann.refused(&["tracker", "trust", "home"])?;
    ensure!(code == 2 && said.contains(&second), "{code} {said}");
    ann.ctl(&["tracker", "trust", "home", "--yes"])?;
    ann.ctl(&["tracker", "test", "home"])?;
    Ok(())
}

/// A tracker with a certificate for some days, and a peer whose machine knows the authority that signed it: the certificate itself.
fn vouched_for(dir: &Path, days: &str) -> Result<(Lab, Peer)> {
    let (cert, key) = (dir.join("cert.pem"), dir.join("key.pem"));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
        ])
        .args(["-subj", "/CN=tracker", "-days", days])
        .args(["-addext", "subjectAltName=IP:127.0.1.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&cert)
        .output()?;
    ensure!(made.status.success(), "{made:?}");
    let settings = format!("[tls]\ncert_file = {cert:?}\nkey_file = {key:?}\n");
    let lab = Lab::start(dir, Programs::beside_this()?, &settings)?;
    let known = format!("SSL_CERT_FILE={}", cert.display());
    let peer = lab.peer_through("ann", &["env", &known], SETTINGS)?;
    let url = lab.url().replace("http://", "https://");
    peer.ctl(&["tracker", "add", "home", &url])?;
    let password = peer.password_file();
    peer.ctl(&[
        "register",
        "--username",
        "ann",
        "--password-file",
        &password,
    ])?;
    Ok((lab, peer))
}

#[test]
fn a_certificate_of_an_authority_is_taken_and_its_end_is_told_in_time() -> Result<()> {
    for (days, expected) in [("13", "warning"), ("16", "ok")] {
        let dir = tempfile::tempdir()?;
        let (_lab, ann) = vouched_for(dir.path(), days)?;
        let findings = ann.json(&["doctor"])?;
        let of = |check: &str| -> Result<&serde_json::Value> {
            let all = findings.as_array().context("findings")?;
            let found = all.iter().find(|finding| finding["check"] == check);
            found.context(check.to_owned())
        };
        ensure!(of("login")?["level"] == "ok", "{findings:#}");
        let transport = of("transport")?;
        ensure!(transport["level"] == expected, "{days} days: {transport:#}");
        let text = transport["text"].as_str().unwrap_or_default();
        ensure!(
            text.contains("ends on 20") == (expected == "warning"),
            "{text}"
        );
    }
    Ok(())
}
