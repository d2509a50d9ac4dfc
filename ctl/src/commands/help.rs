//! `help`, `completions` and `-V`: what p2pctl says of itself.

use std::io::Write as _;

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::topics::{self, TOPICS};
use crate::cli::Cli;
use crate::client::CLIENT;
use crate::context::Context;
use crate::error::Error;
use crate::output::{Format, write};

/// Arguments of `help`.
#[derive(Debug, Args)]
pub(crate) struct Help {
    /// A command, with its subcommand if it has one; or a topic: exit-codes, json, filters
    #[arg(value_name = "COMMAND|TOPIC")]
    words: Vec<String>,
}

impl Help {
    /// Prints it.
    pub(crate) fn run(self) -> Result<(), Error> {
        if let [word] = self.words.as_slice()
            && let Some(topic) = TOPICS.iter().find(|topic| topic.name == word)
        {
            return write(topic.text);
        }
        let mut root = Cli::command();
        root.build();
        let mut command = &mut root;
        for word in &self.words {
            command = command.find_subcommand_mut(word).ok_or_else(|| {
                Error::usage(
                    format!("no help on {word:?}"),
                    format!(
                        "It is neither a command nor a topic; topics: {}.",
                        topics::names()
                    ),
                    "All commands:  p2pctl --help",
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
