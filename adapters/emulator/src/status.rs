//! The emulator's own status, for clients on this machine.

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::metrics;
use crate::shared::Shared;
use crate::stats::counts::Counts;

const PREFIX: &str = "/_selvedge";

/// Whether a path is the emulator's own.
pub(crate) fn owns(path: &str) -> bool {
    path.strip_prefix(PREFIX).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Answers a request for the emulator's own status.
pub(crate) fn respond(shared: &Shared, method: &Method, path: &str) -> Response<Bytes> {
    let (kind, page) = match path.strip_prefix(PREFIX) {
        Some("" | "/") => ("application/json", format!("{:#}\n", json(shared))),
        Some("/metrics") => ("text/plain; version=0.0.4; charset=utf-8", metrics::render(shared)),
        Some(_) | None => return not_found(),
    };
    if method != Method::GET && method != Method::HEAD {
        return with_header(StatusCode::METHOD_NOT_ALLOWED, (ALLOW, "GET, HEAD"), Bytes::new());
    }
    let mut response = with_header(StatusCode::OK, (CONTENT_TYPE, kind), page.into());
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// What anybody else gets.
pub(crate) fn not_found() -> Response<Bytes> {
    text(StatusCode::NOT_FOUND, "not found\n")
}

/// A short answer in words.
pub(crate) fn text(status: StatusCode, words: impl Into<Bytes>) -> Response<Bytes> {
    with_header(status, (CONTENT_TYPE, "text/plain"), words.into())
}

fn with_header(
    status: StatusCode,
    (name, value): (http::HeaderName, &'static str),
    body: Bytes,
) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(name, HeaderValue::from_static(value));
    response
}

fn json(shared: &Shared) -> Value {
    let (info, counts) = (shared.engine.info(), shared.stats.total());
    json!({
        "policy": { "name": info.name, "hash": info.hash },
        "uptime_seconds": shared.stats.uptime().as_secs(),
        "requests": requests(&counts),
        "in_flight": shared.stats.in_flight(),
        "after_response": shared.stats.after_response(),
        "queues": queues(shared),
        "cache": cache(shared, &counts),
        "latency_micros": latency(&counts),
    })
}

fn requests(counts: &Counts) -> Value {
    let [informational, success, redirection, client_error, server_error] = counts.by_status;
    json!({
        "total": counts.requests,
        "status": {
            "1xx": informational, "2xx": success, "3xx": redirection, "4xx": client_error, "5xx": server_error,
        },
        "outcome": counts.by_outcome(),
        "reason": counts.by_reason,
        "exposures": counts.exposures,
    })
}

fn cache(shared: &Shared, counts: &Counts) -> Value {
    let (bytes, entries) = shared.store.memory.size();
    let disk = shared.store.disk().map(|disk| {
        let (bytes, entries) = disk.size();
        json!({ "entries": entries, "bytes": bytes, "max_bytes": disk.max_bytes() })
    });
    json!({
        "hits": counts.cache("cache.hit"),
        "misses": counts.cache("cache.miss"),
        "stale": counts.cache("cache.stale") + counts.cache("fallback.stale"),
        "bypassed": counts.cache("cache.bypass"),
        "entries": entries,
        "bytes": bytes,
        "max_bytes": shared.store.memory.max_bytes(),
        "disk": disk,
    })
}

fn queues(shared: &Shared) -> Value {
    let (messages, due) = shared.queues.counts(shared.config.clock.now());
    json!({ "messages": messages, "due": due })
}

fn latency(counts: &Counts) -> Value {
    let at = |quantile| counts.latency.value_at_quantile(quantile);
    json!({ "p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "max": counts.latency.max() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_prefix_as_a_whole_segment_is_the_emulators_own() {
        for path in ["/_selvedge", "/_selvedge/", "/_selvedge/metrics", "/_selvedge/x"] {
            assert!(owns(path), "{path}");
        }
        for path in ["/", "/_selvedges", "/a/_selvedge/", "_selvedge"] {
            assert!(!owns(path), "{path}");
        }
    }
}
