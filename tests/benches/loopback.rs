//! One seed to one leech over loopback, real programs, every piece verified: `cargo bench -p p2p-tests --bench loopback`. Before each run
//! the plain program moves the same file.
//!
//! Options after `--`: `--len BYTES` (1,519,802,169), `--runs N` (3). Needs the programs: `cargo build --release --bins`.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use p2p_tests::content::{generate, sha1_of};
use p2p_tests::lab::{Lab, Peer, Programs};
use p2p_tests::plain;
use p2p_tests::tour::DEFAULT_LEN;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let option = |name: &str, default: u64| -> Result<u64> {
        match args.iter().position(|arg| arg == name) {
            Some(at) => args
                .get(at + 1)
                .context("a value is missing")?
                .parse()
                .context("a number"),
            None => Ok(default),
        }
    };
    let (len, runs) = (option("--len", DEFAULT_LEN)?, option("--runs", 3)?);
    let programs = Programs::beside_this()?;
    let beside = programs
        .ctl
        .parent()
        .context("the build folder")?
        .to_owned();
    let dir = tempfile::Builder::new()
        .prefix("loopback-")
        .tempdir_in(beside)?;
    let lab = Lab::start(dir.path(), programs, "")?;
    let ann = lab.member("ann", "[shares]\nsettle = \"1s\"\n")?;
    let share = ann.dir().join("Public");
    fs::create_dir(&share)?;
    generate(&share.join("big.iso"), len, 1)?;
    let hashing = Instant::now();
    ann.ctl(&["share", &share.display().to_string()])?;
    ann.wait_published("big.iso", Duration::from_secs(600))?;
    println!(
        "shared and published after {:.2} s",
        hashing.elapsed().as_secs_f64()
    );
    let sum = sha1_of(&share.join("big.iso"))?;
    for run in 1..=runs {
        let copy = dir.path().join("plain");
        let (plain, _) = plain::copy(&share.join("big.iso"), &copy)?;
        fs::remove_file(copy)?;
        let bob = lab.member(&format!("bob{run}"), "")?;
        let (seed, leech) = (cpu_seconds(&ann)?, cpu_seconds(&bob)?);
        let start = Instant::now();
        bob.ctl(&["fetch", "ann/Public/big.iso"])?;
        let took = start.elapsed().as_secs_f64();
        println!(
            "run {run}: plain {:.2} s; p2p {took:.2} s, {:.0} MB/s; CPU seconds: seed {:.2}, leech {:.2}; peak memory: seed {} MiB, leech {} MiB",
            plain.as_secs_f64(),
            len as f64 / took / 1e6,
            cpu_seconds(&ann)? - seed,
            cpu_seconds(&bob)? - leech,
            peak_mib(&ann)?,
            peak_mib(&bob)?,
        );
        ensure!(
            sha1_of(&bob.downloads().join("big.iso"))? == sum,
            "the files differ"
        );
        fs::remove_dir_all(bob.dir())?;
    }
    Ok(())
}

/// User and system time of the daemon so far.
fn cpu_seconds(peer: &Peer) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", peer.pid()))?;
    // The name in parentheses may hold anything; the fields after it are numbers.
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split(' ')
        .collect();
    let ticks =
        |at: usize| -> Result<f64> { Ok(fields.get(at).context("a field")?.parse::<f64>()?) };
    Ok((ticks(12)? + ticks(13)?) / 100.0)
}

/// Peak resident memory, mapped files included.
fn peak_mib(peer: &Peer) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", peer.pid()))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .context("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? / 1024)
}
