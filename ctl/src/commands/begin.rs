//! p2pctl without a command: how things stand and what to do next.

use std::io::Write as _;

use p2p_wire::control::Status;

use crate::context::Context;
use crate::error::Error;
use crate::human;
use crate::text;

/// A command, and what it is for.
type Step = (&'static str, &'static str);

const TRACKER: Step = (
    "p2pctl tracker add home http://HOST:6969",
    "the tracker that knows accounts and files; needed once",
);
const REGISTER: Step = (
    "p2pctl register",
    "make an account there, with an invitation of its administrator",
);
const LOGIN: Step = ("p2pctl login", "or log in with the account that you have");
const SHARE: Step = (
    "p2pctl share ~/Public",
    "seed what is in a folder, and what is dropped into it later",
);
const SEARCH: Step = ("p2pctl search", "what others have published");
const FETCH: Step = (
    "p2pctl fetch TARGET",
    "get an item by its name in the catalogue, hash, magnet link or .torrent",
);
const DOCTOR: Step = (
    "p2pctl doctor",
    "find out what is wrong, and which command mends it",
);
const STATUS: Step = ("p2pctl status", "shares, trackers and rates");
const TOP: Step = ("p2pctl top", "all of it, live");
const LS: Step = ("p2pctl ls", "the items");
const HELP: Step = ("p2pctl help", "all commands");

/// Says it on standard error, for it answers no question; the exit code is that of a command line that asks nothing.
pub(crate) fn run(context: &Context) -> Result<(), Error> {
    let (state, steps) = match context.connect().and_then(|mut client| {
        let unhealthy = client.welcome().unhealthy.is_some();
        match unhealthy {
            true => Ok(None),
            false => client.call("status", ()).map(Some),
        }
    }) {
        Ok(Some(status)) => (how_it_stands(&status), next_steps(&status)),
        Ok(None) => (String::new(), vec![DOCTOR]),
        // Three lines, of which the last says how to start it.
        Err(error) => (error.text().unwrap_or_default(), Vec::new()),
    };
    let _nobody_listens = std::io::stderr().write_all(page(&state, &steps).as_bytes());
    Err(Error::Quiet(2))
}

fn page(state: &str, steps: &[Step]) -> String {
    let width = steps.iter().chain([&HELP]).map(|step| step.0.len()).max();
    let width = width.unwrap_or(0) + 2;
    let mut page = String::from(state);
    if !state.is_empty() {
        page.push('\n');
    }
    page.push_str("Next:\n");
    for (command, what) in steps.iter().chain([&HELP]) {
        page.push_str(&format!("  {command:width$}{what}\n"));
    }
    page
}

fn how_it_stands(status: &Status) -> String {
    let mut state = format!(
        "{} runs for {}: {}, {}, {}.\n",
        text::escape(&status.server),
        match status.mode.as_str() {
            "system" => "the system",
            _ => "you",
        },
        human::counted(status.items.into(), "item"),
        human::counted(status.shares.len() as u64, "share"),
        human::counted(status.trackers.len() as u64, "tracker"),
    );
    for warning in &status.warnings {
        state.push_str(&format!("Warning: {}\n", text::escape(warning)));
    }
    state
}

fn next_steps(status: &Status) -> Vec<Step> {
    let mut steps = Vec::new();
    let logged_in = status.trackers.iter().any(|t| t.username.is_some());
    if status.errors > 0 || !status.warnings.is_empty() {
        steps.push(DOCTOR);
    }
    if status.trackers.is_empty() {
        steps.push(TRACKER);
    }
    if !logged_in {
        steps.extend([REGISTER, LOGIN]);
    }
    if status.shares.is_empty() {
        steps.push(SHARE);
    }
    if status.items == 0 {
        if logged_in {
            steps.push(SEARCH);
        }
        steps.push(FETCH);
    } else {
        steps.extend([LS, STATUS, TOP]);
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_stand_in_one_column() {
        let page = page("x\n", &[LOGIN, TRACKER]);
        let columns: Vec<Option<usize>> = [LOGIN, TRACKER, HELP]
            .map(|(_, what)| page.lines().find_map(|line| line.find(what)))
            .to_vec();
        assert!(
            columns.iter().all(|c| c.is_some() && *c == columns[0]),
            "{page}"
        );
    }
}
