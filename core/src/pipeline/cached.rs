//! The life of a request that a stored response may answer.

mod combining;
mod storing;
mod turns;

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method, Response, StatusCode, header};

use self::combining::{Combined, combine};
pub(super) use self::storing::store_answered;
use self::storing::{put, store};
use self::turns::{LONGEST_WAIT, Waited, may_wait, release, turn_key, wait};
use super::attempts::time_left;
use super::{Delivered, attempt, fall_back, in_time, note_cache};
use crate::body::Body;
use crate::cache::purge::Manner;
use crate::cache::range::{self, Wanted};
use crate::cache::reuse::{self, OnMiss, Reuse};
use crate::cache::rule::ClientDirectives;
use crate::cache::status::{CacheStatus, Forward};
use crate::cache::store::NoStoreReason;
use crate::cache::stored::{Arrival, StoredResponse};
use crate::cache::validation::{self, Confirmation};
use crate::cache::vary::{self, SelectingHeader, Selection};
use crate::effect::{CacheEntry, CachePurge, CachePut, Effect, EffectResult, Turn, Variants};
use crate::engine::Engine;
use crate::exchange::Effects;
use crate::fallback::StaleAnswers;
use crate::phase::{Failure, Storing};
use crate::reason::{Reason, Rule};
use crate::time::Timestamp;
use crate::transaction::Transaction;

/// A stored response, with the key that it is stored under.
struct Stored {
    key: String,
    head: Arc<StoredResponse>,
    body: Body,
}

impl Miss {
    fn of(key: String) -> Self {
        Self { key, why: Forward::UriMiss, stale: None, part: None, known: Known::default(), waited: None }
    }
}

/// What looking a request up comes to.
struct LookedUp {
    found: Found,
    known: Known,
    /// A stored part that does not answer this request.
    part: Option<Stored>,
}

/// What the store holds for a request.
enum Found {
    Response(Stored),
    Nothing(Forward),
}

/// Why a request goes to the backend, and what is known of its key.
struct Miss {
    /// The key that the request is looked up by.
    key: String,
    why: Forward,
    /// A stored response that is too old to answer, or that the client does not want.
    stale: Option<Stored>,
    /// A stored part beside it, with which the answer may make one.
    part: Option<Stored>,
    known: Known,
    waited: Option<Waited>,
}

/// The variants that a key had when it was looked up.
#[derive(Clone, Default)]
struct Known {
    whole: Option<Variants>,
    part: Option<Variants>,
}

/// Answers from the store, or asks the backend and stores what may be stored.
pub(super) async fn answer(
    engine: &Arc<Engine>,
    tx: &mut Transaction,
    fx: &Effects,
    key: String,
) -> Response<Body> {
    let begun = fx.now();
    tx.shown_key = engine.route_of(tx).filter(|route| route.key.is_shown).map(|_| key.clone());
    let mut miss = Miss::of(key);
    loop {
        let found;
        LookedUp { found, known: miss.known, part: miss.part } = look_up(engine, tx, fx, &miss.key).await;
        (miss.why, miss.stale) = match found {
            Found::Nothing(why) => (why, None),
            Found::Response(stored) => match serve_if_usable(engine, tx, fx, &miss, stored).await {
                Ok(response) => return response,
                Err((why, stored)) => (why, Some(stored)),
            },
        };
        if reuse::on_miss(tx.request.headers()) == OnMiss::GatewayTimeout {
            note_cache(tx, note_of(&miss), CacheStatus::forward(miss.why));
            release(fx, &miss, false);
            return engine.on_only_if_cached(tx);
        }
        if !may_wait(engine, tx) {
            return Box::pin(on_miss(engine, tx, fx, miss)).await;
        }
        let turn_key = turn_key(engine, tx, &miss);
        if miss.waited.as_ref().is_some_and(|waited| waited.is_last(&turn_key)) {
            return Box::pin(on_miss(engine, tx, fx, miss)).await;
        }
        let left = LONGEST_WAIT.saturating_sub(fx.now().saturating_since(begun));
        let left = left.min(time_left(tx, fx.now()).unwrap_or_default());
        let turn = wait(fx, &turn_key, left).await;
        let stale = miss.stale.as_ref().map(|stored| stored.head.request_time());
        miss.waited = Some(Waited { key: turn_key, turn, stale });
        if turn == Turn::Alone {
            return Box::pin(on_miss(engine, tx, fx, miss)).await;
        }
        // What is stored may be another one by the time that the wait is over.
    }
}

