//! What is seen of one request, from its head to the end of its response.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderValue, Method, Request, Response, StatusCode};
use selvedge_core::engine::Engine;
use selvedge_core::facts::Facts;
use selvedge_core::log::{Log, LogQuery};
use selvedge_core::reason::Summary;
use selvedge_core::transaction::Seed;
use selvedge_log::access::Access;
use selvedge_log::cache_status::{CacheKeys, cache_status};
use selvedge_log::request::{Asked, Seen};
use selvedge_native::monotonic;

use crate::access_log::AccessLog;
use crate::clock::Clock;
use crate::facts::protocol;
use crate::feed::SeenRequest;
use crate::span;
use crate::stats::counts::{Answered, CacheUse, Problem};
use crate::trace::Trace;
use crate::worker::Worker;

/// One request. When it is dropped its response has ended or broken off, which is counted and written to the access log.
#[derive(Debug)]
pub(crate) struct Observed {
    worker: Rc<Worker>,
    sight: Rc<Sight>,
    id: Seed,
    method: Method,
    started: Instant,
    /// What is told of it, where somebody is told.
    asked: Option<Box<Logged>>,
    answer: Option<Answer>,
    bytes_out: u64,
    is_whole: bool,
}

/// What the effects of a request show about it.
#[derive(Debug)]
pub(crate) struct Sight {
    pub(crate) trace: Option<Trace>,
    pub(crate) seen: Seen,
}

/// A request as the access log has it.
#[derive(Debug)]
struct Logged {
    asked: Asked,
    protocol: &'static str,
    cache_keys: CacheKeys,
}

/// A response's head.
struct Answer {
    status: StatusCode,
    summary: Summary,
    engine: Arc<Engine>,
    head: Duration,
    origin: Option<Duration>,
    cache_lookup: Option<Duration>,
    cache_status: Option<String>,
}

impl Default for Sight {
    fn default() -> Self {
        Self { trace: None, seen: Seen::new(monotonic) }
    }
}

impl Observed {
    /// Begins with a request's head, before anything is decided about it.
    pub(crate) fn begin<B>(
        worker: Rc<Worker>,
        engine: &Engine,
        request: &Request<B>,
        facts: &Facts,
        started: Instant,
    ) -> Self {
        let (config, id) = (&worker.shared.config, worker.seeds.next());
        let is_recorded = config.access_log.as_ref().is_none_or(|log| log.sample.has(id));
        let trace =
            config.traces().then(|| Trace::of(request.headers(), || worker.seeds.next(), is_recorded));
        let has_span = config.spans.is_some() && trace.as_ref().is_some_and(Trace::is_sampled);
        let is_told = has_span || config.access_log.is_some() || worker.shared.feed.has_listeners();
        let allowed = || allowed(engine.policy().log, config.access_log.as_ref());
        let asked = is_told.then(|| Box::new(Logged::of(request, facts, allowed())));
        let sight = Rc::new(Sight { trace, ..Sight::default() });
        let method = request.method().clone();
        Self { worker, sight, id, method, started, asked, answer: None, bytes_out: 0, is_whole: false }
    }

    /// Returns the request's id.
    pub(crate) fn id(&self) -> Seed {
        self.id
    }

    pub(crate) fn method(&self) -> &Method {
        &self.method
    }

    pub(crate) fn sight(&self) -> Rc<Sight> {
        Rc::clone(&self.sight)
    }

    /// Takes note of the response's head, and returns how long it took.
    pub(crate) fn on_head<B>(
        &mut self,
        response: &Response<B>,
        summary: Summary,
        engine: Arc<Engine>,
    ) -> Duration {
        let (status, latency) = (response.status(), self.started.elapsed());
        let route = summary.route.map(|route| engine.policy().route(route).name.as_str());
        let Summary { reason, cache, failed_over, .. } = summary;
        let answered = Answered { status, reason, cache, failed_over, route, latency };
        self.worker.stats().counts().count(&answered);
        let has_log = self.worker.shared.config.access_log.is_some();
        let keys = self.asked.as_ref().filter(|_| has_log).map(|logged| logged.cache_keys);
        let cache_status = keys.and_then(|keys| cache_status(response.headers(), keys));
        let (origin, cache_lookup) = (self.sight.seen.origin.total(), self.sight.seen.cache.total());
        if failed_over.is_some() || status.is_server_error() {
            self.worker.shared.openings.tell(&engine, self.worker.shared.config.clock.now());
        }
        self.answer =
            Some(Answer { status, summary, engine, head: latency, origin, cache_lookup, cache_status });
        latency
    }

