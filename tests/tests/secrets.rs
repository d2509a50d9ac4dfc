//! No secret is in any log, at the most verbose level too.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use p2p_tests::lab::{Lab, Peer, Programs};
use rusqlite::Connection;

const LIMIT: Duration = Duration::from_secs(60);

/// What a peer must keep to itself: its session's token, and its passkey.
fn secrets_of(peer: &Peer) -> Result<Vec<String>> {
    let db = Connection::open(peer.dir().join("state/state.db"))?;
    let (token, announce): (String, String) =
        db.query_row("SELECT token, announce FROM logins", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    let passkey = announce
        .rsplit('/')
        .nth(1)
        .context("no passkey")?
        .to_owned();
    ensure!(token.len() > 20 && passkey.len() > 12, "{announce}");
    Ok(vec![token, passkey])
}

/// One GET, whatever the answer.
fn get(lab: &Lab, path: &str, header: &str) -> Result<()> {
    let address = lab.url().trim_start_matches("http://");
    let mut socket = TcpStream::connect(address)?;
    write!(
        socket,
        "GET {path} HTTP/1.1\r\nhost: x\r\n{header}connection: close\r\n\r\n"
    )?;
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer)?;
    ensure!(answer.starts_with(b"HTTP/1.1 "), "no answer to {path}");
    Ok(())
}

fn verbose(lab: &Lab, name: &str) -> Result<Peer> {
    let mut peer = lab.member(name, "[shares]\nsettle = \"1s\"\n")?;
    peer.ctl(&["config", "set", "daemon.log_level", "trace"])?;
    // From the first line of the next run on.
    peer.stop()?;
    peer.start()?;
    Ok(peer)
}

#[test]
fn no_secret_is_in_any_log() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let settings = "[tracker]\nlog_level = \"trace\"\n";
    let lab = Lab::start(dir.path(), Programs::beside_this()?, settings)?;
    let ann = verbose(&lab, "ann")?;
    let bob = verbose(&lab, "bob")?;
    let share = ann.dir().join("Public");
    fs::create_dir(&share)?;
    fs::write(share.join("note.txt"), vec![b'x'; 100_000])?;
    ann.ctl(&["share", &share.display().to_string()])?;
    ann.wait_seeding("note.txt", LIMIT)?;
    ann.wait_published("note.txt", LIMIT)?;
    bob.ctl(&["fetch", "ann/Public/note.txt"])?;
    let torrent = ann.dir().join("note.torrent").display().to_string();
    ann.ctl(&["link", "note.txt", "--torrent", &torrent])?;

    let password = fs::read_to_string(ann.password_file())?.trim().to_owned();
    let mut secrets = vec![password, "not the password".to_owned()];
    secrets.extend(secrets_of(&ann)?);
    secrets.extend(secrets_of(&bob)?);
    let [token, passkey] = [&secrets[2], &secrets[3]];
    for path in [
        format!("/announce/{passkey}/announce"),
        format!("/announce/{passkey}/announce/and/more?info_hash=x"),
        format!("/{passkey}/announce?info_hash=%zz&passkey={passkey}"),
        format!("/x/{passkey}"),
        format!("/v1/me?token={token}"),
    ] {
        get(&lab, &path, &format!("authorization: Bearer {token}\r\n"))?;
    }
    // A login that fails, one that succeeds, and the end of one.
    let wrong = dir.path().join("wrong");
    fs::write(&wrong, "not the password\n")?;
    let login = ["login", "--username", "ann", "--password-file"];
    let wrong = wrong.display().to_string();
    ann.refused(&[&login[..], &[&wrong]].concat())?;
    ann.ctl(&[&login[..], &[&ann.password_file()]].concat())?;
    secrets.extend(secrets_of(&ann)?);
    ann.ctl(&["logout"])?;

    let read = |name: &str| fs::read_to_string(dir.path().join(name));
    let logs = [
        ("the tracker's output", read("tracker.log")?),
        ("the tracker's log", lab.tracker_log(&["-n", "1000"])?),
        ("ann's output", ann.output()),
        ("ann's log", ann.ctl(&["log", "-n", "2000"])?),
        ("bob's output", bob.output()),
        ("bob's log", bob.ctl(&["log", "-n", "2000"])?),
    ];
    for (name, log) in &logs {
        for secret in &secrets {
            let line = log.lines().find(|line| line.contains(secret.as_str()));
            ensure!(line.is_none(), "{name} has a secret: {line:?}");
        }
    }
    ensure!(
        logs[0].1.contains("GET /announce/***/announce 200"),
        "the log is not verbose:\n{}",
        logs[0].1
    );
    Ok(())
}