/// Answers with a stored response that is fresh, or that may be stale; gives it back when it may not answer.
async fn serve_if_usable(
    engine: &Arc<Engine>,
    tx: &mut Transaction,
    fx: &Effects,
    miss: &Miss,
    stored: Stored,
) -> Result<Response<Body>, (Forward, Stored)> {
    let (reason, status) = match judge(engine, tx, &stored.head, fx.now()) {
        Reuse::Fresh { ttl } => {
            let status = match miss.turn() {
                Some(Turn::Over) => CacheStatus::forward(Forward::Miss).collapsed(),
                Some(Turn::First | Turn::Alone) | None => CacheStatus::hit(ttl),
            };
            (Reason::CacheHit, status)
        }
        Reuse::StaleWhileRevalidate { stale_for } => {
            (Reason::CacheStaleWhileRevalidate, CacheStatus::stale_hit(stale_for))
        }
        Reuse::StaleWanted { stale_for } => (Reason::CacheStaleWanted, CacheStatus::stale_hit(stale_for)),
        Reuse::Unwanted => return Err((Forward::Request, stored)),
        Reuse::StaleIfErrorOnly { .. } | Reuse::Stale | Reuse::VaryMismatch => {
            return Err((Forward::Stale, stored));
        }
    };
    let Some(response) = serve(tx, &stored.head, stored.body.clone(), fx).await else {
        return Err((Forward::Partial, stored));
    };
    tx.decide(reason, Rule::BuiltIn);
    note_cache(tx, reason, status);
    release(fx, miss, false);
    if reason == Reason::CacheStaleWhileRevalidate {
        let known = miss.known.clone();
        let miss = Miss { why: Forward::Stale, stale: Some(stored), known, ..Miss::of(miss.key.clone()) };
        fx.after_response(revalidate(Arc::clone(engine), tx.clone(), fx.clone(), miss));
    }
    Ok(response)
}

/// Decides what a stored response is good for, with the client's own directives where the policy lets them count.
fn judge(engine: &Engine, tx: &Transaction, stored: &StoredResponse, now: Timestamp) -> Reuse {
    let client = engine.route_of(tx).map_or(ClientDirectives::Ignore, |route| route.cache.client);
    match client {
        ClientDirectives::Ignore => reuse::by_age(stored, now),
        ClientDirectives::Obey => reuse::asked(stored, tx.request.headers(), now),
    }
}

/// Finds the stored response that this request selects, through the variants of its key where there are some. A request for a part looks among
/// the stored parts too.
async fn look_up(engine: &Engine, tx: &Transaction, fx: &Effects, key: &str) -> LookedUp {
    if !engine.has_store() {
        return LookedUp { found: Found::Nothing(Forward::UriMiss), known: Known::default(), part: None };
    }
    let (found, whole) = look_up_at(engine, tx, fx, key).await;
    let is_usable = |stored: &Stored| {
        !matches!(
            judge(engine, tx, &stored.head, fx.now()),
            Reuse::Stale | Reuse::StaleIfErrorOnly { .. } | Reuse::Unwanted | Reuse::VaryMismatch
        )
    };
    let needs_part = wants_part(tx) && !matches!(&found, Found::Response(stored) if is_usable(stored));
    if !needs_part {
        return LookedUp { found, known: Known { whole, part: None }, part: None };
    }
    let (found_part, part) = look_up_at(engine, tx, fx, &part_key(key)).await;
    let known = Known { whole, part };
    match found_part {
        Found::Response(part) if is_usable(&part) => {
            LookedUp { found: Found::Response(part), known, part: None }
        }
        Found::Response(part) => LookedUp { found, known, part: Some(part) },
        Found::Nothing(_) => LookedUp { found, known, part: None },
    }
}

