//! The screen: how the model looks.

use p2p_wire::control::{Item, ItemDetail, ItemPeer, LogLine, State, Status};
use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize as _};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Block, Cell, Paragraph, Row, Table, TableState};

use super::map;
use super::model::{Model, Snapshot};
use crate::human;
use crate::rows;
use crate::text;

const KEYS: &str = "q quit   arrows select   p pause or resume   s sort   l log";

/// Draws everything.
pub(super) fn draw(frame: &mut Frame<'_>, model: &Model) {
    let [head, list, below, foot] = Layout::vertical([
        Constraint::Length(2),
        Constraint::Fill(3),
        Constraint::Fill(2),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    let Some(last) = &model.last else { return };
    frame.render_widget(header(&last.status), head);
    items(frame, list, model, last);
    match (&last.detail, model.log) {
        (Some(detail), false) => one_item(frame, below, detail),
        _ => log(frame, below, &last.log),
    }
    let line = match &model.said {
        Some(said) => Line::from(text::escape(said)).red(),
        None => Line::from(format!("{KEYS}   by {}", model.sort())).dim(),
    };
    frame.render_widget(Paragraph::new(line), foot);
}

fn header(status: &Status) -> Paragraph<'static> {
    let first = format!(
        "{}  {}  up {}  port {}  {} peers",
        text::escape(&status.server),
        text::escape(&status.mode),
        human::seconds(status.uptime_s),
        status.port,
        human::count(status.peers.into()),
    );
    let second = format!(
        "down {}  up {}  {}: {} seeding, {} fetching, {} paused, {} with an error",
        human::rate(status.down_rate),
        human::rate(status.up_rate),
        human::counted(status.items.into(), "item"),
        status.seeding,
        status.fetching,
        status.paused,
        status.errors,
    );
    Paragraph::new(Text::from(vec![
        Line::from(first).bold(),
        Line::from(second),
    ]))
}

fn items(frame: &mut Frame<'_>, area: Rect, model: &Model, last: &Snapshot) {
    // Where there is not room for all, the last columns go, never the name.
    let widths = [
        Constraint::Min(16),
        Constraint::Length(9),
        Constraint::Length(5),
        Constraint::Length(9),
        Constraint::Length(11),
        Constraint::Length(11),
        Constraint::Length(5),
        Constraint::Length(6),
        Constraint::Length(8),
    ];
    let heads = [
        "STATE", "DONE", "SIZE", "DOWN", "UP", "PEERS", "COPIES", "ETA",
    ];
    let head = std::iter::once(Cell::from("NAME"));
    let head = Row::new(head.chain(heads.map(right))).style(Style::new().bold());
    let table = Table::new(last.items.iter().map(item), widths)
        .header(head)
        .row_highlight_style(Modifier::REVERSED);
    let mut state = TableState::default().with_selected(model.place());
    frame.render_stateful_widget(table, area, &mut state);
}

fn item(item: &Item) -> Row<'static> {
    let cells = [
        rows::state(item.state).to_owned(),
        human::percent(item.done, item.size),
        human::size(item.size),
        human::rate(item.down_rate),
        human::rate(item.up_rate),
        item.peers.to_string(),
        human::copies(item.copies),
        item.eta_s.map_or_else(|| "-".to_owned(), human::seconds),
    ];
    let name = Cell::from(text::escape(&item.name));
    let style = match item.state {
        State::Error => Style::new().fg(Color::Red),
        State::Paused => Style::new().dim(),
        _ => Style::new(),
    };
    Row::new(std::iter::once(name).chain(cells.map(right))).style(style)
}

fn right(text: impl Into<String>) -> Cell<'static> {
    Cell::from(Text::from(text.into()).alignment(Alignment::Right))
}

