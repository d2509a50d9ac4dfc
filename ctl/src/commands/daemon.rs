//! `daemon`: starting, stopping and enabling p2pd, through systemd or launchd where they run, else by hand.

use std::ffi::OsString;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clap::Subcommand;
use p2p_wire::control::{ErrorKind, Platform, Reload, Status};

use crate::client::Client;
use crate::context::Context;
use crate::error::Error;
use crate::launchd::Agent;
use crate::socket::{Socket, Whose};
use crate::system;
use crate::text;

/// How long a start or stop may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often to look meanwhile.
const LOOK: Duration = Duration::from_millis(50);

/// `daemon ...`.
#[derive(Clone, Copy, Debug, Subcommand)]
pub(crate) enum Daemon {
    /// Start it
    Start,
    /// Stop it; transfers go on where they were when it starts again
    Stop,
    /// Stop and start it
    Restart,
    /// Read the configuration file again
    Reload,
    /// Start it now and at every login, through systemd (on macOS launchd)
    Enable {
        /// At every boot, without a login
        #[arg(long)]
        linger: bool,
    },
    /// Stop it, and do not start it at login
    Disable,
}

impl Daemon {
    /// Runs it.
    pub(crate) fn run(self, context: &Context) -> Result<(), Error> {
        let socket = context.socket();
        if let Some(error) = absent(Platform::HERE, socket.whose) {
            return Err(error);
        }
        if let Some(agent) = Agent::find(&socket)
            && let Some(done) = self.run_agent(context, &socket, &agent)
        {
            return done;
        }
        let unit = Unit::find(&socket);
        match (self, unit) {
            (Self::Reload, _) => reload(context),
            (Self::Start, Some(unit)) => unit.run(context, &["start"], "Started"),
            (Self::Start, None) => start(context, &socket, &[]),
            (Self::Stop, Some(unit)) if unit.is_active() => {
                unit.with_socket().run(context, &["stop"], "Stopped")
            }
            (Self::Stop, _) => stop(context, &socket),
            (Self::Restart, Some(unit)) => {
                // One that was started by hand holds the socket.
                if !unit.is_active() && context.connect_to(socket.clone()).is_ok() {
                    stop(context, &socket)?;
                }
                unit.run(context, &["restart"], "Restarted")
            }
            (Self::Restart, None) => {
                let mut as_before = Vec::new();
                if let Ok(mut client) = context.connect_to(socket.clone()) {
                    as_before = places(&mut client);
                    stop(context, &socket)?;
                }
                start(context, &socket, &as_before)
            }
            (Self::Enable { linger }, Some(unit)) => enable(context, unit, linger),
            (Self::Disable, Some(unit)) => {
                unit.with_socket()
                    .run(context, &["disable", "--now"], "Disabled")
            }
            (Self::Enable { .. }, None) => Err(no_unit(&socket, "enable")),
            (Self::Disable, None) => Err(no_unit(&socket, "disable")),
        }
    }

    /// Through launchd; `None` for what is done by hand there as elsewhere.
    fn run_agent(
        self,
        context: &Context,
        socket: &Socket,
        agent: &Agent,
    ) -> Option<Result<(), Error>> {
        // One that was started by hand holds the socket.
        let freed = || match context.connect_to(socket.clone()) {
            Ok(_) => stop(context, socket),
            Err(_) => Ok(()),
        };
        let answers = |done| wait_for(context, socket, done);
        match self {
            Self::Enable { linger: true } => Some(Err(Error::usage(
                "cannot enable p2pd without a login",
                "launchd starts an agent of yours when you log in, and ends it when you log out.",
                "Leave out --linger",
            ))),
            Self::Enable { linger: false } => {
                let enabled = freed().and_then(|()| agent.enable());
                Some(enabled.and_then(|()| answers("Enabled and started")))
            }
            Self::Disable => {
                let disabled = agent.disable();
                Some(disabled.map(|()| context.out.talk("Disabled p2pd")))
            }
            Self::Restart if agent.is_enabled() => {
                let started = freed().and_then(|()| agent.start());
                Some(started.and_then(|()| answers("Restarted")))
            }
            Self::Start if agent.is_enabled() && context.connect_to(socket.clone()).is_err() => {
                Some(agent.start().and_then(|()| answers("Started")))
            }
            // One that ends as it was told is not started again by launchd.
            Self::Start | Self::Restart | Self::Stop | Self::Reload => None,
        }
    }
}

