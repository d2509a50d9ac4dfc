//! The plain program that transfers are compared with: `plain FROM TO` copies a file over loopback, writes and hashes it, and nothing else.

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use p2p_tests::plain;

/// Copies a file over loopback, writes it, hashes its pieces of 512 KiB, and prints the time and the CPU time that took.
#[derive(Parser)]
#[command(name = "plain")]
struct Args {
    /// The file to copy
    from: PathBuf,
    /// Where to; must not exist
    to: PathBuf,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let (took, digests) = plain::copy(&args.from, &args.to)?;
    let used = getrusage(UsageWho::RUSAGE_SELF)?;
    let cpu = (used.user_time() + used.system_time()).num_milliseconds();
    println!(
        "plain: {:.2} s; CPU seconds: {:.2}; {} pieces",
        took.as_secs_f64(),
        cpu as f64 / 1e3,
        digests.len()
    );
    Ok(())
}
