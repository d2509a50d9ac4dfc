//! What a command runs with: the global options, made ready for use.

use std::path::{Path, PathBuf};

use crate::cli::{Color, Globals};
use crate::client::Client;
use crate::error::Error;
use crate::interrupt::Interrupts;
use crate::output::{Format, Output, Style};
use crate::socket::{Socket, Wish};
use crate::{system, text};

/// The global options, made ready.
pub(crate) struct Context {
    globals: Globals,
    /// Standard output.
    pub(crate) out: Output,
}

impl Context {
    /// Looks at the terminal and the environment.
    pub(crate) fn new(globals: Globals) -> Self {
        let style = Style {
            json: globals.json,
            fields: globals.fields.clone(),
            quiet: globals.quiet,
            no_progress: globals.no_progress,
            color: match globals.color {
                Color::Auto => None,
                Color::Always => Some(true),
                Color::Never => Some(false),
            },
        };
        Self {
            globals,
            out: Output::new(style),
        }
    }

    /// The options as they were given.
    pub(crate) fn globals(&self) -> &Globals {
        &self.globals
    }

    /// Whether output is for people.
    pub(crate) fn human(&self) -> bool {
        self.out.format == Format::Human
    }

    /// Which daemon is meant.
    pub(crate) fn socket(&self) -> Socket {
        let wish = Wish {
            socket: self.globals.socket.clone(),
            user: self.globals.user,
            system: self.globals.system,
        };
        let env = |name: &str| std::env::var_os(name);
        Socket::choose(&wish, env, system::uid())
    }

    /// Connects to the daemon. One that is unwell is used all the same, with its reason said.
    pub(crate) fn connect(&self) -> Result<Client, Error> {
        let client = self.connect_to(self.socket())?;
        if let Some(reason) = &client.welcome().unhealthy {
            self.out.talk(&format!("p2pctl: p2pd is unwell: {reason}"));
        }
        Ok(client)
    }

    /// Connects to the daemon at `socket`.
    pub(crate) fn connect_to(&self, socket: Socket) -> Result<Client, Error> {
        let verbose = self.globals.verbose;
        if verbose {
            self.out
                .talk(&format!("p2pctl: connecting to {}", socket.path.display()));
        }
        let client = Client::connect(socket, self.globals.connect_timeout, verbose)?;
        if verbose {
            let welcome = client.welcome();
            self.out.talk(&format!(
                "p2pctl: {} answers, {} mode, role {}",
                welcome.server, welcome.mode, welcome.role
            ));
        }
        Ok(client)
    }

    /// Connects for a command that follows work, where Ctrl-C ends the waiting and not the work.
    pub(crate) fn connect_to_follow(&self) -> Result<Client, Error> {
        // Before the connection's thread starts, which would otherwise take the signal.
        let interrupts = Interrupts::block();
        let client = self.connect()?;
        if let Ok(interrupts) = interrupts {
            client.take_interrupts(interrupts);
        }
        Ok(client)
    }

    /// Whether the `p2pctl:` of an error is red.
    pub(crate) fn error_color(&self, terminal: bool) -> bool {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        match self.globals.color {
            Color::Auto => terminal && !no_color,
            Color::Always => true,
            Color::Never => false,
        }
    }
}

/// `path` made absolute against the folder where p2pctl runs: the daemon runs in another. The text is kept otherwise; what
/// `..` means depends on links, and is for the daemon to see.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf, Error> {
    std::path::absolute(path).map_err(|error| {
        let shown = text::show_os(path.as_os_str());
        Error::file(format!("cannot make {shown:?} an absolute path"), &error)
    })
}
