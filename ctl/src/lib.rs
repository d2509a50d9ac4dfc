//! The command line of p2pd.
//!
//! A command is parsed by [`cli`], runs in its file under [`commands`], asks the daemon through [`client`], and says what came of it
//! through [`output`] or ends with an [`error`]. Nothing here knows more of the daemon than `p2p_wire::control`.
//!
//! | module | owns |
//! |---|---|
//! | `cli` | the grammar: global options and the list of commands |
//! | `commands` | one file per command or small family |
//! | `context` | what a command runs with: the global options made ready |
//! | `socket` | which daemon is meant, and what to say when it does not answer |
//! | `client`, `lines` | the connection: requests, answers, progress, events; what its lines mean |
//! | `interrupt` | Ctrl-C while work is followed |
//! | `follow` | waiting for several requests with progress lines |
//! | `output`, `table` | the three forms of standard output |
//! | `rows` | the columns of what the daemon lists |
//! | `pieces` | the pieces of an item in words |
//! | `target` | what can be fetched |
//! | `human`, `text`, `units` | numbers and names for people, and from people |
//! | `files` | files that p2pctl itself reads and writes |
//! | `ask` | questions on the terminal: passwords, yes or no |
//! | `system` | who runs p2pctl, and other programs: p2pd, systemctl |
//! | `launchd` | p2pd as an agent of macOS |
//! | `error` | three-line errors and exit codes |
//!
//! `create`, `inspect`, `help`, `completions` and `man` need no daemon.
#![cfg_attr(test, allow(clippy::unwrap_used))] // tests unwrap

mod ask;
mod cli;
mod client;
mod commands;
mod context;
mod error;
mod failures;
mod files;
mod follow;
mod human;
mod interrupt;
mod launchd;
mod lines;
mod output;
mod pieces;
mod rows;
mod socket;
mod system;
mod table;
mod target;
mod text;
mod units;

use std::ffi::OsString;
use std::io::{self, IsTerminal as _, Write as _};

use clap::{CommandFactory as _, Parser as _};

use crate::cli::Cli;
use crate::context::Context;
use crate::error::Error;
use crate::table::Paint;

/// Runs one command line, program name first, and returns the exit code. Output goes to the process's standard streams.
pub fn run(args: impl IntoIterator<Item = OsString>) -> u8 {
    let args: Vec<OsString> = args.into_iter().collect();
    let cli = match Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        // Help and the version are no errors.
        Err(error) if !error.use_stderr() => {
            let _closed = error.print();
            return 0;
        }
        Err(error) => {
            let error = Error::from_clap(&error, command_of(&args));
            let _nobody_listens = write!(io::stderr(), "{}", error.text().unwrap_or_default());
            return error.exit_code();
        }
    };
    let Cli { globals, command } = cli;
    let context = Context::new(globals);
    match commands::run(command, &context) {
        Ok(()) => 0,
        Err(error) => {
            tell(&error, &context);
            error.exit_code()
        }
    }
}

/// The command that the arguments name, parsed or not.
fn command_of(args: &[OsString]) -> Option<&str> {
    let mut words = args.iter().skip(1).filter_map(|arg| arg.to_str());
    words.find(|word| Cli::command().find_subcommand(word).is_some())
}

fn tell(error: &Error, context: &Context) {
    let Some(text) = error.text() else { return };
    let color = context.error_color(io::stderr().is_terminal());
    let text = match text.strip_prefix("p2pctl:") {
        Some(rest) => Paint::Bad.apply("p2pctl:", color) + rest,
        None => text,
    };
    let _nobody_listens = io::stderr().write_all(text.as_bytes());
}
