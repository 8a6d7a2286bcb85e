//! The whole life of a job, top to bottom.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};

use super::{Job, JobSource, JobTarget, MAX_RETRY_DELAY, Queue, Schedule, Settlement};
use crate::backend::BackendId;
use crate::body::Body;
use crate::effect::{Effect, EffectResult, EffectSpan, FetchError, Record};
use crate::engine::Engine;
use crate::exchange::Effects;
use crate::facts::Facts;
use crate::handler::{self, HandlerContext};
use crate::health::Ask;
use crate::pipeline;
use crate::transaction::{Seed, Transaction};

/// Tells a repeated request from a new one
/// (<https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-idempotency-key-header>).
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

const QUEUE: HeaderName = HeaderName::from_static("selvedge-queue");
const SCHEDULE: HeaderName = HeaderName::from_static("selvedge-schedule");
const ATTEMPT: HeaderName = HeaderName::from_static("selvedge-attempt");

/// How long a message of a queue that the policy does not have waits: a deployment may bring the queue back.
const UNKNOWN_QUEUE_DELAY: Duration = Duration::from_secs(60 * 60);

/// How often such a message is looked at.
const UNKNOWN_QUEUE_ATTEMPTS: u32 = 24;

/// A job with what it runs on.
pub(crate) struct Run {
    pub(crate) engine: Arc<Engine>,
    pub(crate) job: Job,
    pub(crate) seed: Seed,
    /// What a handler said when it took the module down on an earlier try at this job.
    pub(crate) crash: Option<String>,
    pub(crate) fx: Effects,
}

/// What came of one request of a job.
enum Delivered {
    Yes,
    /// It may work later, after this time if the backend knows.
    NotNow(String, Option<Duration>),
    Refused(String),
}

/// Runs a job and says what becomes of it.
pub(crate) async fn run(run: Run) -> Settlement {
    match &run.job.source {
        JobSource::Queue(name) => match run.engine.policy().queue(name) {
            Some(queue) => run.message(queue).await,
            None => run.unknown_queue(name),
        },
        JobSource::Schedule(name) => {
            if let Some(schedule) = run.engine.policy().schedule(name) {
                run.scheduled(schedule).await;
            }
            Settlement::Done
        }
    }
}

impl Run {
    async fn message(&self, queue: &Queue) -> Settlement {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        insert(&mut headers, QUEUE, &queue.name);
        insert(&mut headers, ATTEMPT, &self.job.attempt.to_string());
        // A string of RFC 9651; ids are made of characters that need no escape.
        insert(&mut headers, IDEMPOTENCY_KEY, &format!("\"{}\"", self.job.id));
        let (settlement, why) = match self.deliver(&queue.target, headers).await {
            Delivered::Yes => return Settlement::Done,
            Delivered::Refused(why) => (Settlement::Dropped, why),
            Delivered::NotNow(why, _) if self.job.attempt >= queue.attempts => (Settlement::Dropped, why),
            Delivered::NotNow(why, wait) => {
                let after = wait.unwrap_or_else(|| self.backoff(queue.retry_delay));
                (Settlement::Retry { after: whole_seconds(after) }, why)
            }
        };
        self.record(&queue.name, why, settlement);
        settlement
    }

    fn unknown_queue(&self, name: &str) -> Settlement {
        let settlement = if self.job.attempt < UNKNOWN_QUEUE_ATTEMPTS {
            Settlement::Retry { after: UNKNOWN_QUEUE_DELAY }
        } else {
            Settlement::Dropped
        };
        self.record(name, "the policy has no such queue".to_owned(), settlement);
        settlement
    }

    async fn scheduled(&self, schedule: &Schedule) {
        let mut headers = HeaderMap::new();
        insert(&mut headers, SCHEDULE, &schedule.name);
        insert(&mut headers, IDEMPOTENCY_KEY, &format!("\"{}\"", self.job.id));
        match self.deliver(&schedule.target, headers).await {
            Delivered::Yes => {}
            Delivered::NotNow(why, _) | Delivered::Refused(why) => {
                self.record(&schedule.name, why, Settlement::Dropped);
            }
        }
    }

