//! `config`: settings in force over the socket, and p2pd's file through p2pd itself.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use p2p_wire::control::{ConfigKey, ConfigSet, ConfigValue, Status};

use crate::context::Context;
use crate::error::Error;
use crate::output::Format;
use crate::rows;
use crate::socket::Whose;
use crate::system;
use crate::text;

/// `config ...`.
#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Print a setting and where it comes from, or all of them
    Get {
        /// Such as limits.download
        key: Option<String>,
    },
    /// Change a setting; it wins over the file
    Set {
        /// Such as limits.download
        key: String,
        /// As it would stand in the file; a text needs no quotes
        #[arg(allow_hyphen_values = true)]
        value: String,
    },
    /// Go back to what the file says, or the default
    Unset {
        /// Such as limits.download
        key: String,
    },
    /// Check p2pd's configuration file
    Check(FileArgs),
    /// Print where p2pd's configuration file is
    Path(FileArgs),
    /// Print all keys with their defaults and what they mean
    Defaults,
}

/// Arguments of `config check` and `config path`.
#[derive(Debug, Args)]
pub(crate) struct FileArgs {
    /// This file instead of the usual one
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Config {
    /// Runs it.
    pub(crate) fn run(self, context: &Context) -> Result<(), Error> {
        match self {
            Self::Get { key } => {
                let params = ConfigKey {
                    key: key.unwrap_or_default(),
                };
                let values: Vec<ConfigValue> = context.connect()?.call("config.get", params)?;
                context.out.list(&values, &rows::settings())
            }
            Self::Set { key, value } => {
                let params = ConfigSet { key, value };
                changed(context, context.connect()?.call("config.set", params)?)
            }
            Self::Unset { key } => {
                let params = ConfigKey { key };
                changed(context, context.connect()?.call("config.unset", params)?)
            }
            Self::Check(args) => args.ask(context, "check"),
            Self::Path(args) => args.ask(context, "path"),
            Self::Defaults => p2pd(context, "defaults", context.socket().whose, None),
        }
    }
}

impl FileArgs {
    fn ask(self, context: &Context, what: &str) -> Result<(), Error> {
        let (whose, file) = match self.config {
            Some(file) => (context.socket().whose, Some(file)),
            None => used(context)?,
        };
        p2pd(context, what, whose, file)
    }
}

fn changed(context: &Context, value: ConfigValue) -> Result<(), Error> {
    context.out.report(&[value], &rows::settings(), |value| {
        let later = match value.restart {
            true => "; takes effect after  p2pctl daemon restart",
            false => "",
        };
        format!("{} = {} ({}){later}", value.key, value.value, value.origin)
    })
}

/// Runs `p2pd config WHAT`; its output and exit code are ours.
fn p2pd(context: &Context, what: &str, whose: Whose, file: Option<PathBuf>) -> Result<(), Error> {
    if context.out.format == Format::Json {
        return Err(Error::usage(
            format!("config {what} has no JSON form"),
            "It prints the text of p2pd itself.",
            "Leave out --json, or take the settings in force:  p2pctl --json config get",
        ));
    }
    let mut command = system::p2pd()?;
    if let Some(file) = file {
        command.arg("--config").arg(file);
    }
    command.arg(match whose {
        Whose::System => "--system",
        Whose::User | Whose::Given => "--user",
    });
    command.args(["config", what]);
    system::run_through(command)
}

/// Whose daemon it is, and its file where that is not the usual one: as the daemon that is meant says. Of one that does not run only the
/// usual file is known, and of one that is named by its socket not even that.
fn used(context: &Context) -> Result<(Whose, Option<PathBuf>), Error> {
    let socket = context.socket();
    let whose = socket.whose;
    let status = context
        .connect_to(socket)
        .and_then(|mut client| client.call::<Status>("status", ()));
    match status {
        Ok(status) => {
            let whose = match status.mode.as_str() {
                "system" => Whose::System,
                _ => Whose::User,
            };
            Ok((whose, status.config.as_ref().map(text::to_path)))
        }
        Err(Error::Told(mut told)) if whose == Whose::Given => {
            told.fix = "Start it, or name its file with --config FILE.".to_owned();
            Err(Error::Told(told))
        }
        Err(error) if whose == Whose::Given => Err(error),
        Err(_) => Ok((whose, None)),
    }
}
