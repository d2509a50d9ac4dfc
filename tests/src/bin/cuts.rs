//! Crashes a daemon at random moments and compares what it claims afterwards with the disk.
//!
//! `cargo run --release --bin cuts -- --runs 100` (nightly) or `--runs 1000` (before a release) cuts the power, and needs root for a file
//! system of its own; with `--kill` it kills the daemon instead. With `--tracker` it is the tracker that crashes, and what it acknowledged is
//! looked for. `--soak 60` is an hour of files that come and go and of a peer that crashes, and looks for what grows. Ends with 1 if
//! anything false was claimed, lost or kept, or a start failed.

use std::fmt::Debug;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Parser;
use p2p_tests::cuts::{self, Options};
use p2p_tests::lab::Programs;

#[derive(Parser)]
#[command(name = "cuts")]
struct Args {
    /// Crashes
    #[arg(long, default_value_t = 100)]
    runs: u32,
    /// Kill the daemon instead of cutting the power
    #[arg(long)]
    kill: bool,
    /// Crash a tracker that clients write to
    #[arg(long, conflicts_with = "soak")]
    tracker: bool,
    /// Let files come and go, and a peer crash, for so many minutes
    #[arg(long, value_name = "MINUTES")]
    soak: Option<f64>,
    /// Bytes of the file that is fetched
    #[arg(long, default_value_t = 24_000_000)]
    len: u64,
    /// Length of its pieces, as `p2pctl share` takes it
    #[arg(long, value_name = "SIZE", default_value = "auto")]
    piece_size: String,
    /// Bytes per second at which it is fetched
    #[arg(long, default_value_t = 16_000_000)]
    rate: u64,
    /// Seconds after the completion within which the late crashes come
    #[arg(long, default_value_t = 10.0)]
    after: f64,
    /// Seed of the random choices
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where the image of the disk lies whose power is cut; in memory it is quick
    #[arg(long, default_value = "/dev/shm")]
    image_dir: PathBuf,
    /// Print a line for each crash
    #[arg(long, short)]
    verbose: bool,
    /// In a mount namespace of its own already
    #[arg(long, hide = true)]
    inside: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    if !args.kill && !args.inside {
        let mut again = Command::new("unshare");
        again.args(["-m", "--propagation", "private"]);
        again
            .arg(std::env::current_exe()?)
            .args(std::env::args_os().skip(1))
            .arg("--inside");
        return Err(again.exec()).context("start unshare");
    }
    let programs = Programs::beside_this()?;
    let mut named = tempfile::Builder::new();
    named.prefix("cuts-");
    let (work, image) = (named.tempdir()?, named.tempdir_in(&args.image_dir)?);
    let options = Options {
        runs: args.runs,
        kill: args.kill,
        len: args.len,
        piece_size: args.piece_size,
        rate: args.rate,
        after: Duration::from_secs_f64(args.after),
        seed: args.seed,
        dir: work.path().to_owned(),
        image: image.path().join("disk.img"),
    };
    let tell = |line: &str| {
        if args.verbose {
            println!("{line}");
        }
    };
    let (outcome, clean): (Box<dyn Debug>, bool) = match args.soak {
        Some(minutes) => {
            let long = Duration::from_secs_f64(minutes * 60.0);
            let outcome = cuts::soak(&options, programs, long, tell)?;
            (Box::new(outcome.clone()), outcome.is_clean())
        }
        None if args.tracker => {
            let outcome = cuts::run_tracker(&options, programs, tell)?;
            (Box::new(outcome.clone()), outcome.is_clean())
        }
        None => {
            let outcome = cuts::run(&options, programs, tell)?;
            (Box::new(outcome.clone()), outcome.is_clean())
        }
    };
    println!("{outcome:#?}");
    if !clean {
        bail!("something false was claimed, or a promise broken");
    }
    Ok(())
}
