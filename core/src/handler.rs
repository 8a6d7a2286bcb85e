//! Handlers: a crate's own code behind routes of the policy.

use std::any::Any;
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};

use crate::body::Body;
use crate::effect::{Effect, EffectResult, EffectSpan, FetchError, ReadBodyError, Record, StoreError};
use crate::engine::Engine;
use crate::exchange::{Effects, Pending};
use crate::facts::Facts;
use crate::health::Ask;
use crate::job::{EnqueueError, MAX_MESSAGE_BYTES};
use crate::pipeline;
use crate::time::Timestamp;
use crate::transaction::Transaction;

/// What a handler returns.
pub type HandlerResult = Result<Response<Body>, HandlerError>;

/// A handler could not answer; the policy's fallback does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandlerError {
    message: String,
}

pub(crate) type Handler = Arc<dyn Fn(HandlerContext) -> HandlerFuture + Send + Sync>;
pub(crate) type HandlerFuture = Pin<Box<dyn Future<Output = HandlerResult> + Send>>;
pub(crate) type Handlers = BTreeMap<String, Handler>;

/// What a handler sees of a request, and the effects it may ask for.
pub struct HandlerContext {
    engine: Arc<Engine>,
    transaction: Transaction,
    effects: Effects,
}

impl HandlerError {
    /// Makes an error; the message goes to logs, never to the client.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }
}

impl std::fmt::Display for HandlerError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for HandlerError {}

impl HandlerContext {
    pub(crate) fn new(engine: Arc<Engine>, transaction: Transaction, effects: Effects) -> Self {
        Self { engine, transaction, effects }
    }

    /// Returns the request, without headers that imitate platform facts.
    #[must_use]
    pub fn request(&self) -> &Request<Body> {
        &self.transaction.request
    }

