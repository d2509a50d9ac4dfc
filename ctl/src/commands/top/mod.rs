//! `top`: a live view of the daemon on a terminal.
//!
//! [`model`] holds what is shown and what keys do, [`draw`] puts it on the screen, [`map`] makes the picture of an item's pieces: none of
//! them knows a terminal or a daemon. Here is the loop that asks the daemon, over the control protocol alone, and reads the keys.

mod draw;
mod map;
mod model;

use std::io::{self, IsTerminal as _};
use std::time::{Duration, Instant};

use clap::Args;
use p2p_wire::control::{
    ErrorKind, Item, ItemBatch, ItemDetail, ItemList, ItemPage, ItemShow, ItemsRef, LogTail,
};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyEventKind};

use crate::client::Client;
use crate::context::Context;
use crate::error::Error;
use crate::interrupt;
use crate::units;
use model::{Act, Model, Snapshot};

/// Items that are asked for: more than a screen has lines.
const ITEMS: u32 = 500;
/// Lines of the log that are asked for.
const LOG_LINES: u32 = 50;

/// Arguments of `top`.
#[derive(Debug, Args)]
pub(crate) struct Top {
    /// Time between two looks at the daemon
    #[arg(long, value_name = "DUR", default_value = "1s", value_parser = units::parse_duration)]
    every: Duration,
}

impl Top {
    /// Draws until the user ends it or the daemon goes away.
    pub(crate) fn run(self, context: &Context) -> Result<(), Error> {
        if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
            return Err(Error::usage(
                "top needs a terminal",
                "It draws on the whole screen and reads keys.",
                "For scripts:  p2pctl --json status  and  p2pctl --json watch",
            ));
        }
        let told = interrupt::before_the_end(ratatui::restore);
        told.map_err(lost)?;
        // Keys are not read while the daemon is asked, so it must not take long.
        let patience = context.globals().connect_timeout;
        let mut client = context.connect()?;
        let mut model = Model::default();
        model.take(look(&mut client, &model, patience)?);
        let mut screen = Screen::open()?;
        loop {
            screen.draw(&model)?;
            match keys(&mut model, Instant::now() + self.every)? {
                Act::Quit => return Ok(()),
                Act::Look => {}
                Act::Pause(item) => change(&mut client, &mut model, "item.pause", &item, patience)?,
                Act::Resume(item) => {
                    change(&mut client, &mut model, "item.resume", &item, patience)?;
                }
                Act::None => continue,
            }
            model.take(look(&mut client, &model, patience)?);
        }
    }
}

/// Waits for a key that does something, at most until `deadline`, when it is time to look again.
fn keys(model: &mut Model, deadline: Instant) -> Result<Act, Error> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if !event::poll(left).map_err(lost)? {
            return Ok(Act::Look);
        }
        match event::read().map_err(lost)? {
            Event::Key(key) if key.kind != KeyEventKind::Release => return Ok(model.key(key)),
            Event::Resize(..) => return Ok(Act::None),
            _ => {}
        }
    }
}

/// Asks the daemon for what `model` shows.
fn look(client: &mut Client, model: &Model, patience: Duration) -> Result<Snapshot, Error> {
    let list = ItemList {
        filter: None,
        sort: Some(model.sort().to_owned()),
        after: None,
        limit: Some(ITEMS),
    };
    let log = LogTail {
        lines: Some(LOG_LINES),
        item: None,
        follow: false,
    };
    let status = client.call_within("status", (), patience)?;
    let page: ItemPage = client.call_within("item.list", list, patience)?;
    let log = client.call_within("log.tail", log, patience)?;
    let detail = match model.wanted(&page.items) {
        None => None,
        Some(item) => show(client, item, patience)?,
    };
    Ok(Snapshot {
        status,
        items: page.items,
        detail,
        log,
    })
}

/// The peers and pieces of an item; `None` where it has gone meanwhile.
fn show(client: &mut Client, item: &Item, patience: Duration) -> Result<Option<ItemDetail>, Error> {
    let show = ItemShow {
        item: item.info_hash.to_string(),
        parts: vec!["peers".to_owned(), "pieces".to_owned()],
        files_after: None,
        tracker: None,
    };
    match client.call_within("item.show", show, patience) {
        Ok(detail) => Ok(Some(detail)),
        Err(Error::Told(told)) if told.kind != ErrorKind::Unreachable => Ok(None),
        Err(error) => Err(error),
    }
}

/// Changes an item. What the daemon refuses is shown and ends nothing.
fn change(
    client: &mut Client,
    model: &mut Model,
    method: &str,
    item: &str,
    patience: Duration,
) -> Result<(), Error> {
    let which = ItemsRef {
        items: vec![item.to_owned()],
        ..ItemsRef::default()
    };
    match client.call_within::<ItemBatch>(method, which, patience) {
        Ok(_) => Ok(()),
        Err(Error::Told(told)) if told.kind != ErrorKind::Unreachable => {
            model.say(format!("{}: {}", told.what, told.why));
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// The terminal in our hands; given back as it was when this is dropped, and before a panic is told.
struct Screen {
    terminal: DefaultTerminal,
}

impl Screen {
    fn open() -> Result<Self, Error> {
        match ratatui::try_init() {
            Ok(terminal) => Ok(Self { terminal }),
            Err(error) => {
                ratatui::restore();
                Err(lost(error))
            }
        }
    }

    fn draw(&mut self, model: &Model) -> Result<(), Error> {
        let drawn = self.terminal.draw(|frame| draw::draw(frame, model));
        drawn.map(|_| ()).map_err(lost)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

fn lost(error: io::Error) -> Error {
    Error::file("cannot use the terminal", &error)
}
