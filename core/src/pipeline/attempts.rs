//! Attempts at backends, one after the other: who is asked, how long it may take, and what is asked again.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Method, Response};

use crate::body::Body;
use crate::effect::{Effect, EffectResult, EffectSpan, Fetch, FetchError};
use crate::engine::Engine;
use crate::exchange::{Effects, Pending};
use crate::health::{Fate, Permit, Refused};
use crate::phase::{Failure, OriginRequestOutcome, OriginResponseOutcome, Storing, is_failure};
use crate::reason::{Reason, Rule};
use crate::time::Timestamp;
use crate::transaction::Transaction;

/// A response and whether it goes to the store.
pub(crate) struct Delivered {
    pub(crate) response: Response<Body>,
    pub(crate) storing: Storing,
    /// When the request for it left.
    pub(crate) sent: Timestamp,
}

/// What one attempt came to.
struct Attempted {
    result: Result<Response<Body>, FetchError>,
    sent: Timestamp,
}

/// A request under way.
struct Under {
    fetch: Pending,
    permit: Permit,
    /// How far the plan was when it left.
    next: usize,
    sent: Timestamp,
}

/// Works through the plan of attempts.
pub(crate) async fn attempt(
    engine: &Arc<Engine>,
    tx: &mut Transaction,
    fx: &Effects,
) -> Result<Delivered, Failure> {
    engine.plan_attempts(tx, fx.now());
    let mut last = None;
    loop {
        let permit = match admit(engine, tx, last.is_none(), fx.now()) {
            Ok(permit) => permit,
            Err(refused) => return Err(last.unwrap_or(Failure::Refused(refused))),
        };
        let Some(left) = time_left(tx, fx.now()) else { return Err(last.unwrap_or_else(|| too_late(tx))) };
        let sent = fx.now();
        let fetch = match engine.on_origin_request(tx, sent) {
            OriginRequestOutcome::Fetch(fetch) => fetch,
            OriginRequestOutcome::Respond(response) => {
                return Ok(Delivered { response, storing: Storing::Bypass, sent });
            }
        };
        let Attempted { result, sent } = send(engine, tx, fx, within(fetch, left), permit).await;
        match engine.on_origin_response(tx, result, sent, fx.now()) {
            OriginResponseOutcome::Deliver(response, storing) => {
                return Ok(Delivered { response, storing, sent });
            }
            OriginResponseOutcome::Retry(failure) => {
                if !repeats(engine, tx, fx).await {
                    return Err(failure);
                }
                last = Some(failure);
            }
            OriginResponseOutcome::Fail(failure) => return Err(failure),
        }
    }
}

/// Finds the next place of the plan that may be asked; when none may, the refusal that is over first. That is the reason of the answer when
/// it is the `first` attempt.
fn admit(engine: &Engine, tx: &mut Transaction, first: bool, now: Timestamp) -> Result<Permit, Refused> {
    let mut soonest: Option<Refused> = None;
    while let Some(place) = tx.attempts.plan.get(tx.attempts.next).copied() {
        match engine.health().admit(place, now) {
            Ok(permit) => return Ok(permit),
            Err(refused) => {
                tx.attempts.next += 1;
                let (reason, rule) = (Reason::BackendRefused(refused.refusal), Rule::Backend(place.0));
                if first {
                    tx.decide(reason, rule)
                } else {
                    tx.note(reason, rule)
                }
                soonest = Some(soonest.filter(|other| other.left <= refused.left).unwrap_or(refused));
            }
        }
    }
    soonest.map_or_else(|| Ok(Permit::default()), Err)
}

/// How long the policy lets the client wait; `None` when that is over.
pub(super) fn time_left(tx: &Transaction, now: Timestamp) -> Option<Duration> {
    let left = tx.deadline.map_or(Duration::MAX, |deadline| deadline.saturating_since(now));
    (!left.is_zero()).then_some(left)
}

fn too_late(tx: &mut Transaction) -> Failure {
    tx.decide(Reason::BackendFailed(FetchError::Timeout), Rule::BuiltIn);
    Failure::Error(FetchError::Timeout)
}

fn within(mut fetch: Box<Fetch>, left: Duration) -> Box<Fetch> {
    fetch.timeout = fetch.timeout.min(left);
    fetch
}

