//! Spans: how long a request took and each attempt at a backend, for whoever collects traces.
//!
//! Names of attributes are those of OpenTelemetry's
//! [conventions for HTTP](https://opentelemetry.io/docs/specs/semconv/http/http-spans/); what only this edge knows begins with
//! `selvedge.`. Queries, clients' addresses and header fields are not among them, but for the user agent where the policy allows it.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use http::uri::Authority;
use http::{Request, Response, StatusCode};
use selvedge_core::effect::FetchError;
use selvedge_log::access::Access;

use crate::trace::Trace;

/// Takes spans when they have ended.
///
/// It is called on the threads that serve requests, so it must not block.
pub trait SpanSink: fmt::Debug + Send + Sync {
    /// Takes one.
    fn take(&self, span: Span);

    /// Returns how many were lost since the start: dropped as too many waited, or not taken by whom they were for. 0 unless it counts them.
    fn lost(&self) -> u64 {
        0
    }
}

/// A part of a trace that is sampled, with a beginning and an end.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// The trace.
    pub trace_id: u128,
    /// The part itself.
    pub id: u64,
    /// The part that it belongs to; `None` at the beginning of a trace.
    pub parent: Option<u64>,
    /// What other parties to the trace have to say: the value of `tracestate`.
    pub state: Option<String>,
    /// What it is.
    pub kind: SpanKind,
    /// What it is called, in words of which there are only so many.
    pub name: String,
    /// When it began.
    pub started: SystemTime,
    /// When it ended.
    pub ended: SystemTime,
    /// What else is known.
    pub attributes: Vec<(&'static str, SpanValue)>,
    /// Whether it failed.
    pub is_error: bool,
}

/// What a span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanKind {
    /// A client's request; its parent is of the client.
    Server,
    /// An attempt at a backend; its parent is the request.
    Backend,
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpanValue {
    /// A text.
    Text(String),
    /// A number.
    Number(i64),
    /// Whether something is so.
    Flag(bool),
}

/// An attempt at a backend. It ends when it is dropped, which a client that goes away or a quicker attempt may bring about.
#[derive(Debug)]
pub(crate) struct Attempt {
    sink: Arc<dyn SpanSink>,
    trace: Trace,
    id: u64,
    started: Instant,
    method: &'static str,
    attributes: Attributes,
    outcome: Outcome,
}

/// What came of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Answered,
    Failed,
    /// Nobody waited for it any more.
    Cancelled,
}

#[derive(Debug, Default)]
struct Attributes(Vec<(&'static str, SpanValue)>);

/// Makes the span of a request that has ended.
pub(crate) fn of_request(trace: &Trace, access: &Access<'_>, duration: Duration) -> Span {
    let method = known_method(&access.method);
    let name = match access.route {
        Some(route) if !route.is_empty() => format!("{method} {route}"),
        Some(_) | None => method.to_owned(),
    };
    let is_error = access.status.is_none_or(|status| status >= 500);
    let mut attributes = Attributes::default();
    attributes.method(&access.method);
    attributes.text("url.scheme", Some("http"));
    attributes.text("url.path", Some(&access.path));
    attributes.place(access.host.as_deref());
    attributes.text("network.protocol.version", access.protocol.as_deref().map(version));
    attributes.text("http.route", access.route);
    attributes.text("user_agent.original", access.user_agent.as_deref());
    attributes.number("http.response.status_code", access.status.map(i64::from));
    attributes.number(
        "http.response.body.size",
        access.bytes_out.map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX)),
    );
    if is_error {
        attributes.text(
            "error.type",
            Some(&access.status.map_or("aborted".to_owned(), |status| status.to_string())),
        );
    }
    attributes.text("selvedge.request_id", Some(&access.request_id));
    attributes.text("selvedge.reason", access.outcome);
    attributes.text("selvedge.cache", access.cache);
    attributes.text("selvedge.backend", access.backend);
    attributes.text("selvedge.bot", access.bot);
    attributes.text("selvedge.failed_over", access.failed_over);
    attributes.0.extend(access.aborted.map(|is_aborted| ("selvedge.aborted", SpanValue::Flag(is_aborted))));
    let ended = SystemTime::now();
    Span {
        trace_id: trace.trace(),
        id: trace.span(),
        parent: trace.parent(),
        state: trace.state(),
        kind: SpanKind::Server,
        name,
        started: ended.checked_sub(duration).unwrap_or(ended),
        ended,
        attributes: attributes.0,
        is_error,
    }
}

