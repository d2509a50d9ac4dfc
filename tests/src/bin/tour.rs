//! The guided tour, as a program.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use p2p_tests::lab::Programs;
use p2p_tests::tour::{self, DEFAULT_LEN, ON_YOUR_MACHINES, Options};

/// Starts a tracker and three peers on this machine, shares a file, fetches it twice, and shows what happens.
#[derive(Parser)]
#[command(name = "tour")]
struct Args {
    /// The file to share; one of 1,519,802,169 bytes is made when absent
    file: Option<PathBuf>,
    /// Do not limit the upload of the first peer
    #[arg(long)]
    fast: bool,
    /// Keep the folder with everything in it
    #[arg(long)]
    keep: bool,
    /// Where to work; needs three times the file's size [default: a folder beside the build]
    #[arg(long)]
    dir: Option<PathBuf>,
}

fn main() -> Result<()> {
    let args = Args::parse();
    build_programs()?;
    let programs = Programs::beside_this()?;
    let beside = programs
        .ctl
        .parent()
        .map(Path::to_owned)
        .context("find the build folder")?;
    let work = tempfile::Builder::new()
        .prefix("tour-")
        .disable_cleanup(args.keep)
        .tempdir_in(args.dir.unwrap_or(beside))
        .context("make a folder to work in")?;
    let options = Options {
        file: args.file,
        len: DEFAULT_LEN,
        upload: (!args.fast).then(|| "64MiB/s".to_owned()),
        dir: work.path().to_owned(),
        limit: Duration::from_secs(3600),
    };
    let outcome = tour::run(&options, programs, &mut io::stdout())?;
    println!(
        "\nBoth fetches together took {:.1} s for {} bytes each.",
        outcome.took.as_secs_f64(),
        outcome.len
    );
    if outcome
        .c_received
        .get("bob")
        .is_none_or(|bytes| *bytes == 0)
    {
        bail!("cleo received nothing from bob: {:?}", outcome.c_received);
    }
    println!("\nThe same on your own machines\n\n{ON_YOUR_MACHINES}");
    if args.keep {
        println!("Kept: {}", work.path().display());
    }
    Ok(())
}

/// The three programs in the profile of this one: cargo builds a program only when asked for it.
fn build_programs() -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    // The whole workspace: with some of its packages, cargo would choose other features and build their dependencies once more.
    command.args(["build", "--quiet", "--workspace", "--bins"]);
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    // What `cargo run` tells this program: build scripts that look at it would run anew, and all that depends on them be built again.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(name);
        }
    }
    let status = command.status().context("run cargo")?;
    ensure!(status.success(), "the programs do not build");
    Ok(())
}
