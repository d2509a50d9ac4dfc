//! Tables: which fields of a value stand in which column, and how people read them.

use std::borrow::Cow;
use std::rc::Rc;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde_json::Value;

use crate::text;

/// The columns of a table of `T`.
pub(crate) struct Columns<'a, T> {
    columns: Vec<Column<'a, T>>,
    paint: Option<fn(&T) -> Paint>,
}

struct Column<'a, T> {
    key: Cow<'static, str>,
    head: Cow<'static, str>,
    right: bool,
    /// `None`: as in the pipe's form.
    show: Option<Show<'a, T>>,
}

/// How people read a field.
type Show<'a, T> = Rc<dyn Fn(&T) -> String + 'a>;

/// How a line looks where there is colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paint {
    /// As it is.
    Plain,
    /// Labels and heads of columns.
    Heading,
    /// Needs attention.
    Bad,
    /// Stands still.
    Dim,
}

impl Paint {
    /// `line` with its escape sequences, if `color`.
    pub(crate) fn apply(self, line: &str, color: bool) -> String {
        let code = match self {
            Self::Plain => return line.to_owned(),
            Self::Heading => "1",
            Self::Bad => "31",
            Self::Dim => "2",
        };
        match color {
            true => format!("\u{1b}[{code}m{line}\u{1b}[0m"),
            false => line.to_owned(),
        }
    }
}

impl<'a, T> Columns<'a, T> {
    /// No columns yet.
    pub(crate) fn new() -> Self {
        Self {
            columns: Vec::new(),
            paint: None,
        }
    }

    /// A further column of text: the JSON's field, the head, and how people read it.
    pub(crate) fn left(
        self,
        key: &'static str,
        head: &'static str,
        show: impl Fn(&T) -> String + 'a,
    ) -> Self {
        self.with(key, head, false, show)
    }

    /// A further column of numbers.
    pub(crate) fn right(
        self,
        key: &'static str,
        head: &'static str,
        show: impl Fn(&T) -> String + 'a,
    ) -> Self {
        self.with(key, head, true, show)
    }

    /// How the lines look.
    pub(crate) fn paint(mut self, paint: fn(&T) -> Paint) -> Self {
        self.paint = Some(paint);
        self
    }

    /// The fields, in order.
    pub(crate) fn keys(&self) -> Vec<&str> {
        let keys = self.columns.iter().map(|column| column.key.as_ref());
        keys.collect()
    }

    /// The columns for these fields, in their order; all for none. A field without a column of its own gets one.
    pub(crate) fn pick(&self, fields: &[String]) -> Columns<'a, T> {
        let find = |field: &String| {
            let known = self.columns.iter().find(|column| column.key == *field);
            known.map_or_else(|| Column::bare(field), Column::copy)
        };
        let columns = match fields.is_empty() {
            true => self.columns.iter().map(Column::copy).collect(),
            false => fields.iter().map(find).collect(),
        };
        Columns {
            columns,
            paint: self.paint,
        }
    }

    /// The table as text, heads first. `values` are the rows as JSON objects.
    pub(crate) fn render(&self, rows: &[T], values: &[Value], color: bool) -> String {
        let mut table = Table::new();
        table
            .load_style(presets::NOTHING)
            .set_content_arrangement(ContentArrangement::Disabled)
            .set_header(self.columns.iter().map(|column| column.head.as_ref()));
        for (row, value) in rows.iter().zip(values) {
            let cell = |column: &Column<'a, T>| match &column.show {
                Some(show) => text::escape(&show(row)),
                None => plain(value.get(column.key.as_ref())),
            };
            table.add_row(self.columns.iter().map(cell));
        }
        for (i, column) in self.columns.iter().enumerate() {
            if let Some(cells) = table.column_mut(i) {
                cells.set_padding((0, 2));
                if column.right {
                    cells.set_cell_alignment(CellAlignment::Right);
                }
            }
        }
        let mut all = String::new();
        for (i, line) in table.lines().enumerate() {
            let paint = match (i.checked_sub(1).and_then(|i| rows.get(i)), self.paint) {
                (None, _) => Paint::Heading,
                (Some(row), Some(paint)) => paint(row),
                (Some(_), None) => Paint::Plain,
            };
            all.push_str(&paint.apply(line.trim_end(), color));
            all.push('\n');
        }
        all
    }

    fn with(
        mut self,
        key: &'static str,
        head: &'static str,
        right: bool,
        show: impl Fn(&T) -> String + 'a,
    ) -> Self {
        self.columns.push(Column {
            key: key.into(),
            head: head.into(),
            right,
            show: Some(Rc::new(show)),
        });
        self
    }
}

impl<'a, T> Column<'a, T> {
    fn bare(field: &str) -> Self {
        Self {
            key: field.to_owned().into(),
            head: field.to_ascii_uppercase().into(),
            right: false,
            show: None,
        }
    }

    fn copy(&self) -> Self {
        Self {
            key: self.key.clone(),
            head: self.head.clone(),
            right: self.right,
            show: self.show.clone(),
        }
    }
}

/// A field as exact text in one cell: nothing for what is absent, a path's bytes escaped, lists and objects as JSON.
pub(crate) fn plain(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text::escape(text),
        Some(Value::Object(map)) if map.len() == 1 && map.contains_key("bytes") => {
            let path = serde_json::from_value(Value::Object(map.clone()));
            path.map_or_else(|_| String::new(), |path| text::show_path(&path))
        }
        Some(other) => text::escape_json(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_break_its_row() {
        let columns = Columns::new().left("name", "NAME", |name: &String| name.clone());
        let columns = columns.right("size", "SIZE", |_| "7 B".to_owned());
        let names = ["a\n\u{1b}[2Jb".to_owned(), "c".to_owned()];
        let values = [serde_json::json!({"name": names[0]}), Value::Null];
        assert_eq!(
            columns.render(&names, &values, false),
            "NAME         SIZE\na\\n\\x1b[2Jb   7 B\nc             7 B\n"
        );
    }

    #[test]
    fn fields_without_a_column_are_shown_as_they_are() {
        let columns = Columns::new().left("name", "NAME", |name: &&str| (*name).to_owned());
        let picked = columns.pick(&["pieces".to_owned(), "name".to_owned()]);
        let text = picked.render(&["n"], &[serde_json::json!({"pieces": [1, 2]})], false);
        assert_eq!(text, "PIECES  NAME\n[1,2]   n\n");
    }
}
