//! `tracker`: the trackers that the daemon knows.

use clap::Subcommand;
use p2p_wire::control::{self, ErrorKind, TrackerAdd, TrackerRef};

use crate::context::Context;
use crate::error::Error;
use crate::rows;

/// `tracker ...`.
#[derive(Debug, Subcommand)]
pub(crate) enum Tracker {
    /// Use a tracker
    Add {
        /// What to call it
        name: String,
        /// Its address: http(s)://HOST:PORT
        #[arg(value_parser = url)]
        url: String,
    },
    /// List the trackers
    Ls,
    /// Forget a tracker; what is published there stays
    Rm {
        /// What it is called
        name: String,
    },
    /// Ask a tracker whether it answers and knows the login
    Test {
        /// What it is called [default: the only or first one]
        name: Option<String>,
    },
}

fn url(text: &str) -> Result<String, String> {
    let host = ["http://", "https://"]
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme));
    match host {
        Some(host) if !host.is_empty() && !host.contains('@') => Ok(text.to_owned()),
        Some(host) if host.contains('@') => {
            Err("holds a name or password; use p2pctl login for that".to_owned())
        }
        _ => Err("is no address such as https://tracker.example.org:6969".to_owned()),
    }
}

impl Tracker {
    /// Runs it.
    pub(crate) fn run(self, context: &Context) -> Result<(), Error> {
        let mut client = context.connect()?;
        let report = |tracker: control::Tracker, what: &str| {
            context.out.report(&[tracker], &rows::trackers(), |t| {
                format!("{what} {} at {}: {}", t.name, t.url, rows::tracker_state(t))
            })
        };
        match self {
            Self::Add { name, url } => {
                let tracker: control::Tracker =
                    client.call("tracker.add", TrackerAdd { name, url })?;
                let login = tracker.username.is_none();
                let name = tracker.name.clone();
                report(tracker, "Using")?;
                if login && context.human() {
                    context.out.talk(&format!(
                        "Next:  p2pctl login {name}   or  p2pctl register {name}"
                    ));
                }
                Ok(())
            }
            Self::Ls => {
                let trackers: Vec<control::Tracker> = client.call("tracker.list", ())?;
                context.out.list(&trackers, &rows::trackers())?;
                if trackers.is_empty() && context.human() {
                    context
                        .out
                        .talk("No trackers. Add one:  p2pctl tracker add NAME URL");
                }
                Ok(())
            }
            Self::Rm { name } => {
                let params = TrackerRef {
                    tracker: Some(name),
                };
                report(client.call("tracker.remove", params)?, "No longer using")
            }
            Self::Test { name } => {
                let params = TrackerRef { tracker: name };
                let tracker: control::Tracker = client.call("tracker.test", params)?;
                let fault = fault(&tracker);
                report(tracker, "Tested")?;
                fault.map_or(Ok(()), Err)
            }
        }
    }
}

/// The error for a tracker that cannot be used as it is.
fn fault(tracker: &control::Tracker) -> Option<Error> {
    let name = &tracker.name;
    let fix = match tracker.state.as_str() {
        "unreachable" => format!(
            "Check the address and that the tracker runs:  curl {}/healthz",
            tracker.url
        ),
        "login needed" => format!("Log in:  p2pctl login {name}"),
        _ => return None,
    };
    Some(Error::new(
        ErrorKind::Tracker,
        format!("tracker {name} cannot be used: {}", tracker.state),
        tracker.reason.clone().unwrap_or_default(),
        fix,
    ))
}
