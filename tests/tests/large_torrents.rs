//! .torrent files larger than a line of the control socket, all ways through p2pctl, p2pd and the tracker.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use p2p_tests::lab::{Lab, Peer, Programs};
use p2p_wire::control::MAX_LINE;
use p2p_wire::metainfo::MAX_METAINFO_LEN;

const PIECES: usize = 330_000;

/// A .torrent of 6.6 MB, of content that nobody has.
fn large_torrent() -> Vec<u8> {
    let mut state = 1_u64;
    let mut hashes = Vec::with_capacity(PIECES * 20);
    while hashes.len() < PIECES * 20 {
        // Any bytes do, but not such as compress or repeat.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        hashes.extend_from_slice(&state.to_be_bytes()[..4]);
    }
    let length = PIECES * 16_384;
    let mut torrent = format!(
        "d4:infod6:lengthi{length}e4:name5:large12:piece lengthi16384e6:pieces{}:",
        hashes.len()
    )
    .into_bytes();
    torrent.extend_from_slice(&hashes);
    torrent.extend_from_slice(b"ee");
    torrent
}

/// What `link --torrent` writes for the one item of `peer` has the info dictionary of `torrent`.
fn holds(peer: &Peer, torrent: &[u8]) -> Result<()> {
    let out = peer.dir().join("out.torrent");
    let path = out.display().to_string();
    peer.ctl(&["--yes", "link", "large", "--torrent", &path])?;
    let written = fs::read(&out)?;
    let info = &torrent[b"d4:info".len()..torrent.len() - 1];
    let at = written.windows(7).position(|part| part == b"4:infod");
    let at = at.context("no info dictionary")? + b"4:info".len();
    ensure!(
        written.get(at..at + info.len()) == Some(info),
        "another info dictionary"
    );
    Ok(())
}

#[test]
fn a_torrent_larger_than_a_line_is_fetched_published_and_linked() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let torrent = large_torrent();
    ensure!(torrent.len() > MAX_LINE && torrent.len() < MAX_METAINFO_LEN);
    let file = dir.path().join("large.torrent");
    fs::write(&file, &torrent)?;
    let path = file.display().to_string();
    let lab = Lab::start(dir.path(), Programs::beside_this()?, "")?;

    let ann = lab.member("ann", "")?;
    ann.ctl(&["publish", &path, "--name", "large"])?;
    ann.ctl(&["fetch", "--detach", &path])?;
    holds(&ann, &torrent)?;

    let ben = lab.member("ben", "")?;
    let rows = ben.rows(&["search", "large"])?;
    let hash = rows.first().and_then(|row| row["info_hash"].as_str());
    let hash = hash.context("no entry")?;
    ben.ctl(&["fetch", "--detach", hash])?;
    holds(&ben, &torrent)?;

    let carl = lab.peer("carl", "")?;
    let mut fetch = carl.command(&["fetch", "--detach", "--peer", "127.0.0.1:9", "-"]);
    let status = fetch.stdin(Stdio::from(fs::File::open(&file)?)).status()?;
    ensure!(status.success(), "fetch - ended with {status}");
    holds(&carl, &torrent)?;

    let dora = lab.peer("dora", "")?;
    let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let url = format!("http://{}/large.torrent", server.local_addr()?);
    let body = torrent.clone();
    let serving = std::thread::spawn(move || -> std::io::Result<()> {
        let (stream, _) = server.accept()?;
        for line in BufReader::new(&stream).lines() {
            if line?.is_empty() {
                break;
            }
        }
        write!(
            &stream,
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
            body.len()
        )?;
        (&stream).write_all(&body)
    });
    dora.ctl(&["fetch", "--detach", "--peer", "127.0.0.1:9", &url])?;
    serving.join().expect("the server does not panic")?;
    holds(&dora, &torrent)
}
