//! The status in Prometheus' text form.

use std::fmt::Write as _;

use crate::shared::Shared;
use crate::stats::{Counts, LATENCY_BOUNDS_MICROS};

/// Writes all metrics.
pub(crate) fn render(shared: &Shared) -> String {
    let counts = shared.stats.total();
    let (bytes, entries) = shared.store.memory.size();
    let mut page = Page(String::with_capacity(4096));
    page.requests(&counts);
    page.single(
        "selvedge_requests_in_flight",
        "gauge",
        "Responses not yet sent to their end.",
        shared.stats.in_flight(),
    );
    page.single(
        "selvedge_exposures_total",
        "counter",
        "Visitors who were shown a variation.",
        counts.exposures,
    );
    page.single("selvedge_cache_bytes", "gauge", "Bytes of stored responses in memory.", bytes);
    page.single("selvedge_cache_entries", "gauge", "Number of stored responses in memory.", entries);
    if let Some(disk) = shared.store.disk() {
        let (bytes, entries) = disk.size();
        page.single("selvedge_cache_disk_bytes", "gauge", "Bytes of the files in the cache folder.", bytes);
        page.single(
            "selvedge_cache_disk_entries",
            "gauge",
            "Number of entries in the cache folder.",
            entries,
        );
    }
    page.single(
        "selvedge_uptime_seconds",
        "gauge",
        "Seconds since the start.",
        shared.stats.uptime().as_secs(),
    );
    page.latency(&counts);
    page.policy(shared);
    page.0
}

struct Page(String);

impl Page {
    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        let _ = writeln!(self.0, "{line}");
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    fn single(&mut self, name: &str, kind: &str, help: &str, value: impl std::fmt::Display) {
        self.head(name, kind, help);
        self.line(format_args!("{name} {value}"));
    }

    fn requests(&mut self, counts: &Counts) {
        self.head("selvedge_requests_total", "counter", "Requests by the reason of their outcome.");
        for (reason, count) in &counts.by_reason {
            self.line(format_args!("selvedge_requests_total{{reason=\"{reason}\"}} {count}"));
        }
        self.head("selvedge_responses_total", "counter", "Responses by the class of their status.");
        for (class, count) in (1..).zip(&counts.by_status) {
            self.line(format_args!("selvedge_responses_total{{class=\"{class}xx\"}} {count}"));
        }
        self.head(
            "selvedge_cache_requests_total",
            "counter",
            "Requests by what the cache had to do with them.",
        );
        for (result, count) in &counts.by_cache {
            self.line(format_args!("selvedge_cache_requests_total{{result=\"{result}\"}} {count}"));
        }
    }

    fn latency(&mut self, counts: &Counts) {
        let name = "selvedge_response_head_seconds";
        self.head(name, "histogram", "Time from a request's head to its response's head.");
        let mut below = 0;
        for (bound, count) in LATENCY_BOUNDS_MICROS.iter().zip(&counts.latency_buckets) {
            below += count;
            self.line(format_args!("{name}_bucket{{le=\"{}\"}} {below}", seconds(*bound)));
        }
        self.line(format_args!("{name}_bucket{{le=\"+Inf\"}} {}", counts.requests));
        self.line(format_args!("{name}_sum {}", seconds(counts.latency_sum_micros)));
        self.line(format_args!("{name}_count {}", counts.requests));
    }

    fn policy(&mut self, shared: &Shared) {
        let info = shared.engine.info();
        self.head("selvedge_policy_info", "gauge", "The policy in use.");
        let (name, hash) = (escaped(&info.name), escaped(&info.hash));
        self.line(format_args!("selvedge_policy_info{{name=\"{name}\",hash=\"{hash}\"}} 1"));
    }
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of centuries fit a double")]
fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

/// A label value as the [exposition format](https://prometheus.io/docs/instrumenting/exposition_formats/) writes it.
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
