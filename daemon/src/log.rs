//! The log: to the journal with its fields, to a terminal for people, or as JSON; and the last lines in memory for `p2pctl log`, which
//! needs no right to read the journal.
//!
//! The level can be changed while the daemon runs. Lines are kept whatever becomes of standard error. Secrets are never logged: those who
//! log a URL name its host.

use std::collections::VecDeque;
use std::fmt;
use std::io::IsTerminal as _;
use std::sync::{Arc, Mutex, PoisonError};

use p2p_wire::InfoHash;
use p2p_wire::control::LogLine;
use tokio::sync::broadcast;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_journald::{Priority, PriorityMappings};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, Layered, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry, reload};

use crate::config::{LogFormat, LogLevel};

/// Lines kept.
const KEPT: usize = 2_000;
/// A line is cut after this many bytes.
const MAX_LINE: usize = 4_096;

/// The log of this process; a handle, cheap to clone.
#[derive(Clone)]
pub struct Log {
    lines: Lines,
    filter: reload::Handle<Targets, Registry>,
    output: reload::Handle<Output, Filtered>,
}

type Filtered = Layered<reload::Layer<Targets, Registry>, Registry>;
/// What writes to standard error or to the journal.
type Output = Box<dyn Layer<Filtered> + Send + Sync>;

/// The kept lines and who follows them.
#[derive(Clone)]
struct Lines {
    ring: Arc<Mutex<VecDeque<LogLine>>>,
    /// A follower that does not read loses the oldest; logging never waits.
    live: broadcast::Sender<LogLine>,
}

impl Log {
    /// Makes this the log of the process, with colours where standard error is a terminal. `Err` if there is one already.
    pub fn install(level: LogLevel, format: LogFormat) -> Result<Self, String> {
        let (filter, handle) = reload::Layer::new(targets(level));
        let lines = Lines {
            ring: Arc::default(),
            live: broadcast::Sender::new(256),
        };
        let (layer, output) = reload::Layer::new(output(format));
        let subscriber = Registry::default()
            .with(filter)
            .with(layer)
            .with(lines.clone());
        tracing::subscriber::set_global_default(subscriber).map_err(|error| error.to_string())?;
        Ok(Self {
            lines,
            filter: handle,
            output,
        })
    }

    /// Changes how much is logged from now on.
    pub fn set_level(&self, level: LogLevel) {
        if let Err(error) = self.filter.modify(|filter| *filter = targets(level)) {
            tracing::warn!("the log level stays: {error}");
        }
    }

    /// Changes how what is logged from now on looks. Only while there is no span yet: what one was made for cannot be written otherwise.
    pub fn set_format(&self, format: LogFormat) {
        if let Err(error) = self.output.reload(output(format)) {
            tracing::warn!("the log format stays: {error}");
        }
    }

    /// The lines that are kept, and all that come from now on.
    pub fn subscribe(&self) -> (Vec<LogLine>, broadcast::Receiver<LogLine>) {
        let ring = self.lines.ring.lock();
        let ring = ring.unwrap_or_else(PoisonError::into_inner);
        (ring.iter().cloned().collect(), self.lines.live.subscribe())
    }
}

fn output(format: LogFormat) -> Output {
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    match format {
        LogFormat::Json => {
            let json = lines.json().flatten_event(true).with_target(true);
            json.boxed()
        }
        LogFormat::Text => match journal() {
            Some(journal) => journal.boxed(),
            None => lines.boxed(),
        },
    }
}

/// The journal, if standard error goes there: systemd tells which file that is (systemd.exec(5), `$JOURNAL_STREAM`).
fn journal() -> Option<tracing_journald::Layer> {
    let stderr = nix::sys::stat::fstat(std::io::stderr()).ok()?;
    let stream = format!("{}:{}", stderr.st_dev, stderr.st_ino);
    if std::env::var("JOURNAL_STREAM").ok()? != stream {
        return None;
    }
    let priorities = PriorityMappings {
        info: Priority::Informational,
        debug: Priority::Debug,
        ..PriorityMappings::new()
    };
    let journal = tracing_journald::layer().ok()?;
    Some(
        journal
            .with_field_prefix(Some("P2P".to_owned()))
            .with_priority_mappings(priorities),
    )
}