    /// Tells how long the parts of the response's head took, as `Server-Timing` has it.
    pub(crate) fn server_timing(&self, summary: Summary) -> HeaderValue {
        let millis = |time: Duration| time.as_secs_f64() * 1000.0;
        let mut timing = format!("edge;dur={:.3}", millis(self.started.elapsed()));
        if let Some(cache) = summary.cache {
            timing += &format!(", cache;desc=\"{}\"", cache.code());
        }
        if let Some(origin) = self.sight.seen.origin.total() {
            timing += &format!(", origin;dur={:.3}", millis(origin));
        }
        HeaderValue::try_from(timing).expect("codes and numbers are a header's value")
    }

    /// Takes note of content on its way to the client.
    pub(crate) fn on_content(&mut self, bytes: usize) {
        self.bytes_out += bytes as u64;
    }

    /// Takes note that the source of the response's body broke off.
    pub(crate) fn on_break(&mut self) {
        self.worker.stats().count_problem(Problem::BodyBroken);
    }

    /// Takes note that nothing is missing of the response.
    pub(crate) fn on_end(&mut self) {
        self.is_whole = true;
    }

    /// Hands what is known of the request to a function, if it was kept.
    fn tell<T>(&self, duration: Duration, to: impl FnOnce(Access<'_>) -> T) -> Option<T> {
        let logged = self.asked.as_ref()?;
        let (variations, trace) = (self.sight.seen.variations(), self.sight.trace.as_ref());
        let access = Access {
            trace_id: trace.map(|trace| trace.trace_id().into()),
            span_id: trace.map(|trace| trace.span_id().into()),
            protocol: Some(logged.protocol.into()),
            bytes_out: Some(self.bytes_out),
            duration: Some(duration),
            aborted: Some(!self.is_whole),
            variations: &variations,
            ..logged.asked.access(&self.id)
        };
        let access = match &self.answer {
            Some(answer) => answer.add_to(access),
            None => access,
        };
        Some(to(access))
    }

    /// Writes the line of the access log, if it is to have one.
    fn log(&self, duration: Duration) {
        let shared = &self.worker.shared;
        let (Some(log), Some(writer)) = (&shared.config.access_log, &shared.access_log) else { return };
        let is_failure = self.answer.as_ref().is_some_and(|answer| answer.status.is_server_error());
        if !is_failure && !log.sample.has(self.id) {
            return;
        }
        let line = self.tell(duration, |access| access.to_line());
        line.into_iter().for_each(|line| writer.write(line));
    }

    /// Hands its span to whoever takes them.
    fn trace(&self, duration: Duration) {
        let (sink, trace) = (self.worker.shared.config.spans.as_ref(), self.sight.trace.as_ref());
        let (Some(sink), Some(trace)) = (sink, trace.filter(|trace| trace.is_sampled())) else { return };
        let span = self.tell(duration, |access| span::of_request(trace, &access, duration));
        span.into_iter().for_each(|span| sink.take(span));
    }

    /// Tells whoever listens that it has ended.
    fn show(&self, duration: Duration) {
        let feed = &self.worker.shared.feed;
        if !feed.has_listeners() {
            return;
        }
        let request = self.tell(duration, |access| SeenRequest {
            time: access.time,
            method: access.method.into_owned(),
            host: access.host.map(Cow::into_owned),
            path: access.path.into_owned(),
            status: access.status,
            reason: access.outcome,
            cache: access.cache,
            backend: access.backend.map(str::to_owned),
            duration,
            is_aborted: !self.is_whole,
        });
        request.into_iter().for_each(|request| feed.tell(request));
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        let duration = self.started.elapsed();
        let cache = CacheUse::of(self.answer.as_ref().and_then(|answer| answer.summary.cache));
        self.worker.stats().count_end(cache, duration, !self.is_whole);
        self.log(duration);
        self.trace(duration);
        self.show(duration);
    }
}

/// What may be told of a client: the policy allows it, or whoever started the edge does.
fn allowed(policy: Log, log: Option<&AccessLog>) -> Log {
    let (address, query) = log.map_or((false, LogQuery::Omit), |log| (log.address, log.query));
    let client_address = policy.client_address || address;
    Log { client_address, query: policy.query.max(query), user_agent: policy.user_agent }
}

impl Logged {
    fn of<B>(request: &Request<B>, facts: &Facts, log: Log) -> Self {
        let asked = Asked::of(request, facts, log, Clock::System.now());
        Self { asked, protocol: protocol(request.version()), cache_keys: log.query.into() }
    }
}

impl Answer {
    fn add_to<'a>(&'a self, access: Access<'a>) -> Access<'a> {
        let access = Access {
            status: Some(self.status.as_u16()),
            head: Some(self.head),
            origin: self.origin,
            cache_lookup: self.cache_lookup,
            cache_status: self.cache_status.as_deref().map(Into::into),
            ..access
        };
        access.decided(self.summary, self.engine.policy())
    }
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer")
            .field("status", &self.status)
            .field("summary", &self.summary)
            .finish_non_exhaustive()
    }
}
