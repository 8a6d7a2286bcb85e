//! What is seen of one request, for the function's log and its metrics.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Request, Response, StatusCode};
use selvedge_core::engine::Engine;
use selvedge_core::facts::Facts;
use selvedge_core::reason::Summary;
use selvedge_core::transaction::Seed;
use selvedge_log::access::Access;
use selvedge_log::cache_status::cache_status;
use selvedge_log::embedded::{self, Told};
use selvedge_log::request::{Asked, Seen};
use selvedge_log::sample::SampleRate;
use selvedge_log::trace::{self, Parent};

use crate::effects::system_time;

/// One request. When it is dropped its response has ended or broken off, which is written to the log.
pub(crate) struct Observed {
    engine: Arc<Engine>,
    share: SampleRate,
    id: Seed,
    asked: Asked,
    trace_id: Option<String>,
    started: Instant,
    answer: Option<Answer>,
    bytes_out: u64,
    is_whole: bool,
}

/// A response's head.
struct Answer {
    status: StatusCode,
    summary: Summary,
    head: Duration,
    origin: Option<Duration>,
    cache_lookup: Option<Duration>,
    variations: Vec<(Arc<str>, Arc<str>)>,
    cache_status: Option<String>,
}

impl Observed {
    /// Begins with a request's head, before anything is decided about it.
    pub(crate) fn begin<B>(
        engine: Arc<Engine>,
        share: SampleRate,
        id: Seed,
        request: &Request<B>,
        facts: &Facts,
    ) -> Self {
        let asked = Asked::of(request, facts, engine.policy().log, system_time());
        let trace_id = trace::parent(request.headers()).map(Parent::trace_id);
        let started = Instant::now();
        Self { engine, share, id, asked, trace_id, started, answer: None, bytes_out: 0, is_whole: false }
    }

    /// Takes note of the response's head.
    pub(crate) fn on_head<B>(&mut self, response: &Response<B>, summary: Summary, seen: &Seen) {
        self.answer = Some(Answer {
            status: response.status(),
            summary,
            head: self.started.elapsed(),
            origin: seen.origin.total(),
            cache_lookup: seen.cache.total(),
            variations: seen.variations().clone(),
            cache_status: cache_status(response.headers(), self.engine.policy().log.query.into()),
        });
    }

    /// Takes note that another response goes to the client, whole, in place of the one that was decided.
    pub(crate) fn on_replaced(&mut self, status: StatusCode, bytes: usize) {
        if let Some(answer) = &mut self.answer {
            answer.status = status;
        }
        self.on_content(bytes);
        self.on_end();
    }

    /// Takes note of content on its way to the client.
    pub(crate) fn on_content(&mut self, bytes: usize) {
        self.bytes_out += bytes as u64;
    }

    /// Takes note that nothing is missing of the response.
    pub(crate) fn on_end(&mut self) {
        self.is_whole = true;
    }

    /// Its metrics, and the record where it is of the sample or a failure.
    fn line(&self) -> Vec<u8> {
        let policy = self.engine.policy();
        let access = Access {
            trace_id: self.trace_id.as_deref().map(Into::into),
            bytes_out: Some(self.bytes_out),
            duration: Some(self.started.elapsed()),
            aborted: Some(!self.is_whole),
            ..self.asked.access(&self.id)
        };
        let access = match &self.answer {
            Some(answer) => answer.add_to(access).decided(answer.summary, policy),
            None => access,
        };
        let is_failure = self.answer.as_ref().is_none_or(|answer| answer.status.is_server_error());
        let is_told = is_failure || self.share.has(self.id);
        embedded::line(access, &policy.name, if is_told { Told::Record } else { Told::Metrics })
    }
}

impl Answer {
    fn add_to<'a>(&'a self, access: Access<'a>) -> Access<'a> {
        Access {
            status: Some(self.status.as_u16()),
            head: Some(self.head),
            origin: self.origin,
            cache_lookup: self.cache_lookup,
            variations: &self.variations,
            cache_status: self.cache_status.as_deref().map(Into::into),
            ..access
        }
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        selvedge_log::write_access(&self.line());
    }
}

impl fmt::Debug for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observed").field("asked", &self.asked).finish_non_exhaustive()
    }
}