async fn look_up_at(engine: &Engine, tx: &Transaction, fx: &Effects, key: &str) -> (Found, Option<Variants>) {
    let Some(first) = cache_get(tx, fx, key.to_owned()).await else {
        return (Found::Nothing(Forward::UriMiss), None);
    };
    let variants = match first {
        CacheEntry::Response(head, body) => {
            let is_one = head.vary().is_empty()
                || vary::matches(head.vary(), &engine.selecting_headers(tx)) == Selection::Matches;
            let stored = Stored { key: key.to_owned(), head, body };
            let found = if is_one { Found::Response(stored) } else { Found::Nothing(Forward::VaryMiss) };
            return (found, None);
        }
        CacheEntry::Variants(variants) => variants,
    };
    let request = engine.selecting_headers(tx);
    let selecting = vary::select(&variants.names, &request);
    let key = variant_key(key, &selecting);
    // A store with short keys may have found another one, and a 304 may have said that other headers select.
    let is_selected = |head: &StoredResponse| {
        head.vary() == selecting || vary::matches(head.vary(), &request) == Selection::Matches
    };
    let found = match cache_get(tx, fx, key.clone()).await {
        Some(CacheEntry::Response(head, body))
            if head.request_time() >= variants.since && is_selected(&head) =>
        {
            Found::Response(Stored { key, head, body })
        }
        Some(CacheEntry::Response(..) | CacheEntry::Variants(_)) | None => Found::Nothing(Forward::VaryMiss),
    };
    (found, Some(variants))
}

async fn cache_get(tx: &Transaction, fx: &Effects, key: String) -> Option<CacheEntry> {
    let Some(EffectResult::CacheGet(entry)) = in_time(tx, fx, Effect::CacheGet { key }).await else {
        return None;
    };
    entry
}

fn variant_key(key: &str, selecting: &[SelectingHeader]) -> String {
    format!("{key}\nvary {}", vary::variant_key(selecting))
}

/// Parts have a place of their own, so that none takes that of a whole response.
fn part_key(key: &str) -> String {
    format!("{key}\npart")
}

fn wants_part(tx: &Transaction) -> bool {
    tx.request.method() == Method::GET && range::is_wanted(tx.request.headers())
}

fn note_of(miss: &Miss) -> Reason {
    if miss.stale.is_some() { Reason::CacheStale } else { Reason::CacheMiss }
}

async fn on_miss(engine: &Arc<Engine>, tx: &mut Transaction, fx: &Effects, miss: Miss) -> Response<Body> {
    if miss.has_failed_for_another()
        && let Some(response) = answer_stale(engine, tx, fx, &miss).await
    {
        tx.cache_status = Some(CacheStatus::forward(miss.why).collapsed());
        return response;
    }
    note_cache(tx, note_of(&miss), CacheStatus::forward(miss.why));
    ask_about(tx, miss.stale.as_ref());
    let asks_for_whole = tx.validates.is_some() || engine.wants_whole(tx);
    match attempt(engine, tx, fx).await {
        Ok(delivered) => {
            let delivered = match confirm(engine, tx, fx, &miss, delivered).await {
                Confirmed::Answer(response) => return response,
                Confirmed::Not(delivered) => delivered,
                Confirmed::Failure(failure) => return on_failure(engine, tx, fx, miss, failure).await,
            };
            let combined = combine(engine, tx, fx, &miss, delivered).await;
            let Combined { mut response, together, storing } = match combined {
                Ok(combined) => combined,
                Err(failure) => return on_failure(engine, tx, fx, miss, failure).await,
            };
            store(engine, tx, fx, &miss, together.as_ref().unwrap_or(&response), storing);
            if asks_for_whole && reuse::make_conditional(&mut response, tx.request.headers(), fx.now()) {
                *response.body_mut() = Body::Empty;
            }
            response
        }
        Err(failure) => on_failure(engine, tx, fx, miss, failure).await,
    }
}

