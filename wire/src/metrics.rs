//! Metrics in the text format that Prometheus reads.
//!
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>: for each family a line of help, a line with its type, and a line for
//! each sample. Names carry their unit (`_bytes`, `_seconds`), those of counters end in `_total`.

use std::fmt::Write as _;

/// `Content-Type` of the text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The text, as it grows.
#[derive(Clone, Debug, Default)]
pub struct Text(String);

/// Samples of one name, to be added while it is borrowed.
#[derive(Debug)]
pub struct Family<'a> {
    text: &'a mut String,
    name: &'static str,
}

impl Text {
    /// Begins what only grows. `name` ends in `_total`.
    pub fn counter(&mut self, name: &'static str, help: &str) -> Family<'_> {
        debug_assert!(name.ends_with("_total"), "{name} is a counter");
        self.family(name, "counter", help)
    }

    /// Begins what goes up and down.
    pub fn gauge(&mut self, name: &'static str, help: &str) -> Family<'_> {
        debug_assert!(!name.ends_with("_total"), "{name} is no counter");
        self.family(name, "gauge", help)
    }

    /// A distribution: `buckets` are upper bounds, ascending, with how many were at most that; `count` and `sum` are over all.
    pub fn histogram(
        &mut self,
        name: &'static str,
        help: &str,
        buckets: &[(f64, u64)],
        count: u64,
        sum: f64,
    ) {
        let family = self.family(name, "histogram", help);
        let all = buckets
            .iter()
            .map(|(bound, below)| (bound.to_string(), *below));
        for (bound, below) in all.chain([("+Inf".to_owned(), count)]) {
            let _infallible = writeln!(family.text, "{name}_bucket{{le=\"{bound}\"}} {below}");
        }
        let _infallible = writeln!(family.text, "{name}_sum {sum}\n{name}_count {count}");
    }

    /// The whole text.
    pub fn finish(self) -> String {
        self.0
    }

    fn family(&mut self, name: &'static str, kind: &str, help: &str) -> Family<'_> {
        let help = help.replace('\\', r"\\").replace('\n', r"\n");
        let _infallible = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        Family {
            text: &mut self.0,
            name,
        }
    }
}

impl Family<'_> {
    /// A sample without labels.
    pub fn value(self, value: impl Sample) {
        self.with(&[], value);
    }

    /// A sample with labels: name and value.
    pub fn with(self, labels: &[(&str, &str)], value: impl Sample) -> Self {
        self.text.push_str(self.name);
        for (at, (name, value)) in labels.iter().enumerate() {
            let joint = if at == 0 { '{' } else { ',' };
            let value = value
                .replace('\\', r"\\")
                .replace('"', "\\\"")
                .replace('\n', r"\n");
            let _infallible = write!(self.text, "{joint}{name}=\"{value}\"");
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        let _infallible = writeln!(self.text, " {}", value.text());
        self
    }
}

/// A number as a sample.
pub trait Sample {
    /// As Prometheus reads it.
    fn text(&self) -> String;
}

impl Sample for u64 {
    fn text(&self) -> String {
        self.to_string()
    }
}

impl Sample for u32 {
    fn text(&self) -> String {
        self.to_string()
    }
}

impl Sample for usize {
    fn text(&self) -> String {
        self.to_string()
    }
}

impl Sample for f64 {
    fn text(&self) -> String {
        self.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_as_prometheus_defines_it() {
        let mut text = Text::default();
        text.counter("app_sent_bytes_total", "Bytes \\ sent\nto all.")
            .with(&[("to", "a \"b\"\\\n"), ("how", "tcp")], 5_u64)
            .with(&[("to", "c"), ("how", "tcp")], 6_u64);
        text.gauge("app_load", "Load.").value(0.5);
        text.histogram("app_wait_seconds", "Waits.", &[(0.1, 1), (1.0, 3)], 4, 7.5);
        let expected = r#"# HELP app_sent_bytes_total Bytes \\ sent\nto all.
# TYPE app_sent_bytes_total counter
app_sent_bytes_total{to="a \"b\"\\\n",how="tcp"} 5
app_sent_bytes_total{to="c",how="tcp"} 6
# HELP app_load Load.
# TYPE app_load gauge
app_load 0.5
# HELP app_wait_seconds Waits.
# TYPE app_wait_seconds histogram
app_wait_seconds_bucket{le="0.1"} 1
app_wait_seconds_bucket{le="1"} 3
app_wait_seconds_bucket{le="+Inf"} 4
app_wait_seconds_sum 7.5
app_wait_seconds_count 4
"#;
        assert_eq!(text.finish(), expected);
    }
}