    async fn deliver(&self, target: &JobTarget, headers: HeaderMap) -> Delivered {
        match target {
            JobTarget::Backend { backend, path } => self.send(*backend, path, &headers).await,
            JobTarget::Handler(name) => self.handle(name, &headers).await,
        }
    }

    /// Asks each place of a backend and of its failover order in turn: the key makes the request repeatable.
    async fn send(&self, first: BackendId, path: &str, headers: &HeaderMap) -> Delivered {
        let mut outcome = Delivered::Refused("the backend has no URL".to_owned());
        for place in self.engine.places(&[first]) {
            let Some(mut fetch) = self.engine.fetch_from(place, self.request(path, headers)) else {
                return Delivered::Refused(format!("`{path}` is no path for the backend"));
            };
            let permit = match self.engine.health().admit(place, Ask::First, self.fx.now()) {
                Ok(permit) => permit,
                Err(refused) => {
                    outcome = Delivered::NotNow(refused.refusal.code().to_owned(), None);
                    continue;
                }
            };
            permit.mark(&mut fetch);
            let effect = Effect::Fetch(Box::new(fetch));
            let EffectResult::Fetch(result) = self.fx.perform(effect, EffectSpan::BeforeResponse).await
            else {
                return Delivered::NotNow(FetchError::Protocol.as_str().to_owned(), None);
            };
            pipeline::conclude(permit, &result, self.fx.now());
            outcome = match result {
                Ok(response) => judge(response.status(), response.headers()),
                Err(error) => Delivered::NotNow(error.as_str().to_owned(), None),
            };
            if !matches!(outcome, Delivered::NotNow(..)) {
                break;
            }
        }
        outcome
    }

    async fn handle(&self, name: &str, headers: &HeaderMap) -> Delivered {
        if let Some(message) = &self.crash {
            return Delivered::NotNow(format!("the handler `{name}` panicked: {message}"), None);
        }
        let handler = self.engine.handler(name).expect("compiling made sure that every handler is there");
        let transaction = Transaction::new(self.request("/", headers), Facts::default(), self.seed);
        let context = HandlerContext::new(Arc::clone(&self.engine), transaction, self.fx.clone());
        match handler::run(handler, context, None).await {
            Ok(Ok(response)) => judge(response.status(), response.headers()),
            Ok(Err(error)) => Delivered::NotNow(format!("the handler `{name}` failed: {error}"), None),
            Err(panic) => {
                let message = handler::panic_message(&*panic);
                Delivered::NotNow(format!("the handler `{name}` panicked: {message}"), None)
            }
        }
    }

    fn request(&self, path: &str, headers: &HeaderMap) -> Request<Body> {
        let mut request = Request::new(Body::from(self.job.body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = path.parse().unwrap_or(Uri::from_static("/"));
        request.headers_mut().clone_from(headers);
        request
    }

    /// Twice as long for each attempt, and up to half of that more, so that messages that failed together part.
    fn backoff(&self, first: Duration) -> Duration {
        let doubled = first.saturating_mul(1 << self.job.attempt.saturating_sub(1).min(20));
        let part = u32::from(u16::from_le_bytes([self.seed[0], self.seed[1]]));
        let more = doubled.min(MAX_RETRY_DELAY) / 2 * part / u32::from(u16::MAX);
        doubled.saturating_add(more)
    }

    fn record(&self, name: &str, message: String, settlement: Settlement) {
        let (name, id) = (name.to_owned(), self.job.id.clone());
        self.fx.detach(Effect::Record(Record::JobFailure { name, id, message, settlement }));
    }
}

fn judge(status: StatusCode, headers: &HeaderMap) -> Delivered {
    let why = || format!("status {}", status.as_u16());
    match status.as_u16() {
        200..=299 => Delivered::Yes,
        408 | 425 | 429 | 500..=599 => Delivered::NotNow(why(), retry_after(headers)),
        _ => Delivered::Refused(why()),
    }
}

/// The seconds of `Retry-After` ([RFC 9110 section 10.2.3](https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3)).
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

fn whole_seconds(duration: Duration) -> Duration {
    let duration = duration.min(MAX_RETRY_DELAY);
    Duration::from_secs(duration.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX))
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
