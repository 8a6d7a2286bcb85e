//! The second stage: a request that the platform's cache has nothing for.

use std::sync::Arc;

use http::Response;

use crate::body::Body;
use crate::cache::reuse::{self, OnMiss};
use crate::effect::{Effect, EffectResult, EffectSpan, Fetch, FetchError};
use crate::engine::Engine;
use crate::exchange::Effects;
use crate::phase::{CachePlan, Failure, OriginRequestOutcome, ViewerRequestOutcome};
use crate::pipeline;
use crate::route::Action;
use crate::transaction::Transaction;

/// How a request departs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Departing {
    /// Whether the platform asked the first backend already, and was given no answer or one that says that it cannot answer.
    pub has_failed: bool,
    /// Longest body that the platform takes from this stage, in bytes.
    pub max_body_bytes: usize,
}

/// What the second stage comes to.
#[derive(Debug)]
pub enum Departure {
    /// The platform sends this to a backend.
    Fetch(Box<Fetch>),
    /// The edge answers, with a body in memory.
    Respond(Response<Body>),
}

/// Decides what became known with the client's place, and runs the route.
pub(crate) async fn depart(
    engine: Arc<Engine>,
    mut tx: Transaction,
    fx: Effects,
    how: Departing,
) -> (Departure, Transaction) {
    let departure = match engine.on_viewer_request(&mut tx, fx.now()) {
        ViewerRequestOutcome::Respond(response) => Departure::Respond(response),
        ViewerRequestOutcome::Continue => route(&engine, &mut tx, &fx, how).await,
    };
    (departure, tx)
}

async fn route(engine: &Arc<Engine>, tx: &mut Transaction, fx: &Effects, how: Departing) -> Departure {
    if let Some(Action::Handle(name)) = engine.route_of(tx).map(|route| &route.action) {
        let response = pipeline::handle(engine, tx, fx, name).await;
        return match hold(response, fx, how.max_body_bytes).await {
            Ok(response) => Departure::Respond(response),
            Err(()) => Departure::Respond(engine.on_failure(tx, Failure::Handler)),
        };
    }
    let wants_stored_only = reuse::on_miss(tx.request.headers()) == OnMiss::GatewayTimeout;
    if wants_stored_only && matches!(engine.cache_plan(tx), CachePlan::Lookup(_)) {
        return Departure::Respond(engine.on_only_if_cached(tx));
    }
    let first = match engine.on_origin_request(tx, fx.now()) {
        OriginRequestOutcome::Fetch(fetch) => fetch,
        OriginRequestOutcome::Respond(response) => return Departure::Respond(response),
    };
    if how.has_failed { recover(engine, tx, fx, how).await } else { Departure::Fetch(first) }
}

/// Works through the rest of the plan after the platform's own attempt failed.
async fn recover(engine: &Arc<Engine>, tx: &mut Transaction, fx: &Effects, how: Departing) -> Departure {
    let failure = Failure::Error(FetchError::Connect);
    let attempted = if tx.has_next_attempt() {
        pipeline::attempt(engine, tx, fx).await.map(|delivered| delivered.response)
    } else {
        Err(failure)
    };
    let response = match attempted {
        Ok(response) => response,
        Err(failure) => pipeline::fall_back(engine, tx, fx, failure).await,
    };
    match hold(response, fx, how.max_body_bytes).await {
        Ok(response) => Departure::Respond(response),
        Err(()) => ask_again(engine, tx, fx),
    }
}

/// A response that is too long for this stage comes through the platform, which asks the same backend once more.
fn ask_again(engine: &Engine, tx: &mut Transaction, fx: &Effects) -> Departure {
    tx.attempts.next = tx.attempts.next.saturating_sub(1);
    match engine.on_origin_request(tx, fx.now()) {
        OriginRequestOutcome::Fetch(fetch) => Departure::Fetch(fetch),
        OriginRequestOutcome::Respond(response) => Departure::Respond(response),
    }
}

/// Reads the body of a response that stays with the host; an error when it is too long or breaks off.
async fn hold(response: Response<Body>, fx: &Effects, limit: usize) -> Result<Response<Body>, ()> {
    let handle = match response.body() {
        Body::Empty => return Ok(response),
        Body::Bytes(bytes) => return if bytes.len() > limit { Err(()) } else { Ok(response) },
        Body::Host(handle) => *handle,
    };
    let read = Effect::ReadBody { body: handle, limit };
    let EffectResult::ReadBody(Ok(bytes)) = fx.perform(read, EffectSpan::BeforeResponse).await else {
        return Err(());
    };
    Ok(response.map(|_| Body::from(bytes)))
}
