//! The whole life of a request, top to bottom.

use std::sync::Arc;

use http::{Response, StatusCode};

use crate::body::Body;
use crate::cache::reuse::{self, OnMiss, Reuse};
use crate::cache::status::{CacheStatus, Forward};
use crate::cache::stored::StoredResponse;
use crate::cache::vary;
use crate::effect::{CacheEntry, CachePut, Effect, EffectResult, EffectSpan, FetchError, Record};
use crate::engine::{Answer, Engine};
use crate::exchange::Effects;
use crate::fallback::StaleAnswers;
use crate::handler::{self, HandlerContext};
use crate::phase::{
    CachePlan, Failure, OriginRequestOutcome, OriginResponseOutcome, Storing, ViewerRequestOutcome,
};
use crate::reason::{Reason, Rule, Summary};
use crate::route::Action;
use crate::time::Timestamp;
use crate::transaction::Transaction;

/// Runs a request from the client to the client.
pub(crate) async fn run(engine: Arc<Engine>, mut tx: Transaction, fx: Effects) -> (Response<Body>, Summary) {
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

/// Counts the request of a client whose category is limited.
async fn limit(engine: &Engine, tx: &mut Transaction, fx: &Effects) -> ViewerRequestOutcome {
    // A request that crashed the module was counted before it did.
    let Some((key, window)) = engine.rate_limit(tx).filter(|_| tx.crash.is_none()) else {
        return ViewerRequestOutcome::Continue;
    };
    let result = fx.perform(Effect::Count { key, window }, EffectSpan::BeforeResponse).await;
    let EffectResult::Count(Ok(count)) = result else {
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
    if let Some(Action::Handle(name)) = engine.route_of(tx).map(|route| &route.action) {
        return handle(engine, tx, fx, name).await;
    }
    match engine.cache_plan(tx) {
        CachePlan::Bypass => {
            note_cache(tx, Reason::CacheBypass, CacheStatus::forward(Forward::Bypass));
            fetch(engine, tx, fx, &Lookup::default()).await
        }
        CachePlan::Lookup(key) => answer_from_cache(engine, tx, fx, key).await,
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
            match handler::run(handler, context).await {
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
    fx.detach(Effect::Record(Record::HandlerFailure { handler: name.to_owned(), message }));
    fall_back(engine, tx, fx, Failure::Handler).await
}

/// The policy's answer to a failure: its last backend, then its page.
pub(crate) async fn fall_back(
    engine: &Arc<Engine>,
    tx: &mut Transaction,
    fx: &Effects,
    mut failure: Failure,
) -> Response<Body> {
    if engine.plan_fallback(tx, &failure).is_some() {
        failure = match attempt(engine, tx, fx, None).await {
            Ok(response) => return response,
            Err(failure) => failure,
        };
    }
    engine.on_failure(tx, failure)
}

/// What the cache knows about a request.
#[derive(Default)]
struct Lookup {
    /// The key; `None` when the request does not use the cache.
    key: Option<String>,
    /// A stored response that is too old to answer, unless the backend fails.
    stale: Option<(Arc<StoredResponse>, Body)>,
}

async fn answer_from_cache(
    engine: &Arc<Engine>,
    tx: &mut Transaction,
    fx: &Effects,
    key: String,
) -> Response<Body> {
    let (stored, body) = match look_up(engine, tx, fx, &key).await {
        Found::Response(stored, body) => (stored, body),
        Found::Nothing(why) => {
            note_cache(tx, Reason::CacheMiss, CacheStatus::forward(why));
            return on_miss(engine, tx, fx, Lookup { key: Some(key), stale: None }).await;
        }
    };
    match reuse::by_age(&stored, fx.now()) {
        Reuse::Fresh { ttl } => {
            tx.decide(Reason::CacheHit, Rule::BuiltIn);
            note_cache(tx, Reason::CacheHit, CacheStatus::hit(ttl));
            serve(tx, &stored, body, fx)
        }
        Reuse::StaleWhileRevalidate { stale_for } => {
            tx.decide(Reason::CacheStaleWhileRevalidate, Rule::BuiltIn);
            fx.after_response(revalidate(Arc::clone(engine), tx.clone(), fx.clone(), key));
            note_cache(tx, Reason::CacheStaleWhileRevalidate, CacheStatus::stale_hit(stale_for));
            serve(tx, &stored, body, fx)
        }
        Reuse::StaleIfErrorOnly { .. } | Reuse::Stale | Reuse::VaryMismatch => {
            note_cache(tx, Reason::CacheStale, CacheStatus::forward(Forward::Stale));
            on_miss(engine, tx, fx, Lookup { key: Some(key), stale: Some((stored, body)) }).await
        }
    }
}

/// What the store holds for a request.
enum Found {
    Response(Arc<StoredResponse>, Body),
    Nothing(Forward),
}

/// Finds the stored response that this request selects, through the variants of its key where there are some.
async fn look_up(engine: &Engine, tx: &Transaction, fx: &Effects, key: &str) -> Found {
    if !engine.has_store() {
        return Found::Nothing(Forward::UriMiss);
    }
    let Some(first) = cache_get(fx, key.to_owned()).await else { return Found::Nothing(Forward::UriMiss) };
    let entry = match first {
        CacheEntry::Response(..) => Some(first),
        CacheEntry::Variants(names) => {
            cache_get(fx, variant_key(key, &names, &engine.selecting_headers(tx))).await
        }
    };
    match entry {
        Some(CacheEntry::Response(stored, body)) if selects(engine, tx, &stored) => {
            Found::Response(stored, body)
        }
        Some(CacheEntry::Response(..) | CacheEntry::Variants(_)) | None => Found::Nothing(Forward::VaryMiss),
    }
}

fn selects(engine: &Engine, tx: &Transaction, stored: &StoredResponse) -> bool {
    stored.vary().is_empty()
        || vary::matches(stored.vary(), &engine.selecting_headers(tx)) == vary::Selection::Matches
}

async fn cache_get(fx: &Effects, key: String) -> Option<CacheEntry> {
    let result = fx.perform(Effect::CacheGet { key }, EffectSpan::BeforeResponse).await;
    let EffectResult::CacheGet(entry) = result else { return None };
    entry
}

fn variant_key(key: &str, names: &[http::HeaderName], headers: &http::HeaderMap) -> String {
    format!("{key}\nvary {}", vary::variant_key(names, headers))
}

async fn on_miss(engine: &Arc<Engine>, tx: &mut Transaction, fx: &Effects, lookup: Lookup) -> Response<Body> {
    match reuse::on_miss(tx.request.headers()) {
        OnMiss::Forward => fetch(engine, tx, fx, &lookup).await,
        OnMiss::GatewayTimeout => engine.on_only_if_cached(tx),
    }
}

/// Asks the backends in turn and falls back when all of them fail.
async fn fetch(engine: &Arc<Engine>, tx: &mut Transaction, fx: &Effects, lookup: &Lookup) -> Response<Body> {
    let failure = match attempt(engine, tx, fx, lookup.key.as_deref()).await {
        Ok(response) => return response,
        Err(failure) => failure,
    };
    if let Some((stored, body)) =
        lookup.stale.as_ref().filter(|(stored, _)| may_answer_stale(engine, stored, fx))
    {
        tx.decide(Reason::FallbackStale, Rule::BuiltIn);
        tx.cache = Some(Reason::FallbackStale);
        return serve(tx, stored, body.clone(), fx);
    }
    fall_back(engine, tx, fx, failure).await
}

fn may_answer_stale(engine: &Engine, stored: &StoredResponse, fx: &Effects) -> bool {
    let is_within = match reuse::by_age(stored, fx.now()) {
        Reuse::Fresh { .. } | Reuse::StaleIfErrorOnly { .. } => true,
        Reuse::StaleWhileRevalidate { .. } | Reuse::Stale | Reuse::VaryMismatch => false,
    };
    engine.stale_answers() == StaleAnswers::Allow && is_within
}

/// Works through the plan of attempts; stores what is delivered when there is a key.
pub(crate) async fn attempt(
    engine: &Arc<Engine>,
    tx: &mut Transaction,
    fx: &Effects,
    key: Option<&str>,
) -> Result<Response<Body>, Failure> {
    loop {
        let sent = fx.now();
        let fetch = match engine.on_origin_request(tx, sent) {
            OriginRequestOutcome::Fetch(fetch) => fetch,
            OriginRequestOutcome::Respond(response) => return Ok(response),
        };
        let result = fx.perform(Effect::Fetch(fetch), EffectSpan::BeforeResponse).await;
        let EffectResult::Fetch(result) = result else { return Err(Failure::Error(FetchError::Protocol)) };
        match engine.on_origin_response(tx, result, sent, fx.now()) {
            OriginResponseOutcome::Deliver(response, storing) => {
                store(engine, tx, fx, key, &response, storing);
                return Ok(response);
            }
            OriginResponseOutcome::Retry => {}
            OriginResponseOutcome::Fail(failure) => return Err(failure),
        }
    }
}

/// Hands a response to the store while it is on its way to the client.
fn store(
    engine: &Engine,
    tx: &mut Transaction,
    fx: &Effects,
    key: Option<&str>,
    response: &Response<Body>,
    storing: Storing,
) {
    let (Some(key), Storing::Store(stored, keep), true) = (key, &storing, engine.has_store()) else {
        if let Storing::Refuse(reason) = storing {
            tx.note(Reason::CacheNotStored(reason), Rule::BuiltIn);
        }
        return;
    };
    tx.note(Reason::CacheStored, Rule::BuiltIn);
    tx.cache_status = tx.cache_status.take().map(CacheStatus::stored);
    let keep = *keep;
    let put = |key: String, entry| fx.detach(Effect::CachePut(Box::new(CachePut { key, entry, keep })));
    let entry = CacheEntry::Response(Arc::clone(stored), response.body().clone());
    let names: Arc<[_]> = stored.vary().iter().map(|header| header.name.clone()).collect();
    if names.is_empty() {
        put(key.to_owned(), entry);
    } else {
        put(variant_key(key, &names, &engine.selecting_headers(tx)), entry);
        put(key.to_owned(), CacheEntry::Variants(names));
    }
}

/// Fetches a response anew, after its stale copy has answered.
async fn revalidate(engine: Arc<Engine>, mut tx: Transaction, fx: Effects, key: String) {
    *tx.request.method_mut() = http::Method::GET;
    // Nobody waits for the outcome: a failure leaves the stale copy where it is.
    let _ = attempt(&engine, &mut tx, &fx, Some(&key)).await;
}

fn serve(tx: &Transaction, stored: &StoredResponse, body: Body, fx: &Effects) -> Response<Body> {
    let head = reuse::serve(stored, tx.request.headers(), fx.now());
    let body = if head.status() == StatusCode::NOT_MODIFIED { Body::Empty } else { body };
    head.map(|()| body)
}

fn note_cache(tx: &mut Transaction, reason: Reason, status: CacheStatus) {
    tx.note(reason, Rule::BuiltIn);
    tx.cache = Some(reason);
    tx.cache_status = Some(status);
}
