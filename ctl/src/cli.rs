//! The grammar: global options and the list of commands. What a command takes stands in its own file.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::commands::{
    account, catalogue, config, create, daemon, fetch, help, history, hooks, inspect, items, limit,
    link, log, ls, man, share, show, top, tracker, verify, watch,
};
use crate::units;

const BEGIN: &str = "\
Begin with:
  p2pctl status                      is the daemon running, and what does it do
  p2pctl share FOLDER                seed what is in a folder, and what is dropped into it later
  p2pctl fetch TARGET                get an item by its hash, its name in the catalogue, a magnet link or a .torrent
  p2pctl tracker add home URL        use a tracker; then  p2pctl register  or  p2pctl login
  p2pctl help COMMAND                what a command takes;  p2pctl help json  for scripts";

/// Shares and fetches big files through p2pd, the peer daemon of this machine.
#[derive(Debug, Parser)]
#[command(
    name = "p2pctl",
    disable_version_flag = true,
    disable_help_subcommand = true,
    after_help = BEGIN,
    max_term_width = 110,
    infer_subcommands = false
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) globals: Globals,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// Options that every command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Globals {
    /// Use the daemon of your user
    #[arg(long, global = true, conflicts_with_all = ["system", "socket"])]
    pub(crate) user: bool,
    /// Use the system's daemon
    #[arg(long, global = true, conflicts_with = "socket")]
    pub(crate) system: bool,
    /// Use the daemon at this socket [default: $P2PD_SOCKET, else your user's, else the system's]
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
    /// Print JSON: one document, or one a line for streams
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print these fields of the JSON alone, in any form of output
    #[arg(long, global = true, value_name = "A,B", value_delimiter = ',')]
    pub(crate) fields: Vec<String>,
    /// Print data and errors alone
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// Say on standard error what is asked of the daemon
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
    /// Draw no progress line
    #[arg(long, global = true)]
    pub(crate) no_progress: bool,
    /// When to use colour
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: Color,
    /// How long to wait for the daemon to answer at first
    #[arg(long, global = true, value_name = "DUR", default_value = "5s", value_parser = units::parse_duration)]
    pub(crate) connect_timeout: Duration,
    /// Answer yes to every question
    #[arg(short, long, global = true)]
    pub(crate) yes: bool,
    /// Print the version of p2pctl and of the daemon
    #[arg(short = 'V', long, global = true)]
    pub(crate) version: bool,
}

/// `--color`.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always, where output is for people
    Always,
    /// Never
    Never,
}

/// The commands, in the order of the help.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Seed and publish what is in a folder, and what is dropped into it from now on
    Share(share::Share),
    /// Stop sharing a folder; its files stay
    Unshare(share::Unshare),
    /// Look through shares again for what changed
    Rescan(share::Rescan),
    /// Print the magnet link of an item, or write its .torrent
    Link(link::Link),
    /// Make a .torrent of a file or folder (needs no daemon)
    Create(create::Create),
    /// Say what is in a .torrent or magnet link (needs no daemon)
    Inspect(inspect::Inspect),
    /// Fetch items and seed them from then on
    Fetch(fetch::Fetch),
    /// List items
    Ls(ls::Ls),
    /// Show an item, or an entry of the catalogue, in detail
    Show(show::Show),
    /// Stop exchanging items until they are resumed
    Pause(items::Items),
    /// Go on with paused items
    Resume(items::Items),
    /// Announce items to their trackers now
    Announce(items::Items),
    /// Read the data of items again, compare it with their hashes, and wait for the outcome
    Verify(verify::Verify),
    /// Change settings of an item
    Set(items::Set),
    /// Move the data of an item to another folder
    Mv(items::Move),
    /// Forget items; their data stays unless --delete-data
    Rm(items::Remove),
    /// Add, list, remove and test trackers
    #[command(subcommand)]
    Tracker(tracker::Tracker),
    /// Make an account on a tracker and log in
    Register(account::Register),
    /// Log in to a tracker
    Login(account::Login),
    /// Log out of a tracker
    Logout(account::Which),
    /// Say which account is logged in to a tracker
    Whoami(account::Which),
    /// Put an item or a .torrent into the catalogue
    Publish(catalogue::Publish),
    /// Take an item out of the catalogue; it is seeded on
    Unpublish(catalogue::Unpublish),
    /// Search the catalogue
    Search(catalogue::Search),
    /// List the machines of the tracker's accounts
    Online(catalogue::Online),
    /// Show the daemon at a glance
    Status,
    /// Show items, rates, peers, pieces and the log, live
    Top(top::Top),
    /// Find out what is wrong, and which command mends it
    Doctor,
    /// Print events as they happen
    Watch(watch::Watch),
    /// Print the daemon's log
    Log(log::Log),
    /// List past transfers: what, from and to whom, how much, when
    History(history::History),
    /// Show or set the limits of the daemon's rates
    Limit(limit::Limit),
    /// Read and change the daemon's settings
    #[command(subcommand)]
    Config(config::Config),
    /// List and try the programs that p2pd runs at events and gates
    #[command(subcommand)]
    Hooks(hooks::Hooks),
    /// Start, stop and enable the daemon
    #[command(subcommand)]
    Daemon(daemon::Daemon),
    /// Print the completions of a shell
    Completions(help::Completions),
    /// Print help on a command or topic
    Help(help::Help),
    /// Write the manual pages into a folder (needs no daemon)
    Man(man::Man),
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use clap::error::ErrorKind;

    use super::*;

    /// The command lines of p2pctl in a document: in its text, and on indented lines of their own.
    fn lines(text: &str) -> Vec<String> {
        let inline = text.split('`').skip(1).step_by(2);
        let shown = text.lines().filter_map(|line| line.strip_prefix("    "));
        let all = inline.chain(shown).map(|line| {
            let line = line.split("  #").next().unwrap_or_default();
            let line = line.rsplit("&& ").next().unwrap_or_default();
            line.trim_start_matches("sudo ").trim_end()
        });
        let ours = all.filter(|line| line.starts_with("p2pctl ") && !line.contains("..."));
        let ours = ours.filter_map(|line| line.split(['|', '\n']).next());
        ours.map(str::to_owned).collect()
    }

    #[test]
    fn what_documents_name_of_it_exists() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut files = vec![root.join("README.md")];
        let docs = fs::read_dir(root.join("docs")).unwrap();
        files.extend(docs.map(|entry| entry.unwrap().path()));
        let mut seen = 0;
        for file in files {
            for line in lines(&fs::read_to_string(&file).unwrap()) {
                seen += 1;
                let Err(error) = Cli::try_parse_from(line.split_whitespace()) else {
                    continue;
                };
                // A command may be named without what it takes.
                let named = [
                    ErrorKind::MissingRequiredArgument,
                    ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand,
                ];
                let file = file.display();
                assert!(named.contains(&error.kind()), "{file}: {line}: {error}");
            }
        }
        assert!(seen > 20, "{seen} lines");
    }
}
