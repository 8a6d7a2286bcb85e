//! What is seen of one request, for the component's log.

use std::rc::Rc;
use std::time::Duration;

use http::{HeaderMap, Method, Request, Response, StatusCode};
use selvedge_core::body::Body;
use selvedge_core::effect::Record;
use selvedge_core::engine::Engine;
use selvedge_core::facts::Facts;
use selvedge_core::log::Log;
use selvedge_core::reason::Summary;
use selvedge_core::transaction::Seed;
use selvedge_log::access::Access;
use selvedge_log::cache_status::{CacheKeys, cache_status};
use selvedge_log::request::{Asked, Seen};
use selvedge_log::sample::SampleRate;
use spin_sdk::wasip3::clocks::monotonic_clock;

use crate::request::length;
use crate::response::Ready;

/// One request of a component that logs them.
pub(crate) struct Observed {
    share: SampleRate,
    id: Seed,
    asked: Asked,
    is_head: bool,
    started: Duration,
    seen: Rc<Seen>,
}

/// What is known of a response when its head goes out.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    status: StatusCode,
    /// As far as it is known.
    bytes: Option<u64>,
    /// Whether nothing of it is still to come.
    is_whole: bool,
    cache_status: Option<String>,
}

/// A time on a clock that only goes forward.
fn instant() -> Duration {
    Duration::from_nanos(monotonic_clock::now())
}

impl Observed {
    /// Begins with a request's head, before anything is decided about it.
    pub(crate) fn begin(share: SampleRate, id: Seed, head: &Request<()>, facts: &Facts, log: Log) -> Self {
        let asked = Asked::of(head, facts, log, crate::component::now());
        let is_head = head.method() == Method::HEAD;
        Self { share, id, asked, is_head, started: instant(), seen: Rc::new(Seen::new(instant)) }
    }

    /// What the effects show about the request.
    pub(crate) fn seen(&self) -> Rc<Seen> {
        Rc::clone(&self.seen)
    }

    /// Writes the line with the response's head: Spin hands bodies on by itself, and shows no end of one.
    pub(crate) fn on_head(self, engine: &Engine, response: &Response<Body>, summary: Summary) {
        let keys = engine.policy().log.query.into();
        let answer = Answer::of(response.status(), response.headers(), response.body(), self.is_head, keys);
        self.write(engine, &answer, summary);
    }

    /// Takes note of what the response tells about experiments.
    pub(crate) fn on_record(&self, record: &Record) {
        if let Record::Exposure { experiment, variation, .. } = record {
            self.seen.on_exposure(experiment, variation);
        }
    }

    /// Writes the line of an answer that is kept ready.
    pub(crate) fn on_ready(self, engine: &Engine, ready: &Ready, summary: Summary) {
        let bytes = Some(ready.len() as u64);
        let answer = Answer { status: ready.status(), bytes, is_whole: true, cache_status: None };
        self.write(engine, &answer, summary);
    }

    fn write(&self, engine: &Engine, answer: &Answer, summary: Summary) {
        if !answer.status.is_server_error() && !self.share.has(self.id) {
            return;
        }
        let (head, variations) = (instant().saturating_sub(self.started), self.seen.variations());
        let access = Access {
            status: Some(answer.status.as_u16()),
            bytes_out: answer.bytes,
            head: Some(head),
            origin: self.seen.origin.total(),
            cache_lookup: self.seen.cache.total(),
            duration: answer.is_whole.then_some(head),
            variations: &variations,
            cache_status: answer.cache_status.as_deref().map(Into::into),
            ..self.asked.access(&self.id)
        };
        selvedge_log::write_access(&access.decided(summary, engine.policy()).to_line());
    }
}

impl Answer {
    fn of(status: StatusCode, headers: &HeaderMap, body: &Body, is_head: bool, keys: CacheKeys) -> Self {
        let bytes = match body {
            _ if is_head => Some(0),
            Body::Empty => Some(0),
            Body::Bytes(bytes) => Some(bytes.len() as u64),
            Body::Host(_) => length(headers),
        };
        let is_whole = is_head || !matches!(body, Body::Host(_));
        Self { status, bytes, is_whole, cache_status: cache_status(headers, keys) }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, header};
    use selvedge_core::body::BodyHandle;

    use super::*;

    #[test]
    fn of_a_body_that_spin_hands_on_is_known_what_it_announces() {
        let host = || Body::Host(BodyHandle(0));
        let rows = [
            (Body::Empty, None, false, Some(0), true),
            (Body::from(bytes::Bytes::from_static(b"four")), None, false, Some(4), true),
            (Body::from(bytes::Bytes::from_static(b"four")), None, true, Some(0), true),
            (host(), None, false, None, false),
            (host(), Some("7"), false, Some(7), false),
            (host(), Some("7"), true, Some(0), true),
        ];
        for (body, announced, is_head, bytes, is_whole) in rows {
            let announced =
                announced.map(|length| (header::CONTENT_LENGTH, HeaderValue::from_static(length)));
            let headers = HeaderMap::from_iter(announced);
            let answer = Answer::of(StatusCode::OK, &headers, &body, is_head, CacheKeys::Omit);
            let expected = Answer { status: StatusCode::OK, bytes, is_whole, cache_status: None };
            assert_eq!(answer, expected, "{body:?} {headers:?} {is_head}");
        }
    }
}