impl Attempt {
    /// Begins one; `id` is the part that the backend is told of.
    pub(crate) fn begin<B>(
        sink: Arc<dyn SpanSink>,
        trace: &Trace,
        id: u64,
        backend: &str,
        request: &Request<B>,
    ) -> Self {
        let uri = request.uri();
        let mut attributes = Attributes::default();
        attributes.method(request.method().as_str());
        let authority = uri.authority().map_or("", Authority::as_str);
        let scheme = uri.scheme_str().unwrap_or("http");
        // Without credentials and the query.
        let place = authority.rsplit('@').next().unwrap_or_default();
        attributes.text("url.full", Some(&format!("{scheme}://{place}{}", uri.path())));
        attributes.place(Some(place));
        attributes.text("selvedge.backend", Some(backend));
        let (trace, method) = (trace.clone(), known_method(request.method().as_str()));
        Self { sink, trace, id, started: Instant::now(), method, attributes, outcome: Outcome::Cancelled }
    }

    /// The part that the backend is told of.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Ends it with what the backend answered.
    pub(crate) fn end<B>(mut self, result: &Result<Response<B>, FetchError>) {
        let (status, error) = match result {
            Ok(response) => (Some(response.status()), None),
            Err(error) => (None, Some(error.as_str())),
        };
        let refused = status.filter(|status| status.is_client_error() || status.is_server_error());
        self.attributes.number("http.response.status_code", status.map(|status| status.as_u16().into()));
        self.attributes.text("error.type", error.or(refused.as_ref().map(StatusCode::as_str)));
        let is_failure = error.is_some() || refused.is_some();
        self.outcome = if is_failure { Outcome::Failed } else { Outcome::Answered };
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if self.outcome == Outcome::Cancelled {
            self.attributes.text("error.type", Some("cancelled"));
        }
        let ended = SystemTime::now();
        self.sink.take(Span {
            trace_id: self.trace.trace(),
            id: self.id,
            parent: Some(self.trace.span()),
            state: self.trace.state(),
            kind: SpanKind::Backend,
            name: self.method.to_owned(),
            started: ended.checked_sub(self.started.elapsed()).unwrap_or(ended),
            ended,
            attributes: std::mem::take(&mut self.attributes.0),
            is_error: self.outcome == Outcome::Failed,
        });
    }
}

impl Attributes {
    fn text(&mut self, name: &'static str, value: Option<&str>) {
        self.0.extend(value.map(|value| (name, SpanValue::Text(value.to_owned()))));
    }

    fn number(&mut self, name: &'static str, value: Option<i64>) {
        self.0.extend(value.map(|value| (name, SpanValue::Number(value))));
    }

    /// A method is a client's text, and only so many are told apart.
    fn method(&mut self, method: &str) {
        let known = known_method(method);
        let is_known = known == method;
        self.text("http.request.method", Some(if is_known { known } else { "_OTHER" }));
        self.text("http.request.method_original", (!is_known).then_some(method));
    }

    /// Who was asked.
    fn place(&mut self, host: Option<&str>) {
        let Some(authority) = host.and_then(|host| host.parse::<Authority>().ok()) else { return };
        self.text("server.address", Some(authority.host().trim_matches(['[', ']'])));
        self.number("server.port", authority.port_u16().map(i64::from));
    }
}

/// A method as the names of spans have it.
fn known_method(method: &str) -> &'static str {
    const KNOWN: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
    KNOWN.into_iter().find(|known| *known == method).unwrap_or("HTTP")
}

