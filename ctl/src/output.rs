//! What goes to standard output, in one of three forms: tables and sentences for people, tab-separated values for pipes, JSON.
//!
//! The pipe's form has the same columns as the table but exact values (bytes, whole hashes, RFC 3339) and no header, so that a
//! script need not undo the rounding. The fields of both are those of the JSON, and `--fields` picks among them in every form.
//! Standard output is data; talk goes to standard error.

use std::io::{self, IsTerminal as _, Write as _};

use serde::Serialize;
use serde_json::{Map, Value};

use crate::error::Error;
use crate::table::{Columns, Paint, plain};
use crate::text;

/// The form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// For people.
    Human,
    /// Tab-separated, exact, without header.
    Tabs,
    /// One document, or one a line for streams.
    Json,
}

/// Where the output goes and how.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    /// Of standard output.
    pub(crate) format: Format,
    fields: Vec<String>,
    color: bool,
    quiet: bool,
    progress: bool,
}

/// What the command line says about the output.
#[derive(Clone, Debug, Default)]
pub(crate) struct Style {
    /// `--json`.
    pub(crate) json: bool,
    /// `--fields`.
    pub(crate) fields: Vec<String>,
    /// `--quiet`.
    pub(crate) quiet: bool,
    /// `--no-progress`.
    pub(crate) no_progress: bool,
    /// `--color`; `None` is `auto`.
    pub(crate) color: Option<bool>,
}

impl Output {
    /// The output that fits the command line, the terminal and `NO_COLOR`.
    pub(crate) fn new(style: Style) -> Self {
        let terminal = io::stdout().is_terminal();
        let format = match (style.json, terminal) {
            (true, _) => Format::Json,
            (false, true) => Format::Human,
            (false, false) => Format::Tabs,
        };
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let color = style.color.unwrap_or(terminal && !no_color);
        Self {
            format,
            fields: style.fields,
            color: color && format == Format::Human,
            quiet: style.quiet,
            progress: !style.no_progress
                && !style.quiet
                && !style.json
                && io::stderr().is_terminal(),
        }
    }

    /// Whether a progress line is drawn on standard error.
    pub(crate) fn progress(&self) -> bool {
        self.progress
    }

    /// Says a line on standard error, unless `--quiet`. What it cannot say is not worth an error.
    pub(crate) fn talk(&self, line: &str) {
        if !self.quiet {
            let _nobody_listens = writeln!(io::stderr(), "{}", text::escape(line));
        }
    }

    /// A list: a table, lines, or a JSON array.
    pub(crate) fn list<T: Serialize>(
        &self,
        rows: &[T],
        columns: &Columns<'_, T>,
    ) -> Result<(), Error> {
        let values = self.select_rows(rows, columns)?;
        match self.format {
            Format::Json => self.write_json(&Value::Array(values)),
            Format::Tabs => self.write_tabs(&values, columns),
            Format::Human if rows.is_empty() => Ok(()),
            Format::Human => {
                let known = columns.pick(&self.fields);
                write(&known.render(rows, &values, self.color))
            }
        }
    }

    /// What was done to some things: a sentence for each for people, else as [`Output::list`].
    pub(crate) fn report<T: Serialize>(
        &self,
        rows: &[T],
        columns: &Columns<'_, T>,
        sentence: impl Fn(&T) -> String,
    ) -> Result<(), Error> {
        if self.format != Format::Human || !self.fields.is_empty() {
            return self.list(rows, columns);
        }
        if self.quiet {
            return Ok(());
        }
        let lines: Vec<String> = rows.iter().map(sentence).collect();
        self.lines(&lines)
    }

    /// One thing: labels and values for people, `key TAB value` lines, or a JSON object.
    pub(crate) fn record<T: Serialize>(
        &self,
        value: &T,
        labels: &[(&str, String)],
    ) -> Result<(), Error> {
        let object = self.select(to_value(value)?)?;
        match (self.format, &object) {
            (Format::Json, _) => self.write_json(&object),
            (Format::Human, _) if self.fields.is_empty() => write(&self.labelled(labels)),
            (_, Value::Object(map)) => {
                let keys = self.order(map);
                let line = |key: &&String| format!("{key}\t{}\n", plain(map.get(key.as_str())));
                write(&keys.iter().map(line).collect::<String>())
            }
            (_, other) => write(&format!("{}\n", plain(Some(other)))),
        }
    }

    /// One of a stream: a line for people, or tab-separated, or a line of JSON.
    pub(crate) fn stream<T: Serialize>(
        &self,
        value: &T,
        columns: &Columns<'_, T>,
        line: impl Fn(&T) -> String,
    ) -> Result<(), Error> {
        let rows = std::slice::from_ref(value);
        match self.format {
            Format::Human if self.fields.is_empty() => self.lines(&[line(value)]),
            Format::Json => {
                for value in self.select_rows(rows, columns)? {
                    write(&format!("{}\n", text::escape_json(&value.to_string())))?;
                }
                Ok(())
            }
            Format::Human | Format::Tabs => {
                self.write_tabs(&self.select_rows(rows, columns)?, columns)
            }
        }
    }

