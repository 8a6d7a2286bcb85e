//! Performs what the core asks for.

use std::future::ready;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use selvedge_core::body::{Body, BodyHandle};
use selvedge_core::effect::{Effect, EffectResult, Fetch, FetchError, ReadBodyError, Record, Watch};
use selvedge_core::health::BodyEnd;
use selvedge_core::host::{Host, Performing};
use selvedge_core::time::Timestamp;
use selvedge_native::backend_body::BackendBody;
use selvedge_native::body::read;
use selvedge_native::upload::{Upload, UploadError};

use crate::body::{Bodies, HostBody};
use crate::fetching::Fetching;
use crate::observed::Sight;
use crate::span::Attempt;
use crate::stats::counts::Problem;
use crate::trace::fresh_part;
use crate::turns::Held;
use crate::worker::Worker;

/// Longest wait for a client to send a body that the core reads.
const READ_BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// One exchange's host.
#[derive(Clone)]
pub(crate) struct EdgeHost {
    pub(crate) worker: Rc<Worker>,
    pub(crate) bodies: Rc<Bodies>,
    pub(crate) held: Rc<Held>,
    pub(crate) sight: Rc<Sight>,
}

impl EdgeHost {
    pub(crate) fn new(worker: Rc<Worker>, bodies: Rc<Bodies>) -> Self {
        Self::seen(worker, bodies, Rc::default())
    }

    /// The host of an exchange that is a client's request.
    pub(crate) fn seen(worker: Rc<Worker>, bodies: Rc<Bodies>, sight: Rc<Sight>) -> Self {
        Self { worker, bodies, held: Rc::default(), sight }
    }

    /// Sends a request and hands its body on as it comes.
    pub(crate) async fn fetch(&self, fetch: Fetch) -> Result<Response<Body>, FetchError> {
        let fetching = Fetching::begin(Rc::clone(&self.worker), Arc::clone(&fetch.backend));
        let attempt = self.attempt(&fetch);
        let result = self.send(fetch, attempt.as_ref()).await;
        attempt.into_iter().for_each(|attempt| attempt.end(&result));
        let waited = fetching.end(result.as_ref().map(Response::status).map_err(|error| *error));
        self.sight.seen.on_fetched(waited);
        result
    }

    /// Begins a span, where somebody takes those of the trace.
    fn attempt(&self, fetch: &Fetch) -> Option<Attempt> {
        let sink = self.worker.shared.config.spans.as_ref()?;
        let trace = self.sight.trace.as_ref().filter(|trace| trace.is_sampled())?;
        let id = fresh_part(self.worker.seeds.next());
        Some(Attempt::begin(Arc::clone(sink), trace, id, &fetch.backend, &fetch.request))
    }

