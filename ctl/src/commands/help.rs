//! `help`, `completions`, `-V`, and p2pctl without a command: what p2pctl says of itself.

use std::io::Write as _;

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::cli::Cli;
use crate::client::CLIENT;
use crate::context::Context;
use crate::error::Error;
use crate::output::{Format, write};

const EXIT_CODES: &str = "\
Exit codes of p2pctl

    0  ok
    1  failed
    2  usage: the command line or a value in it is wrong
    3  daemon not reachable
    4  not found
    5  permission denied
    6  exists, or conflicts with something
    7  timed out
    8  stopped waiting, and the work goes on in the daemon
    9  refused by a gate
   10  verification found bad data
   11  disk full or I/O error
   12  versions do not match
   13  tracker refused, cannot be reached, or wants a login
  130  interrupted
";

/// Arguments of `help`.
#[derive(Debug, Args)]
pub(crate) struct Help {
    /// A command, with its subcommand if it has one; or exit-codes
    #[arg(value_name = "COMMAND|TOPIC")]
    words: Vec<String>,
}

impl Help {
    /// Prints it.
    pub(crate) fn run(self) -> Result<(), Error> {
        if self.words == ["exit-codes"] {
            return write(EXIT_CODES);
        }
        let mut root = Cli::command();
        root.build();
        let mut command = &mut root;
        for word in &self.words {
            command = command.find_subcommand_mut(word).ok_or_else(|| {
                Error::usage(
                    format!("no help on {word:?}"),
                    "It is neither a command nor a topic; the topic there is: exit-codes.",
                )
            })?;
        }
        write(&command.render_long_help().to_string())
    }
}

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// For this shell
    shell: Shells,
}

/// The shells that are supported.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Shells {
    Bash,
    Zsh,
    Fish,
}

impl Completions {
    /// Prints the script.
    pub(crate) fn run(self) -> Result<(), Error> {
        let shell = match self.shell {
            Shells::Bash => Shell::Bash,
            Shells::Zsh => Shell::Zsh,
            Shells::Fish => Shell::Fish,
        };
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "p2pctl", &mut script);
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(&script).map_err(Error::stdout)
    }
}

/// `-V`: the version of p2pctl, and of the daemon if it answers.
pub(crate) fn version(context: &Context) -> Result<(), Error> {
    let daemon = context.connect_to(context.socket());
    let server = daemon
        .as_ref()
        .ok()
        .map(|client| client.welcome().server.as_str());
    if context.out.format == Format::Json {
        let versions = serde_json::json!({"client": CLIENT, "server": server});
        return context.out.json(&versions);
    }
    write(&format!("{CLIENT}\n"))?;
    match (server, &daemon) {
        (Some(server), _) => context.out.lines(&[server]),
        (None, Err(Error::Told(told))) => {
            context.out.talk(&format!("p2pctl: {}", told.what));
            Ok(())
        }
        (None, _) => Ok(()),
    }
}

/// p2pctl without a command: the help, as an error of usage.
pub(crate) fn nothing_asked() -> Result<(), Error> {
    let help = Cli::command().render_help();
    let _nobody_listens = write!(std::io::stderr(), "{help}");
    Err(Error::Quiet(2))
}