    /// Lines for people; each is escaped.
    pub(crate) fn lines<S: AsRef<str>>(&self, lines: &[S]) -> Result<(), Error> {
        let mut all = String::new();
        for line in lines {
            all.push_str(&text::escape(line.as_ref()));
            all.push('\n');
        }
        write(&all)
    }

    /// The heading of a part of what is for people.
    pub(crate) fn heading(&self, text: &str) -> Result<(), Error> {
        let text = Paint::Heading.apply(&text::escape(text), self.color);
        write(&format!("{text}\n"))
    }

    /// A value as one JSON document.
    pub(crate) fn json<T: Serialize>(&self, value: &T) -> Result<(), Error> {
        let value = self.select(to_value(value)?)?;
        self.write_json(&value)
    }

    fn labelled(&self, labels: &[(&str, String)]) -> String {
        let width = labels.iter().map(|(label, _)| label.len()).max();
        let width = width.unwrap_or(0) + 2;
        let mut all = String::new();
        for (label, value) in labels {
            let label = Paint::Heading.apply(&format!("{label:width$}"), self.color);
            all.push_str(format!("{label}{}", text::escape(value)).trim_end());
            all.push('\n');
        }
        all
    }

    fn write_json(&self, value: &Value) -> Result<(), Error> {
        let text = serde_json::to_string_pretty(value).map_err(|error| unserializable(&error))?;
        write(&format!("{}\n", text::escape_json(&text)))
    }

    fn write_tabs<T>(&self, values: &[Value], columns: &Columns<'_, T>) -> Result<(), Error> {
        let keys: Vec<&str> = match self.fields.is_empty() {
            true => columns.keys(),
            false => self.fields.iter().map(String::as_str).collect(),
        };
        let mut all = String::new();
        for value in values {
            let cells: Vec<String> = keys.iter().map(|key| plain(value.get(key))).collect();
            all.push_str(&cells.join("\t"));
            all.push('\n');
        }
        write(&all)
    }

    fn select_rows<T: Serialize>(
        &self,
        rows: &[T],
        columns: &Columns<'_, T>,
    ) -> Result<Vec<Value>, Error> {
        let values = rows.iter().map(to_value).collect::<Result<Vec<_>, _>>()?;
        let mut known: Vec<&str> = columns.keys();
        for value in &values {
            known.extend(keys_of(value));
        }
        known.sort_unstable();
        known.dedup();
        if !rows.is_empty() {
            self.check_fields(&known)?;
        }
        Ok(values.iter().map(|value| self.keep(value)).collect())
    }

    fn select(&self, value: Value) -> Result<Value, Error> {
        if value.is_object() {
            self.check_fields(&keys_of(&value).collect::<Vec<_>>())?;
        }
        Ok(self.keep(&value))
    }

    fn check_fields(&self, known: &[&str]) -> Result<(), Error> {
        let unknown = |field: &&String| !known.contains(&field.as_str());
        match self.fields.iter().find(unknown) {
            None => Ok(()),
            Some(field) => Err(Error::usage(
                format!("no field {field:?} here"),
                format!("The fields are: {}.", known.join(", ")),
                "Name some of these, or leave --json without fields for all.",
            )),
        }
    }

    fn keep(&self, value: &Value) -> Value {
        let Value::Object(map) = value else {
            return value.clone();
        };
        if self.fields.is_empty() {
            return value.clone();
        }
        let pick = |field: &String| Some((field.clone(), map.get(field)?.clone()));
        Value::Object(self.fields.iter().filter_map(pick).collect())
    }

    fn order<'a>(&'a self, map: &'a Map<String, Value>) -> Vec<&'a String> {
        match self.fields.is_empty() {
            true => map.keys().collect(),
            false => self.fields.iter().collect(),
        }
    }
}

/// Writes to standard output at once.
pub(crate) fn write(text: &str) -> Result<(), Error> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(Error::stdout)
}

fn keys_of(value: &Value) -> impl Iterator<Item = &str> {
    let map = value.as_object();
    map.into_iter()
        .flat_map(|map| map.keys().map(String::as_str))
}

fn to_value<T: Serialize>(value: &T) -> Result<Value, Error> {
    serde_json::to_value(value).map_err(|error| unserializable(&error))
}

fn unserializable(error: &serde_json::Error) -> Error {
    Error::new(
        p2p_wire::control::ErrorKind::Failed,
        "the answer cannot be shown",
        error.to_string(),
        "",
    )
}
