//! What is shown, and what keys do to it.

use p2p_wire::InfoHash;
use p2p_wire::control::{Item, ItemDetail, LogLine, State, Status};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// Orders of the items, as the daemon takes them, in the order in which the key goes through them.
const SORTS: [&str; 5] = ["name", "-down", "-up", "-added", "state"];

/// What the daemon said at one time.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) status: Status,
    pub(super) items: Vec<Item>,
    /// Of the item that [`Model::wanted`] named.
    pub(super) detail: Option<ItemDetail>,
    pub(super) log: Vec<LogLine>,
}

/// What a key asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// To draw again.
    None,
    /// To ask the daemon again.
    Look,
    /// The end.
    Quit,
    /// To pause the item of this hash.
    Pause(String),
    /// To resume it.
    Resume(String),
}

/// The last snapshot and where the user is in it.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) last: Option<Snapshot>,
    /// The item whose peers and pieces are shown; it stays selected wherever it moves in the list.
    selected: Option<InfoHash>,
    sort: usize,
    /// Shows the log instead of peers and pieces.
    pub(super) log: bool,
    /// What the daemon said to the last key.
    pub(super) said: Option<String>,
}

impl Model {
    /// The order that the daemon is asked for.
    pub(super) fn sort(&self) -> &'static str {
        SORTS[self.sort % SORTS.len()]
    }

    /// Which of `items` is to be asked for in detail.
    pub(super) fn wanted<'a>(&self, items: &'a [Item]) -> Option<&'a Item> {
        let selected = |item: &&Item| Some(item.info_hash) == self.selected;
        items.iter().find(selected).or(items.first())
    }

    /// The place of the selected item in the list.
    pub(super) fn place(&self) -> Option<usize> {
        let items = &self.last.as_ref()?.items;
        let wanted = self.wanted(items)?.info_hash;
        items.iter().position(|item| item.info_hash == wanted)
    }

    /// Takes what the daemon said.
    pub(super) fn take(&mut self, snapshot: Snapshot) {
        self.last = Some(snapshot);
    }

    /// Shows `text` until the next key.
    pub(super) fn say(&mut self, text: String) {
        self.said = Some(text);
    }

    /// What `key` does.
    pub(super) fn key(&mut self, key: KeyEvent) -> Act {
        self.said = None;
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c') if control => Act::Quit,
            KeyCode::Char('q') | KeyCode::Esc => Act::Quit,
            KeyCode::Down | KeyCode::Char('j') => self.go(1),
            KeyCode::Up | KeyCode::Char('k') => self.go(-1),
            KeyCode::PageDown => self.go(20),
            KeyCode::PageUp => self.go(-20),
            KeyCode::Char('l') => {
                self.log = !self.log;
                Act::None
            }
            KeyCode::Char('s') => {
                self.sort = (self.sort + 1) % SORTS.len();
                Act::Look
            }
            KeyCode::Char('p') => self.pause(),
            _ => Act::None,
        }
    }

    fn go(&mut self, by: isize) -> Act {
        let items = self
            .last
            .as_ref()
            .map_or(&[][..], |last| last.items.as_slice());
        let to = self.place().unwrap_or(0).saturating_add_signed(by);
        let to = to.min(items.len().saturating_sub(1));
        self.selected = items.get(to).map(|item| item.info_hash);
        Act::Look
    }

    fn pause(&self) -> Act {
        let items = self.last.as_ref().map(|last| &last.items);
        match items.and_then(|items| self.wanted(items)) {
            None => Act::None,
            Some(item) if item.state == State::Paused => Act::Resume(item.info_hash.to_string()),
            Some(item) => Act::Pause(item.info_hash.to_string()),
        }
    }
}
