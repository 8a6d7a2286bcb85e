//! Attempts at backends, one after the other: who is asked, how long it may take, and what is asked again.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderValue, Method, Response, StatusCode, header};

use crate::backend::BackendId;
use crate::body::Body;
use crate::effect::{Effect, EffectResult, EffectSpan, Fetch, FetchError, Watch};
use crate::engine::Engine;
use crate::exchange::{Effects, Pending};
use crate::health::{Ask, Fate, Permit, Refused};
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
        let mut permit = match admit(engine, tx, last.is_none(), fx.now()) {
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
        let fetch = within(engine, tx, fetch, &mut permit, left, sent);
        let Attempted { result, sent } = send(engine, tx, fx, fetch, permit).await;
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
        let ask = if tx.attempts.repeated == 0 { Ask::First } else { Ask::Again };
        match engine.health().admit(place, ask, now) {
            Ok(permit) => return Ok(permit),
            Err(refused) => {
                (tx.attempts.next, tx.attempts.repeated) = (tx.attempts.next + 1, 0);
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

/// Lets a fetch take no longer than the client waits, nor than its backend has left.
fn within(
    engine: &Engine,
    tx: &mut Transaction,
    mut fetch: Box<Fetch>,
    permit: &mut Permit,
    left: Duration,
    now: Timestamp,
) -> Box<Fetch> {
    let whole = fetch.timeout.min(engine.policy().limits.deadline.unwrap_or(Duration::MAX));
    let whole = fetch.watch.as_ref().and_then(|watch| watch.total).map_or(whole, |total| total.min(whole));
    if let Some(Watch { total: Some(total), report }) = &mut fetch.watch {
        let spent = now.saturating_since(tx.attempts.begin(report.place().0, now));
        *total = total.saturating_sub(spent).max(LEAST);
        fetch.timeout = fetch.timeout.min(*total);
    }
    fetch.timeout = fetch.timeout.min(left);
    if fetch.timeout < whole / 2 {
        permit.hurry();
    }
    fetch
}

/// What a fetch has whose backend's time is over while it leaves.
const LEAST: Duration = Duration::from_millis(1);

/// How long a backend may still take; `None` when that is over.
fn total_left(engine: &Engine, tx: &Transaction, backend: BackendId, now: Timestamp) -> Option<Duration> {
    let total = engine.policy().backend(backend).total_timeout.zip(tx.attempts.begun(backend));
    let left = total.map_or(Duration::MAX, |(total, begun)| (begun + total).saturating_since(now));
    (!left.is_zero()).then_some(left)
}

/// Decides where a request goes that failed and can be repeated: to the same place after a while, or to the next one.
async fn repeats(engine: &Engine, tx: &mut Transaction, fx: &Effects) -> bool {
    let Some(place) = tx.attempts.current() else { return false };
    let (now, draw) = (fx.now(), tx.draw(tx.attempts.made));
    let total = total_left(engine, tx, place.0, now);
    let left = time_left(tx, now).zip(total).map(|(left, total)| left.min(total));
    let wait = left.and_then(|left| engine.health().retry(place, tx.attempts.repeated, draw, left));
    if let Some(wait) = wait {
        tx.attempts.repeated += 1;
        tx.attempts.next -= 1;
        if !wait.is_zero() {
            fx.perform(Effect::Sleep { time: wait }, EffectSpan::BeforeResponse).await;
        }
        return true;
    }
    tx.attempts.repeated = 0;
    if total.is_none() {
        tx.attempts.leave(place.0);
    }
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
    let (winner, mut loser, result) = match race(&mut first.fetch, &mut second.fetch).await {
        Raced::First(result) => (first, second, result),
        Raced::Second(result) => (second, first, result),
    };
    let failed = winner.next;
    let attempted = arrived(tx, fx, winner, result);
    if is_success(&attempted.result) {
        return attempted;
    }
    let result = (&mut loser.fetch).await;
    if failed > loser.next {
        // The plan goes on behind both, so that the place that failed first is not asked once more.
        let place = tx.attempts.plan.remove(failed - 1);
        tx.attempts.plan.insert(loser.next - 1, place);
        loser.next = failed;
    }
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
    let place = *tx.attempts.plan.get(tx.attempts.next)?;
    let permit = engine.health().admit(place, Ask::Again, now).ok();
    let permit = permit.filter(|_| engine.health().spend(slow));
    let outcome = permit.map(|permit| (engine.on_origin_request(tx, now), permit));
    let Some((OriginRequestOutcome::Fetch(fetch), mut permit)) = outcome else {
        tx.attempts.next = before;
        return None;
    };
    let fetch = within(engine, tx, fetch, &mut permit, left, now);
    Some(start(tx, fx, fetch, permit))
}

fn start(tx: &mut Transaction, fx: &Effects, mut fetch: Box<Fetch>, permit: Permit) -> Under {
    tx.attempts.made += 1;
    permit.mark(&mut fetch);
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
    conclude(permit, &result, fx.now());
    Attempted { result, sent }
}

/// Notes what a request's result says of the place that it went to.
pub(crate) fn conclude(permit: Permit, result: &Result<Response<Body>, FetchError>, now: Timestamp) {
    match result {
        // These say nothing of the backend.
        Err(
            FetchError::BodyTooLarge
            | FetchError::ClientBody
            | FetchError::ClientTimeout
            | FetchError::Refused,
        ) => drop(permit),
        Err(FetchError::Timeout) if permit.is_hurried() => drop(permit),
        Ok(response) if is_success(result) && has_end(response) => permit.await_body(now),
        result => permit.settle(if is_success(result) { Fate::Success } else { Fate::Failure }, now),
    }
}

/// Whether a body is to come of which an end can be expected. There is none of what is
/// [switched to](https://www.rfc-editor.org/rfc/rfc9110#section-15.2.2), nor of
/// [server-sent events](https://html.spec.whatwg.org/multipage/server-sent-events.html).
fn has_end(response: &Response<Body>) -> bool {
    let media_type = response.headers().get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    let is_events = media_type.get(..EVENTS.len()).is_some_and(|start| start.eq_ignore_ascii_case(EVENTS));
    matches!(response.body(), Body::Host(_))
        && response.status() != StatusCode::SWITCHING_PROTOCOLS
        && !is_events
}

const EVENTS: &[u8] = b"text/event-stream";

fn is_success(result: &Result<Response<Body>, FetchError>) -> bool {
    result.as_ref().is_ok_and(|response| !is_failure(response.status()))
}

/// Which of two effects was done first.
pub(super) enum Raced {
    First(EffectResult),
    Second(EffectResult),
}

pub(super) async fn race(first: &mut Pending, second: &mut Pending) -> Raced {
    std::future::poll_fn(|cx: &mut Context<'_>| {
        if let Poll::Ready(result) = Pin::new(&mut *first).poll(cx) {
            return Poll::Ready(Raced::First(result));
        }
        Pin::new(&mut *second).poll(cx).map(Raced::Second)
    })
    .await
}