/// Lets the backend be asked whether a stored response still holds, where that can be asked: conditions concern successful responses alone,
/// [RFC 9110 section 13.2.1](https://www.rfc-editor.org/rfc/rfc9110#section-13.2.1).
fn ask_about(tx: &mut Transaction, stale: Option<&Stored>) {
    let is_askable = |stored: &&Stored| {
        let status = stored.head.status();
        stored.head.has_validator() && status.is_success() && status != StatusCode::PARTIAL_CONTENT
    };
    let stale = stale.filter(is_askable).filter(|_| !wants_part(tx));
    tx.validates = stale.map(|stored| Arc::clone(&stored.head));
}

/// What came of asking about a stored response.
enum Confirmed {
    /// It holds, and answers.
    Answer(Response<Body>),
    /// The backend has another one.
    Not(Delivered),
    /// The backend has another one and does not hand it out.
    Failure(Failure),
}

async fn confirm(
    engine: &Arc<Engine>,
    tx: &mut Transaction,
    fx: &Effects,
    miss: &Miss,
    delivered: Delivered,
) -> Confirmed {
    let (Some(stored), Some(_)) = (&miss.stale, &tx.validates) else { return Confirmed::Not(delivered) };
    if delivered.response.status() == StatusCode::NOT_MODIFIED {
        if validation::not_modified(&stored.head, delivered.response.headers()) == Confirmation::Same {
            let fresh = freshen(engine, tx, fx, miss, stored, &delivered);
            tx.decide(Reason::CacheRevalidated, Rule::BuiltIn);
            tx.cache = Some(Reason::CacheRevalidated);
            let response = serve(tx, &fresh, stored.body.clone(), fx).await;
            let mut response = response.expect("a whole response answers whatever is wanted of it");
            pass_cookies_on(delivered.response.headers(), response.headers_mut());
            return Confirmed::Answer(response);
        }
        return ask_for_whole(engine, tx, fx).await;
    }
    if tx.request.method() == Method::HEAD && delivered.response.status() == StatusCode::OK {
        match validation::head(&stored.head, delivered.response.headers()) {
            Confirmation::Same => drop(freshen(engine, tx, fx, miss, stored, &delivered)),
            Confirmation::Other => forget(fx, stored),
        }
    }
    Confirmed::Not(delivered)
}

/// A cookie is the client's whose request brought it, whether it is stored or not.
fn pass_cookies_on(confirming: &HeaderMap, response: &mut HeaderMap) {
    if !response.contains_key(header::SET_COOKIE) {
        for cookie in confirming.get_all(header::SET_COOKIE) {
            response.append(header::SET_COOKIE, cookie.clone());
        }
    }
}

/// A 304 about another response than was asked about is of no use to anybody.
async fn ask_for_whole(engine: &Arc<Engine>, tx: &mut Transaction, fx: &Effects) -> Confirmed {
    tx.validates = None;
    tx.attempts.next = 0;
    validation::remove_conditions(tx.request.headers_mut());
    match attempt(engine, tx, fx).await {
        Ok(delivered) => Confirmed::Not(delivered),
        Err(failure) => Confirmed::Failure(failure),
    }
}

/// Removes a stored response of which the backend does not hold anything any more.
fn forget(fx: &Effects, stored: &Stored) {
    let keys = vec![stored.key.clone()];
    let purge = CachePurge { purges: Vec::new(), manner: Manner::Hard, at: fx.now(), keys };
    fx.detach(Effect::CachePurge(Box::new(purge)));
}

/// Removes a stored response when a later one must not be kept: what its origin said of stale use then holds no more.
fn forget_if_revoked(fx: &Effects, miss: &Miss, storing: &Storing) {
    if let (Storing::Refuse(NoStoreReason::NoStore | NoStoreReason::Private), Some(stored)) =
        (storing, &miss.stale)
    {
        forget(fx, stored);
    }
}