/// The protocol's version alone.
fn version(protocol: &str) -> &str {
    let version = protocol.strip_prefix("HTTP/").unwrap_or(protocol);
    version.strip_suffix(".0").filter(|version| *version != "1").unwrap_or(version)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use http::HeaderMap;
    use selvedge_core::time::Timestamp;

    use super::*;

    #[derive(Debug, Default)]
    struct Kept(Mutex<Vec<Span>>);

    impl SpanSink for Kept {
        fn take(&self, span: Span) {
            self.0.lock().unwrap().push(span);
        }
    }

    fn trace() -> Trace {
        let mut headers = HeaderMap::new();
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        headers.insert("traceparent", parent.parse().unwrap());
        Trace::of(&headers, || [7; 16], false)
    }

    fn text(span: &Span, name: &str) -> Option<String> {
        let mut found = span.attributes.iter().filter(|(known, _)| *known == name);
        let value = found.next().map(|(_, value)| match value {
            SpanValue::Text(text) => text.clone(),
            SpanValue::Number(number) => number.to_string(),
            SpanValue::Flag(flag) => flag.to_string(),
        });
        assert!(found.next().is_none(), "{name} is there once");
        value
    }

    #[test]
    fn a_request_has_the_conventions_names_and_few_names_of_its_own() {
        let rows = [
            ("GET", Some("/a/{b}"), "GET /a/{b}", "GET", None),
            ("GET", None, "GET", "GET", None),
            ("BREW", Some("/a"), "HTTP /a", "_OTHER", Some("BREW")),
            ("_OTHER", None, "HTTP", "_OTHER", Some("_OTHER")),
        ];
        for (method, route, name, known, original) in rows {
            let access = Access {
                method: method.into(),
                route,
                host: Some("[::1]:8787".into()),
                path: "/a/1".into(),
                protocol: Some("HTTP/1.1".into()),
                status: Some(200),
                ..Access::at(Timestamp::from_millis(0))
            };
            let span = of_request(&trace(), &access, Duration::from_secs(1));
            assert_eq!((span.name.as_str(), span.is_error), (name, false));
            assert_eq!(text(&span, "http.request.method").as_deref(), Some(known));
            assert_eq!(text(&span, "http.request.method_original").as_deref(), original);
            let expected = [
                ("server.address", "::1"),
                ("server.port", "8787"),
                ("network.protocol.version", "1.1"),
                ("url.path", "/a/1"),
            ];
            for (name, value) in expected {
                assert_eq!(text(&span, name).as_deref(), Some(value), "{name}");
            }
            assert_eq!(span.parent, Some(0xb7ad_6b71_6920_3331));
            assert_eq!(span.ended.duration_since(span.started).unwrap(), Duration::from_secs(1));
        }
    }

    #[test]
    fn a_request_failed_with_a_5xx_or_without_a_status() {
        let rows = [(Some(404), None), (Some(499), None), (Some(500), Some("500")), (None, Some("aborted"))];
        for (status, error) in rows {
            let access = Access { status, ..Access::at(Timestamp::from_millis(0)) };
            let span = of_request(&trace(), &access, Duration::ZERO);
            assert_eq!(
                (span.is_error, text(&span, "error.type").as_deref()),
                (error.is_some(), error),
                "{status:?}"
            );
        }
    }

    #[test]
    fn an_attempt_says_where_it_went_and_what_came_of_it() {
        let answered = |status: u16| Some(Ok(Response::builder().status(status).body(()).unwrap()));
        let rows = [
            (answered(200), false, None),
            (answered(404), true, Some("404")),
            (answered(503), true, Some("503")),
            (Some(Err(FetchError::Timeout)), true, Some("timeout")),
            (None, false, Some("cancelled")),
        ];
        let request = Request::get("http://ada:s3cret@shop.test:81/a?token=s3cret").body(()).unwrap();
        for (result, is_error, error) in rows {
            let kept = Arc::new(Kept::default());
            let sink: Arc<dyn SpanSink> = kept.clone();
            let attempt = Attempt::begin(sink, &trace(), 5, "shop", &request);
            match &result {
                Some(result) => attempt.end(result),
                None => drop(attempt),
            }
            let spans = kept.0.lock().unwrap();
            let [span] = spans.as_slice() else { panic!("{spans:?}") };
            assert_eq!(
                (span.id, span.parent, span.is_error),
                (5, Some(0x0707_0707_0707_0707), is_error),
                "{error:?}"
            );
            assert_eq!(text(span, "error.type").as_deref(), error);
            assert_eq!(text(span, "url.full").as_deref(), Some("http://shop.test:81/a"));
            assert_eq!(text(span, "selvedge.backend").as_deref(), Some("shop"));
        }
    }

    #[test]
    fn a_version_is_written_as_the_registry_has_it() {
        for (protocol, expected) in
            [("HTTP/1.0", "1.0"), ("HTTP/1.1", "1.1"), ("HTTP/2", "2"), ("HTTP/2.0", "2")]
        {
            assert_eq!(version(protocol), expected);
        }
    }
}
