//! `register`, `login`, `logout`, `whoami`: accounts on trackers.

use std::path::{Path, PathBuf};

use clap::Args;
use p2p_wire::control::{Credentials, ErrorKind, Tracker, TrackerRef};

use crate::ask;
use crate::context::Context;
use crate::error::Error;
use crate::rows;

/// Who logs in where.
#[derive(Debug, Args)]
struct Who {
    /// The tracker's name [default: the only or first one]
    #[arg(value_name = "NAME")]
    tracker: Option<String>,
    /// Account name; asked for on the terminal otherwise
    #[arg(long, value_name = "U")]
    username: Option<String>,
    /// Read the password from the first line of this file (- is standard input) instead of the terminal
    #[arg(long, value_name = "F")]
    password_file: Option<PathBuf>,
}

/// Arguments of `register`.
#[derive(Debug, Args)]
pub(crate) struct Register {
    #[command(flatten)]
    who: Who,
    /// Read the invitation code from the first line of this file; asked for on the terminal otherwise
    #[arg(long, value_name = "F")]
    invite_file: Option<PathBuf>,
}

/// Arguments of `login`.
#[derive(Debug, Args)]
pub(crate) struct Login {
    #[command(flatten)]
    who: Who,
}

/// Arguments of `logout` and `whoami`.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// The tracker's name [default: the only or first one]
    #[arg(value_name = "NAME")]
    tracker: Option<String>,
}

impl Register {
    /// Makes the account, then logs in with it.
    pub(crate) fn run(self, context: &Context) -> Result<(), Error> {
        let stdin = Some(Path::new("-"));
        if self.invite_file.as_deref() == stdin && self.who.password_file.as_deref() == stdin {
            return Err(Error::usage(
                "standard input cannot be two files",
                "Both --password-file and --invite-file are -.",
                "Give one of them a file of its own.",
            ));
        }
        // Without a daemon there is nothing to type a password for.
        let mut client = context.connect()?;
        let username = ask::username(self.who.username)?;
        let password = ask::password(self.who.password_file.as_deref(), true)?;
        let invite = match (&self.invite_file, &self.who.password_file) {
            (Some(file), _) => Some(ask::secret_file(file)?),
            (None, None) => ask::invitation()?,
            (None, Some(_)) => None,
        };
        let mut credentials = Credentials {
            tracker: self.who.tracker,
            username,
            password,
            invite,
        };
        let registered: Tracker = client.call("account.register", &credentials)?;
        credentials.tracker = Some(registered.name);
        credentials.invite = None;
        let login = client.call("account.login", &credentials);
        let tracker: Tracker = login.inspect_err(|_| {
            let made = "The account is registered; only its login failed: p2pctl login";
            context.out.talk(made);
        })?;
        context.out.report(&[tracker], &rows::trackers(), |t| {
            format!("Registered at {} and logged in as {}", t.name, account(t))
        })
    }
}

impl Login {
    /// Logs in.
    pub(crate) fn run(self, context: &Context) -> Result<(), Error> {
        let mut client = context.connect()?;
        let credentials = Credentials {
            tracker: self.who.tracker,
            username: ask::username(self.who.username)?,
            password: ask::password(self.who.password_file.as_deref(), false)?,
            invite: None,
        };
        let tracker: Tracker = client.call("account.login", &credentials)?;
        context.out.report(&[tracker], &rows::trackers(), |t| {
            format!("Logged in to {} as {}", t.name, account(t))
        })
    }
}

impl Which {
    /// Ends the session.
    pub(crate) fn logout(self, context: &Context) -> Result<(), Error> {
        let tracker: Tracker = context.connect()?.call("account.logout", self.params())?;
        context.out.report(&[tracker], &rows::trackers(), |t| {
            let reason = t.reason.as_deref();
            let reason = reason.map_or(String::new(), |reason| format!("\n{reason}"));
            format!(
                "Logged out of {}; what is here is seeded on to those who know it{reason}",
                t.name
            )
        })
    }

    /// Says who is logged in; that nobody is, is an error.
    pub(crate) fn whoami(self, context: &Context) -> Result<(), Error> {
        let tracker: Tracker = context.connect()?.call("account.whoami", self.params())?;
        if tracker.username.is_none() {
            let name = &tracker.name;
            return Err(Error::new(
                ErrorKind::Tracker,
                format!("nobody is logged in to {name}"),
                tracker.reason.clone().unwrap_or_default(),
                format!(
                    "Log in:  p2pctl login {name}   or make an account:  p2pctl register {name}"
                ),
            ));
        }
        context.out.report(&[tracker], &rows::trackers(), |t| {
            format!("{} at {} ({})", account(t), t.name, t.url)
        })
    }

    fn params(self) -> TrackerRef {
        TrackerRef {
            tracker: self.tracker,
        }
    }
}

/// `ann on nas1`.
fn account(tracker: &Tracker) -> String {
    match (&tracker.username, &tracker.node) {
        (Some(user), Some(node)) => format!("{user} on {node}"),
        (Some(user), None) => user.clone(),
        (None, _) => "nobody".to_owned(),
    }
}
