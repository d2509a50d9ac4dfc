//! `tracker`: the trackers that the daemon knows.

use std::io::IsTerminal as _;

use clap::Subcommand;
use p2p_wire::Fingerprint;
use p2p_wire::control::{
    self, ErrorKind, TrackerAdd, TrackerCertificate, TrackerProbe, TrackerRef, TrackerTrust,
};

use crate::ask;
use crate::client::Client;
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
        /// The SHA-256 fingerprint of its certificate, as `p2p-tracker fingerprint` prints it there; shown and asked about otherwise,
        /// where no authority vouches for the certificate
        #[arg(long, value_name = "DIGITS")]
        fingerprint: Option<Fingerprint>,
    },
    /// Trust the certificate that a tracker shows now, after it changed
    Trust {
        /// What it is called [default: the only or first one]
        name: Option<String>,
        /// The SHA-256 fingerprint of its certificate; shown and asked about otherwise
        #[arg(long, value_name = "DIGITS")]
        fingerprint: Option<Fingerprint>,
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
        _ => Err("it is no address such as https://tracker.example.org:6969".to_owned()),
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
            Self::Add {
                name,
                url,
                fingerprint,
            } => {
                let add = TrackerAdd {
                    fingerprint: match fingerprint {
                        None => examine(context, &mut client, &url)?,
                        given => given,
                    },
                    name,
                    url,
                };
                let tracker: control::Tracker = client.call("tracker.add", add)?;
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
            Self::Trust { name, fingerprint } => {
                let fingerprint = match fingerprint {
                    None => {
                        let url = address_of(&mut client, name.as_deref())?;
                        examine(context, &mut client, &url)?
                    }
                    given => given,
                };
                let trust = TrackerTrust {
                    tracker: name,
                    fingerprint,
                };
                report(client.call("tracker.trust", trust)?, "Trusting")
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

/// Shows a certificate that nobody vouches for and asks whether to trust it; its fingerprint, if so. `None` where nothing is to be asked.
fn examine(
    context: &Context,
    client: &mut Client,
    url: &str,
) -> Result<Option<Fingerprint>, Error> {
    if !url.starts_with("https://") {
        return Ok(None);
    }
    let probe = TrackerProbe {
        url: url.to_owned(),
    };
    let shown: TrackerCertificate = client.call("tracker.probe", probe)?;
    let Some(fingerprint) = shown.fingerprint else {
        return Ok(None);
    };
    if !context.globals().yes && !std::io::stdin().is_terminal() {
        return Err(Error::new(
            ErrorKind::Usage,
            format!(
                "the certificate of {} is not known: {fingerprint}",
                shown.url
            ),
            "No authority vouches for it, and there is no terminal to ask on.",
            "Compare with `p2p-tracker fingerprint` there, then add --fingerprint DIGITS (or --yes to take what is shown).",
        ));
    }
    let talk = |text: &str| context.out.talk(text);
    talk(&format!(
        "No authority vouches for the certificate of {}",
        shown.url
    ));
    talk(&format!("  SHA-256 fingerprint {fingerprint}"));
    talk("  Its administrator sees the same with:  sudo p2p-tracker fingerprint");
    ask::confirm(context, "Trust this certificate from now on?")?;
    Ok(Some(fingerprint))
}

/// The URL of a tracker that the daemon knows.
fn address_of(client: &mut Client, name: Option<&str>) -> Result<String, Error> {
    let trackers: Vec<control::Tracker> = client.call("tracker.list", ())?;
    let found = trackers
        .into_iter()
        .find(|tracker| name.is_none_or(|name| tracker.name == name));
    found.map(|tracker| tracker.url).ok_or_else(|| {
        Error::new(
            ErrorKind::NotFound,
            match name {
                Some(name) => format!("no tracker is called {name}"),
                None => "there is no tracker".to_owned(),
            },
            "It was not added, or has another name.",
            "Look at those there are:  p2pctl tracker ls",
        )
    })
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
