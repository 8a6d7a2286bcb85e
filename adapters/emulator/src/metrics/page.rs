//! A page in Prometheus' [text format](https://prometheus.io/docs/instrumenting/exposition_formats/).

use std::fmt::{Display, Write as _};

use crate::stats::buckets::Buckets;

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
    /// It counts by buckets.
    Histogram,
}

/// A page that grows metric by metric.
#[derive(Debug, Default)]
pub(super) struct Page(String);

/// Names and values of a series' labels.
pub(super) type Labels<'a> = &'a [(&'static str, &'a str)];

impl Page {
    /// Begins a metric; its series come next.
    pub(super) fn head(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        self.line(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}"));
    }

    /// Adds a series to the metric begun last.
    pub(super) fn series(&mut self, name: &str, labels: Labels<'_>, value: impl Display) {
        let labels = Self::labels(labels);
        self.line(format_args!("{name}{labels} {value}"));
    }

    /// A metric of one series.
    pub(super) fn single(&mut self, name: &str, kind: Kind, help: &str, value: impl Display) {
        self.head(name, kind, help);
        self.series(name, &[], value);
    }

    /// Adds the series of a histogram.
    pub(super) fn buckets(&mut self, name: &str, labels: Labels<'_>, buckets: &Buckets) {
        let total = buckets.total();
        let bounds = buckets.cumulative().map(|(bound, below)| (seconds(bound).to_string(), below));
        for (bound, below) in bounds.chain([("+Inf".to_owned(), total)]) {
            let mut labels = labels.to_vec();
            labels.push(("le", &bound));
            self.series(&format!("{name}_bucket"), &labels, below);
        }
        self.series(&format!("{name}_sum"), labels, seconds(buckets.sum_micros()));
        self.series(&format!("{name}_count"), labels, total);
    }

    pub(super) fn into_text(self) -> String {
        self.0
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        let _ = writeln!(self.0, "{line}");
    }

    fn labels(labels: Labels<'_>) -> String {
        if labels.is_empty() {
            return String::new();
        }
        let pairs = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value)));
        format!("{{{}}}", pairs.collect::<Vec<_>>().join(","))
    }
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of centuries fit a double")]
fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

/// A label's value, which cannot end its quotes.
fn escaped(value: &str) -> String {
    value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_value_cannot_end_its_quotes() {
        assert_eq!(escaped("a\"b\\c\nd"), r#"a\"b\\c\nd"#);
    }

    #[test]
    fn bucket_bounds_are_written_in_seconds() {
        assert_eq!(seconds(250).to_string(), "0.00025");
        assert_eq!(seconds(1_000_000).to_string(), "1");
    }
}
