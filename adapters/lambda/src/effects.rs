//! Performs what the core asks for.

use std::future::ready;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use http::{Request, Response, StatusCode};
use selvedge_core::body::{Body, BodyHandle};
use selvedge_core::effect::{
    Effect, EffectResult, Fetch, FetchError, ReadBodyError, Record, StoreError, Watch,
};
use selvedge_core::host::{Host, Performing};
use selvedge_core::time::Timestamp;
use selvedge_log::request::Seen;
use selvedge_log::write_record;
use selvedge_native::backend_body::BackendBody;
use selvedge_native::body::read;
use selvedge_native::upload::{Upload, UploadError};
use tokio::time::Instant;

use crate::body::{Bodies, HostBody};
use crate::function::Function;

/// Longest wait for a body that the core reads.
const READ_BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// One exchange's host.
#[derive(Clone)]
pub(crate) struct EdgeHost {
    function: Rc<Function>,
    bodies: Rc<Bodies>,
    seen: Rc<Seen>,
}

impl EdgeHost {
    pub(crate) fn new(function: Rc<Function>, bodies: Rc<Bodies>) -> Self {
        Self { function, bodies, seen: Rc::default() }
    }

    /// What the effects show about the request.
    pub(crate) fn seen(&self) -> Rc<Seen> {
        Rc::clone(&self.seen)
    }

    /// Sends a request and hands its body on as it comes.
    async fn fetch(&self, fetch: Fetch) -> Result<Response<Body>, FetchError> {
        let asked = Instant::now();
        let result = self.send(fetch, asked).await;
        self.seen.on_fetched(asked.elapsed());
        result
    }

    async fn send(&self, fetch: Fetch, started: Instant) -> Result<Response<Body>, FetchError> {
        let Fetch { request, timeout, connect_timeout, watch, max_body_bytes, .. } = fetch;
        let (parts, body) = request.into_parts();
        let mut upload = self.upload(body, max_body_bytes)?;
        let watch = watch.map(|watch| (watch, upload.progress()));
        let request = Request::from_parts(parts, upload);
        let response = self.function.backends.send(request, timeout, connect_timeout).await?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(FetchError::Protocol);
        }
        let (mut parts, body) = response.into_parts();
        parts.extensions.clear();
        let body = match watch {
            None => BackendBody::new(body),
            Some((Watch { total, report }, failure)) => {
                let (clock, status) = (self.function.clock, parts.status);
                BackendBody::watched(body, total, started, failure, move |end| {
                    report.tell(status, end, clock());
                })
            }
        };
        Ok(Response::from_parts(parts, self.bodies.keep(HostBody::Backend(body))))
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
        let Some(body) = self.bodies.take(body) else {
            return done(EffectResult::ReadBody(Err(ReadBodyError::Broken)));
        };
        Box::pin(async move {
            let whole = tokio::time::timeout(READ_BODY_TIMEOUT, read(body, limit)).await;
            EffectResult::ReadBody(whole.unwrap_or(Err(ReadBodyError::Broken)))
        })
    }
}

impl Host for EdgeHost {
    fn now(&self) -> Timestamp {
        (self.function.clock)()
    }

    /// There is no store, so that nothing is found, nothing is kept and nothing is counted.
    fn perform(&self, effect: Effect) -> Performing {
        match effect {
            Effect::Fetch(fetch) => {
                let host = self.clone();
                Box::pin(async move { EffectResult::Fetch(host.fetch(*fetch).await) })
            }
            Effect::CacheGet { .. } => done(EffectResult::CacheGet(None)),
            Effect::CachePut(_) => done(EffectResult::CachePut),
            Effect::KvGet { .. } => done(EffectResult::KvGet(Err(StoreError))),
            Effect::KvPut { .. } => done(EffectResult::KvPut(Err(StoreError))),
            Effect::Count { .. } => done(EffectResult::Count(Err(StoreError))),
            Effect::Enqueue { queue, id, body } => {
                let function = Rc::clone(&self.function);
                Box::pin(async move { EffectResult::Enqueue(function.send(&queue, &id, &body).await) })
            }
            Effect::ReadBody { body, limit } => self.read_body(body, limit),
            Effect::Sleep { time } => Box::pin(async move {
                tokio::time::sleep(time).await;
                EffectResult::Sleep
            }),
            Effect::Record(record) => {
                if let Record::Exposure { experiment, variation, .. } = &record {
                    self.seen.on_exposure(experiment, variation);
                }
                write_record(&record);
                done(EffectResult::Record)
            }
            // The core takes a result of another kind for a failure.
            Effect::CachePurge(_)
            | Effect::CacheWait { .. }
            | Effect::CacheRelease { .. }
            | Effect::SliceBody { .. }
            | Effect::Cancel { .. }
            | _ => done(EffectResult::Fetch(Err(FetchError::Protocol))),
        }
    }
}

fn done(result: EffectResult) -> Performing {
    Box::pin(ready(result))
}

/// The machine's clock.
pub(crate) fn system_time() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
