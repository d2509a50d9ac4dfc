//! See the library.

use std::process::ExitCode;

use clap::Parser;

/// A hook that cannot be started, as shells know it.
const NO_HOOK: u8 = 126;

fn main() -> ExitCode {
    if let Some(error) = p2p_hooks::become_hook(std::env::args_os()) {
        eprintln!("p2p-tracker: the hook cannot be started: {error}");
        return ExitCode::from(NO_HOOK);
    }
    p2p_tracker::cli::run(p2p_tracker::cli::Cli::parse())
}
