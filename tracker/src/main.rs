//! See the library.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    p2p_tracker::cli::run(p2p_tracker::cli::Cli::parse())
}