/// p2pd as a unit of systemd.
#[derive(Clone, Copy, Debug)]
struct Unit {
    whose: Whose,
    /// The socket unit is meant, too: left listening, it would start the service again for the next client.
    socket: bool,
}

impl Unit {
    /// The unit of the daemon that is meant, if systemd runs and knows it. A daemon at a given socket is no unit.
    fn find(socket: &Socket) -> Option<Self> {
        let unit = Self {
            whose: socket.whose,
            socket: false,
        };
        let known = socket.whose != Whose::Given && unit.says_yes(&["cat"]);
        known.then_some(unit)
    }

    /// The service with the socket that starts it, where there is one.
    fn with_socket(self) -> Self {
        let mut look = Command::new("systemctl");
        look.args(["cat", "p2pd.socket"]);
        let found = system::run_kept(look).is_ok_and(|output| output.status.success());
        Self {
            socket: self.whose == Whose::System && found,
            ..self
        }
    }

    fn is_active(self) -> bool {
        self.says_yes(&["is-active", "--quiet"])
    }

    fn systemctl(self, args: &[&str]) -> Command {
        let mut command = Command::new("systemctl");
        if self.whose == Whose::User {
            command.arg("--user");
        }
        command.args(args).arg("p2pd.service");
        if self.socket {
            command.arg("p2pd.socket");
        }
        command
    }

    fn says_yes(self, args: &[&str]) -> bool {
        let output = system::run_kept(self.systemctl(args));
        output.is_ok_and(|output| output.status.success())
    }

    fn run(self, context: &Context, args: &[&str], done: &str) -> Result<(), Error> {
        let output = system::run_kept(self.systemctl(args))?;
        if !output.status.success() {
            let (user, sudo) = match self.whose {
                Whose::User => ("--user ", ""),
                Whose::System | Whose::Given => ("", "sudo "),
            };
            let what = format!("systemctl {user}{} p2pd failed", args.join(" "));
            let why = system::reason(&output);
            return Err(match self.whose == Whose::System && !system::is_root() {
                true => Error::new(
                    ErrorKind::Permission,
                    what,
                    why,
                    format!("Try:  sudo systemctl {} p2pd", args.join(" ")),
                ),
                false => Error::new(
                    ErrorKind::Failed,
                    what,
                    why,
                    format!("Look:  {sudo}journalctl {user}-u p2pd -n 20"),
                ),
            });
        }
        context.out.talk(&format!("{done} p2pd"));
        Ok(())
    }
}

fn enable(context: &Context, unit: Unit, linger: bool) -> Result<(), Error> {
    unit.run(context, &["enable", "--now"], "Enabled and started")?;
    if !linger || unit.whose == Whose::System {
        return Ok(());
    }
    let mut command = Command::new("loginctl");
    command.arg("enable-linger");
    let output = system::run_kept(command)?;
    match output.status.success() {
        true => {
            context.out.talk("It starts at boot, without a login");
            Ok(())
        }
        false => Err(Error::new(
            ErrorKind::Failed,
            "loginctl enable-linger failed",
            system::reason(&output),
            "Ask an administrator:  sudo loginctl enable-linger $USER",
        )),
    }
}

/// What p2pd must be started with again to be the same: with another state folder it would know none of its items. One that is unwell does
/// not tell, and is started as a new one would be.
fn places(client: &mut Client) -> Vec<OsString> {
    let Ok(status) = client.call::<Status>("status", ()) else {
        return Vec::new();
    };
    let given = [
        ("--config", status.config),
        ("--state-dir", status.state_dir),
    ];
    let given = given
        .into_iter()
        .filter_map(|(option, path)| Some((option, text::to_path(&path?))));
    given
        .flat_map(|(option, path)| [option.into(), path.into()])
        .collect()
}

/// Starts p2pd by hand, with `given` besides what the socket says, and waits until it answers.
fn start(context: &Context, socket: &Socket, given: &[OsString]) -> Result<(), Error> {
    if let Ok(client) = context.connect_to(socket.clone()) {
        let server = &client.welcome().server;
        context.out.talk(&format!("{server} runs already"));
        return Ok(());
    }
    let mut command = system::p2pd()?;
    match socket.whose {
        Whose::System => command.arg("--system"),
        Whose::User => command.arg("--user"),
        Whose::Given => command.arg("--user").arg("--socket").arg(&socket.path),
    };
    command.args(given);
    command.arg("--daemonize").stdin(Stdio::null());
    // With its own words for what is wrong, which then are ours.
    system::run_through(command)?;
    wait_for(context, socket, "Started")
}

