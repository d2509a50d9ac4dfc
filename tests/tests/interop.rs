//! Transmission, aria2 and libtorrent through our tracker: each fetches from p2pd and seeds to p2pd, one file and several.
//!
//! Runs inside the network namespace that `tests/interop/run.sh` makes.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use p2p_tests::content::{generate, sha1_of};
use p2p_tests::lab::{Lab, Peer, Process, Programs, wait_for};
use p2p_wire::metainfo::Metainfo;

const LIMIT: Duration = Duration::from_secs(300);

/// One file, and a folder with several.
const CONTENTS: [(&str, &[&str]); 2] = [
    ("one.bin", &[""]),
    ("several", &["a.bin", "deep/b.bin", "deep/er/c.bin"]),
];

/// How to start a client that holds `torrent` in `folder` and uses `address`.
type Start = fn(address: Ipv4Addr, torrent: &Path, folder: &Path) -> Result<Process>;

#[test]
#[ignore = "needs root and the client: tests/interop/run.sh"]
fn transmission_fetches_and_seeds() -> Result<()> {
    both_ways("transmission", [10, 83, 1], start_transmission)
}

#[test]
#[ignore = "needs root and the client: tests/interop/run.sh"]
fn aria2_fetches_and_seeds() -> Result<()> {
    both_ways("aria2", [10, 83, 2], start_aria2)
}

#[test]
#[ignore = "needs root and the client: tests/interop/run.sh"]
fn libtorrent_fetches_and_seeds() -> Result<()> {
    both_ways("libtorrent", [10, 83, 3], start_libtorrent)
}

fn both_ways(client: &str, network: [u8; 3], start: Start) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let lab = Lab::start_in(network, dir.path(), Programs::beside_this()?, "")?;
    let ann = lab.member("ann", "[shares]\nsettle = \"1s\"\n")?;
    let announce =
        fetches_from_us(&lab, &ann, start).with_context(|| format!("{client} fetches"))?;
    seeds_to_us(&lab, &ann, &announce, start).with_context(|| format!("{client} seeds"))?;
    println!("{client}: fetched and seeded one file and several");
    Ok(())
}

/// p2pd seeds; the client fetches with the account's personal .torrent. Gives the account's announce URL.
fn fetches_from_us(lab: &Lab, ann: &Peer, start: Start) -> Result<String> {
    let share = ann.dir().join("Public");
    make_contents(&share, 1)?;
    ann.ctl(&["share", &share.display().to_string()])?;
    let mut announce = None;
    for (name, files) in CONTENTS {
        let entry = ann.wait_published(name, LIMIT)?;
        let hash = entry["info_hash"].as_str().context("no hash")?;
        let torrent = lab.dir().join(format!("{name}.torrent"));
        ann.ctl(&["link", hash, "--torrent", &torrent.display().to_string()])?;
        let metainfo = Metainfo::from_bytes(&fs::read(&torrent)?)?;
        announce = metainfo.announce.into_iter().flatten().next();
        let folder = lab.dir().join(format!("leech-{name}"));
        fs::create_dir(&folder)?;
        let client = start(lab.next_address(), &torrent, &folder)?;
        wait_equal(&share.join(name), &folder.join(name), files, &client)?;
    }
    announce.context("the personal .torrent has no announce URL")
}

/// The client seeds what ann put into the catalogue; p2pd fetches it by hash.
fn seeds_to_us(lab: &Lab, ann: &Peer, announce: &str, start: Start) -> Result<()> {
    let folder = lab.dir().join("seed");
    make_contents(&folder, 2)?;
    let bob = lab.member("bob", "")?;
    for (name, files) in CONTENTS {
        let torrent = lab.dir().join(format!("seed-{name}.torrent"));
        let (from, to) = (
            folder.join(name).display().to_string(),
            torrent.display().to_string(),
        );
        ann.ctl(&[
            "create",
            &from,
            "-o",
            &to,
            "--announce",
            announce,
            "--private",
        ])?;
        ann.ctl(&["publish", &to])?;
        let hash = Metainfo::from_bytes(&fs::read(&torrent)?)?
            .info
            .info_hash()
            .to_string();
        let client = start(lab.next_address(), &torrent, &folder)?;
        bob.ctl(&["fetch", "--detach", &hash])?;
        wait_equal(
            &folder.join(name),
            &bob.downloads().join(name),
            files,
            &client,
        )
        .with_context(|| format!("bob has {:?}", bob.item(name)))?;
    }
    Ok(())
}

