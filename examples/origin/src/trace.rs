//! Which trace a request belongs to ([Trace Context](https://www.w3.org/TR/trace-context-1/)), and the origin's part in it.

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderName, StatusCode, Uri};
use tracing::{Span, field};

/// The header that tells a trace.
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Length of a [`Traceparent`]: `00-`, 32 digits, 16 digits and two.
const LENGTH: usize = 55;

/// A place in a trace, as [`traceparent`](https://www.w3.org/TR/trace-context-1/#traceparent-header) has it in version 00.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Traceparent(String);

impl Traceparent {
    /// Finds where a request says it comes from; `None` of what is not valid.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        Self::parse(headers.get(TRACEPARENT)?.to_str().ok()?)
    }

    /// Reads a header's value; `None` of what is not valid. Of a later version, what version 00 has.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (head, rest) = text.split_at_checked(LENGTH)?;
        let mut parts = head.split('-');
        let mut hex = |length| {
            let is_hex = |digit: u8| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
            parts.next().filter(|part| part.len() == length && part.bytes().all(is_hex))
        };
        let (version, trace, parent, flags) = (hex(2)?, hex(32)?, hex(16)?, hex(2)?);
        let is_whole = match version {
            "00" => rest.is_empty(),
            "ff" => false,
            _ => rest.is_empty() || rest.starts_with('-'),
        };
        let is_zero = |id: &str| id.bytes().all(|digit| digit == b'0');
        (is_whole && !is_zero(trace) && !is_zero(parent))
            .then(|| Self(format!("00-{trace}-{parent}-{flags}")))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn trace_id(&self) -> &str {
        &self.0[3..35]
    }
}

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
    collected::adopt(&span, request.headers());
    span
}

/// Takes note of the answer.
pub(crate) fn end(span: &Span, status: StatusCode) {
    span.record("http.response.status_code", status.as_u16());
    if status.is_server_error() {
        fail(span);
    }
}

/// Takes note of a failure.
pub(crate) fn fail(span: &Span) {
    span.record("otel.status_code", "ERROR");
}

/// Returns where what a request causes goes on: at the origin's part of its trace, or at its sender's where nobody
/// collects traces.
pub(crate) fn cause(headers: &HeaderMap) -> Option<Traceparent> {
    onward(&Span::current()).or_else(|| Traceparent::of(headers))
}

/// Begins the sending of a notice of changes that had these causes: a part of the first one's trace, with links to the
/// others.
pub(crate) fn notice(uri: &Uri, causes: &[Traceparent]) -> Span {
    let span = tracing::info_span!(
        "notice",
        otel.name = "POST",
        otel.kind = "client",
        otel.status_code = field::Empty,
        http.request.method = "POST",
        http.response.status_code = field::Empty,
        url.full = %uri,
    );
    collected::follow(&span, causes);
    span
}

/// Returns what tells others of a span; `None` where nobody collects traces.
pub(crate) fn onward(span: &Span) -> Option<Traceparent> {
    collected::traceparent(span)
}

#[cfg(feature = "otlp")]
mod collected {
    use std::collections::HashMap;

    use axum::http::HeaderMap;
    use opentelemetry::Context;
    use opentelemetry::propagation::TextMapPropagator as _;
    use opentelemetry::trace::TraceContextExt as _;
    use opentelemetry_http::{HeaderExtractor, HeaderInjector};
    use opentelemetry_sdk::propagation::TraceContextPropagator;
    use tracing::Span;
    use tracing_opentelemetry::OpenTelemetrySpanExt as _;

    use super::{TRACEPARENT, Traceparent};

    /// Goes on with the trace of whoever sent the request.
    pub(super) fn adopt(span: &Span, headers: &HeaderMap) {
        if !span.is_disabled() {
            // Where nobody collects traces there is nothing to go on with.
            let _ = span.set_parent(TraceContextPropagator::new().extract(&HeaderExtractor(headers)));
        }
    }

    /// Goes on with the first trace, and links the others.
    pub(super) fn follow(span: &Span, causes: &[Traceparent]) {
        let Some((first, others)) = causes.split_first().filter(|_| !span.is_disabled()) else { return };
        // As above.
        let _ = span.set_parent(context(first));
        for other in others {
            span.add_link(context(other).span().span_context().clone());
        }
    }

    pub(super) fn traceparent(span: &Span) -> Option<Traceparent> {
        let mut headers = HeaderMap::new();
        TraceContextPropagator::new().inject_context(&span.context(), &mut HeaderInjector(&mut headers));
        Traceparent::of(&headers)
    }

    fn context(traceparent: &Traceparent) -> Context {
        let carried = (TRACEPARENT.as_str().to_owned(), traceparent.as_str().to_owned());
        TraceContextPropagator::new().extract(&HashMap::from([carried]))
    }
}

/// Without the feature nobody collects traces.
#[cfg(not(feature = "otlp"))]
mod collected {
    use axum::http::HeaderMap;
    use tracing::Span;

    use super::Traceparent;

    pub(super) fn adopt(_: &Span, _: &HeaderMap) {}

    pub(super) fn follow(_: &Span, _: &[Traceparent]) {}

    pub(super) fn traceparent(_: &Span) -> Option<Traceparent> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_a_trace_is_read_as_strictly_as_it_is_told() {
        let (id, parent) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
        let (zeros, whole) = ("0".repeat(32), format!("00-{id}-{parent}-01"));
        let rows = [
            (whole.clone(), true),
            (format!("01-{id}-{parent}-01"), true),
            (format!("01-{id}-{parent}-01-more"), true),
            (format!("{whole}-more"), false),
            (format!("{whole}0"), false),
            (format!("01-{id}-{parent}-01more"), false),
            (format!("ff-{id}-{parent}-01"), false),
            (format!("00-{}-{parent}-01", id.to_uppercase()), false),
            (format!("00-{id}0-{parent}-1"), false),
            (format!("00-{zeros}-{parent}-01"), false),
            (format!("00-{id}-{}-01", &zeros[..16]), false),
            (format!("00-{id}-{parent}-0"), false),
            (format!("00-{id}-{parent}-0\u{e9}"), false),
            ("00-\"x\\nforged-b7ad6b7169203331-01".to_owned(), false),
            (String::new(), false),
        ];
        for (value, is_valid) in rows {
            let expected = is_valid.then(|| Traceparent(whole.clone()));
            assert_eq!(Traceparent::parse(&value), expected, "{value}");
            let headers = HeaderMap::from_iter([(TRACEPARENT, value.parse().expect("a value"))]);
            assert_eq!(Traceparent::of(&headers), expected, "{value}");
        }
        assert_eq!(Traceparent(whole).trace_id(), id);
        assert_eq!(Traceparent::of(&HeaderMap::new()), None);
    }
}