/// Decides where a request goes that failed and can be repeated: to the same place after a while, or to the next one.
async fn repeats(engine: &Engine, tx: &mut Transaction, fx: &Effects) -> bool {
    let draw = tx.draw(tx.attempts.made);
    let wait =
        tx.attempts.current().and_then(|place| engine.health().retry(place, tx.attempts.repeated, draw));
    let fits = |wait: &Duration| time_left(tx, fx.now()).is_some_and(|left| *wait < left);
    if let Some(wait) = wait.filter(fits) {
        tx.attempts.repeated += 1;
        tx.attempts.next -= 1;
        if !wait.is_zero() {
            fx.perform(Effect::Sleep { time: wait }, EffectSpan::BeforeResponse).await;
        }
        return true;
    }
    tx.attempts.repeated = 0;
    tx.has_next_attempt()
}

/// Sends a request, and a second one where the policy hedges and the first one takes long; whichever answers first counts.
async fn send(
    engine: &Arc<Engine>,
    tx: &mut Transaction,
    fx: &Effects,
    fetch: Box<Fetch>,
    permit: Permit,
) -> Attempted {
    let hedge =
        tx.attempts.current().filter(|_| may_hedge(tx)).and_then(|at| engine.health().hedge_after(at));
    let mut first = start(tx, fx, fetch, permit);
    let Some(after) = hedge else {
        let result = (&mut first.fetch).await;
        return arrived(tx, fx, first, result);
    };
    let mut timer = fx.perform(Effect::Sleep { time: after }, EffectSpan::BeforeResponse);
    if let Raced::First(result) = race(&mut first.fetch, &mut timer).await {
        return arrived(tx, fx, first, result);
    }
    let Some(mut second) = second(engine, tx, fx) else {
        let result = (&mut first.fetch).await;
        return arrived(tx, fx, first, result);
    };
    let (winner, loser, result) = match race(&mut first.fetch, &mut second.fetch).await {
        Raced::First(result) => (first, second, result),
        Raced::Second(result) => (second, first, result),
    };
    let attempted = arrived(tx, fx, winner, result);
    if is_success(&attempted.result) {
        return attempted;
    }
    let mut loser = loser;
    let result = (&mut loser.fetch).await;
    arrived(tx, fx, loser, result)
}

fn may_hedge(tx: &Transaction) -> bool {
    let is_read = matches!(*tx.request.method(), Method::GET | Method::HEAD);
    is_read && tx.request.body().is_empty() && !tx.asks_for_web_socket()
}

/// The hedge: to the next place of the plan, or to the same one where there is none, out of the budget of the place that is slow.
fn second(engine: &Engine, tx: &mut Transaction, fx: &Effects) -> Option<Under> {
    let (now, before) = (fx.now(), tx.attempts.next);
    let slow = tx.attempts.current()?;
    let left = time_left(tx, now)?;
    if tx.attempts.next == tx.attempts.plan.len() {
        tx.attempts.next -= 1;
    }
    let permit = engine.health().admit(*tx.attempts.plan.get(tx.attempts.next)?, now).ok();
    let permit = permit.filter(|_| engine.health().spend(slow));
    let outcome = permit.map(|permit| (engine.on_origin_request(tx, now), permit));
    let Some((OriginRequestOutcome::Fetch(fetch), permit)) = outcome else {
        tx.attempts.next = before;
        return None;
    };
    Some(start(tx, fx, within(fetch, left), permit))
}

fn start(tx: &mut Transaction, fx: &Effects, fetch: Box<Fetch>, permit: Permit) -> Under {
    tx.attempts.made += 1;
    let fetch = fx.perform(Effect::Fetch(fetch), EffectSpan::BeforeResponse);
    Under { fetch, permit, next: tx.attempts.next, sent: fx.now() }
}

/// Notes how a place fared. From then on the plan goes on behind it.
fn arrived(tx: &mut Transaction, fx: &Effects, under: Under, result: EffectResult) -> Attempted {
    let Under { permit, next, sent, .. } = under;
    tx.attempts.next = next;
    let EffectResult::Fetch(result) = result else {
        return Attempted { result: Err(FetchError::Protocol), sent };
    };
    match &result {
        // These say nothing of the backend.
        Err(FetchError::BodyTooLarge | FetchError::ClientBody) => drop(permit),
        result => permit.settle(if is_success(result) { Fate::Success } else { Fate::Failure }, fx.now()),
    }
    Attempted { result, sent }
}

fn is_success(result: &Result<Response<Body>, FetchError>) -> bool {
    result.as_ref().is_ok_and(|response| !is_failure(response.status()))
}

/// Which of two effects was done first.
enum Raced {
    First(EffectResult),
    Second(EffectResult),
}

async fn race(first: &mut Pending, second: &mut Pending) -> Raced {
    std::future::poll_fn(|cx: &mut Context<'_>| {
        if let Poll::Ready(result) = Pin::new(&mut *first).poll(cx) {
            return Poll::Ready(Raced::First(result));
        }
        Pin::new(&mut *second).poll(cx).map(Raced::Second)
    })
    .await
}