    async fn send(&self, mut fetch: Fetch, attempt: Option<&Attempt>) -> Result<Response<Body>, FetchError> {
        let started = tokio::time::Instant::now();
        self.worker.shared.config.faults.meet(&mut fetch).await?;
        let Fetch { mut request, timeout, connect_timeout, watch, max_body_bytes, backend } = fetch;
        if let Some(trace) = &self.sight.trace {
            trace.write(attempt.map_or(trace.span(), Attempt::id), request.headers_mut());
        }
        let (parts, body) = request.into_parts();
        let mut upload = self.upload(body, max_body_bytes)?;
        let watch = watch.map(|watch| (watch, upload.progress()));
        let request = Request::from_parts(parts, upload);
        let mut response = self.worker.backends.send(request, timeout, connect_timeout).await?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            self.bodies.ends.keep_backend(hyper::upgrade::on(&mut response));
        }
        let (mut parts, body) = response.into_parts();
        parts.extensions.clear();
        let body = match watch {
            None => BackendBody::new(body),
            Some((Watch { total, report }, failure)) => {
                let (shared, status) = (Arc::clone(&self.worker.shared), parts.status);
                BackendBody::watched(body, total, started, failure, move |end| {
                    if matches!(end, BodyEnd::Broken | BodyEnd::Late) {
                        tracing::warn!(%backend, why = end.as_str(), total_timeout = ?total, "a body breaks off");
                    }
                    report.tell(status, end, shared.config.clock.now());
                })
            }
        };
        Ok(Response::from_parts(parts, self.bodies.keep_response(body)))
    }

    /// Reads a body into memory.
    pub(crate) async fn read(&self, body: Body, limit: usize) -> Result<Bytes, ReadBodyError> {
        match body {
            Body::Empty => Ok(Bytes::new()),
            Body::Bytes(bytes) if bytes.len() > limit => Err(ReadBodyError::TooLarge),
            Body::Bytes(bytes) => Ok(bytes),
            Body::Host(handle) => {
                let body = self.bodies.take(handle).ok_or(ReadBodyError::Broken)?;
                let whole = tokio::time::timeout(READ_BODY_TIMEOUT, read(body, limit)).await;
                whole.unwrap_or(Err(ReadBodyError::Broken))
            }
        }
    }

    fn upload(&self, body: Body, max_bytes: u64) -> Result<Upload<HostBody>, UploadError> {
        match body {
            Body::Empty => Ok(Upload::Empty),
            Body::Bytes(bytes) => Upload::bytes(bytes, max_bytes),
            Body::Host(handle) => {
                let body = self.bodies.take(handle).ok_or(UploadError::Client)?;
                Upload::stream(body, max_bytes)
            }
        }
    }

    fn read_body(&self, body: BodyHandle, limit: usize) -> Performing {
        let host = self.clone();
        Box::pin(async move { EffectResult::ReadBody(host.read(Body::Host(body), limit).await) })
    }

    fn record(&self, record: &Record) {
        match record {
            Record::Exposure { experiment, variation, reason } => {
                self.worker.stats().counts().exposures += 1;
                self.sight.seen.on_exposure(experiment, variation);
                tracing::debug!(%experiment, %variation, reason = reason.code(), "exposure");
            }
            Record::HandlerFailure { handler, reason, message } => {
                self.worker.stats().count_problem(Problem::of_handler(*reason));
                tracing::error!(handler, reason = reason.code(), message, "a handler failed");
            }
            Record::JobFailure { name, id, message, settlement } => {
                self.worker.stats().count_problem(Problem::JobFailed);
                tracing::warn!(name, id, message, %settlement, "a job was not done");
            }
            Record::Event { name, value } => tracing::info!(name, value, "event"),
            _ => tracing::debug!(?record, "record"),
        }
    }
}

impl Host for EdgeHost {
    fn now(&self) -> Timestamp {
        self.worker.shared.config.clock.now()
    }

    fn perform(&self, effect: Effect) -> Performing {
        let (shared, stats) = (&self.worker.shared, self.worker.stats());
        match effect {
            Effect::Fetch(fetch) => {
                let host = self.clone();
                Box::pin(async move { EffectResult::Fetch(host.fetch(*fetch).await) })
            }
            Effect::CacheGet { key } => self.cache_get(key),
            Effect::CachePut(put) => self.cache_put(*put),
            Effect::CachePurge(purge) => self.cache_purge(*purge),
            Effect::CacheWait { key, wait } => self.cache_wait(key, wait),
            Effect::CacheRelease { key, is_futile } => self.cache_release(&key, is_futile),
            Effect::SliceBody { body, start, length } => self.slice_body(body, start, length),
            Effect::KvGet { key } => done(EffectResult::KvGet(stats.count_store(shared.kv.get(&key)))),
            Effect::KvPut { key, value } => {
                done(EffectResult::KvPut(stats.count_store(shared.kv.put(key, value))))
            }
            Effect::Count { key, window } => {
                let count = shared.counters.count(&key, window, self.now());
                done(EffectResult::Count(stats.count_store(count)))
            }
            Effect::Enqueue { queue, id, body } => {
                let put = shared.queues.put(&queue, &id, &body, self.now());
                done(EffectResult::Enqueue(stats.count_store(put)))
            }
            Effect::ReadBody { body, limit } => self.read_body(body, limit),
            Effect::Sleep { time } => Box::pin(async move {
                tokio::time::sleep(time).await;
                EffectResult::Sleep
            }),
            Effect::Record(record) => {
                self.record(&record);
                done(EffectResult::Record)
            }
            // The core takes a result of another kind for a failure.
            Effect::Cancel { .. } | _ => done(EffectResult::Fetch(Err(FetchError::Protocol))),
        }
    }
}

/// A result that is there at once.
pub(crate) fn done(result: EffectResult) -> Performing {
    Box::pin(ready(result))
}
