//! The whole life of a request, top to bottom.

mod attempts;
mod cached;

use std::sync::Arc;

use http::Response;

pub(crate) use self::attempts::{Delivered, attempt, conclude};
use self::attempts::{Raced, race};
use crate::body::Body;
use crate::cache::status::{CacheStatus, Forward};
use crate::effect::{Effect, EffectResult, EffectSpan, Record};
use crate::engine::{Answer, Engine};
use crate::exchange::Effects;
use crate::handler::{self, HandlerContext};
use crate::phase::{CachePlan, Failure, ViewerRequestOutcome};
use crate::reason::{Reason, Rule, Summary};
use crate::route::Action;
use crate::time::Timestamp;
use crate::transaction::Transaction;

/// Runs a request from the client to the client.
pub(crate) async fn run(engine: Arc<Engine>, mut tx: Transaction, fx: Effects) -> (Response<Body>, Summary) {
    tx.deadline = engine.policy().limits.deadline.map(|time| fx.now() + time);
    let outcome = engine.on_viewer_request(&mut tx, fx.now());
    let mut response = match limit(&engine, &mut tx, &fx).await {
        ViewerRequestOutcome::Respond(refusal) => refusal,
        ViewerRequestOutcome::Continue => match outcome {
            ViewerRequestOutcome::Respond(response) => response,
            ViewerRequestOutcome::Continue => forward(&engine, &mut tx, &fx).await,
        },
    };
    exposures(&engine, &tx).for_each(|record| fx.detach(Effect::Record(record)));
    engine.on_viewer_response(&mut tx, &mut response, fx.now());
    (response, tx.summary())
}

/// Answers a request when the first and the last phase alone can.
pub(crate) fn answer(engine: &Engine, mut tx: Transaction, now: Timestamp) -> Option<Answer> {
    let ViewerRequestOutcome::Respond(mut response) = engine.on_viewer_request(&mut tx, now) else {
        return None;
    };
    if engine.rate_limit(&tx).is_some() {
        return None;
    }
    let records = exposures(engine, &tx).collect();
    engine.on_viewer_response(&mut tx, &mut response, now);
    Some(Answer { response, summary: tx.summary(), records })
}

/// Performs an effect for as long as the client waits; `None` when that is over.
async fn in_time(tx: &Transaction, fx: &Effects, effect: Effect) -> Option<EffectResult> {
    let Some(deadline) = tx.deadline else {
        return Some(fx.perform(effect, EffectSpan::BeforeResponse).await);
    };
    let time = deadline.saturating_since(fx.now());
    let mut timer = fx.perform(Effect::Sleep { time }, EffectSpan::BeforeResponse);
    let mut result = fx.perform(effect, EffectSpan::BeforeResponse);
    match race(&mut result, &mut timer).await {
        Raced::First(result) => Some(result),
        Raced::Second(_) => None,
    }
}

/// Counts the request of a client whose category is limited.
async fn limit(engine: &Engine, tx: &mut Transaction, fx: &Effects) -> ViewerRequestOutcome {
    // A request that crashed the module was counted before it did.
    let Some((key, window)) = engine.rate_limit(tx).filter(|_| tx.crash.is_none()) else {
        return ViewerRequestOutcome::Continue;
    };
    let Some(EffectResult::Count(Ok(count))) = in_time(tx, fx, Effect::Count { key, window }).await else {
        // A counter that does not answer limits nobody: an outage of the store must not become one of the site.
        return ViewerRequestOutcome::Continue;
    };
    engine.on_counted(tx, count, fx.now())
}

/// What the response tells about experiments to whoever analyses them.
pub(crate) fn exposures(engine: &Engine, tx: &Transaction) -> impl Iterator<Item = Record> {
    tx.assigned.iter().map(|assigned| {
        let (experiment, variation) =
            engine.experiment_names(usize::from(assigned.experiment.0), assigned.variation);
        Record::Exposure { experiment, variation, reason: assigned.reason }
    })
}

