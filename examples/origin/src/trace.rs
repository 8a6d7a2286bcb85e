//! Which trace a request belongs to ([Trace Context](https://www.w3.org/TR/trace-context-1/)), and the origin's part in it.

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, StatusCode};
use tracing::{Span, field};

/// Begins the origin's part, which is nothing but for who collects traces.
pub(crate) fn begin(request: &Request) -> Span {
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let (method, path) = (request.method().as_str(), request.uri().path());
    let span = tracing::info_span!(
        "request",
        otel.name = route.map_or_else(|| method.to_owned(), |route| format!("{method} {route}")),
        otel.kind = "server",
        otel.status_code = field::Empty,
        http.request.method = method,
        http.response.status_code = field::Empty,
        http.route = route,
        url.path = path,
    );
    #[cfg(feature = "otlp")]
    adopt(&span, request.headers());
    span
}

/// Takes note of the answer.
pub(crate) fn end(span: &Span, status: StatusCode) {
    span.record("http.response.status_code", status.as_u16());
    if status.is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
}

/// Goes on with the trace of whoever sent the request.
#[cfg(feature = "otlp")]
fn adopt(span: &Span, headers: &HeaderMap) {
    use opentelemetry::propagation::TextMapPropagator as _;
    use tracing_opentelemetry::OpenTelemetrySpanExt as _;
    if span.is_disabled() {
        return;
    }
    let propagator = opentelemetry_sdk::propagation::TraceContextPropagator::new();
    let parent = propagator.extract(&opentelemetry_http::HeaderExtractor(headers));
    // Where nobody collects traces there is nothing to go on with.
    let _ = span.set_parent(parent);
}

/// Finds the trace that a request says it belongs to, for the log; `None` of what is not valid.
pub(crate) fn id(headers: &HeaderMap) -> Option<&str> {
    let mut parts = headers.get("traceparent")?.to_str().ok()?.split('-');
    let id = parts.nth(1).filter(|id| id.len() == 32)?;
    let is_id = |digit: u8| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
    id.bytes().all(is_id).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_has_no_trace_that_is_none() {
        let id = "0af7651916cd43dd8448eb211c80319c";
        let rows = [
            (format!("00-{id}-b7ad6b7169203331-01"), Some(id)),
            (format!("00-{}-b7ad6b7169203331-01", id.to_uppercase()), None),
            (format!("00-{id}0-b7ad6b7169203331-01"), None),
            ("00-\"x\\nforged-b7ad6b7169203331-01".to_owned(), None),
            ("00".to_owned(), None),
        ];
        for (value, expected) in rows {
            let headers = HeaderMap::from_iter([("traceparent".parse().unwrap(), value.parse().unwrap())]);
            assert_eq!(super::id(&headers), expected, "{value}");
        }
        assert_eq!(super::id(&HeaderMap::new()), None);
    }
}