/// What is ours at `level`; of the libraries what needs attention.
fn targets(level: LogLevel) -> Targets {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    Targets::new()
        .with_default(LevelFilter::WARN.min(level))
        .with_target("p2pd", level)
        .with_target("p2p_hash", level)
}

/// The item that a span is about.
struct SpanItem(InfoHash);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Lines {
    fn on_new_span(
        &self,
        attributes: &tracing::span::Attributes<'_>,
        id: &tracing::span::Id,
        context: Context<'_, S>,
    ) {
        let mut read = LineReader::default();
        attributes.record(&mut read);
        if let (Some(item), Some(span)) = (read.item, context.span(id)) {
            span.extensions_mut().insert(SpanItem(item));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut read = LineReader::default();
        event.record(&mut read);
        let of_span = || {
            let mut spans = context.event_scope(event)?;
            spans.find_map(|span| span.extensions().get::<SpanItem>().map(|item| item.0))
        };
        let line = LogLine {
            time: jiff::Timestamp::now().to_string(),
            level: level_name(*event.metadata().level()).to_owned(),
            info_hash: read.item.or_else(of_span),
            text: read.text(),
        };
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        if ring.len() == KEPT {
            ring.pop_front();
        }
        ring.push_back(line.clone());
        // Nobody following is no error. Under the lock, so that followers miss and repeat nothing.
        let _ = self.live.send(line);
    }
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        _ => "debug",
    }
}

/// Takes the sentence, the item and the other fields from an event.
#[derive(Default)]
struct LineReader {
    message: String,
    fields: String,
    item: Option<InfoHash>,
}

impl LineReader {
    fn text(mut self) -> String {
        self.message.push_str(&self.fields);
        if self.message.len() > MAX_LINE {
            let mut end = MAX_LINE;
            while !self.message.is_char_boundary(end) {
                end -= 1;
            }
            self.message.truncate(end);
        }
        self.message
    }
}

impl Visit for LineReader {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        use fmt::Write as _;
        let text = format!("{value:?}");
        let _infallible = match field.name() {
            "message" => write!(self.message, "{text}"),
            "item" | "info_hash" if let Ok(item) = text.trim_matches('"').parse() => {
                self.item = Some(item);
                Ok(())
            }
            name => write!(self.fields, " {name}={text}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logged(log: impl FnOnce()) -> Vec<LogLine> {
        let lines = Lines {
            ring: Arc::default(),
            live: broadcast::Sender::new(4),
        };
        let subscriber = Registry::default()
            .with(targets(LogLevel::Info))
            .with(lines.clone());
        tracing::subscriber::with_default(subscriber, log);
        let ring = lines.ring.lock().unwrap();
        ring.iter().cloned().collect()
    }

    #[test]
    fn a_line_knows_its_item_from_the_event_or_its_span() {
        let item = InfoHash([7; 20]);
        let lines = logged(|| {
            tracing::info!(item = %item, "first");
            tracing::warn_span!("torrent", item = %item).in_scope(|| {
                tracing::error!(count = 3, "second");
            });
            tracing::info!("third");
            tracing::debug!("too fine");
        });
        let rows: Vec<_> = lines
            .iter()
            .map(|line| (line.level.as_str(), line.text.as_str(), line.info_hash))
            .collect();
        assert_eq!(
            rows,
            [
                ("info", "first", Some(item)),
                ("error", "second count=3", Some(item)),
                ("info", "third", None),
            ]
        );
    }

    #[test]
    fn the_log_is_bounded_in_lines_and_in_their_length() {
        let lines = logged(|| {
            for n in 0..KEPT + 5 {
                tracing::info!("{n}");
            }
            tracing::info!("{}", "ä".repeat(MAX_LINE));
        });
        assert_eq!(lines.len(), KEPT);
        assert_eq!(lines[0].text, "6");
        assert_eq!(lines[KEPT - 1].text.len(), MAX_LINE);
    }
}
