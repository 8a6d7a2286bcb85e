//! The status in Prometheus' text form.
//!
//! Labels are names of the policy, of which 256 are told apart, or one of a fixed set; nothing of a client's is one.

mod page;

use std::collections::BTreeMap;
use std::fmt::Display;

use selvedge_core::backend::BackendId;
use selvedge_core::health::{CircuitState, PlaceReport};

use crate::shared::Shared;
use crate::stats::counts::{ByClass, CacheUse, Counts, Problem};
use page::{Kind, Page};

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Writes all metrics.
pub(crate) fn render(shared: &Shared) -> String {
    let counts = shared.stats.total();
    let mut page = Page::default();
    requests(&mut page, &counts);
    durations(&mut page, &counts);
    backends(&mut page, &counts);
    health(&mut page, shared);
    problems(&mut page, shared, &counts);
    under_way(&mut page, shared);
    cache(&mut page, shared);
    policy(&mut page, shared);
    page.into_text()
}

fn requests(page: &mut Page, counts: &Counts) {
    let by_reason = counts.by_reason.iter().map(|(reason, count)| (*reason, *count));
    let help = "Requests by the reason of their outcome.";
    labelled(page, "selvedge_requests_total", help, "reason", by_reason);
    let by_class = CLASSES.into_iter().zip(counts.by_status);
    labelled(page, "selvedge_responses_total", "Responses by the class of their status.", "class", by_class);
    let name = "selvedge_route_responses_total";
    page.head(
        name,
        Kind::Counter,
        "Responses by route, which is empty for none, and by the class of their status.",
    );
    for (route, classes) in counts.by_route.iter() {
        by_status(page, name, ("route", route), classes);
    }
    let by_cache = counts.by_cache.iter().map(|(result, count)| (*result, *count));
    let help = "Requests by what the cache had to do with them.";
    labelled(page, "selvedge_cache_requests_total", help, "result", by_cache);
    let by_failover = counts.by_failover.iter().map(|(reason, count)| (*reason, *count));
    let help = "Requests that a backend did not answer and something else did (another attempt, URL or backend, a stale response, \
                the fallback page), by the last reason why.";
    labelled(page, "selvedge_failovers_total", help, "reason", by_failover);
    let help =
        "Responses that broke off before their end, on either side, and clients that did not wait for one.";
    page.single("selvedge_aborted_total", Kind::Counter, help, counts.aborted);
    let help = "Visitors who were shown a variation.";
    page.single("selvedge_exposures_total", Kind::Counter, help, counts.exposures);
}

fn durations(page: &mut Page, counts: &Counts) {
    let name = "selvedge_response_head_seconds";
    page.head(name, Kind::Histogram, "Time from a request's head to its response's head.");
    page.buckets(name, &[], &counts.head);
    let name = "selvedge_request_duration_seconds";
    page.head(
        name,
        Kind::Histogram,
        "Time from a request's head to the end of its response, by whether the cache answered.",
    );
    for (usage, buckets) in CacheUse::ALL.into_iter().zip(&counts.durations) {
        page.buckets(name, &[("cache", usage.as_str())], buckets);
    }
}

fn backends(page: &mut Page, counts: &Counts) {
    let requests = counts.by_backend.iter().map(|(backend, counts)| (backend, counts.requests));
    let help = "Requests to backends, checks among them.";
    labelled(page, "selvedge_backend_requests_total", help, "backend", requests);
    let name = "selvedge_backend_responses_total";
    page.head(name, Kind::Counter, "Responses of backends by the class of their status.");
    for (backend, counts) in counts.by_backend.iter() {
        by_status(page, name, ("backend", backend), &counts.by_status);
    }
    let name = "selvedge_backend_failures_total";
    page.head(name, Kind::Counter, "Requests to backends that had no response.");
    for (backend, counts) in counts.by_backend.iter() {
        for (error, count) in &counts.errors {
            page.series(name, &[("backend", backend), ("error", error)], count);
        }
    }
    let name = "selvedge_backend_first_byte_seconds";
    page.head(name, Kind::Histogram, "Time from a request to a backend to the head of its response.");
    for (backend, counts) in counts.by_backend.iter() {
        page.buckets(name, &[("backend", backend)], &counts.first_byte);
    }
}

