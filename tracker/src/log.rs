//! What the program itself has to say: to the journal with its fields, to a terminal for people, or as JSON where that is asked for.
//!
//! What happens to files and accounts is another log ([`crate::journal`]). No secret is written to either: paths of announces are masked,
//! passwords and tokens are never formatted.

use std::io::IsTerminal as _;

use tracing::Subscriber;
use tracing_journald::{Priority, PriorityMappings};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry, reload};

use crate::config::LogFormat;

/// The log of this process.
pub struct Log {
    filter: reload::Handle<EnvFilter, Registry>,
}

impl Log {
    /// Makes this the log of the process.
    pub fn install(level: &str, format: LogFormat) -> Self {
        let (filter, handle) = reload::Layer::new(filter(level));
        let registry = Registry::default().with(filter);
        registry.with(output(format)).init();
        Self { filter: handle }
    }

    /// Changes how much is logged from now on.
    pub fn set_level(&self, level: &str) {
        // The subscriber lives as long as the process.
        let _ = self.filter.reload(filter(level));
    }
}

fn filter(level: &str) -> EnvFilter {
    EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new("info"))
}

fn output<S>(format: LogFormat) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    match format {
        LogFormat::Json => lines.json().flatten_event(true).with_target(true).boxed(),
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
