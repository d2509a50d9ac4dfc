//! Real daemons under attack by peers made by hand.
//!
//! `cargo test --release -p p2p-tests --test attack -- --nocapture` prints the figures.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use p2p_tests::content::{generate, sha1_of};
use p2p_tests::lab::{Lab, Peer, Programs, wait_for};
use p2p_tests::wild::{self, Seed, Served};
use p2p_wire::InfoHash;

const LIMIT: Duration = Duration::from_secs(120);
/// A build that is not optimised, on a machine that does other things, is given so many times what is promised.
const PATIENCE: u32 = if cfg!(debug_assertions) { 5 } else { 1 };
/// Hostile connections.
const HOSTILE: usize = 1_000;
const RATE: u64 = 10_000_000;
const LEN: u64 = 40_000_000;

/// A torrent of a new file of `len` bytes; where both are.
fn torrent(peer: &Peer, dir: &Path, len: u64) -> Result<(PathBuf, PathBuf)> {
    let (path, torrent) = (dir.join("big.bin"), dir.join("big.torrent"));
    generate(&path, len, 5)?;
    let text = |path: &Path| path.display().to_string();
    let (at, to) = (text(&path), text(&torrent));
    peer.ctl(&["create", &at, "-o", &to, "--piece-size", "256KiB"])?;
    Ok((path, torrent))
}

/// Fetches the torrent from these peers; how long it took.
fn fetch(peer: &Peer, torrent: &Path, from: &[SocketAddr]) -> Result<Duration> {
    let begin = Instant::now();
    let mut args = vec!["fetch".to_owned(), torrent.display().to_string()];
    for addr in from {
        args.extend(["--peer".into(), addr.to_string()]);
    }
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    peer.ctl(&args)?;
    Ok(begin.elapsed())
}

fn port(peer: &Peer) -> Result<SocketAddr> {
    let status = peer.json(&["status"])?;
    let port = status["port"].as_u64().context("no port in the status")?;
    Ok(SocketAddr::from((peer.address(), u16::try_from(port)?)))
}

/// Connections from 200 addresses to one; with an info-hash each of them shakes hands and then says nothing more.
fn attack(to: SocketAddr, count: usize, hash: Option<InfoHash>) -> Result<Vec<TcpStream>> {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    use std::io::Write as _;
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    let mut open = Vec::with_capacity(count);
    for number in 0..count {
        let ip = Ipv4Addr::new(127, 0, 9, 1 + (number % 200) as u8);
        let mut stream = wild::connect_from(ip, to)?;
        if let Some(hash) = hash {
            let mut hello = wild::handshake(hash, stream.local_addr()?);
            hello.peer_id.0[10..14].copy_from_slice(&(number as u32).to_be_bytes());
            // It may have been closed for being one too many.
            let _ = stream.write_all(&hello.to_bytes());
        }
        open.push(stream);
    }
    Ok(open)
}

#[test]
fn a_thousand_silent_connections_keep_nobody_out_and_cost_little() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let lab = Lab::start(dir.path(), Programs::beside_this()?, "")?;
    let settings = format!("[limits]\nupload = \"{RATE}/s\"\nlan_exempt = false\n");
    let ann = lab.peer("ann", &settings)?;
    let bob = lab.peer("bob", "")?;
    let (path, torrent) = torrent(&ann, dir.path(), LEN)?;
    let at = ann.downloads().join("big.bin");
    fs::copy(&path, &at)?;
    let text = |path: &Path| path.display().to_string();
    ann.ctl(&["fetch", &text(&torrent), "--data", &text(&at)])?;
    let hash = Served::new(&torrent, &path)?.info_hash();
    let (ann_at, bob_at) = (port(&ann)?, port(&bob)?);
    let again = || -> Result<Duration> {
        let took = fetch(&bob, &torrent, &[ann_at])?;
        ensure!(
            sha1_of(&bob.downloads().join("big.bin"))? == sha1_of(&path)?,
            "another file"
        );
        bob.ctl(&["rm", &hash.to_string(), "-y", "--delete-data"])?;
        Ok(took)
    };
    let quiet = again()?;
    for (what, hash_told) in [("silent", None), ("silent after the handshake", Some(hash))] {
        let before = [ann.holds()?.0, bob.holds()?.0];
        let hostile = [
            attack(ann_at, HOSTILE, hash_told)?,
            attack(bob_at, HOSTILE, None)?,
        ];
        let (_, greeted) = wild::shake_hands(ann_at, hash, Duration::from_secs(30))
            .with_context(|| format!("1,000 {what}"))?;
        let took = again()?;
        let more: Vec<u64> = [ann.holds()?.0, bob.holds()?.0]
            .iter()
            .zip(before)
            .map(|(now, before)| now.saturating_sub(before))
            .collect();
        let part = quiet.as_secs_f64() / took.as_secs_f64();
        println!(
            "1,000 {what}: handshake {greeted:?}, {:.0} % of the throughput, memory +{more:?} bytes",
            part * 100.0
        );
        ensure!(
            greeted < Duration::from_secs(1) * PATIENCE,
            "{what}: the handshake took {greeted:?}"
        );
        ensure!(
            part > 0.7 / f64::from(PATIENCE).sqrt(),
            "{what}: {took:?} instead of {quiet:?}"
        );
        ensure!(
            more.iter().all(|more| *more < 32 << 20),
            "{what}: {more:?} bytes more"
        );
        drop(hostile);
    }
    Ok(())
}

#[test]
fn one_liar_among_ten_peers_wastes_two_pieces_at_most_and_no_innocent_is_banned() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let lab = Lab::start(dir.path(), Programs::beside_this()?, "")?;
    let bob = lab.peer("bob", "")?;
    let (path, torrent) = torrent(&bob, dir.path(), LEN)?;
    let served = Served::new(&torrent, &path)?;
    let seed = |rate, lies| Seed::start(&served, lab.next_address(), rate, lies);
    let liar = seed(5_000_000, true)?;
    let honest: Vec<Seed> = (0..9)
        .map(|_| seed(1_000_000, false))
        .collect::<Result<_>>()?;
    let mut from = vec![liar.addr];
    from.extend(honest.iter().map(|seed| seed.addr));
    fetch(&bob, &torrent, &from)?;
    ensure!(
        sha1_of(&bob.downloads().join("big.bin"))? == sha1_of(&path)?,
        "another file"
    );
    let item = wait_for("the item", LIMIT, || bob.item("big.bin"))?;
    let wasted = item["wasted"]
        .as_u64()
        .context("no count of what was wasted")?;
    println!("{wasted} bytes wasted in pieces of {}", served.piece_len());
    ensure!(liar.sent() > 0, "the liar was never asked");
    ensure!(
        wasted <= 2 * served.piece_len(),
        "{wasted} bytes wasted, the liar sent {}",
        liar.sent()
    );
    ensure!(liar.connections() == 1, "the liar was dialled again");
    // Who is banned gives nothing more: each gave its share to the end, at a rate that it alone bounded.
    let least = honest.iter().map(Seed::sent).min().unwrap_or_default();
    let fair = LEN / honest.len() as u64;
    ensure!(
        least > fair / 2,
        "one honest peer gave {least} bytes and not about {fair}"
    );
    Ok(())
}