    /// Returns what the platform knows about the client.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.transaction.facts
    }

    /// Returns what the route's path captured under `name`, still percent-encoded.
    #[must_use]
    pub fn capture(&self, name: &str) -> Option<&str> {
        self.engine.capture(&self.transaction, name)
    }

    /// Returns the request id.
    #[must_use]
    pub fn request_id(&self) -> String {
        self.transaction.request_id()
    }

    /// Returns the time of the latest input.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.effects.now()
    }

    /// Sends a request to the first URL of a backend of the policy; its path and query are added to the URL.
    ///
    /// It counts for the backend's [health](crate::health) and is refused where that says so; it is sent once, without retries, hedging
    /// or failover.
    ///
    /// # Errors
    /// [`FetchError`] when there is no response: [`FetchError::Connect`] also for a name that is no backend's,
    /// [`FetchError::Refused`] when the backend is not asked.
    pub async fn fetch(&self, backend: &str, request: Request<Body>) -> Result<Response<Body>, FetchError> {
        let place = (self.engine.backend_named(backend).ok_or(FetchError::Connect)?, 0);
        let mut fetch = self.engine.fetch_from(place, request).ok_or(FetchError::Connect)?;
        let permit = self.engine.health().admit(place, Ask::First, self.effects.now());
        let permit = permit.map_err(|_| FetchError::Refused)?;
        permit.mark(&mut fetch);
        let effect = Effect::Fetch(Box::new(fetch));
        let EffectResult::Fetch(result) = self.effects.perform(effect, EffectSpan::BeforeResponse).await
        else {
            return Err(FetchError::Protocol);
        };
        pipeline::conclude(permit, &result, self.effects.now());
        result
    }

    /// Reads the request's body.
    ///
    /// # Errors
    /// [`ReadBodyError`] when it is longer than `limit` bytes, or broke off.
    pub async fn read_body(&self, limit: usize) -> Result<Bytes, ReadBodyError> {
        match self.transaction.request.body() {
            Body::Empty => Ok(Bytes::new()),
            Body::Bytes(bytes) if bytes.len() > limit => Err(ReadBodyError::TooLarge),
            Body::Bytes(bytes) => Ok(bytes.clone()),
            Body::Host(body) => self.read_host_body(Effect::ReadBody { body: *body, limit }).await,
        }
    }

    async fn read_host_body(&self, effect: Effect) -> Result<Bytes, ReadBodyError> {
        let EffectResult::ReadBody(result) = self.effects.perform(effect, EffectSpan::BeforeResponse).await
        else {
            return Err(ReadBodyError::Broken);
        };
        result
    }

    /// Reads from the platform's key-value store.
    ///
    /// # Errors
    /// [`StoreError`] when the store does not answer or the platform has none.
    pub async fn kv_get(&self, key: impl Into<String>) -> Result<Option<Bytes>, StoreError> {
        let effect = Effect::KvGet { key: key.into() };
        let EffectResult::KvGet(result) = self.effects.perform(effect, EffectSpan::BeforeResponse).await
        else {
            return Err(StoreError);
        };
        result
    }

    /// Writes to the platform's key-value store.
    ///
    /// # Errors
    /// [`StoreError`] when the store refuses or the platform has none.
    pub async fn kv_put(&self, key: impl Into<String>, value: Bytes) -> Result<(), StoreError> {
        let effect = Effect::KvPut { key: key.into(), value };
        let EffectResult::KvPut(result) = self.effects.perform(effect, EffectSpan::BeforeResponse).await
        else {
            return Err(StoreError);
        };
        result
    }

    /// Puts a message into a queue of the policy; once this returns, it is delivered at least once.
    ///
    /// # Errors
    /// [`EnqueueError`] when it is not in the queue, or when nobody knows whether it is.
    pub async fn enqueue(&self, queue: &str, message: Bytes) -> Result<(), EnqueueError> {
        let queue = self.engine.policy().queue(queue).ok_or(EnqueueError::UnknownQueue)?;
        if message.len() > MAX_MESSAGE_BYTES {
            return Err(EnqueueError::TooLarge);
        }
        let id = format!("{}-{}", self.request_id(), self.effects.next_id());
        let effect = Effect::Enqueue { queue: queue.name.as_str().into(), id, body: message };
        let EffectResult::Enqueue(result) = self.effects.perform(effect, EffectSpan::BeforeResponse).await
        else {
            return Err(EnqueueError::Store);
        };
        result.map_err(|_| EnqueueError::Store)
    }

    /// Hands a record on; nobody waits for it.
    pub fn record(&self, name: impl Into<String>, value: f64) {
        self.effects.detach(Effect::Record(Record::Event { name: name.into(), value }));
    }
}

/// Runs a handler; a panic in it is caught and told apart from an error. One that still waits for something when `limit` is over
/// counts as having returned an error.
pub(crate) async fn run(
    handler: Handler,
    context: HandlerContext,
    mut limit: Option<Pending>,
) -> Result<HandlerResult, Box<dyn Any + Send>> {
    let future = catch_unwind(AssertUnwindSafe(|| handler(context)))?;
    let mut work = CatchUnwind(future);
    poll_fn(|cx| {
        if let Poll::Ready(result) = Pin::new(&mut work).poll(cx) {
            return Poll::Ready(result);
        }
        let is_over = limit.as_mut().is_some_and(|limit| Pin::new(limit).poll(cx).is_ready());
        if is_over { Poll::Ready(Ok(Err(HandlerError::new(TOO_SLOW)))) } else { Poll::Pending }
    })
    .await
}

const TOO_SLOW: &str = "it took longer than the policy lets a client wait";

/// What a panic said, when it said it in words.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic").to_owned()
}

struct CatchUnwind(HandlerFuture);

impl Future for CatchUnwind {
    type Output = Result<HandlerResult, Box<dyn Any + Send>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match catch_unwind(AssertUnwindSafe(|| self.0.as_mut().poll(cx))) {
            Ok(poll) => poll.map(Ok),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    }
}
