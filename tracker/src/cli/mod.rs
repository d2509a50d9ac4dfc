//! The command line of `p2p-tracker`.

mod ask;
mod commands;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub use commands::run;

/// The p2p tracker: accounts, a catalogue, announces, piece points.
#[derive(Parser)]
#[command(name = "p2p-tracker", version, about, max_term_width = 100)]
pub struct Cli {
    /// Configuration file; without it /etc/p2p/p2p-tracker.toml, if it is there, else the defaults.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Folder of the database, the lock and the administration socket; wins over the configuration.
    #[arg(long, global = true, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Run the tracker until SIGTERM (the default).
    Serve,
    /// Accounts.
    #[command(subcommand)]
    User(UserCommand),
    /// Print invitation codes for `p2pctl register`.
    Invite {
        /// How many.
        #[arg(short, default_value_t = 1)]
        n: u32,
    },
    /// Print the SHA-256 fingerprint of the certificate, which `p2pctl tracker add` shows too.
    Fingerprint,
    /// Show what happened to files and accounts.
    Log(LogArgs),
    /// List hooks, and why one is not run.
    Hooks,
    /// Write a whole and consistent copy of the database to a new file.
    Backup {
        /// The new file.
        file: PathBuf,
    },
    /// The configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Write the manual pages into a folder.
    #[command(hide = true)]
    Man {
        /// The folder.
        dir: PathBuf,
    },
}

#[derive(Subcommand)]
enum UserCommand {
    /// Make an account; the password is asked for.
    Add {
        /// Its name: 1 to 32 of a-z 0-9 - _ . beginning with a letter or digit.
        username: String,
        /// Make it an administrator.
        #[arg(long)]
        admin: bool,
        #[command(flatten)]
        password: PasswordArgs,
    },
    /// List accounts.
    Ls,
    /// Set a password; all logins of the account end.
    Passwd {
        /// Whose.
        username: String,
        #[command(flatten)]
        password: PasswordArgs,
    },
    /// Bar an account from logging in and announcing; what it published stays.
    Disable {
        /// Which.
        username: String,
        /// Let it in again.
        #[arg(long)]
        undo: bool,
    },
    /// Remove an account and all it published, after asking.
    Rm {
        /// Which.
        username: String,
        /// Do not ask.
        #[arg(short, long)]
        yes: bool,
    },
}

#[derive(Args)]
struct PasswordArgs {
    /// Read the password from the first line of FILE; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

#[derive(Args)]
struct LogArgs {
    /// What was published and withdrawn alone.
    #[arg(long)]
    publishes: bool,
    /// Files with this in their name.
    #[arg(long, value_name = "NAME")]
    file: Option<String>,
    /// One account.
    #[arg(long, value_name = "U")]
    account: Option<String>,
    /// Go on with what happens.
    #[arg(short, long)]
    follow: bool,
    /// How many lines.
    #[arg(short, default_value_t = 50, value_name = "LINES")]
    n: u32,
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Check the configuration file.
    Check,
    /// Print every key with its documentation and default.
    Defaults,
    /// Print the path of the configuration file.
    Path,
}
