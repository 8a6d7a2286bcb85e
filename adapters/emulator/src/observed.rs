//! What is seen of one request, from its head to the end of its response.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use selvedge_core::cache::status::CACHE_STATUS;
use selvedge_core::device::DeviceClass;
use selvedge_core::engine::Engine;
use selvedge_core::facts::Facts;
use selvedge_core::reason::{Reason, Summary};
use selvedge_core::time::Timestamp;
use selvedge_core::transaction::Seed;
use selvedge_log::access::{Access, MAX_PATH_BYTES, MAX_TEXT_BYTES, cut};

use crate::access_log::LogQuery;
use crate::access_log::cache_status::without_keys;
use crate::clock::Clock;
use crate::facts::protocol;
use crate::feed::SeenRequest;
use crate::stats::counts::{Answered, CacheUse, Problem};
use crate::trace::{Trace, hex};
use crate::worker::Worker;

/// Most variations of one response that the log tells.
const MAX_VARIATIONS: usize = 32;

/// One request. When it is dropped its response has ended or broken off, which is counted and written to the access log.
#[derive(Debug)]
pub(crate) struct Observed {
    worker: Rc<Worker>,
    sight: Rc<Sight>,
    id: Seed,
    method: Method,
    started: Instant,
    /// What is told of it, where somebody is told.
    asked: Option<Box<Asked>>,
    answer: Option<Answer>,
    bytes_out: u64,
    is_whole: bool,
}

/// What the effects of a request show about it.
#[derive(Debug, Default)]
pub(crate) struct Sight {
    pub(crate) trace: Option<Trace>,
    variations: RefCell<Vec<(Arc<str>, Arc<str>)>>,
    origin: Cell<Option<Duration>>,
}

/// A request as it came.
#[derive(Debug)]
struct Asked {
    time: Timestamp,
    uri: Uri,
    host: Option<String>,
    user_agent: Option<String>,
    protocol: &'static str,
    facts: Facts,
    device: DeviceClass,
}

/// A response's head.
struct Answer {
    status: StatusCode,
    summary: Summary,
    engine: Arc<Engine>,
    head: Duration,
    origin: Option<Duration>,
    cache_status: Option<String>,
}

impl Observed {
    /// Begins with a request's head, before anything is decided about it.
    pub(crate) fn begin<B>(
        worker: Rc<Worker>,
        request: &Request<B>,
        facts: &Facts,
        started: Instant,
    ) -> Self {
        let (config, id) = (&worker.shared.config, worker.seeds.next());
        let is_told = config.access_log.is_some() || worker.shared.feed.has_listeners();
        let asked = is_told.then(|| Box::new(Asked::of(request, facts)));
        let is_recorded = config.access_log.as_ref().is_none_or(|log| log.sample.has(id));
        let trace = config.trace.then(|| Trace::of(request.headers(), || worker.seeds.next(), is_recorded));
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
        let Summary { reason, cache, .. } = summary;
        self.worker.stats().counts().count(&Answered { status, reason, cache, route, latency });
        let log = self.worker.shared.config.access_log.as_ref();
        let cache_status = log.and_then(|log| cache_status(response.headers(), log.query));
        let origin = self.sight.origin.get();
        self.answer = Some(Answer { status, summary, engine, head: latency, origin, cache_status });
        latency
    }

