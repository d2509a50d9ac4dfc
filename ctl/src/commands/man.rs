//! `man`: the manual pages of p2pctl, from the grammar itself.

use std::path::PathBuf;

use clap::{Args, Command, CommandFactory as _};
use p2p_manual::{Manual, Page};
use p2p_wire::control::SYSTEM_SOCKET;

use super::topics::TOPICS;
use crate::cli::Cli;
use crate::client::CLIENT;
use crate::context::Context;
use crate::error::Error;
use crate::text;

/// Arguments of `man`.
#[derive(Debug, Args)]
pub(crate) struct Man {
    /// Folder that the pages are written to; it must be there
    dir: PathBuf,
}

impl Man {
    /// Writes a page for p2pctl and one for each command.
    pub(crate) fn run(self, context: &Context) -> Result<(), Error> {
        let manual = Manual::new(CLIENT).commands(Cli::command(), rest);
        let shown = text::show_os(self.dir.as_os_str());
        let number = manual.write(&self.dir).map_err(|error| {
            Error::file(format!("cannot write manual pages to {shown}"), &error)
        })?;
        let said = format!("Wrote {number} manual pages to {shown}");
        context.out.talk(&said);
        Ok(())
    }
}

/// What the grammar does not say.
fn rest(command: &Command) -> Page {
    let mut page = Page::default();
    if command.get_name() != "p2pctl" {
        page.see_also(&[("p2pctl", 1), ("p2pd", 1)]);
        return page;
    }
    for topic in TOPICS {
        page.heading(topic.heading);
        // Its first line is the heading for the terminal.
        let text = topic.text.split_once('\n').map_or("", |(_, text)| text);
        page.verbatim(text.trim_matches('\n'));
    }
    page.heading("ENVIRONMENT");
    page.term(
        "P2PD_SOCKET",
        "The control socket of the daemon, where no option names one.",
    );
    page.term("NO_COLOR", "Not empty: no colour.");
    page.heading("FILES");
    page.term(
        "$XDG_RUNTIME_DIR/p2pd/control.sock",
        "The control socket of your daemon.",
    );
    page.term(SYSTEM_SOCKET, "The control socket of the system's daemon.");
    page.see_also(&[("p2pd", 1), ("p2pd.toml", 5), ("p2p-tracker", 1)]);
    page
}