/// Gives a stored response the fields of the answer that confirms it, and stores it so,
/// [RFC 9111 section 4.3.4](https://www.rfc-editor.org/rfc/rfc9111#section-4.3.4).
fn freshen(
    engine: &Engine,
    tx: &mut Transaction,
    fx: &Effects,
    miss: &Miss,
    stored: &Stored,
    confirming: &Delivered,
) -> Arc<StoredResponse> {
    let (fresh, storing) = freshened(engine, tx, &stored.head, confirming, fx.now());
    if let Storing::Store(head, keep) = storing {
        let entry = CacheEntry::Response(head, stored.body.clone());
        let ends_turn = miss.own_turn();
        put(fx, CachePut { key: stored.key.clone(), entry, keep, ends_turn, is_body_kept: true });
    } else {
        forget_if_revoked(fx, miss, &storing);
        release(fx, miss, true);
    }
    fresh
}

/// The stored response with the fields of the answer that confirms it, and whether it goes to the store again.
fn freshened(
    engine: &Engine,
    tx: &mut Transaction,
    stored: &Arc<StoredResponse>,
    confirming: &Delivered,
    now: Timestamp,
) -> (Arc<StoredResponse>, Storing) {
    let response = confirming.response.headers();
    let mut headers = validation::updated(&stored.headers(), response);
    if !response.contains_key(header::DATE) {
        // RFC 9110 section 6.6.1: an answer without a date is of the time of its arrival.
        headers.remove(header::DATE);
    }
    let method = std::mem::replace(tx.request.method_mut(), Method::GET);
    let storing = engine.storing_of(tx, stored.status(), &headers, confirming.sent, now);
    *tx.request.method_mut() = method;
    match &storing {
        Storing::Store(fresh, _) => (Arc::clone(fresh), storing),
        // Section 3.2 has the fields reach this client also where they may not be kept.
        Storing::Refuse(_) | Storing::Bypass => {
            let fresh = StoredResponse::new(Arrival {
                status: stored.status(),
                headers,
                request: &engine.selecting_headers(tx),
                lifetimes: stored.lifetimes(),
                tags: stored.tags().to_vec(),
                keeps_cookies: false,
                request_time: confirming.sent,
                response_time: now,
            });
            (Arc::new(fresh), storing)
        }
    }
}

/// Answers when every backend failed: with the stale response, the policy's fallback, or what the backend said.
async fn on_failure(
    engine: &Arc<Engine>,
    tx: &mut Transaction,
    fx: &Effects,
    miss: Miss,
    failure: Failure,
) -> Response<Body> {
    if let Some(response) = answer_stale(engine, tx, fx, &miss).await {
        release(fx, &miss, false);
        return response;
    }
    let storing = match &failure {
        Failure::Response { storing, .. } => storing.clone(),
        Failure::Error(_) | Failure::Handler | Failure::Refused(_) => Storing::Bypass,
    };
    tx.validates = None;
    let response = fall_back(engine, tx, fx, failure).await;
    // Only what the backend itself said is its response to be stored.
    if tx.reason() == Reason::BackendErrorStatus {
        store(engine, tx, fx, &miss, &response, storing);
    } else {
        release(fx, &miss, false);
    }
    response
}

async fn answer_stale(
    engine: &Engine,
    tx: &mut Transaction,
    fx: &Effects,
    miss: &Miss,
) -> Option<Response<Body>> {
    let stored = miss.stale.as_ref().filter(|stored| may_answer_stale(engine, &stored.head, fx))?;
    let response = serve(tx, &stored.head, stored.body.clone(), fx).await?;
    tx.decide(Reason::FallbackStale, Rule::BuiltIn);
    tx.cache = Some(Reason::FallbackStale);
    Some(response)
}

/// Whether the response is within its `stale-if-error` time, be it within another time too.
fn may_answer_stale(engine: &Engine, stored: &StoredResponse, fx: &Effects) -> bool {
    let (age, lifetimes) = (stored.age(fx.now()), stored.lifetimes());
    let is_within = age < lifetimes.fresh.saturating_add(lifetimes.stale_if_error);
    engine.stale_answers() == StaleAnswers::Allow && is_within
}