async fn forward(engine: &Arc<Engine>, tx: &mut Transaction, fx: &Effects) -> Response<Body> {
    let response = respond(engine, tx, fx).await;
    let get = engine.answered_get(tx, &response);
    let stored = get.and_then(|get| cached::store_answered(engine, tx, &get, fx, &response));
    invalidate(engine, tx, fx, &response, stored.as_deref());
    response
}

/// The futures of handlers and backends are large and have a place of their own, so that an answer from the store moves none of it.
async fn respond(engine: &Arc<Engine>, tx: &mut Transaction, fx: &Effects) -> Response<Body> {
    if let Some(Action::Handle(name)) = engine.route_of(tx).map(|route| &route.action) {
        return Box::pin(handle(engine, tx, fx, name)).await;
    }
    match engine.cache_plan(tx) {
        CachePlan::Bypass => {
            note_cache(tx, Reason::CacheBypass, CacheStatus::forward(Forward::Bypass));
            Box::pin(fetch(engine, tx, fx)).await
        }
        CachePlan::Lookup(key) => cached::answer(engine, tx, fx, key).await,
    }
}

pub(crate) async fn handle(
    engine: &Arc<Engine>,
    tx: &mut Transaction,
    fx: &Effects,
    name: &str,
) -> Response<Body> {
    let handler = engine.handler(name).expect("compiling made sure that every handler is there");
    let rule = tx.route.map_or(Rule::BuiltIn, Rule::Route);
    let (reason, message) = match tx.crash.take() {
        Some(message) => (Reason::HandlerPanicked, message),
        None => {
            let context = HandlerContext::new(Arc::clone(engine), tx.clone(), fx.clone());
            let limit = tx.deadline.map(|deadline| {
                let time = deadline.saturating_since(fx.now());
                fx.perform(Effect::Sleep { time }, EffectSpan::BeforeResponse)
            });
            match handler::run(handler, context, limit).await {
                Ok(Ok(response)) => {
                    tx.decide(Reason::HandlerResponded, rule);
                    return response;
                }
                Ok(Err(error)) => (Reason::HandlerFailed, error.to_string()),
                Err(panic) => (Reason::HandlerPanicked, handler::panic_message(&*panic)),
            }
        }
    };
    tx.decide(reason, rule);
    fx.detach(Effect::Record(Record::HandlerFailure { handler: name.to_owned(), reason, message }));
    fall_back(engine, tx, fx, Failure::Handler).await
}

/// The policy's answer to a failure: its last backend, then its page.
pub(crate) async fn fall_back(
    engine: &Arc<Engine>,
    tx: &mut Transaction,
    fx: &Effects,
    mut failure: Failure,
) -> Response<Body> {
    let before = tx.reason();
    if engine.plan_fallback(tx, &failure).is_some() {
        match attempt(engine, tx, fx).await {
            Ok(delivered) => return delivered.response,
            // Nobody was asked: the answer is still about what failed before.
            Err(Failure::Refused(_)) => tx.decide(before, Rule::BuiltIn),
            Err(last) => failure = last,
        }
    }
    engine.on_failure(tx, failure)
}

/// Asks the backends in turn and falls back when all of them fail.
async fn fetch(engine: &Arc<Engine>, tx: &mut Transaction, fx: &Effects) -> Response<Body> {
    match attempt(engine, tx, fx).await {
        Ok(delivered) => delivered.response,
        Err(failure) => fall_back(engine, tx, fx, failure).await,
    }
}

/// Invalidates what a request has changed, but for what its own response put into the store.
fn invalidate(
    engine: &Engine,
    tx: &Transaction,
    fx: &Effects,
    response: &Response<Body>,
    stored: Option<&str>,
) {
    if let Some(mut purge) = engine.invalidation(tx, response, fx.now()) {
        purge.keys.retain(|key| Some(key.as_str()) != stored);
        fx.detach(Effect::CachePurge(Box::new(purge)));
    }
}

pub(crate) fn note_cache(tx: &mut Transaction, reason: Reason, status: CacheStatus) {
    tx.note(reason, Rule::BuiltIn);
    tx.cache = Some(reason);
    tx.cache_status = Some(status);
}

#[cfg(all(test, feature = "policy-file"))]
mod tests;