/// Pieces and peers of the selected item.
fn one_item(frame: &mut Frame<'_>, area: Rect, detail: &ItemDetail) {
    let name = detail.item.as_ref().map_or("", |item| item.name.as_str());
    let block = Block::bordered().title(format!(" {} ", text::escape(name)));
    let inside = block.inner(area);
    frame.render_widget(block, area);
    let [pieces, peers] =
        Layout::vertical([Constraint::Length(3), Constraint::Fill(1)]).areas(inside);
    if let Some(known) = &detail.pieces {
        let width = usize::from(pieces.width);
        let picture: String = map::cells(known, width * 2)
            .into_iter()
            .map(map::Cell::symbol)
            .collect();
        let key = format!(
            "{} pieces of {}: █ here  ▒ partly  · at others  ! nobody is known to have it",
            human::count(known.pieces.into()),
            human::size(known.piece_len.into())
        );
        let symbols: Vec<char> = picture.chars().collect();
        let mut lines: Vec<Line<'_>> = symbols
            .chunks(width.max(1))
            .map(|row| Line::from(row.iter().collect::<String>()).fg(Color::Green))
            .collect();
        lines.push(Line::from(key).dim());
        frame.render_widget(Paragraph::new(lines), pieces);
    }
    let rows = detail.peers.iter().flatten().map(peer);
    let widths = [
        Constraint::Length(24),
        Constraint::Fill(1),
        Constraint::Length(8),
        Constraint::Length(11),
        Constraint::Length(11),
    ];
    let head = [Cell::from("PEER"), Cell::from("PROGRAM")];
    let head = head.into_iter().chain(["PIECES", "DOWN", "UP"].map(right));
    let table = Table::new(rows, widths).header(Row::new(head).style(Style::new().bold()));
    frame.render_widget(table, peers);
}

fn peer(peer: &ItemPeer) -> Row<'static> {
    let names = [
        Cell::from(text::escape(&peer.addr)),
        Cell::from(text::escape(&peer.client)),
    ];
    let numbers = [
        human::count(peer.pieces.into()),
        human::rate(peer.down_rate),
        human::rate(peer.up_rate),
    ];
    Row::new(names.into_iter().chain(numbers.map(right)))
}

