//! `config`: settings in force over the socket, and p2pd's file through p2pd itself.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use p2p_wire::control::{ConfigKey, ConfigSet, ConfigValue};

use crate::context::Context;
use crate::error::Error;
use crate::output::Format;
use crate::rows;
use crate::socket::Whose;
use crate::system;

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
            Self::Check(args) => p2pd(context, "check", args.config),
            Self::Path(args) => p2pd(context, "path", args.config),
            Self::Defaults => p2pd(context, "defaults", None),
        }
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
fn p2pd(context: &Context, what: &str, file: Option<PathBuf>) -> Result<(), Error> {
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
    let globals = context.globals();
    if globals.system || context.socket().whose == Whose::System {
        command.arg("--system");
    } else {
        command.arg("--user");
    }
    command.args(["config", what]);
    system::run_through(command)
}