/// Whether each backend of the policy in use would be asked, and how many of its URLs.
fn health(page: &mut Page, shared: &Shared) {
    let (engine, now) = (shared.engine.engine(), shared.config.clock.now());
    let mut up: BTreeMap<&str, (bool, usize)> = BTreeMap::new();
    for (id, backend) in (0..).map(BackendId).zip(&engine.policy().backends) {
        let (is_up, down) = up.entry(backend.name.as_str()).or_default();
        *is_up |= engine.health().is_up(id, now);
        *down += engine.health().report(id, now).filter(is_down).count();
    }
    let name = "selvedge_backend_up";
    page.head(
        name,
        Kind::Gauge,
        "Whether any URL of a backend is asked, as far as its circuit and its checks go.",
    );
    for (backend, (is_up, _)) in &up {
        page.series(name, &[("backend", backend)], u8::from(*is_up));
    }
    let name = "selvedge_backend_urls_down";
    page.head(name, Kind::Gauge, "URLs of a backend whose circuit is open or whose checks fail.");
    for (backend, (_, down)) in up {
        page.series(name, &[("backend", backend)], down);
    }
}

fn is_down(place: &PlaceReport) -> bool {
    place.is_unhealthy || matches!(place.circuit, Some(CircuitState::Open(_)))
}

fn problems(page: &mut Page, shared: &Shared, counts: &Counts) {
    let log = shared.access_log.as_ref();
    let lost = [
        ("access-log-dropped", log.map_or(0, |log| log.dropped())),
        ("access-log-unwritten", log.map_or(0, |log| log.unwritten())),
        ("spans-lost", shared.config.spans.as_ref().map_or(0, |spans| spans.lost())),
    ];
    let problems = Problem::ALL.map(Problem::as_str).into_iter().zip(counts.problems).chain(lost);
    labelled(page, "selvedge_errors_total", "What went wrong in the edge itself.", "kind", problems);
}

fn under_way(page: &mut Page, shared: &Shared) {
    let stats = &shared.stats;
    let gauges = [
        ("selvedge_requests_in_flight", "Responses not yet sent to their end.", stats.in_flight()),
        ("selvedge_connections", "Connections from clients that are open.", stats.connections().0),
        ("selvedge_background_tasks", "Work behind sent responses, and jobs.", stats.after_response()),
    ];
    for (name, help, value) in gauges {
        page.single(name, Kind::Gauge, help, value);
    }
    let help = "Connections from clients.";
    page.single("selvedge_connections_total", Kind::Counter, help, stats.connections().1);
    let (bytes_in, bytes_out) = stats.bytes();
    let help = "Bytes that came from clients, heads and all.";
    page.single("selvedge_received_bytes_total", Kind::Counter, help, bytes_in);
    let help = "Bytes that went to clients, heads and all.";
    page.single("selvedge_sent_bytes_total", Kind::Counter, help, bytes_out);
    let uptime = stats.uptime().as_secs();
    page.single("selvedge_uptime_seconds", Kind::Gauge, "Seconds since the start.", uptime);
}

fn cache(page: &mut Page, shared: &Shared) {
    let (bytes, entries) = shared.store.memory.size();
    page.single("selvedge_cache_bytes", Kind::Gauge, "Bytes of stored responses in memory.", bytes);
    page.single("selvedge_cache_entries", Kind::Gauge, "Number of stored responses in memory.", entries);
    if let Some(disk) = shared.store.disk() {
        let (bytes, entries) = disk.size();
        let help = "Bytes of the files in the cache folder.";
        page.single("selvedge_cache_disk_bytes", Kind::Gauge, help, bytes);
        let help = "Number of entries in the cache folder.";
        page.single("selvedge_cache_disk_entries", Kind::Gauge, help, entries);
    }
}

fn policy(page: &mut Page, shared: &Shared) {
    let info = shared.engine.info();
    page.head("selvedge_policy_info", Kind::Gauge, "The policy in use.");
    page.series("selvedge_policy_info", &[("name", &info.name), ("hash", &info.hash)], 1);
}

/// A counter by one label.
fn labelled<'a, V: Display>(
    page: &mut Page,
    name: &str,
    help: &str,
    label: &'static str,
    values: impl Iterator<Item = (&'a str, V)>,
) {
    page.head(name, Kind::Counter, help);
    for (key, value) in values {
        page.series(name, &[(label, key)], value);
    }
}

fn by_status(page: &mut Page, name: &str, (label, value): (&'static str, &str), classes: &ByClass) {
    for (class, count) in CLASSES.into_iter().zip(classes).filter(|(_, count)| **count > 0) {
        page.series(name, &[(label, value), ("class", class)], count);
    }
}
