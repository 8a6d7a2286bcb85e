//! The pipeline as a state machine: inputs in, steps out.
//!
//! # Call order
//! Make an [`Exchange`], call [`Exchange::poll`] with [`Input::Begin`], then
//! once for each result of an effect, until it returns [`Step::Respond`]. Send
//! the response. When `rest` is [`Rest::Pending`], go on feeding the results of
//! effects until it returns [`Step::Done`]. Effects may complete in any order. An exchange of
//! a [job] returns [`Step::Settle`] where that of a request returns [`Step::Respond`].

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use http::{Request, Response};

use crate::body::Body;
use crate::effect::{Effect, EffectId, EffectResult, EffectSpan, Issued};
use crate::engine::Engine;
use crate::facts::Facts;
use crate::job::{self, Job, Settlement};
use crate::pipeline;
use crate::reason::Summary;
use crate::stage::{self, Departing, Departure};
use crate::time::Timestamp;
use crate::transaction::{Seed, Transaction};

/// One request's way through the edge.
///
/// Owns the pipeline's future and drives it without an executor. The same
/// inputs in the same order give the same steps.
pub struct Exchange {
    pipeline: Option<BoxFuture<Finished>>,
    background: Vec<BoxFuture<()>>,
    mailbox: Arc<Mutex<Mailbox>>,
}

/// What a pipeline comes to.
enum Finished {
    Response(Box<Respond>),
    Settled(Settlement),
    Departed(Box<(Departure, Transaction)>),
}

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What a host tells an exchange.
#[derive(Debug)]
pub enum Input {
    /// The first call.
    Begin,
    /// An effect is done.
    Completed {
        /// The effect's id.
        id: EffectId,
        /// What came of it.
        result: EffectResult,
    },
}

/// What an exchange tells its host.
#[derive(Debug)]
pub enum Step {
    /// Perform these effects (none when others are still awaited), then poll with each result.
    Effects(Vec<Issued>),
    /// Send this response.
    Respond(Box<Respond>),
    /// Settle the job; only an exchange of [`Exchange::of_job`] says so, in place of a response.
    Settle(Settle),
    /// Let the request depart; only an exchange of [`Exchange::departing`] says so, in place of a response.
    Depart(Box<Depart>),
    /// Nothing is left to do.
    Done,
}

/// A response and what remains after it.
#[derive(Debug)]
pub struct Respond {
    /// The response to the client.
    pub response: Response<Body>,
    /// What came of the request, for metrics and logs.
    pub summary: Summary,
    /// Effects to start along with the response; all of them outlive it.
    pub effects: Vec<Issued>,
    /// Whether the exchange wants their results.
    pub rest: Rest,
}

/// What becomes of a job and what remains after it.
#[derive(Debug)]
pub struct Settle {
    /// What becomes of it.
    pub settlement: Settlement,
    /// Effects to start along with it.
    pub effects: Vec<Issued>,
    /// Whether the exchange wants their results.
    pub rest: Rest,
}

/// How a request departs and what remains after it.
#[derive(Debug)]
pub struct Depart {
    /// What the platform goes on with.
    pub departure: Departure,
    /// The request with what was learnt about it.
    pub transaction: Transaction,
    /// Effects to start along with it.
    pub effects: Vec<Issued>,
    /// Whether the exchange wants their results.
    pub rest: Rest,
}

/// Whether an exchange goes on after its response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// It wants the results of its effects.
    Pending,
    /// Results change nothing any more; the exchange may be dropped once its effects are performed.
    Nothing,
}

impl Exchange {
    /// Prepares the exchange of one request.
    ///
    /// `seed` is 16 bytes of fresh randomness from the host; the request id and
    /// a new visitor's identity are made from it.
    #[must_use]
    pub fn new(engine: Arc<Engine>, request: Request<Body>, facts: Facts, seed: Seed) -> Self {
        Self::of(engine, Transaction::new(request, facts, seed))
    }

    /// Prepares the exchange of a request whose handler crashed the module that ran it.
    ///
    /// Where a panic cannot be caught, the host starts the module anew and the request with it: the route's handler counts
    /// as having panicked with `message`, and the policy's fallback answers. The other arguments are
    /// those of the exchange that crashed.
    #[must_use]
    pub fn after_crash(
        engine: Arc<Engine>,
        request: Request<Body>,
        facts: Facts,
        seed: Seed,
        message: String,
    ) -> Self {
        Self::of(engine, Transaction::after_crash(request, facts, seed, message))
    }

    /// Prepares the exchange of a job, which ends with [`Step::Settle`].
    ///
    /// `seed` is as in [`new`](Self::new). `crash` is what took the module down that ran the job before, where a panic cannot be caught:
    /// the handler counts as having panicked with that message.
    #[must_use]
    pub fn of_job(engine: Arc<Engine>, job: Job, seed: Seed, crash: Option<String>) -> Self {
        Self::start(|fx| async move {
            Finished::Settled(job::run::run(job::run::Run { engine, job, seed, crash, fx }).await)
        })
    }

    /// Prepares the exchange of the second stage, which ends with [`Step::Depart`].
    #[must_use]
    pub fn departing(engine: Arc<Engine>, transaction: Transaction, how: Departing) -> Self {
        Self::start(|fx| async move {
            Finished::Departed(Box::new(stage::depart(engine, transaction, fx, how).await))
        })
    }

    fn of(engine: Arc<Engine>, transaction: Transaction) -> Self {
        Self::start(|effects| async move {
            let (response, summary) = pipeline::run(engine, transaction, effects).await;
            let (effects, rest) = (Vec::new(), Rest::Nothing);
            Finished::Response(Box::new(Respond { response, summary, effects, rest }))
        })
    }