/// Waits until p2pd answers, and says what was `done`.
fn wait_for(context: &Context, socket: &Socket, done: &str) -> Result<(), Error> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match context.connect_to(socket.clone()) {
            Ok(client) => {
                let server = &client.welcome().server;
                context.out.talk(&format!("{done} {server}"));
                return Ok(());
            }
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => std::thread::sleep(LOOK),
        }
    }
}

/// Asks p2pd to stop and waits until it has let go of its socket.
fn stop(context: &Context, socket: &Socket) -> Result<(), Error> {
    let mut client = context.connect_to(socket.clone())?;
    let _null: serde_json::Value = client.call("daemon.stop", ())?;
    let deadline = Instant::now() + PATIENCE;
    // The connection ends with the daemon; a new one must fail, too.
    while client
        .next(Some(deadline))
        .is_ok_and(|message| !matches!(message, crate::client::Message::TimedOut))
    {}
    while context.connect_to(socket.clone()).is_ok() {
        if Instant::now() > deadline {
            return Err(Error::new(
                ErrorKind::TimedOut,
                "p2pd has not stopped after 30s",
                "It may be writing what it has to a slow disk.",
                "Wait, and look:  p2pctl status",
            ));
        }
        std::thread::sleep(LOOK);
    }
    context.out.talk("Stopped p2pd");
    Ok(())
}

fn reload(context: &Context) -> Result<(), Error> {
    let reload: Reload = context.connect()?.call("daemon.reload", ())?;
    let words = |keys: &[String]| match keys.is_empty() {
        true => "nothing".to_owned(),
        false => keys.join(", "),
    };
    for problem in &reload.problems {
        context.out.talk(problem);
    }
    let labels = [
        ("Took effect", words(&reload.applied)),
        ("Needs a restart", words(&reload.needs_restart)),
    ];
    context.out.record(&reload, &labels)
}

/// Why there is no such daemon on this platform, if there is none.
fn absent(platform: Platform, whose: Whose) -> Option<Error> {
    let (what, why, fix) = match (platform, whose) {
        (Platform::Windows, _) => (
            "there is no p2pd for Windows",
            "What it promises of files rests on calls that Linux and macOS have.",
            "Run it on another machine; here work:  p2pctl create   and   p2pctl inspect",
        ),
        (Platform::MacOs, Whose::System) => (
            "there is no system's daemon on macOS",
            "It is made for Linux alone.",
            "Use your own:  p2pctl --user daemon enable",
        ),
        _ => return None,
    };
    Some(Error::new(ErrorKind::Failed, what, why, fix))
}

fn no_unit(socket: &Socket, what: &str) -> Error {
    let (why, fix) = match socket.whose {
        Whose::Given => (
            format!(
                "The daemon at {} is not one that systemd starts.",
                text::show_os(socket.path.as_os_str())
            ),
            "Leave out --socket and P2PD_SOCKET, or start it by hand:  p2pctl daemon start",
        ),
        Whose::User => (
            "No systemd runs for your user, or the unit p2pd.service is not installed.".to_owned(),
            "Start it by hand:  p2pctl daemon start   (and at boot from cron: @reboot)",
        ),
        Whose::System => (
            "No systemd runs here, or the unit p2pd.service is not installed.".to_owned(),
            "Install the units, or start it by hand:  sudo p2pd --system --daemonize",
        ),
    };
    Error::new(
        ErrorKind::Failed,
        format!("cannot {what} p2pd through systemd"),
        why,
        fix,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_there_is_no_such_daemon_that_is_said_and_nothing_tried() {
        let says = |platform, whose| absent(platform, whose).and_then(|error| error.text());
        let windows = says(Platform::Windows, Whose::User).unwrap();
        assert!(windows.contains("no p2pd for Windows"), "{windows}");
        let mac = says(Platform::MacOs, Whose::System).unwrap();
        assert!(mac.contains("p2pctl --user daemon enable"), "{mac}");
        assert_eq!(says(Platform::MacOs, Whose::User), None);
        assert_eq!(says(Platform::Linux, Whose::System), None);
    }
}