    /// Tells how long the parts of the response's head took, as `Server-Timing` has it.
    pub(crate) fn server_timing(&self, summary: Summary) -> HeaderValue {
        let millis = |time: Duration| time.as_secs_f64() * 1000.0;
        let mut timing = format!("edge;dur={:.3}", millis(self.started.elapsed()));
        if let Some(cache) = summary.cache {
            timing += &format!(", cache;desc=\"{}\"", cache.code());
        }
        if let Some(origin) = self.sight.origin.get() {
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

    fn seen(&self, duration: Duration) -> Option<SeenRequest> {
        let (asked, answer) = (self.asked.as_ref()?, self.answer.as_ref());
        let summary = answer.map(|answer| answer.summary);
        let backend = answer.and_then(|answer| Some(answer.engine.policy().backend(answer.summary.backend?)));
        Some(SeenRequest {
            time: asked.time,
            method: cut(self.method.as_str(), MAX_TEXT_BYTES).to_owned(),
            host: asked.host.clone(),
            path: cut(asked.uri.path(), MAX_PATH_BYTES).to_owned(),
            status: answer.map(|answer| answer.status.as_u16()),
            reason: summary.map(|summary| summary.reason.code()),
            cache: summary.and_then(|summary| summary.cache).map(Reason::code),
            backend: backend.map(|backend| backend.name.clone()),
            duration,
            is_aborted: !self.is_whole,
        })
    }

    fn line(&self, duration: Duration) -> Option<Vec<u8>> {
        let (log, asked) = (self.worker.shared.config.access_log.as_ref()?, self.asked.as_ref()?);
        let answer = self.answer.as_ref();
        let is_failure = answer.is_some_and(|answer| answer.status.is_server_error());
        if !is_failure && !log.sample.has(self.id) {
            return None;
        }
        let variations = self.sight.variations.borrow();
        let policy = answer.map(|answer| answer.engine.policy());
        let summary = answer.map(|answer| answer.summary);
        let trace = self.sight.trace.as_ref();
        let access = Access {
            request_id: hex(&self.id).into(),
            trace_id: trace.map(|trace| trace.trace_id().into()),
            span_id: trace.map(|trace| trace.span_id().into()),
            method: cut(self.method.as_str(), MAX_TEXT_BYTES).into(),
            host: asked.host.as_deref().map(Into::into),
            path: cut(asked.uri.path(), MAX_PATH_BYTES).into(),
            query: asked.uri.query().and_then(|query| log.query.keep(query)).map(Into::into),
            protocol: Some(asked.protocol),
            status: answer.map(|answer| answer.status.as_u16()),
            bytes_out: self.bytes_out,
            head: answer.map(|answer| answer.head),
            origin: answer.and_then(|answer| answer.origin),
            duration: Some(duration),
            aborted: !self.is_whole,
            outcome: summary.map(|summary| summary.reason.code()),
            cache: summary.and_then(|summary| summary.cache).map(Reason::code),
            cache_status: answer.and_then(|answer| answer.cache_status.as_deref()).map(Into::into),
            route: summary.and_then(|summary| Some(policy?.route(summary.route?).name.as_str())),
            backend: summary.and_then(|summary| Some(policy?.backend(summary.backend?).name.as_str())),
            bot: summary.and_then(|summary| summary.bot).map(|bot| bot.as_str()),
            variations: &variations,
            country: asked.facts.country.map(|country| country.to_string().into()),
            device: Some(asked.device.as_str()),
            address: asked.facts.client_ip.filter(|_| log.address),
            user_agent: asked.user_agent.as_deref().map(Into::into),
            ..Access::at(asked.time)
        };
        Some(access.to_line())
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        let duration = self.started.elapsed();
        let cache = CacheUse::of(self.answer.as_ref().and_then(|answer| answer.summary.cache));
        self.worker.stats().count_end(cache, duration, !self.is_whole);
        if let (Some(writer), Some(line)) = (&self.worker.shared.access_log, self.line(duration)) {
            writer.write(line);
        }
        let feed = &self.worker.shared.feed;
        if let Some(request) = feed.has_listeners().then(|| self.seen(duration)).flatten() {
            feed.tell(request);
        }
    }
}

impl Sight {
    /// Takes note of a variation that the response shows.
    pub(crate) fn on_exposure(&self, experiment: &Arc<str>, variation: &Arc<str>) {
        let mut variations = self.variations.borrow_mut();
        if variations.len() < MAX_VARIATIONS {
            variations.push((Arc::clone(experiment), Arc::clone(variation)));
        }
    }

    /// Takes note of the wait for a backend.
    pub(crate) fn on_fetched(&self, waited: Duration) {
        self.origin.set(Some(self.origin.get().unwrap_or_default() + waited));
    }
}

impl Asked {
    fn of<B>(request: &Request<B>, facts: &Facts) -> Self {
        let headers = request.headers();
        let field = |name| headers.get(name).map(HeaderValue::as_bytes);
        let authority = request.uri().authority().map(|authority| authority.as_str().as_bytes());
        // Before the `@` are credentials.
        let host = authority
            .or_else(|| field(header::HOST))
            .and_then(|host| host.rsplit(|byte| *byte == b'@').next());
        Self {
            time: Clock::System.now(),
            uri: request.uri().clone(),
            host: host.map(text),
            user_agent: field(header::USER_AGENT).map(text),
            protocol: protocol(request.version()),
            facts: facts.clone(),
            device: DeviceClass::classify(headers),
        }
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

/// The beginning of a header's value, with a sign in the place of what is no text.
fn text(value: &[u8]) -> String {
    let beginning = &value[..value.len().min(MAX_TEXT_BYTES)];
    cut(&String::from_utf8_lossy(beginning), MAX_TEXT_BYTES).to_owned()
}

/// All caches' members of `Cache-Status`, that of the edge being the last.
fn cache_status(headers: &HeaderMap, query: LogQuery) -> Option<String> {
    let values = headers.get_all(&CACHE_STATUS).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
    let whole = values.collect::<Vec<_>>().join(", ");
    let whole = if query == LogQuery::Whole { whole } else { without_keys(&whole) };
    (!whole.is_empty()).then(|| {
        // What is cut is the part of caches nearer to the origin.
        let from = whole.ceil_char_boundary(whole.len().saturating_sub(MAX_TEXT_BYTES));
        whole[from..].to_owned()
    })
}