fn log(frame: &mut Frame<'_>, area: Rect, lines: &[LogLine]) {
    let block = Block::bordered().title(" Log ");
    let room = usize::from(block.inner(area).height);
    let shown = lines.iter().skip(lines.len().saturating_sub(room));
    let line = |line: &LogLine| {
        let level = match line.level.as_str() {
            "error" => Span::from("error ").red(),
            "warn" => Span::from("warn  ").yellow(),
            level => Span::from(format!("{:<6}", text::escape(level))).dim(),
        };
        let time = Span::from(format!("{}  ", human::local_time(&line.time))).dim();
        Line::from(vec![time, level, Span::from(text::escape(&line.text))])
    };
    let lines: Vec<Line<'_>> = shown.map(line).collect();
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
    use serde_json::{Value, json};

    use super::super::model::Act;
    use super::*;

    fn item(digit: &str, name: &str, state: &str) -> Value {
        json!({
            "info_hash": digit.repeat(40), "name": name, "state": state, "done": 500, "size": 1_000, "pieces_done": 5, "pieces": 10,
            "piece_len": 16_384, "down_rate": 117_440_512, "up_rate": 0, "downloaded": 0, "uploaded": 0, "wasted": 0, "peers": 3,
            "seeds": 1, "copies": 1.5, "missing": null, "eta_s": 12, "path": "/d", "added": "2026-01-01T00:00:00Z", "completed": null,
            "private": true
        })
    }

    fn model() -> Model {
        let status = json!({
            "server": "p2pd 9.9.9", "pid": 7, "mode": "user", "uptime_s": 61, "port": 51_413, "items": 2, "seeding": 1, "fetching": 1,
            "paused": 0, "errors": 0, "peers": 3, "down_rate": 117_440_512, "up_rate": 0, "downloaded": 0, "uploaded": 0, "shares": [],
            "trackers": [], "download_dir": "/d", "limits": {}, "warnings": []
        });
        let items = json!([
            item("1", "big\u{1b}[31m.iso", "fetching"),
            item("2", "two.bin", "paused")
        ]);
        let detail = json!({
            "item": item("1", "big.iso", "fetching"),
            "peers": [{"addr": "192.0.2.7:6881", "client": "p2pd 9", "direction": "out", "pieces": 10, "down_rate": 1, "up_rate": 0,
                "downloaded": 0, "uploaded": 0, "choking_us": false, "choked": true, "interesting": true, "interested": false,
                "requests": 1, "window": 1}],
            "pieces": {"pieces": 10, "piece_len": 16_384, "here": [[0, 4]], "holders": [[9, 1], [1, 0]], "unknown": 0, "missing": [],
                "source": "peers"}
        });
        let log =
            json!([{"time": "2026-01-01T00:00:00Z", "level": "warn", "text": "something odd"}]);
        let mut model = Model::default();
        model.take(Snapshot {
            status: serde_json::from_value(status).unwrap(),
            items: serde_json::from_value(items).unwrap(),
            detail: Some(serde_json::from_value(detail).unwrap()),
            log: serde_json::from_value(log).unwrap(),
        });
        model
    }

    fn shown(model: &Model, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, model)).unwrap();
        terminal.backend().to_string()
    }

    fn press(model: &mut Model, code: KeyCode) -> Act {
        model.key(KeyEvent::new(code, KeyModifiers::NONE))
    }

    #[test]
    fn items_speeds_peers_pieces_and_keys_are_shown() {
        let screen = shown(&model(), 120, 30);
        for part in [
            "p2pd 9.9.9",
            "51413",
            "two.bin",
            "50%",
            "112 MiB/s",
            "12s",
            "192.0.2.7:6881",
            "█████····!",
            "q quit",
        ] {
            assert!(screen.contains(part), "no {part}:\n{screen}");
        }
        assert!(screen.contains("big\\x1b[31m.iso"), "{screen}");
    }

    #[test]
    fn it_fits_any_size() {
        let mut model = model();
        for (width, height) in [(1, 1), (20, 5), (80, 24), (300, 100)] {
            shown(&model, width, height);
            model.log = !model.log;
        }
    }

    #[test]
    fn keys_select_pause_sort_and_end() {
        let mut model = model();
        let (one, two) = ("1".repeat(40), "2".repeat(40));
        assert_eq!(press(&mut model, KeyCode::Char('p')), Act::Pause(one));
        assert_eq!(press(&mut model, KeyCode::Down), Act::Look);
        press(&mut model, KeyCode::PageDown);
        assert_eq!(model.place(), Some(1));
        assert_eq!(press(&mut model, KeyCode::Char('p')), Act::Resume(two));
        press(&mut model, KeyCode::PageUp);
        assert_eq!(model.place(), Some(0));
        assert_eq!(press(&mut model, KeyCode::Char('s')), Act::Look);
        assert_eq!(model.sort(), "-down");
        assert_eq!(press(&mut model, KeyCode::Char('l')), Act::None);
        assert!(shown(&model, 120, 30).contains("something odd"));
        for key in [KeyCode::Char('q'), KeyCode::Esc] {
            assert_eq!(press(&mut model, key), Act::Quit);
        }
        let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(model.key(interrupt), Act::Quit);
        assert_eq!(Model::default().key(interrupt), Act::Quit);
        assert_eq!(press(&mut Model::default(), KeyCode::Char('p')), Act::None);
    }

    #[test]
    fn a_refusal_is_shown_until_the_next_key() {
        let mut model = model();
        model.say("may not pause".into());
        assert!(shown(&model, 120, 30).contains("may not pause"));
        press(&mut model, KeyCode::Char('l'));
        assert!(!shown(&model, 120, 30).contains("may not pause"));
    }
}