    fn start<F: Future<Output = Finished> + Send + 'static>(pipeline: impl FnOnce(Effects) -> F) -> Self {
        let mailbox = Arc::new(Mutex::new(Mailbox::default()));
        let effects = Effects { mailbox: Arc::clone(&mailbox) };
        Self { pipeline: Some(Box::pin(pipeline(effects))), background: Vec::new(), mailbox }
    }

    /// Takes one input and says what to do next.
    ///
    /// A result for an unknown effect is ignored.
    pub fn poll(&mut self, input: Input, now: Timestamp) -> Step {
        self.mailbox().accept(input, now);
        let outcome = self.poll_pipeline();
        self.poll_background();
        let issued = std::mem::take(&mut self.mailbox().outbox);
        let rest = if self.background.is_empty() { Rest::Nothing } else { Rest::Pending };
        match outcome {
            Some(Finished::Response(mut respond)) => {
                (respond.effects, respond.rest) = (issued, rest);
                Step::Respond(respond)
            }
            Some(Finished::Settled(settlement)) => Step::Settle(Settle { settlement, effects: issued, rest }),
            Some(Finished::Departed(departed)) => {
                let (departure, transaction) = *departed;
                Step::Depart(Box::new(Depart { departure, transaction, effects: issued, rest }))
            }
            None if self.pipeline.is_none() && self.background.is_empty() && issued.is_empty() => Step::Done,
            None => Step::Effects(issued),
        }
    }

    fn poll_pipeline(&mut self) -> Option<Finished> {
        let pipeline = self.pipeline.as_mut()?;
        match pipeline.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(outcome) => {
                self.pipeline = None;
                Some(outcome)
            }
            Poll::Pending => None,
        }
    }

    fn poll_background(&mut self) {
        if self.pipeline.is_some() {
            return;
        }
        let started = std::mem::take(&mut self.mailbox().after_response);
        self.background.extend(started);
        self.background
            .retain_mut(|task| task.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }

    fn mailbox(&self) -> MutexGuard<'_, Mailbox> {
        lock(&self.mailbox)
    }
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exchange").field("responded", &self.pipeline.is_none()).finish_non_exhaustive()
    }
}

/// The pipeline's end of an exchange: asks for effects and awaits their results.
#[derive(Clone)]
pub(crate) struct Effects {
    mailbox: Arc<Mutex<Mailbox>>,
}

#[derive(Default)]
struct Mailbox {
    now: Timestamp,
    next_id: u32,
    outbox: Vec<Issued>,
    results: Vec<(EffectId, EffectResult)>,
    after_response: Vec<BoxFuture<()>>,
}

impl Mailbox {
    fn accept(&mut self, input: Input, now: Timestamp) {
        self.now = self.now.max(now);
        match input {
            Input::Begin => {}
            Input::Completed { id, result } => self.results.push((id, result)),
        }
    }

    fn issue(&mut self, effect: Effect, span: EffectSpan) -> EffectId {
        let id = EffectId(self.next_id);
        self.next_id += 1;
        self.outbox.push(Issued { id, span, effect });
        id
    }

    /// Asks the host to drop an effect, or drops the effect itself while the host does not know of it.
    fn cancel(&mut self, id: EffectId) {
        let before = self.outbox.len();
        self.outbox.retain(|issued| issued.id != id);
        if self.outbox.len() == before && self.take(id).is_none() {
            self.issue(Effect::Cancel { id }, EffectSpan::AfterResponse);
        }
    }

    fn take(&mut self, id: EffectId) -> Option<EffectResult> {
        let at = self.results.iter().position(|(done, _)| *done == id)?;
        Some(self.results.swap_remove(at).1)
    }
}

impl Effects {
    /// Returns the time of the latest input.
    pub(crate) fn now(&self) -> Timestamp {
        lock(&self.mailbox).now
    }

    /// Returns the id of the effect that is asked for next.
    pub(crate) fn next_id(&self) -> u32 {
        lock(&self.mailbox).next_id
    }

    /// Asks for an effect and waits for its result.
    ///
    /// Who drops the future before that has the host drop the effect.
    pub(crate) fn perform(&self, effect: Effect, span: EffectSpan) -> Pending {
        let id = lock(&self.mailbox).issue(effect, span);
        Pending { id, is_done: false, mailbox: Arc::clone(&self.mailbox) }
    }

    /// Asks for an effect whose result nobody awaits.
    pub(crate) fn detach(&self, effect: Effect) {
        lock(&self.mailbox).issue(effect, EffectSpan::AfterResponse);
    }

    /// Runs `task` once the response is decided.
    pub(crate) fn after_response(&self, task: impl Future<Output = ()> + Send + 'static) {
        lock(&self.mailbox).after_response.push(Box::pin(task));
    }
}

/// The result of one effect, when it comes.
pub(crate) struct Pending {
    id: EffectId,
    is_done: bool,
    mailbox: Arc<Mutex<Mailbox>>,
}

impl Future for Pending {
    type Output = EffectResult;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<EffectResult> {
        let result = lock(&self.mailbox).take(self.id);
        self.is_done |= result.is_some();
        result.map_or(Poll::Pending, Poll::Ready)
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.is_done {
            lock(&self.mailbox).cancel(self.id);
        }
    }
}

/// A poisoned mailbox is still whole: no code that can panic runs under its lock.
fn lock(mailbox: &Mutex<Mailbox>) -> MutexGuard<'_, Mailbox> {
    mailbox.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(all(test, feature = "policy-file"))]
pub(crate) mod tests;