/// Fetches a response anew, after its stale copy has answered; one request does it for all.
async fn revalidate(engine: Arc<Engine>, mut tx: Transaction, fx: Effects, mut miss: Miss) {
    if engine.collapses() {
        let key = turn_key(&engine, &tx, &miss);
        let turn = wait(&fx, &key, Duration::ZERO).await;
        if turn != Turn::First {
            return;
        }
        miss.waited = Some(Waited { key, turn, stale: None });
    }
    *tx.request.method_mut() = Method::GET;
    tx.deadline = None;
    validation::remove_conditions(tx.request.headers_mut());
    tx.request.headers_mut().remove(header::RANGE);
    ask_about(&mut tx, miss.stale.as_ref());
    // Nobody waits for the outcome: a failure leaves the stale copy where it is.
    let Ok(delivered) = attempt(&engine, &mut tx, &fx).await else { return release(&fx, &miss, false) };
    if delivered.response.status() != StatusCode::NOT_MODIFIED {
        return store(&engine, &mut tx, &fx, &miss, &delivered.response, delivered.storing);
    }
    let Some(stale) = &miss.stale else { return release(&fx, &miss, false) };
    if validation::not_modified(&stale.head, delivered.response.headers()) == Confirmation::Other {
        return release(&fx, &miss, false);
    }
    // The body that answered is used up.
    let entry = cache_get(&tx, &fx, stale.key.clone()).await;
    let (_, storing) = freshened(&engine, &mut tx, &stale.head, &delivered, fx.now());
    match (entry, storing) {
        (Some(CacheEntry::Response(_, body)), Storing::Store(head, keep)) => {
            let ends_turn = miss.own_turn();
            let entry = CacheEntry::Response(head, body);
            put(&fx, CachePut { key: stale.key.clone(), entry, keep, ends_turn, is_body_kept: true });
        }
        (Some(_) | None, storing) => {
            forget_if_revoked(&fx, &miss, &storing);
            release(&fx, &miss, false);
        }
    }
}

/// Answers with a stored response, or with the part of it that is wanted; `None` when that part is not stored.
async fn serve(
    tx: &Transaction,
    stored: &StoredResponse,
    body: Body,
    fx: &Effects,
) -> Option<Response<Body>> {
    let request = tx.request.headers();
    let mut head = reuse::serve(stored, request, fx.now());
    if head.status() == StatusCode::NOT_MODIFIED {
        return Some(head.map(|()| Body::Empty));
    }
    let is_part = stored.status() == StatusCode::PARTIAL_CONTENT;
    let wanted = match length_of(stored, &body).filter(|_| wants_part(tx)) {
        Some(length) => range::wanted(stored, length, request),
        None => Wanted::Whole,
    };
    match wanted {
        Wanted::Whole if is_part => None,
        Wanted::Whole => Some(head.map(|()| body)),
        Wanted::NotStored => None,
        Wanted::Unsatisfiable { complete } => Some(range::unsatisfiable(complete).map(|()| Body::Empty)),
        Wanted::Part { slice, range } => {
            range::partial(&mut head, slice, range);
            let body = cut(tx, fx, body, slice).await?;
            Some(head.map(|()| body))
        }
    }
}

/// How long a stored body is: as the body itself says, else as its head does.
fn length_of(stored: &StoredResponse, body: &Body) -> Option<u64> {
    length_or(body, || stored.field(&header::CONTENT_LENGTH))
}

fn length_or<'a>(body: &Body, field: impl FnOnce() -> Option<&'a [u8]>) -> Option<u64> {
    match body.len() {
        Some(length) => u64::try_from(length).ok(),
        None => std::str::from_utf8(field()?).ok()?.parse().ok(),
    }
}

async fn cut(tx: &Transaction, fx: &Effects, body: Body, slice: range::Slice) -> Option<Body> {
    match body {
        Body::Empty => None,
        Body::Bytes(bytes) => {
            let start = usize::try_from(slice.start).ok()?;
            let end = start.checked_add(usize::try_from(slice.length).ok()?)?;
            (end <= bytes.len()).then(|| Body::from(bytes.slice(start..end)))
        }
        Body::Host(body) => {
            let effect = Effect::SliceBody { body, start: slice.start, length: slice.length };
            let Some(EffectResult::SliceBody(part)) = in_time(tx, fx, effect).await else { return None };
            part
        }
    }
}