fn make_contents(folder: &Path, seed: u64) -> Result<()> {
    for (name, files) in CONTENTS {
        for (n, file) in files.iter().enumerate() {
            let path = if file.is_empty() {
                folder.join(name)
            } else {
                folder.join(name).join(file)
            };
            fs::create_dir_all(path.parent().context("a parent")?)?;
            generate(
                &path,
                9_000_000 + 1_234_567 * n as u64,
                seed * 100 + n as u64,
            )?;
        }
    }
    Ok(())
}

fn wait_equal(there: &Path, here: &Path, files: &[&str], client: &Process) -> Result<()> {
    wait_for(&format!("{} to be equal", here.display()), LIMIT, || {
        for file in files {
            let at = |root: &Path| {
                if file.is_empty() {
                    root.to_owned()
                } else {
                    root.join(file)
                }
            };
            ensure!(
                sha1_of(&at(there))? == sha1_of(&at(here))?,
                "{file} differs"
            );
        }
        Ok(Some(()))
    })
    .map_err(|error| anyhow!("{error:#}; the client said:\n{}", client.output()))
}

fn start_transmission(address: Ipv4Addr, torrent: &Path, folder: &Path) -> Result<Process> {
    let config = torrent.with_extension(format!("transmission-{address}"));
    let rpc = format!("{address}:9091");
    let (address, folder) = (address.to_string(), folder.display().to_string());
    let daemon = Process::start(
        Command::new("transmission-daemon")
            .args([
                "--foreground",
                "--no-dht",
                "--no-lpd",
                "--no-utp",
                "--no-portmap",
                "--no-auth",
            ])
            .args([
                "--bind-address-ipv4",
                &address,
                "--rpc-bind-address",
                &address,
            ])
            .args([
                "--peerport",
                "6881",
                "--allowed",
                "10.83.*.*",
                "--download-dir",
                &folder,
            ])
            .args(["--encryption-tolerated", "--log-error", "--config-dir"])
            .arg(&config),
        &config.with_extension("log"),
    )?;
    wait_for("transmission to take the torrent", LIMIT, || {
        let output = Command::new("transmission-remote")
            .args([&rpc, "--start", "--download-dir", &folder, "--add"])
            .arg(torrent)
            .output()?;
        let said = String::from_utf8_lossy(&output.stdout);
        ensure!(
            said.contains("success") || said.contains("duplicate"),
            "{said}"
        );
        Ok(Some(()))
    })?;
    Ok(daemon)
}

fn start_aria2(address: Ipv4Addr, torrent: &Path, folder: &Path) -> Result<Process> {
    let log = torrent.with_extension(format!("aria2-{address}.log"));
    Process::start(
        Command::new("aria2c")
            .args([
                "--no-conf",
                "--enable-dht=false",
                "--bt-enable-lpd=false",
                "--seed-ratio=0.0",
            ])
            .args([
                "--check-integrity=true",
                "--allow-overwrite=true",
                "--listen-port=6881",
            ])
            .args([
                format!("--interface={address}"),
                format!("--dir={}", folder.display()),
            ])
            .arg(torrent),
        &log,
    )
}

fn start_libtorrent(address: Ipv4Addr, torrent: &Path, folder: &Path) -> Result<Process> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("interop/libtorrent_client.py");
    let log = torrent.with_extension(format!("libtorrent-{address}.log"));
    Process::start(
        Command::new("/usr/bin/python3")
            .arg(script)
            .arg(address.to_string())
            .args([torrent, folder]),
        &log,
    )
}
